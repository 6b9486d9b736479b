//! The guard's own life: settle down, watch, act once, leave.

use std::fs;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use carp_proto::Instant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use rustix::process::{Signal, pidfd_send_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

use super::act::{Hands, Tally};
use super::board::{self, Board, Kind, Shape};
use super::judge::{Judge, Verdict};
use super::{HELLO, sys};
use crate::clock::boot_time;

/// What it needs for addresses and adverts.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// The time between the two copies of a resignation.
const REPEAT: Duration = Duration::from_millis(10);

/// How long to wait for the end of a daemon that was killed before the addresses go. It takes longer
/// only if the kernel itself is stuck in something that the daemon asked for.
const DEATH: Duration = Duration::from_millis(100);

/// The words of a board for the rehearsal.
const PRACTICE: usize = 96;

/// A netlink request that asks for nothing: its length, `NLMSG_NOOP`, and no flags.
const NOTHING: [u8; 16] = {
    let mut request = [0; 16];
    let (len, kind) = (16_u32.to_ne_bytes(), 1_u16.to_ne_bytes());
    (request[0], request[1], request[2], request[3]) = (len[0], len[1], len[2], len[3]);
    (request[4], request[5]) = (kind[0], kind[1]);
    request
};

/// The longest line of the report.
const LINE: usize = 256;

/// Guards until there is nothing to guard; the exit code of the process.
pub(super) fn serve() -> i32 {
    let served = Guard::settle().map(|guard| {
        if let Some(trigger) = guard.watch() {
            guard.act(trigger);
        }
    });
    match served {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("carp-guard: {error}");
            1
        }
    }
}

/// What was handed over, and what was made of it.
struct Guard {
    memory: sys::Mapping,
    daemon: OwnedFd,
    wake: OwnedFd,
    hands: Hands,
}

/// Why it acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trigger {
    Dead,
    Hung,
}

/// What woke it.
#[derive(Clone, Copy, Debug)]
struct Woken {
    /// The daemon has ended.
    dead: bool,
    /// The daemon's end of the line is closed. The kernel closes what a process had open before it says
    /// that the process has ended, and closing packet sockets may take tens of milliseconds.
    hung_up: bool,
}

impl Guard {
    /// Cuts what ties this process to its origin, opens and locks what it needs, gives up the rest, and
    /// says hello.
    fn settle() -> io::Result<Self> {
        sys::ignore_signals();
        sys::close_from(3);
        rustix::process::setsid()?;
        rustix::thread::set_name(c"carp-guard")?;
        std::env::set_current_dir("/")?;
        // The kernel should not choose the one that is there for when it has to choose.
        let _ = fs::write("/proc/self/oom_score_adj", "-1000");
        let [file, daemon, wake] = receive_files()?;
        let bytes = usize::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        let memory = sys::Mapping::new(file.as_fd(), bytes / size_of::<u64>())?;
        // What is mapped needs no descriptor.
        drop(file);
        let guard = Self { memory, daemon, wake, hands: Hands::open()? };
        let board = guard.board()?;
        // What is touched once is in memory, and stays there where it may be locked.
        guard.rehearse();
        board.set_locked(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT).is_ok());
        give_up_privileges()?;
        rustix::net::send(io::stdin(), HELLO, SendFlags::NOSIGNAL)?;
        Ok(guard)
    }

    fn board(&self) -> io::Result<Board<'_>> {
        Board::new(&self.memory).ok_or_else(|| io::Error::other("there is no board to read"))
    }

    /// Goes the whole way once, with a request that asks for nothing and packets that go nowhere.
    fn rehearse(&self) {
        let practice = [const { AtomicU64::new(0) }; PRACTICE];
        let shape = Shape { addresses: 1, packets: 2, packet_bytes: 8 };
        board::lay_out(&practice, &[shape]);
        let Some(board) = Board::new(&practice) else { return };
        for router in board.routers() {
            router.addresses().for_each(|order| order.give(&NOTHING));
            router.write_resignation(|writer| {
                // There is no interface 0, and this is the beginning of an IP packet at best.
                writer.append(Kind::Frame, 0, &[0; 8]);
                writer.append(Kind::Packet, 0, &[0x45; 8]);
            });
        }
        Judge::default().judge(boot_time(), board.beat(), board.limit());
        let (taken, resigned) = (self.hands.take_down(board), self.hands.resign(board));
        let _ = describe(&mut [0; LINE], Trigger::Dead, taken, resigned);
        self.is_over(Duration::ZERO);
    }

    /// Watches until there is something to do, or `None` if the guard is not needed any more.
    fn watch(&self) -> Option<Trigger> {
        let board = self.board().ok()?;
        let (mut judge, mut connected) = (Judge::default(), true);
        loop {
            let now = boot_time();
            board.set_looked(now);
            let until = match judge.judge(now, board.beat(), board.limit()) {
                Verdict::Rest => None,
                Verdict::Wait(until) => Some(until),
                Verdict::Hung => return Some(Trigger::Hung),
            };
            let woken = self.sleep(now, until, connected);
            if board.is_dismissed() {
                return None;
            }
            let holds = || board.routers().any(board::Router::holds);
            if woken.dead || (woken.hung_up && holds()) {
                return Some(Trigger::Dead);
            }
            // Whoever holds nothing may take its time to end.
            connected &= !woken.hung_up;
        }
    }

    /// Sleeps until then, or until it is woken.
    fn sleep(&self, now: Instant, until: Option<Instant>, connected: bool) -> Woken {
        let line = io::stdin();
        let mut fds = [
            PollFd::new(&self.daemon, PollFlags::IN),
            PollFd::new(&self.wake, PollFlags::IN),
            PollFd::new(&line, PollFlags::empty()),
        ];
        let fds = if connected { &mut fds[..] } else { &mut fds[..2] };
        let timeout = until.and_then(|until| timespec(until.saturating_since(now)));
        // An error can only be a signal: then it is looked again.
        let _ = poll(fds, timeout.as_ref());
        let is_ready = |fd: usize| fds.get(fd).is_some_and(|fd| !fd.revents().is_empty());
        let (dead, wake, hung_up) = (is_ready(0), is_ready(1), is_ready(2));
        if wake {
            // It does not block, and what it counts does not matter.
            let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        }
        Woken { dead, hung_up }
    }

    /// Whether nothing of the daemon runs any more, within a time.
    fn is_over(&self, within: Duration) -> bool {
        let line = io::stdin();
        let mut ends =
            [PollFd::new(&self.daemon, PollFlags::IN), PollFd::new(&line, PollFlags::empty())];
        poll(&mut ends, timespec(within).as_ref()).is_ok_and(|ready| ready > 0)
    }

    /// The addresses go before the resignations: the successor may have a skew of nothing, and removing
    /// takes microseconds.
    fn act(&self, trigger: Trigger) {
        let Ok(board) = self.board() else { return };
        if trigger == Trigger::Hung {
            // It can only fail because the daemon has just ended by itself.
            let _ = pidfd_send_signal(&self.daemon, Signal::KILL);
        }
        let over = trigger == Trigger::Dead || self.is_over(DEATH);
        let taken = self.hands.take_down(board);
        let resigned = self.hands.resign(board);
        std::thread::sleep(REPEAT);
        self.hands.resign(board);
        if taken != Tally::default() {
            let mut line = [0; LINE];
            if let Some(len) = describe(&mut line, trigger, taken, resigned) {
                // Nobody may listen, and there is nobody else to tell.
                let _ = io::stderr().write(&line[..len]);
            }
        }
        if !over {
            // The kernel may still finish what the daemon asked for: an address that comes back.
            while !self.is_over(Duration::from_secs(3600)) {}
            self.hands.take_down(board);
        }
    }
}

fn timespec(time: Duration) -> Option<Timespec> {
    Timespec::try_from(time).ok()
}

/// The shared memory, the daemon's pidfd, and what wakes the guard.
fn receive_files() -> io::Result<[OwnedFd; 3]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0; 8];
    let mut slices = [io::IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(io::stdin(), &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut files) = message {
            let mut next = || files.next().ok_or(io::ErrorKind::UnexpectedEof);
            return Ok([next()?, next()?, next()?]);
        }
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the daemon handed nothing over"))
}

fn give_up_privileges() -> io::Result<()> {
    let kept = NEEDED.intersection(capabilities(None)?.permitted);
    clear_ambient_capability_set()?;
    set_no_new_privs(true)?;
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    Ok(set_capabilities(None, sets)?)
}

/// Writes one line for people; its length.
fn describe(
    line: &mut [u8; LINE],
    trigger: Trigger,
    taken: Tally,
    resigned: Tally,
) -> Option<usize> {
    let mut rest = &mut line[..];
    let what = match trigger {
        Trigger::Dead => "died",
        Trigger::Hung => "did not answer and was killed",
    };
    write!(rest, "carp-guard: the daemon {what}: {} addresses removed", taken.done).ok()?;
    write_failures(&mut rest, taken)?;
    write!(rest, ", {} resignations sent", resigned.done).ok()?;
    write_failures(&mut rest, resigned)?;
    rest.write_all(b"\n").ok()?;
    let left = rest.len();
    Some(LINE - left)
}

fn write_failures(rest: &mut &mut [u8], tally: Tally) -> Option<()> {
    let Some(error) = tally.error else { return Some(()) };
    write!(rest, " ({} failed, error {error})", tally.failed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rehearsal_has_room() {
        let shape = Shape { addresses: 1, packets: 2, packet_bytes: 8 };
        assert!(board::words(&[shape]) <= PRACTICE);
    }

    #[test]
    fn the_report_is_one_line() {
        let taken = Tally { done: 2, ..Tally::default() };
        let resigned = Tally { done: 1, failed: 1, error: Some(libc::ENETDOWN) };
        let mut line = [0; LINE];
        let len = describe(&mut line, Trigger::Hung, taken, resigned).unwrap();
        assert_eq!(
            std::str::from_utf8(&line[..len]).unwrap(),
            "carp-guard: the daemon did not answer and was killed: 2 addresses removed, \
             1 resignations sent (1 failed, error 100)\n"
        );
    }
}
