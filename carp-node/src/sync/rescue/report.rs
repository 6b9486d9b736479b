//! What a set is about.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::control::units::WallTime;
use crate::sync::lineage::Epoch;

/// The schema of a report.
pub const REPORT_SCHEMA: &str = "carp.rescue/1";

/// How many entries a report names; all of them are in the set.
pub const ENTRIES_LISTED: usize = 10_000;

/// A report without its entries, of which there may be many.
pub type Summary = Report<IgnoredAny>;

/// `report.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report<Entries = Vec<Entry>> {
    /// [`REPORT_SCHEMA`].
    pub schema: String,
    /// The share.
    pub share: String,
    /// When the pass began.
    pub began: WallTime,
    /// When it ended, or when its end was noticed.
    pub ended: WallTime,
    /// What this tree was of before the pass.
    pub from: Option<Epoch>,
    /// The epoch that was pulled.
    pub to: Epoch,
    /// The pass was complete. Otherwise the next one has a set of its own.
    pub complete: bool,
    /// How many entries nobody else ever had.
    pub orphans: u64,
    /// How many the other node had replaced or deleted.
    pub superseded: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// The entries, orphans first: at most [`ENTRIES_LISTED`].
    pub entries: Entries,
    /// When somebody said that the orphans are of no more use.
    pub acknowledged: Option<WallTime>,
}

impl<Entries> Report<Entries> {
    /// Whether somebody has to look before it may go.
    #[must_use]
    pub const fn is_awaited(&self) -> bool {
        self.orphans > 0 && self.acknowledged.is_none()
    }
}

/// Sets with orphans that nobody has acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Awaited {
    /// How many sets.
    pub sets: u64,
    /// How many orphans are in them.
    pub orphans: u64,
}

/// An entry of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the share, as text: see [`path`](super::path).
    pub path: String,
    /// Why it is here.
    pub kind: Kind,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why an entry is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Nobody else ever had it.
    Orphan,
    /// The other node had it, and replaced or deleted it.
    Superseded,
}

impl Kind {
    /// The word in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Superseded => "superseded",
        }
    }
}
