//! How late the loop meets its deadlines.
//!
//! The loop sleeps until a deadline. On a busy machine, in a process that was stopped, after a suspend it
//! wakes later than that, and this counts by how much: of deadlines that passed together, for the
//! first one. What the routers do about it is theirs: see "Pauses" in `docs/election.md`.

use std::time::Duration;

use carp_proto::Instant;
use serde::{Deserialize, Serialize};

use crate::control::units::Millis;
use crate::event::EventKind;

/// The upper bounds of the buckets. What is later than all of them is in the count alone.
const BOUNDS: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// A machine that is late all the time says so once in this time.
const TOLD: Duration = Duration::from_secs(60);

/// Less than this is no sleep of the machine, but the time between reading two clocks.
const ASLEEP: Duration = Duration::from_millis(1);

/// How late the loop was, all its life.
#[derive(Debug, Default)]
pub(super) struct Lateness {
    /// How often it was late by no more than the bound, and by more than the one before.
    counts: [u64; BOUNDS.len()],
    count: u64,
    max: Duration,
    sum: Duration,
    /// What the loop sleeps for.
    awaited: Option<Awaited>,
    /// The last deadline that was counted.
    met: Option<Instant>,
    told_at: Option<Instant>,
    untold: u64,
}

#[derive(Clone, Copy, Debug)]
struct Awaited {
    at: Instant,
    /// How long the machine had been asleep when the loop went to sleep.
    asleep: Duration,
}

/// A deadline that has just been met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met {
    /// How late.
    pub(super) late_by: Duration,
    /// How long the machine had been asleep before the loop waited for it.
    pub(super) asleep: Duration,
}

impl Lateness {
    /// The loop goes to sleep until this deadline; `asleep` is for how long the machine has been so far.
    pub(super) fn awaits(&mut self, at: Option<Instant>, asleep: Duration) {
        self.awaited = at.map(|at| Awaited { at, asleep });
    }

    /// The loop runs: counts the deadline that it slept for, if that has come and was not counted yet.
    pub(super) fn runs(&mut self, now: Instant) -> Option<Met> {
        let Awaited { at, asleep } = self.awaited.filter(|awaited| awaited.at <= now)?;
        self.awaited = None;
        if self.met == Some(at) {
            return None;
        }
        self.met = Some(at);
        let late_by = now.saturating_since(at);
        self.count(late_by);
        Some(Met { late_by, asleep })
    }

    fn count(&mut self, late_by: Duration) {
        if let Some(place) = BOUNDS.iter().position(|bound| late_by <= *bound) {
            self.counts[place] = self.counts[place].saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.max = self.max.max(late_by);
        self.sum = self.sum.saturating_add(late_by);
    }

    /// The event about being so late, of which the machine slept for a time; `None` if one was told a
    /// short time ago. Then the next one says how many there were.
    pub(super) fn news(
        &mut self,
        now: Instant,
        late_by: Duration,
        slept: Duration,
    ) -> Option<EventKind> {
        self.untold = self.untold.saturating_add(1);
        if self.told_at.is_some_and(|at| now.saturating_since(at) < TOLD) {
            return None;
        }
        self.told_at = Some(now);
        let count = std::mem::take(&mut self.untold);
        let slept = if slept < ASLEEP { Duration::ZERO } else { slept };
        Some(EventKind::Late { late_by_ms: Millis(late_by), slept_ms: Millis(slept), count })
    }

    pub(super) fn report(&self) -> LatenessReport {
        let sums = self.counts.iter().scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        let bucket = |(bound, count): (&Duration, u64)| Bucket { le_ms: Millis(*bound), count };
        LatenessReport {
            count: self.count,
            max_ms: Millis(self.max),
            sum_ms: Millis(self.sum),
            buckets: BOUNDS.iter().zip(sums).map(bucket).collect(),
        }
    }
}

/// How late the protocol task met its deadlines, since the daemon started: `lateness` in a status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatenessReport {
    /// How many deadlines there were.
    pub count: u64,
    /// The worst of them.
    pub max_ms: Millis,
    /// All of it together.
    pub sum_ms: Millis,
    /// How many were met in time and no later than the bound: each counts those before it too. What is
    /// in none was later than the last bound.
    pub buckets: Vec<Bucket>,
}

/// One bound of a [`LatenessReport`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket {
    /// No later than this.
    pub le_ms: Millis,
    /// How many.
    pub count: u64,
}

impl LatenessReport {
    /// How often the task was later than a time, which is to be one of the bounds; 0 if it is none.
    #[must_use]
    pub fn later_than(&self, bound: Duration) -> u64 {
        let bucket = self.buckets.iter().find(|bucket| bucket.le_ms.0 == bound);
        bucket.map_or(0, |bucket| self.count.saturating_sub(bucket.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ZERO: Duration = Duration::ZERO;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + ms(millis)
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_deadline_counts_once_and_only_when_it_has_come() {
        let mut lateness = Lateness::default();
        lateness.awaits(Some(at(100)), ms(7));
        assert_eq!(lateness.runs(at(99)), None);
        assert_eq!(lateness.runs(at(103)), Some(Met { late_by: ms(3), asleep: ms(7) }));
        assert_eq!(lateness.runs(at(104)), None);
        // What was not due to be done then is waited for again.
        lateness.awaits(Some(at(100)), ms(7));
        assert_eq!(lateness.runs(at(105)), None);
        lateness.awaits(None, ZERO);
        assert_eq!(lateness.runs(at(9_999)), None);
        assert_eq!(lateness.report().count, 1);
    }

    #[test]
    fn buckets_count_up_to_their_bounds_and_all_below() {
        let mut lateness = Lateness::default();
        for (number, late) in (1..).zip([0, 1, 2, 3, 400, 5_000, 5_001]) {
            lateness.awaits(Some(at(number * 10_000)), ZERO);
            lateness.runs(at(number * 10_000 + late));
        }
        let report = lateness.report();
        let counts: Vec<_> = report.buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!(counts, [2, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 6]);
        assert_eq!(
            (report.count, report.max_ms, report.sum_ms.0),
            (7, Millis(ms(5_001)), ms(10_407))
        );
        assert_eq!(report.later_than(ms(10)), 3);
        assert_eq!(report.later_than(ms(11)), 0, "no bound");
    }

    #[test]
    fn the_report_is_json_in_milliseconds() {
        let mut lateness = Lateness::default();
        lateness.awaits(Some(at(1)), ZERO);
        lateness.runs(at(2) + Duration::from_micros(500));
        let json = serde_json::to_value(lateness.report()).unwrap();
        assert_eq!(json["max_ms"], 1.5);
        assert_eq!(json["buckets"][1], serde_json::json!({ "le_ms": 2, "count": 1 }));
        assert_eq!(json["buckets"][11]["le_ms"], 5_000);
    }

    #[test]
    fn a_machine_that_is_late_all_the_time_says_so_once_a_minute() {
        let mut lateness = Lateness::default();
        let mut news =
            |second: u64| lateness.news(at(second * 1_000), ms(1_500), Duration::from_micros(3));
        let told = |count| {
            let (late_by_ms, slept_ms) = (Millis(ms(1_500)), Millis(ZERO));
            Some(EventKind::Late { late_by_ms, slept_ms, count })
        };
        assert_eq!(news(1), told(1));
        assert_eq!((news(2), news(60)), (None, None));
        assert_eq!(news(61), told(3));
    }
}
