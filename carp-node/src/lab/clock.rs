//! The kernel stamps packets with the time of day; the lab measures on the clock that is never set.

use std::time::{Duration, Instant, SystemTime};

/// Two clocks read this close together were read at one moment.
const AT_ONCE: Duration = Duration::from_micros(5);

/// How often to try to read them at one moment. A thread that is interrupted that often is not likely.
const ATTEMPTS: u8 = 8;

/// The moment of a time stamp.
pub(super) fn instant(stamp: SystemTime) -> Instant {
    let (now, time_of_day) = both();
    let age = time_of_day.duration_since(stamp).unwrap_or_default();
    now.checked_sub(age).unwrap_or(now)
}

/// Both clocks, read as close together as the scheduler allows.
fn both() -> (Instant, SystemTime) {
    let read = || {
        let before = Instant::now();
        let time_of_day = SystemTime::now();
        (before.elapsed(), before, time_of_day)
    };
    let mut best = read();
    for _ in 1..ATTEMPTS {
        if best.0 <= AT_ONCE {
            break;
        }
        let again = read();
        if again.0 < best.0 {
            best = again;
        }
    }
    (best.1, best.2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_now_is_now() {
        let before = Instant::now();
        let at = instant(SystemTime::now());
        let error = at.max(before) - at.min(before);
        assert!(error < Duration::from_secs(1), "{error:?}");
    }
}
