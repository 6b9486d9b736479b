//! What became of hooks.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::HookOn;
use crate::control::units::{Millis, WallTime};
use crate::event::EventKind;
use crate::runner::JobReport;

/// The last run of a hook, as status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Which hook.
    pub on: HookOn,
    /// The program.
    pub program: String,
    /// Whether it runs at this moment.
    pub running: bool,
    /// Whether the last run exited with 0; `None` before the first run has ended.
    pub ok: Option<bool>,
    /// What became of the last run, in words.
    pub outcome: Option<String>,
    /// The exit code of the last run, if it exited.
    pub exit_code: Option<i32>,
    /// How long the last run took.
    pub duration_ms: Option<Millis>,
    /// When the last run ended.
    pub finished: Option<WallTime>,
    /// The end of what the last run wrote.
    pub output: Option<String>,
    /// How many events it was not run for because too many waited.
    pub dropped: u64,
}

impl HookReport {
    pub(super) fn new(on: HookOn, program: &str) -> Self {
        Self {
            on,
            program: program.to_owned(),
            running: false,
            ok: None,
            outcome: None,
            exit_code: None,
            duration_ms: None,
            finished: None,
            output: None,
            dropped: 0,
        }
    }

    pub(super) fn finish(&mut self, report: JobReport) {
        self.running = false;
        self.ok = Some(report.outcome.is_success());
        self.outcome = Some(report.outcome.to_string());
        self.exit_code = report.outcome.exit_code();
        self.duration_ms = Some(report.duration.into());
        self.finished = Some(WallTime::now());
        self.output = Some(report.output);
    }

    /// The event that the last run has ended; `None` before that.
    #[must_use]
    pub fn event(&self) -> Option<EventKind> {
        Some(EventKind::Hook {
            on: self.on.name().into(),
            program: self.program.clone(),
            ok: self.ok?,
            outcome: self.outcome.clone()?,
            exit_code: self.exit_code,
            duration_ms: self.duration_ms?,
        })
    }
}

/// The reports of one router.
pub(super) type Reports = Arc<Mutex<BTreeMap<HookOn, HookReport>>>;

pub(super) fn count_dropped(reports: &Reports, on: HookOn) {
    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(report) = reports.get_mut(&on) {
        report.dropped += 1;
    }
}
