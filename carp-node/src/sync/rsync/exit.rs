//! What the end of an rsync means, and what follows.
//!
//! Its exit codes are blunt: a dead host gave 5, 12 or 255, depending on the moment. So they are sorted
//! into classes, and the last lines of its errors say the rest.

use serde::{Deserialize, Serialize};

use crate::runner;

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it, which this node did not send.
    Signal(i32),
    /// This node ended it: a promotion, a stop, another decision.
    Stopped,
    /// This node ended it, because it did not get on.
    Stuck,
}

impl Status {
    /// How a program of the runner ended, or why that is not known.
    pub(in crate::sync) fn of(outcome: runner::Outcome) -> Result<Self, String> {
        match outcome {
            runner::Outcome::Exited(code) => Ok(Self::Code(code)),
            runner::Outcome::Signaled(signal) => Ok(Self::Signal(signal)),
            runner::Outcome::TimedOut { .. } => Ok(Self::Stuck),
            runner::Outcome::Stopped { .. } => Ok(Self::Stopped),
            // As a shell says it.
            runner::Outcome::CouldNotStart(_) => Ok(Self::Code(127)),
            runner::Outcome::Lost(reason) => Err(reason),
        }
    }
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// The tree is complete.
    Complete,
    /// Files vanished while they were read. Complete only if the next pass is.
    Vanished,
    /// Some files could not be copied: the tree is not in sync.
    Partial,
    /// More files would have been deleted than the limit allows.
    MassDelete,
    /// The own disk is full.
    DiskFull,
    /// The own disk failed in another way.
    Disk,
    /// The own file system is read-only.
    ReadOnly,
    /// This node ended it.
    Stopped,
    /// No progress was made, and this node ended it.
    Stuck,
    /// Nobody answers.
    Unreachable,
    /// The peer's key is not the one that was agreed on.
    HostKey,
    /// The peer does not accept this node's key.
    Refused,
    /// The peer does not have the share, or does not let it be read so.
    Module,
    /// The folder of the share is not there on the peer.
    SourceMissing,
    /// The connection broke.
    Transport,
    /// A program is missing.
    Program,
    /// The call is wrong, or one of the two rsyncs does not know it.
    Setup,
    /// Something else.
    Other,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next pass comes at its time.
    Pace,
    /// Once more at once; if it ends the same, then as after [`Next::BackOff`].
    Again,
    /// Later, and later each time: [`Backoff`](crate::sync::pace::Backoff).
    BackOff,
    /// Not before somebody has looked; the reason says why.
    Hold(crate::sync::hold::HoldReason),
    /// Nothing: who stopped it knows what comes.
    Nothing,
}

impl Outcome {
    /// What a status and the last lines of the errors mean.
    #[must_use]
    pub fn of(status: Status, errors: &[u8]) -> Self {
        let code = match status {
            Status::Stopped => return Self::Stopped,
            Status::Stuck => return Self::Stuck,
            Status::Signal(_) => return Self::Other,
            Status::Code(code) => code,
        };
        let says = |what: &str| contains(errors, what.as_bytes());
        match code {
            0 => Self::Complete,
            24 => Self::Vanished,
            25 => Self::MassDelete,
            11 | 23 if says("No space left on device") || says("Disk quota exceeded") => {
                Self::DiskFull
            }
            11 | 23 if says("Read-only file system") => Self::ReadOnly,
            11 => Self::Disk,
            23 => Self::Partial,
            5 if says("@ERROR: chdir failed") => Self::SourceMissing,
            5 if says("Unknown module") || says("refusing") => Self::Module,
            5 | 10 | 12 | 14 | 30 | 35 | 255 => Self::transport(&says),
            1..=4 => Self::Setup,
            126 | 127 => Self::Program,
            _ => Self::Other,
        }
    }

    fn transport(says: &dyn Fn(&str) -> bool) -> Self {
        if says("Host key verification failed") || says("HOST IDENTIFICATION HAS CHANGED") {
            Self::HostKey
        } else if says("Permission denied (") || says("Too many authentication failures") {
            Self::Refused
        } else if says("Unknown module") {
            Self::Module
        } else if MISSING.iter().any(|what| says(what)) {
            Self::Program
        } else if UNREACHABLE.iter().any(|what| says(what)) {
            Self::Unreachable
        } else {
            Self::Transport
        }
    }

    /// What follows.
    #[must_use]
    pub const fn next(self) -> Next {
        use crate::sync::hold::HoldReason;
        match self {
            Self::Complete => Next::Pace,
            Self::Vanished => Next::Again,
            Self::MassDelete => Next::Hold(HoldReason::MassDelete),
            Self::ReadOnly => Next::Hold(HoldReason::ReadOnlyTarget),
            Self::SourceMissing => Next::Hold(HoldReason::SourceMarkerMissing),
            Self::Setup | Self::Module | Self::Program => Next::Hold(HoldReason::RsyncSetup),
            Self::Stopped => Next::Nothing,
            Self::Partial
            | Self::DiskFull
            | Self::Disk
            | Self::Stuck
            | Self::Unreachable
            | Self::HostKey
            | Self::Refused
            | Self::Transport
            | Self::Other => Next::BackOff,
        }
    }

    /// Whether connections that are kept open for the next call should be closed: after a cut they fail
    /// for some seconds more.
    #[must_use]
    pub const fn closes_connections(self) -> bool {
        match self {
            Self::Stuck | Self::Unreachable | Self::Transport | Self::HostKey | Self::Refused => {
                true
            }
            Self::Complete
            | Self::Vanished
            | Self::Partial
            | Self::MassDelete
            | Self::DiskFull
            | Self::Disk
            | Self::ReadOnly
            | Self::Stopped
            | Self::SourceMissing
            | Self::Module
            | Self::Program
            | Self::Setup
            | Self::Other => false,
        }
    }

    /// What is wrong, what to do, and in the words of what was said to it, why.
    pub(in crate::sync) fn told(self, errors: &[u8]) -> String {
        let said = telling_line(errors).map(|line| format!(": {line}")).unwrap_or_default();
        format!("{}{said}", self.message())
    }

    /// What is wrong, and what to do.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Complete => "the pass is complete",
            Self::Vanished => "files vanished during the pass; it is repeated",
            Self::Partial => {
                "some files could not be copied, and the copy is not in sync; `carp sync status` says which and why: let \
                 carp read them there and write them here, or exclude them"
            }
            Self::MassDelete => {
                "the pass would delete more files than the limit; if that is meant, `carp sync approve`"
            }
            Self::DiskFull => {
                "the disk of this node is full; the tree is as it was, and the pass is repeated when there is space"
            }
            Self::Disk => "this node's disk refused to be written; look at the kernel's log",
            Self::ReadOnly => {
                "the share is mounted read-only on this node; mount it writable, or look for errors of the disk"
            }
            Self::Stopped => "the pass was stopped by this node",
            Self::Stuck => {
                "the pass said nothing and did nothing for 30 s and was ended; it is repeated: if it goes on, look at the \
                 disks of both nodes"
            }
            Self::Unreachable => {
                "the peer cannot be reached over ssh; check its address, its sshd, and the network"
            }
            Self::HostKey => {
                "the peer's host key is not the one that was agreed on; if the peer was installed anew, \
                 run `carp sync pair` again, otherwise find out who answers there"
            }
            Self::Refused => {
                "the peer refuses this node's key; run there the command that `carp sync pair` prints here"
            }
            Self::Module => {
                "the peer does not offer this share; compare the names under [sync] on both nodes"
            }
            Self::SourceMissing => {
                "the folder of the share is not there on the peer, or may not be read by the login that copies"
            }
            Self::Transport => {
                "the connection to the peer broke; if it does again, look at the network, and at sshd and rsync there"
            }
            Self::Program => {
                "a program is missing: install rsync and openssh-client here, rsync on the peer"
            }
            // What to do stands in the hold that follows.
            Self::Setup => "rsync does not accept the call",
            Self::Other => {
                "rsync ended in an unexpected way, and the pass is repeated; `carp sync status` has its last lines, and \
                 `carp sync check` looks at rsync here, and is to be run on both nodes"
            }
        }
    }
}

/// How many files rsync left undeleted because of its limit; `None` if it does not say so.
#[must_use]
pub fn left(errors: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(errors);
    let (_, told) = text.split_once("--max-delete limit (")?;
    let (count, _) = told.split_once(" skipped")?;
    count.parse().ok()
}

/// What programs said, as text for people: their last [`ERRORS`] bytes, in whole lines if possible, and nothing that a
/// terminal would obey.
#[must_use]
pub fn readable(errors: &[u8]) -> String {
    let cut = errors.len().saturating_sub(ERRORS);
    let kept = errors.get(cut..).unwrap_or_default();
    let whole = match kept.iter().position(|byte| *byte == b'\n') {
        // The first line is the end of one.
        Some(end) if cut > 0 && end + 1 < kept.len() => kept.get(end + 1..).unwrap_or_default(),
        Some(_) | None => kept,
    };
    let text = String::from_utf8_lossy(whole).replace('\r', "");
    let shown = |char: char| if char.is_control() && char != '\n' { '\u{fffd}' } else { char };
    text.trim_end().chars().map(shown).collect()
}

/// How much of what programs say on standard error is kept.
pub const ERRORS: usize = 4096;

/// The line of the errors that says most: the last one that is not rsync's own summary of them.
fn telling_line(errors: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(errors);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let summary = |line: &&str| SUMMARIES.iter().any(|start| line.starts_with(start));
    lines().rfind(|line| !summary(line)).or_else(|| lines().next_back()).map(str::to_owned)
}

/// How lines begin with which rsync says only that something was said before.
const SUMMARIES: [&str; 6] = [
    "rsync error: ",
    "rsync: connection unexpectedly closed",
    "rsync: [Receiver] connection ",
    "rsync: [Receiver] write error: Broken pipe",
    "rsync: [Receiver] safe_write failed",
    "rsync: did not see server greeting",
];

/// What shells and rsync say of a program that is not there, here or on the peer.
const MISSING: [&str; 4] =
    ["command not found", "rsync: not found", "rsync: No such file or directory", "Failed to exec"];

/// What ssh and rsync say when nobody is there.
const UNREACHABLE: [&str; 7] = [
    "Connection refused",
    "Connection timed out",
    "Operation timed out",
    "No route to host",
    "Network is unreachable",
    "Could not resolve hostname",
    "Timeout, server",
];

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32, errors: &str) -> Outcome {
        Outcome::of(Status::Code(code), errors.as_bytes())
    }

    #[test]
    fn codes_and_words_are_sorted_into_classes() {
        for (code, errors, outcome) in [
            (0, "", Outcome::Complete),
            (24, "file has vanished: \"/x\"", Outcome::Vanished),
            (
                23,
                "rsync: send_files failed to open \"/x\": Permission denied (13)",
                Outcome::Partial,
            ),
            (25, "Deletions stopped due to --max-delete limit", Outcome::MassDelete),
            (11, "write failed on \"x\": No space left on device (28)", Outcome::DiskFull),
            (23, "mkstemp \"/x\" failed: Read-only file system (30)", Outcome::ReadOnly),
            (11, "", Outcome::Disk),
            (5, "@ERROR: Unknown module 'www'", Outcome::Module),
            (5, "@ERROR: chdir failed", Outcome::SourceMissing),
            (255, "Host key verification failed.", Outcome::HostKey),
            (255, "root@192.0.2.1: Permission denied (publickey).", Outcome::Refused),
            (
                255,
                "ssh: connect to host 192.0.2.1 port 22: Connection refused",
                Outcome::Unreachable,
            ),
            (12, "", Outcome::Transport),
            (30, "", Outcome::Transport),
            (255, "", Outcome::Transport),
            (12, "bash: rsync: command not found", Outcome::Program),
            (14, "rsync: Failed to exec ssh: No such file or directory (2)", Outcome::Program),
            (1, "rsync: unknown option", Outcome::Setup),
            (4, "", Outcome::Setup),
            (127, "", Outcome::Program),
            (99, "", Outcome::Other),
            (-1, "", Outcome::Other),
        ] {
            assert_eq!(of(code, errors), outcome, "{code} {errors}");
        }
        assert_eq!(Outcome::of(Status::Stuck, b""), Outcome::Stuck);
        assert_eq!(Outcome::of(Status::Stopped, b""), Outcome::Stopped);
        assert_eq!(Outcome::of(Status::Signal(9), b""), Outcome::Other);
    }

    #[test]
    fn the_line_that_says_most_is_told() {
        let said =
            b"Host key verification failed.\r\nrsync: connection unexpectedly closed (0 bytes)\n\
                     rsync error: error in rsync protocol data stream (code 12)\n\n";
        assert_eq!(telling_line(said).as_deref(), Some("Host key verification failed."));
        let daemon =
            b"Host key verification failed.\nrsync: did not see server greeting\nrsync error: x\n";
        assert_eq!(telling_line(daemon).as_deref(), Some("Host key verification failed."));
        let gone = b"rsync: [sender] link_stat \"/x\" failed: No such file or directory (2)\n\
                     rsync error: x\nrsync: [Receiver] write error: Broken pipe (32)\n\
                     rsync: [Receiver] safe_write failed to write 4 bytes to socket: Broken pipe (32)\n";
        assert!(telling_line(gone).is_some_and(|line| line.contains("link_stat")));
        assert_eq!(telling_line(b"rsync error: x\n").as_deref(), Some("rsync error: x"));
        assert_eq!(telling_line(b" \n"), None);
    }

    #[test]
    fn what_is_kept_of_errors_is_their_end_and_harms_no_terminal() {
        assert_eq!(readable(b"one\r\ntwo\n\n"), "one\ntwo");
        assert_eq!(readable(b"\x1b[2Jx\xff"), "\u{fffd}[2Jx\u{fffd}");
        assert_eq!(readable(b""), "");
        let many = format!("{}\nthe end\n", "a line\n".repeat(ERRORS));
        let kept = readable(many.as_bytes());
        assert!(kept.ends_with("a line\n\nthe end") && kept.starts_with("a line\n"), "{kept}");
        assert!(kept.len() <= ERRORS);
        assert_eq!(readable(&[b'x'; 2 * ERRORS]).len(), ERRORS, "one line without an end");
    }

    #[test]
    fn what_the_limit_left_is_counted() {
        let said = b"x\nDeletions stopped due to --max-delete limit (38 skipped)\nrsync error: y";
        assert_eq!(left(said), Some(38));
        for other in ["", "--max-delete limit (", "--max-delete limit (x skipped)"] {
            assert_eq!(left(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn only_a_complete_pass_goes_on_as_if_nothing_was() {
        for code in -1..=256 {
            let outcome = of(code, "");
            assert_eq!(outcome.next() == Next::Pace, code == 0, "{code} is {outcome:?}");
            assert!(!outcome.message().is_empty() && !outcome.message().ends_with('.'));
        }
    }
}
