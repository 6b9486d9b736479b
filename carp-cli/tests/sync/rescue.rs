//! Rescue sets that outlast the daemon which made them.

use std::fs;
use std::path::PathBuf;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, events, sync, wait_held, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] =
    &[("a_set_of_a_pass_that_died_with_its_daemon_can_be_shown_and_acknowledged", cut_off)];

fn cut_off(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.b.write("own", "1")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start()?;
    wait_held(&second, "not-adopted")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    wait_in_sync(&second)?;
    let sets = pair.b.share.with_file_name(".rescue").join("www");
    let set = fs::read_dir(&sets)?.next().ok_or("no set")??;
    let name = set.file_name().into_string().map_err(|name| format!("{}", name.display()))?;
    second.kill_with_guard(&rack.secondary)?;
    // As a daemon leaves it that is killed before rsync has ended, or with it.
    let report: PathBuf = set.path().join("report.json");
    fs::remove_file(&report)?;
    let second = pair.b.start()?;
    let told = || events(&second).contains("a pass was cut off with the daemon");
    wait_until(LIMIT, "the set is told", told).map_err(|error| Failed::from(error.to_string()))?;
    let text = sync(&second, &["rescue", "show", &name], 0)?;
    ensure(text.contains("own"), text)?;
    sync(&second, &["rescue", "ack", &name], 0)?;
    // An old one that nobody waits for is removed at the next start.
    let text = fs::read_to_string(&report)?;
    let ended = text.lines().find(|line| line.contains("\"ended\"")).ok_or("no end")?;
    fs::write(&report, text.replace(ended, "  \"ended\": \"2020-01-01T00:00:00Z\","))?;
    second.stop()?;
    let second = pair.b.start()?;
    wait_until(LIMIT, "it is removed", || !set.path().exists())?;
    let told = || events(&second).contains("rescue sets that nobody waits for were removed");
    Ok(wait_until(LIMIT, "that is told", told)?)
}
