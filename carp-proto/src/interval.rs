//! The units that intervals have on the wire. Conversions to [`Duration`] happen here and nowhere else.

use core::fmt;
use core::time::Duration;

use thiserror::Error;

/// One unit of advskew: 1/256 s, which is a whole number of nanoseconds.
const SKEW_UNIT: Duration = Duration::from_nanos(3_906_250);

/// The largest advbase and advskew that can be configured. 255 with 255 says "I resign".
const MAX_CONFIGURED: u8 = 254;

/// CARP's advbase: the whole seconds of the advert interval, 0 to 254.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvBase(u8);

impl AdvBase {
    /// An advbase from its number of seconds.
    ///
    /// # Errors
    /// [`IntervalError`] for anything but 0 to 254.
    pub fn new(seconds: i64) -> Result<Self, IntervalError> {
        in_range(seconds).map(Self).ok_or(IntervalError::AdvBase { found: seconds })
    }

    /// The seconds.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// CARP's advskew: the part of the advert interval in 1/256 s, 0 to 254. The smaller, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdvSkew(u8);

impl AdvSkew {
    /// An advskew from its number of 1/256 s.
    ///
    /// # Errors
    /// [`IntervalError`] for anything but 0 to 254.
    pub fn new(units: i64) -> Result<Self, IntervalError> {
        in_range(units).map(Self).ok_or(IntervalError::AdvSkew { found: units })
    }

    /// The number of 1/256 s.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

fn in_range(value: i64) -> Option<u8> {
    u8::try_from(value).ok().filter(|&value| value <= MAX_CONFIGURED)
}

/// A number that cannot be configured as advbase or advskew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IntervalError {
    /// An advbase out of range.
    #[error("advbase {found} is out of range: it is 0 to 254 seconds")]
    AdvBase {
        /// The number that was given.
        found: i64,
    },
    /// An advskew out of range.
    #[error("advskew {found} is out of range: it is 0 to 254, in 1/256 s")]
    AdvSkew {
        /// The number that was given.
        found: i64,
    },
    /// advbase 0 in a dialect that has no meaning for it.
    #[error("advbase 0 is only understood by the dialects native and openbsd")]
    Zero,
}

/// An advert interval as CARP writes it: advbase whole seconds and advskew 1/256 s.
///
/// Every byte can appear on the wire, also 255. Intervals order as `(advbase, advskew)`, which is the
/// order in which ucarp and the BSDs compare their truncated microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarpInterval {
    /// Whole seconds.
    pub advbase: u8,
    /// 1/256 s.
    pub advskew: u8,
}

impl CarpInterval {
    /// What OpenBSD sends on `ifconfig carpN down`, its "bow out": the sender resigns.
    pub const RESIGN: Self = Self { advbase: 255, advskew: 255 };

    /// An interval from configured parts.
    #[must_use]
    pub const fn new(advbase: AdvBase, advskew: AdvSkew) -> Self {
        Self { advbase: advbase.0, advskew: advskew.0 }
    }

    /// Whether this is the resignation 255/255.
    #[must_use]
    pub fn is_resignation(self) -> bool {
        self == Self::RESIGN
    }

    /// Whether both parts are zero, which only OpenBSD gives a meaning.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.advbase == 0 && self.advskew == 0
    }

    /// The time between two adverts. 0/0 stands for 1/256 s, as on OpenBSD.
    #[must_use]
    pub fn advert(self) -> Duration {
        if self.is_zero() {
            return SKEW_UNIT;
        }
        Duration::from_secs(u64::from(self.advbase)) + SKEW_UNIT * u32::from(self.advskew)
    }

    /// How long a backup with this interval waits for an advert before it takes over:
    /// `factor` × advbase + advskew/256 s, the skew counted once. With advbase 0, where that would be
    /// no time at all to miss an advert in, `factor` × the advert interval, as on OpenBSD.
    ///
    /// `factor` is ucarp's dead ratio; the BSDs and this project use 3.
    #[must_use]
    pub fn active_down(self, factor: u32) -> Duration {
        if self.advbase == 0 {
            return self.advert() * factor;
        }
        Duration::from_secs(u64::from(self.advbase)) * factor + SKEW_UNIT * u32::from(self.advskew)
    }
}

impl fmt::Display for CarpInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}/256 s", self.advbase, self.advskew)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(advbase: u8, advskew: u8) -> CarpInterval {
        CarpInterval { advbase, advskew }
    }

    #[test]
    fn a_skew_of_128_is_half_a_second() {
        assert_eq!(interval(1, 128).advert(), Duration::from_millis(1500));
    }

    #[test]
    fn active_down_counts_the_skew_once() {
        assert_eq!(interval(1, 100).active_down(3), Duration::from_nanos(3_390_625_000));
        assert_eq!(interval(3, 0).active_down(3), Duration::from_secs(9));
    }

    #[test]
    fn advbase_zero_follows_openbsd() {
        assert_eq!(interval(0, 0).advert(), Duration::from_nanos(3_906_250));
        assert_eq!(interval(0, 0).active_down(3), Duration::from_nanos(11_718_750));
        assert_eq!(interval(0, 20).active_down(3), SKEW_UNIT * 60);
    }

    #[test]
    fn only_0_to_254_can_be_configured() {
        assert_eq!(AdvBase::new(255), Err(IntervalError::AdvBase { found: 255 }));
        assert_eq!(AdvSkew::new(-1), Err(IntervalError::AdvSkew { found: -1 }));
        assert_eq!(AdvSkew::new(254).map(AdvSkew::get), Ok(254));
    }
}
