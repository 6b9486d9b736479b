//! What a set keeps, looked at without keeping it in memory.

use std::io;
use std::path::Path;

use serde::ser::{Error as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::late::Late;
use super::path;
use super::report::{ENTRIES_LISTED, Entry, Kind};
use crate::sync::pattern::Patterns;
use crate::sync::tree::{Go, visit};

/// Looks at everything that is kept and is no directory: its path, why it is there, and its length.
pub(super) fn each_kept(
    files: &Path,
    late: &Late,
    mut look: impl FnMut(&Path, Kind, u64) -> Go,
) -> io::Result<bool> {
    visit(files, &Patterns::default(), |entry| {
        if entry.metadata.is_dir() {
            return Go::On;
        }
        look(entry.below, late.kind(entry.below), entry.metadata.len())
    })
}

/// The entries of a report, orphans first, as they are found: there is no room in memory for all of them.
pub(super) struct Listed<'a> {
    pub(super) files: &'a Path,
    pub(super) late: &'a Late,
}

impl Serialize for Listed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (mut list, mut left) = (serializer.serialize_seq(None)?, ENTRIES_LISTED);
        for wanted in [Kind::Orphan, Kind::Superseded] {
            let mut written = Ok(());
            let walked = each_kept(self.files, self.late, |below, kind, bytes| {
                if kind != wanted {
                    return Go::On;
                }
                if left == 0 {
                    return Go::Stop;
                }
                left -= 1;
                written =
                    list.serialize_element(&Entry { path: path::to_text(below), kind, bytes });
                if written.is_ok() { Go::On } else { Go::Stop }
            });
            written?;
            walked.map_err(S::Error::custom)?;
        }
        list.end()
    }
}
