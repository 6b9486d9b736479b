//! `carp sync rescue`: what passes would have overwritten or deleted, and was kept.

use std::io;
use std::path::Path;

use carp_node::sync::engine::Order;
use carp_node::sync::rescue::{Entry, Pruning, Report, RescueSet};

use super::{order, print_json, say, shares};
use crate::args::RescueVerb;
use crate::exit::{Exit, Failure};
use crate::output::{Table, counted, print};

pub(super) fn run(socket: &Path, verb: RescueVerb) -> Result<(), Failure> {
    match verb {
        RescueVerb::List { name, json } => {
            for_each(socket, name.as_deref(), !json, |share| list(socket, share, json))
        }
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
        RescueVerb::Prune { name, all } => for_each(socket, name.as_deref(), true, |share| {
            let answer = order(socket, Some(share), Order::RescuePrune { all })?;
            print(&pruned(&answer, all))
        }),
    }
}

/// Does it with the share of this name; without one with each, and says which is which if there are several.
fn for_each(
    socket: &Path,
    name: Option<&str>,
    heads: bool,
    mut what: impl FnMut(String) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let shares = shares(socket, name)?;
    let heads = heads && shares.len() > 1;
    for share in shares {
        if heads {
            print(&format!("{}:\n", share.name))?;
        }
        what(share.name)?;
    }
    Ok(())
}

fn pruned(answer: &serde_json::Value, all: bool) -> String {
    let removed = answer["removed"].as_array().map_or(&[][..], Vec::as_slice);
    let mut text: String = removed
        .iter()
        .filter_map(|set| set.as_str())
        .map(|set| format!("removed {set}\n"))
        .collect();
    text += &format!("{} removed", counted(removed.len(), "set"));
    if removed.is_empty() && all {
        text += ": none goes while its orphans wait for `carp sync rescue ack`";
    } else if removed.is_empty() {
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

fn list(socket: &Path, share: String, json: bool) -> Result<(), Failure> {
    let answer = order(socket, Some(share), Order::RescueList)?;
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

/// A rescue set, and its report; none if its pass has not ended. The daemon says where the set is; the report may be
/// long, and is read here.
pub(crate) fn report_of(
    socket: &Path,
    share: Option<String>,
    set: String,
) -> Result<(RescueSet, Option<Report>), Failure> {
    let answer = order(socket, share, Order::RescueShow { set })?;
    let path = Path::new(answer["path"].as_str().unwrap_or_default());
    let set = RescueSet::at(path)
        .ok_or_else(|| Failure::failed(format!("{} is no rescue set", path.display())))?;
    let report = set.report().map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "; be root, or the user that carp runs as",
            _ => "",
        };
        Failure::failed(format!("{}: {error}{remedy}", path.join("report.json").display()))
    })?;
    Ok((set, report))
}

fn show(socket: &Path, share: Option<String>, set: String, json: bool) -> Result<(), Failure> {
    let (set, report) = report_of(socket, share, set)?;
    let Some(report) = report else {
        return Err(Failure::new(Exit::Refused, "its pass has not ended yet"));
    };
    if json {
        return print_json(
            &serde_json::to_value(&report).map_err(|error| Failure::failed(error.to_string()))?,
        );
    }
    let mut table = Table::new(&["KIND", "BYTES", "PATH"]);
    for Entry { path, kind, bytes } in &report.entries {
        table.row(vec![kind.name().to_owned(), bytes.to_string(), path.clone()]);
    }
    print(&table.render())?;
    let listed = u64::try_from(report.entries.len()).unwrap_or(u64::MAX);
    match (report.orphans + report.superseded).saturating_sub(listed) {
        0 => Ok(()),
        more => print(&format!("and {more} more, in {}\n", set.files().display())),
    }
}
