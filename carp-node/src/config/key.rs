//! Key files: a secret in a file that nobody else can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use carp_proto::{Key, KeyError};
use rustix::fs::OFlags;
use thiserror::Error;
use zeroize::Zeroizing;

/// More than any key: what is longer is only measured.
const BUFFER: usize = 256;

/// What a key file holds.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// The key.
    pub key: Key,
    /// Whether it ends with white space, such as the carriage return of a file from Windows. That
    /// is part of the key, and the other side rarely has it.
    pub ends_with_space: bool,
}

/// Reads a CARP key: 1 to 19 bytes, after one trailing newline is taken off.
///
/// # Errors
/// [`KeyFileError`]; also for a file that others can read or write, or that belongs to somebody who
/// is neither root nor us.
pub fn read_key_file(path: &Path) -> Result<KeyFile, KeyFileError> {
    // Opening must not wait for the writer of a FIFO.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut file = file.map_err(|error| KeyFileError::from(&error))?;
    let size = private(&file)?;

    let mut buffer = Zeroizing::new([0; BUFFER]);
    let len = fill(&mut file, &mut *buffer).map_err(|error| KeyFileError::from(&error))?;
    if len == BUFFER {
        let found = usize::try_from(size).unwrap_or(usize::MAX).max(len);
        return Err(KeyError::TooLong { found }.into());
    }
    let content = &buffer[..len];
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let ends_with_space = content.last().is_some_and(u8::is_ascii_whitespace);
    Ok(KeyFile { key: Key::new(content)?, ends_with_space })
}

/// The size of a regular file that is ours alone. Asked of the open file, so that it cannot be
/// exchanged in between.
fn private(file: &File) -> Result<u64, KeyFileError> {
    let metadata = file.metadata().map_err(|error| KeyFileError::from(&error))?;
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile);
    }
    let (owner, us) = (metadata.uid(), rustix::process::geteuid().as_raw());
    if owner != 0 && owner != us {
        return Err(KeyFileError::Foreign { owner, us });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Exposed { mode });
    }
    Ok(metadata.len())
}

/// Reads until the buffer is full or the file ends. How many bytes that were.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match file.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(more) => len += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

/// Why a key file is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum KeyFileError {
    /// There is none.
    #[error("it does not exist")]
    Missing,
    /// We may not read it.
    #[error("it cannot be read: permission denied")]
    Denied,
    /// Reading it failed.
    #[error("it cannot be read: {0}")]
    Unreadable(io::ErrorKind),
    /// A directory, a device, a FIFO.
    #[error("it is not a regular file")]
    NotAFile,
    /// The group or everybody can read, write or execute it.
    #[error("others can read or write it (mode {mode:04o})")]
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
    /// Its owner, who can read and change it, is neither root nor we.
    #[error("it belongs to user {owner}, neither to root nor to user {us}, who runs this")]
    Foreign {
        /// The owner's user id.
        owner: u32,
        /// Our effective user id.
        us: u32,
    },
    /// What it holds cannot be a key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeyFileError {
    /// What to do about it.
    #[must_use]
    pub fn remedy(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Missing => format!("create it with `carp keygen {path}`"),
            Self::Denied => "run this as root, or as the user that carp runs as".to_owned(),
            Self::Unreadable(_) | Self::NotAFile => {
                format!("move it away and create a key with `carp keygen {path}`")
            }
            Self::Exposed { .. } => format!("chmod 600 {path}"),
            Self::Foreign { us, .. } => format!("chown {us} {path}"),
            Self::Key(KeyError::Empty | KeyError::TooLong { .. }) => {
                format!("remove it and create another one with `carp keygen {path}`")
            }
        }
    }
}

impl From<&io::Error> for KeyFileError {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::IsADirectory => Self::NotAFile,
            kind => Self::Unreadable(kind),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::PathBuf;

    use carp_proto::{Authenticator, VirtualId};

    use super::*;

    struct Dir(tempfile::TempDir);

    impl Dir {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn file(&self, content: &[u8], mode: u32) -> PathBuf {
            let path = self.0.path().join("key");
            let _absent = fs::remove_file(&path);
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        }
    }

    fn same(a: &Key, b: &[u8]) -> bool {
        let id = VirtualId::new(1).unwrap();
        let b = Authenticator::new(&Key::new(b).unwrap(), id, &[]);
        Authenticator::new(a, id, &[]).digest(0) == b.digest(0)
    }

    #[test]
    fn one_trailing_newline_is_not_part_of_the_key() {
        let dir = Dir::new();
        for (content, key, ends_with_space) in [
            (&b"secret\n"[..], &b"secret"[..], false),
            (b"secret", b"secret", false),
            (b"secret\n\n", b"secret\n", true),
            (b"secret\r\n", b"secret\r", true),
            (b"1234567890123456789\n", b"1234567890123456789", false),
        ] {
            let read = read_key_file(&dir.file(content, 0o600)).unwrap();
            assert!(same(&read.key, key), "{content:?}");
            assert_eq!(read.ends_with_space, ends_with_space, "{content:?}");
        }
        assert!(read_key_file(&dir.file(b"secret", 0o400)).is_ok());
    }

    #[test]
    fn keys_of_the_wrong_length_are_refused_with_the_length_found() {
        let dir = Dir::new();
        for (content, error) in [
            (Vec::new(), KeyError::Empty),
            (b"\n".to_vec(), KeyError::Empty),
            (b"12345678901234567890\n".to_vec(), KeyError::TooLong { found: 20 }),
            (vec![b'x'; 5000], KeyError::TooLong { found: 5000 }),
        ] {
            let read = read_key_file(&dir.file(&content, 0o600));
            assert_eq!(read.unwrap_err(), KeyFileError::Key(error));
        }
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        let dir = Dir::new();
        for mode in [0o644, 0o640, 0o620, 0o602, 0o666] {
            let path = dir.file(b"secret", mode);
            let error = read_key_file(&path).unwrap_err();
            assert_eq!(error, KeyFileError::Exposed { mode });
            assert!(error.to_string().contains(&format!("mode {mode:04o}")));
            assert!(error.remedy(&path).starts_with("chmod 600 /"));
        }
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let dir = Dir::new();
        assert_eq!(read_key_file(dir.0.path()).unwrap_err(), KeyFileError::NotAFile);
        assert_eq!(read_key_file(Path::new("/dev/null")).unwrap_err(), KeyFileError::NotAFile);
        let missing = dir.0.path().join("missing");
        assert_eq!(read_key_file(&missing).unwrap_err(), KeyFileError::Missing);
        let fifo = dir.0.path().join("fifo");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, mode).unwrap();
        assert_eq!(read_key_file(&fifo).unwrap_err(), KeyFileError::NotAFile);
    }

    #[test]
    fn a_link_counts_as_what_it_points_to() {
        let dir = Dir::new();
        let link = dir.0.path().join("link");
        symlink(dir.file(b"secret", 0o600), &link).unwrap();
        assert!(read_key_file(&link).is_ok());
    }

    #[test]
    fn another_users_file_is_refused() {
        let dir = Dir::new();
        let path = dir.file(b"secret", 0o600);
        if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
            return; // Only root can give a file away.
        }
        let error = read_key_file(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::Foreign { owner: 12345, .. }), "{error}");
        assert!(error.remedy(&path).starts_with("chown "));
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let read = read_key_file(&Dir::new().file(b"hunter2", 0o600)).unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
    }
}
