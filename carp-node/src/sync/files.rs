//! What the daemon and `carp sync pair` both write below `STATE_DIR/sync`.

use std::path::Path;

use super::guards::place;
use super::rsync::ssh::{self, Module, Owner, TextError};
use crate::config::SyncSpec;

/// The text of `rsyncd.conf`, which the peer's key runs, for these shares.
pub(super) fn rsyncd_conf(directory: &Path, shares: &[SyncSpec]) -> Result<String, TextError> {
    let module = |share: &SyncSpec| Module {
        name: share.name.clone(),
        // One that is not there now is offered as it is written: its marker will be missed.
        path: place::real_root(&share.path).unwrap_or_else(|_| share.path.clone()),
    };
    let modules: Vec<Module> = shares.iter().map(module).collect();
    let owner = Owner { user: "root".into(), group: "root".into() };
    ssh::rsyncd_conf(&modules, &owner, directory, &directory.join("export"))
}
