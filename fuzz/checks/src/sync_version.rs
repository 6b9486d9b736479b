//! Reading what `rsync --version --version` prints is total, for its JSON and its text; what is read is new enough,
//! and what is refused is told why.

use carp_node::sync::rsync::version::{OLDEST, Rsync, VersionError};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    match Rsync::parse(input) {
        Ok(rsync) => {
            assert!(rsync.version >= OLDEST);
            let can = |word: &str, can: bool| format!("{}{word}", if can { "" } else { "no " });
            let (acls, xattrs) = (can("ACLs", rsync.acls), can("xattrs", rsync.xattrs));
            let zstd = if rsync.zstd { "zstd" } else { "" };
            let version = rsync.version;
            let text =
                format!("rsync  version {version}  protocol\n    {acls}, {xattrs}\n    {zstd}\n");
            assert_eq!(Rsync::parse(text.as_bytes()), Ok(rsync));
        }
        Err(VersionError::TooOld(version)) => assert!(version < OLDEST),
        Err(VersionError::Unreadable) => {}
        Err(VersionError::Missing(what)) => panic!("it was there, and yet: {what}"),
        Err(other) => panic!("nobody checks this error: {other}"),
    }
}
