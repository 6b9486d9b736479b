//! When a frame was captured, as precisely as the file says it.

use std::fmt;
use std::time::Duration;

/// A time with the precision of a capture. Prints as RFC 3339 in UTC, with as many digits as the
/// file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    seconds: jiff::Timestamp,
    /// In units of the last of `digits` digits.
    fraction: u64,
    digits: u8,
}

impl Timestamp {
    /// A time from seconds and a fraction of this many decimal digits. A fraction of a second and
    /// more, which only a damaged file has, carries over. `None` beyond the year 9999.
    pub(crate) fn of_parts(seconds: u32, fraction: u32, digits: u8) -> Option<Self> {
        let unit = 10_u64.checked_pow(digits.into())?;
        let fraction = u64::from(fraction);
        let seconds = i64::from(seconds).checked_add_unsigned(fraction / unit)?;
        Self::new(seconds, fraction % unit, digits)
    }

    /// The same to the nanosecond, or as precisely as it is known.
    pub(crate) fn at(time: jiff::Timestamp) -> Option<Self> {
        let nanos = u32::try_from(time.subsec_nanosecond()).ok()?;
        Self::of_parts(u32::try_from(time.as_second()).ok()?, nanos, 9)
    }

    /// The seconds since the Unix epoch, and the nanoseconds. A time that pcap cannot say, before 1970
    /// or after 2106, is the nearest that it can.
    pub(super) fn unix(self) -> (u32, u32) {
        let seconds = self.seconds.as_second().max(0);
        (u32::try_from(seconds).unwrap_or(u32::MAX), u32::try_from(self.nanos()).unwrap_or(0))
    }

    /// The time since the Unix epoch.
    #[must_use]
    pub fn since_epoch(self) -> Duration {
        let seconds = u64::try_from(self.seconds.as_second()).unwrap_or(0);
        Duration::from_secs(seconds) + Duration::from_nanos(self.nanos())
    }

    /// The fraction in nanoseconds; digits beyond the ninth are cut off.
    fn nanos(self) -> u64 {
        const NANOS: u32 = 9;
        match NANOS.checked_sub(self.digits.into()) {
            Some(missing) => self.fraction.saturating_mul(10_u64.pow(missing)),
            None => self.fraction / 10_u64.pow(u32::from(self.digits) - NANOS),
        }
    }

    fn new(seconds: i64, fraction: u64, digits: u8) -> Option<Self> {
        let seconds = jiff::Timestamp::from_second(seconds).ok()?;
        Some(Self { seconds, fraction, digits })
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds.to_string();
        if self.digits == 0 {
            return f.write_str(&seconds);
        }
        let seconds = seconds.trim_end_matches('Z');
        write!(f, "{seconds}.{:0width$}Z", self.fraction, width = usize::from(self.digits))
    }
}

/// How a pcapng interface counts time: the options `if_tsresol` and `if_tsoffset`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// A negative power of 10, or with the highest bit set, of 2.
    pub(super) resolution: u8,
    /// Seconds to add.
    pub(super) offset: i64,
}

impl Clock {
    /// A time from its count. `None` for what is beyond the year 9999, or if the units are smaller
    /// than any clock's.
    pub(super) fn time(self, ticks: u64) -> Option<Timestamp> {
        const BINARY: u8 = 0x80;
        let exponent = u32::from(self.resolution & !BINARY);
        let (unit, digits) = if self.resolution & BINARY == 0 {
            (10_u64.checked_pow(exponent)?, self.resolution)
        } else {
            (1_u64.checked_shl(exponent)?, 9)
        };
        let mut fraction = ticks % unit;
        if self.resolution & BINARY != 0 {
            let nanos = u128::from(fraction) * 1_000_000_000 / u128::from(unit);
            fraction = u64::try_from(nanos).ok()?;
        }
        let seconds = i64::try_from(ticks / unit).ok()?.checked_add(self.offset)?;
        Timestamp::new(seconds, fraction, digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(resolution: u8, offset: i64, ticks: u64) -> Option<String> {
        Clock { resolution, offset }.time(ticks).map(|time| time.to_string())
    }

    #[test]
    fn a_time_has_the_digits_of_its_file() {
        let time = Timestamp::of_parts(1_340_954_905, 298_858, 6).unwrap();
        assert_eq!(time.to_string(), "2012-06-29T07:28:25.298858Z");
        let time = Timestamp::of_parts(1_340_954_905, 42, 9).unwrap();
        assert_eq!(time.to_string(), "2012-06-29T07:28:25.000000042Z");
        let late = Timestamp::of_parts(0, 2_000_001, 6).unwrap();
        assert_eq!(late.to_string(), "1970-01-01T00:00:02.000001Z");
    }

    #[test]
    fn resolutions_are_powers_of_ten_or_two() {
        // The example of the pcapng draft, section 4.6.
        let ticks = 0x0004_c397_64ca_47aa;
        assert_eq!(shown(6, 0, ticks).unwrap(), "2012-06-29T07:28:25.298858Z");
        assert_eq!(shown(0, 0, 5).unwrap(), "1970-01-01T00:00:05Z");
        assert_eq!(shown(3, 60, 1_007).unwrap(), "1970-01-01T00:01:01.007Z");
        assert_eq!(shown(0x80 | 1, -1, 5).unwrap(), "1970-01-01T00:00:01.500000000Z");
        assert_eq!(shown(12, 0, 1).unwrap(), "1970-01-01T00:00:00.000000000001Z");
    }

    #[test]
    fn a_time_is_written_to_the_nanosecond() {
        let unix = |resolution, ticks| {
            Clock { resolution, offset: 0 }.time(ticks).map(Timestamp::unix).unwrap()
        };
        assert_eq!(unix(6, 1_000_007), (1, 7_000));
        assert_eq!(unix(9, 1_000_000_007), (1, 7));
        assert_eq!(unix(12, 1_000_000_007_999), (1, 7));
        assert_eq!(unix(0, 5), (5, 0));
        assert_eq!(Clock { resolution: 0, offset: -9 }.time(5).map(Timestamp::unix), Some((0, 0)));
        assert_eq!(unix(0, 1 << 32), (u32::MAX, 0));
        let time = Timestamp::of_parts(3, 250_000, 6).unwrap();
        assert_eq!(time.since_epoch(), Duration::from_millis(3_250));
        assert_eq!(Timestamp::at(jiff::Timestamp::new(3, 7).unwrap()).unwrap().unix(), (3, 7));
    }

    #[test]
    fn times_that_cannot_be_said_are_none() {
        assert_eq!(shown(20, 0, 1), None);
        assert_eq!(shown(0x80 | 64, 0, 1), None);
        assert_eq!(shown(0, 0, u64::MAX), None);
        assert_eq!(shown(6, i64::MAX, u64::MAX), None);
    }
}
