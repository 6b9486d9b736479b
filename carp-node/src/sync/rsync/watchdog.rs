//! Ends a pass that does not get on.
//!
//! rsync's own `--timeout` does not: over ssh, what it writes into the local pipe counts as traffic, and
//! a pull from a host that is gone was still waiting after a minute.

use std::time::Duration;

use carp_proto::Instant;

/// How long a pass may be silent.
pub const LIMIT: Duration = Duration::from_secs(30);

/// How long it has to go by itself after it was asked to.
pub const GRACE: Duration = Duration::from_secs(2);

/// Watches one pass. A byte of output is progress.
#[derive(Clone, Copy, Debug)]
pub struct Watchdog {
    last: Instant,
    asked: Option<Instant>,
}

/// What to do with the process group of the pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bite {
    /// SIGTERM: rsync tidies up.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl Watchdog {
    /// A pass that starts now.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { last: now, asked: None }
    }

    /// It said something. After it was asked to go, that changes nothing.
    pub fn progressed(&mut self, now: Instant) {
        self.last = self.last.max(now);
    }

    /// It has to go, whether it gets on or not: a promotion, for example.
    pub fn end(&mut self, now: Instant) -> Option<Bite> {
        (self.asked.is_none()).then(|| {
            self.asked = Some(now);
            Bite::Terminate
        })
    }

    /// When to [`check`](Self::check).
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.asked.map_or(self.last + LIMIT, |asked| asked + GRACE)
    }

    /// Time has passed. Repeats [`Bite::Kill`] until the process is reaped.
    pub fn check(&mut self, now: Instant) -> Option<Bite> {
        if now < self.deadline() {
            return None;
        }
        match self.asked {
            None => self.end(now),
            Some(_) => Some(Bite::Kill),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_nanos(1_000_000_000) + Duration::from_millis(millis)
    }

    #[test]
    fn a_pass_that_gets_on_is_left_alone() {
        let mut watchdog = Watchdog::new(at(0));
        for millis in (0..200_000).step_by(29_000) {
            assert_eq!(watchdog.check(at(millis)), None);
            watchdog.progressed(at(millis));
        }
    }

    #[test]
    fn silence_is_ended_politely_and_then_not() {
        let mut watchdog = Watchdog::new(at(0));
        watchdog.progressed(at(1_000));
        assert_eq!(watchdog.deadline(), at(31_000));
        assert_eq!(watchdog.check(at(30_999)), None);
        assert_eq!(watchdog.check(at(31_000)), Some(Bite::Terminate));
        watchdog.progressed(at(31_500));
        assert_eq!(watchdog.check(at(32_999)), None);
        assert_eq!(watchdog.check(at(33_000)), Some(Bite::Kill));
    }

    #[test]
    fn a_promotion_does_not_wait_for_silence() {
        let mut watchdog = Watchdog::new(at(0));
        assert_eq!(watchdog.end(at(5)), Some(Bite::Terminate));
        assert_eq!(watchdog.end(at(6)), None);
        assert_eq!(watchdog.check(at(2_005)), Some(Bite::Kill));
    }
}
