//! Making two nodes known to each other: a key that can only read, the other node's host key, and the line that
//! lets the other node's key in.
//!
//! Each node makes a key of its own, which never leaves it. What crosses is public: the line for
//! `authorized_keys`, and the host key, whose fingerprint somebody compares once. After that ssh learns
//! nothing by itself.

use std::fs::{self, DirBuilder};
use std::io::{self, Write as _};
use std::net::{IpAddr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use thiserror::Error;

use super::files;
use super::rsync::ssh::{self, TextError};
use crate::config::SyncSpec;
use crate::state::{Durability, replace};

/// The port of ssh.
const SSH_PORT: u16 = 22;

/// How long the peer may take to tell its host key, in seconds.
const SCAN_LIMIT: &str = "5";

/// The Debian package of ssh's programs.
const PACKAGE: &str = "openssh-client";

/// Why two nodes could not be made known to each other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PairError {
    /// A program is not installed.
    #[error("{program} is not installed; install the package `{PACKAGE}`")]
    Missing {
        /// The program.
        program: &'static str,
    },
    /// A program did not do its work.
    #[error("{program} did not do its work: {said}; call it by hand to see more")]
    Program {
        /// The program.
        program: &'static str,
        /// Its last words.
        said: String,
    },
    /// Nobody told a host key.
    #[error("{host} tells no host key: is it up, and does sshd listen on port 22?")]
    Unreachable {
        /// The host.
        host: String,
    },
    /// The peer has another host key than the one that was agreed on.
    #[error(
        "the host key of {host} is not the one in {}: if {host} was installed anew, remove its lines there and \
         pair again; otherwise find out who answers", .file.display()
    )]
    Changed {
        /// The host.
        host: String,
        /// Where the known one is.
        file: PathBuf,
    },
    /// The line is not one that another node has printed.
    #[error("{0}; give the line that `carp sync pair` printed on the other node")]
    Line(TextError),
    /// A path or a key that cannot be written.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No such user.
    #[error(
        "there is no user {0:?} here, as whom the peer would log in; make one with \
         `useradd --system --create-home --shell /bin/sh {0}`, or name another one in `peer` on both nodes"
    )]
    User(String),
    /// The user's shell runs no command.
    #[error(
        "the user {user:?} has the shell {shell}, which runs no command; make a user for this with \
         `useradd --system --create-home --shell /bin/sh carp-sync`, and name it in `peer` on both nodes"
    )]
    Shell {
        /// The user.
        user: String,
        /// The shell.
        shell: String,
    },
    /// The system refused.
    #[error("{}: {}", .path.display(), crate::remedy::Told(source))]
    System {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl Fn(io::Error) -> PairError + '_ {
    move |source| PairError::System { path: path.to_owned(), source }
}

/// The files of a node that concern its peer.
#[derive(Clone, Debug)]
pub struct Desk {
    /// `STATE_DIR/sync`.
    pub directory: PathBuf,
}

/// A host key that a peer has told, and nobody has compared yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Lines for `known_hosts`.
    lines: String,
    /// Its fingerprints, as `ssh-keygen -l` writes them: a line a key.
    pub fingerprints: Vec<String>,
    /// Whether it is known already.
    pub known: bool,
}

impl HostKey {
    /// Whether a fingerprint, `SHA256:…`, is one of these.
    #[must_use]
    pub fn has(&self, fingerprint: &str) -> bool {
        let mut words = self.fingerprints.iter().flat_map(|line| line.split(' '));
        words.any(|word| word.starts_with("SHA256:") && word == fingerprint.trim())
    }
}

impl Desk {
    /// The desk in a state directory; makes what is missing, and what the peer's key runs.
    ///
    /// # Errors
    /// [`PairError::System`]: only root may do that.
    pub fn open(state_dir: &Path, shares: &[SyncSpec]) -> Result<Self, PairError> {
        let directory = state_dir.join("sync");
        files::offer(&directory, shares, Durability::Lasting).map_err(at(&directory))?;
        Ok(Self { directory })
    }

    /// This node's public key; makes the pair of keys if there is none.
    ///
    /// # Errors
    /// Any [`PairError`] of `ssh-keygen`.
    pub fn public_key(&self, node: &str) -> Result<String, PairError> {
        let key = self.directory.join("id_ed25519");
        let public = self.directory.join("id_ed25519.pub");
        if !key.exists() {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C"]).arg(format!("carp-sync@{node}"));
            keygen.arg("-f").arg(&key);
            run("ssh-keygen", &mut keygen, None)?;
        }
        fs::read_to_string(&public).map(|text| text.trim().to_owned()).map_err(at(&public))
    }

    /// Asks the peer for its host key.
    ///
    /// # Errors
    /// [`PairError::Unreachable`]; [`PairError::Changed`] if another one is known; what else a program said.
    pub fn host_key(&self, host: &str) -> Result<HostKey, PairError> {
        let mut scan = Command::new("ssh-keyscan");
        scan.args(["-T", SCAN_LIMIT, "-t", "ed25519,ecdsa,rsa", "--", host]);
        let output = run("ssh-keyscan", &mut scan, None);
        let unreachable = || PairError::Unreachable { host: host.to_owned() };
        let output = match output {
            Err(PairError::Program { .. }) => return Err(unreachable()),
            output => output?,
        };
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut told: Vec<&str> =
            told.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        told.sort_unstable();
        if told.is_empty() {
            return Err(unreachable());
        }
        let lines: String = told.iter().map(|line| format!("{line}\n")).collect();
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-l", "-f", "-"]);
        let output = run("ssh-keygen", &mut keygen, Some(&lines))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let file = self.directory.join("known_hosts");
        let known = match fs::read_to_string(&file) {
            Ok(known) => known,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(at(&file)(error)),
        };
        let known = standing(&known, host, &told);
        if known == Standing::Changed {
            return Err(PairError::Changed { host: host.to_owned(), file });
        }
        Ok(HostKey {
            lines,
            fingerprints: text.lines().map(str::to_owned).collect(),
            known: known == Standing::Known,
        })
    }

    /// From now on this is the peer's host key.
    ///
    /// # Errors
    /// [`PairError::System`].
    pub fn trust(&self, key: &HostKey) -> Result<(), PairError> {
        if key.known {
            return Ok(());
        }
        let file = self.directory.join("known_hosts");
        let mut text = fs::read_to_string(&file).unwrap_or_default();
        text.push_str(&key.lines);
        replace(&file, text.as_bytes(), Durability::Lasting).map_err(at(&file))
    }

    /// The line that lets `key` in as `user`, on a node whose state directory is where this node's is. `from` is the
    /// address that the other node connects from.
    ///
    /// # Errors
    /// [`TextError`].
    pub fn line(&self, key: &str, from: IpAddr, user: &str) -> Result<String, TextError> {
        ssh::authorized_keys_line(key, from, &files::conf_for(&self.directory, user))
    }

    /// Lets another node's key in for reading, as `user`: the line of that node is taken apart, and put together
    /// again here, so that it allows no more than it has to. Whether the file was changed.
    ///
    /// # Errors
    /// [`PairError::Line`], [`PairError::User`], [`PairError::Shell`], [`PairError::System`].
    pub fn authorize(&self, line: &str, user: &str) -> Result<(PathBuf, bool), PairError> {
        let (from, key) = take_apart(line).map_err(PairError::Line)?;
        let line = self.line(&key, from, user).map_err(PairError::Line)?;
        let home = Home::of(user)?;
        let file = home.directory.join(".ssh/authorized_keys");
        let directory = home.directory.join(".ssh");
        if !directory.exists() {
            DirBuilder::new().mode(0o700).create(&directory).map_err(at(&directory))?;
            home.give(&directory).map_err(at(&directory))?;
        }
        let before = match fs::read_to_string(&file) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(at(&file)(error)),
        };
        let body = key.split(' ').nth(1).unwrap_or_default();
        let mut kept: Vec<&str> = before.lines().filter(|it| !it.contains(body)).collect();
        kept.push(&line);
        let after: String = kept.iter().map(|line| format!("{line}\n")).collect();
        if after == before {
            return Ok((file, false));
        }
        replace(&file, after.as_bytes(), Durability::Lasting)
            .and_then(|()| home.give(&file))
            .map_err(at(&file))?;
        Ok((file, true))
    }
}

/// The address from which this node reaches a host: its own, as the kernel would choose it.
///
/// # Errors
/// What the system said, also if the name has no address.
pub fn own_address(host: &str) -> io::Result<IpAddr> {
    let missing = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let peer = (host, SSH_PORT).to_socket_addrs()?.next().ok_or_else(missing)?;
    let any: IpAddr = match peer.ip() {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    // Nothing is sent: connecting only looks up the route.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

/// How the keys that a host tells stand to those that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    New,
    Known,
    Changed,
}

/// Lines of `known_hosts` for `host`, and what it tells now. One that tells more kinds of keys than before, or
/// fewer, is the same; one that tells another key of a kind is not.
fn standing(known: &str, host: &str, told: &[&str]) -> Standing {
    let kind_and_key = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let names = words.next()?;
        if !names.split(',').any(|name| name == host) {
            return None;
        }
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    let known: Vec<_> = known.lines().filter_map(kind_and_key).collect();
    let told: Vec<_> = told.iter().filter_map(|line| kind_and_key(line)).collect();
    if known.is_empty() {
        return Standing::New;
    }
    let other = |(kind, key): &(String, String)| known.iter().any(|(k, it)| k == kind && it != key);
    if told.iter().any(other) || !told.iter().any(|it| known.contains(it)) {
        Standing::Changed
    } else {
        Standing::Known
    }
}

/// The address and the public key in a line that another node has printed.
fn take_apart(line: &str) -> Result<(IpAddr, String), TextError> {
    let line = line.trim();
    let from = line.split_once("from=\"").and_then(|(_, rest)| rest.split_once('"'));
    let from = from.and_then(|(from, _)| from.parse().ok()).ok_or(TextError::Key)?;
    let key = line.rsplit_once("\" ").map(|(_, key)| key.to_owned()).ok_or(TextError::Key)?;
    Ok((from, key))
}

/// Where a user's files are, and whose.
struct Home {
    directory: PathBuf,
    owner: (u32, u32),
}

impl Home {
    fn of(user: &str) -> Result<Self, PairError> {
        let passwd = Path::new("/etc/passwd");
        let text = fs::read_to_string(passwd).map_err(at(passwd))?;
        let home = text.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
            let owner = (uid.parse().ok()?, gid.parse().ok()?);
            let home = Self { directory: PathBuf::from(home), owner };
            (*name == user).then(|| (home, (*shell).to_owned()))
        });
        let (home, shell) = home.ok_or_else(|| PairError::User(user.to_owned()))?;
        // Debian's own user `sync` is one of these.
        match shell.rsplit('/').next() {
            Some("nologin" | "false" | "true" | "sync" | "halt" | "shutdown") => {
                Err(PairError::Shell { user: user.to_owned(), shell })
            }
            _ => Ok(home),
        }
    }

    fn give(&self, path: &Path) -> io::Result<()> {
        let file = fs::metadata(path)?;
        if (file.uid(), file.gid()) == self.owner {
            return Ok(());
        }
        std::os::unix::fs::chown(path, Some(self.owner.0), Some(self.owner.1))
    }
}

/// Runs a program to its end, with this on its standard input.
fn run(
    program: &'static str,
    command: &mut Command,
    input: Option<&str>,
) -> Result<Output, PairError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => PairError::Missing { program },
        _ => PairError::Program { program, said: error.to_string() },
    };
    let mut child = command.spawn().map_err(failed)?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        // One that has ended says why itself.
        let _ = stdin.write_all(text.as_bytes());
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(PairError::Program { program, said: last.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKey carp-sync@one";

    fn desk() -> Desk {
        Desk { directory: "/var/lib/carp/sync".into() }
    }

    #[test]
    fn a_line_is_taken_apart_and_put_together_the_same() {
        let line = desk().line(KEY, "192.0.2.1".parse().unwrap(), "root").unwrap();
        let (from, key) = take_apart(&line).unwrap();
        assert_eq!((from.to_string().as_str(), key.as_str()), ("192.0.2.1", KEY));
    }

    #[test]
    fn a_line_cannot_bring_more_than_a_key() {
        let more = format!("from=\"192.0.2.1\",command=\"/bin/sh\",pty {KEY}");
        // Without the quote before the key it is no line of ours.
        assert!(take_apart(&more).is_err());
        let more = format!("from=\"192.0.2.1\",pty,command=\"/bin/sh\" {KEY}");
        let (from, key) = take_apart(&more).unwrap();
        let line = desk().line(&key, from, "root").unwrap();
        assert!(line.starts_with("restrict,") && !line.contains("/bin/sh"), "{line}");
        for bad in ["", KEY, "from=\"anywhere\" ssh-ed25519 AAAA", "from=\"192.0.2.1\""] {
            assert!(take_apart(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_host_is_new_known_or_changed() {
        let known = "h ssh-ed25519 AAAA1\nother ssh-ed25519 AAAA2\n";
        assert_eq!(standing(known, "h", &["h ssh-ed25519 AAAA1"]), Standing::Known);
        assert_eq!(standing(known, "h", &["h ssh-ed25519 AAAA1", "h ssh-rsa B"]), Standing::Known);
        assert_eq!(standing(known, "h", &["h ssh-ed25519 AAAA9"]), Standing::Changed);
        assert_eq!(standing(known, "h", &["h ssh-rsa B"]), Standing::Changed);
        assert_eq!(standing(known, "new", &["new ssh-ed25519 AAAA1"]), Standing::New);
    }

    #[test]
    fn a_fingerprint_has_to_be_the_whole_one() {
        let key = HostKey {
            lines: String::new(),
            fingerprints: vec!["256 SHA256:abc h (ED25519)".into()],
            known: false,
        };
        assert!(key.has("SHA256:abc") && key.has(" SHA256:abc\n"));
        assert!(!key.has("SHA256:ab") && !key.has("h") && !key.has(""));
    }
}
