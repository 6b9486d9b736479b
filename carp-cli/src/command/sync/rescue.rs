//! `carp sync rescue`: what passes would have overwritten or deleted, and was kept.

use std::path::Path;

use carp_node::sync::engine::Order;
use carp_node::sync::rescue::Pruning;

use super::{order, print_json, say};
use crate::args::RescueVerb;
use crate::exit::Failure;
use crate::output::{Table, counted, print};

pub(super) fn run(socket: &Path, verb: RescueVerb) -> Result<(), Failure> {
    match verb {
        RescueVerb::List { name, json } => list(socket, name, json),
        RescueVerb::Show { set, name, json } => show(socket, name, set, json),
        RescueVerb::Restore { set, path, to, name } => {
            say(socket, name, Order::RescueRestore { set, path, to })
        }
        RescueVerb::Ack { set, name } => {
            let answer = order(socket, name, Order::RescueAck { set })?;
            let orphans = answer["orphans"].as_u64().and_then(|it| usize::try_from(it).ok());
            let orphans = counted(orphans.unwrap_or_default(), "orphan");
            print(&format!("{orphans} acknowledged: the set may be pruned\n"))
        }
        RescueVerb::Prune { name } => {
            let answer = order(socket, name, Order::RescuePrune)?;
            print(&pruned(&answer))
        }
    }
}

fn pruned(answer: &serde_json::Value) -> String {
    let removed = answer["removed"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text: String = removed
        .iter()
        .filter_map(|set| set.as_str())
        .map(|set| format!("removed {set}\n"))
        .collect();
    text += &format!("{} removed", counted(removed.len(), "set"));
    if removed.is_empty() {
        let Pruning { age, bytes } = Pruning::default();
        text += &format!(
            ": one goes after {} days, or when all are more than {} GiB, and never while its orphans wait for \
             `carp sync rescue ack`",
            age.as_secs() / 86_400,
            bytes >> 30
        );
    }
    text + "\n"
}

fn list(socket: &Path, share: Option<String>, json: bool) -> Result<(), Failure> {
    let answer = order(socket, share, Order::RescueList)?;
    if json {
        return print_json(&answer);
    }
    let mut table = Table::new(&["SET", "ORPHANS", "SUPERSEDED", "BYTES", "STATE", "PATH"]);
    for set in answer["sets"].as_array().into_iter().flatten() {
        let state = match (set["ended"].as_bool(), set["acknowledged"].as_bool()) {
            (Some(true), Some(true)) => "acknowledged",
            (Some(true), _) => "kept",
            (_, _) => "not ended",
        };
        let text = |key: &str| set[key].as_str().unwrap_or_default().to_owned();
        let number = |key: &str| set[key].as_u64().map_or_else(String::new, |it| it.to_string());
        table.row(vec![
            text("set"),
            number("orphans"),
            number("superseded"),
            number("bytes"),
            state.to_owned(),
            text("path"),
        ]);
    }
    print(&table.render())
}

fn show(socket: &Path, share: Option<String>, set: String, json: bool) -> Result<(), Failure> {
    let report = order(socket, share, Order::RescueShow { set })?;
    if json {
        return print_json(&report);
    }
    let mut table = Table::new(&["KIND", "BYTES", "PATH"]);
    for entry in report["entries"].as_array().into_iter().flatten() {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        table.row(vec![text("kind"), entry["bytes"].to_string(), text("path")]);
    }
    print(&table.render())
}
