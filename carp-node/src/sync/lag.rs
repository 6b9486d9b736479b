//! The one line that tells how far behind the standby is, and what a failover now would lose.

use std::fmt;
use std::time::Duration;

use carp_proto::Instant;

use super::lineage::{Epoch, Stamp};
use super::record::{AsOf, Peer, Role, ShareRecord};

/// How far behind the copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// By so much at most.
    Behind(Duration),
    /// There is no complete copy of what is served.
    NoCopy,
    /// Nobody knows: the other side has not been heard, or the clock was set back since.
    Unknown,
}

impl Lag {
    /// As the standby sees it: its clock against its own reading of it.
    #[must_use]
    pub fn of_standby(as_of: Option<&AsOf>, source: Option<&ShareRecord>, clock: Stamp) -> Self {
        let tip = source.and_then(|source| source.history.tip());
        match (as_of, tip) {
            (_, None) => Self::Unknown,
            (Some(as_of), Some(tip)) if as_of.tip == *tip => Self::between(as_of.local, clock),
            (Some(_) | None, Some(_)) => Self::NoCopy,
        }
    }

    /// As the active node sees it, whose tree has this tip: the standby's `as_of` is in the active node's own clock.
    #[must_use]
    pub fn of_active(
        tip: Option<&Epoch>,
        peer: Option<&Peer>,
        share: &str,
        clock: Stamp,
        now: Instant,
    ) -> Self {
        let fresh = peer.filter(|peer| peer.is_fresh(now, super::record::RECORD_FRESH));
        let Some(standby) = fresh.and_then(|peer| peer.share(share)) else { return Self::Unknown };
        if standby.role == Role::Init {
            return Self::Unknown;
        }
        match (&standby.as_of, tip) {
            (Some(as_of), Some(tip)) if as_of.tip == *tip => Self::between(as_of.source, clock),
            (Some(_) | None, Some(_) | None) => Self::NoCopy,
        }
    }

    /// From one reading of a clock to a later one. A clock that was set back in between says nothing.
    fn between(then: Stamp, clock: Stamp) -> Self {
        if clock < then { Self::Unknown } else { Self::Behind(clock.since(then)) }
    }

    /// Whether it is more than the limit, or not known: then there is an alarm.
    #[must_use]
    pub fn exceeds(self, most: Duration) -> bool {
        match self {
            Self::Behind(lag) => lag > most,
            Self::NoCopy | Self::Unknown => true,
        }
    }
}

/// The line.
impl fmt::Display for Lag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind(lag) => {
                // Rounded up: it is a bound.
                let seconds = lag.as_secs() + u64::from(lag.subsec_nanos() > 0);
                write!(
                    f,
                    "standby is {seconds} s behind; failover now would lose at most {seconds} s of file changes"
                )
            }
            Self::NoCopy => f.write_str(
                "standby has no complete copy of what is served; failover now could lose everything since \
                 the last change of roles",
            ),
            Self::Unknown => f.write_str(
                "how far the standby is behind is not known; failover now could lose everything since it \
                 was last heard",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::{as_of, peer, share_of};
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_line_is_a_bound_in_whole_seconds() {
        let line = Lag::Behind(Duration::from_millis(2_001)).to_string();
        assert_eq!(
            line,
            "standby is 3 s behind; failover now would lose at most 3 s of file changes"
        );
        assert!(Lag::Behind(Duration::ZERO).to_string().starts_with("standby is 0 s behind; "));
    }

    #[test]
    fn both_sides_tell_the_lag_by_their_own_clock() {
        let active = share_of("a", Role::Active, 3);
        let tip = active.history.tip().cloned().unwrap();
        // The source's clock said 100 s, the standby's 900 s.
        let copied = as_of(&tip, 100 * SECOND, 900 * SECOND);
        let clock = Stamp(907 * SECOND);
        let lag = Lag::of_standby(Some(&copied), Some(&active), clock);
        assert_eq!(lag, Lag::Behind(Duration::from_secs(7)));
        let mut standby = share_of("a", Role::Backup, 3);
        standby.as_of = Some(copied);
        let now = Instant::from_nanos(0) + Duration::from_secs(50);
        let peer = peer("b", standby, now);
        let lag =
            Lag::of_active(active.history.tip(), Some(&peer), "www", Stamp(105 * SECOND), now);
        assert_eq!(lag, Lag::Behind(Duration::from_secs(5)));
        let later = now + Duration::from_secs(60);
        let lag =
            Lag::of_active(active.history.tip(), Some(&peer), "www", Stamp(165 * SECOND), later);
        assert_eq!(lag, Lag::Unknown, "a record that does not move says nothing");
    }

    #[test]
    fn after_a_clock_was_set_back_nobody_knows() {
        let active = share_of("a", Role::Active, 3);
        let copied = as_of(active.history.tip().unwrap(), 100 * SECOND, 900 * SECOND);
        let lag = Lag::of_standby(Some(&copied), Some(&active), Stamp(899 * SECOND));
        assert_eq!(lag, Lag::Unknown);
        let standby = ShareRecord { as_of: Some(copied), ..share_of("a", Role::Backup, 3) };
        let now = Instant::from_nanos(0) + Duration::from_secs(50);
        let peer = peer("b", standby, now);
        let lag = Lag::of_active(active.history.tip(), Some(&peer), "www", Stamp(99 * SECOND), now);
        assert_eq!(lag, Lag::Unknown);
    }

    #[test]
    fn a_copy_of_another_epoch_is_none() {
        let active = share_of("a", Role::Active, 3);
        let older = share_of("a", Role::Active, 2);
        let copied = as_of(older.history.tip().unwrap(), 1, 1);
        assert_eq!(Lag::of_standby(Some(&copied), Some(&active), Stamp(2)), Lag::NoCopy);
        assert_eq!(Lag::of_standby(None, Some(&active), Stamp(2)), Lag::NoCopy);
        assert_eq!(Lag::of_standby(Some(&copied), None, Stamp(2)), Lag::Unknown);
        assert!(Lag::NoCopy.exceeds(Duration::MAX) && Lag::Unknown.exceeds(Duration::MAX));
        assert!(!Lag::Behind(Duration::from_secs(5)).exceeds(Duration::from_secs(5)));
    }
}
