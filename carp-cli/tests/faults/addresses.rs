//! What others do to addresses (chapter D of the faults).

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::addresses::{AddressKeeper, Place, Presence, Record};
use carp_node::backend::Backend as _;
use carp_node::backend::linux::Linux;
use carp_node::lab::{Host, wait_until};
use carp_proto::VirtualAddress;
use libtest_mimic::Failed;

use crate::scene::{Scene, Watched, vip};
use crate::support::{
    Daemon, LIMIT, Rack, Test, Tested, VIP, ensure, forbid_sending, has, run_on_machine, serves,
    told,
};

pub(crate) const TESTS: &[Test] = &[
    ("f51_a_deleted_address_is_back_within_100_ms_and_announced", deleted),
    ("f51_one_of_255_addresses_is_back_as_soon", deleted_of_many),
    ("f51_a_deleted_ipv6_address_is_back_as_soon", deleted_ipv6),
    ("f51_after_the_third_deletion_the_other_server_serves", contested),
    ("f51_alone_it_serves_on_however_often_others_delete", contested_alone),
    ("f52_an_address_that_appears_on_a_backup_is_told_and_never_advertised", appears),
    ("f52_what_carries_our_mark_on_a_backup_is_removed", left_behind),
    ("f53_an_address_that_was_there_is_announced_and_stays_as_it_was", was_there),
    ("f58_an_address_that_the_kernel_refuses_makes_no_active_router", refused),
    ("f62_an_active_router_that_cannot_send_is_replaced", cannot_send),
    ("f62_alone_it_serves_demoted_until_it_can_send", cannot_send_alone),
];

const FIRST: &str = "advskew = 0\npreempt = true";
const SECOND: &str = "advskew = 100";

/// How soon a deleted address is back.
const BACK: Duration = Duration::from_millis(100);

/// What a loaded machine may add all the time.
const LOAD: Duration = Duration::from_millis(200);

/// What it may add once in a while.
const MARGIN: Duration = Duration::from_millis(1_500);

fn primary(rack: &Rack) -> Result<Daemon, Failed> {
    rack.daemon(&rack.primary, &rack.configure("primary", FIRST)?)
}

fn pair(scene: &Scene<'_>) -> Result<(Daemon, Daemon), Failed> {
    let rack = scene.rack;
    let first = primary(rack)?;
    let second = rack.daemon(&rack.secondary, &rack.configure("secondary", SECOND)?)?;
    scene.wait_until_served_by(&rack.primary)?;
    wait_until(LIMIT, "the secondary hears the primary", || {
        second.status().is_some_and(|router| !router["peers"][0].is_null())
    })?;
    Ok((first, second))
}

fn events(daemon: &Daemon) -> String {
    daemon.ask(&["events"]).map(|output| told(&output).1).unwrap_or_default()
}

fn delete(host: &Host, ip: &str) -> Tested {
    let prefix = if ip.contains(':') { 128 } else { 32 };
    run_on_machine(host, &format!("ip address del {ip}/{prefix} dev eth0"))
}

/// Deletes an address that comes back, and returns how long it was away, as its kernel tells it.
fn delete_and_watch(host: &Host, watched: &Watched, ip: &str) -> Result<Duration, Failed> {
    let (since, address): (_, IpAddr) = (Instant::now(), ip.parse()?);
    delete(host, ip)?;
    let away = || {
        let left = watched.addresses.left(address, since)?;
        Some(watched.addresses.came(address, left)?.saturating_duration_since(left))
    };
    wait_until(LIMIT, "the address is back", || away().is_some())?;
    Ok(away().unwrap_or_default())
}

/// Deletes an address twice, which is borne. Once the machine may stall.
fn back_in_time(host: &Host, watched: &Watched, ip: &str) -> Tested {
    let mut times = [delete_and_watch(host, watched, ip)?, delete_and_watch(host, watched, ip)?];
    times.sort();
    println!("{ip} was away for {times:?}");
    ensure(times[0] <= BACK + LOAD && times[1] <= BACK + MARGIN, format!("away for {times:?}"))
}

fn deleted(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    let since = Instant::now();
    back_in_time(&rack.primary, &scene.primary, VIP)?;
    let left = scene.primary.left(since).ok_or("it was not deleted")?;
    let announced = || scene.primary.announcements(left);
    wait_until(LIMIT, "it is announced", || announced().len() >= 10)?;
    let after = announced()[0].saturating_duration_since(left);
    println!("announced {after:?} after it left");
    ensure(after <= BACK + MARGIN, format!("announced after {after:?}"))?;
    ensure(first.state() == "active" && second.state() == "backup", "nothing else has changed")?;
    ensure(scene.primary.resignations(since) == 0, "it has not resigned")?;
    let unserved = scene.unserved(since);
    println!("the client had no answer for {unserved:?}");
    // The kernel names the netlink port of who asked, which is the process id of `ip`.
    wait_until(LIMIT, "the remover is told", || {
        let events = events(&first);
        events.contains(" removed 192.168.130.100: taking it again")
            && (events.contains("ip (process ") || events.contains("has ended (netlink port "))
    })?;
    let removal = first.status().map(|router| router["last_removal"].clone()).unwrap_or_default();
    ensure(removal["address"] == VIP && removal["by"].is_string(), removal.to_string())
}

fn deleted_of_many(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let mut list = format!("\"{VIP}\"");
    for number in 0..254 {
        write!(list, ", \"10.9.0.{number}\"")?;
    }
    let settings = format!("addresses = [{list}]\n{FIRST}");
    let config = rack.configure_with("primary", "secret", &settings)?;
    let _only = rack.daemon(&rack.primary, &config)?;
    scene.wait_until_served_by(&rack.primary)?;
    wait_until(LIMIT, "all are there", || has(&rack.primary, "10.9.0.253"))?;
    back_in_time(&rack.primary, &scene.primary, "10.9.0.100")
}

fn deleted_ipv6(rack: &Rack) -> Tested {
    const IPV6: &str = "2001:db8::100";
    let scene = Scene::new(rack)?;
    let settings = format!("addresses = [\"{VIP}\", \"{IPV6}\"]\n{FIRST}");
    let config = rack.configure_with("primary", "secret", &settings)?;
    let only = rack.daemon(&rack.primary, &config)?;
    scene.wait_until_served_by(&rack.primary)?;
    back_in_time(&rack.primary, &scene.primary, IPV6)?;
    wait_until(LIMIT, "the loss is told", || {
        events(&only).contains("another program removed an address")
    })?;
    ensure(only.state() == "active", "it serves on")
}

fn contested(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    let since = Instant::now();
    for _ in 0..2 {
        delete_and_watch(&rack.primary, &scene.primary, VIP)?;
    }
    let third = Instant::now();
    delete(&rack.primary, VIP)?;
    scene.wait_until_served_by(&rack.secondary)?;
    let taken = scene.first_answer(third, &rack.secondary).ok_or("no answer of the secondary")?;
    println!("the secondary answered {:?} after the deletion", taken - third);
    first.wait_for_state("backup")?;
    let resigned = scene.primary.resignations(since);
    ensure((1..=2).contains(&resigned), format!("{resigned} resignations"))?;
    let unserved = scene.unserved(since);
    println!("the client had no answer for {unserved:?}");
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))?;
    let status = first.status().unwrap_or_default();
    ensure(status["held"] == true && status["cause"] == "fault", status.to_string())?;
    let fault = status["fault"].as_str().unwrap_or("");
    ensure(fault.contains("keeps removing the addresses"), fault)?;
    ensure(second.status().is_some_and(|router| router["cause"] == "resigned"), "it was told")
}

fn contested_alone(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let only = primary(rack)?;
    scene.wait_until_served_by(&rack.primary)?;
    let since = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        longest = longest.max(delete_and_watch(&rack.primary, &scene.primary, VIP)?);
    }
    // The fourth may come while it waits for a successor: two seconds, and not the hold.
    println!("away for {longest:?} at the most");
    ensure(longest < Duration::from_secs(2) + MARGIN, format!("away for {longest:?}"))?;
    ensure(scene.primary.resignations(since) >= 1, "it has offered the address")?;
    wait_until(LIMIT, "it serves on", || events(&only).contains("nobody took over: serving on"))?;
    ensure(!events(&only).contains("active -> backup"), "it stays active")?;
    wait_until(LIMIT, "it has the address", || serves(&rack.primary))?;
    Ok(())
}

fn appears(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    let since = Instant::now();
    rack.secondary.add_address(vip(), 24)?;
    let remedy = "ip address del 192.168.130.100/24 dev eth0";
    wait_until(LIMIT, "it is told", || events(&second).contains(remedy))?;
    let fault = || second.status().map(|router| router["fault"].clone()).unwrap_or_default();
    ensure(fault().as_str().is_some_and(|text| text.contains(remedy)), fault().to_string())?;
    let code = second.ask(&["status", "--exit-state"])?.status.code();
    ensure(code == Some(12), format!("{code:?}"))?;
    // Long enough for whoever would advertise it.
    wait_until(LIMIT, "five adverts", || scene.primary.adverts(since).len() >= 5)?;
    ensure(scene.secondary.adverts(since).is_empty(), "a backup does not advertise")?;
    ensure(scene.secondary.announcements(since).is_empty(), "a backup does not announce")?;
    rack.secondary.remove_address(vip(), 24)?;
    wait_until(LIMIT, "the status knows that it went", || fault().is_null())?;
    rack.secondary.add_address(vip(), 24)?;
    wait_until(LIMIT, "and that it came back", || !fault().is_null())?;
    let since = Instant::now();
    first.stop()?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "it is announced", || !scene.secondary.announcements(since).is_empty())?;
    ensure(fault().is_null(), "an active router may have it")?;
    second.stop()?;
    ensure(serves(&rack.secondary), "it is not ours to remove")
}

fn left_behind(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (_first, second) = pair(&scene)?;
    let since = Instant::now();
    rack.secondary.run_inside(|| -> Result<(), Failed> {
        let record = Record::in_memory();
        let mut keeper = AddressKeeper::new(Linux.addresses()?, Linux.announcer()?, record);
        let address = VirtualAddress::new(vip(), None)?;
        Ok(keeper.acquire(&Place::on("eth0"), &[address], Presence::Unknown, 0)?)
    })??;
    wait_until(LIMIT, "it is removed", || scene.secondary.left(since).is_some())?;
    wait_until(LIMIT, "it is told", || events(&second).contains("was left here by carp"))?;
    ensure(!serves(&rack.secondary) && serves(&rack.primary), "only the primary has it")?;
    ensure(scene.secondary.adverts(since).is_empty(), "a backup does not advertise")
}

fn was_there(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let file = rack.path("addresses");
    let list = |name: &str| -> Result<String, Failed> {
        let path = file.with_extension(name);
        let script = format!("ip -o address show dev eth0 > {}", path.display());
        run_on_machine(&rack.primary, &script)?;
        Ok(std::fs::read_to_string(path)?)
    };
    for (round, kind) in ["/24", "/32 label eth0:web", "/32 scope link"].into_iter().enumerate() {
        run_on_machine(&rack.primary, &format!("ip address add {VIP}{kind} dev eth0"))?;
        let before = list(&format!("before{round}"))?;
        let since = Instant::now();
        let only = primary(rack)?;
        only.wait_for_state("active")?;
        wait_until(LIMIT, "it is announced", || !scene.primary.announcements(since).is_empty())?;
        ensure(list(&format!("while{round}"))? == before, format!("{kind}: changed while active"))?;
        only.stop()?;
        ensure(list(&format!("after{round}"))? == before, format!("{kind}: changed at the end"))?;
        ensure(scene.primary.left(since).is_none(), format!("{kind}: it was away"))?;
        let answer = scene.client.ask(vip(), MARGIN)?;
        ensure(answer.as_deref() == Some("primary"), format!("{kind}: {answer:?}"))?;
        let (_, prefix) = kind.split_at(1);
        let prefix = prefix.split(' ').next().unwrap_or("32");
        run_on_machine(&rack.primary, &format!("ip address del {VIP}/{prefix} dev eth0"))?;
    }
    Ok(())
}

/// The kernel takes no IPv6 address where IPv6 is off, and says so when the takeover has begun.
fn refused(rack: &Rack) -> Tested {
    const IPV6: &str = "2001:db8::100";
    let scene = Scene::new(rack)?;
    let settings = |line: &str| format!("addresses = [\"{VIP}\", \"{IPV6}\"]\n{line}");
    let config = rack.configure_with("secondary", "secret", &settings(SECOND))?;
    let second = rack.daemon(&rack.secondary, &config)?;
    scene.wait_until_served_by(&rack.secondary)?;
    let config = rack.configure_with("primary", "secret", &settings("advskew = 0"))?;
    let first = rack.daemon(&rack.primary, &config)?;
    run_on_machine(&rack.primary, "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6")?;
    first.wait_for_state("backup")?;
    let since = Instant::now();
    // The secondary offers its addresses, and the primary tries to take them.
    second.ask(&["yield", "web"])?;
    wait_until(LIMIT, "the primary has tried and given up", || {
        scene.primary.resignations(since) >= 1 && first.state() == "backup"
    })?;
    let fault = first.status().map(|router| router["fault"].clone()).unwrap_or_default();
    ensure(fault.as_str().is_some_and(|text| text.contains(IPV6)), fault.to_string())?;
    scene.wait_until_served_by(&rack.secondary)?;
    ensure(!serves(&rack.primary), "nothing is kept of a takeover that failed")
}

fn allow_sending(host: &Host) -> Tested {
    run_on_machine(host, "nft 'delete table ip lab'")
}

fn demotion(daemon: &Daemon) -> u64 {
    daemon.status().and_then(|router| router["demotion"].as_u64()).unwrap_or_default()
}

fn cannot_send(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, second) = pair(&scene)?;
    let since = Instant::now();
    forbid_sending(&rack.primary)?;
    scene.wait_until_served_by(&rack.secondary)?;
    first.wait_for_state("backup")?;
    ensure(demotion(&first) == 240, "it is demoted")?;
    let told = events(&first);
    ensure(told.contains("adverts cannot be sent on eth0: Operation not permitted"), told)?;
    println!("both had it for {:?}", scene.both_held(since));
    ensure(scene.both_held(since) < Duration::from_secs(1) + MARGIN, "one of them gives way")?;
    // A backup sends nothing, so it learns nothing of its firewall: it does not try on others' cost.
    allow_sending(&rack.primary)?;
    let since = Instant::now();
    wait_until(LIMIT, "five adverts", || scene.secondary.adverts(since).len() >= 5)?;
    ensure(demotion(&first) == 240 && scene.primary.adverts(since).is_empty(), "it waits")?;
    second.stop()?;
    scene.wait_until_served_by(&rack.primary)?;
    wait_until(LIMIT, "three adverts end the demotion", || demotion(&first) == 0)?;
    let told = events(&first);
    ensure(told.contains("adverts can be sent on eth0 again"), told)
}

fn cannot_send_alone(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let only = primary(rack)?;
    scene.wait_until_served_by(&rack.primary)?;
    let since = Instant::now();
    forbid_sending(&rack.primary)?;
    wait_until(LIMIT, "it is demoted", || demotion(&only) == 240)?;
    let fault = only.status().map(|router| router["fault"].clone()).unwrap_or_default();
    ensure(fault.as_str().is_some_and(|text| text.contains("not permitted")), fault.to_string())?;
    allow_sending(&rack.primary)?;
    wait_until(LIMIT, "three successes end it", || demotion(&only) == 0)?;
    ensure(scene.primary.adverts(since).len() >= 3, "it advertises again")?;
    ensure(scene.primary.left(since).is_none(), "the address has been there all the time")?;
    ensure(only.state() == "active", "it has been active all the time")?;
    let fault = only.status().map(|router| router["fault"].clone()).unwrap_or_default();
    ensure(fault.is_null(), fault.to_string())
}
