//! Links, interfaces and partitions (chapter B).

use std::time::{Duration, Instant};

use carp_node::lab::{Frame, Host, Signal, mac, wait_until};
use libtest_mimic::Failed;

use crate::scene::{Scene, Watched, vip};
use crate::support::{
    Daemon, LIMIT, PRIMARY, Rack, SECONDARY, Test, Tested, VIP, claims, ensure, has, run_on,
    run_on_machine, serves,
};

pub(crate) const TESTS: &[Test] = &[
    ("f20_without_a_carrier_the_address_goes_and_the_successor_serves", carrier_loss),
    ("f21_with_the_carrier_back_it_preempts_on_the_next_advert_heard", carrier_back),
    ("f22_an_interface_that_is_switched_off_and_on_is_survived", admin_down_and_up),
    ("f23_a_link_that_flaps_counts_as_up_when_it_has_settled", flaps_held_down),
    ("f23_thirty_flaps_leave_one_address_and_one_route", flaps),
    ("f24_without_its_interface_the_daemon_waits_and_says_so", interface_deleted),
    ("f25_an_interface_made_again_is_bound_again", interface_recreated),
    ("f26_an_interface_that_is_renamed_keeps_no_address", interface_renamed),
    ("f26_who_takes_the_name_is_bound_and_not_mistaken_for_the_other", imposter),
    ("f27_the_macvlan_is_made_again_when_its_parent_returns", parent_deleted),
    ("f27_a_macvlan_that_was_moved_away_is_replaced", macvlan_moved),
    ("f28_a_new_link_layer_address_is_announced_at_once", mac_changed),
    ("f28_adverts_that_do_not_fit_the_mtu_are_a_fault", mtu_too_small),
    ("f29_a_group_that_the_kernel_forgot_is_joined_again", group_forgotten),
    ("f31_a_partition_of_a_second_heals_within_an_advert", heals_after_a_second),
    ("f31_a_partition_of_a_minute_heals_within_an_advert", heals_after_a_minute),
    ("f54_addresses_that_are_flushed_and_set_anew_do_no_lasting_harm", flushed),
    ("f55_without_an_address_of_its_own_it_steps_down_until_there_is_one", own_address_removed),
    ("f55_adverts_come_from_the_address_that_is_there", own_address_changed),
    ("f59_what_is_true_is_known_after_ten_thousand_events_were_missed", events_overrun),
];

/// What a loaded machine may add to any time. With an interval of the secondary, that is less than the primary's
/// active-down interval.
const MARGIN: Duration = Duration::from_millis(1_400);

/// The same where announcements are told apart that follow each other within a second.
const APART: Duration = Duration::from_millis(900);

/// Within this the address is gone from a host that has lost its link, but for the margin.
const RELEASED: Duration = Duration::from_millis(100);

/// The secondary's: an advert every 1 + 100/256 s, and silence for 3 + 100/256 s counts as death.
const SECONDARY_INTERVAL: Duration = Duration::from_millis(1391);
const SECONDARY_ACTIVE_DOWN: Duration = Duration::from_millis(3391);

/// The primary's active-down interval.
const PRIMARY_ACTIVE_DOWN: Duration = Duration::from_secs(3);

/// Two CARP routers, of which the primary is the better one, preempts, and serves.
struct Pair {
    first: Daemon,
    second: Daemon,
}

impl Pair {
    fn start(scene: &Scene<'_>, settings: &str) -> Result<Self, Failed> {
        let rack = scene.rack;
        let primary = rack.configure("primary", &format!("preempt = true\n{settings}"))?;
        let first = rack.daemon(&rack.primary, &primary)?;
        let secondary = rack.configure("secondary", &format!("advskew = 100\n{settings}"))?;
        let second = rack.daemon(&rack.secondary, &secondary)?;
        wait_until_held_by(scene, &rack.primary)?;
        Ok(Self { first, second })
    }

    /// The fault in the primary's status contains this.
    fn wait_for_fault(&self, text: &str) -> Tested {
        let found = || fault(&self.first).is_some_and(|fault| fault.contains(text));
        wait_until(LIMIT, &format!("the fault {text:?}"), found)
            .map_err(|error| format!("{error}: {:?}", fault(&self.first)).into())
    }
}

fn fault(daemon: &Daemon) -> Option<String> {
    Some(daemon.status()?["fault"].as_str()?.to_owned())
}

/// Waits until a server has the address on one of its interfaces, the other has not, and the client is
/// answered by it.
fn wait_until_held_by(scene: &Scene<'_>, owner: &Host) -> Tested {
    let other = scene.other(owner);
    let since = Instant::now();
    let what = format!("{} serves, and {} does not", owner.name(), other.name());
    let holds = |host: &Host| host.holds(vip()).unwrap_or(false);
    let answers = || scene.first_answer(since, owner).is_some();
    let is_so = || holds(owner) && !holds(other) && scene.is_told_of(owner) && answers();
    Ok(wait_until(LIMIT, &what, is_so)?)
}

/// Fails unless something that happened at `at` came within `limit` of `since`.
fn within(what: &str, since: Instant, at: Option<Instant>, limit: Duration) -> Tested {
    let took = at.map(|at| at.saturating_duration_since(since));
    println!("{what}: {took:?}");
    ensure(took.is_some_and(|took| took < limit + MARGIN), format!("{what}: {took:?}"))
}

/// What `ip` says on a host.
fn ip(host: &Host, arguments: &str) -> Result<String, Failed> {
    let mut command = std::process::Command::new("ip");
    command.args(arguments.split_whitespace());
    let output = run_on(host, command)?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    ensure(output.status.success(), format!("ip {arguments}: {said}"))?;
    Ok(said)
}

fn carrier_loss(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let _pair = Pair::start(&scene, "")?;
    let since = Instant::now();
    rack.primary.unplug()?;
    scene.wait_until_served_by(&rack.secondary)?;
    within("released", since, scene.primary.left(since), RELEASED)?;
    let served = scene.first_answer(since + RELEASED, &rack.secondary);
    within("served by the successor", since, served, SECONDARY_ACTIVE_DOWN)?;
    scene.never_both(since)
}

/// The secondary's next advert comes an interval after its last one at the latest.
fn carrier_back(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let _pair = Pair::start(&scene, "")?;
    rack.primary.unplug()?;
    scene.wait_until_served_by(&rack.secondary)?;
    let since = Instant::now();
    rack.primary.plug()?;
    scene.wait_until_served_by(&rack.primary)?;
    let claimed = scene.primary.adverts(since).first().copied();
    within("the first advert", since, claimed, SECONDARY_INTERVAL)?;
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))
}

fn admin_down_and_up(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let pids = pair.first.pids()?;
    let since = Instant::now();
    rack.primary.set_link(false)?;
    scene.wait_until_served_by(&rack.secondary)?;
    within("released", since, scene.primary.left(since), RELEASED)?;
    pair.wait_for_fault("eth0 is down")?;
    let since = Instant::now();
    rack.primary.set_link(true)?;
    scene.wait_until_served_by(&rack.primary)?;
    let claimed = scene.primary.adverts(since).first().copied();
    within("the first advert", since, claimed, SECONDARY_INTERVAL)?;
    ensure(pair.first.pids()? == pids, "it is the same daemon")
}

fn flap(host: &Host, times: u32) -> Tested {
    for _ in 0..times {
        host.unplug()?;
        host.plug()?;
    }
    Ok(())
}

/// What a kernel has of the address: once in the table of addresses, once in that of routes.
fn has_it_once(host: &Host) -> Tested {
    for table in ["-4 -o address show", "-4 route show table local"] {
        let said = ip(host, table)?;
        let lines = said.lines().filter(|line| line.contains(&format!(" {VIP}"))).count();
        ensure(lines == 1, format!("{table}: {said}"))?;
    }
    Ok(())
}

fn flaps_held_down(rack: &Rack) -> Tested {
    const HOLD: Duration = Duration::from_secs(4);
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "hold = { link_up = \"4s\" }")?;
    let since = Instant::now();
    flap(&rack.primary, 30)?;
    let settled = Instant::now();
    pair.wait_for_fault("4s after the link came up (hold.link_up)")?;
    scene.wait_until_served_by(&rack.primary)?;
    let held: Vec<_> = scene.primary.addresses.holdings(vip());
    let came: Vec<_> = held.iter().filter(|holding| holding.from >= since).collect();
    ensure(came.len() == 1, format!("it took the address {} times", came.len()))?;
    // The switch sees the link a moment after the host.
    let early = settled + HOLD - came[0].from.min(settled + HOLD);
    ensure(early < MARGIN, format!("{early:?} too early"))?;
    has_it_once(&rack.primary)?;
    // Who gives way serves until the other one does.
    let both = scene.both_held(since);
    ensure(both < MARGIN, format!("both had the address for {both:?}"))
}

fn flaps(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let pids = pair.first.pids()?;
    flap(&rack.primary, 30)?;
    scene.wait_until_served_by(&rack.primary)?;
    has_it_once(&rack.primary)?;
    ensure(pair.first.pids()? == pids, "it is the same daemon")?;
    ensure(!serves(&rack.secondary), "the secondary has given it back")
}

fn interface_deleted(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let pids = pair.first.pids()?;
    rack.primary.delete_interface()?;
    pair.wait_for_fault("there is no interface eth0")?;
    wait_until_held_by(&scene, &rack.secondary)?;
    ensure(pair.first.state() == "init", "it takes no part")?;
    ensure(pair.first.pids()? == pids, "it is the same daemon")
}

fn interface_recreated(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let _pair = Pair::start(&scene, "")?;
    let index = || {
        ip(&rack.primary, "-o link show dev eth0")
            .map(|said| said.split(':').next().map(str::to_owned))
    };
    let (before, began) = (index()?, Instant::now());
    rack.primary.delete_interface()?;
    wait_until_held_by(&scene, &rack.secondary)?;
    scene.never_both(began)?;
    let since = Instant::now();
    rack.primary.recreate_interface()?;
    ensure(index()? != before, "it has another index")?;
    let sent = rack.primary.tap_sent()?;
    wait_until_held_by(&scene, &rack.primary)?;
    let came = scene.primary.addresses.came(vip(), since);
    within("elected", since, came, PRIMARY_ACTIVE_DOWN + Duration::from_millis(500))?;
    Ok(wait_until(LIMIT, "its adverts", || sent.frames().iter().any(claims))?)
}

fn interface_renamed(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let since = Instant::now();
    rack.primary.rename_interface("lan0")?;
    pair.wait_for_fault("it was renamed to lan0")?;
    scene.wait_until_served_by(&rack.secondary)?;
    within("released", since, scene.primary.left(since), RELEASED)?;
    // Where it looks for its address before it is told of the name, it resigns first, and removes the address
    // in the moment after.
    let both = scene.both_held(since);
    ensure(both < RELEASED, format!("both had the address for {both:?}"))?;
    ensure(has(&rack.primary, PRIMARY), "its own address stays where it is")?;
    rack.primary.rename_interface("eth0")?;
    scene.wait_until_served_by(&rack.primary)
}

/// The other interface leads nowhere. A daemon that kept sockets of the first one would go on to advertise
/// there, and so keep the successor from serving.
fn imposter(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let since = Instant::now();
    let script = "ip link add tmp0 type veth peer name nowhere && \
                  ip address add 192.0.2.1/24 dev tmp0 && ip link set nowhere up && \
                  ip link set eth0 name lan0 && ip link set tmp0 name eth0 && ip link set eth0 up";
    run_on_machine(&rack.primary, script)?;
    let renamed = Instant::now();
    let on_imposter =
        || ip(&rack.primary, "-4 -o address show dev eth0").is_ok_and(|it| it.contains(VIP));
    wait_until(LIMIT, "it serves on the interface that has the name", on_imposter)?;
    within(
        "released on the other one",
        since,
        scene.primary.left(since),
        renamed - since + RELEASED,
    )?;
    ensure(pair.first.state() == "active", "it is active where nobody hears it")?;
    let since = renamed + MARGIN;
    let adverts = scene.primary.adverts(since);
    ensure(adverts.is_empty(), format!("{} adverts on the wrong interface", adverts.len()))?;
    ensure(!serves(&rack.primary), "the address is not on the wrong interface")?;
    wait_until(LIMIT, "the secondary serves the client", || {
        scene.first_answer(since, &rack.secondary).is_some()
    })?;
    run_on_machine(&rack.primary, "ip link del eth0 && ip link set lan0 name eth0")?;
    scene.wait_until_served_by(&rack.primary)
}

fn parent_deleted(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "mac = \"virtual\"")?;
    let began = Instant::now();
    rack.primary.delete_interface()?;
    pair.wait_for_fault("there is no interface eth0")?;
    wait_until_held_by(&scene, &rack.secondary)?;
    scene.never_both(began)?;
    let since = Instant::now();
    rack.primary.recreate_interface()?;
    wait_until_held_by(&scene, &rack.primary)?;
    let came = scene.primary.addresses.came(vip(), since);
    within("elected", since, came, PRIMARY_ACTIVE_DOWN + Duration::from_millis(500))?;
    ensure(ip(&rack.primary, "-o address show dev eth0.v4-1")?.contains(VIP), "on its device")
}

fn macvlan_moved(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "mac = \"virtual\"")?;
    let since = Instant::now();
    rack.primary.move_interface("eth0.v4-1", &scene.client)?;
    let left = || scene.primary.left(since).is_some();
    wait_until(LIMIT, "the address goes with the macvlan", left)?;
    wait_until_held_by(&scene, &rack.primary)?;
    let came = scene.primary.addresses.came(vip(), since);
    within("back on a new one", since, came, Duration::from_millis(500))?;
    ensure(pair.second.state() == "backup", "the successor did not have to serve")
}

fn announced_at(frame: &Frame, address: carp_proto::MacAddr) -> bool {
    frame.announcement().is_some_and(|(said, _)| vip() == said.address && said.mac == address)
}

fn mac_changed(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let _pair = Pair::start(&scene, "")?;
    let since = Instant::now();
    rack.primary.set_mac(mac(0x77))?;
    let announced = || {
        let is_it = |frame: &Frame| announced_at(frame, mac(0x77)).then_some(frame.at);
        scene.primary.sent.find(since, is_it)
    };
    wait_until(LIMIT, "the announcement", || announced().is_some())?;
    within("announced", since, announced(), RELEASED)?;
    scene.wait_until_served_by(&rack.primary)?;
    let unserved = scene.unserved(since);
    println!("no answer for {unserved:?}");
    ensure(unserved < RELEASED + MARGIN, format!("no answer for {unserved:?}"))?;
    let left = scene.primary.left(since);
    ensure(left.is_none(), "it has kept the address")
}

fn mtu_too_small(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let mut addresses = vec![VIP.to_owned()];
    addresses.extend((1..=150).map(|last| format!("198.51.100.{last}")));
    let (primary, secondary) = (
        rack.configure_vrrp_for("primary", &addresses, "priority = 200")?,
        rack.configure_vrrp_for("secondary", &addresses, "")?,
    );
    let first = rack.daemon(&rack.primary, &primary)?;
    let second = rack.daemon(&rack.secondary, &secondary)?;
    let pair = Pair { first, second };
    scene.wait_until_served_by(&rack.primary)?;
    let since = Instant::now();
    rack.primary.set_mtu(600)?;
    pair.wait_for_fault("the adverts have 632 bytes, and eth0 sends 600 at most")?;
    scene.wait_until_served_by(&rack.secondary)?;
    within("released", since, scene.primary.left(since), RELEASED)?;
    rack.primary.set_mtu(632)?;
    scene.wait_until_served_by(&rack.primary)
}

/// Below 1280 bytes the kernel gives up IPv6 on an interface, and the groups with it. Sockets are not told.
fn group_forgotten(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let hosts = [(&rack.primary, "fe80::50", "priority = 200"), (&rack.secondary, "fe80::10", "")];
    let mut daemons = Vec::new();
    for (host, own, settings) in hosts {
        host.add_address(own.parse()?, 64)?;
        let addresses = ["2001:db8::100".to_owned()];
        let config = rack.configure_vrrp_for(host.name(), &addresses, settings)?;
        daemons.push(rack.daemon(host, &config)?);
    }
    daemons[0].wait_for_state("active")?;
    let joined = || {
        let list = || std::fs::read_to_string("/proc/thread-self/net/igmp6");
        let list = rack.secondary.run_inside(list);
        matches!(list, Ok(Ok(list)) if list.contains("ff020000000000000000000000000012"))
    };
    wait_until(LIMIT, "the secondary has joined the group", joined)?;
    // To join makes no event. What is told of an address shows that the daemon has looked since.
    rack.secondary.remove_address("fe80::10".parse()?, 64)?;
    daemons[1].wait_for_state("init")?;
    rack.secondary.add_address("fe80::10".parse()?, 64)?;
    daemons[1].wait_for_state("backup")?;
    rack.secondary.set_mtu(1200)?;
    ensure(!joined(), "the kernel has forgotten the group")?;
    rack.secondary.set_mtu(1500)?;
    rack.secondary.add_address("fe80::10".parse()?, 64)?;
    wait_until(LIMIT, "the secondary is in the group again", joined)?;
    daemons[1].wait_for_state("backup")?;
    let since = Instant::now();
    // Longer than its active-down interval, which is 3.61 s.
    wait_until(LIMIT, "five adverts of the primary", || scene.primary.adverts(since).len() >= 5)?;
    let adverts = scene.secondary.adverts(since);
    ensure(adverts.is_empty(), "it hears the primary, and does not take over")
}

fn heals_after_a_second(rack: &Rack) -> Tested {
    heals_after(rack, Duration::from_secs(1))
}

fn heals_after_a_minute(rack: &Rack) -> Tested {
    heals_after(rack, Duration::from_secs(60))
}

/// The client is on the side of the secondary, which is to give way.
fn heals_after(rack: &Rack, time: Duration) -> Tested {
    let scene = Scene::new(rack)?;
    let _pair = Pair::start(&scene, "")?;
    rack.primary.cut()?;
    let served = || scene.first_answer(Instant::now() - MARGIN, &rack.secondary).is_some();
    wait_until(LIMIT, "the secondary serves on its side", || serves(&rack.secondary) && served())?;
    std::thread::sleep(time);
    ensure(serves(&rack.primary), "the primary serves on its side")?;
    let since = Instant::now();
    rack.primary.plug()?;
    scene.wait_until_served_by(&rack.primary)?;
    let left = scene.secondary.left(since);
    within("the loser drops the address", since, left, SECONDARY_INTERVAL)?;
    let heard = scene.secondary.adverts(since).last().copied().ok_or("the loser said nothing")?;
    announces_thrice(&scene.primary, since, heard)?;
    // Beyond the last repetition nothing happens any more.
    let unserved = scene.unserved_between(since, Instant::now() - MARGIN);
    println!("no answer for {unserved:?}");
    ensure(unserved < HEAL_LOSS + HEAL_MARGIN, format!("no answer for {unserved:?}"))?;
    ensure(serves(&rack.primary) && !serves(&rack.secondary), "one of them serves")
}

/// What a client may lose when a partition heals, and what a loaded machine may add. A client that was not
/// told of the winner would lose 0.8 s.
const HEAL_LOSS: Duration = Duration::from_millis(50);
const HEAL_MARGIN: Duration = Duration::from_millis(700);

/// The winner announces at once, and a second and five seconds after it has heard the loser last.
fn announces_thrice(winner: &Watched, since: Instant, heard: Instant) -> Tested {
    let due = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(5)];
    let near = |at: Instant, due: Instant| at + APART > due && at < due + APART;
    let all = || {
        let said = winner.announcements(since);
        due.iter().all(|due| said.iter().any(|at| near(*at, heard + *due)))
    };
    wait_until(LIMIT, "announcements at once, after 1 s and after 5 s", all).map_err(|error| {
        let said = winner.announcements(since);
        let after: Vec<_> = said.iter().map(|at| at.saturating_duration_since(heard)).collect();
        format!("{error}: {after:?}").into()
    })
}

/// What a network manager does when it is started again.
fn flushed(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let pids = pair.first.pids()?;
    let script =
        format!("ip address flush dev eth0 && sleep 0.2 && ip address add {PRIMARY}/24 dev eth0");
    let since = Instant::now();
    run_on_machine(&rack.primary, &script)?;
    scene.wait_until_served_by(&rack.primary)?;
    let unserved = scene.unserved(since);
    println!("no answer for {unserved:?}");
    ensure(
        unserved < PRIMARY_ACTIVE_DOWN + Duration::from_millis(500) + MARGIN,
        format!("no answer for {unserved:?}"),
    )?;
    has_it_once(&rack.primary)?;
    ensure(pair.first.pids()? == pids, "it is the same daemon")?;
    scene.never_both(since)
}

fn own_address_removed(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    let since = Instant::now();
    rack.primary.remove_address(PRIMARY.parse()?, 24)?;
    pair.wait_for_fault("eth0 has no IPv4 address of its own to advertise from")?;
    scene.wait_until_served_by(&rack.secondary)?;
    within("released", since, scene.primary.left(since), RELEASED)?;
    scene.never_both(since)?;
    let since = Instant::now();
    rack.primary.add_address("192.168.130.51".parse()?, 24)?;
    scene.wait_until_served_by(&rack.primary)?;
    advertises_from(&scene.primary, since, "192.168.130.51")
}

fn own_address_changed(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let _pair = Pair::start(&scene, "")?;
    // Else the kernel removes the second address of a subnet with the first one.
    run_on_machine(&rack.primary, "echo 1 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries")?;
    let since = Instant::now();
    rack.primary.add_address("192.168.130.51".parse()?, 24)?;
    rack.primary.remove_address(PRIMARY.parse()?, 24)?;
    advertises_from(&scene.primary, Instant::now() + MARGIN, "192.168.130.51")?;
    ensure(scene.primary.left(since).is_none(), "it keeps the address")?;
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))
}

/// Every advert since then comes from this address, and there is one.
fn advertises_from(server: &Watched, since: Instant, source: &str) -> Tested {
    let source: std::net::IpAddr = source.parse()?;
    wait_until(LIMIT, "an advert", || !server.adverts(since).is_empty())?;
    let frames = server.sent.frames();
    let adverts = frames.iter().filter(|frame| frame.at >= since && claims(frame));
    let sources: Vec<_> = adverts.filter_map(Frame::advert_source).collect();
    ensure(sources.iter().all(|it| *it == source), format!("{sources:?}"))
}

/// A backup that stands still misses what happens to its interface, and the kernel has room for a part of
/// it only. What it does later rests on what is, not on what it was told.
fn events_overrun(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let pair = Pair::start(&scene, "")?;
    pair.second.process.signal(Signal::STOP)?;
    let script = format!(
        "for i in $(seq 5000); do echo address add 203.0.113.1/32 dev eth0; \
         echo address del 203.0.113.1/32 dev eth0; done | ip -batch - && \
         ip address del {SECONDARY}/24 dev eth0"
    );
    run_on_machine(&rack.secondary, &script)?;
    ensure(events_dropped(&rack.secondary)? > 0, "the kernel has dropped events")?;
    let since = Instant::now();
    pair.second.process.signal(Signal::CONT)?;
    let known = || fault(&pair.second).is_some_and(|fault| fault.contains("no IPv4 address"));
    wait_until(LIMIT, "it knows that its address is gone", known)?;
    within("known", since, Some(Instant::now()), Duration::from_secs(1))?;
    rack.secondary.add_address("192.168.130.11".parse()?, 24)?;
    // Without its own address the primary falls silent at once.
    rack.primary.remove_address(PRIMARY.parse()?, 24)?;
    scene.wait_until_served_by(&rack.secondary)?;
    advertises_from(&scene.secondary, since, "192.168.130.11")
}

/// How many events the kernel has dropped that a daemon on this host would have heard: those of links and
/// of addresses of both families.
fn events_dropped(host: &Host) -> Result<u64, Failed> {
    const GROUPS: &str = "00000111";
    let list = host.run_inside(|| std::fs::read_to_string("/proc/thread-self/net/netlink"))??;
    let columns = list.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let dropped = columns.filter(|line| line.get(3) == Some(&GROUPS));
    let dropped: Vec<u64> = dropped.filter_map(|line| line.get(8)?.parse().ok()).collect();
    println!("events dropped: {dropped:?}");
    Ok(dropped.iter().sum())
}
