//! Whose the entries of a share are. Passes copy the numbers of users and groups, not their names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::sync::pattern::Patterns;
use crate::sync::tree::{Go, Visit, visit};

/// How many numbers are named.
const NAMED: usize = 5;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: u64,
    users: BTreeMap<u32, u64>,
    groups: BTreeMap<u32, u64>,
}

/// Goes through the tree. `also` is shown every entry.
pub(super) fn look(
    root: &Path,
    exclude: &Patterns,
    mut also: impl FnMut(&Visit<'_>),
) -> io::Result<Found> {
    let mut found = Found::default();
    visit(root, exclude, |entry| {
        also(entry);
        found.entries += 1;
        *found.users.entry(entry.metadata.uid()).or_default() += 1;
        *found.groups.entry(entry.metadata.gid()).or_default() += 1;
        Go::On
    })?;
    Ok(found)
}

impl Found {
    /// The numbers that are nobody's on this node, as far as its files say, with what to do.
    pub(super) fn unknown(&self) -> Option<String> {
        let strangers = self.strangers(&numbers("/etc/passwd"), &numbers("/etc/group"));
        strangers.map(|text| {
            format!(
                "{text}: passes copy numbers, not names; give users and groups the same numbers on both nodes, unless \
                 another source than /etc/passwd and /etc/group names them"
            )
        })
    }

    fn strangers(&self, users: &BTreeSet<u32>, groups: &BTreeSet<u32>) -> Option<String> {
        let mut text = String::new();
        for (what, found, known) in [("user", &self.users, users), ("group", &self.groups, groups)]
        {
            let unknown: Vec<_> = found.iter().filter(|(id, _)| !known.contains(id)).collect();
            for (id, entries) in unknown.iter().take(NAMED) {
                let comma = if text.is_empty() { "" } else { ", " };
                // Writing to a String cannot fail.
                let _ = write!(text, "{comma}{what} {id} of {entries} entries has no name here");
            }
            if let Some(more) = unknown.len().checked_sub(NAMED).filter(|more| *more > 0) {
                let _ = write!(text, ", and {more} more");
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

/// The third field of each line.
fn numbers(file: &str) -> BTreeSet<u32> {
    let text = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_without_a_name_are_told() {
        let found = Found {
            entries: 3,
            users: (0..8).map(|id| (id, 2)).collect(),
            groups: BTreeMap::from([(0, 3)]),
        };
        let (users, groups) = (BTreeSet::from([0, 1]), BTreeSet::from([0]));
        let text = found.strangers(&users, &groups).unwrap();
        assert!(text.starts_with("user 2 of 2 entries has no name here, user 3 "), "{text}");
        assert!(text.ends_with("user 6 of 2 entries has no name here, and 1 more"), "{text}");
        let groups = BTreeSet::from([1]);
        let text = found.strangers(&(0..8).collect(), &groups).unwrap();
        assert_eq!(text, "group 0 of 3 entries has no name here");
        assert_eq!(found.strangers(&(0..8).collect(), &BTreeSet::from([0])), None);
    }

    #[test]
    fn a_tree_is_gone_through() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("d")).unwrap();
        fs::write(root.path().join("d/f"), "").unwrap();
        let found = look(root.path(), &Patterns::default(), |_| ()).unwrap();
        let own = fs::metadata(root.path()).unwrap().uid();
        assert_eq!((found.entries, found.users.get(&own)), (2, Some(&2)));
        assert!(numbers("/etc/passwd").contains(&0));
    }
}
