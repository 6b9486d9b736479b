//! The picture of the play at one moment: a pure function of what was seen.

use std::time::Duration;

use anstyle::Style;

use super::super::model::{Gap, Model, NOTABLE, State, Switch, Who, millis, seconds};
use super::super::stage::VIP;
use super::line::{Line, wrap};
use super::look::{CYAN, GREEN, Glyphs, RED, colour, hue};
use super::strip::{Strip, scale};

/// The columns left of the strips: a name, an address, a state.
const LABEL: usize = 36;

/// The width of the bar that shows how far an act is.
const BAR: usize = 24;

/// The columns that the text beside it takes.
const BESIDE_BAR: usize = 50;

/// How to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// The columns to draw in.
    pub(super) width: usize,
    /// Whether block characters can be shown.
    pub(super) unicode: bool,
}

/// The whole picture. When the play is over, its results are left to whoever prints them.
pub(super) fn frame(model: &Model, now: Duration, view: View) -> Vec<Line> {
    let now = model.end.unwrap_or(now);
    let cells = view.width.saturating_sub(LABEL);
    let strip = Strip::new(model, now, cells, Glyphs::of(view.unicode));
    let mut lines = header(model, view);
    lines.push(Line::default());
    lines.push(labelled(Line::default(), strip.acts()));
    for who in Who::ALL {
        lines.push(labelled(server_label(model, who, now), strip.server(who)));
    }
    lines.push(labelled(client_label(model, now), strip.client()));
    lines.push(labelled(Line::default(), strip.gaps()));
    lines.push(labelled(Line::default(), strip.axis()));
    lines.extend(legend(view));
    if model.end.is_none() {
        lines.push(Line::default());
        lines.extend(progress(model, now, view));
        lines.extend(model.switches.iter().map(result));
    }
    lines
}

/// A row: what stands left of it, and itself.
fn labelled(mut label: Line, row: Line) -> Line {
    label.pad_to(LABEL);
    label.append(row);
    label
}

/// What is seen here, for somebody who sees it for the first time.
fn header(model: &Model, view: View) -> Vec<Line> {
    let what = format!(
        "Two servers share the address {VIP}; a client asks it every {} ms.",
        model.setting.asks_every.as_millis()
    );
    let how = format!(
        "The active one answers and says so every {} ms; when it falls silent, the other takes over.",
        model.setting.interval.as_millis()
    );
    let styled = |style: Style, text: &str| {
        let lines = wrap(text, view.width).into_iter();
        lines.map(move |line| Line::styled(style, line)).collect::<Vec<_>>()
    };
    [styled(Style::new().bold(), &what), styled(Style::new().dimmed(), &how)].concat()
}

fn server_label(model: &Model, who: Who, now: Duration) -> Line {
    let state = model.state_at(who, now);
    let name = match state {
        State::Init | State::Backup | State::Active => state.name().to_uppercase(),
        State::Dead | State::Down | State::Leaving => state.name().to_owned(),
    };
    let mut line = Line::styled(hue(who).bold(), who.name());
    line.pad_to(11);
    line.push(Style::new(), who.address());
    line.pad_to(27);
    line.push(colour(state).bold(), name);
    line
}

fn client_label(model: &Model, now: Duration) -> Line {
    let mut line = Line::styled(Style::new().bold(), "client");
    line.pad_to(11);
    let last = model.answers.last();
    match (model.gaps(now).into_iter().find(|gap| gap.open), last) {
        (Some(Gap { span, .. }), _) => {
            let length = span.length().as_millis();
            line.push(RED.bold(), format!("no answer for {length} ms"));
        }
        (None, Some(last)) => {
            line.push(Style::new(), "answered by ");
            line.push(hue(last.by), last.by.name());
        }
        (None, None) => line.push(Style::new().dimmed(), "does not ask yet"),
    }
    line
}

/// What the glyphs mean: below the strips if there is room.
fn legend(view: View) -> Vec<Line> {
    let glyphs = Glyphs::of(view.unicode);
    let state = |state, name| (colour(state), glyphs.state(state), name);
    let servers = [
        (colour(State::Active), glyphs.answers, "active, answers"),
        state(State::Active, "active"),
        state(State::Backup, "backup"),
        state(State::Init, "init or stopped"),
        state(State::Dead, "dead"),
    ];
    let client = [
        (hue(Who::Primary), glyphs.primary, "primary's answers"),
        (hue(Who::Secondary), glyphs.secondary, "secondary's"),
        (RED, glyphs.nobody, "none"),
    ];
    let within = |width| [meanings(&servers, width), meanings(&client, width)].concat();
    let beside = within(view.width.saturating_sub(LABEL));
    if beside.len() > 2 {
        return within(view.width);
    }
    beside.into_iter().map(|line| labelled(Line::default(), line)).collect()
}

/// Glyphs and their meanings, in as many lines as they take.
fn meanings(items: &[(Style, char, &str)], width: usize) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (style, glyph, meaning) in items {
        let mut item = Line::styled(*style, glyph.to_string());
        item.push(Style::new().dimmed(), format!(" {meaning}"));
        match lines.last_mut() {
            Some(line) if line.width() + 3 + item.width() <= width => {
                line.push(Style::new(), "   ");
                line.append(item);
            }
            _ => lines.push(item),
        }
    }
    lines
}

/// Which act is played, how far it is, and what happens in it.
fn progress(model: &Model, now: Duration, view: View) -> Vec<Line> {
    let (since, act) = model.act();
    let played = now.saturating_sub(since);
    let expected = act.expected(&model.setting);
    let mut line = Line::plain(format!("act {} of 4  ", act.number()));
    line.push(Style::new().bold(), format!("{:<13}", act.name()));
    line.append(bar(played, expected, view));
    line.push(Style::new(), format!("  {} of about {}", seconds(played), seconds(expected)));
    let mut lines = vec![line];
    lines.extend(wrap(&model.doing, view.width).into_iter().map(Line::plain));
    let counts = model.counts;
    let waiting = counts.sent.saturating_sub(counts.answered + counts.failed);
    let requests = format!(
        "requests: {} sent, {} answered, {} failed, {waiting} waiting",
        counts.sent, counts.answered, counts.failed
    );
    lines.push(Line::styled(Style::new().dimmed(), requests));
    lines
}

fn bar(played: Duration, expected: Duration, view: View) -> Line {
    let glyphs = Glyphs::of(view.unicode);
    let width = BAR.min(view.width.saturating_sub(BESIDE_BAR));
    let filled = scale(played.min(expected), expected, width);
    let mut bar = Line::styled(CYAN, glyphs.filled.to_string().repeat(filled));
    bar.push(Style::new().dimmed(), glyphs.unfilled.to_string().repeat(width - filled));
    bar
}

/// The result of an act.
fn result(switch: &Switch) -> Line {
    let figure = if switch.outage.length() < NOTABLE { GREEN } else { RED };
    let theory = switch.theory.map_or_else(
        || "none of it the timers'".to_owned(),
        |theory| format!("{} of it the timers'", millis(theory.length())),
    );
    let mut line = Line::plain(format!("{:<14}", switch.act.name()));
    line.push(figure.bold(), format!("{:>10}", millis(switch.outage.length())));
    line.push(Style::new(), " gap");
    line.push(Style::new().dimmed(), format!(", {theory}"));
    line
}

#[cfg(test)]
mod tests;
