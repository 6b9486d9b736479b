//! `docs/requirements.md` is true as far as a machine can tell: what it names exists, what shows a rule is
//! a test, and no rule is left out.

use std::collections::BTreeMap;

use carp_proto::Reject;

use crate::book::{declares, links_are_whole, missing_tests, names, read, root, rows, source};

/// What can stand in place of a test, at its beginning or after a semicolon.
const REASONS: [&str; 6] = ["deviates", "open:", "daemon:", "kernel:", "not offered", "advice"];

/// The rules of each document. RFC 9568 has 156 in our counting, CARP 88.
const COUNTS: [(&str, usize); 6] =
    [("V9568", 156), ("V3768", 15), ("V5798", 5), ("V2338", 1), ("E", 6), ("C", 88)];

fn document() -> String {
    read(root().join("docs/requirements.md"))
}

/// The number and the document of a rule, if the cell is the id of one.
fn rule(cell: &str) -> Option<(&str, u32)> {
    let (section, number) = cell.rsplit_once('-')?;
    let document = section.split('-').next()?;
    COUNTS.iter().find(|(known, _)| *known == document)?;
    Some((section, number.parse().ok()?))
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
    assert_eq!(missing_tests(named), []);
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
    links_are_whole("requirements.md", &document());
}
