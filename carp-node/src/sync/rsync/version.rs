//! Which rsync this is.

use std::fmt;

use serde::Deserialize;
use thiserror::Error;

use crate::sync::hold::{Hold, HoldReason};

/// The oldest version that is used: the first with `--modify-window=-1` on the receiving side. Without
/// it, a second edit within the same second of the same length is never copied.
pub const OLDEST: Version = Version { major: 3, minor: 1, patch: 3 };

/// What rsync is asked with. Twice, it answers with JSON since 3.2.7, and older ones with the text that they print for
/// one; their `-V` is no older than 3.2.0.
pub const ARGUMENTS: [&str; 2] = ["--version", "--version"];

/// A version of rsync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 3.
    pub major: u16,
    /// 1.
    pub minor: u16,
    /// 3.
    pub patch: u16,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// What the installed rsync can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rsync {
    /// Its version.
    pub version: Version,
    /// It was built to copy access control lists.
    pub acls: bool,
    /// It was built to copy extended attributes.
    pub xattrs: bool,
    /// It can compress with zstd.
    pub zstd: bool,
}

impl Rsync {
    /// Reads what `rsync --version --version` printed.
    ///
    /// # Errors
    /// [`VersionError`]: it is not rsync, or an old one.
    pub fn parse(output: &[u8]) -> Result<Self, VersionError> {
        let rsync = match output.trim_ascii_start() {
            json @ [b'{', ..] => Self::parse_json(json),
            text => Self::parse_text(text),
        };
        let rsync = rsync.ok_or(VersionError::Unreadable)?;
        if rsync.version < OLDEST {
            return Err(VersionError::TooOld(rsync.version));
        }
        Ok(rsync)
    }

    fn parse_json(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Said {
            program: String,
            version: String,
            capabilities: Capabilities,
            #[serde(default)]
            compress_list: Vec<String>,
        }
        #[derive(Deserialize)]
        struct Capabilities {
            #[serde(rename = "ACLs", default)]
            acls: bool,
            #[serde(default)]
            xattrs: bool,
        }
        let said: Said = serde_json::from_slice(json).ok()?;
        let rsync = Self {
            version: parse_number(&said.version)?,
            acls: said.capabilities.acls,
            xattrs: said.capabilities.xattrs,
            zstd: said.compress_list.iter().any(|name| name == "zstd"),
        };
        (said.program == "rsync").then_some(rsync)
    }

    fn parse_text(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let first = text.lines().next()?.strip_prefix("rsync")?.trim_start();
        let version = first.strip_prefix("version")?.split_whitespace().next()?;
        // `no ACLs` says that it cannot.
        let can = |word: &str| text.split([',', '\n']).any(|found| found.trim() == word);
        let zstd = text.split_whitespace().any(|word| word == "zstd");
        Some(Self {
            version: parse_number(version)?,
            acls: can("ACLs"),
            xattrs: can("xattrs"),
            zstd,
        })
    }
}

/// `3.1.3`, `v3.2.7`, `3.4.0pre1`; what comes before a release counts as the one before it.
fn parse_number(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts = text.splitn(3, '.');
    let (major, minor) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let last = parts.next()?;
    let digits = last.find(|c: char| !c.is_ascii_digit()).unwrap_or(last.len());
    let (digits, rest) = last.split_at(digits);
    let patch: u16 = digits.parse().ok()?;
    let before = rest.starts_with("pre") || rest.starts_with("dev");
    Some(match (before, patch.checked_sub(1), u16::checked_sub(minor, 1)) {
        (false, _, _) => Version { major, minor, patch },
        (true, Some(patch), _) => Version { major, minor, patch },
        (true, None, Some(minor)) => Version { major, minor, patch: u16::MAX },
        (true, None, None) => return None,
    })
}

/// Why this rsync is not used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VersionError {
    /// It printed something else.
    #[error("`rsync` does not say which version of rsync it is")]
    Unreadable,
    /// It could not be started: what the system said.
    #[error("rsync cannot be started: {0}")]
    Missing(String),
    /// It is too old.
    #[error("rsync {0} is too old: before {OLDEST} it misses changes within one second")]
    TooOld(Version),
}

impl VersionError {
    /// What it means for a share: nothing is copied, and what to do.
    #[must_use]
    pub fn hold(&self) -> Hold {
        Hold::new(HoldReason::RsyncVersion, self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What 3.1.3 prints, shortened.
    const OLD: &str = "rsync  version 3.1.3  protocol version 31\n\
        Copyright (C) 1996-2018 by Andrew Tridgell, Wayne Davison, and others.\n\
        Capabilities:\n    64-bit files, 64-bit inums, 64-bit timestamps, 64-bit long ints,\n    \
        socketpairs, hardlinks, symlinks, IPv6, batchfiles, inplace,\n    \
        append, ACLs, xattrs, iconv, symtimes, prealloc\n";

    fn version(text: &str) -> Option<String> {
        parse_number(text).map(|version| version.to_string())
    }

    #[test]
    fn text_and_json_are_read() {
        let old = Rsync::parse(OLD.as_bytes()).unwrap();
        assert_eq!(old, Rsync { version: OLDEST, acls: true, xattrs: true, zstd: false });
        let poor = OLD.replace("ACLs, xattrs", "no ACLs, no xattrs");
        let poor = Rsync::parse(poor.as_bytes()).unwrap();
        assert!(!poor.acls && !poor.xattrs);
        let json = br#"{"program": "rsync", "version": "3.5.0", "protocol": "32.0",
            "capabilities": {"ACLs": true, "xattrs": true}, "compress_list": ["zstd", "lz4"]}"#;
        let new = Rsync::parse(json).unwrap();
        assert_eq!((new.version.to_string().as_str(), new.zstd), ("3.5.0", true));
    }

    #[test]
    fn what_is_older_than_3_1_3_is_refused_with_a_reason() {
        for old in ["3.1.2", "3.1.1", "3.0.9", "2.6.9", "3.1.3pre1"] {
            let error = Rsync::parse(OLD.replace("3.1.3", old).as_bytes()).unwrap_err();
            assert!(matches!(error, VersionError::TooOld(_)), "{old}: {error}");
        }
        assert!(Rsync::parse(OLD.replace("3.1.3", "3.2.0pre2").as_bytes()).is_ok());
        let error = VersionError::TooOld(Version { major: 3, minor: 1, patch: 1 }).to_string();
        assert!(error.starts_with("rsync 3.1.1 is too old: before 3.1.3 it misses"), "{error}");
    }

    #[test]
    fn numbers_are_read_in_all_their_forms() {
        for (text, read) in [
            ("3.1.3", Some("3.1.3")),
            ("v3.2.7", Some("3.2.7")),
            ("3.4.1-ubuntu", Some("3.4.1")),
            ("3.4.2dev", Some("3.4.1")),
            ("3.4", None),
            ("x.y.z", None),
            ("", None),
        ] {
            assert_eq!(version(text).as_deref(), read, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_program_prints_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            text in "(rsync +version )?[v0-9.]{0,9}(pre|dev)?.{0,40}",
        ) {
            let _ = Rsync::parse(&bytes);
            let _ = Rsync::parse(text.as_bytes());
        }
    }
}
