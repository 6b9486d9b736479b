//! A wall clock that somebody sets.
//!
//! The age of a copy is told by this node's wall clock, which alone outlasts a restart. When that is set, what was
//! read before it says nothing any more, until the next complete pass.

use std::time::Duration;

use carp_proto::Instant;

use super::peer::{now, wall_stamp};
use super::{Engine, Role};
use crate::config::format_duration;
use crate::sync::lineage::Stamp;

/// A clock that is kept right moves by less than this between two looks.
const SET: Duration = Duration::from_secs(1);

/// That the clock was set, and nobody knows how old the copy is since.
#[derive(Clone, Debug)]
pub(super) struct ClockSet {
    pub(super) at: Instant,
    /// What people read.
    pub(super) text: String,
}

/// The wall clock and the steady one, read together.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    wall: Stamp,
    steady: Instant,
}

impl WallClock {
    /// Both as they are now.
    pub(super) fn read() -> Self {
        Self { wall: wall_stamp(), steady: now() }
    }

    /// Looks again: how it was set since, in words; `None` if it was not.
    fn look(&mut self, seen: Self) -> Option<String> {
        let before = std::mem::replace(self, seen);
        let passed = u64::try_from(seen.steady.saturating_since(before.steady).as_nanos());
        let expected = Stamp(before.wall.0.saturating_add(passed.unwrap_or(u64::MAX)));
        let by = seen.wall.apart(expected);
        (by >= SET).then(|| {
            let way = if seen.wall < expected { "back" } else { "forward" };
            // The two are not read at the same moment.
            let by = Duration::from_secs(by.saturating_add(SET / 2).as_secs());
            format!("{way} by {}", format_duration(by))
        })
    }
}

impl Engine {
    /// Looks whether this node's clock was set.
    pub(super) fn look_at_clock(&mut self) {
        let Some(how) = self.wall.look(WallClock::read()) else { return };
        let now = now();
        for number in 0..self.shares.len() {
            let text = format!(
                "this node's clock was set {how}: the next complete pass shows how old the copy is; keep the clocks of \
                 both nodes right, as with chrony"
            );
            match self.routers[self.shares[number].router].role {
                Role::Backup => self.shares[number].clock_set = Some(ClockSet { at: now, text }),
                Role::Active => {
                    self.tell_log(number, format_args!("this node's clock was set {how}"));
                }
                Role::Init => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> (Stamp, Instant) {
        (Stamp(1_000_000_000 * (1_000 + seconds)), Instant::from_nanos(1_000_000_000 * seconds))
    }

    #[test]
    fn a_clock_that_was_set_is_told_once_and_one_that_goes_is_not() {
        let (wall, steady) = at(0);
        let mut clock = WallClock { wall, steady };
        let mut look = |by: i64, seconds| {
            let (wall, steady) = at(seconds);
            clock.look(WallClock { wall: Stamp(wall.0.saturating_add_signed(by)), steady })
        };
        assert_eq!(look(0, 1), None);
        assert_eq!(look(0, 100_000), None, "the machine slept");
        assert_eq!(look(999_999_999, 100_001), None, "NTP may do that");
        assert_eq!(look(0, 100_002), None);
        assert_eq!(look(90_000_000_000, 100_003).as_deref(), Some("forward by 90s"));
        assert_eq!(look(90_000_000_000, 100_004), None, "once");
        assert_eq!(look(0, 100_005).as_deref(), Some("back by 90s"));
        assert_eq!(look(i64::MIN, 100_006).as_deref().map(|it| &it[..4]), Some("back"));
    }
}
