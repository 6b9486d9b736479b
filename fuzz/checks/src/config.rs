//! Reading a configuration is total. What is valid can be explained and compared, and makes routers; what is not is
//! told with its place in the text, and nothing that is told shows a secret or steers a terminal.

use std::path::Path;
use std::sync::LazyLock;

use carp_node::config::{Config, Diagnostic, Host, KeyFileError, ProgramError, Secret, Severity};

const FILE: &str = "/etc/carp/carp.toml";

/// What key files contain: no other text here has it.
const SECRET: &str = "hunter2";

/// A configuration with a router of each protocol, which others are compared with.
static OTHER: LazyLock<Config> = LazyLock::new(|| {
    let text = include_bytes!("../../corpus/config/seed-every-protocol");
    Config::parse(FILE, text, &AnyHost { drawn: &[] }).expect("a valid configuration").config
});

/// Panics if these bytes show that something is wrong.
pub fn check(text: &[u8]) {
    // The last comment is also what one of the key files has in it.
    let drawn = text.rsplit(|byte| *byte == b'#').next().unwrap_or_default();
    let shown = match Config::parse(FILE, text, &AnyHost { drawn }) {
        Ok(loaded) => {
            assert!(loaded.warnings.iter().all(|it| it.severity() == Severity::Warning));
            explain(&loaded.config);
            [loaded.warnings, loaded.config.compare(&OTHER), OTHER.compare(&loaded.config)].concat()
        }
        Err(error) => {
            let found = error.diagnostics();
            assert!(found.iter().any(|it| it.severity() == Severity::Error));
            let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!(found.iter().all(|it| it.position().0 <= lines));
            found.to_vec()
        }
    };
    shown.iter().for_each(show);
}

fn explain(config: &Config) {
    assert!(!config.routers.is_empty());
    assert_eq!(config.sync_groups().len(), config.routers.len());
    assert_eq!(config.counterparts(&OTHER).len(), config.routers.len());
    for router in &config.routers {
        assert!(!router.settings().is_empty());
        for election in router.elections() {
            election.config(0).expect("a router that can be");
        }
    }
}

fn show(diagnostic: &Diagnostic) {
    let plain = diagnostic.rendered(false).to_string();
    assert!(plain.starts_with(FILE), "{plain}");
    assert!(!plain.contains(SECRET), "{plain}");
    assert!(plain.chars().all(|char| char == '\n' || !char.is_control()), "{plain:?}");
    let colored = diagnostic.rendered(true).to_string();
    assert!(colored.len() > plain.len());
}

/// A machine where every key file and program exists, but for those whose names say something else.
struct AnyHost<'a> {
    /// What `drawn.key` has in it.
    drawn: &'a [u8],
}

impl Host for AnyHost<'_> {
    fn name(&self) -> String {
        "testhost".to_owned()
    }

    fn secret(&self, path: &Path) -> Result<Secret, KeyFileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Ok(Secret::new(match &*name {
            "missing.key" => return Err(KeyFileError::Missing),
            "exposed.key" => return Err(KeyFileError::Exposed { mode: 0o644 }),
            "long.key" => b"hunter2 hunter2 hunter2",
            "drawn.key" => self.drawn,
            "hmac.key" => b"hunter2 hunter2 hunter2 hunter2!\n",
            _ => b"hunter2\n",
        }))
    }

    fn program(&self, path: &Path) -> Result<(), ProgramError> {
        if path.ends_with("missing") { Err(ProgramError::Missing) } else { Ok(()) }
    }
}
