//! The rows of the picture that have a time axis, cell by cell.

use std::time::Duration;

use anstyle::Style;

use super::super::model::{Model, Span, Who, millis};
use super::line::Line;
use super::look::{Glyphs, RED, colour, hue};

/// No strip is wider: a cell is to be long enough to mean something.
const WIDEST: usize = 120;

/// The part of the picture that has a time axis.
pub(super) struct Strip<'a> {
    model: &'a Model,
    now: Duration,
    whole: Duration,
    cells: usize,
    glyphs: Glyphs,
}

impl<'a> Strip<'a> {
    pub(super) fn new(model: &'a Model, now: Duration, cells: usize, glyphs: Glyphs) -> Self {
        Self { model, now, whole: model.whole(now), cells: cells.clamp(1, WIDEST), glyphs }
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
    pub(super) fn server(&self, who: Who) -> Line {
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
    pub(super) fn client(&self) -> Line {
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
    pub(super) fn gaps(&self) -> Line {
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
    pub(super) fn acts(&self) -> Line {
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
    pub(super) fn axis(&self) -> Line {
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
pub(super) fn scale(part: Duration, whole: Duration, cells: usize) -> usize {
    let cells = u128::try_from(cells).unwrap_or(0);
    let scaled = part.as_nanos() * cells / whole.as_nanos().max(1);
    usize::try_from(scaled).unwrap_or(usize::MAX)
}
