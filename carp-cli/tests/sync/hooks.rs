//! The hooks that stop writers: whatever ends a handover, a stop or the daemon, writers go on.

use std::fs;
use std::process::Stdio;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, events, share};
use crate::support::{LIMIT, Rack, Test, Tested, carp, ensure, told};

pub(crate) const TESTS: &[Test] = &[
    ("writers_go_on_after_a_planned_stop", stop),
    ("writers_go_on_after_a_yield_and_the_freeze_is_told", yields),
    ("writers_go_on_when_a_daemon_starts_that_was_killed_while_they_stood_still", killed),
];

/// The lines of a share with hooks that write into `hooks`; the one that stops writers then waits until `go` is there.
fn settings(rack: &Rack) -> String {
    let hook = |what: &str, then: String| {
        format!("[\"/bin/sh\", \"-c\", \"echo {what} >>{}{then}\"]", rack.path("hooks").display())
    };
    let wait = format!("; until [ -e {} ]; do sleep 0.1; done", rack.path("go").display());
    format!("quiesce = {}\nunquiesce = {}", hook("quiesce", wait), hook("unquiesce", String::new()))
}

fn hooks(rack: &Rack) -> String {
    fs::read_to_string(rack.path("hooks")).unwrap_or_default()
}

fn stop(rack: &Rack) -> Tested {
    rack.write("go", "", 0o644)?;
    let pair = Pair::with(rack, &settings(rack), "")?;
    let (first, second) = pair.start()?;
    pair.a.write("last", "word")?;
    first.stop()?;
    // All of its hooks have run when it ends.
    ensure(hooks(rack) == "quiesce\nunquiesce\n", hooks(rack))?;
    let said = first.process.said();
    ensure(said.contains("leaving: done; writers stood still for "), said)?;
    second.wait_for_state("active")?;
    ensure(pair.b.read("last").as_deref() == Some("word"), "what was written last is there")
}

fn yields(rack: &Rack) -> Tested {
    rack.write("go", "", 0o644)?;
    let pair = Pair::with(rack, &settings(rack), "")?;
    let (first, second) = pair.start()?;
    ensure(share(&first)["freeze_ms"].is_null(), "nobody stood still yet")?;
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "writers go on", || hooks(rack) == "quiesce\nunquiesce\n")?;
    wait_until(LIMIT, "the freeze is told", || share(&first)["freeze_ms"].is_number())?;
    Ok(())
}

fn killed(rack: &Rack) -> Tested {
    let pair = Pair::with(rack, &settings(rack), "")?;
    let (first, second) = pair.start()?;
    // It waits for the end, which does not come.
    let mut command = carp();
    command.args(["yield", "web", "--socket"]).arg(&first.socket);
    let mut asked = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    wait_until(LIMIT, "writers are being stopped", || hooks(rack) == "quiesce\n")?;
    first.kill_with_guard(&rack.primary)?;
    asked.wait()?;
    second.wait_for_state("active")?;
    ensure(hooks(rack) == "quiesce\n", "nobody is there to let them go on")?;
    let first = pair.a.start()?;
    wait_until(LIMIT, "writers go on", || hooks(rack) == "quiesce\nunquiesce\n")?;
    let told = || events(&first).contains("the daemon ended while writers stood still");
    wait_until(LIMIT, "it is told", told).map_err(|error| Failed::from(error.to_string()))?;
    first.stop()?;
    // Once is enough.
    pair.a.start()?.wait_for_state("backup")?;
    ensure(hooks(rack) == "quiesce\nunquiesce\n", hooks(rack))
}
