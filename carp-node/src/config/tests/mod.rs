//! Configurations without a single file: what is read, what is refused, and where the message points.

mod conflicts;
mod explain;
mod mistakes;
mod nodes;
mod shares;
mod speech;
mod speech_mistakes;
mod text;
mod values;

use std::path::Path;

use super::*;

/// A machine whose key files and programs are told by their names.
struct TestHost;

impl Host for TestHost {
    fn name(&self) -> String {
        "testhost".to_owned()
    }

    fn secret(&self, path: &Path) -> Result<Secret, KeyFileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Secret::new(match &*name {
            "missing.key" => return Err(KeyFileError::Missing),
            "exposed.key" => return Err(KeyFileError::Exposed { mode: 0o644 }),
            "long.key" => b"abcdefghijklmnopqrstuvwxyz!",
            "crlf.key" => b"hunter2\r\n",
            "other.key" => b"hunter3\n",
            "hmac.key" => b"hunter2 hunter2 hunter2 hunter2!\n",
            "new.key" => b"hunter3 hunter3 hunter3 hunter3!\n",
            "odd.key" => b"hex:012\n",
            _ => b"hunter2\n",
        }))
    }

    fn program(&self, path: &Path) -> Result<(), ProgramError> {
        if path.ends_with("missing") { Err(ProgramError::Missing) } else { Ok(()) }
    }
}

fn parse(text: impl AsRef<[u8]>) -> Result<Loaded, ConfigError> {
    Config::parse("/etc/carp/carp.toml", text.as_ref(), &TestHost)
}

/// The configuration, which has to be valid and without warnings.
fn config(text: &str) -> Config {
    let loaded = parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

/// What is found, as `LINE:COLUMN: SEVERITY: MESSAGE` and perhaps ` // HELP`.
fn found(text: impl AsRef<[u8]>) -> Vec<String> {
    let diagnostics = match parse(text) {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.diagnostics().to_vec(),
    };
    diagnostics.iter().map(line).collect()
}

fn line(diagnostic: &Diagnostic) -> String {
    let (line, column) = diagnostic.position();
    let help = diagnostic.help().map(|help| format!(" // {help}")).unwrap_or_default();
    format!("{line}:{column}: {}: {}{help}", diagnostic.severity(), diagnostic.message())
}

/// The least that a router needs.
const LEAST: &str = "\
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 1
addresses = [\"192.168.130.100\"]
key_file = \"web.key\"
";

/// The least, with lines behind it; the first is line 7.
fn with(lines: &str) -> String {
    format!("{LEAST}{lines}\n")
}

/// The least, with one of its lines replaced.
fn instead(key: &str, line: &str) -> String {
    let replaced = |it| if str::starts_with(it, key) { line } else { it };
    LEAST.lines().map(replaced).collect::<Vec<_>>().join("\n")
}

/// The least that a VRRP router needs, with lines behind it; the first is line 6.
fn vrrp(protocol: &str, lines: &str) -> String {
    format!(
        "[router.web]\nprotocol = \"{protocol}\"\ninterface = \"eth0\"\nid = 42\n\
         addresses = [\"192.168.130.100\"]\n{lines}\n"
    )
}

/// The same with other addresses.
fn with_addresses(protocol: &str, addresses: &str, lines: &str) -> String {
    vrrp(protocol, lines).replace("[\"192.168.130.100\"]", addresses)
}

/// VRRP version 3 with signatures, and lines behind it; the first is line 9.
fn signed(lines: &str) -> String {
    vrrp("vrrp3", &format!("auth = \"hmac\"\nkey_file = \"hmac.key\"\nkey_id = 1\n{lines}"))
}
