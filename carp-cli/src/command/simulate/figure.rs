//! A run as a figure: a band of states for each host, who has the addresses, and what was done.

use std::time::Duration;

use carp_proto::sim::{Lan, Scenario, ScenarioError, Span, View, judge_on};
use svg::Document;
use svg::node::element::{Description, Group, Style, Title};

use super::shown::end;
use super::tally::since_held;
use crate::command::plot::STYLE;
use crate::command::plot::shapes::{Area, line, rectangle, text, titled, width_of};

const WIDTH: f64 = 1080.0;
const LEFT: f64 = 150.0;
const TOP: f64 = 96.0;
const BAND: f64 = 22.0;
const ROW: f64 = 40.0;

/// An outage that is drawn narrower than this is drawn this wide.
const THINNEST: f64 = 2.0;

/// Plays a scenario, and draws what came of it.
pub(in crate::command) fn figure(scenario: &Scenario) -> Result<String, ScenarioError> {
    let mut lan = scenario.lan()?;
    let verdict = judge_on(scenario, &mut lan);
    let end = end(scenario, verdict.violation.as_ref(), &lan);
    let rows = scenario.hosts.len() * scenario.links() + scenario.links();
    let height = TOP + ROW * f64::from(u32::try_from(rows).unwrap_or(u32::MAX)) + 84.0;
    let picture = Picture { scenario, lan: &lan, end, bottom: height - 84.0 };
    let page = Area { x: 0.5, y: 0.5, width: WIDTH - 1.0, height: height - 1.0 };
    let title = "carp simulate: one run";
    let document = Document::new()
        .set("viewBox", format!("0 0 {WIDTH} {height}"))
        .set("width", WIDTH)
        .set("height", height)
        .set("role", "img")
        .set("aria-labelledby", "title description")
        .add(Title::new(title).set("id", "title"))
        .add(
            Description::new()
                .set("id", "description")
                .add(svg::node::Text::new(picture.description())),
        )
        .add(Style::new(STYLE))
        .add(rectangle("page", page).set("rx", 8))
        .add(text("title", (30.0, 38.0), title))
        .add(text("muted", (30.0, 60.0), picture.subtitle()))
        .add(picture.axis())
        .add(picture.rows())
        .add(picture.steps())
        .add(picture.legend());
    Ok(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}\n"))
}

struct Picture<'a> {
    scenario: &'a Scenario,
    lan: &'a Lan,
    end: Duration,
    bottom: f64,
}

impl Picture<'_> {
    fn end(&self) -> Duration {
        self.end
    }

    fn x(&self, at: Duration) -> f64 {
        let whole = self.end().max(Duration::from_nanos(1));
        LEFT + (WIDTH - LEFT - 54.0) * at.div_duration_f64(whole)
    }

    fn area(&self, span: Span, y: f64) -> Area {
        let x = self.x(span.from);
        Area { x, y, width: self.x(span.to) - x, height: BAND }
    }

    fn subtitle(&self) -> String {
        let names = self.scenario.names().join(", ");
        format!("{names}, for {:.0?}; its own seed is {}", self.end(), self.scenario.seed)
    }

    /// The figure for those who cannot see it.
    fn description(&self) -> String {
        let mut sentences = vec![format!("{}.", self.subtitle())];
        for link in 0..self.lan.links() {
            let since = since_held(self.lan.record(), link, self.end());
            for span in self.lan.record().times(link, since, |hosts| hosts == 0) {
                let (from, length) = (span.from, span.length());
                sentences
                    .push(format!("From {from:.3?} on nobody has the addresses for {length:.3?}."));
            }
        }
        sentences.join(" ")
    }

    fn axis(&self) -> Group {
        let steps = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 3600].map(Duration::from_secs);
        let few = |step: &Duration| self.end().div_duration_f64(*step) <= 18.0;
        let step = steps.into_iter().find(few).unwrap_or(self.end());
        let (left, right) = (self.x(Duration::ZERO), self.x(self.end()));
        let mut group = Group::new().add(line("axis", (left, self.bottom), (right, self.bottom)));
        let mut at = Duration::ZERO;
        while at < self.end() {
            let x = self.x(at);
            group = group.add(line("grid", (x, TOP - 10.0), (x, self.bottom))).add(text(
                "small muted middle",
                (x, self.bottom + 16.0),
                format!("{} s", at.as_secs()),
            ));
            at += step;
        }
        group
    }

    fn rows(&self) -> Group {
        let mut group = Group::new();
        let mut y = TOP;
        for link in 0..self.lan.links() {
            for (host, name) in self.scenario.names().iter().enumerate() {
                group = group.add(text("heading end", (LEFT - 12.0, y + 15.0), *name));
                for (span, view) in self.lan.record().views(host, link, self.end()) {
                    let title = format!("{name}: {} for {:.3?}", view.name(), span.length());
                    group = group.add(titled(class(view), self.area(span, y), &title));
                }
                y += ROW;
            }
            group = group.add(self.outages(link, y));
            y += ROW;
        }
        group
    }

    /// When nobody had the addresses any more, and when two had.
    fn outages(&self, link: usize, y: f64) -> Group {
        let since = since_held(self.lan.record(), link, self.end());
        let mut group =
            Group::new().add(text("small muted end", (LEFT - 12.0, y + 15.0), "addresses"));
        let none = self.lan.record().times(link, since, |hosts| hosts == 0);
        let two = self.lan.record().times(link, since, |hosts| hosts.count_ones() > 1);
        for (class, what, spans) in
            [("outage", "nobody has them", none), ("secondary", "two have them", two)]
        {
            for span in spans {
                let area = self.area(span, y);
                let area = Area { width: area.width.max(THINNEST), ..area };
                let title = format!("{what} for {:.3?}", span.length());
                group = group.add(titled(class, area, &title));
            }
        }
        group
    }

    /// What was done, as lines through all rows.
    fn steps(&self) -> Group {
        let names = self.scenario.names();
        let mut group = Group::new();
        let mut free = 0.0;
        for step in &self.scenario.steps {
            let what = step.fault.described(&names).to_string();
            let x = self.x(step.at);
            group = group.add(line("event", (x, TOP - 10.0), (x, self.bottom)));
            let width = width_of(&what, 12.0);
            if x >= free && x + width <= WIDTH {
                group = group.add(text("strong", (x + 4.0, TOP - 14.0), what));
                free = x + width + 8.0;
            }
        }
        group
    }

    fn legend(&self) -> Group {
        let mut group = Group::new();
        let (mut x, y) = (30.0, self.bottom + 50.0);
        for (class, meaning) in [
            ("active", "serving"),
            ("leaving", "taking over or leaving"),
            ("backup", "backup"),
            ("init", "init"),
            ("stopped", "no daemon, or frozen"),
            ("dead", "off"),
            ("outage", "nobody has the addresses"),
            ("secondary", "two have them"),
        ] {
            group = group.add(rectangle(class, Area { x, y: y - 9.0, width: 14.0, height: 10.0 }));
            group = group.add(text("small", (x + 19.0, y), meaning));
            x += 19.0 + width_of(meaning, 11.0) + 10.0;
        }
        group
    }
}

const fn class(view: View) -> &'static str {
    match view {
        View::Serving => "active",
        View::TakingOver | View::Leaving => "leaving",
        View::Backup => "backup",
        View::Init => "init",
        View::Down | View::Frozen => "stopped",
        View::Off | View::Paused => "dead",
    }
}
