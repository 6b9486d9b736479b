//! Whether the protocol task lives, judged by its heartbeat.

use std::time::Duration;

use carp_proto::Instant;

/// The longest limit.
const LONGEST: Duration = Duration::from_secs(1);

/// The shortest limit: a busy machine lets a healthy process wait for tens of milliseconds.
const SHORTEST: Duration = Duration::from_millis(50);

/// How many adverts the protocol task may be silent for.
const INTERVALS: u32 = 3;

/// How many beats there are in the time of the limit.
const BEATS: u32 = 3;

/// The last part of the limit, a fifth, is for a second look.
const LAST_PART: u32 = 5;

/// How long the protocol task of a router with this advert interval may be silent.
pub(super) fn limit(interval: Duration) -> Duration {
    interval.saturating_mul(INTERVALS).clamp(SHORTEST, LONGEST)
}

/// The time between two beats.
pub(super) fn pause(limit: Duration) -> Duration {
    limit / BEATS
}

/// How long a guard may go without a look while an address is held: several times what it needs.
pub(super) const UNSEEN: Duration = Duration::from_secs(3);

/// What the guard is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Wait for as long as it takes: nothing is held.
    Rest,
    /// Look again at this time.
    Wait(Instant),
    /// The protocol task hangs.
    Hung,
}

/// How long the guard looks on between the first look that finds silence and the verdict.
fn patience(limit: Duration) -> Duration {
    limit / LAST_PART
}

/// Judges. Nobody is judged before a whole limit has passed in which the guard itself ran: neither after
/// the limit has changed, nor after the guard was late.
///
/// And nobody is judged at one look. When a machine stalls for about the limit, the guard may be the first
/// to wake of two that were stopped together, and is not late enough to know. So it looks when most of the
/// limit is over, and again at its end, and there is always time between the two for a daemon that lives.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Judge {
    limit: Option<Duration>,
    /// Since when the present limit holds and the guard has run without a stop.
    since: Instant,
    due: Option<Instant>,
    doubt: Option<Doubt>,
}

/// The first look has found silence.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// When the limit ends that is nearly over. Another beat makes it another one.
    end: Instant,
    /// When the second look is.
    until: Instant,
}

impl Judge {
    /// Judges by the last beat and the limit as they are `now`.
    pub(super) fn judge(
        &mut self,
        now: Instant,
        beat: Instant,
        limit: Option<Duration>,
    ) -> Verdict {
        let late = |due: Instant, limit| now > due + pause(limit);
        let Some(present) = limit else {
            *self = Self::default();
            return Verdict::Rest;
        };
        if self.limit != limit || self.due.is_some_and(|due| late(due, present)) {
            (self.limit, self.since) = (limit, now);
        }
        let end = beat.min(now).max(self.since) + present;
        let first = end - patience(present);
        if now < first {
            self.due = Some(first);
            return Verdict::Wait(first);
        }
        let known = self.doubt.filter(|doubt| doubt.end == end);
        let until = known.map_or_else(|| end.max(now + patience(present)), |doubt| doubt.until);
        (self.doubt, self.due) = (Some(Doubt { end, until }), Some(until));
        if now >= until { Verdict::Hung } else { Verdict::Wait(until) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    const LIMIT: Option<Duration> = Some(Duration::from_millis(300));

    #[test]
    fn the_limit_is_three_intervals_and_neither_long_nor_very_short() {
        let limits = [10, 100, 333, 1_000, 255_000].map(|ms| limit(Duration::from_millis(ms)));
        assert_eq!(limits.map(|limit| limit.as_millis()), [50, 300, 999, 1_000, 1_000]);
    }

    #[test]
    fn nobody_is_judged_while_nothing_is_held() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(10_000), at(0), None), Verdict::Rest);
    }

    #[test]
    fn a_task_that_beats_lives_and_one_that_does_not_hangs() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(10_000), at(10_000), LIMIT), Verdict::Wait(at(10_240)));
        assert_eq!(judge.judge(at(10_240), at(10_200), LIMIT), Verdict::Wait(at(10_440)));
        assert_eq!(judge.judge(at(10_440), at(10_400), LIMIT), Verdict::Wait(at(10_640)));
        assert_eq!(judge.judge(at(10_640), at(10_400), LIMIT), Verdict::Wait(at(10_700)));
        assert_eq!(judge.judge(at(10_650), at(10_400), LIMIT), Verdict::Wait(at(10_700)), "woken");
        assert_eq!(judge.judge(at(10_700), at(10_400), LIMIT), Verdict::Hung, "at the limit");
    }

    #[test]
    fn a_beat_between_the_two_looks_saves_the_task() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(10_000), at(10_000), LIMIT), Verdict::Wait(at(10_240)));
        assert_eq!(judge.judge(at(10_240), at(10_000), LIMIT), Verdict::Wait(at(10_300)));
        assert_eq!(judge.judge(at(10_300), at(10_250), LIMIT), Verdict::Wait(at(10_490)));
    }

    #[test]
    fn two_that_were_stopped_together_for_about_the_limit_both_live() {
        for stop in [200, 240, 300, 330] {
            let mut judge = Judge::default();
            assert_eq!(judge.judge(at(10_000), at(10_000), LIMIT), Verdict::Wait(at(10_240)));
            // The machine stands still; the guard wakes first, and then the daemon.
            let woken = at(10_000 + stop);
            let Verdict::Wait(next) = judge.judge(woken, at(10_000), LIMIT) else {
                panic!("killed after {stop} ms");
            };
            assert!(next >= woken + Duration::from_millis(40), "time to run: {stop} ms");
            let beat = woken + Duration::from_millis(1);
            assert!(matches!(judge.judge(next, beat, LIMIT), Verdict::Wait(_)), "{stop} ms");
        }
    }

    #[test]
    fn a_beat_of_before_the_takeover_is_not_held_against_the_task() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(9_000), at(0), None), Verdict::Rest);
        assert_eq!(judge.judge(at(10_000), at(5_000), LIMIT), Verdict::Wait(at(10_240)));
        assert_eq!(judge.judge(at(10_240), at(5_000), LIMIT), Verdict::Wait(at(10_300)));
        assert_eq!(judge.judge(at(10_300), at(5_000), LIMIT), Verdict::Hung);
    }

    #[test]
    fn a_new_limit_begins_when_it_is_seen() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(10_000), at(10_000), LIMIT), Verdict::Wait(at(10_240)));
        let shorter = Some(Duration::from_millis(60));
        assert_eq!(judge.judge(at(10_200), at(10_100), shorter), Verdict::Wait(at(10_248)));
    }

    #[test]
    fn a_guard_that_was_late_waits_for_one_more_limit() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(10_000), at(10_000), LIMIT), Verdict::Wait(at(10_240)));
        // The machine slept: nobody ran.
        assert_eq!(judge.judge(at(70_000), at(10_000), LIMIT), Verdict::Wait(at(70_240)));
        assert_eq!(judge.judge(at(70_240), at(70_200), LIMIT), Verdict::Wait(at(70_440)));
        // And again, but the daemon did not come back.
        assert_eq!(judge.judge(at(80_000), at(70_200), LIMIT), Verdict::Wait(at(80_240)));
        assert_eq!(judge.judge(at(80_240), at(70_200), LIMIT), Verdict::Wait(at(80_300)));
        assert_eq!(judge.judge(at(80_300), at(70_200), LIMIT), Verdict::Hung);
    }

    #[test]
    fn a_beat_of_the_future_counts_as_one_of_now() {
        let mut judge = Judge::default();
        assert_eq!(judge.judge(at(10_000), at(99_000), LIMIT), Verdict::Wait(at(10_240)));
    }
}
