//! Reading the documents, and finding in the sources what they name.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the rows of all tables, without heads.
pub(crate) fn rows(document: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = document.lines().collect();
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with("| ") && !line.starts_with("|---") && !is_head(*at));
    rows.map(|(_, line)| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// The parts of a text in backticks that name something in a file: the file, and the name.
pub(crate) fn names(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| quoted.split_once("::")).collect()
}

/// The text of a file, or of all files in a folder, by its name in the document.
pub(crate) fn source(name: &str) -> Option<String> {
    let base = if name.starts_with("carp-") {
        vec![""]
    } else {
        vec!["carp-proto/src", "carp-proto/tests"]
    };
    let places = base.into_iter().map(|base| root().join(base).join(name));
    places.into_iter().find_map(|place| {
        if place.is_dir() { Some(all_in(&place)) } else { fs::read_to_string(place).ok() }
    })
}

fn all_in(folder: &Path) -> String {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut text = String::new();
    for entry in entries.map(|entry| entry.expect("a folder that can be read").path()) {
        if entry.is_dir() {
            text += &all_in(&entry);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            text += &read(&entry);
        }
    }
    text
}

/// Whether a line declares this: a function, a type, a constant, a variant or a field.
pub(crate) fn declares(line: &str, item: &str) -> bool {
    let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let is_told = |word: &&str| !["", "pub", "crate", "super", "async"].contains(word);
    let mut words = words.filter(is_told);
    match words.next() {
        Some("fn" | "struct" | "enum" | "trait" | "type") => words.next() == Some(item),
        Some("const") => words.find(|word| *word != "fn") == Some(item),
        Some(word) => word == item && !line.ends_with(';'),
        None => false,
    }
}

/// Whether a file has a test of this name: a function with the attribute, or one that a program with a
/// list of its own runs.
fn has_test(source: &str, name: &str) -> bool {
    let listed = format!("\"{name}\",");
    let lines: Vec<_> = source.lines().map(str::trim_start).collect();
    let is_test = |at: usize| {
        let above = lines[..at].iter().rev();
        let mut attributes =
            above.take_while(|line| line.starts_with('#') || line.starts_with("//"));
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    };
    let declared = |line: &str| declares(line, name) && line.contains("fn ");
    lines.iter().any(|line| line.contains(&listed))
        || lines.iter().enumerate().any(|(at, line)| declared(line) && is_test(at))
}

/// Those of these names, each with its file, that no test has.
pub(crate) fn missing_tests<'a>(named: Vec<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut missing = named;
    missing.retain(|(file, name)| !source(file).is_some_and(|source| has_test(&source, name)));
    missing
}

/// Fails if a link of a document, which is in the file `name`, leads to nowhere.
pub(crate) fn links_are_whole(name: &str, document: &str) {
    for link in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let file = if file.is_empty() { name } else { file };
        let target = read(root().join("docs").join(file));
        let headings = target.lines().filter(|line| line.starts_with('#'));
        let found = heading.is_empty() || headings.map(anchor).any(|anchor| anchor == heading);
        assert!(found, "{link}");
    }
}

/// The heading's name in a link.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
