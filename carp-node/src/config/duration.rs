//! Durations as people write them: `500ms`, `1s`, `2m`, `1h`, `7d`.

use std::time::Duration;

use thiserror::Error;

/// The longest duration that anything in a configuration can have.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Reads a whole number followed by `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
/// [`DurationError`] for anything else, and for more than 7 days.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let millis_per_unit = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err(DurationError::Syntax),
    };
    if number.is_empty() {
        return Err(DurationError::Syntax);
    }
    // All digits: a number that cannot be read is one that is too large.
    let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
    let millis = number.checked_mul(millis_per_unit).ok_or(DurationError::TooLong)?;
    let duration = Duration::from_millis(millis);
    if duration > LONGEST { Err(DurationError::TooLong) } else { Ok(duration) }
}

/// The shortest way to write a duration; what is no whole number of milliseconds is written with
/// decimals, such as `1.00390625s`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        return format!("{duration:?}");
    }
    match secs {
        172_800.. if secs.is_multiple_of(86_400) => format!("{}d", secs / 86_400),
        3600.. if secs.is_multiple_of(3600) => format!("{}h", secs / 3600),
        120.. if secs.is_multiple_of(60) => format!("{}m", secs / 60),
        _ => format!("{secs}s"),
    }
}

/// A text that is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Not a whole number and a unit.
    #[error("not a duration: write a whole number and its unit, like 500ms, 1s, 2m, 1h or 7d")]
    Syntax,
    /// More than 7 days.
    #[error("the duration is too long: at most 7d")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_is_read_and_written() {
        for (text, millis) in
            [("0s", 0), ("500ms", 500), ("1s", 1000), ("90s", 90_000), ("2m", 120_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse_duration("7d"), Ok(LONGEST));
        assert_eq!(parse_duration("168h"), Ok(LONGEST));
        assert_eq!(format_duration(LONGEST), "7d");
        assert_eq!(format_duration(Duration::from_secs(86_400)), "24h");
        assert_eq!(format_duration(Duration::from_nanos(1_003_906_250)), "1.00390625s");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["", "s", "1", "1.5s", "-1s", "1 s", "1S", "1w", "+1s", "1sx", "١s"] {
            assert_eq!(parse_duration(text), Err(DurationError::Syntax), "{text:?}");
        }
        for text in ["169h", "8d", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(parse_duration(text), Err(DurationError::TooLong), "{text:?}");
        }
    }
}
