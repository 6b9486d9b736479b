//! What a configuration refers to outside of its text.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use thiserror::Error;

use super::key::{KeyFileError, Secret, read_secret};

/// The machine that a configuration is checked for. [`ThisHost`] is the real one; another one makes
/// checking independent of any file.
pub trait Host {
    /// The hostname.
    fn name(&self) -> String;

    /// The secret in a key file.
    ///
    /// # Errors
    /// [`KeyFileError`] if it cannot be read, or not by us alone.
    fn secret(&self, path: &Path) -> Result<Secret, KeyFileError>;

    /// Whether there is a program at a path.
    ///
    /// # Errors
    /// [`ProgramError`] says what is there instead.
    fn program(&self, path: &Path) -> Result<(), ProgramError>;
}

/// The machine that we run on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThisHost;

impl Host for ThisHost {
    fn name(&self) -> String {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }

    fn secret(&self, path: &Path) -> Result<Secret, KeyFileError> {
        read_secret(path)
    }

    fn program(&self, path: &Path) -> Result<(), ProgramError> {
        let metadata = fs::metadata(path).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => ProgramError::Denied,
            _ => ProgramError::Missing,
        })?;
        if !metadata.is_file() {
            return Err(ProgramError::NotAFile);
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(ProgramError::NotExecutable);
        }
        Ok(())
    }
}

/// Why a program could not be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Nothing there.
    #[error("does not exist")]
    Missing,
    /// Nobody may execute it.
    #[error("is not executable")]
    NotExecutable,
    /// A directory, or another thing that is no program.
    #[error("is not a file")]
    NotAFile,
    /// We may not look.
    #[error("is in a directory that cannot be searched: permission denied")]
    Denied,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_other_things() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hook");
        assert_eq!(ThisHost.program(&file), Err(ProgramError::Missing));
        fs::write(&file, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(ThisHost.program(&file), Err(ProgramError::NotExecutable));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(ThisHost.program(&file), Ok(()));
        assert_eq!(ThisHost.program(dir.path()), Err(ProgramError::NotAFile));
    }

    #[test]
    fn this_host_has_a_name() {
        assert!(!ThisHost.name().is_empty());
    }
}
