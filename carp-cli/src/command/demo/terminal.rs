//! The demo as it is played: redrawn in place, or a line an event, or one picture at the end.

mod frame;
mod guard;
mod line;
mod look;
mod plain;
mod strip;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use carp_node::lab::LabError;
use rustix::termios::tcgetwinsize;

use self::frame::{View, frame};
pub(super) use self::guard::{Guard, init};
use self::line::Line;
use self::plain::Plain;
use super::watch::Watch;
use crate::output::{Canvas, print};

/// How often the picture is redrawn: often enough to be smooth, and cheap.
const REDRAW: Duration = Duration::from_millis(66);

/// By how much the plain form lags: what is reported late still stands in the order of time.
const LAG: Duration = Duration::from_millis(200);

/// A terminal below this size gets the plain form.
const SMALLEST: Size = Size { columns: 60, rows: 23 };

/// The width of a picture that is not drawn on a terminal.
const STILL_WIDTH: usize = 100;

/// In what form the demo is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Not at all: the result is printed as JSON.
    Silent,
    /// A line an event.
    Plain,
    /// One picture, at the end.
    Still,
    /// A picture that is redrawn in place.
    Live,
}

impl Form {
    /// The form for a stdout: the live one if the terminal has room for it.
    pub(super) fn of(canvas: Canvas) -> Self {
        let roomy = |size: Size| size.columns >= SMALLEST.columns && size.rows >= SMALLEST.rows;
        match canvas {
            Canvas::Still => Self::Still,
            Canvas::Live if size().is_some_and(roomy) => Self::Live,
            Canvas::Text | Canvas::Live => Self::Plain,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size {
    columns: usize,
    rows: usize,
}

/// The present size of the terminal.
fn size() -> Option<Size> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    Some(Size { columns: size.ws_col.into(), rows: size.ws_row.into() })
}

/// Somebody who shows what the watch has seen, until told to finish.
pub(super) struct Screen {
    finish: mpsc::Sender<()>,
    shows: Option<JoinHandle<()>>,
}

impl Screen {
    /// Starts to show.
    pub(super) fn start(form: Form, watch: &Watch) -> Result<Self, LabError> {
        let (finish, finished) = mpsc::channel();
        let watch = watch.clone();
        let work = move || match form {
            Form::Silent => {}
            Form::Plain => show_plain(&watch, &finished),
            Form::Still => show_still(&watch, &finished),
            Form::Live => show_live(&watch, &finished),
        };
        let shows = thread::Builder::new().name("demo-screen".into()).spawn(work);
        let failed =
            |source| LabError::System { doing: "start the screen's thread".into(), source };
        Ok(Self { finish, shows: Some(shows.map_err(failed)?) })
    }

    /// Shows what is left, and ends.
    pub(super) fn finish(mut self) {
        // It has ended already if it had nothing to show.
        let _ = self.finish.send(());
        if let Some(shows) = self.shows.take() {
            // A panic has been printed by its thread.
            let _ = shows.join();
        }
    }
}

/// Waits for the next look; false when there is nothing more to wait for.
fn wait(finished: &mpsc::Receiver<()>) -> bool {
    finished.recv_timeout(REDRAW) == Err(RecvTimeoutError::Timeout)
}

/// Nobody may be watching any more; the result at the end is what counts, and fails if need be.
fn show(text: &str) {
    let _ = print(text);
}

fn show_plain(watch: &Watch, finished: &mpsc::Receiver<()>) {
    let mut plain = Plain::default();
    while wait(finished) {
        show(&watch.look(|model, now| plain.lines(model, now, now.saturating_sub(LAG))));
    }
    show(&watch.look(|model, now| plain.lines(model, now, Duration::MAX)));
}

fn show_still(watch: &Watch, finished: &mpsc::Receiver<()>) {
    while wait(finished) {}
    let view = View { width: STILL_WIDTH, unicode: is_utf8() };
    let lines = watch.look(|model, now| frame(model, now, view));
    show(&lines.iter().map(|line| line.ansi() + "\n").collect::<String>());
}

fn show_live(watch: &Watch, finished: &mpsc::Receiver<()>) {
    let (mut live, unicode) = (Live::default(), is_utf8());
    show(guard::HIDE_CURSOR);
    loop {
        let goes_on = wait(finished);
        if let Some(size) = size() {
            let view = View { width: size.columns.saturating_sub(1), unicode };
            let lines = watch.look(|model, now| frame(model, now, view));
            show(&live.redraw(lines, size));
        }
        if !goes_on {
            break;
        }
    }
    show(guard::RESTORE);
}

/// Whether the locale's characters are UTF-8.
fn is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// What stands on the terminal.
#[derive(Default)]
struct Live {
    /// The width of each line, to find the first of them again after the terminal was resized.
    widths: Vec<usize>,
    size: Option<Size>,
    text: String,
}

impl Live {
    /// What to write so that the terminal shows these lines in the place of those before; nothing if
    /// they stand there already.
    fn redraw(&mut self, mut lines: Vec<Line>, size: Size) -> String {
        lines.truncate(size.rows.saturating_sub(1));
        let text: String = lines.iter().map(|line| line.ansi() + "\x1b[K\n").collect();
        if text == self.text && self.size == Some(size) {
            return String::new();
        }
        // A terminal that became narrower has broken the lines.
        let rows = |width: &usize| width.div_ceil(size.columns.max(1)).max(1);
        let up = match self.widths.iter().map(rows).sum::<usize>().min(size.rows) {
            0 => String::new(),
            rows => format!("\x1b[{rows}F"),
        };
        let clear = if self.size == Some(size) { "" } else { "\x1b[J" };
        // One step for terminals that know how to take it as one.
        let drawn = format!("\x1b[?2026h{up}{clear}{text}\x1b[J\x1b[?2026l");
        self.widths = lines.iter().map(Line::width).collect();
        self.size = Some(size);
        self.text = text;
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 80, rows: 24 };

    fn lines(texts: &[&str]) -> Vec<Line> {
        texts.iter().map(|text| Line::plain(*text)).collect()
    }

    #[test]
    fn a_picture_is_drawn_over_the_one_before() {
        let mut live = Live::default();
        assert!(!live.redraw(lines(&["one", "two"]), SIZE).contains('F'));
        assert!(live.redraw(lines(&["one", "three"]), SIZE).starts_with("\x1b[?2026h\x1b[2F"));
    }

    #[test]
    fn what_stands_there_already_is_not_drawn_again() {
        let mut live = Live::default();
        assert_ne!(live.redraw(lines(&["one"]), SIZE), "");
        assert_eq!(live.redraw(lines(&["one"]), SIZE), "");
    }

    #[test]
    fn lines_that_a_narrower_terminal_has_broken_are_found_again() {
        let mut live = Live::default();
        live.redraw(lines(&[&"x".repeat(79), "y"]), SIZE);
        let narrow = Size { columns: 60, ..SIZE };
        assert!(live.redraw(lines(&["x", "y"]), narrow).contains("\x1b[3F\x1b[J"));
    }

    #[test]
    fn what_does_not_fit_is_left_out_at_the_bottom() {
        let low = Size { rows: 3, ..SIZE };
        let drawn = Live::default().redraw(lines(&["one", "two", "three"]), low);
        assert!(drawn.contains("two") && !drawn.contains("three"), "{drawn:?}");
    }
}
