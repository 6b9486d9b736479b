//! Rescue sets: what a pass would have overwritten or deleted, kept beside the share.
//!
//! ```text
//! /srv/.rescue/www/20261129T163016Z-e7/   0700; e7 is the epoch that was pulled
//!     files/                              rsync's backup directory: the paths as in the share
//!     late                                what had changed after the cutoff, before the pass
//!     report.json                         carp.rescue/1, when the pass has ended
//!     acknowledged.json                   when somebody said that the orphans are of no more use
//! ```
//!
//! An entry is an *orphan* if nobody else ever had it: it was changed at or after the moment up to
//! which the other node had copied this tree. Everything else is *superseded*: the other node had it, and
//! changed or deleted it. The difference has to be written down before the pass, because moving a file
//! into the set changes the very time that tells it.
//!
//! A set with orphans that nobody has acknowledged is never pruned, nor is one whose pass has not ended.
//! rsync does not keep empty directories, and neither does a set.

mod kept;
mod late;
mod name;
pub mod path;
mod prune;
mod report;
mod restore;
mod set;

pub use late::LATE_MOST;
pub use name::{NameError, SetName};
pub use prune::{Pruning, prune};
pub use report::{Awaited, ENTRIES_LISTED, Entry, Kind, REPORT_SCHEMA, Report, Summary};
pub use restore::{RestoreError, restore};
pub use set::{Pull, RescueSet, awaited, begin, list};

#[cfg(test)]
mod tests;
