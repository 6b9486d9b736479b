//! Key files: a secret in a file that nobody else can read.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use carp_proto::{Key, KeyError};
use rustix::fs::OFlags;
use thiserror::Error;
use zeroize::Zeroizing;

/// More than any key, however it is written.
const BUFFER: usize = 4096;

/// What a key file holds.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// The key.
    pub key: Key,
    /// Whether it ends with white space, such as the carriage return of a file from Windows. That
    /// is part of the key, and the other side rarely has it.
    pub ends_with_space: bool,
}

/// The bytes of a secret. They are wiped when it is dropped, and `Debug` does not show them.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The secret in the content of a file: one trailing newline is not part of it.
    #[must_use]
    pub fn new(content: &[u8]) -> Self {
        Self(Zeroizing::new(content.strip_suffix(b"\n").unwrap_or(content).to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// As [`KeyFile::ends_with_space`].
    #[must_use]
    pub fn ends_with_space(&self) -> bool {
        self.0.last().is_some_and(u8::is_ascii_whitespace)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Reads a CARP key: 1 to 19 bytes, after one trailing newline is taken off.
///
/// # Errors
/// As [`read_secret`], and for other lengths.
pub fn read_key_file(path: &Path) -> Result<KeyFile, KeyFileError> {
    let secret = read_secret(path)?;
    Ok(KeyFile { key: Key::new(secret.as_bytes())?, ends_with_space: secret.ends_with_space() })
}

/// Reads a secret of any kind: at most 4096 bytes.
///
/// # Errors
/// [`KeyFileError`]; also for a file that others can read or write, or that belongs to somebody who
/// is neither root nor us.
pub fn read_secret(path: &Path) -> Result<Secret, KeyFileError> {
    // Opening must not wait for the writer of a FIFO.
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).unwrap_or_default();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut file = file.map_err(|error| KeyFileError::from(&error))?;
    check_private(&file)?;

    // One byte more than allowed is enough to know that there are too many.
    let mut buffer = Zeroizing::new([0; BUFFER + 1]);
    let len = fill(&mut file, &mut *buffer).map_err(|error| KeyFileError::from(&error))?;
    if len > BUFFER {
        return Err(KeyFileError::Unreadable(io::ErrorKind::FileTooLarge));
    }
    Ok(Secret::new(&buffer[..len]))
}

/// Whether this is a regular file that is ours alone. Asked of the open file, so that it cannot be
/// exchanged in between.
fn check_private(file: &File) -> Result<(), KeyFileError> {
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
    Ok(())
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
#[non_exhaustive]
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
    /// What to do about it, where a CARP key is wanted.
    #[must_use]
    pub fn remedy(self, path: &Path) -> String {
        self.remedy_for(KeyKind::Carp, path)
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy_for(self, kind: KeyKind, path: &Path) -> String {
        let (make, shown) = (kind.make(path), path.display());
        match self {
            Self::Missing => format!("create it with `{make}`"),
            Self::Denied => "run this as root, or as the user that carp runs as".to_owned(),
            Self::Unreadable(_) | Self::NotAFile => {
                format!("move it away and create a key with `{make}`")
            }
            Self::Exposed { .. } => format!("chmod 600 {shown}"),
            Self::Foreign { us, .. } => format!("chown {us} {shown}"),
            Self::Key(_) => kind.replace(path),
        }
    }
}

/// What a key file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyKind {
    /// A CARP key: 1 to 19 bytes.
    Carp,
    /// The password of VRRP version 2: 1 to 8 bytes.
    Password,
    /// A key that signs in VRRP version 3: 32 to 64 bytes, or these in hexadecimal after `hex:`.
    Hmac,
}

impl KeyKind {
    /// A command that makes one.
    fn make(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Carp => format!("carp keygen {path}"),
            Self::Password => format!("(umask 077; openssl rand -base64 6 > {path})"),
            Self::Hmac => format!("(umask 077; echo hex:$(openssl rand -hex 32) > {path})"),
        }
    }

    /// What to do about a file whose content cannot be one.
    pub(super) fn replace(self, path: &Path) -> String {
        format!("remove it and create another one with `{}`", self.make(path))
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
            (vec![b'x'; 4096], KeyError::TooLong { found: 4096 }),
        ] {
            let read = read_key_file(&dir.file(&content, 0o600));
            assert_eq!(read.unwrap_err(), KeyFileError::Key(error));
        }
        let error = read_key_file(&dir.file(&[b'x'; 4097], 0o600)).unwrap_err();
        assert_eq!(error, KeyFileError::Unreadable(io::ErrorKind::FileTooLarge));
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
    fn every_remedy_makes_a_key_of_its_kind() {
        let remedy = |kind| KeyFileError::Missing.remedy_for(kind, Path::new("a.key"));
        assert_eq!(remedy(KeyKind::Carp), "create it with `carp keygen a.key`");
        assert_eq!(
            remedy(KeyKind::Password),
            "create it with `(umask 077; openssl rand -base64 6 > a.key)`"
        );
        assert_eq!(
            remedy(KeyKind::Hmac),
            "create it with `(umask 077; echo hex:$(openssl rand -hex 32) > a.key)`"
        );
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let read = read_key_file(&Dir::new().file(b"hunter2", 0o600)).unwrap();
        assert!(!format!("{read:?}").contains("hunter2"));
        assert_eq!(format!("{:?}", Secret::new(b"hunter2")), "Secret(..)");
    }
}
