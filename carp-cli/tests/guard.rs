//! The guard: what becomes of an address when its daemon dies, hangs or is told to stop.
//!
//! The verdicts are those of outside observers: the addresses of the hosts by netlink, and a tap on the
//! switch.

#[path = "support/embed.rs"]
mod embed;
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::fs;
use std::net::IpAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use carp_node::lab::{Frame, Process, Signal, Tap, wait_until};
use carp_proto::CarpInterval;
use carp_proto::wire::vrrp::v3;
use carp_proto::wire::{ethernet, ip};
use libtest_mimic::Failed;
use support::{
    Daemon, LIMIT, PRIMARY, Rack, SECONDARY, Test, Tested, VIP, carp, ensure, has, run_on,
    run_on_machine, serves, told, wait_for_owner, with_dependent,
};

const TESTS: &[Test] = &[
    ("a_killed_daemon_loses_its_address_and_the_successor_serves_at_once", killed),
    ("a_stopped_daemon_is_killed_and_nothing_of_it_wakes", stopped),
    ("a_protocol_task_that_panics_is_as_good_as_killed", panicked),
    ("a_protocol_task_that_hangs_is_killed", hung),
    ("a_peer_is_told_by_unicast", resigns_to_a_peer),
    ("the_group_of_ipv6_is_told_too", resigns_over_ipv6),
    ("a_dead_guard_is_replaced_and_the_new_one_guards", guard_killed),
    ("a_stopped_guard_is_replaced_too", guard_stopped),
    ("with_both_killed_and_no_lease_the_address_stays_until_cleanup", both_killed),
    ("the_stop_order_of_a_service_manager_is_a_handover", stop_order),
    ("a_guard_ignores_the_signals_that_mean_the_daemon", ignored_signals),
    ("without_an_address_the_guard_does_nothing", nothing_held),
    ("a_foreign_address_stays_and_is_not_resigned", foreign),
    ("other_addresses_of_the_subnet_stay", secondaries_stay),
    ("a_guard_has_two_capabilities_and_its_sockets", poor),
    ("a_guard_sleeps_while_nothing_is_held", sleeps),
];

fn main() -> ExitCode {
    if let Some(status) = embed::init() {
        return status;
    }
    support::main(&[TESTS])
}

const FIRST: &str = "advskew = 0\npreempt = true";
const SECOND: &str = "advskew = 100";

/// The longest heartbeat limit.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// What a loaded machine may add: a CARP router takes over at once when it hears a resignation. With all
/// of it, a takeover is still sooner than one by silence, which takes more than 3 s.
const MARGIN: Duration = Duration::from_millis(1_500);

/// A pair of daemons of which the first is active, and a tap on its port.
fn pair(rack: &Rack) -> Result<(Daemon, Daemon, Tap), Failed> {
    pair_with(rack, FIRST)
}

/// A pair of which the first has these settings.
fn pair_with(rack: &Rack, settings: &str) -> Result<(Daemon, Daemon, Tap), Failed> {
    let tap = rack.primary.tap()?;
    let first = rack.daemon(&rack.primary, &rack.configure("primary", settings)?)?;
    let second = successor(rack)?;
    first.wait_for_state("active")?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)?;
    hears(&second, PRIMARY)?;
    Ok((first, second, tap))
}

fn successor(rack: &Rack) -> Result<Daemon, Failed> {
    rack.daemon(&rack.secondary, &rack.configure("secondary", SECOND)?)
}

fn hears(daemon: &Daemon, peer: &str) -> Tested {
    Ok(wait_until(LIMIT, "it hears the active router", || {
        daemon.status().is_some_and(|router| router["peers"][0]["address"] == peer)
    })?)
}

/// Waits until the secondary serves and the primary does not, and checks the order and the time.
fn succeeds(rack: &Rack, second: &Daemon, since: Instant, limit: Duration) -> Tested {
    let (mut gone, mut both) = (None, false);
    wait_until(LIMIT, "the secondary serves, and only it", || {
        // In this order: what the secondary has when the primary is looked at, both have.
        let (taken, left) = (serves(&rack.secondary), serves(&rack.primary));
        if !left {
            gone.get_or_insert_with(|| since.elapsed());
        }
        both |= taken && left;
        taken && !left
    })?;
    let (gone, served) = (gone.unwrap_or_default(), since.elapsed());
    ensure(!both, "both had the address")?;
    let cause = second.status().map(|router| router["cause"].clone());
    ensure(cause == Some("resigned".into()), format!("{cause:?}"))?;
    println!("gone after {gone:?}, served after {served:?}");
    ensure(served < limit + MARGIN, format!("served after {served:?} only"))
}

/// How many resignations a host has sent.
fn resignations(tap: &Tap, host: &str) -> usize {
    let from = |ip: IpAddr| ip.to_string() == host;
    let frames = tap.frames();
    let adverts = frames.iter().filter_map(Frame::carp);
    adverts.filter(|(ip, it)| from(*ip) && it.interval == CarpInterval::RESIGN).count()
}

/// How many adverts a host has sent since that claim the address.
fn claims(tap: &Tap, host: &str, since: Instant) -> usize {
    let frames = tap.frames();
    let later = frames.iter().filter(|frame| frame.at > since);
    let adverts = later.filter_map(Frame::carp);
    adverts.filter(|(ip, it)| ip.to_string() == host && it.interval != CarpInterval::RESIGN).count()
}

fn killed(rack: &Rack) -> Tested {
    let (first, second, tap) = pair(rack)?;
    let since = Instant::now();
    first.process.signal(Signal::KILL)?;
    succeeds(rack, &second, since, Duration::ZERO)?;
    wait_until(LIMIT, "the resignation is repeated", || resignations(&tap, PRIMARY) == 2)?;
    ensure(has(&rack.primary, PRIMARY), "the host's own address stays")?;
    first
        .process
        .wait_for_line(LIMIT, "carp-guard: the daemon died: 1 addresses removed, 1 res")?;
    // The supervisor's part, once the process has ended: it comes back as a backup first.
    first.process.wait(LIMIT)?;
    let again = rack.daemon(&rack.primary, &rack.path("primary.toml"))?;
    again.wait_for_state("active")?;
    wait_for_owner("the primary serves again", &rack.primary, &rack.secondary)
}

fn stopped(rack: &Rack) -> Tested {
    let (first, second, tap) = pair(rack)?;
    let since = Instant::now();
    first.process.pause()?;
    succeeds(rack, &second, since, HEARTBEAT)?;
    let taken = Instant::now();
    first.process.resume()?;
    let status = first.process.wait(LIMIT)?;
    ensure(status.signal() == Some(9), format!("{status}"))?;
    // An interval and a half: an old daemon that woke would have advertised.
    wait_until(LIMIT, "the secondary advertises twice", || claims(&tap, SECONDARY, taken) >= 2)?;
    ensure(claims(&tap, PRIMARY, taken) == 0, "the old daemon has advertised")?;
    ensure(!serves(&rack.primary), "the address came back")
}

fn embedded(rack: &Rack) -> Result<(Process, Daemon, PathBuf), Failed> {
    let (first, directory) = embed::start(rack, embed::CARP)?;
    let second = successor(rack)?;
    wait_for_owner("the embedded daemon serves", &rack.primary, &rack.secondary)?;
    hears(&second, PRIMARY)?;
    Ok((first, second, directory))
}

fn panicked(rack: &Rack) -> Tested {
    let (first, second, directory) = embedded(rack)?;
    fs::write(directory.join("panic"), "")?;
    first.wait_for_line(LIMIT, "panicked at")?;
    succeeds(rack, &second, Instant::now(), Duration::ZERO)?;
    let status = first.wait(LIMIT)?;
    // On a busy machine the backtrace takes longer than the guard waits.
    ensure(status.code() == Some(101) || status.signal() == Some(9), format!("{status}"))
}

fn hung(rack: &Rack) -> Tested {
    let (first, second, directory) = embedded(rack)?;
    fs::write(directory.join("hang"), "")?;
    first.wait_for_line(LIMIT, "hanging")?;
    succeeds(rack, &second, Instant::now(), HEARTBEAT)?;
    let status = first.wait(LIMIT)?;
    ensure(status.signal() == Some(9), format!("{status}"))?;
    first.wait_for_line(LIMIT, "did not answer and was killed: 1 addresses removed")?;
    Ok(())
}

fn resigns_to_a_peer(rack: &Rack) -> Tested {
    let tap = rack.secondary.tap()?;
    let (first, _) = embed::start(rack, embed::UNICAST)?;
    wait_until(LIMIT, "the embedded daemon serves", || serves(&rack.primary))?;
    first.signal(Signal::KILL)?;
    wait_until(LIMIT, "the address is gone", || !serves(&rack.primary))?;
    let to_peer = |frame: &Frame| {
        let (_, advert) = frame.carp()?;
        let unicast = frame.bytes.starts_with(&rack.secondary.mac().0);
        (advert.interval == CarpInterval::RESIGN && unicast).then_some(())
    };
    let count = || tap.frames().iter().filter_map(to_peer).count();
    Ok(wait_until(LIMIT, "the peer is told twice", || count() == 2)?)
}

fn resigns_over_ipv6(rack: &Rack) -> Tested {
    let tap = rack.primary.tap()?;
    rack.primary.add_address("fe80::50".parse()?, 64)?;
    let (first, _) = embed::start(rack, embed::VRRP_IPV6)?;
    wait_until(LIMIT, "the embedded daemon serves", || has(&rack.primary, embed::VIP_IPV6))?;
    first.signal(Signal::KILL)?;
    wait_until(LIMIT, "the addresses are gone", || {
        !has(&rack.primary, embed::VIP_IPV6) && !has(&rack.primary, "fe80::100")
    })?;
    ensure(has(&rack.primary, "fe80::50"), "the host's own address stays")?;
    let resignation = |frame: &Frame| {
        let (meta, message) = ip::strip_ipv6(frame.bytes.get(ethernet::HEADER_LEN..)?).ok()?;
        let parsed = v3::parse(&meta, message).ok()?;
        let good = meta.ttl == 255 && parsed.checksum.is_ok();
        (good && parsed.advert.priority.is_resignation()).then_some(())
    };
    let count = || tap.frames().iter().filter_map(resignation).count();
    Ok(wait_until(LIMIT, "the group is told twice", || count() == 2)?)
}

fn guard_killed(rack: &Rack) -> Tested {
    let (first, second, _tap) = pair(rack)?;
    for round in 1..=2_u64 {
        let (_, guard) = first.pids()?;
        run_on_machine(&rack.primary, &format!("kill -KILL {guard}"))?;
        wait_until(LIMIT, "another guard", || {
            first.report().is_some_and(|report| {
                report["guard"]["restarts"] == round && !report["guard"]["pid"].is_null()
            })
        })?;
        let (_, other) = first.pids()?;
        ensure(other != guard, "it is another process")?;
        let line = format!("the guard (process {guard}) died: process {other} guards now");
        ensure(told(&first.ask(&["events"])?).1.contains(&line), line)?;
    }
    ensure(serves(&rack.primary), "the daemon serves on")?;
    let since = Instant::now();
    first.process.signal(Signal::KILL)?;
    succeeds(rack, &second, since, Duration::ZERO)
}

fn guard_stopped(rack: &Rack) -> Tested {
    let (first, second, _tap) = pair(rack)?;
    let (_, guard) = first.pids()?;
    run_on_machine(&rack.primary, &format!("kill -STOP {guard}"))?;
    let line = format!("the guard (process {guard}) did not watch and was killed: process");
    wait_until(LIMIT, "another guard", || {
        first.ask(&["events"]).is_ok_and(|events| told(&events).1.contains(&line))
    })?;
    ensure(serves(&rack.primary), "the daemon serves on")?;
    let since = Instant::now();
    first.process.signal(Signal::KILL)?;
    succeeds(rack, &second, since, Duration::ZERO)
}

fn both_killed(rack: &Rack) -> Tested {
    let (first, second, tap) = pair_with(rack, &format!("{FIRST}\nlease = \"off\""))?;
    let lease = first.status().map(|router| router["lease_ms"].clone());
    ensure(lease == Some(serde_json::Value::Null), format!("a lease of {lease:?}"))?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active")?;
    ensure(serves(&rack.primary), "nobody was left to remove it")?;
    ensure(resignations(&tap, PRIMARY) == 0, "nobody was left to resign")?;
    let mut cleanup = carp();
    cleanup.arg("cleanup").arg("-c").arg(rack.path("primary.toml"));
    let (code, text) = told(&run_on(&rack.primary, cleanup)?);
    ensure(code == Some(0), text)?;
    ensure(!serves(&rack.primary), "cleanup removes it")
}

fn stop_order(rack: &Rack) -> Tested {
    let (first, second, _tap) = pair(rack)?;
    let (daemon, guard) = first.pids()?;
    let runner = first.report().and_then(|report| report["runner"]["pid"].as_u64());
    let runner = runner.ok_or("no runner")?;
    // As `KillMode=control-group` does it, in any order.
    run_on_machine(&rack.primary, &format!("kill -TERM {guard} {runner} {daemon}"))?;
    let status = first.process.wait(LIMIT)?;
    ensure(status.success(), format!("{status}: {}", first.process.said()))?;
    wait_for_owner("the secondary serves", &rack.secondary, &rack.primary)?;
    let cause = second.status().map(|router| router["cause"].clone());
    ensure(cause == Some("resigned".into()), format!("{cause:?}"))?;
    ensure(!first.process.said().contains("carp-guard"), "the guard had nothing to do")?;
    run_on_machine(&rack.primary, &format!("! kill -0 {guard} 2>/dev/null"))
}

fn ignored_signals(rack: &Rack) -> Tested {
    let (first, second, _tap) = pair(rack)?;
    let (_, guard) = first.pids()?;
    let kills: Vec<_> = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "PIPE"]
        .map(|signal| format!("kill -{signal} {guard}"))
        .to_vec();
    run_on_machine(&rack.primary, &kills.join(" && "))?;
    let since = Instant::now();
    first.process.signal(Signal::KILL)?;
    succeeds(rack, &second, since, Duration::ZERO)?;
    ensure(!first.process.said().contains("the guard (process"), "it was the same guard")
}

fn nothing_held(rack: &Rack) -> Tested {
    let (first, second, _) = pair(rack)?;
    let tap = rack.secondary.tap()?;
    let (_, guard) = second.pids()?;
    let before = first.status().map(|router| router["transitions"].clone());
    second.kill()?;
    let gone =
        format!("for i in $(seq 400); do kill -0 {guard} || exit 0; sleep 0.1; done; exit 1");
    run_on_machine(&rack.secondary, &gone)?;
    ensure(resignations(&tap, SECONDARY) == 0, "a backup has nothing to resign")?;
    ensure(!second.process.said().contains("carp-guard"), second.process.said())?;
    let after = first.status().map(|router| router["transitions"].clone());
    ensure(before == after && serves(&rack.primary), "the active router serves on")
}

fn foreign(rack: &Rack) -> Tested {
    rack.primary.add_address(VIP.parse()?, 24)?;
    let tap = rack.primary.tap()?;
    let first = rack.daemon(&rack.primary, &rack.configure("primary", FIRST)?)?;
    first.wait_for_state("active")?;
    let (_, guard) = first.pids()?;
    first.kill()?;
    let gone =
        format!("for i in $(seq 400); do kill -0 {guard} || exit 0; sleep 0.1; done; exit 1");
    run_on_machine(&rack.primary, &gone)?;
    ensure(serves(&rack.primary), "the address was there before us")?;
    ensure(resignations(&tap, PRIMARY) == 0, "the service is where the address is")
}

fn secondaries_stay(rack: &Rack) -> Tested {
    let only = with_dependent(rack, FIRST)?;
    ensure(has(&rack.primary, "10.7.0.9"), "the test is set up")?;
    only.kill()?;
    wait_until(LIMIT, "ours are gone", || {
        !has(&rack.primary, "10.7.0.1") && !serves(&rack.primary)
    })?;
    ensure(has(&rack.primary, "10.7.0.9"), "the other one has stayed")?;
    let mut show = Command::new("cat");
    show.arg("/proc/sys/net/ipv4/conf/eth0/promote_secondaries");
    let setting = told(&run_on(&rack.primary, show)?).1;
    ensure(setting.trim() == "0", format!("promote_secondaries is {setting}"))
}

/// Where the guard of a daemon shows itself in `/proc`.
fn proc_of_guard(daemon: &Daemon) -> Result<PathBuf, Failed> {
    let parent = format!("PPid:\t{}\n", daemon.process.id());
    for entry in fs::read_dir("/proc")?.flatten() {
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        if status.starts_with("Name:\tcarp-guard\n") && status.contains(&parent) {
            return Ok(entry.path());
        }
    }
    Err("there is no guard".into())
}

/// A number in a file of `/proc`.
fn field(path: &Path, name: &str) -> Result<u64, Failed> {
    let text = fs::read_to_string(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("no {name} in {}", path.display()).into())
}

fn poor(rack: &Rack) -> Tested {
    let only = rack.daemon(&rack.primary, &rack.configure("primary", FIRST)?)?;
    let guard = proc_of_guard(&only)?;
    let status = fs::read_to_string(guard.join("status"))?;
    // CAP_NET_ADMIN is number 12, CAP_NET_RAW number 13.
    for line in ["CapEff:\t0000000000003000\n", "CapPrm:\t0000000000003000\n", "NoNewPrivs:\t1\n"] {
        ensure(status.contains(line), format!("{line} is not in {status}"))?;
    }
    let fds = fs::read_dir(guard.join("fd"))?.flatten();
    for fd in fds.filter(|fd| fd.file_name() != "2") {
        let target = fs::read_link(fd.path())?.to_string_lossy().into_owned();
        let ours = ["socket:", "anon_inode:[pidfd]", "anon_inode:[eventfd]", "pidfd:"];
        let known = ours.iter().any(|kind| target.starts_with(kind));
        ensure(known, format!("it has {target} open"))?;
    }
    let pss = field(&guard.join("smaps_rollup"), "Pss:")?;
    let own = field(&guard.join("smaps_rollup"), "Private_Dirty:")?;
    let locked = only.report().map(|report| report["guard"]["locked"].clone());
    println!("PSS {pss} KiB, of it private and written {own} KiB, locked {locked:?}");
    // What is private and written is the relocated data of the program: the unoptimised one has more.
    let limit = if cfg!(debug_assertions) { 8 << 10 } else { 1_536 };
    ensure(pss <= limit, format!("PSS is {pss} KiB"))
}

/// How often a process has woken.
fn wakeups(process: &Path) -> Result<u64, Failed> {
    field(&process.join("status"), "voluntary_ctxt_switches:")
}

fn sleeps(rack: &Rack) -> Tested {
    let (first, second, tap) = pair(rack)?;
    let (active, backup) = (proc_of_guard(&first)?, proc_of_guard(&second)?);
    let before = (wakeups(&active)?, wakeups(&backup)?);
    let since = Instant::now();
    wait_until(LIMIT, "five adverts", || claims(&tap, PRIMARY, since) >= 5)?;
    let seconds = since.elapsed().as_secs_f64();
    let woken = (wakeups(&active)? - before.0, wakeups(&backup)? - before.1);
    println!("woken {} times while active, {} while backup, in {seconds:.1} s", woken.0, woken.1);
    ensure(woken.1 == 0, format!("the guard of a backup has woken {} times", woken.1))?;
    // Not more often than the protocol task beats.
    let limit = u64::try_from(since.elapsed().as_millis() / 333 + 2)?;
    ensure(woken.0 <= limit, format!("the guard has woken {} times", woken.0))?;
    ensure(woken.0 > 0, "it looks")
}
