//! The lease: nobody is left who could remove the address, and the kernel does.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use super::{MARGIN as TOLD_LATE, pair};
use crate::scene::{Scene, vip};
use crate::support::{
    Daemon, LIMIT, Rack, Tested, VIP, carp, ensure, run_on, run_on_machine, serves, told,
};

/// The kernel drops what nobody renewed for a lease, and is late by less than this.
const LATE: Duration = Duration::from_secs(1);

/// It was renewed at most an advert interval before, and so lasts for three quarters of a second at least. What
/// a loaded machine takes away of it is allowed for; who removes an address by himself needs some milliseconds.
const EARLIEST: Duration = Duration::from_millis(250);

/// What a loaded machine may add until an observer is told.
const MARGIN: Duration = Duration::from_secs(1);

/// Who was paused listens for at least a quarter of an interval before it advertises.
const LISTENS: Duration = Duration::from_millis(250);

/// How long a host is frozen.
const FREEZE: Duration = Duration::from_secs(10);

pub(super) fn both_killed_vrrp(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    expires(&scene, &first, &second)
}

pub(super) fn both_killed_carp(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let first = rack.configure("primary", "advskew = 0\npreempt = true")?;
    let first = rack.daemon(&rack.primary, &first)?;
    let second = rack.daemon(&rack.secondary, &rack.configure("secondary", "advskew = 100")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    expires(&scene, &first, &second)
}

/// Kills daemon and guard at once: the address goes in time, the successor serves, and both have it no
/// longer than the timers say.
fn expires(scene: &Scene<'_>, first: &Daemon, second: &Daemon) -> Tested {
    let rack = scene.rack;
    let (lease, patience) = (millis(first, "/lease_ms")?, patience(second)?);
    hears(second)?;
    let since = Instant::now();
    first.kill_with_guard(&rack.primary)?;
    let dead = Instant::now();
    scene.wait_until_served_by(&rack.secondary)?;
    let left = scene.primary.left(since).ok_or("the address has not left")?;
    let (gone, both) = (left.saturating_duration_since(dead), scene.both_held(since));
    let allowed = (lease + LATE).saturating_sub(patience) + TOLD_LATE;
    println!("gone after {gone:?}, both had it for {both:?}, a lease of {lease:?}");
    ensure(left - since >= EARLIEST, format!("gone after {gone:?}: not by its lease"))?;
    ensure(gone <= lease + LATE + MARGIN, format!("gone after {gone:?} only"))?;
    ensure(both <= allowed, format!("both had it for {both:?}, and not at the most {allowed:?}"))?;
    ensure(scene.primary.resignations(since) == 0, "nobody was left to resign")?;
    let cause = second.status().map(|router| router["cause"].clone());
    ensure(cause == Some("active-down".into()), format!("{cause:?}"))
}

/// Both families, of which the kernel forgets each on its own, on interfaces of their own.
pub(super) fn both_killed_on_a_device(rack: &Rack) -> Tested {
    let settings = format!(
        "protocol = \"vrrp3\"\naddresses = [\"{VIP}\", \"2001:db8::100\"]\nmac = \"virtual\""
    );
    rack.primary.add_address("fe80::50".parse()?, 64)?;
    let config = rack.write_config("primary", &settings)?;
    let watch = rack.primary.watch_addresses()?;
    let only = rack.daemon(&rack.primary, &config)?;
    let ips = [VIP, "2001:db8::100", "fe80::200:5eff:fe00:201"].map(str::parse);
    let ips = ips.into_iter().collect::<Result<Vec<_>, _>>()?;
    let begin = Instant::now();
    let all = |there: bool| {
        ips.iter().all(|ip| rack.primary.holds(*ip).is_ok_and(|holds| holds == there))
    };
    wait_until(LIMIT, "it has all addresses", || all(true))?;
    // Some renewals: there is one with every advert.
    let sent = || only.status().and_then(|router| router["counters"]["adverts_sent"].as_u64());
    let before = sent().ok_or("no status")?;
    wait_until(LIMIT, "five adverts", || sent().is_some_and(|sent| sent >= before + 5))?;
    for ip in &ips {
        ensure(watch.left(*ip, begin).is_none(), format!("{ip} was gone while it was renewed"))?;
    }
    let lease = millis(&only, "/lease_ms")?;
    only.kill_with_guard(&rack.primary)?;
    let dead = Instant::now();
    wait_until(LIMIT, "all addresses are gone", || all(false))?;
    for ip in &ips {
        let left = watch.left(*ip, begin).ok_or("not told of")?.saturating_duration_since(dead);
        ensure(left <= lease + LATE + MARGIN, format!("{ip} was gone after {left:?} only"))?;
    }
    Ok(())
}

pub(super) fn both_killed_without_lease(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let config = rack.configure_vrrp("primary", "priority = 200\nlease = \"off\"")?;
    let first = rack.daemon(&rack.primary, &config)?;
    first.wait_for_state("active")?;
    let since = Instant::now();
    first.kill_with_guard(&rack.primary)?;
    // Longer than a lease would be, as the kernel itself counts it.
    let mut another = Command::new("ip");
    another.args("address add 192.0.2.9/32 dev eth0 valid_lft 5 preferred_lft 0".split(' '));
    let (code, text) = told(&run_on(&rack.primary, another)?);
    ensure(code == Some(0), text)?;
    let there = || rack.primary.holds([192, 0, 2, 9].into());
    wait_until(LIMIT, "the kernel drops an address of 5 s", || there().is_ok_and(|it| !it))?;
    ensure(scene.primary.left(since).is_none(), "nobody was left to remove it")?;
    let mut cleanup = carp();
    cleanup.arg("cleanup").arg("-c").arg(&config);
    let (code, text) = told(&run_on(&rack.primary, cleanup)?);
    ensure(code == Some(0) && text.contains(VIP), text)?;
    ensure(!serves(&rack.primary), "cleanup removes it")
}

/// While it is renewed, no observer sees it go, and the client is answered.
pub(super) fn never_interrupted(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, _second) = pair(&scene)?;
    let since = Instant::now();
    wait_until(LIMIT, "nine adverts", || scene.primary.adverts(since).len() >= 9)?;
    // Four leases have passed, and it still has what one is.
    let mut list = Command::new("ip");
    list.args(["-o", "address", "show", "to", VIP]);
    let (_, listed) = told(&run_on(&rack.primary, list)?);
    let finite = ["valid_lft 2sec", "valid_lft 1sec"].iter().any(|left| listed.contains(left));
    ensure(finite, format!("no lease of 2 s: {listed}"))?;
    ensure(scene.primary.left(since).is_none(), "the address was gone for a moment")?;
    let answer = scene.client.ask(vip(), LIMIT)?;
    ensure(answer.as_deref() == Some("primary"), format!("answered by {answer:?}"))?;
    let transitions = first.status().map(|router| router["transitions"].clone());
    ensure(transitions == Some(2.into()), format!("{transitions:?} transitions"))
}

/// Nothing runs on the host for ten seconds: the other takes over, and the frozen one does not fight.
pub(super) fn frozen(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    let (lease, patience) = (millis(&first, "/lease_ms")?, patience(&second)?);
    hears(&second)?;
    let since = freeze(rack)?;
    let frozen = Instant::now();
    scene.wait_until_served_by(&rack.secondary)?;
    let gone = scene.primary.left(since).ok_or("the address has not left")?;
    ensure(gone - since >= EARLIEST, "it has gone, and not by its lease")?;
    let gone = gone.saturating_duration_since(frozen);
    ensure(gone <= lease + LATE + MARGIN, format!("gone after {gone:?} only"))?;
    let both = scene.both_held(since);
    let allowed = (lease + LATE).saturating_sub(patience) + TOLD_LATE;
    ensure(both <= allowed, format!("both had it for {both:?}, and not at the most {allowed:?}"))?;
    thread::sleep(FREEZE.saturating_sub(frozen.elapsed()));
    let thawed = thaw(rack)?;
    // It preempts, but it listens first: its first advert is not one of before.
    scene.wait_until_served_by(&rack.primary)?;
    let back = scene.primary.addresses.came(vip(), thawed).ok_or("it has not come back")?;
    let events = told(&first.ask(&["events"])?).1;
    ensure(events.contains("active -> backup") && events.contains("(paused)"), events)?;
    ensure(announces(&scene, thawed, back), "it announces the address when it has it again")
}

/// Whether the primary announced the address when it came back, which its observer may be told late.
fn announces(scene: &Scene<'_>, thawed: Instant, back: Instant) -> bool {
    let announced = scene.primary.announcements(thawed);
    announced.iter().any(|at| *at + TOLD_LATE >= back)
}

/// Nobody else is there: it listens, and serves again.
pub(super) fn frozen_alone(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let config = rack.configure_vrrp("primary", "priority = 200")?;
    let only = rack.daemon(&rack.primary, &config)?;
    scene.wait_until_served_by(&rack.primary)?;
    let since = freeze(rack)?;
    let frozen = Instant::now();
    wait_until(LIMIT, "the kernel drops the address", || scene.primary.left(since).is_some())?;
    thread::sleep(FREEZE.saturating_sub(frozen.elapsed()));
    let thawed = thaw(rack)?;
    let answered = || scene.first_answer(thawed, &rack.primary).is_some();
    wait_until(LIMIT, "the client is answered again", || serves(&rack.primary) && answered())?;
    let back = scene.primary.addresses.came(vip(), thawed).ok_or("it has not come back")?;
    ensure(announces(&scene, thawed, back), "it announces the address")?;
    let first_advert = scene.primary.adverts(thawed).into_iter().next().ok_or("no advert")?;
    let listened = first_advert.saturating_duration_since(thawed);
    ensure(listened >= LISTENS, format!("it advertised {listened:?} after the freeze"))?;
    let events = told(&only.ask(&["events"])?).1;
    ensure(events.contains("(paused)"), events)
}

/// Stops every process of the primary, as a hypervisor does with a machine; since when.
fn freeze(rack: &Rack) -> Result<Instant, Failed> {
    let since = Instant::now();
    run_on_machine(&rack.primary, "kill -STOP -1")?;
    Ok(since)
}

fn thaw(rack: &Rack) -> Result<Instant, Failed> {
    let thawed = Instant::now();
    run_on_machine(&rack.primary, "kill -CONT -1")?;
    Ok(thawed)
}

fn hears(backup: &Daemon) -> Tested {
    Ok(wait_until(LIMIT, "it hears the active router", || {
        backup.status().is_some_and(|router| router["peers"][0]["address"].is_string())
    })?)
}

/// How long a backup waits for adverts.
fn patience(daemon: &Daemon) -> Result<Duration, Failed> {
    millis(daemon, "/timers/active_down_ms")
}

/// A time in the status of a router.
fn millis(daemon: &Daemon, pointer: &str) -> Result<Duration, Failed> {
    let status = daemon.status().ok_or("no status")?;
    let millis = status.pointer(pointer).and_then(serde_json::Value::as_f64);
    let millis = millis.ok_or_else(|| format!("no {pointer} in {status}"))?;
    Ok(Duration::from_secs_f64(millis / 1_000.0))
}
