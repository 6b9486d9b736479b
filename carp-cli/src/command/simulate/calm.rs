//! The calm times of a run: when nothing but the weather can be why a router is not heard.

use std::time::Duration;

use carp_proto::sim::{Fault, Lan, Span, View};

/// So long after the beginning, and after the last thing that was not well, an election is over.
const SETTLED: Duration = Duration::from_secs(10);

/// The times until `end` at which for [`SETTLED`] nothing was done but weather, everybody could hear everybody, no
/// kernel refused addresses, and every router of the first link took part.
pub(super) fn calm(lan: &Lan, end: Duration) -> Vec<Span> {
    let mut restless = vec![Span { from: Duration::ZERO, to: Duration::ZERO }];
    restless.extend(troubles(lan, end));
    for host in 0..lan.hosts() {
        let views = lan.record().views(host, 0, end).into_iter();
        restless.extend(views.filter(|(_, view)| !takes_part(*view)).map(|(span, _)| span));
    }
    restless.sort_unstable_by_key(|span| span.from);
    let mut calm = Vec::new();
    let mut since = Duration::ZERO;
    for span in restless {
        if span.from > since {
            calm.push(Span { from: since, to: span.from });
        }
        since = since.max(span.to + SETTLED);
    }
    if end > since {
        calm.push(Span { from: since, to: end });
    }
    calm
}

/// From each thing that was done to the next one if anything stays that way, and else at its moment.
fn troubles(lan: &Lan, end: Duration) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut since = Duration::ZERO;
    let mut lasting: Vec<Fault> = Vec::new();
    for step in lan.record().steps.iter().filter(|step| is_disturbing(&step.fault)) {
        let from = if lasting.is_empty() { step.at } else { since };
        spans.push(Span { from, to: step.at });
        since = step.at;
        match step.fault {
            Fault::Heal => {
                lasting.retain(|it| !matches!(it, Fault::Cut { .. } | Fault::Split { .. }));
            }
            Fault::PlugIn { host, link } => {
                lasting.retain(|it| *it != Fault::Unplug { host, link });
            }
            Fault::Refuse { host, refuses: false } => {
                lasting.retain(|it| *it != Fault::Refuse { host, refuses: true });
            }
            Fault::Split { sides } => {
                lasting.retain(|it| !matches!(it, Fault::Split { .. }));
                lasting.extend((sides != 0).then_some(step.fault));
            }
            fault @ (Fault::Cut { .. } | Fault::Unplug { .. } | Fault::Refuse { .. }) => {
                lasting.push(fault);
            }
            _ => {}
        }
    }
    if !lasting.is_empty() {
        spans.push(Span { from: since, to: end });
    }
    spans
}

/// Whether something else than bad weather may be why a router is not heard.
const fn is_disturbing(fault: &Fault) -> bool {
    !matches!(fault, Fault::Weather(_))
}

const fn takes_part(view: View) -> bool {
    match view {
        View::Backup | View::TakingOver | View::Serving | View::Leaving => true,
        View::Off | View::Down | View::Frozen | View::Paused | View::Init => false,
    }
}
