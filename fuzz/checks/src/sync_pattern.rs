//! Patterns cover what the plain reading of them says, quickly, whatever is in them.

use carp_node::sync::pattern::Patterns;

/// Longer ones take the plain reading too long, and so do more stars.
const LONGEST: usize = 24;
const MOST_STARS: usize = 10;

/// Panics if these bytes show that something is wrong: a pattern, and after a newline a path.
pub fn check(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == b'\n');
    let (pattern, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let patterns = Patterns::new([pattern.to_vec()]);
    for is_directory in [false, true] {
        let covered = patterns.covers(path, is_directory);
        let stars = pattern.iter().filter(|byte| **byte == b'*').count();
        if pattern.len() <= LONGEST && path.len() <= LONGEST && stars <= MOST_STARS {
            assert_eq!(covered, reads(pattern, path, is_directory), "{is_directory}");
        }
        assert!(!covered || is_directory || pattern.last() != Some(&b'/'));
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        assert!(covered || !patterns.covers_name(name, is_directory));
    }
    // One that covers makes a list cover, and one that covers nothing changes nothing.
    let with = Patterns::new([b"[x]".to_vec(), pattern.to_vec()]);
    assert_eq!(with.covers(path, true), patterns.covers(path, true));
    assert!(!Patterns::default().covers(path, true));
}

/// As rsync's manual has it, without character classes and escapes.
fn reads(pattern: &[u8], path: &[u8], is_directory: bool) -> bool {
    if pattern.iter().any(|byte| b"[]\\".contains(byte)) {
        return false;
    }
    let anchored = pattern.starts_with(b"/");
    let inner = pattern.strip_prefix(b"/").unwrap_or(pattern);
    let (inner, for_directories) = match inner.strip_suffix(b"/") {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    // A single slash is both its begin and its end.
    if inner.is_empty() || ((for_directories || pattern == b"/") && !is_directory) {
        return false;
    }
    let whole = inner.contains(&b'/') || inner.windows(2).any(|two| two == b"**");
    let ends = (0..=path.len()).filter(|start| *start == 0 || path[start - 1] == b'/');
    if anchored {
        spells(inner, path)
    } else if whole {
        ends.into_iter().any(|start| spells(inner, &path[start..]))
    } else {
        ends.max().is_some_and(|start| spells(inner, &path[start..]))
    }
}

/// The definition of each sign, and nothing done for speed.
fn spells(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', b'*', rest @ ..] => (0..=text.len()).any(|n| spells(rest, &text[n..])),
        [b'*', rest @ ..] => {
            let part = text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
            (0..=part).any(|n| spells(rest, &text[n..]))
        }
        [b'?', rest @ ..] => {
            text.split_first().is_some_and(|(byte, text)| *byte != b'/' && spells(rest, text))
        }
        [first, rest @ ..] => {
            text.split_first().is_some_and(|(byte, text)| byte == first && spells(rest, text))
        }
    }
}
