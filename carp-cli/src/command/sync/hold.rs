//! `carp sync hold`: pull nothing any more, until `--release`.

use std::path::Path;

use carp_node::sync::engine::Order;

use super::say;
use crate::exit::Failure;

pub(super) fn run(
    socket: &Path,
    share: Option<String>,
    reason: Option<String>,
    release: bool,
) -> Result<(), Failure> {
    let order = if release {
        Order::Release
    } else {
        Order::Hold { reason: reason.unwrap_or_else(|| "no reason was given".to_owned()) }
    };
    say(socket, share, order)
}
