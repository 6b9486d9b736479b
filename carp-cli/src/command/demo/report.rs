//! What came of the demo.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::output::Table;

/// What the client saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    pub(super) takeover: Takeover,
    pub(super) handover: Outage,
    pub(super) failback: Outage,
    pub(super) requests: Requests,
}

/// The crash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    /// The largest gap between two answers.
    pub(super) outage: Duration,
    /// From the death to the successor's first advert.
    pub(super) detection: Duration,
    /// What the timers make unavoidable: the successor's active-down interval without the time for
    /// which the dead router had been silent when it died.
    pub(super) theory: Duration,
    /// When the machine died.
    pub(super) death: Instant,
}

/// A planned change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage {
    /// The largest gap between two answers.
    pub(super) outage: Duration,
}

/// The client's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requests {
    pub(super) sent: usize,
    pub(super) answered: usize,
    pub(super) failed: usize,
    /// Asked a second time, because a handover cut their connection.
    pub(super) repeated: usize,
    /// Failed, and not because the machine had died.
    pub(super) unexcused: usize,
}

impl Outcome {
    /// Whether nothing was lost but what a dead machine takes along.
    pub(super) const fn ok(&self) -> bool {
        self.requests.unexcused == 0
    }

    /// The object of the contract.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "schema": "carp.demo/1",
            "takeover": {
                "outage_ms": decimal_millis(self.takeover.outage),
                "detection_ms": decimal_millis(self.takeover.detection),
                "theory_ms": decimal_millis(self.takeover.theory),
            },
            "handover": { "outage_ms": decimal_millis(self.handover.outage) },
            "failback": { "outage_ms": decimal_millis(self.failback.outage) },
            "requests": {
                "sent": self.requests.sent,
                "answered": self.requests.answered,
                "failed": self.requests.failed,
                "repeated": self.requests.repeated,
            },
            "ok": self.ok(),
        })
    }

    /// The same for people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new(&["", "OUTAGE", "THEORY", ""]);
        let row = |what: &str, outage, theory: Option<Duration>, remark: String| {
            let theory = theory.map_or_else(|| "0 ms".to_owned(), show);
            vec![what.to_owned(), show(outage), theory, remark]
        };
        let Takeover { outage, detection, theory, .. } = self.takeover;
        let detected = format!("detected after {}", show(detection));
        table.row(row("crash of the primary", outage, Some(theory), detected));
        let gap = "the largest gap between two answers".to_owned();
        table.row(row("failback", self.failback.outage, None, gap.clone()));
        table.row(row("planned stop", self.handover.outage, None, gap));
        let Requests { sent, answered, failed, repeated, unexcused } = self.requests;
        let lost = match unexcused {
            0 => "nothing was lost but what the dead machine had taken".to_owned(),
            lost => format!("{lost} were lost for no good reason"),
        };
        format!(
            "\n{}\n{sent} requests, one every 5 ms: {answered} answered ({repeated} of them at the second \
             attempt, their connection cut by a handover), {failed} failed; {lost}\n",
            table.render()
        )
    }
}

fn show(duration: Duration) -> String {
    format!("{:.1} ms", decimal_millis(duration))
}

/// Milliseconds with three decimals.
fn decimal_millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
