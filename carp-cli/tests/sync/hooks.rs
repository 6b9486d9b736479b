//! The hooks that stop writers: whatever ends a handover, a stop or the daemon, writers go on.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, events, explain, living_there, share, sync};
use crate::support::{
    Daemon, LIMIT, Rack, Test, Tested, carp, ensure, serves, told, wait_for_owner,
};

pub(crate) const TESTS: &[Test] = &[
    ("writers_go_on_after_a_planned_stop", stop),
    ("writers_go_on_after_a_yield_and_the_freeze_is_told", yields),
    ("a_hook_that_takes_too_long_is_ended_and_the_writers_go_on", too_long),
    ("a_hook_may_take_3_s_less_than_a_handover_if_nothing_is_configured", too_long_by_default),
    ("a_hook_that_takes_too_long_keeps_nobody_from_leaving", too_long_to_leave),
    ("a_hook_may_take_as_long_as_is_configured", long),
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

/// The lines of a share with a hook that never ends, nor does what it starts, whatever it is told.
fn endless(rack: &Rack, more: &str) -> String {
    let (hooks, group) = (rack.path("hooks"), rack.path("group"));
    let (hooks, group) = (hooks.display(), group.display());
    format!(
        "quiesce = [\"/bin/sh\", \"-c\", \"trap '' TERM; echo $$ >{group}; echo quiesce >>{hooks}; \
         sleep 1000 & sleep 1000; wait\"]\n\
         unquiesce = [\"/bin/sh\", \"-c\", \"echo unquiesce >>{hooks}\"]\n{more}"
    )
}

/// Nothing of the hook that never ends lives on the machine of this daemon, and writers go on.
fn wait_until_ended(rack: &Rack, daemon: &Daemon) -> Tested {
    wait_until(LIMIT, "writers go on", || hooks(rack) == "quiesce\nunquiesce\n")
        .map_err(|error| Failed::from(format!("{error}: {}", events(daemon))))?;
    let group = fs::read_to_string(rack.path("group"))?.trim().parse()?;
    let mut left = Vec::new();
    wait_until(LIMIT, "nothing of the hook lives", || {
        living_there(daemon, group).is_ok_and(|living| {
            left = living;
            left.is_empty()
        })
    })
    .map_err(|error| Failed::from(format!("{error}: {left:?}")))?;
    let told = events(daemon);
    ensure(told.contains("share www: a hook of the handover: timed out"), told)?;
    // Each file was written last when its hook ran.
    let at = |file: &str| fs::metadata(rack.path(file)).and_then(|it| it.modified());
    let took = at("hooks")?.duration_since(at("group")?)?;
    ensure(took < BY_DEFAULT + GRACE, format!("writers stood still for {took:?}"))
}

/// How long a hook may run if nothing is written, and how much longer it lives if it does not listen.
const BY_DEFAULT: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_secs(2);

fn too_long(rack: &Rack) -> Tested {
    hangs(rack, "quiesce_timeout = \"3s\"", "handover: quiesce failed; writers go on")
}

/// By default it is 3 s less than the time for a handover, so that it may be the other node that gives up first.
fn too_long_by_default(rack: &Rack) -> Tested {
    hangs(rack, "handover_timeout = \"8s\"", "writers go on")
}

/// The primary asks for a handover in vain, and this is what the secondary says then.
fn hangs(rack: &Rack, times: &str, said: &str) -> Tested {
    let manual = "failback = \"manual\"\ncold_start_wait = \"0s\"";
    let pair = Pair::new(rack, &endless(rack, &format!("{manual}\n{times}")))?;
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    pair.b.write("page", "before")?;
    let first = pair.a.start()?;
    wait_until(LIMIT, "only a word is missing", || {
        share(&first)["failback"] == "carp sync failback www"
    })?;
    let text = sync(&first, &["failback"], 1)?;
    ensure(
        text.contains("look at the quiesce hook's duration on the active node")
            && text.contains("the address is where it was, and writers go on"),
        text,
    )?;
    wait_until_ended(rack, &second)?;
    ensure(events(&second).contains(said), events(&second))?;
    ensure(second.state() == "active" && serves(&rack.secondary), "the secondary serves on")?;
    ensure(first.state() == "backup" && !serves(&rack.primary), "the primary does not")?;
    // What its writers write then is copied.
    pair.b.write("page", "after")?;
    pair.a.wait_for("page", Some("after"))
}

fn too_long_to_leave(rack: &Rack) -> Tested {
    let pair = Pair::with(rack, &endless(rack, "quiesce_timeout = \"3s\""), "")?;
    let (first, second) = pair.start()?;
    pair.a.write("page", "last")?;
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    wait_until_ended(rack, &first)?;
    ensure(pair.b.read("page").as_deref() == Some("last"), "what was written last is there")
}

/// Longer than what is the limit if nothing is written: 10 s.
const LONG: Duration = Duration::from_secs(12);

fn long(rack: &Rack) -> Tested {
    let log = rack.path("hooks");
    let log = log.display();
    let settings = format!(
        "cold_start_wait = \"0s\"\nhandover_timeout = \"60s\"\nquiesce_timeout = \"50s\"\n\
         quiesce = [\"/bin/sh\", \"-c\", \"sleep {}; echo quiesce >>{log}\"]\n\
         unquiesce = [\"/bin/sh\", \"-c\", \"echo unquiesce >>{log}\"]",
        LONG.as_secs()
    );
    let pair = Pair::new(rack, &settings)?;
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    pair.b.write("page", "1")?;
    let first = pair.a.start()?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)
        .map_err(|error| explain(&error, [&first, &second]))?;
    wait_until(LIMIT, "both hooks ran to their ends", || hooks(rack) == "quiesce\nunquiesce\n")?;
    let told = events(&second);
    ensure(!told.contains("a hook of the handover"), told)?;
    let freeze = || share(&second)["freeze_ms"].as_f64();
    wait_until(LIMIT, "the freeze is told", || freeze().is_some())?;
    ensure(freeze() > Some(LONG.as_secs_f64() * 1000.0), format!("{:?} ms", freeze()))
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
