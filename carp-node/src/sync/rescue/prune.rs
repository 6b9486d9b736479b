//! Which sets may go.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::name::SetName;
use super::set::list;
use crate::control::units::WallTime;

/// What is kept. A set with orphans that nobody has acknowledged is kept in any case, and so is one whose
/// pass has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruning {
    /// Sets that are older go.
    pub age: Duration,
    /// The oldest go until the others have at most so many bytes.
    pub bytes: u64,
}

impl Pruning {
    /// All goes that nobody waits for.
    pub const NOTHING: Self = Self { age: Duration::ZERO, bytes: 0 };
}

impl Default for Pruning {
    /// 30 days, 10 GiB.
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 86_400), bytes: 10 << 30 }
    }
}

/// Removes the sets that may go, and says which. One whose report cannot be read stays.
///
/// # Errors
/// What the system said about the first set that could not be removed; those before it are gone.
pub fn prune(directory: &Path, keep: Pruning, now: WallTime) -> io::Result<Vec<SetName>> {
    let mut left = Vec::new();
    for set in list(directory)? {
        if let Ok(Some(report)) = set.summary() {
            left.push((set, report));
        }
    }
    let mut bytes = left.iter().map(|(_, report)| report.bytes).fold(0, u64::saturating_add);
    let oldest = now.earlier(keep.age);
    let mut removed = Vec::new();
    for (set, report) in left {
        let goes = report.ended < oldest || bytes > keep.bytes;
        if goes && !report.is_awaited() {
            fs::remove_dir_all(set.path())?;
            bytes = bytes.saturating_sub(report.bytes);
            removed.push(set.name());
        }
    }
    Ok(removed)
}
