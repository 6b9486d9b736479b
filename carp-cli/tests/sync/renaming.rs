//! A pass that is killed while rsync renames what it has received: the only moment at which the copy is of two times.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Instant;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::scene::{
    Pair, equal, events, passes, rescue_list, share, sync, wait_held, wait_in_sync,
};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("a_pass_killed_while_it_renames_leaves_every_file_whole_and_the_next_one_heals", replacing),
    ("a_pass_with_rescue_killed_while_it_renames_loses_nothing", rescuing),
];

/// So many that renaming them takes longer than noticing it.
const FILES: usize = 2_000;

/// How often it is tried to be there in time.
const TRIES: usize = 10;

fn name(number: usize) -> String {
    format!("f{number:05}")
}

fn write_all(directory: &Path, value: &str) -> Tested {
    for number in 0..FILES {
        fs::write(directory.join(name(number)), format!("{value} {number}"))?;
    }
    Ok(())
}

/// How many files have this value, whole.
fn count(directory: &Path, value: &str) -> usize {
    let has = |number: &usize| {
        fs::read_to_string(directory.join(name(*number)))
            .is_ok_and(|text| text == format!("{value} {number}"))
    };
    (0..FILES).filter(has).count()
}

/// Kills what runs of a pass at the moment at which the first file is another one.
fn kill_at_first_rename(share: &Path) -> Tested {
    let first = share.join(name(0));
    let before = fs::metadata(&first)?.len();
    let changed = || fs::metadata(&first).map_or(true, |it| it.len() != before);
    let began = Instant::now();
    let mut groups = BTreeSet::new();
    while began.elapsed() < LIMIT {
        let found = passes(share);
        if !found.is_empty() {
            groups = found;
        }
        for _ in 0..500 {
            if changed() {
                for group in &groups {
                    if let Some(group) = Pid::from_raw(*group) {
                        // It may have ended by itself: then it is tried again.
                        let _ = kill_process_group(group, Signal::KILL);
                    }
                }
                return Ok(());
            }
        }
    }
    Err("no pass has renamed anything".into())
}

fn replacing(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    write_all(&pair.a.share, "v")?;
    let (_first, second) = pair.start()?;
    wait_until(LIMIT, "all files are there", || count(&pair.b.share, "v") == FILES)?;
    let (mut old, mut new) = ("v".to_owned(), "vv".to_owned());
    for _ in 0..TRIES {
        write_all(&pair.a.share, &new)?;
        kill_at_first_rename(&pair.b.share)?;
        let (olds, news) = (count(&pair.b.share, &old), count(&pair.b.share, &new));
        let caught = share(&second)["last_pass"]["outcome"] != "complete" && olds > 0 && news > 0;
        wait_until(LIMIT, "the next pass heals it", || count(&pair.b.share, &new) == FILES)?;
        if caught {
            println!("renaming: killed with {news} of {FILES} renamed");
            ensure(olds + news == FILES, format!("{olds} old and {news} new of {FILES}"))?;
            wait_in_sync(&second)?;
            wait_until(LIMIT, "the trees are equal", || {
                equal(&pair.a.share, &pair.b.share).unwrap_or(false)
            })?;
            let marker = |share: &Path| fs::read(share.join(".share-id"));
            ensure(marker(&pair.a.share)? == marker(&pair.b.share)?, "the markers are the same")?;
            ensure(pair.b.rescued(&name(0)).is_empty(), "nothing was to be rescued")?;
            let status = share(&second);
            return ensure(status["held"].is_null(), status.to_string());
        }
        old.clone_from(&new);
        new.push('v');
    }
    Err(Failed::from(format!("it was never killed in time: {}", events(&second))))
}

fn rescuing(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    write_all(&pair.a.share, "of the primary")?;
    write_all(&pair.b.share, "only here")?;
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    first.wait_for_state("active")?;
    wait_held(&second, "not-adopted")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    kill_at_first_rename(&pair.b.share)?;
    // Whenever it was killed: what was here is here, or in a rescue set.
    let kept = |number: usize| {
        let (file, value) = (name(number), format!("only here {number}"));
        pair.b.read(&file).as_ref() == Some(&value) || pair.b.rescued(&file).contains(&value)
    };
    let lost: Vec<usize> = (0..FILES).filter(|number| !kept(*number)).collect();
    ensure(lost.is_empty(), format!("{lost:?} are neither in the tree nor in a rescue set"))?;
    wait_until(LIMIT, "the next pass heals it", || {
        count(&pair.b.share, "of the primary") == FILES
    })?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    let mut twice = 0;
    for number in 0..FILES {
        let kept = pair.b.rescued(&name(number));
        let right = kept.iter().all(|text| *text == format!("only here {number}"));
        ensure(right && !kept.is_empty(), format!("of {} is kept: {kept:?}", name(number)))?;
        twice += kept.len() - 1;
    }
    // The one that was kept and not replaced yet when the pass was killed is kept once more.
    ensure(twice <= 1, format!("{twice} are kept twice"))?;
    let list = rescue_list(&second)?;
    let sets = list["sets"].as_array().cloned().unwrap_or_default();
    println!("renaming: {} rescue sets: {list}", sets.len());
    let orphans: u64 = sets.iter().filter_map(|set| set["orphans"].as_u64()).sum();
    ensure(sets.iter().all(|set| set["ended"] == true), list.to_string())?;
    let expected = u64::try_from(FILES + twice)?;
    ensure(orphans == expected, format!("{orphans} of {FILES} are told as orphans: {list}"))
}
