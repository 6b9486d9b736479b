//! `carp sync diff`: what a pass would change here.

use std::path::Path;

use carp_node::sync::engine::Order;

use super::{order, print_json};
use crate::exit::Failure;
use crate::output::print;

pub(super) fn run(socket: &Path, share: Option<String>, json: bool) -> Result<(), Failure> {
    let answer = order(socket, share, Order::Diff)?;
    if json {
        return print_json(&answer);
    }
    let differences = answer["differences"].as_array().cloned().unwrap_or_default();
    let mut text: String =
        differences.iter().filter_map(|it| it.as_str()).map(|line| format!("{line}\n")).collect();
    text += &format!(
        "a pass would change {} entries, delete {}, and receive {} bytes\n",
        answer["changed"], answer["deleted"], answer["bytes"]
    );
    print(&text)
}
