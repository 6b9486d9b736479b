//! Files of the state directory: they are there whole, or as they were before.
//!
//! A file is written under another name, and renamed when it is complete, so that a process that is
//! killed between any two instructions leaves the old one or the new one. Its first line has a checksum
//! of the rest: what a disk, or somebody, has damaged is told and not trusted.
//!
//! ```text
//! carp-state 1 sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! boot 5a0e0f4e-3a0c-4f5b-8b8e-0c0f2d1c8a11
//! …
//! ```

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use thiserror::Error;

/// How the first line begins.
const MAGIC: &str = "carp-state 1 sha256 ";

/// The longest file, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where Linux tells which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A file of the state directory.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
    /// The boot that it is about; `None` if it is about all.
    boot: Option<String>,
}

impl StateFile {
    /// A file that outlasts everything: it is on the disk when [`write`](Self::write) returns.
    #[must_use]
    pub fn lasting(directory: &Path, name: &str) -> Self {
        Self { path: directory.join(name), boot: None }
    }

    /// A file about what the kernel has at present: after the next boot it is as good as absent.
    ///
    /// It outlasts the process, and nobody waits for the disk: when the machine loses power, what the
    /// file is about is lost too.
    #[must_use]
    pub fn of_this_boot(directory: &Path, name: &str) -> Self {
        // Without /proc every boot looks the same.
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default();
        Self { path: directory.join(name), boot: Some(boot.trim().to_owned()) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What was written; `None` if nothing was, or in another boot.
    ///
    /// # Errors
    /// [`StateError`]: it is damaged, or cannot be read. It should be told, and the file taken as absent.
    pub fn read(&self) -> Result<Option<String>, StateError> {
        let mut bytes = Vec::new();
        let read = File::open(&self.path)
            .and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes).map(drop));
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => outcome.map_err(|source| self.refused("read", source))?,
        }
        let damaged = |what| StateError::Damaged { path: self.path.clone(), what };
        let rest = unsealed(&bytes).map_err(damaged)?;
        let Some(boot) = &self.boot else { return Ok(Some(rest.to_owned())) };
        let line = rest.strip_prefix("boot ").and_then(|rest| rest.split_once('\n'));
        let (found, content) =
            line.ok_or_else(|| damaged("it does not say of which boot it is"))?;
        Ok((found == boot).then(|| content.to_owned()))
    }

    /// Replaces the file. Missing directories are made, for the owner alone, and so is the file.
    ///
    /// # Errors
    /// [`StateError::System`]: the file is as it was.
    pub fn write(&self, content: &str) -> Result<(), StateError> {
        let boot = self.boot.as_ref().map(|boot| format!("boot {boot}\n")).unwrap_or_default();
        let rest = format!("{boot}{content}");
        let text = sealed(&rest);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory_of(&self.path));
        let durability = if self.boot.is_none() { Durability::Lasting } else { Durability::Quick };
        made.and_then(|()| replace(&self.path, text.as_bytes(), durability))
            .map_err(|source| self.refused("write", source))
    }

    fn refused(&self, what: &'static str, source: io::Error) -> StateError {
        StateError::System { what, path: self.path.clone(), source }
    }
}

/// Whether a file is on the disk when it has been replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It is, and so is its name.
    Lasting,
    /// It will be; nobody waits for the disk.
    Quick,
}

/// Replaces a file, for the owner alone: it is there whole, or as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    replace_with_mode(path, bytes, durability, 0o600)
}

/// The same for those whom the mode names.
pub(crate) fn replace_with_mode(
    path: &Path,
    bytes: &[u8],
    durability: Durability,
    mode: u32,
) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let replaced = replace_by(&temporary, path, bytes, durability, mode);
    if replaced.is_err() {
        // A disk that is full has no room for half a file.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

fn replace_by(
    temporary: &Path,
    path: &Path,
    bytes: &[u8],
    durability: Durability,
    mode: u32,
) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(temporary)?;
    // One that stayed from before keeps its mode, and the umask is not asked.
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(bytes)?;
    let lasting = durability == Durability::Lasting;
    if lasting {
        // Before the name: it must never be that of a file that is not there yet.
        file.sync_all()?;
    }
    drop(file);
    fs::rename(temporary, path)?;
    if lasting { File::open(directory_of(path))?.sync_all() } else { Ok(()) }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("/"))
}

/// The bytes of a file with this content: its first line has a checksum of the rest.
#[must_use]
pub fn sealed(content: &str) -> String {
    format!("{MAGIC}{}\n{content}", digest(content.as_bytes()))
}

/// What follows on the first line, if that has its checksum.
///
/// # Errors
/// What is wrong, in words.
pub fn unsealed(bytes: &[u8]) -> Result<&str, &'static str> {
    if bytes.len() as u64 > LONGEST {
        return Err("it is longer than anything that carp writes");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "it is not text")?;
    let rest = text.strip_prefix(MAGIC).ok_or("it does not begin as version 1 does")?;
    let (checksum, rest) = rest.split_once('\n').ok_or("its first line is incomplete")?;
    if checksum == digest(rest.as_bytes()) { Ok(rest) } else { Err("its checksum is wrong") }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Why a file could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// It is not what was written.
    #[error("{} is damaged: {what}; it is ignored, and will be written anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {what} {}: {}", .path.display(), crate::remedy::Told(source))]
    System {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const CONTENT: &str = "eth0 192.0.2.1\neth0 2001:db8::1\n";

    fn both(directory: &Path) -> [StateFile; 2] {
        [StateFile::lasting(directory, "a"), StateFile::of_this_boot(directory, "b")]
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        for file in both(&directory.path().join("made/on/the/way")) {
            assert_eq!(file.read().unwrap(), None);
            for content in ["", CONTENT, "less\n"] {
                file.write(content).unwrap();
                assert_eq!(file.read().unwrap().as_deref(), Some(content));
            }
            let mode = fs::metadata(file.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file:?}");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_missing_end_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        for file in both(directory.path()) {
            file.write(CONTENT).unwrap();
            let good = fs::read(file.path()).unwrap();
            let is_refused = |bytes: &[u8]| {
                fs::write(file.path(), bytes).unwrap();
                matches!(file.read(), Err(StateError::Damaged { .. }))
            };
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(is_refused(&bad), "bit {bit}");
            }
            for len in 0..good.len() {
                assert!(is_refused(&good[..len]), "the first {len} bytes");
            }
            assert!(is_refused(&[&good[..], b"\n"].concat()), "one byte more");
            assert!(is_refused(&vec![b'x'; usize::try_from(LONGEST).unwrap() + 1]));
        }
    }

    #[test]
    fn what_is_about_another_boot_is_absent() {
        let directory = tempfile::tempdir().unwrap();
        let mut file = StateFile::of_this_boot(directory.path(), "addresses");
        let this = file.boot.replace("another one".into());
        assert_ne!(this.as_deref(), Some(""), "the kernel says which boot this is");
        file.write(CONTENT).unwrap();
        file.boot = this;
        assert_eq!(file.read().unwrap(), None);
    }

    #[test]
    fn a_version_of_the_future_is_not_guessed_at() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::lasting(directory.path(), "a");
        file.write(CONTENT).unwrap();
        let text = fs::read_to_string(file.path()).unwrap();
        fs::write(file.path(), text.replacen("carp-state 1", "carp-state 2", 1)).unwrap();
        let error = file.read().unwrap_err().to_string();
        assert!(error.contains("a is damaged: it does not begin as version 1 does"), "{error}");
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_half() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::lasting(directory.path(), "a");
        fs::create_dir(file.path()).unwrap();
        fs::write(file.path().join("in the way"), "").unwrap();
        let error = file.write(CONTENT).unwrap_err().to_string();
        assert!(error.starts_with("cannot write "), "{error}");
        assert!(!directory.path().join("a.new").exists());
        assert!(matches!(file.read(), Err(StateError::System { what: "read", .. })));
    }
}
