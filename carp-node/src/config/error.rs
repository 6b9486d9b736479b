//! What is wrong with a configuration, and how people and programs read it.

use std::fmt;
use std::sync::Arc;

use super::source::{Location, harmless};

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can be used, but is likely not what is wanted.
    Warning,
}

impl Severity {
    /// `error` or `warning`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is wrong or doubtful, at its place.
///
/// Displayed in lines that end with a newline each; the first is `FILE:LINE:COLUMN: error: MESSAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    severity: Severity,
    file: Arc<str>,
    location: Option<Location>,
    message: String,
    help: Option<String>,
}

impl Diagnostic {
    pub(super) fn at(location: Location, severity: Severity, message: String) -> Self {
        let file = location.file().into();
        Self { severity, file, location: Some(location), message, help: None }
    }

    /// An error of a file as a whole.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            file: file.into(),
            location: None,
            message: message.into(),
            help: None,
        }
    }

    /// The same with a line that says what to do.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The file, as it was named when it was read.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The place in the file; `None` if it is about the file as a whole.
    #[must_use]
    pub const fn location(&self) -> Option<&Location> {
        self.location.as_ref()
    }

    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The lines for people, in colour or without.
    #[must_use]
    pub const fn rendered(&self, color: bool) -> Rendered<'_> {
        Rendered { diagnostic: self, color }
    }

    /// Line and column, each from 1; both are 0 for what is about the file as a whole.
    #[must_use]
    pub fn position(&self) -> (usize, usize) {
        self.location.as_ref().map_or((0, 0), |location| (location.line(), location.column()))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rendered(false).fmt(f)
    }
}

/// A [`Diagnostic`] as lines for people: [`Diagnostic::rendered`].
#[derive(Clone, Copy, Debug)]
pub struct Rendered<'a> {
    diagnostic: &'a Diagnostic,
    color: bool,
}

impl Rendered<'_> {
    /// `text` in a colour: the parameters of an ANSI "select graphic rendition".
    fn paint(&self, style: &str, text: &str) -> String {
        if self.color { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const GREEN: &str = "1;32";

impl fmt::Display for Rendered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let diagnostic = self.diagnostic;
        let style = match diagnostic.severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        let clean = |text: &str| text.chars().map(harmless).collect::<String>();
        let place = diagnostic.location.as_ref().map(ToString::to_string);
        let place = clean(place.as_deref().unwrap_or(&diagnostic.file));
        let severity = self.paint(style, diagnostic.severity.name());
        let message = self.paint(BOLD, &clean(&diagnostic.message));
        writeln!(f, "{place}: {severity}: {message}")?;

        if let Some(location) = &diagnostic.location {
            let snippet = location.snippet();
            let number = location.line().to_string();
            let bar = self.paint(BLUE, "|");
            let carets = self.paint(style, &"^".repeat(snippet.marked));
            let (width, indent) = (number.len(), " ".repeat(snippet.before));
            writeln!(f, " {} {bar} {}", self.paint(BLUE, &number), snippet.text)?;
            writeln!(f, " {:width$} {bar} {indent}{carets}", "")?;
        }
        if let Some(help) = &diagnostic.help {
            writeln!(f, "{}: {}", self.paint(GREEN, "help"), clean(help))?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used: everything that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    diagnostics: Vec<Diagnostic>,
}

impl ConfigError {
    pub(super) const fn new(diagnostics: Vec<Diagnostic>) -> Self {
        Self { diagnostics }
    }

    /// What was found, in the order of the file: at least one error, and perhaps warnings.
    #[must_use]
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.diagnostics.iter().try_for_each(|diagnostic| diagnostic.fmt(f))
    }
}

impl std::error::Error for ConfigError {}

impl From<Diagnostic> for ConfigError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { diagnostics: vec![diagnostic] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Source;
    use super::*;

    fn sample() -> Diagnostic {
        let text = "[router.web]\nadress = [\"192.0.2.1\"]\n";
        Source::new("carp.toml", text)
            .locate(13..19)
            .error("unknown key \"adress\"; did you mean \"addresses\"?")
            .with_help("write it so")
    }

    #[test]
    fn the_first_line_can_be_grepped_and_the_rest_shows_the_place() {
        let expected = "\
carp.toml:2:1: error: unknown key \"adress\"; did you mean \"addresses\"?
 2 | adress = [\"192.0.2.1\"]
   | ^^^^^^
help: write it so
";
        assert_eq!(sample().to_string(), expected);
    }

    #[test]
    fn colour_changes_nothing_but_colour() {
        let colored = sample().rendered(true).to_string();
        assert!(colored.contains("\x1b[1;31merror\x1b[0m"), "{colored:?}");
        let mut plain = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain += before;
            rest = after.split_once('m').unwrap().1;
        }
        assert_eq!(plain + rest, sample().to_string());
    }

    #[test]
    fn what_has_no_place_names_the_file_alone() {
        let text = Diagnostic::of_file("carp.toml", "it is empty").to_string();
        assert_eq!(text, "carp.toml: error: it is empty\n");
    }

    #[test]
    fn a_terminal_is_not_steered_by_what_a_file_says() {
        let diagnostic = Diagnostic::of_file("carp.toml", "bad \x1b]0;title\x07 name");
        assert_eq!(diagnostic.to_string(), "carp.toml: error: bad  ]0;title  name\n");
    }
}
