//! rsync's patterns for what is not copied, as far as carp's own walks need them.
//!
//! `/` at the begin anchors at the root of the share, `/` at the end means directories only, `*` is anything
//! without a slash, `**` anything, `?` one byte. A pattern without a slash inside is for the last part of
//! a path. Character classes are not understood: such a pattern covers nothing here, so that a walk sees
//! more than a pass copies, never less.

/// A list of patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    text: Vec<u8>,
    anchored: bool,
    directory: bool,
    whole_path: bool,
}

impl Patterns {
    /// The patterns, as rsync takes them with `--exclude`.
    #[must_use]
    pub fn new(patterns: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(patterns.into_iter().filter_map(|text| Pattern::new(&text)).collect())
    }

    /// The patterns as they stand in the configuration.
    #[must_use]
    pub fn of(patterns: &[String]) -> Self {
        Self::new(patterns.iter().map(|text| text.clone().into_bytes()))
    }

    /// Whether a path below the root is excluded by itself. What is below an excluded directory is too,
    /// but that is for the walk to see, which does not go there.
    #[must_use]
    pub fn covers(&self, path: &[u8], is_directory: bool) -> bool {
        self.0.iter().any(|pattern| pattern.covers(path, is_directory))
    }

    /// Whether a name alone, wherever it is, is excluded: by patterns for the last part of a path.
    #[must_use]
    pub fn covers_name(&self, name: &[u8], is_directory: bool) -> bool {
        let mut anywhere = self.0.iter().filter(|pattern| !pattern.anchored && !pattern.whole_path);
        anywhere.any(|pattern| pattern.covers(name, is_directory))
    }
}

impl Pattern {
    fn new(text: &[u8]) -> Option<Self> {
        let anchored = text.first() == Some(&b'/');
        let directory = text.last() == Some(&b'/');
        let text = text.strip_prefix(b"/").unwrap_or(text);
        let text = text.strip_suffix(b"/").unwrap_or(text).to_vec();
        let understood = !text.is_empty() && !text.iter().any(|byte| b"[]\\".contains(byte));
        let whole_path = text.contains(&b'/') || text.windows(2).any(|two| two == b"**");
        understood.then_some(Self { text, anchored, directory, whole_path })
    }

    fn covers(&self, path: &[u8], is_directory: bool) -> bool {
        if self.directory && !is_directory {
            return false;
        }
        if self.anchored {
            return matches(&self.text, path);
        }
        let mut starts =
            std::iter::once(0).chain(path.iter().enumerate().filter_map(|(n, byte)| {
                // After each slash a part begins.
                (*byte == b'/').then_some(n + 1)
            }));
        if self.whole_path {
            return starts
                .any(|start| path.get(start..).is_some_and(|end| matches(&self.text, end)));
        }
        starts
            .last()
            .and_then(|start| path.get(start..))
            .is_some_and(|end| matches(&self.text, end))
    }
}

/// Whether a pattern covers the whole text. The time is that of the two lengths multiplied, however many stars
/// there are.
fn matches(mut pattern: &[u8], text: &[u8]) -> bool {
    // Which parts of the text, each from its begin, what was read of the pattern covers: by their lengths.
    let mut covered = vec![false; text.len() + 1];
    covered[0] = true;
    loop {
        match pattern {
            [] => return covered[text.len()],
            [b'*', b'*', rest @ ..] => {
                pattern = rest;
                for len in 1..covered.len() {
                    covered[len] |= covered[len - 1];
                }
            }
            [b'*', rest @ ..] => {
                pattern = rest;
                for (before, byte) in text.iter().enumerate() {
                    covered[before + 1] |= covered[before] && *byte != b'/';
                }
            }
            [first, rest @ ..] => {
                pattern = rest;
                for (before, byte) in text.iter().enumerate().rev() {
                    let same = first == byte || (*first == b'?' && *byte != b'/');
                    covered[before + 1] = covered[before] && same;
                }
                covered[0] = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, path: &str) -> bool {
        let (path, is_directory) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        Patterns::new([pattern.into()]).covers(path.as_bytes(), is_directory)
    }

    #[test]
    fn patterns_cover_what_rsyncs_do() {
        for (pattern, path) in [
            ("/cache/", "cache/"),
            ("cache/", "a/cache/"),
            ("*.log", "a/b/x.log"),
            ("/*.log", "x.log"),
            ("a/b", "x/a/b"),
            ("/a/*/c", "a/b/c"),
            ("/a/**/d", "a/b/c/d"),
            ("**.tmp", "a/b.tmp"),
            ("?x", "a/yx"),
            ("name", "name"),
        ] {
            assert!(covers(pattern, path), "{pattern} does not cover {path}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_many_bytes() {
        let stars = "*a".repeat(200);
        assert!(!covers(&stars, &"a".repeat(199)));
        assert!(covers(&stars, &"a".repeat(1_000)));
        assert!(!covers(&"**b".repeat(200), &"a/".repeat(1_000)));
    }

    #[test]
    fn patterns_do_not_cover_more_than_rsyncs_do() {
        for (pattern, path) in [
            ("/cache/", "cache"),
            ("/cache/", "a/cache/"),
            ("*.log", "x.log/y"),
            ("/*.log", "a/x.log"),
            ("a/b", "xa/b"),
            ("/a/*/c", "a/b/b/c"),
            ("?x", "x"),
            ("name", "names"),
            ("[ab]", "a"),
            ("", "a"),
            ("/", "a"),
        ] {
            assert!(!covers(pattern, path), "{pattern} covers {path}");
        }
    }
}
