//! Where a share and its rescue sets are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use crate::sync::hold::{Hold, HoldReason};

/// What stays free on a disk after a pass, in bytes.
pub const SPARE: u64 = 16 << 20;

/// The directory beside a share in which its rescue sets are.
pub const RESCUE_DIR: &str = ".rescue";

/// The real root of a share. rsync refuses a target behind a link that belongs to somebody else, and a
/// link could be changed during a pass, so it is followed here, once.
///
/// # Errors
/// A [`Hold`]: it is not there, or not a directory.
pub fn real_root(path: &Path) -> Result<PathBuf, Hold> {
    let missing = |what: &dyn std::fmt::Display| {
        Hold::new(HoldReason::RootMissing, format_args!("{}: {what}", path.display()))
    };
    let real = fs::canonicalize(path).map_err(|error| missing(&error))?;
    let metadata = fs::metadata(&real).map_err(|error| missing(&error))?;
    if !metadata.is_dir() {
        return Err(missing(&"it is not a directory"));
    }
    Ok(real)
}

/// Whether the root can be written.
#[must_use]
pub fn read_only(root: &Path) -> Option<Hold> {
    let read_only =
        rustix::fs::statvfs(root).is_ok_and(|stat| stat.f_flag.contains(StatVfsMountFlags::RDONLY));
    read_only.then(|| {
        let what = format_args!("{} is mounted read-only", root.display());
        Hold::new(HoldReason::ReadOnlyTarget, what)
    })
}

/// Where the rescue sets of a share are: beside its root, on the same file system, so that keeping a file
/// is a rename. `root` is a real path.
///
/// # Errors
/// A [`Hold`]: the folder above is on another file system, or there is none.
pub fn rescue_directory(root: &Path, share: &str) -> Result<PathBuf, Hold> {
    let elsewhere = |what: &dyn std::fmt::Display| {
        let what = format_args!("no rescue set can be kept beside {}: {what}", root.display());
        Hold::new(HoldReason::RescueElsewhere, what)
    };
    let parent = root.parent().ok_or_else(|| elsewhere(&"it is the root of all"))?;
    let sets = parent.join(RESCUE_DIR).join(share);
    // An existing one may be a mount point of its own, or a link that somebody else has made.
    let mut beside = parent.to_owned();
    for existing in [parent.join(RESCUE_DIR), sets.clone()] {
        match fs::symlink_metadata(&existing) {
            Ok(metadata) if metadata.is_dir() => beside = existing,
            Ok(_) => {
                return Err(elsewhere(&format_args!("{} is no directory", existing.display())));
            }
            Err(_) => break,
        }
    }
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    match device(root).and_then(|own| Ok(own == device(&beside)?)) {
        Ok(true) => Ok(sets),
        Ok(false) => Err(elsewhere(&format_args!("{} is on another one", beside.display()))),
        Err(error) => Err(elsewhere(&error)),
    }
}

/// The real root of a share, and the directory of its rescue sets.
///
/// # Errors
/// As for [`real_root`] and [`rescue_directory`].
pub fn with_rescue(path: &Path, share: &str) -> Result<(PathBuf, PathBuf), Hold> {
    let root = real_root(path)?;
    let sets = rescue_directory(&root, share)?;
    Ok((root, sets))
}

/// Whether a pass with rescue fits: what it keeps stays, and what it receives (`bytes`, as a dry run
/// counted them) comes in addition.
///
/// # Errors
/// What the system said about the file system.
pub fn rescue_space(root: &Path, bytes: u64) -> io::Result<Option<Hold>> {
    Ok(too_little(bytes, free(root)?, root))
}

/// How many bytes are free on the file system of a folder.
///
/// # Errors
/// What the system said about it.
pub fn free(root: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(root)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn too_little(bytes: u64, free: u64, root: &Path) -> Option<Hold> {
    let needed = bytes.saturating_add(SPARE);
    (needed > free).then(|| {
        let what = format_args!(
            "the pass receives {} MiB and keeps what it replaces, and the disk of {} has {} MiB free",
            needed >> 20,
            root.display(),
            free >> 20
        );
        Hold::new(HoldReason::RescueSpace, what)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_root_behind_a_link_is_followed_and_a_missing_one_told() {
        let directory = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(directory.path()).unwrap();
        fs::create_dir(base.join("real")).unwrap();
        symlink("real", base.join("link")).unwrap();
        fs::write(base.join("file"), "").unwrap();
        assert_eq!(real_root(&base.join("link")).unwrap(), base.join("real"));
        for (name, what) in [("gone", "No such file"), ("file", "it is not a directory")] {
            let hold = real_root(&base.join(name)).unwrap_err();
            assert_eq!(hold.reason, HoldReason::RootMissing);
            assert!(hold.message.contains(what), "{hold:?}");
        }
    }

    #[test]
    fn rescue_sets_are_beside_the_share() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("www");
        fs::create_dir(&root).unwrap();
        let place = rescue_directory(&root, "www").unwrap();
        assert_eq!(place, directory.path().join(".rescue/www"));
        assert_eq!(read_only(&root), None);
        fs::create_dir(directory.path().join(".rescue")).unwrap();
        assert_eq!(rescue_directory(&root, "www").unwrap(), place);
        symlink("/tmp", &place).unwrap();
        let hold = rescue_directory(&root, "www").unwrap_err();
        assert!(hold.message.contains("is no directory"), "{hold:?}");
        // A mount point of its own, and the root of all.
        for root in ["/proc", "/"] {
            let hold = rescue_directory(root.as_ref(), "www").unwrap_err();
            assert_eq!(hold.reason, HoldReason::RescueElsewhere, "{root}");
        }
    }

    #[test]
    fn a_pass_that_does_not_fit_is_held() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(
            rescue_space(root.path(), u64::MAX).unwrap().map(|hold| hold.reason),
            Some(HoldReason::RescueSpace)
        );
        assert_eq!(too_little(1, SPARE + 1, root.path()), None);
        assert!(too_little(2, SPARE + 1, root.path()).is_some());
    }
}
