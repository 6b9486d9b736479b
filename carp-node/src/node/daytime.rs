//! The time of day that signatures carry: that of the wall clock, but without its jumps.
//!
//! Peers refuse a signature whose time is too far from theirs. When somebody sets the clock of one node, its
//! adverts would be refused, and so would those of the others here: two active routers, until the clock
//! is right again. So the time of day is asked for once, and then it runs on by the clock of elections.
//!
//! Small corrections are followed at once. A jump is followed when there is a reason to: when an advert is
//! refused for its time, the time that ran on has proved useless.

use std::time::Duration;

use carp_proto::Instant;

/// Corrections up to this are followed at once: NTP makes larger ones rarely, and the smallest window for
/// signatures that the daemon sets is 5 s.
const FOLLOWED: Duration = Duration::from_secs(1);

/// The time of day that runs on.
#[derive(Debug, Default)]
pub(super) struct DayTime {
    known: Option<(Instant, Duration)>,
}

impl DayTime {
    /// The time since the epoch to sign and verify with at `now`, when the wall clock says `wall`.
    pub(super) fn at(&mut self, now: Instant, wall: Duration) -> Duration {
        let runs_on = |(at, time): (Instant, Duration)| time + now.saturating_since(at);
        let steady = self.known.map(runs_on);
        let time = steady.filter(|steady| steady.abs_diff(wall) > FOLLOWED).unwrap_or(wall);
        self.known = Some((now, time));
        time
    }

    /// An advert was refused for its time: from now on that of the wall clock counts.
    pub(super) const fn doubt(&mut self) {
        self.known = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn it_runs_on_when_the_wall_clock_jumps() {
        let mut day = DayTime::default();
        assert_eq!(day.at(at(10), secs(10_000)), secs(10_000));
        assert_eq!(day.at(at(20), secs(13_610)), secs(10_010), "an hour ahead");
        assert_eq!(day.at(at(30), secs(6_420)), secs(10_020), "an hour behind");
        assert_eq!(day.at(at(40), secs(10_030)), secs(10_030), "right again");
    }

    #[test]
    fn it_follows_small_corrections() {
        let mut day = DayTime::default();
        for second in 0..100 {
            let wall =
                secs(10_000 + second) + Duration::from_millis(900) * u32::try_from(second).unwrap();
            assert_eq!(day.at(at(second), wall), wall);
        }
    }

    #[test]
    fn after_a_refusal_the_wall_clock_counts() {
        let mut day = DayTime::default();
        assert_eq!(day.at(at(10), secs(0)), secs(0), "a machine without a battery");
        assert_eq!(day.at(at(20), secs(10_000)), secs(10), "set by NTP");
        day.doubt();
        assert_eq!(day.at(at(21), secs(10_001)), secs(10_001));
        assert_eq!(day.at(at(22), secs(0)), secs(10_002));
    }
}
