//! `carp sync status`: how far behind the standby is, and what goes on.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::path::Path;
use std::time::Duration;

use carp_node::config::format_duration;
use carp_node::sync::engine::ShareStatus;
use carp_node::sync::record::Role;
use serde_json::json;

use super::shares;
use crate::exit::{Exit, Failure};
use crate::output::{age, counted, print};

/// How often `--watch` looks.
const WATCH: Duration = Duration::from_millis(500);

/// Has a terminal show what follows from its upper left corner, and nothing else.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// How many lines of rsync's errors are shown: the last ones.
const ERROR_LINES: usize = 20;

/// Shows the shares, once or again and again. The exit code is 1 if one is held, here or on the standby.
pub(super) fn run(
    socket: &Path,
    name: Option<&str>,
    json: bool,
    watch: bool,
) -> Result<u8, Failure> {
    loop {
        let shares = shares(socket, name)?;
        let text = if json {
            format!("{}\n", json!({ "schema": "carp.sync-status/1", "shares": shares }))
        } else {
            shares.iter().map(render).collect()
        };
        let redraws = watch && !json && std::io::stdout().is_terminal();
        print(&format!("{}{text}", if redraws { CLEAR } else { "" }))?;
        if !watch {
            let held = shares.iter().any(|share| share.held.is_some() || share.standby_held);
            return Ok(if held { Exit::Failed.code() } else { 0 });
        }
        std::thread::sleep(WATCH);
    }
}

fn render(share: &ShareStatus) -> String {
    let role = match share.role {
        Role::Active => "active",
        Role::Backup => "backup",
        Role::Init => "init",
    };
    let mut text = format!("{} ({role}, {}): {}\n", share.name, share.doing, share.line);
    // Writing to a String cannot fail.
    if let Some(pass) = &share.progress {
        let _ = writeln!(
            text,
            "  {}%, {} bytes, {} bytes/s, {} left; files: {}, to check: {}",
            pass.percent,
            pass.bytes,
            pass.rate,
            age(pass.left_ms.0),
            pass.files.unwrap_or(0),
            pass.to_check.map_or_else(|| "not counted yet".to_owned(), |left| left.to_string())
        );
    }
    if let Some(last) = &share.last_pass {
        let _ = writeln!(
            text,
            "  last pass: {} files, {} changed, {} deleted, {} bytes, took {}: {}",
            last.files,
            last.changed,
            last.deleted,
            last.bytes,
            age(last.took_ms.0),
            last.text
        );
        let lines: Vec<&str> = last.errors.lines().collect();
        let left_out = lines.len().saturating_sub(ERROR_LINES);
        if left_out > 0 {
            let _ = writeln!(text, "    | ({left_out} lines before are in --json)");
        }
        for line in lines.iter().skip(left_out) {
            let _ = writeln!(text, "    | {line}");
        }
    }
    if let Some(watched) = share.watched.filter(|watched| !watched.whole) {
        let _ = writeln!(
            text,
            "  changes are noticed in {} directories; in the others the interval's pass finds them",
            watched.directories
        );
    }
    if let Some(freeze) = share.freeze_ms {
        let _ = writeln!(text, "  last handover: writers stood still for {} ms", freeze.rounded());
    }
    if let Some(command) = &share.failback {
        let _ = writeln!(text, "  in sync; the address comes here with `{command}`");
    }
    if let Some(why) = &share.held_later {
        let _ = writeln!(
            text,
            "  held by the operator as soon as this node does not serve: {why}; `carp sync hold --release`"
        );
    }
    let alarm = too_old(share);
    let held = share.held.as_ref().map(|hold| format!("held: {}", hold.message));
    let standby = share.standby_held.then(|| {
        "the standby is held: `carp sync status` there says why, and what to do".to_owned()
    });
    let put_off = share.put_off.as_ref().map(|why| format!("no takeover now: {why}"));
    let rescue = share.rescue;
    let awaited = (rescue.sets > 0).then(|| {
        let counted =
            |count: u64, what| counted(usize::try_from(count).unwrap_or(usize::MAX), what);
        format!(
            "{} that nobody has acknowledged, in {}: `carp sync rescue list`",
            counted(rescue.orphans, "orphan"),
            counted(rescue.sets, "rescue set")
        )
    });
    let trouble = share.peer_trouble.as_ref().map(|it| format!("the peer: {it}"));
    let remarks = [alarm, held, put_off, standby, share.fault.clone(), trouble, awaited];
    for remark in remarks.into_iter().flatten() {
        let _ = writeln!(text, "  ! {remark}");
    }
    text
}

/// What is said of a copy that is older than it may be.
pub(crate) fn too_old(share: &ShareStatus) -> Option<String> {
    let limit = format_duration(share.max_lag_ms.0);
    share.alarm.then(|| {
        format!("alarm: the copy is older than max_lag ({limit}), or not known to be younger")
    })
}
