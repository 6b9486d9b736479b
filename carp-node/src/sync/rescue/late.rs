//! Which entries of a tree are late: changed after the cutoff, so that nobody else ever had them.

use std::collections::HashSet;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead as _, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::report::Kind;
use crate::sync::decide::Rescue;
use crate::sync::pattern::Patterns;
use crate::sync::tree::{Go, visit};

/// How many late entries are written down. If there are more, everything in the set is an orphan: that
/// errs on the side of keeping, and bounds the memory.
pub const LATE_MOST: usize = 50_000;

/// What stands in the file of late entries if all are.
const ALL: &[u8] = b"*";

/// The paths that are late, each with a NUL behind it; or that all are.
pub(super) fn write_late(
    file: &mut dyn Write,
    root: &Path,
    exclude: &Patterns,
    rescue: Rescue,
) -> io::Result<()> {
    let Some(since) = rescue.orphans_since else { return file.write_all(ALL) };
    let (mut late, mut written) = (0, Ok(()));
    let all_seen = visit(root, exclude, |entry| {
        if !entry.metadata.is_dir() && entry.changed() >= since {
            late += 1;
            let path = entry.below.as_os_str().as_bytes();
            written = file.write_all(path).and_then(|()| file.write_all(&[0]));
        }
        if late > LATE_MOST || written.is_err() { Go::Stop } else { Go::On }
    })?;
    written?;
    // A list without its last NUL says that all are late.
    if all_seen { Ok(()) } else { file.write_all(ALL) }
}

/// What had changed after the cutoff. Of paths only a hash is kept: should two have the same, one that was replaced
/// counts as an orphan, which errs on the side of keeping.
pub(super) enum Late {
    All,
    Hashes(HashSet<u64>),
}

impl Late {
    /// A list that is missing or was cut off says nothing: all are late.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::All),
            outcome => BufReader::new(outcome?),
        };
        let mut hashes = HashSet::new();
        let mut path = Vec::new();
        while file.read_until(0, &mut path)? > 0 {
            let Some(whole) = path.strip_suffix(&[0]) else { return Ok(Self::All) };
            hashes.insert(hash(whole));
            path.clear();
        }
        Ok(Self::Hashes(hashes))
    }

    pub(super) fn kind(&self, below: &Path) -> Kind {
        match self {
            Self::All => Kind::Orphan,
            Self::Hashes(late) if late.contains(&hash(below.as_os_str().as_bytes())) => {
                Kind::Orphan
            }
            Self::Hashes(_) => Kind::Superseded,
        }
    }
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}
