//! The marker file: it shows that the root of a share is the share, and not an empty mount point.
//!
//! It is made once, by the first node that serves the share, and copied like everything else. A pass looks
//! at the source's first, and at its own: a disk that is not mounted has none.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::sync::hold::{Hold, HoldReason};

/// Its name, in the root of the share.
pub const MARKER: &str = ".share-id";

/// What it says: a random UUID in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareId(String);

impl ShareId {
    /// One from random bytes.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        // Version 4 and variant 1 of RFC 9562.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let part = |from: usize, to: usize| hex[from..to].concat();
        let parts = [part(0, 4), part(4, 6), part(6, 8), part(8, 10), part(10, 16)];
        Self(parts.join("-"))
    }

    /// Reads what a marker says. A newline at the end is not part of it.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let text = text.strip_suffix('\n').unwrap_or(text);
        let good = text.len() == 36
            && text.bytes().enumerate().all(|(n, byte)| match n {
                8 | 13 | 18 | 23 => byte == b'-',
                _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
            });
        good.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The marker in a root; `None` if there is none. One that cannot be understood is none either.
///
/// # Errors
/// What the system said, if the root cannot be read.
pub fn read(root: &Path) -> io::Result<Option<ShareId>> {
    let mut bytes = Vec::new();
    let read = File::open(root.join(MARKER)).and_then(|file| file.take(64).read_to_end(&mut bytes));
    match read {
        Ok(_) => Ok(ShareId::parse(&bytes)),
        // A root that is missing is another thing than a marker that is.
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(root).map(|_| None),
        Err(error) => Err(error),
    }
}

/// Makes the marker of a share that never had one, and makes it last.
///
/// # Errors
/// What the system said; [`io::ErrorKind::AlreadyExists`] if there is one.
pub fn create(root: &Path, id: &ShareId) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o644).open(root.join(MARKER))?;
    file.write_all(format!("{id}\n").as_bytes())?;
    file.sync_all()?;
    File::open(root)?.sync_all()
}

/// Whether the source is the share: `found` is what its marker says, `None` if it has none.
#[must_use]
pub fn check_source(expected: Option<&str>, found: Option<&ShareId>, host: &str) -> Option<Hold> {
    let Some(found) = found else {
        let what = format_args!("the share on {host} has no {MARKER} in its root: is it mounted?");
        return Some(Hold::new(HoldReason::SourceMarkerMissing, what));
    };
    let other = expected.is_some_and(|expected| expected != found.as_str());
    other.then(|| {
        let what = format_args!("the {MARKER} on {host} says {found}, which is another share");
        Hold::new(HoldReason::OtherShare, what)
    })
}

/// Whether the own root is the share: a node that has a copy has the marker too.
#[must_use]
pub fn check_own(expected: Option<&str>, found: Option<&ShareId>, root: &Path) -> Option<Hold> {
    let mut what = deviation(expected?, found, root)?;
    if found.is_none() {
        what += ": is the share mounted?";
    }
    Some(Hold::new(HoldReason::LocalMarkerMissing, what))
}

/// What is wrong with the marker of a share that this node serves, and what to do. Nobody can fill a tree that counts
/// from elsewhere, so the remedy is another one than that of [`check_own`].
#[must_use]
pub fn check_served(expected: &str, found: Option<&ShareId>, root: &Path) -> Option<String> {
    let what = deviation(expected, found, root)?;
    Some(format!("{what}: the peer copies nothing; {}", anew(expected, root)))
}

/// What keeps a tree from being served from now on, and what to do: an empty mount point is no share.
#[must_use]
pub fn check_promoted(expected: &str, found: Option<&ShareId>, root: &Path) -> Option<String> {
    let what = deviation(expected, found, root)?;
    Some(format!("{what}: the address is not taken over; {}", anew(expected, root)))
}

fn anew(expected: &str, root: &Path) -> String {
    let marker = quoted(&root.join(MARKER).display().to_string());
    format!(
        "mount the share, or, if only this file is wrong, make it anew: `echo {expected} > {marker}`"
    )
}

/// How the marker of this node is not what it was.
fn deviation(expected: &str, found: Option<&ShareId>, root: &Path) -> Option<String> {
    let root = root.display();
    match found {
        None => Some(format!("{root} has no {MARKER}, although it had one")),
        Some(found) if found.as_str() != expected => {
            Some(format!("the {MARKER} in {root} says {found}, and it was {expected}"))
        }
        Some(_) => None,
    }
}

/// A word as a shell wants it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(byte: u8) -> ShareId {
        ShareId::from_random([byte; 16])
    }

    #[test]
    fn a_marker_is_made_once_and_read_back() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(read(root.path()).unwrap(), None);
        create(root.path(), &id(0xff)).unwrap();
        assert_eq!(read(root.path()).unwrap(), Some(id(0xff)));
        assert_eq!(id(0xff).as_str(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let again = create(root.path(), &id(1)).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        for damaged in ["", "ffffffff", "not-a-marker-not-a-marker-not-a-mark"] {
            fs::write(root.path().join(MARKER), damaged).unwrap();
            assert_eq!(read(root.path()).unwrap(), None, "{damaged}");
        }
        assert!(read(&root.path().join("gone")).is_err());
    }

    #[test]
    fn what_the_node_that_serves_is_told_to_type_makes_the_marker_anew() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("it's `$HOME` here");
        fs::create_dir(&root).unwrap();
        let known = id(7);
        for found in [None, Some(id(8))] {
            let told = check_served(known.as_str(), found.as_ref(), &root).unwrap();
            let (_, command) = told.split_once("make it anew: `").unwrap();
            let command = command.strip_suffix('`').unwrap();
            let _ = fs::remove_file(root.join(MARKER));
            let typed = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(typed.success(), "{command}");
            let found = read(&root).unwrap();
            assert_eq!(found.as_ref(), Some(&known), "{command}");
            assert_eq!(check_served(known.as_str(), found.as_ref(), &root), None);
        }
    }

    #[test]
    fn a_missing_or_another_marker_holds() {
        let (one, two) = (id(1), id(2));
        let reason = |hold: Option<Hold>| hold.map(|hold| hold.reason);
        assert_eq!(check_source(None, Some(&one), "b"), None);
        assert_eq!(check_source(Some(one.as_str()), Some(&one), "b"), None);
        let missing = Some(HoldReason::SourceMarkerMissing);
        assert_eq!(reason(check_source(None, None, "b")), missing);
        assert_eq!(reason(check_source(Some(one.as_str()), None, "b")), missing);
        let other = check_source(Some(one.as_str()), Some(&two), "b");
        assert_eq!(reason(other), Some(HoldReason::OtherShare));
        let own = |expected, found| reason(check_own(expected, found, "/srv".as_ref()));
        assert_eq!(own(None, None), None);
        assert_eq!(own(Some(one.as_str()), Some(&one)), None);
        for found in [None, Some(&two)] {
            assert_eq!(own(Some(one.as_str()), found), Some(HoldReason::LocalMarkerMissing));
        }
    }
}
