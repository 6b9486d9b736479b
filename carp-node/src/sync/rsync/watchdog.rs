//! Ends a pass that does not get on.
//!
//! rsync's own `--timeout` does not: over ssh, what it writes into the local pipe counts as traffic, and
//! a pull from a host that is gone was still waiting after a minute.
//!
//! Silence alone does not end it either: rsync says nothing while it builds the list of a large tree that no memory
//! holds, or goes through a large file of which it has an older version. So what its processes do is looked at
//! while it is silent.

use std::time::Duration;

use carp_proto::Instant;

use crate::runner::Work;

/// How long a pass may be silent, and do nothing.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How often a silent one is looked at.
pub const LOOK: Duration = Duration::from_secs(10);

/// Whoever has had a processor for so long since the last look has worked: a remote shell that waits, and shows
/// the other end every two seconds that it lives, has had a tenth of it.
pub const CPU: Duration = Duration::from_millis(20);

/// Whoever has read so many bytes has: a list grows, however slowly. What an idle rsync reads to know that the other
/// one lives is less than a hundredth of it.
pub const READ: u64 = 1024;

/// Watches one pass. A byte of output is progress, and so is work.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    progress: Instant,
    looked: Instant,
    work: Option<Work>,
}

impl Watchdog {
    /// A pass that starts now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { progress: now, looked: now, work: None }
    }

    /// It said something.
    pub fn progressed(&mut self, now: Instant) {
        self.progress = self.progress.max(now);
        self.looked = self.looked.max(now);
        // What it did until now is no news later.
        self.work = None;
    }

    /// When to [`look`](Self::look).
    #[must_use]
    pub fn deadline(&self) -> Instant {
        (self.looked + LOOK).min(self.progress + LIMIT)
    }

    /// It has been silent, and has done this since it started; `None` if that cannot be told. Whether it hangs.
    pub fn look(&mut self, now: Instant, work: Option<Work>) -> bool {
        if let (Some(before), Some(work)) = (self.work, work)
            && has_worked(&before, &work)
        {
            self.progress = self.progress.max(now);
        }
        self.work = work.or(self.work);
        self.looked = self.looked.max(now);
        now >= self.progress + LIMIT
    }
}

/// Whether more was done than waiting takes. What goes down is of processes that have ended: that is progress too.
fn has_worked(before: &Work, now: &Work) -> bool {
    let cpu = now.cpu.abs_diff(before.cpu);
    cpu >= CPU || now.disk != before.disk || now.read.abs_diff(before.read) >= READ
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(1_000_000_000) + Duration::from_secs(seconds)
    }

    fn work(cpu: u64, disk: u64, read: u64) -> Option<Work> {
        Some(Work { cpu: Duration::from_millis(cpu), disk, read })
    }

    /// Looks whenever it is time, for a hundred seconds: when it was found to hang.
    fn hangs(mut watchdog: Watchdog, work: impl Fn(u64) -> Option<Work>) -> Option<u64> {
        (0..100).find(|second| {
            watchdog.deadline() <= at(*second) && watchdog.look(at(*second), work(*second))
        })
    }

    #[test]
    fn a_pass_that_says_something_is_left_alone() {
        let mut watchdog = Watchdog::new(at(0));
        for second in (0..200).step_by(9) {
            assert!(watchdog.deadline() > at(second));
            watchdog.progressed(at(second));
        }
        assert_eq!(watchdog.deadline(), at(198 + 10));
    }

    #[test]
    fn one_that_is_silent_and_does_nothing_hangs() {
        let watchdog = Watchdog::new(at(0));
        assert_eq!(hangs(watchdog, |_| None), Some(30));
        assert_eq!(hangs(watchdog, |_| work(70, 4096, 10_000)), Some(30));
        // The remote shell's and rsync's own signs of life.
        assert_eq!(hangs(watchdog, |second| work(second / 8, 0, second)), Some(30));
    }

    #[test]
    fn one_that_is_silent_and_works_does_not() {
        let watchdog = Watchdog::new(at(0));
        assert_eq!(hangs(watchdog, |second| work(2 * second, 0, 0)), None);
        assert_eq!(hangs(watchdog, |second| work(0, 512 * second, 0)), None);
        assert_eq!(hangs(watchdog, |second| work(0, 0, 103 * second)), None);
        // It worked at first, and then no more.
        assert_eq!(hangs(watchdog, |second| work(0, second.min(25), 0)), Some(60));
        // One of its processes has ended.
        assert_eq!(
            hangs(watchdog, |second| work(if second < 15 { 50 } else { 0 }, 0, 0)),
            Some(50)
        );
    }

    #[test]
    fn words_are_more_than_work() {
        let mut watchdog = Watchdog::new(at(0));
        assert!(!watchdog.look(at(10), work(0, 0, 0)));
        watchdog.progressed(at(12));
        assert!(!watchdog.look(at(22), work(0, 9999, 0)), "when it did that is not known");
        assert!(!watchdog.look(at(41), work(0, 9999, 0)));
        assert!(watchdog.look(at(42), work(0, 9999, 0)));
    }
}
