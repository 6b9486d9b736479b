//! The processes of a group, as `/proc` shows them: whether any lives, and whether they work.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// What a group of processes has done since they were started. What the system does not tell counts as nothing, and
/// what processes did that have gone may count no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// How long they have had a processor.
    pub cpu: Duration,
    /// Bytes that were read from disks or written to them.
    pub disk: u64,
    /// Bytes that the program itself has read, from wherever: not what its helpers of other names read, such as a
    /// remote shell, which hears from the other end whether that works or not.
    pub read: u64,
}

/// What the processes of a group have done; `name` is that of the program that leads it.
pub(super) fn of_group(group: i32, name: &OsStr) -> Work {
    let mut work = Work::default();
    for process in members(group).unwrap_or_default() {
        // One that has gone meanwhile has done nothing.
        let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
        let io = read("io");
        work.cpu += cpu_of(&read("stat"));
        work.disk += field(&io, "read_bytes:") + field(&io, "write_bytes:");
        if read("comm").trim_ascii_end() == shown_name(name) {
            work.read += field(&io, "rchar:");
        }
    }
    work
}

/// The kernel keeps 15 bytes of a program's name.
fn shown_name(program: &OsStr) -> &[u8] {
    let name = Path::new(program).file_name().unwrap_or(program).as_bytes();
    name.get(..15).unwrap_or(name)
}

/// The number behind a name in `/proc/PID/io`.
fn field(io: &[u8], name: &str) -> u64 {
    let io = String::from_utf8_lossy(io);
    let value = io.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// The processor's time in `/proc/PID/stat`: the process's own, and that of its children that were waited for.
fn cpu_of(stat: &[u8]) -> Duration {
    /// Where they are, counted from the state, which is the first after the name.
    const TIMES: std::ops::RangeInclusive<usize> = 11..=14;
    let ticks = after_name(stat)
        .split_ascii_whitespace()
        .enumerate()
        .filter(|(place, _)| TIMES.contains(place))
        .filter_map(|(_, field)| field.parse::<u64>().ok())
        .sum::<u64>();
    Duration::from_secs(ticks) / tick_rate()
}

/// Ticks in a second.
fn tick_rate() -> u32 {
    u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100).max(1)
}

/// Whether any process of a group is there that is more than a remembered exit status. Those whose parent
/// is not this process are reaped by another one, whenever it gets round to it.
pub(crate) fn group_lives(group: i32) -> bool {
    let Some(pid) = Pid::from_raw(group) else { return false };
    if rustix::process::test_kill_process_group(pid) == Err(Errno::SRCH) {
        return false;
    }
    members(group).map_or(true, |found| !found.is_empty())
}

/// The directories of the living processes of a group.
fn members(group: i32) -> io::Result<Vec<PathBuf>> {
    let own_numbers = shows_own_numbers();
    let is_member = |path: &PathBuf| {
        // One that has gone meanwhile does not live.
        let read = |file: &str| fs::read(path.join(file));
        let name = path.file_name().unwrap_or_default().as_bytes();
        if !name.first().is_some_and(u8::is_ascii_digit) {
            return false;
        }
        if own_numbers {
            return read("stat").is_ok_and(|stat| lives_in(&stat, group));
        }
        read("status").is_ok_and(|status| lives_in_nested(&status, group))
            && is_of_this_namespace(path)
    };
    let paths = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
    Ok(paths.filter(is_member).collect())
}

/// Whether `/proc` has the numbers that this process knows others by. It has others where it belongs to a PID
/// namespace around this one's: then the same number is of somebody else.
fn shows_own_numbers() -> bool {
    fs::read_link("/proc/self").is_ok_and(|it| it.as_os_str() == &*std::process::id().to_string())
}

/// Whether `/proc/PID/stat` is of a living process of this group: the state and the group come after the
/// name, which may contain anything.
fn lives_in(stat: &[u8], group: i32) -> bool {
    let rest = after_name(stat);
    let mut fields = rest.split_ascii_whitespace();
    let (state, _parent, found) = (fields.next(), fields.next(), fields.next());
    found.and_then(|found| found.parse::<i32>().ok()) == Some(group)
        && !matches!(state, Some("Z" | "X" | "x"))
}

/// The same of `/proc/PID/status`, by the group's number in the process's own namespace, which comes last.
fn lives_in_nested(status: &[u8], group: i32) -> bool {
    let status = String::from_utf8_lossy(status);
    let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
    let state = value("State:").and_then(|it| it.trim_start().chars().next());
    let found = value("NSpgid:").and_then(|it| it.split_ascii_whitespace().last());
    found.and_then(|found| found.parse::<i32>().ok()) == Some(group)
        && !matches!(state, Some('Z' | 'X' | 'x'))
}

/// Whether a process is in the PID namespace of this one; one that does not say it is taken for one that is.
fn is_of_this_namespace(process: &Path) -> bool {
    let namespace = |process: &Path| fs::read_link(process.join("ns/pid"));
    let (theirs, own) = (namespace(process), namespace(Path::new("/proc/self")));
    match theirs {
        Ok(theirs) => own.map_or(true, |own| own == theirs),
        // One that has gone meanwhile has none.
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// What comes after the name, in which anything may stand.
fn after_name(stat: &[u8]) -> String {
    let end = stat.iter().rposition(|byte| *byte == b')').map_or(stat.len(), |end| end + 1);
    String::from_utf8_lossy(stat.get(end..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_does_not_live_and_a_name_does_not_confuse() {
        let lives = |stat: &[u8]| lives_in(stat, 42);
        assert!(lives(b"7 (rsync) S 1 42 42 0"));
        assert!(lives(b"7 (a) Z 1 42) R 1 42 42 0"));
        assert!(!lives(b"7 (rsync) Z 1 42 42 0"));
        assert!(!lives(b"7 (rsync) S 1 43 42 0"));
        assert!(!lives(b""));
    }

    #[test]
    fn where_proc_has_other_numbers_the_group_is_known_by_its_own() {
        let lives = |status: &[u8]| lives_in_nested(status, 42);
        assert!(lives(b"Name:\trsync\nState:\tS (sleeping)\nNSpgid:\t1042\t42\n"));
        assert!(!lives(b"Name:\trsync\nState:\tS (sleeping)\nNSpgid:\t42\t7\n"));
        assert!(!lives(b"Name:\trsync\nState:\tZ (zombie)\nNSpgid:\t1042\t42\n"));
        assert!(!lives(b""));
    }

    #[test]
    fn what_a_process_has_done_is_read_from_what_the_kernel_shows() {
        let stat = b"7 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 100 50 7 3 20 0 1 0";
        assert_eq!(cpu_of(stat), Duration::from_secs(160) / tick_rate());
        assert_eq!(cpu_of(b""), Duration::ZERO);
        let io = b"rchar: 323934931\nwchar: 5\nread_bytes: 4096\nwrite_bytes: 8192\n";
        assert_eq!((field(io, "rchar:"), field(io, "read_bytes:")), (323_934_931, 4096));
        assert_eq!(field(b"rchar: many", "rchar:"), 0);
        assert_eq!(shown_name(OsStr::new("/usr/bin/rsync")), b"rsync");
        assert_eq!(shown_name(OsStr::new("a-very-long-name-indeed")), b"a-very-long-nam");
    }

    #[test]
    fn the_own_group_lives_and_has_worked() {
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        assert!(group_lives(group));
        let before = of_group(group, OsStr::new("none of us"));
        assert_eq!(before.read, 0, "of the others only");
        let own = fs::read("/proc/self/comm").unwrap();
        let own = OsStr::from_bytes(own.trim_ascii_end());
        let before = of_group(group, own);
        fs::read("/proc/self/exe").unwrap();
        assert!(of_group(group, own).read > before.read, "{before:?}");
    }
}
