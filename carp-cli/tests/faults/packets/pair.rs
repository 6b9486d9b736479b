//! Two routers of any kind, and somebody on their link who sends what he likes.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::lab::{AddressWatch, Flood, Frame, Host, Switch, Tap, mac, wait_until};
use carp_proto::MacAddr;
use carp_proto::election::Dialect;
use carp_proto::wire::checksum::checksum;
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{emit_ipv4, emit_ipv6_advert};
use libtest_mimic::Failed;

use crate::proto::Setup;
use crate::proto::peers::{Datagram, Extra, KEY, PASSWORD};
use crate::proto::vrrp::Version;
use crate::support::{Daemon, LIMIT, Rack, Tested, claims, ensure, run_on_machine};

/// The host that bad packets are for, as carp-proto's tests have it, and its peer.
pub(super) const TARGET: u8 = 5;
pub(super) const PEER: u8 = 6;

/// What a loaded machine may add to any time; less than an interval.
const MARGIN: Duration = Duration::from_millis(800);

/// The ranks of the two: all bad adverts are better. 255 less these are priorities in VRRP.
const BETTER: u8 = 50;
const WORSE: u8 = 100;

/// A router on a host, and what it was seen to do.
pub(super) struct Station {
    pub(super) host: Host,
    pub(super) daemon: Daemon,
    addresses: AddressWatch,
    sent: Tap,
}

/// The target, its peer, and who attacks.
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) setup: Setup,
    pub(super) target: Station,
    pub(super) peer: Station,
    pub(super) attacker: Host,
}

/// What a station had done at some moment.
pub(super) struct Mark {
    at: Instant,
    transitions: u64,
    held: bool,
}

impl Pair {
    /// Starts both on a switch of their own, the better one first, and waits until that is active and the
    /// other knows it.
    pub(super) fn start(rack: &Rack, setup: Setup, target_is_active: bool) -> Result<Self, Failed> {
        let name = name(setup, target_is_active);
        let switch = Switch::new(rack.lab)?;
        let active = if target_is_active { TARGET } else { PEER };
        let station = |last: u8| -> Result<Station, Failed> {
            let own = format!("{}/{}", setup.host(last), prefix(setup));
            let host = switch.host(&format!("host{last}"), mac(last), &[&own])?;
            // Somebody may send from the host's own address: the kernel is not to drop that.
            let accept = "echo 1 >/proc/sys/net/ipv4/conf/all/accept_local";
            run_on_machine(&host, accept)?;
            let skew = if last == active { BETTER } else { WORSE };
            let config = configure(rack, &format!("{name}-{last}"), setup, skew, last)?;
            let (addresses, sent) = (host.watch_addresses()?, host.tap_sent()?);
            let daemon = rack.daemon(&host, &config)?;
            if last == active {
                wait_until(LIMIT, &format!("{name}: an active router"), || {
                    holds(&host, setup) && daemon.state() == "active"
                })?;
            }
            Ok(Station { host, daemon, addresses, sent })
        };
        let (target, peer) = if target_is_active {
            let target = station(TARGET)?;
            (target, station(PEER)?)
        } else {
            let peer = station(PEER)?;
            (station(TARGET)?, peer)
        };
        let attacker = switch.host("attacker", mac(0x66), &[])?;
        let pair = Self { name, setup, target, peer, attacker };
        let backup = if target_is_active { &pair.peer } else { &pair.target };
        wait_until(LIMIT, &format!("{}: a backup that hears", pair.name), || {
            let status = backup.daemon.status().unwrap_or_default();
            status["state"] == "backup"
                && status["peers"].as_array().is_some_and(|it| it.len() == 1)
        })?;
        Ok(pair)
    }

    /// The active one and the other.
    pub(super) fn active_and_backup(&self) -> Result<(&Station, &Station), Failed> {
        match (self.target.holds(self.setup), self.peer.holds(self.setup)) {
            (true, false) => Ok((&self.target, &self.peer)),
            (false, true) => Ok((&self.peer, &self.target)),
            (one, other) => Err(format!("{}: {one}, {other}", self.name).into()),
        }
    }

    /// Sends such adverts, to the target alone or to everybody.
    pub(super) fn attack(
        &self,
        adverts: &[Datagram],
        to: MacAddr,
        rate: u32,
        time: Duration,
    ) -> Result<Flood, Failed> {
        let frames = adverts.iter().map(|advert| frame(to, advert)).collect();
        Ok(self.attacker.flood(frames, rate, time)?)
    }

    /// Fails unless everything was as if nobody had sent anything since then: the active router has
    /// advertised once an interval, and nothing else has happened.
    pub(super) fn expect_calm(&self, since: &[Mark; 2], out_of_turn: usize) -> Tested {
        let (active, backup) = self.active_and_backup()?;
        let until = Instant::now();
        for (station, mark) in [&self.target, &self.peer].into_iter().zip(since) {
            let name = format!("{}, {}", self.name, station.host.name());
            let transitions = station.transitions()? - mark.transitions;
            ensure(transitions == 0, format!("{name}: {transitions} transitions"))?;
            let moved = station.moved(self.setup, mark.at);
            ensure(!moved, format!("{name}: the address came or went"))?;
            ensure(station.holds(self.setup) == mark.held, format!("{name}: the address moved"))?;
        }
        let silent = backup.adverts(since[0].at).len();
        ensure(silent == 0, format!("{}: the backup sent {silent} adverts", self.name))?;
        self.expect_adverts(active, since[0].at, until, out_of_turn)
    }

    /// Fails unless there was an advert an interval, and at most so many more.
    fn expect_adverts(
        &self,
        active: &Station,
        since: Instant,
        until: Instant,
        out_of_turn: usize,
    ) -> Tested {
        let interval = self.interval();
        let times = active.adverts(since);
        let due = (until - since).div_duration_f64(interval) as usize;
        let count = times.len();
        let expected = due.saturating_sub(1)..=due + 1 + out_of_turn;
        let name = &self.name;
        ensure(expected.contains(&count), format!("{name}: {count} adverts, not {expected:?}"))?;
        let late = worst_gap(&times).saturating_sub(interval);
        ensure(late < MARGIN, format!("{name}: an advert {late:?} late"))
    }

    /// By how much each advert of the active router was late since then, counted from the one before.
    pub(super) fn lateness(&self, since: Instant) -> Result<Vec<Duration>, Failed> {
        let times = self.active_and_backup()?.0.adverts(since);
        let late = |pair: &[Instant]| (pair[1] - pair[0]).saturating_sub(self.interval());
        Ok(times.windows(2).map(late).collect())
    }

    /// An advert interval of the active router.
    pub(super) fn interval(&self) -> Duration {
        let skew = if self.setup.vrrp.is_none() { u32::from(BETTER) } else { 0 };
        Duration::from_secs(1) + crate::proto::SKEW_UNIT * skew
    }

    /// The longest that the backup waits after the last advert.
    pub(super) fn active_down(&self) -> Duration {
        let advert =
            if self.setup.vrrp.is_none() { Duration::from_secs(1) } else { self.interval() };
        3 * advert + crate::proto::SKEW_UNIT * u32::from(WORSE) + Duration::from_secs(1)
    }

    pub(super) fn mark(&self) -> Result<[Mark; 2], Failed> {
        Ok([self.target.mark(self.setup)?, self.peer.mark(self.setup)?])
    }
}

impl Station {
    pub(super) fn holds(&self, setup: Setup) -> bool {
        holds(&self.host, setup)
    }

    fn transitions(&self) -> Result<u64, Failed> {
        let status = self.daemon.status().ok_or("no status")?;
        Ok(status["transitions"].as_u64().ok_or("no transitions")?)
    }

    fn mark(&self, setup: Setup) -> Result<Mark, Failed> {
        let (transitions, held) = (self.transitions()?, self.holds(setup));
        Ok(Mark { at: Instant::now(), transitions, held })
    }

    /// Whether a virtual address came to the host or left it since then.
    fn moved(&self, setup: Setup, since: Instant) -> bool {
        vips(setup).any(|ip| {
            self.addresses.left(ip, since).is_some() || self.addresses.came(ip, since).is_some()
        })
    }

    /// When it took over since then.
    pub(super) fn took_over(&self, setup: Setup, since: Instant) -> Option<Instant> {
        vips(setup).filter_map(|ip| self.addresses.came(ip, since)).min()
    }

    /// When it sent adverts that claim the address, since then.
    pub(super) fn adverts(&self, since: Instant) -> Vec<Instant> {
        let frames = self.sent.frames();
        let adverts = frames.iter().filter(|frame| frame.at >= since && claims(frame));
        adverts.map(|frame| frame.at).collect()
    }

    /// How many packets the kernel dropped because its queue was full.
    pub(super) fn kernel_dropped(&self) -> u64 {
        let status = self.daemon.status().unwrap_or_default();
        status["counters"]["kernel_dropped"].as_u64().unwrap_or(0)
    }

    /// How many frames since then announce an address.
    pub(super) fn announcements(&self, since: Instant) -> usize {
        let announces = |frame: &&Frame| frame.at >= since && frame.announcement().is_some();
        self.sent.frames().iter().filter(announces).count()
    }
}

/// The longest time between two of these, one after the other.
fn worst_gap(times: &[Instant]) -> Duration {
    times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

fn vips(setup: Setup) -> impl Iterator<Item = IpAddr> {
    setup.texts().iter().filter_map(|text| text.parse().ok())
}

fn holds(host: &Host, setup: Setup) -> bool {
    vips(setup).all(|ip| host.has_address(ip).unwrap_or(false))
}

fn prefix(setup: Setup) -> u8 {
    if setup.family() == Version::V3Ipv6 { 64 } else { 24 }
}

/// What a router is called in messages, and in the names of its files.
fn name(setup: Setup, active: bool) -> String {
    let protocol = match setup.vrrp {
        None => "carp",
        Some(Version::V2) => "vrrp2",
        Some(Version::V3) => "vrrp3",
        Some(Version::V3Ipv6) => "vrrp3-ipv6",
    };
    let role = if active { "active" } else { "backup" };
    format!("{protocol}-{:?}-{:?}-{role}", setup.extra, setup.dialect).to_lowercase()
}

fn configure(
    rack: &Rack,
    name: &str,
    setup: Setup,
    skew: u8,
    own: u8,
) -> Result<std::path::PathBuf, Failed> {
    let priority = 255 - skew;
    let mut router = match setup.vrrp {
        None => {
            let dialect = if setup.dialect == Dialect::OpenBsd { "openbsd" } else { "native" };
            format!("protocol = \"carp\"\nadvskew = {skew}\ndialect = \"{dialect}\"\n")
        }
        Some(Version::V2) => format!("protocol = \"vrrp2\"\npriority = {priority}\n"),
        Some(Version::V3 | Version::V3Ipv6) => {
            format!("protocol = \"vrrp3\"\npriority = {priority}\n")
        }
    };
    let secret = match (setup.vrrp, setup.extra) {
        (None, _) => Some(KEY),
        (Some(_), Extra::Password) => Some(PASSWORD),
        (Some(_), _) => None,
    };
    if let Some(secret) = secret {
        let secret = String::from_utf8_lossy(secret);
        let key = rack.write(&format!("{name}.key"), &secret, 0o600)?;
        writeln!(router, "key_file = \"{}\"", key.display())?;
    }
    if setup.extra == Extra::Password {
        router.push_str("auth = \"password\"\n");
    }
    if let Some(mut hosts) = setup.only() {
        // Those whom the target hears; the target is one of those whom the peer hears.
        hosts.push(setup.host(TARGET));
        hosts.retain(|host| *host != setup.host(own));
        let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
        writeln!(router, "accept_from = {hosts:?}")?;
    }
    let (state, texts) = (rack.path(&format!("{name}.state")), setup.texts());
    let text = format!(
        "[node]\nname = \"{name}\"\nstate_dir = \"{}\"\n\n[router.web]\ninterface = \"eth0\"\n\
         id = 42\naddresses = {texts:?}\n{router}",
        state.display()
    );
    rack.write(&format!("{name}.toml"), &text, 0o644)
}

/// A frame with an advert, whatever its IP header says.
pub(super) fn frame(to: MacAddr, (meta, message): &Datagram) -> Vec<u8> {
    const TTL_OFFSET: usize = ethernet::HEADER_LEN + 8;
    const HOP_LIMIT_OFFSET: usize = ethernet::HEADER_LEN + 7;
    const CHECKSUM: std::ops::Range<usize> = ethernet::HEADER_LEN + 10..ethernet::HEADER_LEN + 12;
    const HEADER: std::ops::Range<usize> = ethernet::HEADER_LEN..ethernet::HEADER_LEN + 20;
    let mut frame = Vec::new();
    match (meta.source, meta.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet::emit(&mut frame, to, mac(0x66), ethernet::TYPE_IPV4);
            emit_ipv4(source, destination, message.len(), &mut frame);
            frame[TTL_OFFSET] = meta.ttl;
            frame[CHECKSUM].fill(0);
            let sum = checksum(&frame[HEADER]);
            frame[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet::emit(&mut frame, to, mac(0x66), ethernet::TYPE_IPV6);
            emit_ipv6_advert(source, destination, message.len(), &mut frame);
            frame[HOP_LIMIT_OFFSET] = meta.ttl;
        }
        (source, destination) => panic!("no header is from {source} to {destination}"),
    }
    frame.extend_from_slice(message);
    frame
}
