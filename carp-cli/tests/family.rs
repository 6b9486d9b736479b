//! Two of ours in every protocol and family: the addresses stay alive through a crash, a return, a cut, its
//! healing and a planned stop, as a third host sees it.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::net::IpAddr;
use std::process::{Command, ExitCode};
use std::time::Duration;

use carp_node::lab::{Host, Process, Switch, mac, wait_until};
use support::{Daemon, LIMIT, Rack, Test, Tested, carp, ensure, run_on, told};

const VIP4: &str = "192.168.130.100";
const VIP6: &str = "2001:db8::100";

/// How long an observer waits for an answer.
const PATIENCE: Duration = Duration::from_millis(300);

/// How two routers are set up. The lines of the router come after its interface and id.
struct Variant {
    /// The addresses, in the order of the configuration.
    addresses: &'static [&'static str],
    /// What both say.
    both: &'static str,
    /// What the primary says beside that, and the secondary.
    each: [&'static str; 2],
    /// Addresses of other routers, which `each` adds.
    also: &'static [&'static str],
    /// A secret, in a file that `key_file` names.
    key: Option<&'static str>,
}

const VRRP: [&str; 2] = ["priority = 200", "priority = 100"];
const CARP: [&str; 2] = ["preempt = true", "advskew = 100"];

impl Variant {
    const fn vrrp(addresses: &'static [&'static str], both: &'static str) -> Self {
        Self { addresses, both, each: VRRP, also: &[], key: None }
    }

    const fn carp(addresses: &'static [&'static str], both: &'static str) -> Self {
        Self { each: CARP, key: Some("secret"), ..Self::vrrp(addresses, both) }
    }
}

/// A second router, which speaks another version.
macro_rules! mail {
    ($priority:literal) => {
        concat!(
            "[router.mail]\nprotocol = \"vrrp3\"\ninterface = \"eth0\"\nid = 2\n",
            "addresses = [\"192.168.130.102\"]\npriority = ",
            $priority,
            "\n"
        )
    };
}

/// The group of both.
macro_rules! group {
    () => {
        "[group.site]\nrouters = [\"web\", \"mail\"]\n"
    };
}

fn main() -> ExitCode {
    const TESTS: &[Test] = &[
        ("vrrp_version_2", |rack| play(rack, &Variant::vrrp(&[VIP4], "protocol = \"vrrp2\""))),
        ("vrrp_version_2_with_a_password", |rack| {
            let both = "protocol = \"vrrp2\"\nauth = \"password\"";
            play(rack, &Variant { key: Some("s3cr3t"), ..Variant::vrrp(&[VIP4], both) })
        }),
        ("vrrp_version_3_over_ipv4_with_two_addresses", |rack| {
            play(rack, &Variant::vrrp(&[VIP4, "192.168.130.101"], "protocol = \"vrrp3\""))
        }),
        ("vrrp_version_3_with_the_checksum_of_rfc_9568", |rack| {
            play(rack, &Variant::vrrp(&[VIP4], "protocol = \"vrrp3\"\nchecksum = \"message\""))
        }),
        ("vrrp_version_3_with_signatures", |rack| {
            let both = "protocol = \"vrrp3\"\nauth = \"hmac\"\nkey_id = 7";
            let key = Some("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
            play(rack, &Variant { key, ..Variant::vrrp(&[VIP4], both) })
        }),
        ("vrrp_version_3_over_ipv6", |rack| {
            play(rack, &Variant::vrrp(&[VIP6], "protocol = \"vrrp3\""))
        }),
        ("vrrp_version_3_over_both_families_as_a_group", |rack| {
            play(rack, &Variant::vrrp(&[VIP4, VIP6], "protocol = \"vrrp3\""))
        }),
        ("vrrp_version_3_below_a_second", |rack| {
            let both = "protocol = \"vrrp3\"\ninterval = \"500ms\"";
            play(rack, &Variant::vrrp(&[VIP4], both))
        }),
        ("vrrp_version_3_to_peers_over_ipv4", |rack| {
            let each = [
                "priority = 200\npeers = [\"192.168.130.10\"]",
                "priority = 100\npeers = [\"192.168.130.50\"]",
            ];
            play(rack, &Variant { each, ..Variant::vrrp(&[VIP4], "protocol = \"vrrp3\"") })
        }),
        ("vrrp_version_3_to_peers_over_ipv6", |rack| {
            let each = [
                "priority = 200\npeers = [\"2001:db8::10\"]",
                "priority = 100\npeers = [\"2001:db8::50\"]",
            ];
            play(rack, &Variant { each, ..Variant::vrrp(&[VIP6], "protocol = \"vrrp3\"") })
        }),
        ("vrrp_version_2_with_the_virtual_mac", |rack| {
            play(rack, &Variant::vrrp(&[VIP4], "protocol = \"vrrp2\"\nmac = \"virtual\""))
        }),
        ("vrrp_version_3_over_both_families_with_the_virtual_macs", |rack| {
            play(rack, &Variant::vrrp(&[VIP4, VIP6], "protocol = \"vrrp3\"\nmac = \"virtual\""))
        }),
        ("addresses_on_loopback_for_routed_networks", |rack| {
            let both = "protocol = \"vrrp3\"\naddress_interface = \"lo\"";
            play(rack, &Variant::vrrp(&[VIP4], both))
        }),
        ("a_group_of_both_versions_moves_as_one", |rack| {
            let each = [
                concat!("priority = 200\n", mail!("200"), group!()),
                concat!("priority = 100\n", mail!("100"), group!()),
            ];
            let also = &["192.168.130.102"];
            play(rack, &Variant { each, also, ..Variant::vrrp(&[VIP4], "protocol = \"vrrp2\"") })
        }),
        ("carp_over_ipv6", |rack| play(rack, &Variant::carp(&[VIP6], "protocol = \"carp\""))),
        ("carp_over_both_families_in_one_election", |rack| {
            play(rack, &Variant::carp(&[VIP4, VIP6], "protocol = \"carp\""))
        }),
        ("carp_to_peers", |rack| {
            let each = [
                "preempt = true\npeers = [\"192.168.130.10\"]",
                "advskew = 100\npeers = [\"192.168.130.50\"]",
            ];
            play(rack, &Variant { each, ..Variant::carp(&[VIP4], "protocol = \"carp\"") })
        }),
        ("carp_with_the_virtual_mac", |rack| {
            play(rack, &Variant::carp(&[VIP4], "protocol = \"carp\"\nmac = \"virtual\""))
        }),
        ("a_key_and_the_addresses_change_without_an_outage", key_change),
        ("cleanup_removes_what_a_dead_daemon_made_for_its_virtual_macs", cleanup_of_devices),
    ];
    support::main(&[TESTS])
}

/// First the backup, then the active one, is told the new key and one more address; both still accept the
/// old ones.
fn key_change(rack: &Rack) -> Tested {
    let mut scene = Scene::new(rack, &Variant::carp(&[VIP4], "protocol = \"carp\""))?;
    scene.start(0)?;
    scene.start(1)?;
    scene.wait_for("the better one is elected", 0)?;
    let old = rack.path("first.key");
    let new = rack.write("new.key", "another secret", 0o600)?;
    for (place, name) in [(1, "second"), (0, "first")] {
        let server = &mut scene.servers[place];
        server.stop()?;
        let present = rack.path(&format!("{name}.key"));
        let settings = server
            .settings
            .replace(&present.display().to_string(), &new.display().to_string())
            .replace(&format!("[\"{VIP4}\"]"), &format!("[\"{VIP4}\", \"192.168.130.101\"]"));
        server.settings = format!(
            "{settings}[router.web.previous]\nkey_file = \"{}\"\naddresses = [\"{VIP4}\"]\n",
            old.display()
        );
        scene.run(place)?;
        scene.wait_for("the better one is active", 0)?;
    }
    scene.addresses.push("192.168.130.101".parse()?);
    scene.servers.iter_mut().try_for_each(|server| {
        server.echoes.push(server.host.serve_echo("192.168.130.101".parse()?)?);
        Ok::<(), libtest_mimic::Failed>(())
    })?;
    scene.wait_for("both addresses are there", 0)?;
    for server in &scene.servers {
        let rejected = server.daemon.as_ref().map(|daemon| daemon.rejected("bad-authentication"));
        ensure(rejected == Some(0), format!("{}: {rejected:?} rejected", server.name))?;
    }
    Ok(())
}

fn cleanup_of_devices(rack: &Rack) -> Tested {
    let variant =
        Variant::vrrp(&[VIP4, VIP6], "protocol = \"vrrp3\"\nmac = \"virtual\"\nlease = \"off\"");
    let mut scene = Scene::new(rack, &variant)?;
    scene.start(0)?;
    scene.wait_for("it is elected", 0)?;
    let server = &scene.servers[0];
    let daemon = server.daemon.as_ref().ok_or("no daemon")?;
    daemon.kill_with_guard(&server.host)?;
    let links = || -> Result<String, libtest_mimic::Failed> {
        let mut command = Command::new("ip");
        command.args(["-o", "link", "show"]);
        Ok(told(&run_on(&server.host, command)?).1)
    };
    ensure(links()?.contains("eth0.v6-1"), "the device outlives the daemon")?;
    let mut command = carp();
    command.arg("cleanup").arg("-c").arg(rack.path("first.toml"));
    let (code, text) = told(&run_on(&server.host, command)?);
    ensure(code == Some(0) && text.contains(VIP4) && text.contains(VIP6), text)?;
    for ip in &scene.addresses {
        ensure(!server.host.holds(*ip)?, format!("{ip} is still there"))?;
    }
    let links = links()?;
    ensure(!links.contains("eth0.v"), links)
}

/// One of the two servers.
struct Server {
    name: &'static str,
    host: Host,
    settings: String,
    daemon: Option<Daemon>,
    echoes: Vec<Process>,
}

/// The link, its servers, and somebody who asks.
struct Scene<'a> {
    rack: &'a Rack,
    addresses: Vec<IpAddr>,
    servers: [Server; 2],
    observer: Host,
}

/// A crash, a return, a cut, its healing, and a planned stop.
fn play(rack: &Rack, variant: &Variant) -> Tested {
    let mut scene = Scene::new(rack, variant)?;
    scene.start(0)?;
    scene.start(1)?;
    scene.wait_for("the better one is elected", 0)?;

    scene.servers[0].power_off()?;
    scene.wait_until("the other takes over from a dead one", |scene| scene.answers(1))?;

    scene.servers[0].host.boot()?;
    scene.start(0)?;
    scene.wait_for("the better one takes its addresses back", 0)?;

    scene.servers[0].host.cut()?;
    scene.wait_until("the other takes over from one that was cut off", |scene| scene.answers(1))?;
    scene.servers[0].host.plug()?;
    scene.wait_for("they agree when they hear each other again", 0)?;

    scene.servers[0].stop()?;
    scene.wait_for("the other takes over from one that resigned", 1)?;
    let status = scene.servers[1].daemon.as_ref().and_then(Daemon::status).unwrap_or_default();
    ensure(status["cause"] == "resigned", format!("it was not waited for silence: {status}"))
}

impl<'a> Scene<'a> {
    fn new(rack: &'a Rack, variant: &Variant) -> Result<Self, libtest_mimic::Failed> {
        let switch = &rack.switch;
        let all = variant.addresses.iter().chain(variant.also);
        let addresses = all.map(|text| text.parse()).collect::<Result<Vec<IpAddr>, _>>()?;
        let server = |name, last: u8, each: &str| -> Result<Server, libtest_mimic::Failed> {
            let written: Vec<_> = variant.addresses.iter().map(|ip| format!("\"{ip}\"")).collect();
            let key = match variant.key {
                Some(secret) => {
                    let path = rack.write(&format!("{name}.key"), secret, 0o600)?;
                    format!("key_file = \"{}\"\n", path.display())
                }
                None => String::new(),
            };
            let state = rack.path(&format!("{name}.state"));
            let settings = format!(
                "[node]\nname = \"{name}\"\nstate_dir = \"{}\"\n\n[router.web]\ninterface = \"eth0\"\n\
                 id = 1\naddresses = [{}]\n{key}{}\n{each}\n",
                state.display(),
                written.join(", "),
                variant.both,
            );
            let host = host(switch, name, last)?;
            Ok(Server { name, host, settings, daemon: None, echoes: Vec::new() })
        };
        let [first, second] = variant.each;
        Ok(Self {
            rack,
            addresses,
            servers: [server("first", 0x50, first)?, server("second", 0x10, second)?],
            observer: host(switch, "observer", 0x99)?,
        })
    }

    /// Starts a server's daemon, and echo servers that answer for the addresses while it has them.
    fn start(&mut self, place: usize) -> Tested {
        let server = &mut self.servers[place];
        for address in &self.addresses {
            server.echoes.push(server.host.serve_echo(*address)?);
        }
        self.run(place)
    }

    /// Starts a server's daemon.
    fn run(&mut self, place: usize) -> Tested {
        let server = &mut self.servers[place];
        let config = self.rack.write(&format!("{}.toml", server.name), &server.settings, 0o644)?;
        server.daemon = Some(self.rack.daemon(&server.host, &config)?);
        Ok(())
    }

    /// Waits until a server holds and answers for all addresses, and the other one holds none.
    fn wait_for(&self, what: &str, place: usize) -> Tested {
        self.wait_until(what, |scene| {
            let other = &scene.servers[1 - place];
            let free = |ip: &IpAddr| !other.host.holds(*ip).unwrap_or(true);
            scene.addresses.iter().all(free) && scene.answers(place)
        })
    }

    fn wait_until(&self, what: &str, condition: impl Fn(&Self) -> bool) -> Tested {
        wait_until(LIMIT, what, || condition(self)).map_err(|error| {
            let said = |server: &Server| {
                let daemon = server.daemon.as_ref();
                let said = daemon.map(|daemon| daemon.process.said()).unwrap_or_default();
                format!("{}:\n{said}", server.name)
            };
            let [first, second] = [0, 1].map(|place| said(&self.servers[place]));
            format!("{error}\n{first}\n{second}").into()
        })
    }

    /// Whether a server holds all addresses and answers for each of them.
    fn answers(&self, place: usize) -> bool {
        let server = &self.servers[place];
        self.addresses.iter().all(|ip| {
            server.host.holds(*ip).unwrap_or(false)
                && self.observer.ask(*ip, PATIENCE).ok().flatten().as_deref() == Some(server.name)
        })
    }
}

impl Server {
    fn power_off(&mut self) -> Tested {
        self.host.power_off()?;
        self.daemon = None;
        self.echoes.clear();
        Ok(())
    }

    fn stop(&self) -> Tested {
        self.daemon.as_ref().map_or(Ok(()), Daemon::stop)
    }
}

/// A host with addresses of both families.
fn host(switch: &Switch, name: &str, last: u8) -> Result<Host, libtest_mimic::Failed> {
    let address = match last {
        0x50 => 50,
        0x10 => 10,
        other => other,
    };
    let own = [
        format!("192.168.130.{address}/24"),
        format!("2001:db8::{last:x}/64"),
        format!("fe80::{last:x}/64"),
    ];
    Ok(switch.host(name, mac(last), &own.each_ref().map(String::as_str))?)
}
