//! What the daemon and `carp sync pair` both write below `STATE_DIR/sync`: what the peer's key runs and reads.
//!
//! The login that `peer` names is root, as a rule: only root reads every file of a share. It may be another one, which
//! then copies what it may read. That one has to come to the record, and to a configuration of rsync that does not ask
//! for root; with root alone nobody else can read either.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::guards::place;
use super::rsync::ssh::{self, Module, Owner, ROOT, TextError};
use crate::config::SyncSpec;
use crate::state::{Durability, replace_with_mode};

/// Makes what the peer reads the record from, and what its key runs. `directory` is `STATE_DIR/sync`.
pub(super) fn offer(directory: &Path, shares: &[SyncSpec], lasting: Durability) -> io::Result<()> {
    let export = directory.join("export");
    DirBuilder::new().recursive(true).mode(0o700).create(&export)?;
    let owner = Owner { user: ROOT.into(), group: ROOT.into() };
    let text = rsyncd_conf(directory, shares, Some(&owner)).map_err(io::Error::other)?;
    replace_with_mode(&conf_for(directory, ROOT), text.as_bytes(), lasting, 0o600)?;
    let Some(user) = shares.iter().map(user).find(|user| *user != ROOT) else { return Ok(()) };
    // To be gone through, not to be listed.
    for path in directory.ancestors().take(2) {
        let mode = fs::metadata(path)?.permissions().mode();
        fs::set_permissions(path, Permissions::from_mode(mode | 0o011))?;
    }
    fs::set_permissions(&export, Permissions::from_mode(0o755))?;
    let text = rsyncd_conf(directory, shares, None).map_err(io::Error::other)?;
    replace_with_mode(&conf_for(directory, user), text.as_bytes(), lasting, 0o644)
}

/// The mode of the record: it is nobody's business, unless the peer logs in as somebody else than root.
pub(super) fn record_mode<'a>(mut shares: impl Iterator<Item = &'a SyncSpec>) -> u32 {
    if shares.any(|share| user(share) != ROOT) { 0o644 } else { 0o600 }
}

/// What a key of this login runs.
pub(super) fn conf_for(directory: &Path, user: &str) -> PathBuf {
    directory.join(if user == ROOT { "rsyncd.conf" } else { "rsyncd-unprivileged.conf" })
}

fn user(share: &SyncSpec) -> &str {
    &share.peer.user
}

fn rsyncd_conf(
    directory: &Path,
    shares: &[SyncSpec],
    owner: Option<&Owner>,
) -> Result<String, TextError> {
    let module = |share: &SyncSpec| Module {
        name: share.name.clone(),
        // One that is not there now is offered as it is written: its marker will be missed.
        path: place::real_root(&share.path).unwrap_or_else(|_| share.path.clone()),
    };
    let modules: Vec<Module> = shares.iter().map(module).collect();
    ssh::rsyncd_conf(&modules, owner, directory, &directory.join("export"))
}
