//! Places in a configuration file.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::error::{Diagnostic, Severity};

/// The most characters of a line that a message shows.
const WINDOW: usize = 120;

/// Characters shown before the marked part of a line that is cut.
const LEAD: usize = 30;

/// The text of a configuration, with an index of its lines.
#[derive(Debug)]
pub(super) struct Source<'a> {
    file: Arc<str>,
    text: &'a str,
    line_starts: Vec<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &str, text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { file: file.into(), text, line_starts }
    }

    pub(super) fn file(&self) -> &Arc<str> {
        &self.file
    }

    /// The place of a range of bytes. One that ends in another line is marked to the end of its
    /// first.
    pub(super) fn locate(&self, span: Range<usize>) -> Location {
        let start = self.text.floor_char_boundary(span.start);
        let line = self.line_starts.partition_point(|&line_start| line_start <= start);
        let line_start = self.line_starts[line.saturating_sub(1)];
        let line_text = self.text[line_start..].split('\n').next().unwrap_or_default();
        let line_text = line_text.trim_end_matches('\r');
        let line_end = line_start + line_text.len();
        let end = self.text.floor_char_boundary(span.end).clamp(start, line_end.max(start));

        let before = self.text[line_start..start].chars().count();
        let marked = self.text[start..end].chars().count();
        Location {
            file: Arc::clone(&self.file),
            line,
            column: before + 1,
            snippet: Snippet::new(line_text, before, marked),
        }
    }
}

/// A place in a configuration file. Displayed as `file:line:column`.
///
/// It keeps what stands there, so that a message about it can show it when the file is long gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    file: Arc<str>,
    line: usize,
    column: usize,
    snippet: Snippet,
}

impl Location {
    /// The file, as it was named when it was read.
    #[must_use]
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1.
    #[must_use]
    pub const fn line(&self) -> usize {
        self.line
    }

    /// The column in characters, from 1.
    #[must_use]
    pub const fn column(&self) -> usize {
        self.column
    }

    /// An error about what is written here.
    #[must_use]
    pub fn error(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.clone(), Severity::Error, message.into())
    }

    /// A warning about what is written here.
    #[must_use]
    pub fn warning(&self, message: impl Into<String>) -> Diagnostic {
        Diagnostic::at(self.clone(), Severity::Warning, message.into())
    }

    pub(super) const fn snippet(&self) -> &Snippet {
        &self.snippet
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The part of a line that a message shows, and what in it is marked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snippet {
    pub(super) text: String,
    /// Characters before the mark.
    pub(super) before: usize,
    /// Characters marked; at least 1, if only the place behind the text.
    pub(super) marked: usize,
}

impl Snippet {
    fn new(line: &str, before: usize, marked: usize) -> Self {
        let line = without_secret(line);
        let length = line.chars().count();
        let skipped = if length <= WINDOW { 0 } else { before.saturating_sub(LEAD) };
        let text: String = line.chars().skip(skipped).take(WINDOW).map(harmless).collect();
        let before = before - skipped;
        let room = text.chars().count().saturating_sub(before);
        Self { text, before, marked: marked.min(room).max(1) }
    }
}

/// What a terminal would act on becomes a space.
pub(super) fn harmless(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Somebody who writes the secret itself into the file, where a path belongs, shall not find it in
/// a log: a line is shown only up to the value of a key that sounds like one.
fn without_secret(line: &str) -> &str {
    const SECRETS: [&str; 3] = ["pass", "secret", "key"];
    const HARMLESS: [&str; 4] = ["key_credential", "key_file", "key_id", "receive_keys"];
    let holds_secret = |before: &str| {
        let key = before.trim_end().trim_end_matches(['"', '\'']);
        let begin = key.rfind(|c: char| !c.is_alphanumeric() && !['_', '-'].contains(&c));
        let key =
            begin.map_or(key, |at| &key[at..]).trim_start_matches(|c: char| !c.is_alphanumeric());
        let name = key.to_ascii_lowercase();
        SECRETS.iter().any(|it| name.contains(it)) && !HARMLESS.contains(&&*name)
    };
    let mut signs = line.match_indices('=').map(|(at, _)| at);
    signs.find(|&at| holds_secret(&line[..at])).map_or(line, |at| &line[..=at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locate(text: &str, span: Range<usize>) -> Location {
        Source::new("f", text).locate(span)
    }

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let text = "a = 1\r\nnäme = \"ü\"\n";
        let place = locate(text, 15..19);
        assert_eq!(place.to_string(), "f:2:8");
        assert_eq!(place.snippet(), &Snippet { text: "näme = \"ü\"".into(), before: 7, marked: 3 });
        assert_eq!(locate(text, 0..1).to_string(), "f:1:1");
    }

    #[test]
    fn the_end_of_the_text_is_a_place() {
        assert_eq!(locate("", 0..0).to_string(), "f:1:1");
        assert_eq!(locate("a\n", 2..2).to_string(), "f:2:1");
        assert_eq!(locate("a", 7..9).to_string(), "f:1:2");
    }

    #[test]
    fn a_span_over_lines_is_marked_in_its_first() {
        assert_eq!(locate("ab [\n1,\n]", 3..9).snippet().marked, 1);
    }

    #[test]
    fn a_long_line_is_cut_around_the_mark() {
        let text = "x".repeat(1000) + "!" + &"y".repeat(1000);
        let place = locate(&text, 1000..1001);
        assert_eq!(place.column(), 1001);
        let snippet = place.snippet();
        assert_eq!(snippet.text.chars().count(), WINDOW);
        assert_eq!(snippet.text.chars().nth(snippet.before), Some('!'));
    }

    #[test]
    fn a_secret_is_not_shown() {
        for line in [
            "password = \"hunter2\"",
            "key=\"hunter2\"",
            "\"MySecret\" = 'hunter2'",
            "previous = { key = \"hunter2\" }",
            "receive_keys = [{ id = 2, secret='hunter2' }]",
            "a.key = \"hunter2\"",
            "a = 1, \"auth-pass\" = \"hunter2\"",
        ] {
            assert!(!locate(line, 0..3).snippet().text.contains("hunter2"), "{line}");
        }
        for path in [
            "key_file = \"web.key\"",
            "receive_keys = [{ id = 2, key_file = \"new.key\" }]",
            "name = \"key\"",
        ] {
            assert_eq!(locate(path, 0..3).snippet().text, path);
        }
    }
}
