//! The command lines.
//!
//! Each option has a reason:
//!
//! | option | why |
//! |---|---|
//! | `-aHSAX --numeric-ids` | the tree as it is: owners, modes, hard links, holes, and, unless switched off, access lists and extended attributes |
//! | `--modify-window=-1` | times to the nanosecond: else the second edit of a second may never be copied |
//! | `--delete-delay --delay-updates` | the tree is as before until everything is here; a pass that is cut off changed nothing |
//! | `--partial-dir` | what was received of a large file is used by the next pass |
//! | `--max-delete` | a bound. It is no guard by itself: it deletes as many, and then stops |
//! | `--timeout` | for the daemon's side. A pull over ssh needs ssh's keepalive and our own watchdog too |
//! | `--outbuf=L --no-h --info --out-format` | what [`output`](super::output) reads |

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::version::Rsync;
use crate::sync::guards::marker::MARKER;

/// Where a pass keeps what it has received of files, in each directory of the share.
pub const PARTIAL_DIR: &str = ".sync-partial";

/// How the lines begin that are about a file.
pub const ITEM_PREFIX: &str = "@I|";

/// How long rsync waits for the other side, in seconds.
const TIMEOUT: u32 = 20;

/// The longest record or marker file that is fetched, in bytes.
const FILE_LEN: u32 = 1 << 20;

/// The highest number that rsync takes: as good as no limit.
const MOST_DELETES: u64 = (1 << 31) - 1;

/// The environment of every rsync: its messages are read.
pub const ENVIRONMENT: [(&str, &str); 1] = [("LC_ALL", "C")];

/// Where from, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// The program: `rsync`, or where it is.
    pub program: OsString,
    /// The peer's name or address. Whose login it is, is for ssh's configuration to say.
    pub host: String,
    /// The remote shell and its arguments; see [`ssh::command`](super::ssh::command).
    pub rsh: Vec<OsString>,
}

/// A pass over a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pass {
    /// Where from.
    pub remote: Remote,
    /// The module on the peer: the name of the share.
    pub module: String,
    /// The own root: a real path, no symbolic link in it.
    pub path: PathBuf,
    /// What is done with what differs.
    pub care: Care,
    /// At most so many files are deleted; `u64::MAX` after the operator has approved.
    pub max_delete: u64,
    /// Access lists and extended attributes too. They are the expensive part of a pass.
    pub attributes: bool,
    /// KiB a second; `None`: as fast as it goes.
    pub bandwidth: Option<u32>,
    /// Compress what crosses the network.
    pub compress: bool,
    /// What is not copied and not deleted, in rsync's patterns.
    pub exclude: Vec<OsString>,
}

/// What a pass does with what differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Care {
    /// It is replaced or deleted.
    Replace,
    /// It is moved into this directory, which is on the same file system and outside of the share.
    Rescue(PathBuf),
    /// It is told, and nothing is done.
    DryRun,
}

impl Pass {
    /// The command line, program first.
    #[must_use]
    pub fn argv(&self, rsync: &Rsync) -> Vec<OsString> {
        let mut argv = Argv::of(&self.remote);
        argv.add("-aHS");
        if self.attributes {
            argv.add_if(rsync.acls, "-A");
            argv.add_if(rsync.xattrs, "-X");
        }
        for option in ["--numeric-ids", "--modify-window=-1", "--delete-delay", "--delay-updates"] {
            argv.add(option);
        }
        argv.add(format!("--partial-dir={PARTIAL_DIR}"));
        argv.add(format!("--max-delete={}", self.max_delete.min(MOST_DELETES)));
        argv.add("--no-h");
        argv.add("--outbuf=L");
        argv.add("--info=progress2,stats2,flist0");
        argv.add(format!("--out-format={ITEM_PREFIX}%i|%l|%n"));
        match &self.care {
            Care::Replace => {}
            Care::Rescue(directory) => {
                argv.add("--backup");
                argv.add(option("--backup-dir=", directory.as_os_str()));
            }
            Care::DryRun => argv.add("--dry-run"),
        }
        if let Some(limit) = self.bandwidth {
            argv.add(format!("--bwlimit={limit}"));
        }
        if self.compress {
            argv.add("-z");
            // Named since 3.2.0, and only if it was built in; otherwise zlib.
            argv.add_if(rsync.zstd, "--zc=zstd");
            argv.add_if(rsync.zstd, "--zl=3");
        }
        if !self.exclude.is_empty() {
            // The first pattern that fits counts: none of them may keep the marker back.
            argv.add(option("--include=/", OsStr::new(MARKER)));
        }
        for pattern in &self.exclude {
            argv.add(option("--exclude=", pattern));
        }
        // With the dot at its end, a folder that vanished a moment ago (its disk, most likely) is not made anew.
        argv.copying(&self.remote, &self.module, "", &self.path.join("."))
    }
}

/// One file: the marker of a share, or the peer's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Where from.
    pub remote: Remote,
    /// The module on the peer.
    pub module: String,
    /// The name in it.
    pub file: String,
    /// The file that is written.
    pub to: PathBuf,
}

impl Fetch {
    /// The command line, program first. Times are not trusted: the file is always read.
    #[must_use]
    pub fn argv(&self) -> Vec<OsString> {
        let mut argv = Argv::of(&self.remote);
        argv.add("--ignore-times");
        argv.add(format!("--max-size={FILE_LEN}"));
        argv.copying(&self.remote, &self.module, &self.file, &self.to)
    }
}

struct Argv(Vec<OsString>);

impl Argv {
    fn of(remote: &Remote) -> Self {
        let mut argv = Self(vec![remote.program.clone()]);
        argv.add("--no-motd");
        argv.add(format!("--timeout={TIMEOUT}"));
        argv.add(option("--rsh=", &shell(&remote.rsh)));
        argv
    }

    fn add(&mut self, argument: impl Into<OsString>) {
        self.0.push(argument.into());
    }

    fn add_if(&mut self, condition: bool, argument: &str) {
        if condition {
            self.add(argument);
        }
    }

    fn copying(mut self, remote: &Remote, module: &str, file: &str, to: &Path) -> Vec<OsString> {
        // An address of IPv6 has colons of its own.
        let bare = remote.host.trim_matches(['[', ']']);
        let host = if bare.contains(':') { format!("[{bare}]") } else { remote.host.clone() };
        self.add("--");
        self.add(format!("{host}::{module}/{file}"));
        self.add(to);
        self.0
    }
}

fn option(name: &str, value: &OsStr) -> OsString {
    let mut option = OsString::from(name);
    option.push(value);
    option
}

/// A remote shell as rsync splits it: at spaces, unless they are quoted; a doubled quote is a quote.
fn shell(argv: &[OsString]) -> OsString {
    let mut text = Vec::new();
    for argument in argv {
        if !text.is_empty() {
            text.push(b' ');
        }
        let bytes = argument.as_bytes();
        let plain = !bytes.is_empty() && !bytes.iter().any(|byte| b" '\"".contains(byte));
        if plain {
            text.extend_from_slice(bytes);
            continue;
        }
        text.push(b'\'');
        for &byte in bytes {
            text.push(byte);
            if byte == b'\'' {
                text.push(byte);
            }
        }
        text.push(b'\'');
    }
    OsString::from_vec(text)
}

#[cfg(test)]
mod tests {
    use super::super::version::OLDEST;
    use super::*;

    const FULL: Rsync = Rsync { version: OLDEST, acls: true, xattrs: true, zstd: true };

    fn pass(care: Care) -> Pass {
        Pass {
            remote: Remote {
                program: "rsync".into(),
                host: "192.0.2.1".into(),
                rsh: ["ssh", "-F", "/run/carp/ssh config"].map(OsString::from).into(),
            },
            module: "www".into(),
            path: "/var/www".into(),
            care,
            max_delete: 100,
            attributes: true,
            bandwidth: None,
            compress: false,
            exclude: vec!["/cache/".into()],
        }
    }

    fn text(argv: &[OsString]) -> String {
        argv.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_pass_has_these_options() {
        assert_eq!(
            text(&pass(Care::Replace).argv(&FULL)),
            "rsync --no-motd --timeout=20 --rsh=ssh -F '/run/carp/ssh config' -aHS -A -X --numeric-ids \
             --modify-window=-1 --delete-delay --delay-updates --partial-dir=.sync-partial \
             --max-delete=100 --no-h --outbuf=L --info=progress2,stats2,flist0 \
             --out-format=@I|%i|%l|%n --include=/.share-id --exclude=/cache/ -- 192.0.2.1::www/ /var/www/."
        );
    }

    #[test]
    fn a_pass_with_rescue_keeps_and_a_dry_run_does_nothing() {
        let rescue = text(&pass(Care::Rescue("/var/.rescue/www/x".into())).argv(&FULL));
        assert!(rescue.contains(" --backup --backup-dir=/var/.rescue/www/x "), "{rescue}");
        let dry = text(&pass(Care::DryRun).argv(&FULL));
        assert!(dry.contains(" --dry-run "), "{dry}");
        assert!(!dry.contains("--backup"), "{dry}");
    }

    #[test]
    fn what_an_rsync_cannot_do_is_not_asked_of_it() {
        let poor = Rsync { version: OLDEST, acls: false, xattrs: false, zstd: false };
        let pass = Pass { compress: true, bandwidth: Some(2000), ..pass(Care::Replace) };
        let argv = text(&pass.argv(&poor));
        assert!(argv.contains(" --bwlimit=2000 -z "), "{argv}");
        assert!(!argv.contains(" -A") && !argv.contains(" -X") && !argv.contains("zstd"), "{argv}");
        assert!(text(&pass.argv(&FULL)).contains(" -z --zc=zstd --zl=3 "));
        let plain = Pass { attributes: false, ..pass };
        assert!(!text(&plain.argv(&FULL)).contains(" -A "));
    }

    #[test]
    fn a_limit_that_rsync_cannot_read_is_the_highest_that_it_can() {
        let pass = Pass { max_delete: u64::MAX, ..pass(Care::Replace) };
        assert!(text(&pass.argv(&FULL)).contains(" --max-delete=2147483647 "));
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        for host in ["2001:db8::1", "[2001:db8::1]"] {
            let mut pass = pass(Care::Replace);
            pass.remote.host = host.into();
            assert!(text(&pass.argv(&FULL)).contains(" [2001:db8::1]::www/ "), "{host}");
        }
    }

    #[test]
    fn a_file_is_fetched_without_belief_in_its_time() {
        let remote = pass(Care::Replace).remote;
        let fetch =
            Fetch { remote, module: "www".into(), file: ".share-id".into(), to: "/tmp/x".into() };
        assert!(
            text(&fetch.argv())
                .ends_with("--ignore-times --max-size=1048576 -- 192.0.2.1::www/.share-id /tmp/x")
        );
    }

    #[test]
    fn quotes_and_spaces_of_a_remote_shell_survive() {
        let words = ["a", "b c", "d'e", "", "f\"g"].map(OsString::from);
        assert_eq!(shell(&words).to_str(), Some("a 'b c' 'd''e' '' 'f\"g'"));
    }
}
