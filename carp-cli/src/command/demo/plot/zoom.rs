//! The moments of change, so near that single answers are seen.

use std::time::Duration;

use svg::node::element::Group;

use super::super::model::{Act, Model, Span, State, Who, millis};
use crate::command::plot::shapes::{Area, dot, line, rectangle, text, width_of};

/// What is shown before and after a change.
const AROUND: Duration = Duration::from_millis(50);

/// Between two panels.
const SPACE: f64 = 30.0;

/// The height of a server's band.
const BAND: f64 = 16.0;

/// The acts that change who answers, one panel each.
const PANELS: [(Act, &str); 3] = [
    (Act::Crash, "crash: the secondary takes over"),
    (Act::Failback, "failback: the primary takes over"),
    (Act::PlannedStop, "planned stop: the secondary takes over"),
];

/// Draws a panel for each change, side by side.
pub(super) fn zooms(model: &Model, area: Area) -> Group {
    let mut group = Group::new();
    let width = (area.width - 2.0 * SPACE) / 3.0;
    for (number, (act, title)) in (0_u8..).zip(PANELS) {
        let x = area.x + f64::from(number) * (width + SPACE);
        let panel = Area { x, y: area.y, width, height: area.height };
        group = group.add(zoom(model, act, title, panel));
    }
    group
}

fn zoom(model: &Model, act: Act, title: &str, area: Area) -> Group {
    let group = Group::new().add(text("heading", (area.x, area.y), title));
    let Some(turn) = model.turn(act) else {
        return group.add(text("muted", (area.x, area.y + 18.0), "was not seen"));
    };
    let inner = Area { y: area.y + 28.0, height: area.height - 46.0, ..area };
    let view = View { at: turn.to, area: inner };
    let largest = model.switches.iter().find(|switch| switch.act == act);
    let largest = largest.map_or(turn, |switch| switch.outage);
    // The largest gap need not be where the answers pass from one server to the other.
    let seen = largest.to <= view.span().to && view.clip(largest).is_some();
    let (gap, words) = if seen {
        (largest, format!("gap of {}, the largest", millis(largest.length())))
    } else {
        let (here, largest) = (millis(turn.length()), millis(largest.length()));
        (turn, format!("gap of {here} here; the largest, {largest}, elsewhere"))
    };
    let mut group = group
        .add(text("small muted", (area.x, area.y + 18.0), words))
        .add(rectangle("panel", inner))
        .add(view.axis());
    if let Some(gap) = view.clip(gap) {
        group = group.add(rectangle("gap", gap));
    }
    for (who, y) in Who::ALL.into_iter().zip([inner.y, inner.y + inner.height / 2.0]) {
        group = group.add(view.server(model, who, y));
    }
    group
}

/// A window of time on the page.
struct View {
    /// The moment in its middle.
    at: Duration,
    area: Area,
}

impl View {
    fn span(&self) -> Span {
        Span { from: self.at.saturating_sub(AROUND), to: self.at + AROUND }
    }

    /// Where a moment lies; moments outside are moved to the edge.
    fn x(&self, at: Duration) -> f64 {
        let width = AROUND * 2;
        let into = (at + AROUND).saturating_sub(self.at).min(width);
        self.area.x + self.area.width * into.div_duration_f64(width)
    }

    /// What is seen of a span.
    fn clip(&self, span: Span) -> Option<Area> {
        let (x, right) = (self.x(span.from), self.x(span.to));
        let seen = span.overlaps(self.span());
        seen.then_some(Area { x, y: self.area.y, width: right - x, height: self.area.height })
    }

    /// A server's name, its states as a band, and its answers as dots.
    fn server(&self, model: &Model, who: Who, y: f64) -> Group {
        let label = (self.area.x + 6.0, y + 14.0);
        let mut group = Group::new().add(text(&format!("small {}", who.name()), label, who.name()));
        for (span, state) in model.states(who, self.at + AROUND) {
            if let Some(area) = self.clip(span) {
                let band = Area { y: y + 20.0, height: BAND, ..area };
                group = group.add(rectangle(state.name(), band)).add(name(state, band));
            }
        }
        let answers = model.answers_in(self.span()).iter().filter(|answer| answer.by == who);
        for answer in answers {
            group = group.add(dot(who.name(), (self.x(answer.at), y + 52.0), 3.2));
        }
        group
    }

    fn axis(&self) -> Group {
        let mut group = Group::new();
        let bottom = self.area.bottom();
        for (quarter, label) in (0_u32..).zip(["−50 ms", "−25", "first answer", "+25", "+50 ms"])
        {
            let x = self.area.x + self.area.width * f64::from(quarter) / 4.0;
            let class = match quarter {
                0 => "small muted",
                4 => "small muted end",
                _ => "small muted middle",
            };
            group = group.add(line("grid", (x, self.area.y), (x, bottom))).add(text(
                class,
                (x, bottom + 15.0),
                label,
            ));
        }
        group
    }
}

/// A state's name in its band, where that is wide enough.
fn name(state: State, area: Area) -> Group {
    let label = state.name();
    if width_of(label, 11.0) + 6.0 > area.width {
        return Group::new();
    }
    let at = (area.x + area.width / 2.0, area.y + 12.0);
    Group::new().add(text(&format!("small on-{label} middle"), at, label))
}
