//! The whole play over time: what the servers were, what they answered, when nobody did.

use std::fmt::Write;
use std::time::Duration;

use svg::node::element::{Group, Path};

use super::super::model::{Act, Gap, Model, Span, State, Who, millis, seconds};
use crate::command::plot::shapes::{Area, line, px, text, titled, width_of};

/// The heights of a server's band, of its answers, and of the client's rows.
const BAND: f64 = 22.0;
const ANSWERS: f64 = 12.0;
const SERVER: f64 = 56.0;
const THEORY: f64 = 13.0;

/// How many pixels are one column of answers.
const COLUMN: f64 = 2.0;

/// By how much a label may stand out on the right.
const BESIDE: f64 = 24.0;

/// An outage that is drawn narrower than this is drawn this wide.
const THINNEST: f64 = 2.0;

/// Draws it into an area; names stand left of that.
pub(super) fn overview(model: &Model, now: Duration, area: Area) -> Group {
    let axis = Axis { area, whole: model.whole(now) };
    let top = area.y + 26.0;
    let client = top + 2.0 * SERVER;
    let mut group = Group::new().add(axis.draw()).add(acts(model, &axis));
    for (who, y) in Who::ALL.into_iter().zip([top, top + SERVER]) {
        group = group.add(server(model, who, now, &axis, y));
    }
    group.add(client_row(model, now, &axis, client))
}

/// The time axis.
struct Axis {
    area: Area,
    whole: Duration,
}

impl Axis {
    fn x(&self, at: Duration) -> f64 {
        self.area.x + self.area.width * at.div_duration_f64(self.whole.max(Duration::from_nanos(1)))
    }

    /// The part of a row that a span takes.
    fn area(&self, span: Span, y: f64, height: f64) -> Area {
        let (x, right) = (self.x(span.from), self.x(span.to));
        Area { x, y, width: right - x, height }
    }

    fn draw(&self) -> Group {
        let Area { x, .. } = self.area;
        let (right, bottom) = (self.area.right(), self.area.bottom());
        let mut group = Group::new().add(line("axis", (x, bottom), (right, bottom)));
        for at in self.ticks() {
            let x = self.x(at);
            group = group
                .add(line("grid", (x, self.area.y + 20.0), (x, bottom)))
                .add(line("axis", (x, bottom), (x, bottom + 4.0)))
                .add(text("small muted middle", (x, bottom + 16.0), format!("{} s", at.as_secs())));
        }
        group
    }

    /// Round seconds, not too many.
    fn ticks(&self) -> impl Iterator<Item = Duration> {
        let steps = [1, 2, 5, 10, 20, 30, 60].map(Duration::from_secs);
        let few = |step: &Duration| self.whole.div_duration_f64(*step) <= 18.0;
        let (step, whole) = (steps.into_iter().find(few).unwrap_or(self.whole), self.whole);
        (0_u32..).map(move |tick| step * tick).take_while(move |at| *at < whole)
    }
}

/// What the script did, as lines through all rows. A label stands right of its line, or left of it at
/// the end, and higher where another one is in its way.
fn acts(model: &Model, axis: &Axis) -> Group {
    let mut group = Group::new();
    let mut free = axis.area.x;
    for &(at, act) in &model.acts {
        let what = match act {
            Act::Steady => continue,
            Act::Crash => "machine dies",
            Act::Failback => "machine back",
            Act::PlannedStop => "planned stop",
        };
        let (x, width) = (axis.x(at), width_of(what, 12.0) + 4.0);
        let fits = x + width <= axis.area.right() + BESIDE;
        let (class, beside, left) =
            if fits { ("strong", 4.0, x) } else { ("strong end", -4.0, x - width) };
        let higher = if left < free { 14.0 } else { 0.0 };
        free = free.max(left + width);
        group = group
            .add(line("event", (x, axis.area.y - higher), (x, axis.area.bottom())))
            .add(text(class, (x + beside, axis.area.y + 12.0 - higher), what));
    }
    group
}

/// A server: a band of its states, and below it its answers.
fn server(model: &Model, who: Who, now: Duration, axis: &Axis, y: f64) -> Group {
    let mut group = Group::new()
        .add(text(
            &format!("{} heading end", who.name()),
            (axis.area.x - 12.0, y + 15.0),
            who.name(),
        ))
        .add(text("small muted end", (axis.area.x - 12.0, y + 31.0), who.address()));
    for (span, state) in model.states(who, now) {
        group = group.add(band(who, span, state, axis, y));
    }
    group.add(density(model, who, axis, y + BAND + 2.0))
}

fn band(who: Who, span: Span, state: State, axis: &Axis, y: f64) -> Group {
    let area = axis.area(span, y, BAND);
    let (from, to) = (seconds(span.from), seconds(span.to));
    let title = format!("{}: {} from {from} to {to}", who.name(), state.name());
    let group = Group::new().add(titled(state.name(), area, &title));
    if width_of(state.name(), 12.0) + 8.0 > area.width {
        return group;
    }
    let at = (area.x + area.width / 2.0, y + 15.5);
    group.add(text(&format!("on-{} middle", state.name()), at, state.name()))
}

/// How many answers came, column by column: a full column has all that the client asked for in that
/// time, or more, when it had to wait.
fn density(model: &Model, who: Who, axis: &Axis, y: f64) -> Path {
    let mut columns: Vec<(f64, f64)> = Vec::new();
    for answer in model.answers.iter().filter(|answer| answer.by == who) {
        let x = (axis.x(answer.at) / COLUMN).floor() * COLUMN;
        match columns.last_mut() {
            Some((last, count)) if *last >= x => *count += 1.0,
            _ => columns.push((x, 1.0)),
        }
    }
    let asked = axis.whole.div_duration_f64(model.setting.asks_every);
    let all = (asked * COLUMN / axis.area.width).max(1.0);
    let mut path = String::new();
    for (x, count) in columns {
        let height = (ANSWERS * count / all).clamp(1.0, ANSWERS);
        // Writing to a String cannot fail.
        let _ = write!(path, "M{} {}v{}", px(x + COLUMN / 2.0), px(y + ANSWERS), px(-height));
    }
    Path::new().set("class", who.name()).set("stroke-width", COLUMN).set("d", path)
}

/// The client: who answers it, and when nobody does, beside what the timers make unavoidable.
fn client_row(model: &Model, now: Duration, axis: &Axis, y: f64) -> Group {
    let mut group = Group::new()
        .add(text("heading end", (axis.area.x - 12.0, y + 15.0), "client"))
        .add(text("small muted end", (axis.area.x - 12.0, y + 31.0), "who answers it"));
    for (span, by) in answered(model) {
        let title = format!("answered by the {} until {}", by.name(), seconds(span.to));
        group = group.add(titled(by.name(), axis.area(span, y, BAND), &title));
    }
    let below = y + BAND + 3.0;
    let mut free = axis.area.x;
    for switch in &model.switches {
        let Some(theory) = switch.theory else { continue };
        let area = axis.area(theory, below, THEORY);
        let label = format!("theory {}", millis(theory.length()));
        let title = format!("{label}: the timers make it unavoidable");
        group = group.add(titled("theory", area, &title));
        let x = area.right() + 6.0;
        free = free.max(x + width_of(&label, 11.0));
        group = group.add(text("small halo", (x, below + 10.5), label));
    }
    for gap in model.outages(now) {
        group = group.add(outage(gap, axis, y, &mut free));
    }
    group
}

/// The times through which one server answered without a notable gap.
fn answered(model: &Model) -> Vec<(Span, Who)> {
    let mut spans: Vec<(Span, Who)> = Vec::new();
    let gaps = model.outages(Duration::ZERO);
    for answer in &model.answers {
        match spans.last_mut() {
            Some((span, by))
                if *by == answer.by
                    && !gaps
                        .iter()
                        .any(|gap| gap.span.overlaps(Span { from: span.to, to: answer.at })) =>
            {
                span.to = answer.at;
            }
            _ => spans.push((Span { from: answer.at, to: answer.at }, answer.by)),
        }
    }
    spans
}

/// A time without an answer, with its length in it, or below it if it is too short for that. `free` is
/// where labels below have room.
fn outage(gap: Gap, axis: &Axis, y: f64, free: &mut f64) -> Group {
    let mut area = axis.area(gap.span, y, BAND);
    let length = millis(gap.span.length());
    let still = if gap.open { ", and no answer yet" } else { "" };
    if area.width < THINNEST {
        area.x -= (THINNEST - area.width) / 2.0;
        area.width = THINNEST;
    }
    let middle = area.x + area.width / 2.0;
    let title = format!("{length} without an answer{still}");
    let group = Group::new().add(titled("outage", area, &title));
    for label in [&title, &length] {
        if width_of(label, 12.0) + 8.0 <= area.width {
            return group.add(text("on-outage middle", (middle, y + 15.5), label));
        }
    }
    // Shorter than its label: below, and on a second line if there stands one already.
    let half = width_of(&length, 11.0) / 2.0;
    let lower = if middle - half < *free { 14.0 } else { 0.0 };
    *free = free.max(middle + half + 4.0);
    let label = text("small strong middle outage halo", (middle, y + BAND + 13.5 + lower), &length);
    group.add(label)
}
