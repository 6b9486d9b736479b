//! `docs/faults.md`: every fault that has to be there is, and is shown by tests that exist.

use crate::book::{links_are_whole, missing_tests, names, read, root, rows};

/// The faults that have to be listed.
const FAULTS: [u32; 42] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
    31, 33, 45, 46, 48, 51, 52, 53, 54, 55, 56, 58, 59, 62, 64, 66,
];

fn document() -> String {
    read(root().join("docs/faults.md"))
}

/// The number of the first fault that a cell names, if it names any: `F12`, or `F5, F9`.
fn fault(cell: &str) -> Option<u32> {
    cell.split(',').next()?.strip_prefix('F')?.parse().ok()
}

#[test]
fn every_fault_is_listed_and_shown() {
    let document = document();
    // What follows compares with the catalogue, and shows nothing.
    let (listed, _) = document.split_once("## Where the catalogue").expect("the comparison");
    let rows = rows(listed);
    for number in FAULTS {
        let mut of_number = rows.iter().filter(|row| fault(row[0]) == Some(number)).peekable();
        assert!(of_number.peek().is_some(), "F{number} is not listed");
        for row in of_number {
            assert!(!names(row[row.len() - 1]).is_empty(), "F{number}: {} has no test", row[1]);
        }
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let document = document();
    let named: Vec<_> = names(&document).into_iter().filter(|(file, _)| *file != "file").collect();
    assert!(named.len() >= FAULTS.len(), "{} are not all of them", named.len());
    assert_eq!(missing_tests(named), []);
}

#[test]
fn every_link_leads_somewhere() {
    links_are_whole("faults.md", &document());
}
