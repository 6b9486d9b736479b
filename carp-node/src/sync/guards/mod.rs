//! What is looked at before a pass: each guard answers with a [`Hold`] or lets it go on.
//!
//! | guard | against |
//! |---|---|
//! | [`marker`] | a share that is not mounted, on either side: it would be copied as an empty one |
//! | [`database`] | copying the files of a database server that runs |
//! | [`place`] | a root that is missing, read-only, or behind a link; a rescue set on another disk, or without space |
//! | [`mass_delete_limit`] | a source that has lost most of its files |

pub mod database;
pub mod marker;
pub mod place;

use super::hold::{Hold, HoldReason};

/// At least so many files may be deleted by a pass.
pub const DELETE_LEAST: u64 = 100;

/// How many files a pass may delete without being asked about it: a tenth of those that are known, at
/// least [`DELETE_LEAST`].
#[must_use]
pub fn mass_delete_limit(known: Option<u64>) -> u64 {
    known.map_or(DELETE_LEAST, |files| (files / 10).max(DELETE_LEAST))
}

/// A dry run, or a pass that stopped, that would delete more than the limit.
#[must_use]
pub fn mass_delete(deletes: u64, limit: u64) -> Option<Hold> {
    (deletes > limit).then(|| {
        let what = format_args!("the pass would delete {deletes} files, and the limit is {limit}");
        Hold::new(HoldReason::MassDelete, what)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_may_go_and_always_a_hundred() {
        assert_eq!(mass_delete_limit(None), 100);
        assert_eq!(mass_delete_limit(Some(0)), 100);
        assert_eq!(mass_delete_limit(Some(1_000)), 100);
        assert_eq!(mass_delete_limit(Some(50_000)), 5_000);
        assert_eq!(mass_delete(100, 100), None);
        let hold = mass_delete(101, 100).unwrap();
        assert!(
            hold.message.starts_with("the pass would delete 101 files, and the limit is 100; ")
        );
    }
}
