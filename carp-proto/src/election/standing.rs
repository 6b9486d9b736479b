//! How a router stands in the election, by its own word: how good it is, and how often it says so.

use core::fmt;
use core::time::Duration;

use super::policy::SkewTime;
use super::rank::Rank;
use crate::id::{Demotion, Priority};
use crate::interval::{self, CarpInterval};

/// The most that demotion raises advskew to (`CARP_MAXSKEW` of the BSDs, ucarp's value after errors).
const DEMOTED_SKEW: u8 = 240;

/// The least that demotion lowers a priority to: 0 would resign.
const DEMOTED_PRIORITY: u8 = 1;

/// What an advert says of its sender: how good it is, and when its next advert comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// CARP, where the advert interval is both.
    Carp(CarpInterval),
    /// VRRP, of either version.
    Vrrp {
        /// The higher, the better; 0 resigns, 255 owns the addresses.
        priority: Priority,
        /// The time between two adverts.
        interval: Duration,
    },
}

impl Standing {
    /// The time between two adverts.
    #[must_use]
    pub fn interval(self) -> Duration {
        match self {
            Self::Carp(interval) => interval.advert(),
            Self::Vrrp { interval, .. } => interval,
        }
    }

    /// Whether the sender resigns: CARP's 255/255, VRRP's priority 0.
    #[must_use]
    pub fn is_resignation(self) -> bool {
        match self {
            Self::Carp(interval) => interval.is_resignation(),
            Self::Vrrp { priority, .. } => priority.is_resignation(),
        }
    }

    /// Whether the sender is the host whose own addresses the virtual ones are. CARP has no such role.
    #[must_use]
    pub const fn is_owner(self) -> bool {
        match self {
            Self::Carp(_) => false,
            Self::Vrrp { priority, .. } => priority.is_owner(),
        }
    }

    /// The rank. CARP's demotion byte counts first; VRRP has none.
    #[must_use]
    pub const fn rank(self, demotion: Demotion) -> Rank {
        match self {
            Self::Carp(interval) => Rank::carp(demotion, interval),
            Self::Vrrp { priority, .. } => Rank::priority(priority.get()),
        }
    }

    /// The standing of a router that is worse by these points: advskew is raised, up to 240; a priority
    /// is lowered, down to 1. An owner's priority stays: no other may be 255 and no owner less
    /// (RFC 9568 section 5.2.4).
    pub(super) fn lowered(self, demotion: Demotion) -> Self {
        match self {
            Self::Carp(configured) => {
                let demoted = configured.advskew.saturating_add(demotion.get()).min(DEMOTED_SKEW);
                Self::Carp(CarpInterval { advskew: demoted.max(configured.advskew), ..configured })
            }
            Self::Vrrp { priority, .. } if priority.is_owner() => self,
            Self::Vrrp { priority, interval } => {
                let demoted = priority.get().saturating_sub(demotion.get()).max(DEMOTED_PRIORITY);
                Self::Vrrp { priority: Priority::from_wire(demoted), interval }
            }
        }
    }

    /// The standing of a router whose data are behind: as bad as demotion can make it.
    pub(super) fn held(self) -> Self {
        self.lowered(Demotion::clamped(u32::MAX))
    }

    /// How much longer than the whole intervals a backup waits, so that the best one is the first.
    /// `interval` is that of the active router.
    pub(super) fn skew_time(self, rule: SkewTime, interval: Duration) -> Duration {
        match (rule, self) {
            (SkewTime::Configured | SkewTime::OfSecond | SkewTime::OfInterval, Self::Carp(own)) => {
                own.skew_time()
            }
            (SkewTime::OfSecond, Self::Vrrp { priority, .. }) => interval::skew_of_second(priority),
            (SkewTime::Configured | SkewTime::OfInterval, Self::Vrrp { priority, .. }) => {
                interval::skew_of(priority, interval)
            }
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carp(interval) => interval.fmt(f),
            Self::Vrrp { priority, interval } => write!(f, "priority {priority}, {interval:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vrrp(priority: u8) -> Standing {
        Standing::Vrrp {
            priority: Priority::from_wire(priority),
            interval: Duration::from_millis(250),
        }
    }

    #[test]
    fn demotion_never_makes_a_resignation_and_never_touches_an_owner() {
        let lowered = |priority, points| vrrp(priority).lowered(Demotion::clamped(points));
        assert_eq!(lowered(100, 30), vrrp(70));
        assert_eq!(lowered(100, 100), vrrp(1));
        assert_eq!(lowered(1, 255), vrrp(1));
        assert_eq!(lowered(254, 255), vrrp(1));
        assert_eq!(lowered(255, 255), vrrp(255));
    }

    #[test]
    fn skew_is_a_part_of_a_second_or_of_the_interval() {
        let interval = Duration::from_millis(10);
        let skew = |rule| vrrp(255).skew_time(rule, interval).as_nanos();
        assert_eq!([SkewTime::OfSecond, SkewTime::OfInterval].map(skew), [3_906_250, 39_062]);
        assert_eq!(vrrp(128).skew_time(SkewTime::OfInterval, interval), interval / 2);
        assert_eq!(vrrp(1).skew_time(SkewTime::OfSecond, interval).as_nanos(), 996_093_750);
    }
}
