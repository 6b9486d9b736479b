//! The figure: a title, the whole play over time, the moments of change, and where it comes from.

use std::time::Duration;

use svg::Document;
use svg::node::element::{Definitions, Description, Group, Line, Pattern, Rectangle, Style, Title};

use super::super::model::{Model, Who, millis};
use super::super::stage::VIP;
use super::overview::overview;
use super::zoom::zooms;
use crate::command::plot::STYLE;
use crate::command::plot::shapes::{Area, rectangle, text, width_of};

/// The page.
const PAGE: Area = Area { x: 0.5, y: 0.5, width: 1079.0, height: 611.0 };

/// Where things begin and end.
const MARGIN: f64 = 30.0;

/// The figure of what was seen until `now`, as a file. `date` is when that was.
pub(in crate::command::demo) fn figure(model: &Model, now: Duration, date: &str) -> String {
    let now = model.end.unwrap_or(now);
    let whole = Area { x: 150.0, y: 86.0, width: 876.0, height: 206.0 };
    let moments = Area { x: MARGIN, y: 376.0, width: 1020.0, height: 190.0 };
    let document = Document::new()
        .set("viewBox", "0 0 1080 612")
        .set("width", 1080)
        .set("height", 612)
        .set("role", "img")
        .set("aria-labelledby", "title description")
        .add(Title::new(TITLE).set("id", "title"))
        .add(Description::new().set("id", "description").add(words(description(model, now))))
        .add(Style::new(STYLE))
        .add(Definitions::new().add(hatch()))
        .add(rectangle("page", PAGE).set("rx", 8))
        .add(text("title", (MARGIN, 38.0), TITLE))
        .add(text("muted", (MARGIN, 60.0), subtitle(model)))
        .add(overview(model, now, whole))
        .add(legend(MARGIN, 334.0))
        .add(zooms(model, moments))
        .add(text("small muted", (MARGIN, 594.0), footer(model, date)));
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{document}\n")
}

const TITLE: &str = "carp demo: a crash, a failback and a planned stop, as the client sees them";

fn subtitle(model: &Model) -> String {
    let [primary, secondary] = Who::ALL.map(|who| format!("{} {}", who.name(), who.address()));
    format!(
        "{primary} and {secondary} share {VIP} by {}, an advert every {} ms; the client asks every {} ms",
        model.setting.protocol,
        model.setting.interval.as_millis(),
        model.setting.asks_every.as_millis()
    )
}

/// The figure for those who cannot see it.
fn description(model: &Model, now: Duration) -> String {
    let mut sentences = vec![format!("{}.", subtitle(model))];
    for switch in &model.switches {
        let theory = switch.theory.map_or_else(
            || "the timers demand none".to_owned(),
            |theory| format!("the timers make {} unavoidable", millis(theory.length())),
        );
        let outage = millis(switch.outage.length());
        sentences.push(format!("{}: {outage} without an answer; {theory}.", switch.act.name()));
    }
    if model.end.is_none() {
        sentences.push(format!("The play broke off after {}.", millis(now)));
    }
    sentences.join(" ")
}

fn footer(model: &Model, date: &str) -> String {
    let interval = model.setting.interval;
    let interval = match interval.subsec_millis() {
        0 => format!("{}s", interval.as_secs()),
        _ => format!("{}ms", interval.as_millis()),
    };
    let counts = model.counts;
    let broken = if model.end.is_none() { " · broken off" } else { "" };
    format!(
        "carp {} · carp demo --interval {interval} · {date} · {} requests, {} answered, {} failed{broken}",
        env!("CARGO_PKG_VERSION"),
        counts.sent,
        counts.answered,
        counts.failed
    )
}

/// The colours and their meanings.
fn legend(mut x: f64, y: f64) -> Group {
    let mut group = Group::new();
    for (class, meaning) in [
        ("active", "active"),
        ("leaving", "leaving"),
        ("backup", "backup"),
        ("init", "init"),
        ("stopped", "stopped"),
        ("dead", "dead"),
        ("primary", "answers by the primary"),
        ("secondary", "by the secondary"),
        ("outage", "no answer"),
        ("theory", "theory: the timers"),
    ] {
        let swatch = Area { x, y: y - 9.0, width: 14.0, height: 10.0 };
        group = group.add(rectangle(class, swatch));
        group = group.add(text("small", (x + 19.0, y), meaning));
        x += 19.0 + width_of(meaning, 11.0) + 10.0;
    }
    group
}

/// The pattern of theory.
fn hatch() -> Pattern {
    let stripe = Line::new().set("class", "hatch").set("y2", 6);
    Pattern::new()
        .set("id", "hatch")
        .set("width", 6)
        .set("height", 6)
        .set("patternUnits", "userSpaceOnUse")
        .set("patternTransform", "rotate(45)")
        .add(Rectangle::new().set("width", 6).set("height", 6).set("fill", "none"))
        .add(stripe)
}

fn words(text: String) -> svg::node::Text {
    svg::node::Text::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::model::tests::{crashed, ms, taken_over};

    #[test]
    fn a_figure_is_well_formed_and_says_what_it_shows() {
        let text = figure(&taken_over(ms(9000)), ms(9000), "2026-07-01");
        let parsed = roxmltree::Document::parse(&text).unwrap();
        let description = parsed.descendants().find(|node| node.has_tag_name("desc")).unwrap();
        let description = description.text().unwrap_or_default();
        assert!(description.contains("crash: 3389.0 ms without an answer"), "{description}");
        assert!(text.contains("3389.0 ms") && text.contains("theory 3380.0 ms"), "{text}");
    }

    #[test]
    fn a_play_that_broke_off_has_a_figure_too() {
        let text = figure(&crashed(ms(6000)), ms(6000), "2026-07-01");
        roxmltree::Document::parse(&text).unwrap();
        assert!(text.contains("broken off"), "{text}");
    }
}
