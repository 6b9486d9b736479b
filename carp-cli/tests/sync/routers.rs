//! A share follows its router, whatever that is: of both families, or one of a group.

use std::fs;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Node, Pair, equal, events, explain, sync, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, ensure, has, serves};

pub(crate) const TESTS: &[Test] = &[
    ("a_share_follows_a_router_of_both_families", both_families),
    ("a_share_of_one_router_moves_the_group", group),
    ("of_two_shares_none_begins_an_epoch_where_the_other_one_keeps_the_address_away", one_of_two),
];

/// Of the network that the machines have IPv6 addresses of.
const VIP6: &str = "2001:db8::100";

fn rewrite(node: &Node<'_>, change: impl Fn(&str) -> String) -> Tested {
    let text = fs::read_to_string(&node.config)?;
    Ok(fs::write(&node.config, change(&text))?)
}

fn both_families(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    for (node, priority, last) in [(&pair.a, 200, 0x50), (&pair.b, 100, 0x10)] {
        for own in [0x2001_0db8 << 96, 0xfe80 << 112] {
            node.host.add_address(Ipv6Addr::from(own | last).into(), 64)?;
        }
        rewrite(node, |text| {
            let router = text.lines().map(|line| match line.split(' ').next() {
                Some("protocol") => format!("protocol = \"vrrp3\"\npriority = {priority}\n"),
                Some("addresses") => line.replace(']', &format!(", \"{VIP6}\"]\n")),
                Some("key_file" | "advskew") => String::new(),
                _ => format!("{line}\n"),
            });
            router.collect()
        })?;
    }
    dies_and_returns(rack, &pair, |host| serves(host) && has(host, VIP6))
}

fn group(rack: &Rack) -> Tested {
    const SECOND: &str = "192.168.130.101";
    let pair = Pair::new(rack, "")?;
    for node in [&pair.a, &pair.b] {
        rewrite(node, |text| {
            let (_, web) = text.split_once("[router.web]\n").unwrap_or_default();
            let (web, _) = web.split_once("[sync.www]").unwrap_or_default();
            let mut mail = web.replace("id = 1", "id = 2");
            if let Some(line) = web.lines().find(|line| line.starts_with("addresses")) {
                mail = mail.replace(line, &format!("addresses = [\"{SECOND}\"]"));
            }
            format!("{text}\n[router.mail]\n{mail}\n[group.site]\nrouters = [\"web\", \"mail\"]\n")
        })?;
    }
    dies_and_returns(rack, &pair, |host| serves(host) && has(host, SECOND))
}

/// The primary dies while the disk of one of the secondary's shares is away.
fn one_of_two(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    for node in [&pair.a, &pair.b] {
        fs::create_dir(zone(node))?;
        rewrite(node, |text| {
            let (_, www) = text.split_once("[sync.www]\n").unwrap_or_default();
            let path = |path: &Path| path.display().to_string();
            format!("{text}\n[sync.zone]\n{}", www.replace(&path(&node.share), &path(&zone(node))))
        })?;
    }
    let (first, second) = pair.start()?;
    let shares = || second.report().map(|report| report["sync"].clone()).unwrap_or_default();
    let are_in_sync = || [0, 1].iter().all(|share| shares()[share]["in_sync"] == true);
    wait_until(LIMIT, "both shares are in sync", are_in_sync)?;
    for share in ["www", "zone"] {
        sync(&second, &["hold", share], 0)?;
    }
    let are_held = || [0, 1].iter().all(|share| shares()[share]["held"].is_object());
    wait_until(LIMIT, "both shares are held", are_held)?;
    let history = || Ok::<_, Failed>(pair.b.told()?["history"].clone());
    let before = history()?;
    let away = pair.b.share.with_file_name("away");
    fs::rename(zone(&pair.b), &away)?;
    fs::create_dir(zone(&pair.b))?;
    first.kill_with_guard(&rack.primary)?;
    let refused = || events(&second).contains("share zone: ");
    wait_until(LIMIT, "the takeover is refused", || {
        refused() && events(&second).contains("the address is not taken over; mount the share")
    })?;
    let beat = pair.b.beat()?;
    wait_until(LIMIT, "two records more", || pair.b.beat().is_ok_and(|now| now >= beat + 2))?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "the address stays away")?;
    ensure(history()? == before, "the other share has begun no epoch")?;
    fs::remove_dir(zone(&pair.b))?;
    fs::rename(&away, zone(&pair.b))?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "its epoch begins", || history().is_ok_and(|now| now != before))?;
    Ok(())
}

/// The root of the second share.
fn zone(node: &Node<'_>) -> PathBuf {
    node.share.with_file_name("zone")
}

/// The primary dies, the secondary is written to, and the primary returns: it takes everything back when it has
/// everything.
fn dies_and_returns(
    rack: &Rack,
    pair: &Pair<'_>,
    has_all: impl Fn(&carp_node::lab::Host) -> bool,
) -> Tested {
    pair.a.write("page", "v1")?;
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    wait_until(LIMIT, "the primary has all addresses", || has_all(&rack.primary))?;
    wait_in_sync(&second)?;
    pair.b.wait_for("page", Some("v1"))?;
    first.kill_with_guard(&rack.primary)?;
    wait_until(LIMIT, "the secondary has all addresses", || has_all(&rack.secondary))?;
    pair.b.write("page", "v2")?;
    pair.b.write("new", "1")?;
    let again = pair.a.start()?;
    wait_until(LIMIT, "the primary has all of them again", || has_all(&rack.primary))
        .map_err(|error| explain(&error.into(), [&again, &second]))?;
    ensure(pair.a.tree()? == pair.b.tree()?, "it took the addresses with another tree")?;
    ensure(pair.a.read("page").as_deref() == Some("v2"), "it serves the page as it was written")?;
    wait_until(LIMIT, "the secondary has none", || {
        !serves(&rack.secondary) && !has_all(&rack.secondary)
    })?;
    wait_in_sync(&second)?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")
}
