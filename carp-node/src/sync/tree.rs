//! Walks through a share's tree: how many entries, the newest change, nothing kept in memory.
//!
//! Paths are bytes. What vanishes while it is looked at was not there.

use std::fs::{self, Metadata, ReadDir};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags};
use rustix::io::Errno;

use super::guards::marker::MARKER;
use super::lineage::Stamp;
use super::pattern::Patterns;
use super::record::Walk;
use super::rsync::command::PARTIAL_DIR;

/// How deep a tree is followed. Each level keeps a directory open.
const DEEPEST: usize = 256;

/// An entry that a walk came to.
#[derive(Debug)]
pub struct Visit<'a> {
    /// The whole path.
    pub path: &'a Path,
    /// The path below the root.
    pub below: &'a Path,
    /// What it is; symbolic links are not followed.
    pub metadata: &'a Metadata,
}

impl Visit<'_> {
    /// When it was changed last in any way (`st_ctime`), which no program can set.
    #[must_use]
    pub fn changed(&self) -> Stamp {
        changed(self.metadata)
    }
}

/// When an entry was changed last. What was before 1970 was not changed later than that.
#[must_use]
pub fn changed(metadata: &Metadata) -> Stamp {
    let seconds = u64::try_from(metadata.ctime()).unwrap_or(0);
    let nanos = u64::try_from(metadata.ctime_nsec()).unwrap_or(0);
    Stamp(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// On.
    On,
    /// Enough.
    Stop,
}

/// Visits every entry below `root` that is part of the share, directories before what is in them; not the
/// root itself, not what `exclude` names, and not carp's own files. Says whether it came to the end.
///
/// # Errors
/// What the system said about a directory that is there and cannot be read, or one that is too deep, with its path.
pub fn visit(
    root: &Path,
    exclude: &Patterns,
    mut look: impl FnMut(&Visit<'_>) -> Go,
) -> io::Result<bool> {
    let mut open: Vec<ReadDir> = vec![fs::read_dir(root).map_err(|error| at(root, &error))?];
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.next() else {
            open.pop();
            continue;
        };
        let path = entry?.path();
        let found = there(fs::symlink_metadata(&path)).map_err(|error| at(&path, &error))?;
        let Some(metadata) = found else { continue };
        let below = path.strip_prefix(root).unwrap_or(&path);
        if is_ours(below) || exclude.covers(below.as_os_str().as_bytes(), metadata.is_dir()) {
            continue;
        }
        if look(&Visit { path: &path, below, metadata: &metadata }) == Go::Stop {
            return Ok(false);
        }
        if metadata.is_dir() {
            if open.len() == DEEPEST {
                let what = format!("{} is deeper than {DEEPEST} directories", path.display());
                return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
            }
            open.extend(there(fs::read_dir(&path)).map_err(|error| at(&path, &error))?);
        }
    }
    Ok(true)
}

/// An error of the system, with the path that it is about.
pub(in crate::sync) fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn there<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Err(error) if is_gone(&error) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// Nothing is there any more, or something else than a directory.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What carp itself puts into a share.
fn is_ours(below: &Path) -> bool {
    below == Path::new(MARKER) || below.file_name().is_some_and(|name| name == PARTIAL_DIR)
}

/// What a decision asks for with [`Decision::Scan`](super::decide::Decision::Scan).
///
/// # Errors
/// As for [`visit`].
pub fn scan(root: &Path, exclude: &Patterns) -> io::Result<Walk> {
    let mut newest = changed(&fs::metadata(root)?);
    let mut empty = true;
    visit(root, exclude, |found| {
        empty = false;
        newest = newest.max(found.changed());
        Go::On
    })?;
    Ok(Walk { empty, newest })
}

/// Removes what cut-off passes left in the partial directories, and these. To be called after a pass that was complete,
/// and after one for which the disk was full: what it had received is what fills it. Says how many
/// directories there were.
///
/// # Errors
/// What the system said. What could be removed is gone.
pub fn purge_partial(root: &Path) -> io::Result<u64> {
    each_partial(root, |path| fs::remove_dir_all(path))
}

/// Removes what is in the partial directories and leaves these, empty: to remove them would look like a change of the
/// tree.
///
/// # Errors
/// As for [`purge_partial`].
pub fn empty_partial(root: &Path) -> io::Result<u64> {
    each_partial(root, |path| {
        // Whoever may write in the tree must not lead this elsewhere, by a link in the directory's place.
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            // rsync puts files there, and no directories.
            match rustix::fs::unlinkat(&directory, entry.file_name(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    })
}

fn each_partial(root: &Path, clear: impl Fn(&Path) -> io::Result<()>) -> io::Result<u64> {
    let mut found = 0;
    let mut open: Vec<ReadDir> = there(fs::read_dir(root))?.into_iter().collect();
    while let Some(directory) = open.last_mut() {
        let Some(entry) = directory.next() else {
            open.pop();
            continue;
        };
        let entry = entry?;
        let kind = there(entry.file_type())?;
        if !kind.is_some_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name() == PARTIAL_DIR {
            let path = entry.path();
            let cleared = there(clear(&path)).map_err(|error| at(&path, &error))?;
            found += u64::from(cleared.is_some());
        } else if open.len() < DEEPEST {
            // Below that, what is left is of use to the next pass, and harmless.
            open.extend(there(fs::read_dir(entry.path()))?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for directory in ["a/b", ".sync-partial", "a/.sync-partial", "cache/x"] {
            fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        for file in [MARKER, "a/one", ".sync-partial/half", "a/.sync-partial/half", "cache/x/y"] {
            fs::write(root.path().join(file), "x").unwrap();
        }
        fs::write(root.path().join(OsStr::from_bytes(b"a/\xff\n")), "x").unwrap();
        symlink("/etc", root.path().join("a/link")).unwrap();
        root
    }

    #[test]
    fn what_goes_while_it_is_looked_at_is_no_error() {
        let seen = |change: &dyn Fn(&Path, &Path)| {
            let root = tree();
            let walked = visit(root.path(), &Patterns::default(), |found| {
                change(root.path(), found.below);
                Go::On
            });
            walked.unwrap()
        };
        // A directory while it is read, and one that is a file when it would be.
        assert!(seen(&|root, below| {
            if below.starts_with("a") && below != Path::new("a") {
                let _ = fs::remove_dir_all(root.join("a"));
            }
        }));
        assert!(seen(&|root, below| {
            if below == Path::new("a") {
                fs::remove_dir_all(root.join("a")).unwrap();
                fs::write(root.join("a"), "x").unwrap();
            }
        }));
    }

    fn names(root: &Path, exclude: &[&str]) -> Vec<PathBuf> {
        let exclude = Patterns::new(exclude.iter().map(|pattern| pattern.as_bytes().to_vec()));
        let mut names = Vec::new();
        let end = visit(root, &exclude, |found| {
            names.push(found.below.to_owned());
            Go::On
        });
        assert!(end.unwrap());
        names.sort();
        names
    }

    #[test]
    fn a_walk_sees_everything_but_what_is_excluded_or_carps_own() {
        let root = tree();
        let strange = PathBuf::from(OsStr::from_bytes(b"a/\xff\n"));
        let expected: Vec<PathBuf> = ["a", "a/b", "a/link", "a/one"]
            .map(PathBuf::from)
            .into_iter()
            .chain([strange])
            .collect();
        assert_eq!(names(root.path(), &["/cache/"]), expected);
        assert!(names(root.path(), &[]).contains(&"cache/x/y".into()));
    }

    #[test]
    fn an_empty_share_is_told_and_the_newest_change_too() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(MARKER), "x").unwrap();
        let none = Patterns::default();
        assert!(scan(root.path(), &none).unwrap().empty);
        fs::write(root.path().join("file"), "x").unwrap();
        let file = changed(&fs::metadata(root.path().join("file")).unwrap());
        let walk = scan(root.path(), &none).unwrap();
        assert!(!walk.empty && walk.newest >= file);
        // Setting the time of an entry back is itself a change.
        let old = fs::File::options().write(true).open(root.path().join("file")).unwrap();
        old.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert!(scan(root.path(), &none).unwrap().newest >= walk.newest);
        assert!(scan(&root.path().join("gone"), &none).is_err());
    }

    #[test]
    fn what_cut_off_passes_left_is_removed_and_nothing_else() {
        let root = tree();
        let before = names(root.path(), &[]);
        let walk = scan(root.path(), &Patterns::default()).unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("kept"), "x").unwrap();
        symlink(elsewhere.path(), root.path().join(".sync-partial/link")).unwrap();
        assert_eq!(empty_partial(root.path()).unwrap(), 2);
        assert_eq!(fs::read_dir(root.path().join(".sync-partial")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(root.path().join("a/.sync-partial")).unwrap().count(), 0);
        assert_eq!(scan(root.path(), &Patterns::default()).unwrap(), walk, "no change of the tree");
        assert!(elsewhere.path().join("kept").exists(), "a link is removed, and not followed");
        fs::remove_dir(root.path().join("a/.sync-partial")).unwrap();
        symlink(elsewhere.path(), root.path().join("a/.sync-partial")).unwrap();
        assert_eq!(empty_partial(root.path()).unwrap(), 1);
        assert!(elsewhere.path().join("kept").exists(), "nor is one in the directory's place");
        fs::remove_file(root.path().join("a/.sync-partial")).unwrap();
        fs::create_dir(root.path().join("a/.sync-partial")).unwrap();
        assert_eq!(purge_partial(root.path()).unwrap(), 2);
        assert!(!root.path().join(".sync-partial").exists());
        assert!(!root.path().join("a/.sync-partial").exists());
        assert_eq!(names(root.path(), &[]), before);
        assert_eq!(purge_partial(root.path()).unwrap(), 0);
    }
}
