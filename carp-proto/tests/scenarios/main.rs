//! Conformance as data: each file here has scenarios, which are what happens to a router and what it does, as a
//! transcript. `README.md` says how to read one. Most retell what other implementations test themselves with.
//!
//! `SCENARIOS=write cargo test -p carp-proto --test scenarios` writes what routers do into the files, for you to
//! read and to judge.

#![expect(clippy::unwrap_used, reason = "a scenario that cannot be read has to fail its test")]

mod link;
mod read;
#[path = "../support/mod.rs"]
mod support;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::read::{Line, Scenario};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

/// The files with scenarios, and what is in them.
fn files() -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|it| it == "txt"))
        .map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn every_scenario_goes_as_it_is_written() {
    let writes = std::env::var("SCENARIOS").is_ok_and(|what| what == "write");
    let mut wrong = Vec::new();
    for (path, text) in files() {
        let actual = played(&text);
        if actual == text {
            continue;
        }
        if writes {
            fs::write(&path, &actual).unwrap();
        }
        let lines = text.lines().zip(actual.lines()).enumerate();
        let first = lines.filter(|(_, (written, actual))| written != actual).map(
            |(number, (written, actual))| format!("{}: {written}\n  but: {actual}", number + 1),
        );
        wrong.push(format!("{}:{}", path.display(), first.take(3).collect::<Vec<_>>().join("\n")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The text of a file with what routers really do.
fn played(text: &str) -> String {
    let mut actual = String::new();
    for scenario in read::scenarios(text) {
        actual += &scenario.head;
        for line in link::play(&scenario) {
            actual += &line;
            actual.push('\n');
        }
        actual += &scenario.tail;
    }
    actual
}

#[test]
fn the_scenarios_are_many_and_each_has_a_name_of_its_own_and_a_source() {
    let mut names = BTreeSet::new();
    for (path, text) in files() {
        for Scenario { name, source, lines, .. } in read::scenarios(&text) {
            assert!(names.insert(name.clone()), "{name} twice");
            assert!(!source.is_empty(), "{name} in {}", path.display());
            let asserts = |line: &Line| matches!(line, Line::Output(..) | Line::Is(..));
            assert!(lines.iter().any(asserts), "{name} asserts nothing");
        }
    }
    assert!(names.len() >= 70, "{}", names.len());
}

#[test]
fn what_a_router_does_differently_is_noticed() {
    for (path, text) in files() {
        let (mut states, mut outputs) = (0, 0);
        for mut scenario in read::scenarios(&text) {
            for nth in 0..scenario.lines.len() {
                let line = scenario.lines[nth].clone();
                for changed in changes(&line) {
                    match line {
                        Line::Output(..) => outputs += 1,
                        Line::Input(..) | Line::Is(..) => states += 1,
                    }
                    scenario.lines[nth] = changed.clone();
                    let written: Vec<_> = scenario.lines.iter().map(Line::to_string).collect();
                    let (name, place) = (&scenario.name, path.display());
                    assert_ne!(link::play(&scenario), written, "{place}: {name}: {changed}");
                }
                scenario.lines[nth] = line;
            }
        }
        assert!(states > 0 && outputs > 0, "{}: {states}, {outputs}", path.display());
    }
}

#[test]
fn where_there_are_peers_an_advert_has_to_say_to_whom_it_goes() {
    let mut adverts = 0;
    for (_, text) in files() {
        for mut scenario in read::scenarios(&text) {
            let has_peers = |router: &Vec<String>| router.iter().any(|word| word == "peers");
            if !scenario.routers.iter().all(has_peers) {
                continue;
            }
            for nth in 0..scenario.lines.len() {
                let line = scenario.lines[nth].clone();
                let Line::Output(time, who, words) = &line else { continue };
                let Some((before, rest)) = words.split_once(" to ") else { continue };
                if words::asked(words).is_none() {
                    continue;
                }
                let behind = rest.split_once(' ').map(|(_, behind)| format!(" {behind}"));
                let words = before.to_owned() + &behind.unwrap_or_default();
                scenario.lines[nth] = Line::Output(*time, who.clone(), words);
                let written: Vec<_> = scenario.lines.iter().map(Line::to_string).collect();
                assert_ne!(link::play(&scenario), written, "{}: {line}", scenario.name);
                scenario.lines[nth] = line;
                adverts += 1;
            }
        }
    }
    assert!(adverts >= 12, "{adverts}");
}

/// A line that asserts something, each time with another of its words changed.
fn changes(line: &Line) -> Vec<Line> {
    match line {
        Line::Input(..) => vec![],
        Line::Is(time, who, state) => vec![Line::Is(*time, who.clone(), another(state))],
        Line::Output(time, who, words) => {
            let words: Vec<_> = words.split(' ').collect();
            let change = |nth: usize| {
                let mut words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
                words[nth] = another(&words[nth]);
                Line::Output(*time, who.clone(), words.join(" "))
            };
            (0..words.len()).map(change).collect()
        }
    }
}

/// A word that differs in its last character: a digit in another one, so that a number stays a number.
fn another(word: &str) -> String {
    let mut word = word.to_owned();
    let last = word.pop();
    word.push(match last {
        Some('1') => '2',
        Some('0'..='9') => '1',
        Some('x') => 'y',
        _ => 'x',
    });
    word
}
