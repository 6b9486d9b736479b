//! What to do about an error of the system, in a few words for people.

use std::io;

/// What to do about a file or folder with which this went wrong. It follows a `;`.
pub(crate) fn of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space on that disk",
        io::ErrorKind::ReadOnlyFilesystem => {
            "mount it writable, and with systemd, name it in ReadWritePaths="
        }
        io::ErrorKind::PermissionDenied => "let the account that carp runs as read and write it",
        io::ErrorKind::NotFound => "make it, or correct the path",
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory => "look at what stands there, and move it away",
        _ => "look at that disk, and for its errors in the kernel's log",
    }
}
