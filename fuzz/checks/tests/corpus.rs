//! Every committed input of every fuzz target passes its check, and the targets are what the files around them say.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use carp_checks::TARGETS;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_committed_input_passes_its_check() {
    for (target, check) in TARGETS {
        let directory = root().join("corpus").join(target);
        let inputs = names(&directory);
        let inputs = inputs.iter().filter(|name| name.contains('-'));
        let mut count = 0;
        for name in inputs {
            eprintln!("{target}/{name}");
            check(&fs::read(directory.join(name)).unwrap());
            count += 1;
        }
        assert!(count > 2, "{target} has {count} seeds");
    }
}

#[test]
fn every_prefix_of_a_committed_input_passes_its_check() {
    for (target, check) in TARGETS {
        let directory = root().join("corpus").join(target);
        for name in names(&directory).iter().filter(|name| name.contains('-')) {
            let input = fs::read(directory.join(name)).unwrap();
            // A LAN runs for minutes of its own time.
            let prefixes = if target == "lan" { 8 } else { 64 };
            let step = 1 + input.len() / prefixes;
            (0..input.len()).step_by(step).for_each(|len| check(&input[..len]));
        }
    }
}

#[test]
fn the_targets_are_those_that_the_files_around_them_name() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let files: BTreeSet<_> = targets.iter().map(|name| format!("{name}.rs")).collect();
    assert_eq!(names(&root().join("fuzz_targets")), files);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"\n")), "{target}");
        assert!(readme.contains(&format!("| `{target}` |")), "{target}");
        let file = root().join("fuzz_targets").join(format!("{target}.rs"));
        let text = fs::read_to_string(file).unwrap();
        let module = if target == "router_sequence" { "router" } else { target };
        assert!(text.contains(&format!("carp_checks::{module}::check(input)")), "{target}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), targets.len());
}
