//! How results and messages look.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use carp_node::config::Diagnostic;

use crate::args::Color;
use crate::exit::Failure;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    color: Color,
}

impl Output {
    pub(crate) const fn new(color: Color) -> Self {
        Self { color }
    }

    /// Whether messages on stderr are coloured: as asked for, else if it is a terminal and `NO_COLOR`
    /// is not set.
    pub(crate) fn color_on_stderr(&self) -> bool {
        self.color_on(io::stderr().is_terminal())
    }

    /// The same for data on stdout.
    pub(crate) fn color_on_stdout(&self) -> bool {
        self.color_on(io::stdout().is_terminal())
    }

    /// What a command may do that draws a picture on stdout. The rule for colours is that of stderr;
    /// beyond it, redrawing takes a terminal that can move its cursor.
    pub(crate) fn canvas(&self) -> Canvas {
        let terminal = io::stdout().is_terminal();
        let moves = std::env::var_os("TERM").is_some_and(|name| !name.is_empty() && name != "dumb");
        match (self.color_on(terminal && moves), terminal && moves) {
            (false, _) => Canvas::Text,
            (true, false) => Canvas::Still,
            (true, true) => Canvas::Live,
        }
    }

    fn color_on(&self, terminal: bool) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !unwanted && terminal
            }
        }
    }

    /// Shows on stderr what is wrong or doubtful about a configuration.
    pub(crate) fn diagnostics(&self, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            eprintln!("{}", diagnostic.rendered(self.color_on_stderr()));
        }
    }

    /// Says on stderr why a command failed.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.message.is_empty() {
            return;
        }
        let (red, end) = if self.color_on_stderr() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        eprintln!("carp: {red}error:{end} {}", failure.message);
        if let Some(help) = &failure.help {
            eprintln!("help: {help}");
        }
    }
}

/// What can be drawn on stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Canvas {
    /// Text without escape codes.
    Text,
    /// Colours, but what is written stays: `--color always` into a file or a pipe.
    Still,
    /// A terminal, in which a picture can be redrawn in place.
    Live,
}

/// Writes data to stdout. A reader that has gone, such as `head`, has what it wanted.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// Columns as wide as their widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        self.rows.iter().map(line).collect()
    }
}

/// A duration in the two units that matter, as `3d 04h`, `12m 05s`, `4.2s`.
pub(crate) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}.{}s", age.subsec_millis() / 100),
        (0, 0, _) => format!("{minutes}m {:02}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes:02}m"),
        (_, _, _) => format!("{days}d {hours:02}h"),
    }
}

/// `1 error`, `2 errors`, `no errors`.
pub(crate) fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["A", "LONG"]);
        table.row(vec!["wide".into(), "x".into()]);
        assert_eq!(table.render(), "A     LONG\nwide  x\n");
    }

    #[test]
    fn ages_show_two_units() {
        let of = |seconds| age(Duration::from_secs(seconds));
        assert_eq!(age(Duration::from_millis(4250)), "4.2s");
        assert_eq!(of(725), "12m 05s");
        assert_eq!(of(3600 * 4 + 660), "4h 11m");
        assert_eq!(of(86_400 * 3 + 3600 * 4), "3d 04h");
    }
}
