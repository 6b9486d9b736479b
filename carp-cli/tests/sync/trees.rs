//! What a tree is, as a whole: to see that nothing of it was touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Failed;

use crate::support::{Tested, ensure};

/// Every entry of a tree, at all depths: what it is, whose, and what it says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot(BTreeMap<PathBuf, Entry>);

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    mode: u32,
    owner: (u32, u32),
    links: u64,
    /// Not of directories: a pass that fails may have made something in one, and removed it again.
    modified: Option<(i64, i64)>,
    /// A file's bytes, a link's target.
    content: Vec<u8>,
}

/// What rsync has received of files that are not complete: no part of the tree.
const PARTIAL: &str = ".sync-partial";

impl Snapshot {
    pub(crate) fn of(root: &Path) -> Result<Self, Failed> {
        let mut entries = BTreeMap::new();
        let mut directories = vec![PathBuf::new()];
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(root.join(&directory))? {
                let entry = entry?;
                let name = directory.join(entry.file_name());
                let metadata = entry.metadata()?;
                if entry.file_name() == PARTIAL {
                    continue;
                }
                let content = if metadata.is_symlink() {
                    fs::read_link(entry.path())?.as_os_str().as_bytes().to_vec()
                } else if metadata.is_file() {
                    fs::read(entry.path())?
                } else {
                    Vec::new()
                };
                if metadata.is_dir() {
                    directories.push(name.clone());
                }
                let is_dir = metadata.is_dir();
                let entry = Entry {
                    mode: metadata.mode(),
                    owner: (metadata.uid(), metadata.gid()),
                    links: if is_dir { 1 } else { metadata.nlink() },
                    modified: (!is_dir).then(|| (metadata.mtime(), metadata.mtime_nsec())),
                    content,
                };
                entries.insert(name, entry);
            }
        }
        Ok(Self(entries))
    }

    /// Fails with what has changed, unless the tree is still this one.
    pub(crate) fn ensure_untouched(&self, root: &Path, when: &str) -> Tested {
        let now = Self::of(root)?;
        let names = self.0.keys().chain(now.0.keys());
        let changed: Vec<_> = names.filter(|it| self.0.get(*it) != now.0.get(*it)).collect();
        ensure(changed.is_empty(), format!("{when}: {} has other {changed:?}", root.display()))
    }
}

/// Both trees of a pair.
pub(crate) struct Both<'a>([(&'a Path, Snapshot); 2]);

impl<'a> Both<'a> {
    pub(crate) fn of(pair: &'a crate::scene::Pair<'_>) -> Result<Self, Failed> {
        let of = |root: &'a Path| Ok::<_, Failed>((root, Snapshot::of(root)?));
        Ok(Self([of(&pair.a.share)?, of(&pair.b.share)?]))
    }

    /// Fails unless both trees are still these.
    pub(crate) fn ensure_untouched(&self, when: &str) -> Tested {
        self.0.iter().try_for_each(|(root, before)| before.ensure_untouched(root, when))
    }
}
