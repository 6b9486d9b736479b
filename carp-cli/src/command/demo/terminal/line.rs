//! A line of the picture: pieces of text, each with its style.

use anstyle::Style;

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pieces: Vec<(Style, String)>,
}

impl Line {
    /// A line in one style.
    pub(super) fn styled(style: Style, text: impl Into<String>) -> Self {
        Self { pieces: vec![(style, text.into())] }
    }

    /// A line without a style.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self::styled(Style::new(), text)
    }

    /// Adds a piece at the end. One in the style of the last becomes a part of that.
    pub(super) fn push(&mut self, style: Style, text: impl AsRef<str>) {
        match self.pieces.last_mut() {
            Some((last, before)) if *last == style => before.push_str(text.as_ref()),
            _ => self.pieces.push((style, text.as_ref().to_owned())),
        }
    }

    /// Adds spaces up to a column.
    pub(super) fn pad_to(&mut self, column: usize) {
        let missing = column.saturating_sub(self.width());
        self.push(Style::new(), " ".repeat(missing));
    }

    /// Adds the pieces of another line at the end.
    pub(super) fn append(&mut self, other: Self) {
        other.pieces.into_iter().for_each(|(style, text)| self.push(style, text));
    }

    /// The number of columns: every character that is drawn here takes one.
    pub(super) fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// The line with escape codes.
    pub(super) fn ansi(&self) -> String {
        self.pieces.iter().map(|(style, text)| format!("{style}{text}{style:#}")).collect()
    }

    /// The line without.
    #[cfg(test)]
    pub(super) fn text(&self) -> String {
        let text: String = self.pieces.iter().map(|(_, text)| text.as_str()).collect();
        text.trim_end().to_owned()
    }
}

/// Breaks a text into lines of at most `width` columns, between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_broken_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("longer than that", 4), ["longer", "than", "that"]);
    }

    #[test]
    fn escape_codes_take_no_columns() {
        let bold = Style::new().bold();
        let mut line = Line::styled(bold, "ab");
        line.pad_to(4);
        assert_eq!((line.width(), line.ansi().as_str()), (4, "\x1b[1mab\x1b[0m  "));
    }
}
