//! The units of JSON: decimal milliseconds and RFC 3339 times.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A duration that JSON writes as decimal milliseconds, to the microsecond: `3390.625`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

impl Millis {
    /// Whole milliseconds, rounded, as people read them.
    #[must_use]
    pub fn rounded(self) -> u128 {
        (self.0.as_micros() + 500) / 1000
    }
}

impl From<Duration> for Millis {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

/// `3390.625`, or `3390` if nothing is behind the point.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        match micros % 1000 {
            0 => write!(f, "{}", micros / 1000),
            fraction => {
                let digits = format!("{fraction:03}");
                write!(f, "{}.{}", micros / 1000, digits.trim_end_matches('0'))
            }
        }
    }
}

/// A text that is not a number of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a number of milliseconds with at most 6 decimals")]
pub struct MillisError;

impl FromStr for Millis {
    type Err = MillisError;

    fn from_str(text: &str) -> Result<Self, MillisError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let millis: u64 = whole.parse().map_err(|_| MillisError)?;
        if fraction.len() > 6 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(MillisError);
        }
        let nanos: u64 = format!("{fraction:0<6}").parse().map_err(|_| MillisError)?;
        Ok(Self(Duration::from_millis(millis) + Duration::from_nanos(nanos)))
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number: serde_json::Number = self.to_string().parse().map_err(S::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number.to_string().parse().map_err(D::Error::custom)
    }
}

/// A point of civil time that JSON writes as RFC 3339 in UTC with milliseconds:
/// `2026-07-01T12:00:00.250Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub Timestamp);

impl WallTime {
    /// The present time.
    #[must_use]
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The time that was `age` before this one; the same if that is before all calendars.
    #[must_use]
    pub fn earlier(self, age: Duration) -> Self {
        SignedDuration::try_from(age)
            .ok()
            .and_then(|age| self.0.checked_sub(age).ok())
            .map_or(self, Self)
    }
}

impl From<SystemTime> for WallTime {
    /// A time outside the years -9999 to 9999 becomes the epoch.
    fn from(time: SystemTime) -> Self {
        Self(Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl Serialize for WallTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WallTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_decimal_and_read_back() {
        for (nanos, json) in [
            (0, "0"),
            (1_000_000_000, "1000"),
            (3_390_625_000, "3390.625"),
            (11_718_750, "11.718"),
            (50_000, "0.05"),
        ] {
            let millis = Millis(Duration::from_nanos(nanos));
            assert_eq!(serde_json::to_string(&millis).unwrap(), json);
            let back: Millis = serde_json::from_str(json).unwrap();
            assert_eq!(back.to_string(), millis.to_string());
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for json in ["-1", "\"1\"", "1e300", "null"] {
            assert!(serde_json::from_str::<Millis>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn times_have_milliseconds_and_read_back() {
        let time = WallTime(Timestamp::new(1_782_907_200, 250_900_000).unwrap());
        let json = serde_json::to_string(&time).unwrap();
        assert_eq!(json, "\"2026-07-01T12:00:00.250Z\"");
        assert_eq!(serde_json::from_str::<WallTime>(&json).unwrap().to_string(), time.to_string());
    }
}
