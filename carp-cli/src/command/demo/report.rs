//! What came of the demo.

use std::time::{Duration, Instant};

use carp_node::lab::Gap;
use serde_json::json;

use super::model::{Who, millis};
use super::pages::{Count, Edit};
use super::stage::ASKS_EVERY;
use crate::output::Table;

/// What the client saw, and what became of the pages.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) takeover: Takeover,
    /// The largest gap between two answers around the planned stop.
    pub(super) handover: Gap,
    /// The same around the failback.
    pub(super) failback: Gap,
    pub(super) requests: Requests,
    pub(super) pages: Pages,
}

/// The crash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Takeover {
    /// The largest gap between two answers.
    pub(super) outage: Gap,
    /// From the death to the successor's first advert.
    pub(super) detection: Duration,
    /// What the timers make unavoidable: the successor's active-down interval without the time for
    /// which the dead router had been silent when it died.
    pub(super) theory: Duration,
    /// When the machine died.
    pub(super) death: Instant,
}

/// The pages at the end.
#[derive(Clone, Debug)]
pub(super) struct Pages {
    /// A kind of edit after the other.
    pub(super) counts: Vec<Count>,
    /// How many had to be put back from a rescue set.
    pub(super) put_back: usize,
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
    pub(super) fn ok(&self) -> bool {
        self.requests.unexcused == 0 && self.pages.lost() == 0
    }

    /// The object of the contract.
    pub(super) fn json(&self) -> serde_json::Value {
        json!({
            "schema": "carp.demo/1",
            "takeover": {
                "outage_ms": decimal_millis(self.takeover.outage.length()),
                "detection_ms": decimal_millis(self.takeover.detection),
                "theory_ms": decimal_millis(self.takeover.theory),
            },
            "handover": { "outage_ms": decimal_millis(self.handover.length()) },
            "failback": { "outage_ms": decimal_millis(self.failback.length()) },
            "requests": {
                "sent": self.requests.sent,
                "answered": self.requests.answered,
                "failed": self.requests.failed,
                "repeated": self.requests.repeated,
            },
            "sync": {
                "files": self.pages.edited(),
                "rescued": self.pages.put_back,
                "lost": self.pages.lost(),
            },
            "ok": self.ok(),
        })
    }

    /// The same for people.
    pub(super) fn table(&self) -> String {
        let mut table = Table::new(&["", "OUTAGE", "THEORY", ""]);
        let row = |what: &str, outage: Gap, theory: String, remark: String| {
            vec![what.to_owned(), millis(outage.length()), theory, remark]
        };
        let Takeover { outage, detection, theory, .. } = self.takeover;
        let detected = format!("detected after {}", millis(detection));
        table.row(row("crash of the primary", outage, millis(theory), detected));
        let gap = "the largest gap between two answers".to_owned();
        table.row(row("failback", self.failback, "0 ms".to_owned(), gap.clone()));
        table.row(row("planned stop", self.handover, "0 ms".to_owned(), gap));
        let (requests, pages) = (self.requests.sentence(), self.pages.sentence());
        format!("\n{}\n{requests}\n\n{}\n{pages}\n", table.render(), self.pages.table())
    }
}

impl Pages {
    fn edited(&self) -> usize {
        self.counts.iter().map(|count| count.pages).sum()
    }

    fn lost(&self) -> usize {
        self.counts.iter().map(|count| count.lost).sum()
    }

    /// A line a kind of edit: how many, and on how many servers they are as they were left.
    fn table(&self) -> String {
        let mut table = Table::new(&["", "PAGES", "RIGHT ON PRIMARY", "RIGHT ON SECONDARY"]);
        for Count { edit, pages, right, .. } in &self.counts {
            let on = |who: Who| right[who.index()].to_string();
            let (primary, secondary) = (on(Who::Primary), on(Who::Secondary));
            table.row(vec![edit.name().to_owned(), pages.to_string(), primary, secondary]);
        }
        table.render()
    }

    /// What became of the pages.
    fn sentence(&self) -> String {
        let edited = self.edited();
        let rescued = match self.put_back {
            0 => String::new(),
            put_back => format!(", {put_back} of them from a rescue set"),
        };
        let (deleted, kept): (Vec<_>, Vec<_>) =
            self.counts.iter().partition(|count| count.edit == Edit::Deleted);
        let sum = |counts: Vec<&Count>| counts.iter().map(|count| count.pages).sum::<usize>();
        let (deleted, kept) = (sum(deleted), sum(kept));
        match self.lost() {
            0 => format!(
                "{edited} pages, edited on both servers in turn: {kept} are on both{rescued}, and the {deleted} \
                 deleted ones on neither"
            ),
            lost => format!(
                "{edited} pages, edited on both servers in turn: {lost} of them are not as they were left on both"
            ),
        }
    }
}

impl Requests {
    /// What became of the requests.
    fn sentence(&self) -> String {
        let Self { sent, answered, failed, repeated, unexcused } = *self;
        let every = ASKS_EVERY.as_millis();
        let mut text = format!(
            "{sent} requests, one every {every} ms: {answered} answered, {failed} failed\n"
        );
        if repeated > 0 {
            text += &format!(
                "{repeated} of them at the second attempt: a handover had cut the connection\n"
            );
        }
        text += &match unexcused {
            0 => "nothing was lost but what the dead machine had taken".to_owned(),
            lost => format!("{lost} were lost for no good reason"),
        };
        text
    }
}

/// Milliseconds with three decimals.
fn decimal_millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
