//! Several routers of the tests on one link, in the crate's simulator.

use std::time::Duration;

use carp_proto::RouterConfig;
use carp_proto::election::Input;
use carp_proto::sim::{self, Chance, Fault, HostModel, HostPlan, LeaseModel, Span};

use super::Setup;

/// What the link and the hosts do to time and packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Adverts and announcements arrive after up to this long.
    pub(crate) delay: Duration,
    /// Datagrams lost, in percent.
    pub(crate) loss: u32,
    /// Deadlines are met up to this late.
    pub(crate) lateness: Duration,
    /// Taking the addresses lasts up to this long.
    pub(crate) acquiring: Duration,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        delay: Duration::from_millis(2),
        loss: 0,
        lateness: Duration::from_millis(1),
        acquiring: Duration::from_millis(5),
    };

    fn host(self) -> HostModel {
        HostModel {
            lateness: self.lateness,
            acquire: self.acquiring,
            release: Duration::ZERO,
            notice: Duration::ZERO,
            lease: LeaseModel::Off,
            guard: false,
            restart: None,
        }
    }

    pub(crate) fn link(self) -> sim::Weather {
        let loss = Chance::percent(self.loss);
        sim::Weather { delay: Duration::ZERO, jitter: self.delay, loss, ..sim::Weather::FAIR }
    }
}

/// For each link the routers of all nodes, off: nodes are in groups if there are several links, or if it is
/// wanted.
pub(crate) fn off(links: &[&[Setup]], weather: Weather, seed: u64, grouped: bool) -> sim::Lan {
    let config = |setup: &Setup, node: usize| -> RouterConfig {
        // Equal seeds would be equal cookies, and their adverts each other's echoes.
        let number = u64::try_from(node + 1).expect("a small LAN");
        Setup { seed: number << 32, ..*setup }.config()
    };
    let plan = |node: usize| {
        let routers = links.iter().map(|setups| config(&setups[node], node)).collect();
        HostPlan::numbered(u8::try_from(node).expect("a small LAN"), weather.host(), routers)
    };
    let plans: Vec<HostPlan> = (0..links[0].len()).map(plan).collect();
    sim::Lan::new(&plans, weather.link(), seed).with_groups(grouped)
}

/// A LAN of one link. Routers have the addresses 10.99.0.1 and up, or `fe80::1` and up.
pub(crate) struct Lan {
    pub(crate) sim: sim::Lan,
    pub(crate) weather: Weather,
}

impl Lan {
    /// All started and linked.
    pub(crate) fn new(setups: &[Setup], weather: Weather, seed: u64) -> Self {
        let mut sim = off(&[setups], weather, seed, false);
        sim.boot_all();
        Self { sim, weather }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.sim.run(time);
        assert_eq!(self.sim.violation(), None);
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        self.sim.tell(node, 0, input);
    }

    pub(crate) fn plug(&mut self, node: usize, plugged: bool) {
        let (host, link) = (node, 0);
        self.sim.apply(if plugged {
            Fault::PlugIn { host, link }
        } else {
            Fault::Unplug { host, link }
        });
    }

    /// The machine is gone, and its addresses with it.
    pub(crate) fn kill(&mut self, node: usize) {
        self.sim.apply(Fault::Crash { host: node });
    }

    /// Nobody hears anybody.
    pub(crate) fn isolate(&mut self) {
        for from in 0..self.sim.hosts() {
            for to in (0..self.sim.hosts()).filter(|to| *to != from) {
                self.sim.apply(Fault::Cut { link: 0, from, to });
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.sim.apply(Fault::Heal);
    }

    pub(crate) fn set_loss(&mut self, loss: u32) {
        self.weather.loss = loss;
        self.sim.apply(Fault::Weather(self.weather.link()));
    }

    pub(crate) fn active(&self) -> Vec<usize> {
        self.sim.active(0).collect()
    }

    pub(crate) fn holding(&self) -> u32 {
        self.sim.holding(0)
    }

    /// The longest time since `from` for which the number of holders was not as wanted.
    pub(crate) fn longest_outside(&self, from: Duration, wanted: impl Fn(u32) -> bool) -> Duration {
        let during = Span { from, to: self.sim.elapsed() };
        self.sim.record().longest(0, during, |hosts| !wanted(hosts.count_ones()))
    }

    /// How often anything changed.
    pub(crate) fn changes(&self) -> usize {
        self.sim.record().changes.len()
    }
}

/// The longest active-down interval and the longest advert interval of the routers of a link that live.
pub(crate) fn slowest(lan: &sim::Lan, link: usize) -> (Duration, Duration) {
    let living = (0..lan.hosts()).filter(|host| lan.is_running(*host));
    let snapshots = living.map(|host| lan.router(host, link).snapshot(lan.now()));
    let times: Vec<_> = snapshots.map(|it| (it.active_down, it.interval)).collect();
    let longest = |of: fn(&(Duration, Duration)) -> Duration| times.iter().map(of).max();
    (longest(|it| it.0).unwrap_or_default(), longest(|it| it.1).unwrap_or_default())
}
