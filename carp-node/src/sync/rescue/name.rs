//! The names of sets.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use thiserror::Error;

/// When a set was begun, and the epoch that was pulled: `20261129T163016Z-e7`. Names sort by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetName {
    /// When the pass began, to the second.
    pub began: Timestamp,
    /// The number of the epoch.
    pub epoch: u64,
    /// 0, or what tells it from others of the same second and epoch: 2, 3 and so on.
    pub nth: u32,
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.began.strftime("%Y%m%dT%H%M%SZ");
        write!(f, "{time}-e{}", self.epoch)?;
        match self.nth {
            0 => Ok(()),
            nth => write!(f, "-{nth}"),
        }
    }
}

impl FromStr for SetName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut parts = text.split('-');
        let (time, epoch, nth) = (parts.next(), parts.next(), parts.next());
        let time = time.and_then(|time| time.strip_suffix('Z')).ok_or(NameError)?;
        let time = DateTime::strptime("%Y%m%dT%H%M%S", time).map_err(|_| NameError)?;
        let began = time.to_zoned(TimeZone::UTC).map_err(|_| NameError)?.timestamp();
        let epoch = epoch.and_then(|epoch| epoch.strip_prefix('e')).ok_or(NameError)?;
        let epoch = epoch.parse().map_err(|_| NameError)?;
        let nth = nth.map_or(Ok(0), str::parse).map_err(|_| NameError)?;
        let name = Self { began, epoch, nth };
        // One text for one name: no signs, no leading zeros, nothing behind it.
        if name.to_string() == text { Ok(name) } else { Err(NameError) }
    }
}

/// It is not the name of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it is not the name of a rescue set, as in 20261129T163016Z-e7")]
pub struct NameError;
