//! Waiting for conditions.

use std::thread;
use std::time::{Duration, Instant};

use super::LabError;

/// How often a condition is looked at.
const PAUSE: Duration = Duration::from_millis(2);

/// Waits until `condition` holds; `what` names it in the error and completes "waited for …".
///
/// # Errors
/// [`LabError::TimedOut`] if it does not hold within `limit`.
pub fn wait_until(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<(), LabError> {
    let end = Instant::now() + limit;
    while !condition() {
        if Instant::now() >= end {
            return Err(LabError::TimedOut { what: what.to_owned(), limit });
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
