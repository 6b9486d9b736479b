//! Who advertises how often, and how well it stands.

use std::time::Duration;

use carp_node::sync::standing::VETO_FRESH;
use carp_proto::{
    AdvBase, AdvSkew, CarpInterval, Centiseconds, Instant, Key, Priority, RouterConfig, Seconds,
    VirtualAddress, VirtualId, VirtualRouter, Vrrp2, Vrrp3,
};

use super::model::Who;
use crate::args::DemoProtocol;

/// The key file of CARP, beside the configuration.
pub(super) const KEY_FILE: &str = "web.key";

/// How often a daemon asks its peer.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// VRRP's priorities of the primary and of the secondary.
const PRIORITIES: [u8; 2] = [200, 100];

/// What the two servers are told, and the times that follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timers {
    protocol: DemoProtocol,
    servers: [Server; 2],
}

/// The settings and the times of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Server {
    /// CARP's advbase and advskew.
    carp: CarpInterval,
    /// Its advert interval.
    interval: Duration,
    /// How long it waits for an advert.
    active_down: Duration,
}

impl Timers {
    /// Timers for an advert interval of the primary.
    ///
    /// In CARP, from one second on, the secondary has a skew of 100, as in the paper; below, an eighth
    /// more than the primary. In VRRP both have the same interval.
    ///
    /// # Errors
    /// Which intervals there are, if this is none.
    pub(super) fn new(protocol: DemoProtocol, interval: Duration) -> Result<Self, &'static str> {
        let settings = match protocol {
            DemoProtocol::Carp => carp_intervals(interval).ok_or(
                "choose 1s to 10s in whole seconds, or below one second a multiple of 125ms, such as 250ms",
            )?,
            DemoProtocol::Vrrp2 | DemoProtocol::Vrrp3 => [CarpInterval { advbase: 0, advskew: 0 }; 2],
        };
        let server = |who: Who| {
            let carp = settings[who.index()];
            let config = config(protocol, interval, carp, PRIORITIES[who.index()])?;
            let interval = config.standing().interval();
            let active_down = VirtualRouter::new(config).snapshot(Instant::ZERO).active_down;
            Some(Server { carp, interval, active_down })
        };
        let servers = server(Who::Primary).zip(server(Who::Secondary));
        let (primary, secondary) = servers.ok_or(match protocol {
            DemoProtocol::Carp | DemoProtocol::Vrrp2 => "choose 1s to 10s in whole seconds",
            DemoProtocol::Vrrp3 => "choose 100ms to 10s in steps of 10ms",
        })?;
        Ok(Self { protocol, servers: [primary, secondary] })
    }

    /// What the configuration of a server says of it.
    pub(super) fn settings(self, who: Who) -> String {
        let preempt = who == Who::Primary;
        let of_protocol = match self.protocol {
            DemoProtocol::Carp => {
                let CarpInterval { advbase, advskew } = self.of(who).carp;
                format!("key_file = \"{KEY_FILE}\"\nadvbase = {advbase}\nadvskew = {advskew}")
            }
            DemoProtocol::Vrrp2 | DemoProtocol::Vrrp3 => format!(
                "priority = {}\ninterval = \"{}ms\"",
                PRIORITIES[who.index()],
                self.of(who).interval.as_millis()
            ),
        };
        format!("protocol = \"{}\"\n{of_protocol}\npreempt = {preempt}\n", self.protocol.name())
    }

    /// Whether a server waits at least as long for adverts as the peer's own word counts that it lives. If not, a takeover
    /// would wait for that word to grow old.
    pub(super) fn outlast_a_word(self) -> bool {
        Who::ALL.into_iter().all(|who| self.active_down(who) >= VETO_FRESH + ASKED_EVERY)
    }

    /// What the servers elect by.
    pub(super) const fn protocol(self) -> DemoProtocol {
        self.protocol
    }

    /// The advert interval of a server.
    pub(super) fn interval(self, who: Who) -> Duration {
        self.of(who).interval
    }

    /// How long a server waits for an advert.
    pub(super) fn active_down(self, who: Who) -> Duration {
        self.of(who).active_down
    }

    /// How long the primary needs, once it is back, to take over from the secondary: in CARP until that
    /// advertises, in VRRP it waits as if there was nobody.
    pub(super) fn failback(self) -> Duration {
        match self.protocol {
            DemoProtocol::Carp => self.interval(Who::Secondary),
            DemoProtocol::Vrrp2 | DemoProtocol::Vrrp3 => self.active_down(Who::Primary),
        }
    }

    fn of(self, who: Who) -> Server {
        self.servers[who.index()]
    }
}

/// CARP's settings for an advert interval of the primary; `None` if there are none.
fn carp_intervals(interval: Duration) -> Option<[CarpInterval; 2]> {
    let whole = interval.subsec_nanos() == 0;
    if whole && (1..=10).contains(&interval.as_secs()) {
        let advbase = u8::try_from(interval.as_secs()).ok()?;
        return Some([0, 100].map(|advskew| CarpInterval { advbase, advskew }));
    }
    let units = interval.as_nanos().checked_mul(256)? / 1_000_000_000;
    let exact = units * 1_000_000_000 == interval.as_nanos() * 256;
    let primary = u8::try_from(units).ok().filter(|units| exact && *units > 0)?;
    let secondary = primary.checked_add(primary.div_ceil(8)).filter(|skew| *skew < 255)?;
    Some([primary, secondary].map(|advskew| CarpInterval { advbase: 0, advskew }))
}

/// What a server's router will be, to be asked for its times; `None` if there is none.
fn config(
    protocol: DemoProtocol,
    interval: Duration,
    carp: CarpInterval,
    priority: u8,
) -> Option<RouterConfig> {
    let id = VirtualId::new(1).ok()?;
    let addresses: Vec<VirtualAddress> = vec![super::stage::VIP.parse().ok()?];
    let priority = Priority::try_from(i64::from(priority)).ok()?;
    let shown = (Duration::from_millis(100)..=Duration::from_secs(10)).contains(&interval);
    match protocol {
        DemoProtocol::Carp => {
            let base = AdvBase::new(carp.advbase.into()).ok()?;
            let skew = AdvSkew::new(carp.advskew.into()).ok()?;
            let config = RouterConfig::carp(id, &Key::new(b"-").ok()?, addresses, 0).ok()?;
            config.with_interval(carp_proto::election::Dialect::Native, base, skew).ok()
        }
        DemoProtocol::Vrrp2 => {
            let interval = Seconds::try_from(interval).ok().filter(|_| shown)?;
            let settings = Vrrp2 { priority, interval, ..Vrrp2::default() };
            RouterConfig::vrrp2(id, addresses, settings).ok()
        }
        DemoProtocol::Vrrp3 => {
            let interval = Centiseconds::try_from(interval).ok().filter(|_| shown)?;
            let settings = Vrrp3 { priority, interval, ..Vrrp3::default() };
            RouterConfig::vrrp3(id, addresses, settings).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timers(protocol: DemoProtocol, millis: u64) -> Option<Timers> {
        Timers::new(protocol, Duration::from_millis(millis)).ok()
    }

    #[test]
    fn carp_has_some_intervals() {
        let skews = |millis| {
            let timers = timers(DemoProtocol::Carp, millis)?;
            let [first, second] = Who::ALL.map(|who| timers.of(who).carp);
            Some((first.advbase, first.advskew, second.advskew))
        };
        assert_eq!(skews(1000), Some((1, 0, 100)));
        assert_eq!(skews(10_000), Some((10, 0, 100)));
        assert_eq!(skews(250), Some((0, 64, 72)));
        assert_eq!(skews(875), Some((0, 224, 252)));
        for impossible in [0, 100, 760, 1500, 11_000] {
            assert_eq!(skews(impossible), None, "{impossible} ms");
        }
    }

    #[test]
    fn vrrp_has_others() {
        let possible = |protocol| {
            [0, 10, 100, 105, 760, 1000, 1500, 10_000, 11_000]
                .into_iter()
                .filter(move |millis| timers(protocol, *millis).is_some())
                .collect::<Vec<_>>()
        };
        assert_eq!(possible(DemoProtocol::Vrrp2), [1000, 10_000]);
        assert_eq!(possible(DemoProtocol::Vrrp3), [100, 760, 1000, 1500, 10_000]);
    }

    #[test]
    fn the_times_are_those_of_the_protocol() {
        let carp = timers(DemoProtocol::Carp, 1000).unwrap();
        assert_eq!(carp.active_down(Who::Secondary).as_nanos(), 3_390_625_000);
        assert_eq!(carp.failback().as_nanos(), 1_390_625_000);
        let vrrp = timers(DemoProtocol::Vrrp3, 500).unwrap();
        assert_eq!(vrrp.interval(Who::Primary).as_millis(), 500);
        // Three intervals, and (256 - priority) / 256 of one.
        assert_eq!(vrrp.active_down(Who::Secondary).as_nanos(), 1_804_687_500);
        assert_eq!(vrrp.failback().as_nanos(), 1_609_375_000);
    }

    #[test]
    fn adverts_that_come_fast_do_not_wait_for_a_word_to_grow_old() {
        let waits = |protocol, millis| timers(protocol, millis).map(Timers::outlast_a_word);
        assert_eq!(waits(DemoProtocol::Carp, 1000), Some(true));
        assert_eq!(waits(DemoProtocol::Carp, 250), Some(false));
        assert_eq!(waits(DemoProtocol::Vrrp3, 500), Some(false));
    }

    #[test]
    fn each_server_is_told_its_own() {
        let carp = timers(DemoProtocol::Carp, 1000).unwrap().settings(Who::Secondary);
        assert!(carp.contains("protocol = \"carp\"") && carp.contains("advskew = 100"), "{carp}");
        let vrrp = timers(DemoProtocol::Vrrp2, 2000).unwrap().settings(Who::Primary);
        assert!(vrrp.contains("priority = 200\ninterval = \"2000ms\"\npreempt = true"), "{vrrp}");
    }
}
