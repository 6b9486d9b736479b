//! `carp status`: what is.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use carp_node::config::format_duration;
use carp_node::control::StatusReport;
use carp_node::control::proto::{
    DuplicateStatus, RankStatus, RemovalStatus, RouterStatus, TimerStatus,
};
use carp_node::node::LatenessReport;

use super::client;
use super::sync::too_old;
use crate::exit::Failure;
use crate::output::{Table, age, print};

/// Shows the status; returns the exit code that `--exit-state` asks for.
pub(crate) fn run(
    socket: &Path,
    name: Option<&str>,
    json: bool,
    exit_state: bool,
) -> Result<u8, Failure> {
    let report = client::connect(socket)?.status(name).map_err(|error| client::failure(&error))?;
    if json {
        let text =
            serde_json::to_string(&report).map_err(|error| Failure::failed(error.to_string()))?;
        print(&format!("{text}\n"))?;
    } else {
        print(&render(&report))?;
    }
    Ok(if exit_state { worst(&report) } else { 0 })
}

/// The exit code of the worst router: 0 active, 10 backup, 11 init, 12 fault or drained, 13 conflict.
fn worst(report: &StatusReport) -> u8 {
    report.routers.iter().map(exit_code).max().unwrap_or(11)
}

fn exit_code(router: &RouterStatus) -> u8 {
    if router.conflict {
        return 13;
    }
    if router.fault.is_some() || router.drained {
        return 12;
    }
    match router.state.as_ref() {
        "active" => 0,
        "backup" => 10,
        _ => 11,
    }
}

/// A table of the routers, and below it what needs somebody's attention.
fn render(report: &StatusReport) -> String {
    let mut table =
        Table::new(&["ROUTER", "PROTOCOL", "STATE", "SINCE", "RANK", "PEERS", "ADDRESSES"]);
    for router in &report.routers {
        let state = match &router.phase {
            Some(phase) if phase != "serving" => format!("{} ({phase})", router.state),
            Some(_) | None => router.state.to_string(),
        };
        table.row(vec![
            router.name.clone(),
            format!("{} id {}", router.protocol, router.id),
            state,
            since(router),
            rank(&router.rank),
            peers(router),
            router.addresses.join(" "),
        ]);
    }
    let mut text = table.render();
    for router in &report.routers {
        for remark in remarks(router) {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "! {}: {remark}", router.name);
        }
    }
    for share in &report.sync {
        let held = share.held.as_ref().map(|hold| format!("held: {}", hold.message));
        for remark in [too_old(share), held, share.fault.clone()].into_iter().flatten() {
            let _ = writeln!(text, "! share {}: {remark}", share.name);
        }
    }
    if let Some(remark) = lateness(&report.lateness) {
        let _ = writeln!(text, "! {remark}");
    }
    if report.guard.pid.is_none()
        && let Some(reason) = &report.guard.fault
    {
        let _ = writeln!(text, "! no guard: {reason}");
    }
    text
}

/// What was later than this is worth a line: a router on a quiet machine meets its deadlines in one or two.
const LATE: Duration = Duration::from_millis(10);

fn lateness(lateness: &LatenessReport) -> Option<String> {
    let LatenessReport { count, max_ms, .. } = lateness;
    let (late, bound) = (lateness.later_than(LATE), format_duration(LATE));
    let worst = max_ms.rounded();
    (late > 0).then(|| {
        format!("{late} of {count} deadlines were met more than {bound} late, at worst {worst} ms")
    })
}

fn since(router: &RouterStatus) -> String {
    let passed = carp_node::clock::wall_time().duration_since(router.since.0);
    age(Duration::try_from(passed).unwrap_or_default())
}

fn rank(rank: &RankStatus) -> String {
    match rank {
        RankStatus::Carp { advbase, advskew } => format!("{advbase}+{advskew}/256 s"),
        RankStatus::Vrrp { priority } => format!("priority {priority}"),
    }
}

fn peers(router: &RouterStatus) -> String {
    let peer = |peer: &carp_node::control::proto::PeerStatus| {
        format!("{} {} ago", peer.address, age(peer.last_advert_age_ms.0))
    };
    let peers: Vec<_> = router.peers.iter().map(peer).collect();
    if peers.is_empty() { "-".to_owned() } else { peers.join(", ") }
}

fn duplicate_words(duplicate: &DuplicateStatus) -> String {
    let DuplicateStatus { address, mac, peer, age_ms } = duplicate;
    let whose = match peer {
        Some(peer) => format!("the router {peer}, whose adverts do not arrive"),
        None => "no router that we know".to_owned(),
    };
    format!("{address} is at {mac} too, as of {} ago: {whose}", age(age_ms.0))
}

fn remarks(router: &RouterStatus) -> Vec<String> {
    let mut remarks = Vec::new();
    if let Some(fault) = &router.fault {
        remarks.push(fault.clone());
    }
    if let Some(duplicate) = &router.duplicate {
        remarks.push(duplicate_words(duplicate));
    } else if router.conflict {
        let whom = router.conflict_with.map(|peer| format!(" {peer}")).unwrap_or_default();
        remarks.push(format!("another router{whom} is active at the same time"));
    }
    if router.unconfirmed
        && let Some(confirmation) = &router.confirmation
    {
        remarks.push(confirmation.text.clone());
    }
    if router.held {
        remarks.push("does not preempt at present: it yielded, or failed to take over".to_owned());
    }
    let TimerStatus { learned_ms, reckoned_ms, .. } = &router.timers;
    if let (Some(learned), Some(reckoned)) = (learned_ms, reckoned_ms)
        && reckoned.0 < learned.0
    {
        remarks.push(format!(
            "the active router says that it advertises every {}, which is out of proportion to our \
             interval: we reckon with {}",
            format_duration(learned.0),
            format_duration(reckoned.0)
        ));
    }
    for peer in &router.peers {
        if peer.other_addresses {
            remarks.push(format!("{} has other addresses than we have", peer.address));
        }
    }
    if let Some(removal) = &router.last_removal {
        remarks.push(removed(removal));
    }
    if router.demotion > 0 {
        remarks.push(format!("demoted by {}", router.demotion));
    }
    if let Some(reject) = &router.last_reject {
        let from = reject.source.map(|source| format!(" from {source}")).unwrap_or_default();
        let total: u64 = router.counters.rejected.values().sum();
        remarks.push(format!(
            "{total} datagrams rejected, the last one{from} {} ago, {}: {}",
            age(reject.age_ms.0),
            reject.label,
            reject.text
        ));
    }
    for hook in router.hooks.iter().filter(|hook| hook.ok == Some(false)) {
        let outcome = hook.outcome.as_deref().unwrap_or("failed");
        remarks.push(format!("hook {:?} ({}): {outcome}", hook.on, hook.program));
    }
    remarks
}

fn removed(removal: &RemovalStatus) -> String {
    let passed = carp_node::clock::wall_time().duration_since(removal.time.0);
    let ago = age(Duration::try_from(passed).unwrap_or_default());
    let by = removal.by.as_deref().unwrap_or("another program");
    let what = removal.address.map_or_else(|| "an address".to_owned(), |ip| ip.to_string());
    let hint = removal.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
    format!("{by} removed {what} {ago} ago{hint}")
}

#[cfg(test)]
mod tests {
    use carp_node::control::units::Millis;
    use carp_node::node::Bucket;

    use super::*;

    #[test]
    fn what_was_late_is_told_and_what_was_not_is_not() {
        let bucket = |ms, count| Bucket { le_ms: Millis(Duration::from_millis(ms)), count };
        let report = |last| LatenessReport {
            count: 12,
            max_ms: Millis(Duration::from_millis(350)),
            sum_ms: Millis(Duration::from_millis(400)),
            buckets: vec![bucket(1, 9), bucket(10, last), bucket(500, 12)],
        };
        let told = "2 of 12 deadlines were met more than 10ms late, at worst 350 ms";
        assert_eq!(lateness(&report(10)).as_deref(), Some(told));
        assert_eq!(lateness(&report(12)), None);
        assert_eq!(lateness(&LatenessReport::default()), None);
    }
}
