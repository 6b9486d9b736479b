//! What was seen of each cell, kept as a line of JSON.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::Failed;
use serde_json::json;

use crate::cell::Cell;
use crate::scenario::Seen;
use crate::support::Tested;

/// What came of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) cell: Cell,
    /// What was seen, or the first line of why it failed.
    pub(crate) outcome: Result<Seen, String>,
}

/// The facts of a run: in memory, and in `interop.jsonl` in cargo's directory for tests.
pub(crate) struct Record {
    facts: Mutex<Vec<Fact>>,
    lines: Option<Mutex<File>>,
}

impl Record {
    /// An empty record. Nothing is written when cells are only listed.
    pub(crate) fn create(only_listed: bool) -> io::Result<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop.jsonl");
        let lines = if only_listed { None } else { Some(Mutex::new(File::create(path)?)) };
        Ok(Self { facts: Mutex::default(), lines })
    }

    /// Keeps what came of a cell, and says whether that is good.
    pub(crate) fn keep(&self, cell: Cell, played: &Result<Seen, Failed>) -> Tested {
        let reason = |failed: &Failed| failed.message().unwrap_or("failed").to_owned();
        let outcome = played.as_ref().map(|seen| *seen).map_err(reason);
        let first_line = |reason: &String| reason.lines().next().unwrap_or_default().to_owned();
        let fact = Fact { cell, outcome: outcome.as_ref().map(|seen| *seen).map_err(first_line) };
        if let Some(lines) = &self.lines {
            let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
            writeln!(lines, "{}", fact.json())?;
        }
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).push(fact);
        outcome.map(|_| ()).map_err(Failed::from)
    }

    pub(crate) fn facts(&self) -> Vec<Fact> {
        self.facts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Fact {
    /// The fact as an object.
    fn json(&self) -> serde_json::Value {
        let (Cell { variant, first, second, scenario }, seen) = (self.cell, self.outcome.as_ref());
        json!({
            "variant": variant.name(),
            "first": first.name(),
            "second": second.name(),
            "scenario": scenario.name(),
            "ok": seen.is_ok(),
            "owner": seen.ok().map(|seen| seen.owner.ipv4()),
            "time_ms": seen.ok().and_then(|seen| seen.time).map(|time| time.as_secs_f64() * 1e3),
            "reason": seen.err(),
        })
    }
}
