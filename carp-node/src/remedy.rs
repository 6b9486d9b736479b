//! Errors of the system about this node's own files, with what to do about them.

use std::fmt;
use std::io;

/// An error as people read it: what the system said, and behind a `;` what to do about that file or folder, if that is
/// known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'a>(pub(crate) &'a io::Error);

impl Told<'_> {
    fn remedy(self) -> Option<&'static str> {
        match self.0.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some("free some space on that disk")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                Some("mount it writable, and with systemd, name it in ReadWritePaths=")
            }
            io::ErrorKind::PermissionDenied => {
                Some("let the account that carp runs as read and write it")
            }
            io::ErrorKind::NotFound => Some("make it, or correct the path"),
            io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory => Some("look at what stands there, and move it away"),
            // Those are no words of the system, and say themselves what is wrong.
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => None,
            _ => Some("look at that disk, and for its errors in the kernel's log"),
        }
    }
}

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.remedy() {
            Some(remedy) => write!(f, "{}; {remedy}", self.0),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_has_a_remedy_and_what_we_say_has_none() {
        let full = io::Error::from_raw_os_error(28);
        assert!(Told(&full).to_string().ends_with("; free some space on that disk"));
        let broken = io::Error::from_raw_os_error(5);
        assert!(Told(&broken).to_string().ends_with("in the kernel's log"));
        let ours = io::Error::other("a tree without an end");
        assert_eq!(Told(&ours).to_string(), "a tree without an end");
    }
}
