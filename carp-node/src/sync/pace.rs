//! When the next pass begins.

use std::time::Duration;

use carp_proto::Instant;

/// A pass may take at most a quarter of the time: the next one begins so many times its duration after it.
pub const REST: u32 = 3;

/// The first pause after a failure; it doubles each time, up to [`BACKOFF_MOST`].
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);

/// See [`BACKOFF_FIRST`].
pub const BACKOFF_MOST: Duration = Duration::from_secs(60);

/// How long after a pass changes are collected before they trigger another one.
pub const SETTLE: Duration = Duration::from_secs(1);

/// The rhythm of the passes of one share. One at a time.
#[derive(Clone, Debug)]
pub struct Pace {
    every: Duration,
    state: State,
    backoff: Backoff,
    /// No pass was complete since the roles changed.
    catches_up: bool,
    /// The source's change counter when the last complete pass began.
    changes: Option<u64>,
    /// How long the last complete pass took, but for one after a change of roles that is followed at once.
    took: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// As soon as it is allowed.
    Due,
    Running {
        since: Instant,
        changes: u64,
    },
    /// After a complete pass.
    Resting {
        ended: Instant,
        took: Duration,
    },
    /// After a failure.
    Waiting(Instant),
}

impl Pace {
    /// A rhythm with at most `every` between two passes, unless they take long.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            state: State::Due,
            backoff: Backoff::default(),
            catches_up: true,
            changes: None,
            took: None,
        }
    }

    /// When the next pass begins; `None` while one runs. `changes` is the source's change counter as
    /// last read: a counter that moved brings the pass forward.
    #[must_use]
    pub fn next(&self, changes: u64) -> Option<Instant> {
        match self.state {
            State::Due => Some(Instant::from_nanos(0)),
            State::Running { .. } => None,
            State::Waiting(until) => Some(until),
            State::Resting { ended, took } => {
                let rest = took.saturating_mul(REST);
                let early = self.changes.is_some_and(|before| before != changes);
                Some(ended + if early { rest.max(SETTLE) } else { rest.max(self.every) })
            }
        }
    }

    /// How old a copy gets at this rhythm: from the beginning of one complete pass to the end of the next one, if that
    /// takes twice as long. None of it before the passes are in step after a change of roles.
    #[must_use]
    pub fn rhythm(&self) -> Duration {
        self.took.map_or(Duration::ZERO, |took| {
            let rest = took.saturating_mul(REST).max(self.every);
            took.saturating_mul(3).saturating_add(rest)
        })
    }

    /// A pass begins: a change of role, or whoever asks, may begin one at any time.
    pub fn begin(&mut self, now: Instant, changes: u64) {
        self.state = State::Running { since: now, changes };
    }

    /// It was complete, and has `moved` something.
    ///
    /// The first one since the roles changed may have moved everything. What was written meanwhile comes at once then,
    /// and not after a rest of three times as long: the next one is quick, and until then nobody is in sync.
    pub fn complete(&mut self, now: Instant, moved: bool) {
        self.backoff = Backoff::default();
        if let State::Running { since, changes } = self.state {
            self.changes = Some(changes);
            let took = now.saturating_since(since);
            let goes_on = self.catches_up && moved && took.saturating_mul(REST) > self.every;
            self.catches_up = false;
            self.took = (!goes_on).then_some(took);
            self.state = if goes_on { State::Due } else { State::Resting { ended: now, took } };
        }
    }

    /// It has to be repeated at once, once: [`Next::Again`](super::rsync::exit::Next::Again). The
    /// second time it is as good as a failure.
    pub fn again(&mut self, now: Instant) {
        if self.backoff.failures == 0 {
            self.backoff.failures = 1;
            self.state = State::Due;
        } else {
            self.fail(now);
        }
    }

    /// It failed.
    pub fn fail(&mut self, now: Instant) {
        self.state = State::Waiting(now + self.backoff.fail());
    }

    /// It was stopped, or the roles have changed: the next one is due when it is allowed.
    pub fn reset(&mut self) {
        self.state = State::Due;
        self.catches_up = true;
        self.took = None;
        self.backoff = Backoff::default();
    }
}

/// Growing pauses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// One more failure: how long to wait now, from [`BACKOFF_FIRST`] to [`BACKOFF_MOST`].
    pub fn fail(&mut self) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(seconds)
    }

    fn pace() -> Pace {
        Pace::new(Duration::from_secs(10))
    }

    #[test]
    fn a_quick_pass_comes_every_interval_and_a_slow_one_rests_three_times_as_long() {
        for (took, next) in [(0, 10), (3, 13), (4, 16), (60, 240)] {
            let mut pace = pace();
            assert_eq!(pace.next(0), Some(at(0)));
            pace.begin(at(0), 0);
            assert_eq!(pace.next(0), None);
            pace.complete(at(took), false);
            assert_eq!(pace.next(0), Some(at(next)), "{took}");
        }
    }

    #[test]
    fn a_slow_pass_that_moved_something_after_a_change_of_roles_is_followed_at_once_by_one_more() {
        // What comes at once is due since the beginning of time.
        for (took, next) in [(0, 10), (3, 13), (4, 0), (600, 0)] {
            let mut pace = pace();
            pace.begin(at(0), 0);
            pace.fail(at(0));
            pace.begin(at(0), 0);
            pace.complete(at(took), true);
            assert_eq!(pace.next(0), Some(at(next)), "{took}");
            // Only one.
            pace.begin(at(1000), 0);
            pace.complete(at(1060), true);
            assert_eq!(pace.next(0), Some(at(1240)));
            pace.reset();
            pace.begin(at(2000), 0);
            pace.complete(at(2060), true);
            assert_eq!(pace.next(0), Some(at(0)), "the roles have changed");
        }
    }

    #[test]
    fn a_copy_gets_as_old_as_its_passes_take() {
        let mut pace = pace();
        assert_eq!(pace.rhythm(), Duration::ZERO);
        pace.begin(at(0), 0);
        pace.complete(at(60), true);
        assert_eq!(pace.rhythm(), Duration::ZERO, "another one follows at once");
        pace.begin(at(60), 0);
        pace.complete(at(100), true);
        assert_eq!(pace.rhythm(), Duration::from_secs(3 * 40 + 3 * 40));
        pace.begin(at(300), 0);
        assert_eq!(pace.rhythm(), Duration::from_secs(240), "also while the next one runs");
        pace.complete(at(301), true);
        assert_eq!(pace.rhythm(), Duration::from_secs(3 + 10), "a pass each 10 s");
        pace.reset();
        assert_eq!(pace.rhythm(), Duration::ZERO);
    }

    #[test]
    fn a_change_brings_the_pass_forward_but_not_into_its_rest() {
        for (took, next) in [(0, 1), (2, 8), (60, 240)] {
            let mut pace = pace();
            pace.begin(at(0), 7);
            pace.complete(at(took), false);
            assert_eq!(pace.next(8), Some(at(next)), "{took}");
            // The source has restarted, and counts anew.
            assert_eq!(pace.next(0), Some(at(next)), "{took}");
        }
    }

    #[test]
    fn failures_wait_longer_each_time_and_success_forgets_them() {
        let mut pace = pace();
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            pace.begin(at(100), 0);
            pace.fail(at(100));
            assert_eq!(pace.next(0), Some(at(100 + wait)));
        }
        pace.begin(at(200), 0);
        pace.complete(at(200), true);
        pace.begin(at(300), 0);
        pace.fail(at(300));
        assert_eq!(pace.next(0), Some(at(301)));
    }

    #[test]
    fn vanished_files_are_looked_for_once_more_at_once() {
        let mut pace = pace();
        pace.begin(at(100), 0);
        pace.again(at(101));
        assert_eq!(pace.next(0), Some(at(0)), "at once");
        pace.begin(at(101), 0);
        pace.again(at(102));
        assert_eq!(pace.next(0), Some(at(104)), "as after a second failure");
    }

    #[test]
    fn failing_for_ever_does_not_overflow() {
        let mut backoff = Backoff { failures: u32::MAX - 1 };
        for _ in 0..3 {
            assert_eq!(backoff.fail(), BACKOFF_MOST);
        }
    }
}
