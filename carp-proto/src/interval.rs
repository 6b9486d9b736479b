//! The units that intervals have on the wire. Conversions to [`Duration`] happen here and nowhere else.

use core::fmt;
use core::time::Duration;

use thiserror::Error;

use crate::id::Priority;

/// One unit of advskew: 1/256 s, which is a whole number of nanoseconds.
const SKEW_UNIT: Duration = Duration::from_nanos(3_906_250);

/// One unit of VRRP version 3's interval: 1/100 s.
const CENTISECOND: Duration = Duration::from_millis(10);

const NANOS_PER_SECOND: u64 = 1_000_000_000;

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
#[non_exhaustive]
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
    /// An interval that VRRP version 2 cannot say.
    #[error("an interval of {found:?} does not fit VRRP version 2: it is 1 to 255 whole seconds")]
    Seconds {
        /// The interval that was given.
        found: Duration,
    },
    /// An interval that VRRP version 3 cannot say.
    #[error(
        "an interval of {found:?} does not fit VRRP version 3: it is 10 ms to 40.95 s in steps of 10 ms"
    )]
    Centiseconds {
        /// The interval that was given.
        found: Duration,
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
        Duration::from_secs(u64::from(self.advbase)) * factor + self.skew_time()
    }

    /// The part of advskew.
    pub(crate) fn skew_time(self) -> Duration {
        SKEW_UNIT * u32::from(self.advskew)
    }
}

/// VRRP version 2's skew time: (256 - priority)/256 s, whatever the interval (RFC 3768 section 6.1).
pub(crate) fn skew_of_second(priority: Priority) -> Duration {
    SKEW_UNIT * below_256(priority)
}

/// VRRP version 3's skew time: (256 - priority)/256 of an interval (RFC 9568 section 6.1), exact to the
/// nanosecond. In whole centiseconds nothing would be left of it at short intervals.
pub(crate) fn skew_of(priority: Priority, interval: Duration) -> Duration {
    interval * below_256(priority) / 256
}

fn below_256(priority: Priority) -> u32 {
    256 - u32::from(priority.get())
}

impl fmt::Display for CarpInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}/256 s", self.advbase, self.advskew)
    }
}

/// VRRP version 2's advert interval: whole seconds (RFC 3768 section 5.3.7).
///
/// Every byte can appear on the wire, also 0, which means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(u8);

impl Seconds {
    /// The default, 1 s.
    pub const DEFAULT: Self = Self(1);

    /// The interval that stands on the wire.
    #[must_use]
    pub const fn from_wire(seconds: u8) -> Self {
        Self(seconds)
    }

    /// The seconds.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The time between two adverts.
    #[must_use]
    pub fn advert(self) -> Duration {
        Duration::from_secs(u64::from(self.0))
    }
}

impl TryFrom<Duration> for Seconds {
    type Error = IntervalError;

    /// An interval that can be configured: 1 to 255 whole seconds.
    fn try_from(found: Duration) -> Result<Self, IntervalError> {
        let seconds = u8::try_from(found.as_secs()).ok().map(Self);
        seconds
            .filter(|seconds| seconds.0 > 0 && seconds.advert() == found)
            .ok_or(IntervalError::Seconds { found })
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0)
    }
}

/// VRRP version 3's advert interval: centiseconds, in 12 bits (RFC 9568 section 5.2.7).
///
/// 0 can appear on the wire and means nothing; 1 to 4095, that is 10 ms to 40.95 s, can be
/// configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Centiseconds(u16);

impl Centiseconds {
    /// The default, 1 s.
    pub const DEFAULT: Self = Self(100);

    /// The longest interval, 40.95 s.
    pub const MAX: Self = Self(0x0fff);

    /// The interval in the lower 12 bits of what stands on the wire. The upper four are reserved and
    /// must not be looked at (RFC 9568 section 5.2.6).
    #[must_use]
    pub const fn from_wire(field: u16) -> Self {
        Self(field & Self::MAX.0)
    }

    /// The centiseconds, 0 to 4095.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The time between two adverts.
    #[must_use]
    pub fn advert(self) -> Duration {
        CENTISECOND * u32::from(self.0)
    }
}

impl TryFrom<Duration> for Centiseconds {
    type Error = IntervalError;

    /// An interval that can be configured: 10 ms to 40.95 s in steps of 10 ms.
    fn try_from(found: Duration) -> Result<Self, IntervalError> {
        let count = found.as_nanos() / CENTISECOND.as_nanos();
        let centiseconds = u16::try_from(count).ok().map(Self);
        centiseconds
            .filter(|interval| {
                (1..=Self::MAX.0).contains(&interval.0) && interval.advert() == found
            })
            .ok_or(IntervalError::Centiseconds { found })
    }
}

impl fmt::Display for Centiseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02} s", self.0 / 100, self.0 % 100)
    }
}

/// A time since the Unix epoch as a fixed-point number: the lower 32 bits of the seconds, and the
/// fraction in 1/65536 s.
pub(crate) fn fixed_point(since_epoch: Duration) -> (u32, u16) {
    let [.., a, b, c, d] = since_epoch.as_secs().to_be_bytes();
    let fraction = (u64::from(since_epoch.subsec_nanos()) << 16) / NANOS_PER_SECOND;
    let [.., high, low] = fraction.to_be_bytes();
    (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([high, low]))
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
    fn vrrp_version_2_says_whole_seconds_only() {
        for secs in [1, 2, 255] {
            let interval = Seconds::try_from(Duration::from_secs(secs)).unwrap();
            assert_eq!(interval.advert(), Duration::from_secs(secs));
        }
        let refused = [Duration::ZERO, Duration::from_secs(256), Duration::from_millis(1500)];
        for found in refused {
            assert_eq!(Seconds::try_from(found), Err(IntervalError::Seconds { found }));
        }
    }

    #[test]
    fn vrrp_version_3_says_every_ten_milliseconds() {
        for centis in 1..=4095 {
            let duration = Duration::from_millis(10 * u64::from(centis));
            let interval = Centiseconds::try_from(duration).unwrap();
            assert_eq!((interval.get(), interval.advert()), (centis, duration));
        }
        let millis = |millis| Duration::from_millis(millis);
        for found in [millis(0), millis(5), millis(255), millis(40_960), Duration::MAX] {
            assert_eq!(Centiseconds::try_from(found), Err(IntervalError::Centiseconds { found }));
        }
        assert_eq!(std::format!("{}", Centiseconds(4095)), "40.95 s");
    }

    #[test]
    fn the_reserved_nibble_is_no_part_of_the_interval() {
        assert_eq!(Centiseconds::from_wire(0xf019), Centiseconds::from_wire(0x0019));
        assert_eq!(Centiseconds::from_wire(0xf000).advert(), Duration::ZERO);
    }

    #[test]
    fn a_fixed_point_time_has_65536_parts_of_a_second() {
        assert_eq!(fixed_point(Duration::new(7, 0)), (7, 0));
        assert_eq!(fixed_point(Duration::from_millis(7_500)), (7, 0x8000));
        assert_eq!(fixed_point(Duration::new(7, 999_999_999)), (7, 0xffff));
        assert_eq!(fixed_point(Duration::from_secs((1 << 32) + 7)), (7, 0), "the seconds wrap");
    }

    #[test]
    fn only_0_to_254_can_be_configured() {
        assert_eq!(AdvBase::new(255), Err(IntervalError::AdvBase { found: 255 }));
        assert_eq!(AdvSkew::new(-1), Err(IntervalError::AdvSkew { found: -1 }));
        assert_eq!(AdvSkew::new(254).map(AdvSkew::get), Ok(254));
    }
}
