//! Out of a set and back into the share.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path};

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Stat, Uid};
use rustix::io::Errno;
use thiserror::Error;

use super::set::RescueSet;

/// Moves an entry of a set to `to`, a path below `root`, which is the share's real root. An entry that is
/// there is never replaced, and no symbolic link on the way is followed: whoever can write in the share
/// must not be able to lead this anywhere else. Missing directories are made, as they are in the set.
///
/// It belongs on the node that serves: on a backup the next pass would delete it again.
///
/// # Errors
/// [`RestoreError`]: everything is where it was.
pub fn restore(set: &RescueSet, from: &Path, root: &Path, to: &Path) -> Result<(), RestoreError> {
    let (from_parts, to_parts) = (parts(from)?, parts(to)?);
    let ((from_name, from_dirs), (to_name, to_dirs)) = (
        from_parts.split_last().ok_or(RestoreError::Path)?,
        to_parts.split_last().ok_or(RestoreError::Path)?,
    );
    let mut source = open(&CWD, set.files().as_os_str())?;
    let mut attributes = Vec::new();
    for name in from_dirs {
        source = open(&source, name).map_err(RestoreError::not_in_set)?;
        attributes.push(rustix::fs::fstat(&source)?);
    }
    let stat = rustix::fs::statat(&source, *from_name, AtFlags::SYMLINK_NOFOLLOW);
    stat.map_err(|errno| RestoreError::not_in_set(errno.into()))?;
    let mut target = open(&CWD, root.as_os_str())?;
    for (depth, name) in to_dirs.iter().enumerate() {
        let made = match rustix::fs::mkdirat(&target, *name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(errno) => return Err(errno.into()),
        };
        target = open(&target, name)?;
        if made {
            let same = from_dirs.get(..=depth) == to_dirs.get(..=depth);
            give(&target, attributes.get(depth).filter(|_| same))?;
        }
    }
    match rustix::fs::renameat_with(&source, *from_name, &target, *to_name, RenameFlags::NOREPLACE)
    {
        Ok(()) => {}
        Err(Errno::EXIST) => return Err(RestoreError::Exists),
        Err(errno) => return Err(errno.into()),
    }
    for directory in [&target, &source] {
        rustix::fs::fsync(directory)?;
    }
    Ok(())
}

/// Gives a directory that was made the owner and the mode of another one; of its own, mode 755. Who may not give files
/// away keeps it.
fn give(directory: &OwnedFd, like: Option<&Stat>) -> io::Result<()> {
    let mode = like.map_or(Mode::from_raw_mode(0o755), |stat| Mode::from_raw_mode(stat.st_mode));
    if let Some(stat) = like {
        let (owner, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        match rustix::fs::fchown(directory, Some(owner), Some(group)) {
            Ok(()) | Err(Errno::PERM | Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(rustix::fs::fchmod(directory, mode)?)
}

/// The names of a path that leads nowhere but down.
fn parts(path: &Path) -> Result<Vec<&OsStr>, RestoreError> {
    let part = |component| match component {
        Component::Normal(name) => Ok(name),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
            Err(RestoreError::Path)
        }
    };
    path.components().map(part).collect()
}

fn open(at: &impl std::os::fd::AsFd, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(at, name, flags, Mode::empty())?)
}

/// Why an entry was not restored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A path that is empty, absolute, or leads up.
    #[error("the path has to be one below the share's root, as `carp sync rescue show` prints it")]
    Path,
    /// The set does not have it.
    #[error("the set does not have this entry; `carp sync rescue show` lists them")]
    Missing,
    /// The share has something there.
    #[error("the share has an entry of this name; give another name, and compare both")]
    Exists,
    /// The operating system refused.
    #[error("{}", crate::remedy::Told(.0))]
    System(#[from] io::Error),
}

impl RestoreError {
    fn not_in_set(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing,
            _ => Self::System(error),
        }
    }
}

impl From<Errno> for RestoreError {
    fn from(errno: Errno) -> Self {
        Self::System(errno.into())
    }
}
