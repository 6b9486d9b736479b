//! What others do to addresses (chapter D of the faults).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::backend::Announcer;
use carp_node::backend::linux::NeighbourAnnouncer;
use carp_node::lab::{Direction, Frame, Host, mac, wait_until};
use carp_proto::MacAddr;
use carp_proto::wire::{arp, ethernet};
use libtest_mimic::Failed;

use crate::scene::{Scene, Watched, vip};
use crate::support::{Daemon, LIMIT, PRIMARY, Rack, Test, Tested, ensure, run_on_machine, serves};

pub(crate) const TESTS: &[Test] = &[
    ("f56_a_third_host_with_the_address_is_told_of_before_the_takeover", third_host),
    ("f56_with_a_veto_the_third_host_keeps_the_address_until_it_leaves", veto),
    ("f56_a_router_whose_adverts_are_lost_does_not_veto", known_router),
    ("f56_asking_does_not_delay_a_takeover", no_delay),
    ("f56_a_host_that_takes_the_address_of_an_active_router_is_told_of", while_active),
    ("f56_a_path_that_loses_what_we_send_leaves_the_address_unconfirmed", unconfirmed),
    ("f56_over_ipv6_a_third_host_is_found_and_the_gateway_confirms", over_ipv6),
];

/// What a loaded machine may add to any time.
const MARGIN: Duration = Duration::from_secs(1);

/// Of CARP with advbase 1 and advskew 100.
const ACTIVE_DOWN: Duration = Duration::from_nanos(3_390_625_000);

const CLIENT: &str = "192.168.130.99";

/// A host that is no router, and has the address.
fn third(rack: &Rack) -> Result<Host, Failed> {
    let host = rack.switch.host("third", mac(0x77), &["192.168.130.77/24"])?;
    host.add_address(vip(), 32)?;
    Ok(host)
}

fn wait_for(daemon: &Daemon, what: &str, holds: impl Fn(&serde_json::Value) -> bool) -> Tested {
    Ok(wait_until(LIMIT, what, || daemon.status().is_some_and(|status| holds(&status)))?)
}

/// Whether the daemon says that the address is at this link-layer address.
fn names(status: &serde_json::Value, mac: MacAddr) -> bool {
    status["duplicate"]["mac"] == mac.to_string()
}

/// When a server asked who has the address, since then.
fn questions(server: &Watched, since: Instant) -> Vec<Instant> {
    let asks = |frame: &&Frame| {
        let packet = frame.bytes.get(ethernet::HEADER_LEN..).unwrap_or(&[]);
        arp::read(packet).is_ok_and(|packet| {
            packet.sender.is_unspecified() && IpAddr::from(packet.target) == vip()
        })
    };
    let frames = server.sent.frames();
    frames.iter().filter(|frame| frame.at >= since).filter(asks).map(|frame| frame.at).collect()
}

fn third_host(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let third = third(rack)?;
    let since = Instant::now();
    let daemon = rack.daemon(&rack.secondary, &rack.configure("secondary", "advskew = 100")?)?;
    wait_for(&daemon, "the backup names the third host", |status| {
        status["state"] == "backup"
            && names(status, third.mac())
            && status["duplicate"]["peer"].is_null()
    })?;
    ensure(scene.secondary.adverts(since).is_empty(), "it is known before the takeover")?;
    wait_for(&daemon, "the takeover, and a conflict", |status| {
        status["state"] == "active" && status["conflict"] == true
    })?;
    ensure(serves(&rack.secondary), "the address is not here")
}

fn veto(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let third = third(rack)?;
    let since = Instant::now();
    let settings = "advskew = 100\nduplicate = \"veto\"";
    let daemon = rack.daemon(&rack.secondary, &rack.configure("secondary", settings)?)?;
    wait_for(&daemon, "the veto", |status| {
        let fault = status["fault"].as_str().unwrap_or_default();
        status["state"] == "backup" && fault.contains(&third.mac().to_string())
    })?;
    // Two more active-down intervals end meanwhile, and each is asked about anew.
    wait_until(LIMIT, "more questions", || questions(&scene.secondary, since).len() >= 6)?;
    ensure(scene.secondary.adverts(since).is_empty(), "it advertised")?;
    ensure(scene.secondary.addresses.holdings(vip()).is_empty(), "it had the address")?;
    ensure(daemon.state() == "backup" && serves(&third), "the third host keeps the address")?;
    third.remove_address(vip(), 32)?;
    scene.wait_until_served_by(&rack.secondary)?;
    wait_for(&daemon, "the fault to end", |status| status["fault"].is_null())
}

fn known_router(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let _first = rack.daemon(&rack.primary, &rack.configure("primary", "advskew = 0")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    let settings = "advskew = 100\nduplicate = \"veto\"";
    let second = rack.daemon(&rack.secondary, &rack.configure("secondary", settings)?)?;
    wait_for(&second, "the primary's adverts", |status| !status["peers"][0].is_null())?;
    let since = Instant::now();
    let deafen = "nft 'add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }; \
                  add rule ip deaf in ip protocol 112 drop'";
    run_on_machine(&rack.secondary, deafen)?;
    wait_for(&second, "the router to be named, and the takeover", |status| {
        status["state"] == "active"
            && names(status, rack.primary.mac())
            && status["duplicate"]["peer"] == PRIMARY
    })?;
    ensure(!questions(&scene.secondary, since).is_empty(), "nobody was asked")?;
    run_on_machine(&rack.secondary, "nft delete table ip deaf")?;
    scene.wait_until_served_by(&rack.primary)?;
    wait_for(&second, "the remark to end", |status| status["duplicate"].is_null())
}

fn no_delay(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let first = rack.daemon(&rack.primary, &rack.configure("primary", "advskew = 0")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    let second = rack.daemon(&rack.secondary, &rack.configure("secondary", "advskew = 100")?)?;
    wait_for(&second, "the primary's adverts", |status| !status["peers"][0].is_null())?;
    // The address stays where it is, and answers.
    first.kill_with_guard(&rack.primary)?;
    let since = Instant::now();
    second.wait_for_state("active")?;
    let last =
        scene.primary.adverts(since - MARGIN * 10).pop().ok_or("no advert of the primary")?;
    let claimed = *scene.secondary.adverts(since).first().ok_or("no advert of the secondary")?;
    let asked = questions(&scene.secondary, last);
    ensure(asked.len() == 2 && asked.iter().all(|at| *at < claimed), format!("{asked:?}"))?;
    let after = claimed.saturating_duration_since(last);
    println!(
        "asked twice, and took over {after:?} after the last advert: due after {ACTIVE_DOWN:?}"
    );
    ensure(after < ACTIVE_DOWN + MARGIN, format!("took over after {after:?}"))
}

fn while_active(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let daemon = rack.daemon(&rack.primary, &rack.configure("primary", "")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    let third = third(rack)?;
    let since = Instant::now();
    let announce = || NeighbourAnnouncer::open()?.announce("eth0", None, &[vip()], 1);
    third.run_inside(announce)??;
    wait_for(&daemon, "the third host to be named", |status| {
        names(status, third.mac()) && status["conflict"] == true
    })?;
    let after = since.elapsed();
    println!("told after {after:?}");
    ensure(after < Duration::from_secs(1) + MARGIN, format!("told after {after:?}"))?;
    wait_until(LIMIT, "the router defends its address", || {
        !scene.primary.announcements(since).is_empty()
    })?;
    ensure(daemon.state() == "active", "it gave up")
}

fn unconfirmed(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    // The client is the gateway, and the one who is known to be there.
    run_on_machine(&rack.secondary, &format!("ip route add default via {CLIENT}"))?;
    rack.secondary.drop_frames(Direction::Out)?;
    let daemon = rack.daemon(&rack.secondary, &rack.configure("secondary", "advskew = 100")?)?;
    wait_for(&daemon, "the address to be unconfirmed", |status| {
        status["state"] == "active" && status["unconfirmed"] == true
    })?;
    let shown = String::from_utf8_lossy(&daemon.ask(&["status"])?.stdout).into_owned();
    ensure(shown.contains("nobody answers a question from 192.168.130.100"), shown)?;
    let since = Instant::now();
    rack.secondary.pass(Direction::Out)?;
    wait_for(&daemon, "the confirmation", |status| {
        status["unconfirmed"] == false && status["confirmation"]["by"] == CLIENT
    })?;
    scene.wait_until_served_by(&rack.secondary)?;
    ensure(!scene.secondary.announcements(since).is_empty(), "it did not announce again")
}

fn over_ipv6(rack: &Rack) -> Tested {
    const VIRTUAL: &str = "2001:db8::100";
    const GATEWAY: &str = "fe80::77";
    let address: IpAddr = VIRTUAL.parse()?;
    rack.secondary.add_address("fe80::10".parse()?, 64)?;
    let third = rack.switch.host("third", mac(0x77), &["fe80::77/64"])?;
    third.add_address(address, 128)?;
    let default = format!("ip -6 route add default via {GATEWAY} dev eth0");
    run_on_machine(&rack.secondary, &default)?;
    let router = format!("protocol = \"vrrp3\"\naddresses = [\"{VIRTUAL}\"]\nduplicate = \"veto\"");
    let daemon = rack.daemon(&rack.secondary, &rack.write_config("secondary", &router)?)?;
    wait_for(&daemon, "the veto", |status| {
        let fault = status["fault"].as_str().unwrap_or_default();
        status["state"] == "backup" && fault.contains(&third.mac().to_string())
    })?;
    ensure(!rack.secondary.has_address(address)?, "it has the address")?;
    third.remove_address(address, 128)?;
    wait_for(&daemon, "the takeover, and the confirmation", |status| {
        status["state"] == "active" && status["confirmation"]["by"] == GATEWAY
    })?;
    ensure(rack.secondary.has_address(address)?, "it does not have the address")
}
