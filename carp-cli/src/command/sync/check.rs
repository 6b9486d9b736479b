//! `carp sync check`: what could keep a share from being copied, and whether both trees are equal.

use std::path::Path;

use carp_node::sync::check::{Check, Difference, Grade, Report};
use serde_json::json;

use super::shares::{chosen, load};
use crate::args::SyncCheck;
use crate::exit::{Exit, Failure};
use crate::output::{Table, print};

/// Looks at the shares; the exit code is 1 if one cannot be copied, and 7 if that is for want of rsync.
pub(super) fn run(arguments: &SyncCheck) -> Result<u8, Failure> {
    let SyncCheck { name, config, fast, json } = arguments;
    let config = load(config)?;
    let failed =
        |error: std::io::Error| Failure::failed(format!("a directory for small files: {error}"));
    let scratch = Scratch::new().map_err(failed)?;
    let mut reports = Vec::new();
    for share in chosen(&config, name.as_deref())? {
        let state_dir = &*config.node.state_dir;
        reports.push(Check { share, state_dir, scratch: scratch.path(), compare: !fast }.run());
    }
    if *json {
        print(&format!("{}\n", json!({ "schema": "carp.sync-check/1", "shares": reports })))?;
    } else {
        print(&reports.iter().map(render).collect::<Vec<_>>().join("\n"))?;
    }
    if reports.iter().any(|report| report.unusable) {
        return Ok(Exit::Missing.code());
    }
    let bad = reports.iter().any(|report| report.grade() == Grade::Bad);
    Ok(if bad { Exit::Failed.code() } else { 0 })
}

fn render(report: &Report) -> String {
    let mut table = Table::new(&["", "SHARE", &report.share]);
    for finding in &report.findings {
        let grade = match finding.grade {
            Grade::Good => "ok",
            Grade::Remark => "note",
            Grade::Bad => "BAD",
        };
        table.row(vec![grade.to_owned(), finding.what.to_owned(), finding.text.clone()]);
    }
    let mut text = table.render();
    for Difference { kind, path } in &report.differences {
        text += &format!("  {kind:<10}  {path}\n");
    }
    text
}

/// A directory of this process alone.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new() -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("carp-sync-check-{}", std::process::id()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is small, and harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
