//! `carp sync failback`: have the other node hand over to this one.

use std::path::Path;

use carp_node::sync::engine::Order;

use super::{order, print_json, say};
use crate::exit::Failure;

pub(super) fn run(socket: &Path, share: Option<String>, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&order(socket, share, Order::Failback)?);
    }
    say(socket, share, Order::Failback)
}
