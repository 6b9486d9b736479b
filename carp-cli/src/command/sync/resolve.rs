//! `carp sync resolve`: which tree counts, where both sides wrote.

use std::path::Path;

use carp_node::sync::engine::Order;

use super::say;
use crate::args::Keep;
use crate::exit::Failure;

pub(super) fn run(socket: &Path, share: Option<String>, keep: Keep) -> Result<(), Failure> {
    say(socket, share, Order::Resolve { local: keep == Keep::Local })
}
