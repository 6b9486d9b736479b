//! Starting, stopping and starting again (chapter A).

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use carp_node::lab::{AddressWatch, Frame, Host, Process, Signal, Tap, mac, wait_until};
use libtest_mimic::Failed;

use crate::scene::{Scene, vip};
use crate::supervisor::{KillMode, Unit};
use crate::support::{
    Daemon, LIMIT, Rack, Test, Tested, carp, claims, ensure, run_on, run_on_machine, told,
};

pub(crate) const TESTS: &[Test] = &[
    ("f1_a_graceful_stop_costs_the_client_nothing", graceful_stop),
    ("f1_a_restart_of_a_backup_is_invisible", backup_restarts),
    ("f1_a_restart_of_the_active_router_is_a_handover_there_and_back", active_restarts),
    ("f13_a_state_directory_that_cannot_be_used_stops_nothing", unusable_state),
    ("f14_a_damaged_state_file_is_told_and_stops_nothing", damaged_state),
    ("f15_a_host_that_reboots_quickly_listens_before_it_claims", reboot_preempting),
    ("f15_a_host_that_reboots_quickly_stays_backup_without_preempt", reboot_modest),
    ("f16_of_two_that_start_together_one_becomes_active", two_together),
    ("f16_of_three_that_start_together_one_becomes_active", three_together),
    ("f17_starts_that_are_killed_anywhere_leave_nothing_for_long", interrupted_starts),
    ("f18_a_crash_loop_does_not_preempt_at_each_start", crash_loop),
    ("f19_a_second_daemon_for_the_same_routers_is_refused", second_daemon),
];

/// What a loaded machine may add to any time; less than the skew time that would be lost otherwise.
const MARGIN: Duration = Duration::from_millis(800);

/// Two VRRP routers with an advert a second, of which the primary is the better one and serves, as
/// units. The secondary's skew time is the longest that there is.
fn units<'a>(scene: &Scene<'a>, kill_mode: KillMode) -> Result<(Unit<'a>, Unit<'a>), Failed> {
    let rack = scene.rack;
    let better = rack.configure_vrrp("primary", "priority = 200")?;
    let mut first = Unit::new(&rack.primary, better, kill_mode)?;
    let worse = rack.configure_vrrp("secondary", "priority = 1")?;
    let mut second = Unit::new(&rack.secondary, worse, kill_mode)?;
    first.start()?;
    second.start()?;
    scene.wait_until_served_by(&rack.primary)?;
    Ok((first, second))
}

/// The successor's skew time is almost a second, and the one that stops serves meanwhile.
fn graceful_stop(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (mut first, _second) = units(&scene, KillMode::ControlGroup)?;
    let since = Instant::now();
    first.stop()?;
    scene.wait_until_served_by(&rack.secondary)?;
    let resigned = scene.primary.resignations(since);
    ensure((1..=2).contains(&resigned), format!("{resigned} resignations"))?;
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))
}

fn backup_restarts(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (_first, mut second) = units(&scene, KillMode::ControlGroup)?;
    let heard = scene.client.tap()?;
    let since = Instant::now();
    for _ in 0..3 {
        second.restart()?;
    }
    let last = Instant::now();
    wait_until(LIMIT, "three adverts", || scene.primary.adverts(last).len() >= 3)?;
    let of_primary = heard.frames().iter().filter(|it| speaks_of_it(it, &rack.primary)).count();
    ensure(of_primary >= 3, "the client hears adverts")?;
    let loud = heard.frames().iter().filter(|frame| speaks_of_it(frame, &rack.secondary)).count();
    ensure(loud == 0, format!("the client has heard it {loud} times"))?;
    for server in [&scene.primary, &scene.secondary] {
        let changes = server.addresses.changes();
        let late: Vec<_> = changes.iter().filter(|change| change.at >= since).collect();
        ensure(late.is_empty(), format!("addresses changed: {late:?}"))?;
    }
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))
}

/// Whether a host advertises or says to have the address, by this frame.
fn speaks_of_it(frame: &Frame, host: &Host) -> bool {
    let of_it = frame.advert().is_some() || frame.answer() == Some(vip());
    frame.source() == Some(host.mac()) && of_it
}

/// The longest overlap of a handover: an interval and a second.
const HANDOVER: Duration = Duration::from_secs(2);

/// In the order of `KillMode=mixed`; the other one is that of the graceful stop.
fn active_restarts(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (mut first, _second) = units(&scene, KillMode::Mixed)?;
    let since = Instant::now();
    first.restart()?;
    ensure(scene.secondary.addresses.came(vip(), since).is_some(), "the secondary took over")?;
    ensure(!scene.secondary.announcements(since).is_empty(), "and said so")?;
    ensure(scene.first_answer(since, &rack.secondary).is_some(), "and answered")?;
    scene.wait_until_served_by(&rack.primary)?;
    let unserved = scene.unserved(since);
    let both = scene.both_held(since);
    println!("both had the address for {both:?}");
    ensure(both < 2 * HANDOVER, format!("both had the address for {both:?}"))?;
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))?;
    let resigned = scene.primary.resignations(since);
    ensure((1..=2).contains(&resigned), format!("{resigned} resignations"))
}

fn unusable_state(rack: &Rack) -> Tested {
    rack.write("primary.state", "a file where the directory should be", 0o600)?;
    serves_and_says(rack, "primary.state/addresses: Not a directory")
}

fn damaged_state(rack: &Rack) -> Tested {
    std::fs::create_dir(rack.path("primary.state"))?;
    rack.write("primary.state/addresses", "eth0 192.168.130.100", 0o600)?;
    serves_and_says(rack, "primary.state/addresses is damaged: it does not begin as version 1 does")
}

/// That a daemon has the address, and has told a fault as an event.
fn serves_and_says(rack: &Rack, words: &str) -> Tested {
    let config = rack.configure_vrrp("primary", "interval = \"100ms\"")?;
    let daemon = rack.daemon(&rack.primary, &config)?;
    wait_until(LIMIT, "it serves", || rack.primary.has_address(vip()).unwrap_or(false))?;
    let (code, text) = told(&daemon.ask(&["events"])?);
    ensure(code == Some(0) && text.contains(words), text)
}

/// Its active-down interval is 3.22 s, and the other one's 3.61 s.
const LISTENS: Duration = Duration::from_secs(3);

fn reboot_preempting(rack: &Rack) -> Tested {
    let Rebooted { host, addresses, started, secondary, heard, _daemons } =
        reboot(rack, "priority = 200")?;
    wait_until(LIMIT, "it serves again", || host.has_address(vip()).unwrap_or(false))?;
    wait_until(LIMIT, "and only it", || {
        secondary.holdings(vip()).iter().all(|it| it.to.is_some())
    })?;
    let claims = || adverts_of(&heard, REBORN, started);
    wait_until(LIMIT, "it has advertised five times", || claims().len() >= 5)?;
    let listened = claims()[0].saturating_duration_since(started);
    ensure(listened >= LISTENS, format!("it listened for {listened:?} only"))?;
    let (mine, theirs) = (addresses.holdings(vip()).len(), secondary.holdings(vip()).len());
    // Whether the secondary has missed it at all depends on how soon it was up.
    ensure(mine == 1 && theirs <= 1, format!("taken {mine} and {theirs} times"))
}

fn reboot_modest(rack: &Rack) -> Tested {
    let Rebooted { addresses, started, secondary, heard, _daemons, .. } =
        reboot(rack, "priority = 200\npreempt = false")?;
    wait_until(LIMIT, "the secondary has advertised five times", || {
        adverts_of(&heard, crate::support::SECONDARY, started).len() >= 5
    })?;
    ensure(adverts_of(&heard, REBORN, started).is_empty(), "it has advertised")?;
    ensure(addresses.holdings(vip()).is_empty(), "it has taken the address")?;
    let taken = secondary.holdings(vip());
    ensure(taken.len() == 1 && taken[0].to.is_none(), format!("{taken:?}"))
}

/// The host that reboots.
const REBORN: &str = "192.168.130.51";

struct Rebooted {
    host: Host,
    /// What came to it and left it since.
    addresses: AddressWatch,
    /// When its daemon was started again.
    started: Instant,
    /// What came to the secondary and left it.
    secondary: AddressWatch,
    /// What the secondary heard and sent.
    heard: Tap,
    _daemons: [Daemon; 2],
}

/// A host that is active loses power, and is up again before anybody has missed it.
fn reboot(rack: &Rack, settings: &str) -> Result<Rebooted, Failed> {
    let mut host = rack.switch.host("reborn", mac(0x51), &[&format!("{REBORN}/24")])?;
    let (secondary, heard) = (rack.secondary.watch_addresses()?, rack.secondary.tap()?);
    let config = rack.configure_vrrp("reborn", settings)?;
    let first = rack.daemon(&host, &config)?;
    first.wait_for_state("active")?;
    let other = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", "")?)?;
    let since = Instant::now();
    wait_until(LIMIT, "it is heard twice", || adverts_of(&heard, REBORN, since).len() >= 2)?;
    host.power_off()?;
    drop(first);
    host.boot()?;
    let addresses = host.watch_addresses()?;
    let started = Instant::now();
    let again = rack.daemon(&host, &config)?;
    Ok(Rebooted { host, addresses, started, secondary, heard, _daemons: [again, other] })
}

/// When a host's adverts that claim the address were heard, since then.
fn adverts_of(heard: &Tap, host: &str, since: Instant) -> Vec<Instant> {
    let is_one = |frame: &&Frame| {
        let source = frame.advert_source().map(|source| source.to_string());
        frame.at >= since && claims(frame) && source.as_deref() == Some(host)
    };
    heard.frames().iter().filter(is_one).map(|frame| frame.at).collect()
}

fn two_together(rack: &Rack) -> Tested {
    start_together(&[(&rack.primary, 254), (&rack.secondary, 1)], rack)
}

fn three_together(rack: &Rack) -> Tested {
    let third = rack.switch.host("third", mac(0x77), &["192.168.130.77/24"])?;
    start_together(&[(&rack.primary, 254), (&third, 128), (&rack.secondary, 1)], rack)
}

/// Starts daemons of these priorities in the same moment, and sees that one of them becomes active, once.
fn start_together(hosts: &[(&Host, u8)], rack: &Rack) -> Tested {
    let watches = hosts.iter().map(|(host, _)| host.watch_addresses());
    let watches: Vec<_> = watches.collect::<Result<_, _>>()?;
    let heard = rack.primary.tap()?;
    let mut commands = Vec::new();
    for (host, priority) in hosts {
        let settings = format!("priority = {priority}\npreempt = false");
        let config = rack.configure_vrrp(host.name(), &settings)?;
        commands.push(run(&config));
    }
    let started: Result<Vec<_>, _> =
        hosts.iter().zip(commands).map(|((host, _), command)| host.spawn(command)).collect();
    let _daemons = started?;
    let since = Instant::now();
    let adverts = || heard.frames().iter().filter(|it| it.at >= since && claims(it)).count();
    wait_until(LIMIT, "ten adverts", || adverts() >= 10)?;
    let holdings: Vec<_> = watches.iter().flat_map(|watch| watch.holdings(vip())).collect();
    ensure(holdings.len() == 1, format!("the address was taken {} times", holdings.len()))?;
    ensure(holdings[0].to.is_none(), "it was given back")
}

/// `carp run` of a configuration.
fn run(config: &PathBuf) -> Command {
    let mut command = carp();
    command.arg("run").arg("-c").arg(config).arg("--socket").arg(config.with_extension("sock"));
    command
}

/// How often a start is killed.
const KILLS: u32 = 100;

/// The daemon, its guard and its runner are killed at once, at times that are spread over a start and a
/// half. Addresses at a link-layer address of their own leave the most: a device, its address, and the
/// settings of its parent.
fn interrupted_starts(rack: &Rack) -> Tested {
    let host = &rack.primary;
    let config = rack.configure_vrrp("primary", "interval = \"10ms\"\nmac = \"virtual\"")?;
    let clean = inventory(host)?;
    let holds = || host.holds(vip()).unwrap_or(false);
    let since = Instant::now();
    let daemon = host.spawn(run(&config))?;
    wait_until(LIMIT, "it serves", holds)?;
    let start = since.elapsed();
    daemon.signal(Signal::TERM)?;
    daemon.wait(LIMIT)?;
    ensure(inventory(host)? == clean, "an orderly stop leaves nothing")?;
    let mut strays = 0;
    for kill in 1..=KILLS {
        let daemon = host.spawn(run(&config))?;
        std::thread::sleep(start * 3 / 2 * kill / KILLS);
        kill_all(host, &daemon)?;
        strays += u32::from(inventory(host)? != clean);
        if kill % 10 == 0 {
            let mut cleanup = carp();
            cleanup.arg("cleanup").arg("-c").arg(&config);
            let (code, text) = told(&run_on(host, cleanup)?);
            ensure(code == Some(0), format!("after kill {kill}: {code:?} {text}"))?;
            let left = inventory(host)?;
            ensure(left == clean, format!("after kill {kill}: {left} is not {clean}"))?;
        }
    }
    println!("a start takes {start:?}; after {strays} of {KILLS} kills something was there");
    ensure(strays > 0, "no start was killed late enough to leave anything")?;
    cleaned_by_a_backup(rack, &config)
}

/// Kills everything on a host, and waits for the end of the daemon: until then it has its locks.
fn kill_all(host: &Host, daemon: &Process) -> Tested {
    run_on_machine(host, "kill -KILL -1")?;
    daemon.wait(LIMIT)?;
    Ok(())
}

/// What a killed daemon left goes at the next start, also of one that stays backup.
fn cleaned_by_a_backup(rack: &Rack, config: &PathBuf) -> Tested {
    let host = &rack.primary;
    let killed = host.spawn(run(config))?;
    let holds = || host.holds(vip()).unwrap_or(false);
    wait_until(LIMIT, "it serves", holds)?;
    kill_all(host, &killed)?;
    ensure(holds(), "the test is set up")?;
    let better = "interval = \"10ms\"\npriority = 200";
    let other = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", better)?)?;
    other.wait_for_state("active")?;
    let heard = host.tap_sent()?;
    let next = rack.daemon(host, config)?;
    wait_until(LIMIT, "the address is gone", || !holds())?;
    next.wait_for_state("backup")?;
    ensure(!heard.frames().iter().any(claims), "it has advertised")
}

/// The interfaces of a host, their addresses, and what carp may set on `eth0`.
fn inventory(host: &Host) -> Result<String, Failed> {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(
        "ip -o link | cut -d: -f2; ip -o address | awk '{ print $2, $4 }'; \
         cd /proc/sys/net/ipv4/conf/eth0; cat arp_ignore arp_announce promote_secondaries",
    );
    let (code, text) = told(&run_on(host, shell)?);
    ensure(code == Some(0), text.clone())?;
    Ok(text)
}

/// How often the primary crashes, and how long it lives each time: three times as long as it takes to
/// preempt without a delay.
const LIVES: (u32, Duration) = (10, Duration::from_secs(1));

fn crash_loop(rack: &Rack) -> Tested {
    let delay = Duration::from_secs(5);
    let scene = Scene::new(rack)?;
    let quick = "interval = \"100ms\"";
    let _second = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", quick)?)?;
    wait_until(LIMIT, "the secondary serves", || {
        rack.secondary.has_address(vip()).unwrap_or(false)
    })?;
    let settings = format!("{quick}\npriority = 200\npreempt_delay = \"5s\"");
    let config = rack.configure_vrrp("primary", &settings)?;
    let mut first = Unit::new(&rack.primary, config, KillMode::ControlGroup)?;
    let since = Instant::now();
    for _ in 0..LIVES.0 {
        first.start()?;
        std::thread::sleep(LIVES.1);
        first.crash()?;
    }
    ensure(scene.primary.addresses.came(vip(), since).is_none(), "it has preempted")?;
    ensure(scene.secondary.left(since).is_none(), "the secondary has given way")?;
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))?;
    let last = Instant::now();
    first.start()?;
    scene.wait_until_served_by(&rack.primary)?;
    let came = scene.primary.addresses.came(vip(), last).ok_or("it did not preempt")?;
    let waited = came.saturating_duration_since(last);
    ensure(waited >= delay, format!("it preempted after {waited:?}"))
}

fn second_daemon(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, _second) = units(&scene, KillMode::ControlGroup)?;
    let since = Instant::now();
    let config = rack.path("primary.toml");
    let mut again = carp();
    again.arg("run").arg("-c").arg(&config).arg("--socket").arg(rack.path("other.sock"));
    // What systemd would run after it.
    let mut cleanup = carp();
    cleanup.arg("cleanup").arg("-c").arg(&config);
    for (command, words) in [
        (again, "another daemon already runs vrrp3 id 1 on eth0"),
        (cleanup, "web: its daemon is running"),
    ] {
        let (code, text) = told(&run_on(&rack.primary, command)?);
        ensure(code == Some(6) && text.contains(words), format!("{code:?} {text}"))?;
    }
    let refused = Instant::now();
    wait_until(LIMIT, "three adverts", || scene.primary.adverts(refused).len() >= 3)?;
    ensure(scene.primary.left(since).is_none(), "the address has left")?;
    ensure(scene.primary.resignations(since) == 0, "it was resigned")?;
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))?;
    ensure(first.daemon()?.status().is_some(), "the first daemon answers")
}
