//! The picture of the play at one moment: a pure function of what was seen.

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::super::model::{Gap, Model, NOTABLE, Span, State, Switch, Who, millis, seconds};
use super::super::stage::VIP;
use super::line::{Line, wrap};

/// The columns left of the strips: a name, an address, a state.
const LABEL: usize = 36;

/// No strip is wider: a cell is to be long enough to mean something.
const WIDEST_STRIP: usize = 120;

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
    let strip = Strip::new(model, now, view);
    let mut lines = header(model, view);
    lines.push(Line::default());
    lines.push(strip.labelled(Line::default(), strip.acts()));
    for who in Who::ALL {
        lines.push(strip.labelled(server_label(model, who, now), strip.server(who)));
    }
    lines.push(strip.labelled(client_label(model, now), strip.client()));
    lines.push(strip.labelled(Line::default(), strip.gaps()));
    lines.push(strip.labelled(Line::default(), strip.axis()));
    lines.extend(legend(view));
    if model.end.is_none() {
        lines.push(Line::default());
        lines.extend(progress(model, now, view));
        lines.extend(model.switches.iter().map(result));
    }
    lines
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
    let glyphs = Glyphs::of(view);
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
    let indent = |line| {
        let mut indented = Line::default();
        indented.pad_to(LABEL);
        indented.append(line);
        indented
    };
    beside.into_iter().map(indent).collect()
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
    let glyphs = Glyphs::of(view);
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

/// The part of the picture that has a time axis.
struct Strip<'a> {
    model: &'a Model,
    now: Duration,
    whole: Duration,
    cells: usize,
    glyphs: Glyphs,
}

impl<'a> Strip<'a> {
    fn new(model: &'a Model, now: Duration, view: View) -> Self {
        let cells = view.width.saturating_sub(LABEL).clamp(1, WIDEST_STRIP);
        Self { model, now, whole: model.whole(now), cells, glyphs: Glyphs::of(view) }
    }

    /// A row: what stands left of it, and itself.
    fn labelled(&self, mut label: Line, row: Line) -> Line {
        label.pad_to(LABEL);
        label.append(row);
        label
    }

    /// What lies in each cell, as far as it has begun.
    fn spans(&self) -> impl Iterator<Item = Span> + '_ {
        let edge = |cell: usize| {
            let cell = u32::try_from(cell).unwrap_or(u32::MAX);
            self.whole * cell / u32::try_from(self.cells).unwrap_or(1)
        };
        let spans = (0..self.cells).map(move |cell| Span { from: edge(cell), to: edge(cell + 1) });
        spans.take_while(|span| span.from < self.now)
    }

    fn column(&self, at: Duration) -> usize {
        scale(at, self.whole, self.cells).min(self.cells - 1)
    }

    /// A server's states, and whether it answered.
    fn server(&self, who: Who) -> Line {
        let mut line = Line::default();
        for span in self.spans() {
            let answer = self.model.answers_in(span).iter().rfind(|answer| answer.by == who);
            // It is coloured by what the server was when it answered, should it have died since.
            let at = answer.map_or_else(|| span.to.min(self.now), |answer| answer.at);
            let state = self.model.state_at(who, at);
            let glyph = answer.map_or(self.glyphs.state(state), |_| self.glyphs.answers);
            line.push(colour(state), glyph.to_string());
        }
        line
    }

    /// Who answered the client.
    fn client(&self) -> Line {
        let gaps = self.model.gaps(self.now);
        let mut line = Line::default();
        for span in self.spans() {
            let answers = self.model.answers_in(span);
            let by = |who| answers.iter().any(|answer| answer.by == who);
            let (style, glyph) = match (by(Who::Primary), by(Who::Secondary)) {
                (true, true) => (hue(Who::Secondary), self.glyphs.both),
                (true, false) => (hue(Who::Primary), self.glyphs.primary),
                (false, true) => (hue(Who::Secondary), self.glyphs.secondary),
                (false, false) if gaps.iter().any(|gap| gap.span.overlaps(span)) => {
                    (RED, self.glyphs.nobody)
                }
                (false, false) => (Style::new(), ' '),
            };
            line.push(style, glyph.to_string());
        }
        line
    }

    /// The lengths of the gaps, each below its beginning.
    fn gaps(&self) -> Line {
        let gaps = self.model.gaps(self.now).into_iter();
        self.notes(gaps.map(|gap| {
            let length = if gap.open {
                format!("{} ms", gap.span.length().as_millis())
            } else {
                millis(gap.span.length())
            };
            (gap.span.from, RED.bold(), format!("{}{length}", self.glyphs.below))
        }))
    }

    /// The acts, each above its beginning: its number alone where its name finds no room.
    fn acts(&self) -> Line {
        let mut line = Line::default();
        let mut acts = self.model.acts.iter().peekable();
        while let Some(&(at, act)) = acts.next() {
            let next = acts.peek().map(|(next, _)| self.column(*next));
            let number = act.number().to_string();
            let name = format!("{number} {}", act.name().rsplit(' ').next().unwrap_or_default());
            let fits = next.is_none_or(|next| self.column(at) + name.len() < next);
            let bold = Style::new().bold();
            if !(fits && self.note(&mut line, at, bold, &name)) {
                self.note(&mut line, at, bold, &number);
            }
        }
        line
    }

    /// Seconds.
    fn axis(&self) -> Line {
        let steps = [1, 2, 5, 10, 20, 30, 60].map(Duration::from_secs);
        let wide = |step: &Duration| scale(*step, self.whole, self.cells) >= 6;
        let step = steps.into_iter().find(wide).unwrap_or(self.whole);
        let ticks = (0_u32..).map(|tick| step * tick).take_while(|at| *at < self.whole);
        let label = |at: Duration| format!("{} s", at.as_secs());
        self.notes(ticks.map(|at| (at, Style::new().dimmed(), label(at))))
    }

    /// Texts at their times. One without room is left out.
    fn notes(&self, notes: impl Iterator<Item = (Duration, Style, String)>) -> Line {
        let mut line = Line::default();
        for (at, style, text) in notes {
            self.note(&mut line, at, style, &text);
        }
        line
    }

    /// Writes a text at its time, or farther left at the end of the strip; false if there is no room.
    fn note(&self, line: &mut Line, at: Duration, style: Style, text: &str) -> bool {
        let column = self.column(at).min(self.cells.saturating_sub(text.chars().count()));
        let free = line.width() == 0 || column > line.width();
        if free {
            line.pad_to(column);
            line.push(style, text);
        }
        free
    }
}

/// `part` of `whole`, in cells.
fn scale(part: Duration, whole: Duration, cells: usize) -> usize {
    let cells = u128::try_from(cells).unwrap_or(0);
    let scaled = part.as_nanos() * cells / whole.as_nanos().max(1);
    usize::try_from(scaled).unwrap_or(usize::MAX)
}

const RED: Style = AnsiColor::BrightRed.on_default();
const CYAN: Style = AnsiColor::Cyan.on_default();
const GREEN: Style = AnsiColor::Green.on_default();

/// The colour of a server.
const fn hue(who: Who) -> Style {
    match who {
        Who::Primary => AnsiColor::BrightBlue.on_default(),
        Who::Secondary => AnsiColor::BrightMagenta.on_default(),
    }
}

/// The colour of a state.
const fn colour(state: State) -> Style {
    match state {
        State::Dead => RED,
        State::Down | State::Init => AnsiColor::Yellow.on_default(),
        State::Backup => CYAN,
        State::Active | State::Leaving => GREEN,
    }
}

/// What the picture is made of. Whoever sees no colours can still tell them apart.
#[derive(Clone, Copy, Debug)]
struct Glyphs {
    /// A server answers.
    answers: char,
    /// It is active, and does not.
    silent: char,
    backup: char,
    init: char,
    dead: char,
    /// The client is answered by the primary, which is drawn above.
    primary: char,
    secondary: char,
    both: char,
    nobody: char,
    /// Begins a note below what it is about.
    below: &'static str,
    filled: char,
    unfilled: char,
}

impl Glyphs {
    const fn of(view: View) -> Self {
        if view.unicode { UNICODE } else { ASCII }
    }

    const fn state(self, state: State) -> char {
        match state {
            State::Dead => self.dead,
            State::Down | State::Init => self.init,
            State::Backup => self.backup,
            State::Active | State::Leaving => self.silent,
        }
    }
}

const UNICODE: Glyphs = Glyphs {
    answers: '█',
    silent: '▒',
    backup: '─',
    init: '·',
    dead: '×',
    primary: '▀',
    secondary: '▄',
    both: '█',
    nobody: '░',
    below: "╰ ",
    filled: '━',
    unfilled: '─',
};

const ASCII: Glyphs = Glyphs {
    answers: '#',
    silent: '=',
    backup: '-',
    init: '.',
    dead: 'x',
    primary: 'P',
    secondary: 'S',
    both: '*',
    nobody: '!',
    below: "^ ",
    filled: '=',
    unfilled: '.',
};

#[cfg(test)]
mod tests;
