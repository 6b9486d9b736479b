//! The result as a picture: one dot a round, on one logarithmic axis for everything.

use std::fmt::Write;

use carp_benches::stats::Spread;

use crate::contender::Contender;
use crate::report::{FIGURES, Figure, NOTHING, Outcome, cell};

/// Sizes in pixels.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 750.0;
const TOP: f64 = 96.0;
const ROW: f64 = 20.0;
const GROUP: f64 = 42.0;

/// The axis, in powers of ten of a millisecond.
const DECADES: std::ops::RangeInclusive<i32> = -1..=4;

/// Text and lines for both backgrounds; the colours of the daemons are told apart by everybody.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:18px;font-weight:600}\
.dim{fill:#59636e}.grid{stroke:#d1d9e0}.paper{fill:#fff}\
.carp{fill:#0072b2;stroke:#0072b2}.keepalived{fill:#d55e00;stroke:#d55e00}\
.ucarp{fill:#009e73;stroke:#009e73}circle{fill-opacity:.35;stroke:none}text.value{stroke:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.dim{fill:#9198a1}.grid{stroke:#3d444d}\
.paper{fill:#0d1117}.carp{fill:#56b4e9;stroke:#56b4e9}\
.keepalived{fill:#f0883e;stroke:#f0883e}.ucarp{fill:#3fb98f;stroke:#3fb98f}}";

/// A standalone SVG that follows the reader's light or dark theme.
pub(crate) fn draw(outcome: &Outcome) -> String {
    let shown = FIGURES.iter().filter(|figure| figure.drawn);
    let groups: Vec<&Figure> = shown.chain([&NOTHING]).collect();
    let count = groups.len() as f64;
    let rows = outcome.contenders.len() as f64;
    let bottom = TOP + count * (rows * ROW + GROUP);
    let height = bottom + 64.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\
         <title>Failover, daemon by daemon</title><desc>{}</desc><style>{STYLE}</style>\
         <rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n",
        escape(&outcome.tables()),
    );
    text(&mut svg, 20.0, 32.0, "title", "How long the address is away");
    let rounds = outcome.rounds.len() / outcome.contenders.len().max(1);
    let subtitle = format!(
        "a dot is one of {rounds} rounds, a line the median; less is better; note the logarithmic axis"
    );
    text(&mut svg, 20.0, 54.0, "dim", &subtitle);
    axis(&mut svg, bottom);
    let mut y = TOP;
    for figure in groups {
        y = group(&mut svg, outcome, figure, y);
    }
    text(&mut svg, 20.0, height - 16.0, "dim", &outcome.machine);
    svg.push_str("</svg>\n");
    svg
}

/// The lines of the axis, with their labels above and below.
fn axis(svg: &mut String, bottom: f64) {
    for power in DECADES {
        let x = place(10_f64.powi(power));
        let _ = writeln!(
            svg,
            "<line class=\"grid\" x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>",
            TOP - 8.0
        );
        let label = match power {
            3.. => format!("{} s", 10_f64.powi(power - 3)),
            _ => format!("{} ms", 10_f64.powi(power)),
        };
        for y in [TOP - 16.0, bottom + 18.0] {
            let _ = writeln!(
                svg,
                "<text class=\"dim\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{label}</text>"
            );
        }
    }
}

/// A heading, and a row for each daemon. Returns where the next group begins.
fn group(svg: &mut String, outcome: &Outcome, figure: &Figure, top: f64) -> f64 {
    text(svg, 20.0, top + 16.0, "", figure.label);
    let mut y = top + 38.0;
    for candidate in &outcome.contenders {
        let figures = outcome.figures(candidate.contender, figure.of);
        row(svg, candidate.contender, &figures, y);
        y += ROW;
    }
    y + GROUP - 38.0
}

fn row(svg: &mut String, contender: Contender, figures: &[f64], y: f64) {
    let name = contender.name();
    text(svg, 40.0, y + 4.0, "dim", name);
    for figure in figures {
        let x = place(*figure);
        let _ = writeln!(svg, "<circle class=\"{name}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
    }
    let Some(spread) = Spread::of(figures.iter().copied()) else { return };
    let x = place(spread.median);
    let (from, to) = (y - 8.0, y + 8.0);
    let _ = writeln!(
        svg,
        "<line class=\"{name}\" x1=\"{x:.1}\" y1=\"{from:.1}\" x2=\"{x:.1}\" y2=\"{to:.1}\" \
         stroke-width=\"2\"/>"
    );
    let value = format!("{} ms", cell(spread));
    text(svg, RIGHT + 14.0, y + 4.0, &format!("value {name}"), &value);
}

fn text(svg: &mut String, x: f64, y: f64, class: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

/// Where a time is on the axis; what is beyond an end is at the end.
fn place(millis: f64) -> f64 {
    let (first, last) = (f64::from(*DECADES.start()), f64::from(*DECADES.end()));
    let power = millis.max(f64::MIN_POSITIVE).log10().clamp(first, last);
    LEFT + (RIGHT - LEFT) * (power - first) / (last - first)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_placed_by_their_logarithm_and_within_the_axis() {
        assert_eq!(place(0.1), LEFT);
        assert_eq!(place(10_000.0), RIGHT);
        assert_eq!((place(-1.0), place(1e9)), (LEFT, RIGHT));
        let middle = place(10_f64.powf(1.5));
        assert!((middle - f64::midpoint(LEFT, RIGHT)).abs() < 1e-9, "{middle}");
    }
}
