//! `docs/requirements.md` is true as far as a machine can tell: what it names exists, what shows a rule is
//! a test, and no rule is left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use carp_proto::Reject;

/// What can stand in place of a test, at its beginning or after a semicolon.
const REASONS: [&str; 6] = ["deviates", "open:", "daemon:", "kernel:", "not offered", "advice"];

/// The rules of each document. RFC 9568 has 156 in our counting, CARP 88.
const COUNTS: [(&str, usize); 6] =
    [("V9568", 156), ("V3768", 15), ("V5798", 5), ("V2338", 1), ("E", 6), ("C", 88)];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> String {
    read(root().join("docs/requirements.md"))
}

/// The cells of the rows of all tables, without heads.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let lines: Vec<_> = document.lines().collect();
    let is_head = |at: usize| lines.get(at + 1).is_some_and(|next| next.starts_with("|---"));
    let rows = lines
        .iter()
        .enumerate()
        .filter(|(at, line)| line.starts_with("| ") && !line.starts_with("|---") && !is_head(*at));
    rows.map(|(_, line)| line.trim_matches('|').split(" | ").map(str::trim).collect()).collect()
}

/// The parts of a text in backticks that name something in a file: the file, and the name.
fn names(text: &str) -> Vec<(&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| quoted.split_once("::")).collect()
}

/// The number and the document of a rule, if the cell is the id of one.
fn rule(cell: &str) -> Option<(&str, u32)> {
    let (section, number) = cell.rsplit_once('-')?;
    let document = section.split('-').next()?;
    COUNTS.iter().find(|(known, _)| *known == document)?;
    Some((section, number.parse().ok()?))
}

/// The text of a file, or of all files in a folder, by its name in the document.
fn source(name: &str) -> Option<String> {
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
fn declares(line: &str, item: &str) -> bool {
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

/// The heading's name in a link.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

#[test]
fn every_place_exists() {
    let document = document();
    let mut missing = Vec::new();
    for row in rows(&document).into_iter().filter(|row| rule(row[0]).is_some()) {
        let [id, _, _, places, _] = row[..] else {
            assert_eq!(row.len(), 3, "{row:?}");
            continue;
        };
        assert!(!names(places).is_empty(), "{id} says nowhere where");
        for (file, item) in names(places) {
            let found =
                source(file).is_some_and(|source| source.lines().any(|line| declares(line, item)));
            if !found {
                missing.push(format!("{id}: {file}::{item}"));
            }
        }
    }
    assert_eq!(missing, [""; 0]);
}

#[test]
fn every_test_exists_and_is_one() {
    let document = document();
    let outside = document.lines().filter(|line| !line.starts_with('|'));
    let shown = rows(&document).into_iter().filter_map(|row| row.last().copied()).chain(outside);
    let named: Vec<_> = shown.flat_map(names).filter(|name| *name != ("file", "item")).collect();
    assert!(named.len() > 300, "{} are not all of them", named.len());
    let mut missing = named;
    missing.retain(|(file, name)| !source(file).is_some_and(|source| has_test(&source, name)));
    assert_eq!(missing, []);
}

#[test]
fn every_rule_is_shown_or_has_a_reason() {
    let document = document();
    for row in rows(&document) {
        let (Some(_), [id, _, _, _, shown]) = (rule(row[0]), &row[..]) else { continue };
        let is_reason = |part: &str| REASONS.iter().any(|word| part.starts_with(word));
        assert!(shown.split("; ").any(is_reason) || !names(shown).is_empty(), "{id}: {shown}");
    }
}

#[test]
fn no_rule_is_left_out_and_none_is_there_twice() {
    let document = document();
    let mut sections: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
    for (section, number) in rows(&document).iter().filter_map(|row| rule(row[0])) {
        sections.entry(section).or_default().push(number);
    }
    for (section, numbers) in &mut sections {
        numbers.sort_unstable();
        if *section != "E" {
            let all: Vec<_> = (1..).take(numbers.len()).collect();
            assert_eq!(*numbers, all, "{section}");
        }
    }
    for (document, expected) in COUNTS {
        let of_document = |section: &str| section.split('-').next() == Some(document);
        let lists = sections.iter().filter(|(section, _)| of_document(section));
        assert_eq!(lists.map(|(_, numbers)| numbers.len()).sum::<usize>(), expected, "{document}");
    }
}

#[test]
fn every_label_has_a_mistake() {
    let document = document();
    let (_, section) = document.split_once("## 13.").expect("the section of bad input");
    let rows = rows(section);
    for label in Reject::LABELS {
        let quoted = format!("`{label}`");
        assert!(rows.iter().any(|row| row.get(2) == Some(&quoted.as_str())), "{label}");
    }
}

#[test]
fn every_link_leads_somewhere() {
    let document = document();
    for link in document.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let file = if file.is_empty() { "requirements.md" } else { file };
        let target = read(root().join("docs").join(file));
        let headings = target.lines().filter(|line| line.starts_with('#'));
        let found = heading.is_empty() || headings.map(anchor).any(|anchor| anchor == heading);
        assert!(found, "{link}");
    }
}
