//! `carp sync now`: begin a pass.

use std::path::Path;

use carp_node::sync::engine::Order;

use super::say;
use crate::exit::Failure;

pub(super) fn run(socket: &Path, share: Option<String>) -> Result<(), Failure> {
    say(socket, share, Order::Now)
}
