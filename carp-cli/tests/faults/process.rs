//! The daemon, its guard and its host die, hang, or run late (chapter A).

mod lease;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use carp_node::lab::{Host, mac, wait_until};
use libtest_mimic::Failed;

use crate::embed;
use crate::scene::{Scene, Watched, vip};
use crate::support::{
    Daemon, LIMIT, Rack, Test, Tested, carp, ensure, has, run_on_machine, serves, told,
};

pub(crate) const TESTS: &[Test] = &[
    ("f2_with_daemon_and_guard_killed_the_kernel_drops_the_address", lease::both_killed_vrrp),
    ("f2_with_carp_too", lease::both_killed_carp),
    ("f2_over_ipv6_and_on_a_macvlan_too", lease::both_killed_on_a_device),
    ("f2_without_a_lease_the_address_stays_until_cleanup", lease::both_killed_without_lease),
    ("f2_a_renewed_address_is_never_interrupted", lease::never_interrupted),
    ("f3_a_daemon_that_is_killed_alone_comes_back_as_a_backup", killed_alone),
    ("f4_a_panic_is_a_death_in_order", panicked),
    ("f5_a_daemon_that_is_stopped_for_long_does_not_come_back", stopped_for_long),
    ("f5_a_frozen_host_loses_its_address_and_comes_back_as_a_backup", lease::frozen),
    ("f5_a_frozen_host_that_is_alone_serves_again", lease::frozen_alone),
    ("f6_a_daemon_that_is_stopped_briefly_is_not_missed", stopped_briefly),
    ("f7_a_backup_that_was_stopped_takes_nothing_over", stopped_backup),
    ("f8_a_daemon_without_a_processor_does_not_share_its_address", starved),
    ("f9_a_machine_that_was_paused_for_long_gives_way", paused_for_long),
    ("f9_a_machine_that_was_paused_for_a_second_keeps_its_daemon", paused_briefly),
];

/// The interval of all of them.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long a protocol task may be silent that has addresses.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The successor's skew time: priority 100.
const SKEW: Duration = Duration::from_millis(610);

/// What a loaded machine may add to any time; less than an interval.
const MARGIN: Duration = Duration::from_millis(800);

/// The same where nothing but a takeover by silence is to be ruled out, which takes more than 3 s.
const BUSY: Duration = Duration::from_millis(1_500);

/// Two VRRP routers with an advert a second, of which the primary is the better one and serves.
fn pair(scene: &Scene<'_>) -> Result<(Daemon, Daemon), Failed> {
    pair_with(scene, "")
}

/// The same, with more settings for the primary.
fn pair_with(scene: &Scene<'_>, settings: &str) -> Result<(Daemon, Daemon), Failed> {
    let rack = scene.rack;
    let settings = format!("priority = 200\n{settings}");
    let first = rack.daemon(&rack.primary, &rack.configure_vrrp("primary", &settings)?)?;
    let second = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", "")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    Ok((first, second))
}

/// Checks that the secondary has taken over from a daemon that died by `within` at the latest, that there was
/// never a second holder, and that nobody waited for longer than its skew time.
fn succeeds(scene: &Scene<'_>, since: Instant, within: Duration) -> Tested {
    scene.wait_until_served_by(&scene.rack.secondary)?;
    let left = scene.primary.left(since).ok_or("the address has not left the primary")?;
    let came = scene.secondary.came(since).ok_or("the address has not come to the secondary")?;
    let (left, came) = (left - since, came - since);
    ensure(left <= within + BUSY, format!("gone after {left:?}"))?;
    ensure(came <= within + SKEW + BUSY, format!("taken over after {came:?}"))?;
    scene.never_both(since)?;
    let announced = || !scene.secondary.announcements(since).is_empty();
    wait_until(LIMIT, "the successor announces the address", announced)?;
    let answer = scene.first_answer(since, &scene.rack.secondary).map(|at| at - since);
    let limit = within + SKEW + BUSY;
    ensure(answer.is_some_and(|after| after <= limit), format!("answered after {answer:?}"))
}

/// A number of the status of a daemon.
fn number(daemon: &Daemon, pointer: &str) -> Result<f64, Failed> {
    let report = daemon.report().ok_or("no status")?;
    let number = report.pointer(pointer).and_then(serde_json::Value::as_f64);
    number.ok_or_else(|| format!("no {pointer} in {report}").into())
}

/// How often the routers of a daemon have changed their state.
fn transitions(daemon: &Daemon) -> Result<f64, Failed> {
    number(daemon, "/routers/0/transitions")
}

/// Waits until a server has sent so many adverts since then.
fn wait_for_adverts(server: &Watched, since: Instant, count: usize) -> Tested {
    let sent = || server.adverts(since).len() >= count;
    Ok(wait_until(LIMIT, &format!("{count} adverts"), sent)?)
}

/// Starts a daemon under a supervisor, which starts it again once.
fn supervised(rack: &Rack, host: &Host, settings: &str) -> Result<Daemon, Failed> {
    let config = rack.configure_vrrp("primary", settings)?;
    let socket = config.with_extension("sock");
    let program = carp().get_program().to_string_lossy().into_owned();
    let run = format!("{program} run -c {} --socket {}", config.display(), socket.display());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{run}; {run}"));
    let daemon = Daemon { process: host.spawn(shell)?, socket };
    wait_until(LIMIT, "the daemon answers", || daemon.status().is_some())?;
    Ok(daemon)
}

fn killed_alone(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let first = supervised(rack, &rack.primary, "priority = 200\npreempt = false")?;
    let second = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", "")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    let (pid, _) = first.pids()?;
    let since = Instant::now();
    run_on_machine(&rack.primary, &format!("kill -KILL {pid}"))?;
    succeeds(&scene, since, Duration::ZERO)?;
    let unserved = scene.unserved(since);
    ensure(unserved < SKEW + BUSY, format!("no answer for {unserved:?}"))?;
    wait_until(LIMIT, "the supervisor has started it again", || {
        first.pids().is_ok_and(|(other, _)| other != pid)
    })?;
    let again = Instant::now();
    // Longer than the active-down interval of either.
    wait_for_adverts(&scene.secondary, again, 5)?;
    ensure(first.state() == "backup", "it comes back as a backup")?;
    ensure(scene.primary.adverts(again).is_empty(), "the new daemon has advertised")?;
    ensure(scene.primary.came(again).is_none(), "the new daemon has taken the address")?;
    ensure(second.state() == "active", "the successor stays")
}

fn panicked(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, directory) = embed::start(rack, embed::CARP)?;
    let second = rack.configure("secondary", "advskew = 100")?;
    let second = rack.daemon(&rack.secondary, &second)?;
    scene.wait_until_served_by(&rack.primary)?;
    wait_until(LIMIT, "the secondary hears the primary", || {
        second.status().is_some_and(|router| !router["peers"][0].is_null())
    })?;
    fs::write(directory.join("panic"), "")?;
    let since = first.wait_for_line(LIMIT, "panicked at")?.at;
    // What it says may be read late.
    succeeds(&scene, since - MARGIN, MARGIN + HEARTBEAT)?;
    let status = first.wait(LIMIT)?;
    // On a busy machine the backtrace takes longer than the guard waits.
    ensure(status.code() == Some(101) || status.signal() == Some(9), format!("{status}"))
}

fn stopped_for_long(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, _second) = pair(&scene)?;
    let since = Instant::now();
    first.process.pause()?;
    succeeds(&scene, since, HEARTBEAT)?;
    wait_for_adverts(&scene.secondary, since, 9)?;
    let resumed = Instant::now();
    first.process.resume()?;
    ensure(!first.process.wait(LIMIT)?.success(), "the guard has killed it")?;
    wait_for_adverts(&scene.secondary, resumed, 2)?;
    ensure(scene.primary.adverts(resumed).is_empty(), "the old daemon has advertised")?;
    ensure(scene.primary.came(since).is_none(), "the address came back")
}

fn stopped_briefly(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    wait_for_adverts(&scene.primary, Instant::now(), 1)?;
    let before = (transitions(&first)?, transitions(&second)?);
    let (daemon, _) = first.pids()?;
    let since = Instant::now();
    for round in 1..=4 {
        // It has to be asleep: no deadline is late because of a stop in the middle of its work, which an
        // advert begins.
        sleep(Duration::from_millis(100));
        let script = format!("kill -STOP {daemon}; sleep 0.4; kill -CONT {daemon}");
        run_on_machine(&rack.primary, &script)?;
        wait_for_adverts(&scene.primary, since, round * 2)?;
    }
    ensure(before == (transitions(&first)?, transitions(&second)?), "something has changed")?;
    ensure(scene.primary.left(since).is_none(), "the address has left the primary")?;
    ensure(scene.secondary.came(since).is_none(), "the address has come to the secondary")?;
    let adverts = scene.primary.adverts(since);
    for pair in adverts.windows(2) {
        let apart = pair[1] - pair[0];
        // The tap may see one late, and the next one in time.
        ensure(apart > INTERVAL - MARGIN, format!("a burst: {apart:?} apart"))?;
        let limit = INTERVAL + BUSY;
        ensure(apart < limit, format!("{apart:?} apart"))?;
    }
    // The daemon beats every 333 ms, so each of the stops made one of its deadlines late, by 67 ms at least.
    let (count, soon) =
        (number(&first, "/lateness/count")?, number(&first, "/lateness/buckets/5/count")?);
    ensure(number(&first, "/lateness/buckets/5/le_ms")? == 50.0, "the bucket of 50 ms")?;
    ensure(count - soon >= 4.0, format!("{soon} of {count} within 50 ms"))?;
    let status = told(&first.ask(&["status"])?).1;
    ensure(status.contains("deadlines were met more than 10ms late"), status)
}

fn stopped_backup(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    let before = (transitions(&first)?, transitions(&second)?);
    let since = Instant::now();
    second.process.pause()?;
    wait_for_adverts(&scene.primary, since, 10)?;
    second.process.resume()?;
    // Longer than its active-down interval.
    wait_for_adverts(&scene.primary, Instant::now(), 5)?;
    ensure(before == (transitions(&first)?, transitions(&second)?), "something has changed")?;
    ensure(scene.secondary.adverts(since).is_empty(), "the backup has advertised")?;
    ensure(scene.secondary.came(since).is_none(), "the backup has taken the address")?;
    let worst = number(&second, "/lateness/max_ms")?;
    ensure(worst > 4_000.0, format!("late by {worst} ms"))?;
    let events = told(&second.ask(&["events"])?).1;
    ensure(events.contains("ms late: this process did not run"), events)
}

/// The daemon gets what two others that never rest leave of one processor to a task of the lowest class,
/// which is next to nothing. Its guard is not starved.
fn starved(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, _second) = pair(&scene)?;
    let pid = first.process.id();
    let starve = format!("taskset -a -p 1 {pid} && chrt -a --idle -p 0 {pid}");
    let output = Command::new("sh").arg("-c").arg(starve).output()?;
    if !output.status.success() {
        println!("skipped: the scheduler cannot be told so here: {}", told(&output).1);
        return Ok(());
    }
    let since = Instant::now();
    let mut hog = Command::new("sh");
    hog.arg("-c")
        .arg("for i in 1 2; do timeout 6 taskset 1 sh -c 'while :; do :; done' & done; wait");
    let hogs = rack.primary.spawn(hog)?;
    hogs.wait(LIMIT)?;
    wait_until(LIMIT, "one of them serves", || serves(&rack.primary) != serves(&rack.secondary))?;
    let both = scene.both_held(since);
    ensure(both <= MARGIN, format!("two holders for {both:?}"))?;
    match number(&first, "/lateness/max_ms") {
        Ok(worst) => println!("it lives, and was late by {worst} ms at worst"),
        Err(_) => println!("its guard has killed it"),
    }
    let owner = if serves(&rack.primary) { &rack.primary } else { &rack.secondary };
    scene.wait_until_served_by(owner)
}

/// A third server that can be paused, the better one, which serves; and the secondary.
fn third(scene: &Scene<'_>) -> Result<(Host, Watched, Daemon, Daemon), Failed> {
    let rack = scene.rack;
    let host = rack.switch.host("third", mac(0x30), &["192.168.130.30/24"])?;
    let watched = Watched::new(&host)?;
    // Only processes can be paused here: with a lease the kernel would go on, as that of a paused machine does not.
    let settings = "priority = 200\nlease = \"off\"";
    let better = rack.daemon(&host, &rack.configure_vrrp("third", settings)?)?;
    let second = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", "")?)?;
    wait_until(LIMIT, "the better one serves", || serves(&host) && !serves(&rack.secondary))?;
    wait_for_adverts(&watched, Instant::now(), 2)?;
    Ok((host, watched, better, second))
}

fn paused_for_long(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (mut host, watched, better, _second) = third(&scene)?;
    let since = Instant::now();
    host.pause()?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    wait_for_adverts(&scene.secondary, since, 5)?;
    ensure(serves(&host), "nobody removes the address of a paused machine")?;
    let resumed = Instant::now();
    host.resume()?;
    wait_until(LIMIT, "the address has left it", || watched.left(resumed).is_some())?;
    // It listens first, and then it preempts.
    wait_until(LIMIT, "it serves again", || serves(&host) && !serves(&rack.secondary))?;
    let both = watched.held_with(&scene.secondary, resumed);
    ensure(both <= INTERVAL + MARGIN, format!("two holders for {both:?}"))?;
    let first = watched.adverts(resumed).first().map(|at| *at - resumed);
    ensure(
        first.is_some_and(|after| after >= INTERVAL / 4),
        format!("advertised after {first:?}"),
    )?;
    better.process.expect_running("nobody has killed it")?;
    let asked = || scene.client.ask(vip(), INTERVAL).ok().flatten();
    wait_until(LIMIT, "a new client is answered by it", || asked().as_deref() == Some("third"))?;
    ensure(has(&host, "192.168.130.30"), "the host's own address stays")
}

/// About as long as the guard lets a protocol task be silent. The guard must see that it stood still too, even
/// when it is the first to go on.
fn paused_briefly(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    // Who reacts late to an advert begins a pause late in the lease: it is to outlast both.
    let (first, second) = pair_with(&scene, "lease = \"4s\"")?;
    let before = (transitions(&first)?, transitions(&second)?);
    let (daemon, guard) = first.pids()?;
    let since = Instant::now();
    for (round, pause) in (1..).zip(["0.7", "0.8", "0.9", "1", "1.1", "1.2"]) {
        let halt = format!("kill -STOP {daemon} {guard}; sleep {pause}");
        let go_on = format!("kill -CONT {guard}; sleep 0.05; kill -CONT {daemon}");
        run_on_machine(&rack.primary, &format!("{halt}; {go_on}"))?;
        wait_for_adverts(&scene.primary, since, round * 2)?;
        first.process.expect_running(&format!("a pause of {pause} s is over"))?;
    }
    ensure(before == (transitions(&first)?, transitions(&second)?), "something has changed")?;
    ensure(scene.primary.left(since).is_none(), "the address has left the primary")?;
    ensure(scene.secondary.came(since).is_none(), "the address has come to the secondary")
}
