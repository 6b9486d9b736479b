//! Scenarios by the million: every kind of host, router and fault, from a seed or from bytes.

use alloc::format;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::choices::{Bytes, Choices};
use super::fault::{Fault, Weather};
use super::host::{HostModel, LeaseModel};
use super::random::{Chance, Random};
use super::scenario::{HostSpec, Scenario, Step};
use super::spec::{Spec, SpecSpeech};
use crate::address::VirtualAddress;
use crate::election::Dialect;
use crate::id::{Priority, VirtualId};
use crate::interval::{AdvBase, AdvSkew, Centiseconds, Seconds};

/// How good a router is: from 0, the best, in steps that are far apart.
const WORSE: [u8; 8] = [0, 1, 40, 80, 100, 140, 200, 240];

/// The scenario of a seed: two to five hosts with one to three routers each, all of one protocol a link, and
/// up to 23 things that go wrong. At its end all is made well.
///
/// The same seed is the same scenario in every version of this crate that has the same generator; a saved
/// text is the same for ever.
#[must_use]
pub fn random_scenario(seed: u64) -> Scenario {
    scenario(&mut Random::new(seed))
}

/// The scenario that a fuzzer's or a property test's bytes choose, of the same kinds as [`random_scenario`].
///
/// Any bytes are a scenario in which every invariant has to hold. Where they end, the first choice is taken: what is
/// shorter is simpler, and none at all are two hosts to which nothing happens. A scenario uses a few hundred bytes at most.
#[must_use]
pub fn scenario_of(bytes: &[u8]) -> Scenario {
    scenario(&mut Bytes::new(bytes))
}

fn scenario(random: &mut impl Choices) -> Scenario {
    let hosts = size(random);
    let links = match random.below(8) {
        0 => 2,
        1 => 3,
        _ => 1,
    };
    let preempts = random.below(3);
    let mut links: Vec<Vec<Spec>> = (0..links)
        .map(|link| routers(random, hosts, u8::try_from(link).unwrap_or(0), preempts))
        .collect();
    if random.below(8) == 0 {
        links.iter_mut().for_each(|routers| speak_to_each_other(routers));
    }
    let calm = random.below(4) == 0;
    let model = model(random);
    let host = |number: usize| {
        let last = u8::try_from(number).unwrap_or(0).saturating_add(1);
        HostSpec {
            name: format!("h{last}"),
            model,
            sources: sources(last),
            routers: links.iter().map(|routers| routers[number].clone()).collect(),
        }
    };
    let mut scenario = Scenario::new(random.next(), (0..hosts).map(host).collect());
    scenario.weather = weather(random, calm);
    let mut at = Duration::ZERO;
    for _ in 0..random.below(24) {
        // In a calm one, each fault finds all well.
        let pause = if calm { 20_000 } else { 4_000 };
        at += Duration::from_millis(if calm { 10_000 } else { 0 });
        at += Duration::from_micros(random.below(pause * 1_000));
        let fault = fault(random, hosts, links.len(), calm);
        scenario.steps.push(Step { at, fault });
        if at > Duration::from_secs(60) {
            break;
        }
    }
    if has_mixed_demotion(&links) {
        scenario.steps.retain(|step| !matches!(step.fault, Fault::Demote { .. }));
    }
    if links.iter().flatten().any(|spec| matches!(spec.speech, SpecSpeech::Vrrp2 { .. })) {
        // It refuses adverts of another interval.
        scenario.steps.retain(|step| !matches!(step.fault, Fault::Retime { .. }));
    }
    scenario.until = at + Duration::from_micros(random.below(5_000_000));
    scenario
}

/// The own addresses of the host of this number.
fn sources(number: u8) -> (Ipv4Addr, Ipv6Addr) {
    let ipv6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(number));
    (Ipv4Addr::new(10, 99, 0, number), ipv6)
}

/// The routers of a link send their adverts to each other, and not to the group.
fn speak_to_each_other(routers: &mut [Spec]) {
    let count = u8::try_from(routers.len()).unwrap_or(u8::MAX);
    for (own, spec) in (1..).zip(routers.iter_mut()) {
        let speaks =
            |peer: &IpAddr| spec.addresses.iter().any(|it| it.ip().is_ipv4() == peer.is_ipv4());
        let hosts = (1..=count).filter(|number| *number != own);
        let peers =
            hosts.map(sources).flat_map(|(ipv4, ipv6)| [IpAddr::V4(ipv4), IpAddr::V6(ipv6)]);
        spec.peers = peers.filter(speaks).collect();
    }
}

/// Whether some routers of a link count the demotion byte and others do not: then two can each be better
/// than the other, as docs/election.md says.
fn has_mixed_demotion(links: &[Vec<Spec>]) -> bool {
    let counts = |spec: &Spec| match spec.speech {
        SpecSpeech::Carp { dialect, .. } => dialect == Dialect::OpenBsd,
        SpecSpeech::Vrrp2 { .. } | SpecSpeech::Vrrp3 { .. } => false,
    };
    let mixed = |routers: &Vec<Spec>| routers.iter().any(|it| counts(it) != counts(&routers[0]));
    links.iter().any(mixed)
}

fn size(random: &mut impl Choices) -> usize {
    match random.below(8) {
        0..=3 => 2,
        4..=5 => 3,
        6 => 4,
        _ => 5,
    }
}

fn model(random: &mut impl Choices) -> HostModel {
    let mut millis = |most: u64| Duration::from_micros(random.below(most * 1_000));
    let [lateness, acquire, release, notice] = [20, 50, 20, 100].map(&mut millis);
    HostModel {
        lateness,
        acquire,
        release,
        notice,
        lease: match random.below(4) {
            0 => LeaseModel::Off,
            1 => LeaseModel::Of(Duration::from_secs(random.between(1, 5))),
            _ => LeaseModel::Auto,
        },
        guard: random.below(3) > 0,
        restart: (random.below(2) == 0).then(|| Duration::from_micros(random.below(3_000_000))),
    }
}

fn weather(random: &mut impl Choices, calm: bool) -> Weather {
    let mut weather = Weather {
        delay: Duration::from_micros(random.below(5_000)),
        jitter: Duration::from_micros(random.below(10_000)),
        ..Weather::FAIR
    };
    if random.below(3) == 0 {
        weather.duplicate = Chance::percent(u32::try_from(random.below(20)).unwrap_or(0));
        weather.reorder = Chance::percent(u32::try_from(random.below(20)).unwrap_or(0));
    }
    if !calm && random.below(2) == 0 {
        weather.loss = Chance::percent(u32::try_from(random.below(60)).unwrap_or(0));
    }
    weather
}

/// One router of a link for each host.
fn routers(random: &mut impl Choices, hosts: usize, link: u8, preempts: u64) -> Vec<Spec> {
    let protocol = random.below(6);
    let dialect = random.pick(&Dialect::ALL).copied().unwrap_or_default();
    let mixed = random.below(4) == 0;
    let advbase = random.between(1, 3);
    let centiseconds = random.pick(&[25, 100, 100, 100, 300]).copied().unwrap_or(100);
    let same_interval = random.below(4) > 0;
    let signed = random.below(4) == 0;
    let mut worse: Vec<u8> = WORSE.to_vec();
    let mut owner = protocol >= 3 && random.below(8) == 0;
    let ties = random.below(6) == 0;
    // CARP speaks both families in one election, where it has addresses of both.
    let (ipv4, ipv6) = match (protocol, random.below(4)) {
        (0..=2, 0) | (5, _) => (false, true),
        (0..=2, 1) => (true, true),
        _ => (true, false),
    };
    let mut specs = Vec::new();
    for _ in 0..hosts {
        let place = usize::try_from(random.below(u64::try_from(worse.len()).unwrap_or(1)));
        let worse = worse.swap_remove(place.unwrap_or(0));
        let own_dialect = random.pick(&Dialect::ALL).copied().unwrap_or_default();
        let own_base = random.between(1, 3);
        let own_interval = random.pick(&[25_u16, 100, 100, 300]).copied().unwrap_or(100);
        let advbase = if same_interval { advbase } else { own_base };
        let priority = if core::mem::take(&mut owner) {
            Priority::OWNER
        } else {
            Priority::from_wire(254_u8.saturating_sub(worse).max(1))
        };
        let speech = match protocol {
            0..=2 => SpecSpeech::Carp {
                dialect: if mixed { own_dialect } else { dialect },
                advbase: AdvBase::new(i64::try_from(advbase).unwrap_or(1)).expect("1 to 3"),
                // Two of the dialects have no rule for equal ranks that always ends.
                advskew: AdvSkew::new(match (ties && !mixed, dialect) {
                    (true, Dialect::Native | Dialect::Ucarp) => 100,
                    (_, Dialect::Native | Dialect::Ucarp | Dialect::OpenBsd | Dialect::FreeBsd) => {
                        worse.into()
                    }
                })
                .expect("up to 254"),
            },
            3 => SpecSpeech::Vrrp2 {
                priority: if ties { Priority::DEFAULT } else { priority },
                interval: Seconds::from_wire(u8::try_from(advbase.min(2)).unwrap_or(1)),
            },
            _ => SpecSpeech::Vrrp3 {
                priority: if ties { Priority::DEFAULT } else { priority },
                interval: Centiseconds::from_wire(if same_interval {
                    centiseconds
                } else {
                    own_interval
                }),
                signed,
            },
        };
        specs.push(spec(random, speech, link, (ipv4, ipv6), preempts));
    }
    // Version 2 refuses adverts of another interval.
    if protocol == 3
        && let Some(SpecSpeech::Vrrp2 { interval: first, .. }) = specs.first().map(|it| it.speech)
    {
        for spec in &mut specs {
            if let SpecSpeech::Vrrp2 { interval, .. } = &mut spec.speech {
                *interval = first;
            }
        }
    }
    specs
}

fn spec(
    random: &mut impl Choices,
    speech: SpecSpeech,
    link: u8,
    (ipv4, ipv6): (bool, bool),
    preempts: u64,
) -> Spec {
    let bare = |ip| VirtualAddress::new(ip, None).expect("a host's address");
    let number = u16::from(link) + 0x100;
    let ipv4 = ipv4.then(|| bare(IpAddr::V4(Ipv4Addr::new(192, 0, 2, link + 100))));
    let ipv6 = ipv6.then(|| bare(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number))));
    let preempt = match preempts {
        0 => false,
        1 => true,
        _ => random.below(2) == 0,
    };
    let delay = if random.below(8) == 0 { random.below(10) } else { 0 };
    let handover = match random.below(16) {
        0 => Some(Duration::from_micros(random.below(300_000))),
        1 | 2 => Some(Duration::from_micros(random.below(10_000_000))),
        _ => None,
    };
    Spec {
        id: VirtualId::new(link + 1).expect("a small number"),
        preempt,
        preempt_delay: Duration::from_secs(delay),
        handover,
        ..Spec::new(speech, ipv4.into_iter().chain(ipv6).collect())
    }
}

fn fault(random: &mut impl Choices, hosts: usize, links: usize, calm: bool) -> Fault {
    let mut below = |limit: usize| {
        usize::try_from(random.below(u64::try_from(limit).unwrap_or(1))).unwrap_or(0)
    };
    let (host, link) = (below(hosts), below(links));
    let time = {
        let most = random.pick(&[20, 300, 2_000, 8_000]).copied().unwrap_or(20);
        Duration::from_micros(random.below(most * 1_000))
    };
    match random.below(if calm { 17 } else { 25 }) {
        0 => Fault::Crash { host },
        1 | 2 => Fault::Boot { host },
        3 => Fault::Kill { host },
        4 | 5 => Fault::Start { host },
        6 => Fault::Stop { host },
        7 => Fault::Restart { host },
        8 => Fault::Yield { host },
        9 | 22 => Fault::Freeze { host, time },
        10 => Fault::Pause { host, time },
        11 => Fault::Unplug { host, link },
        12 => Fault::PlugIn { host, link },
        13 => Fault::Demote { host, points: u8::try_from(random.below(255)).unwrap_or(0) },
        14 => Fault::Remove { host, link },
        15 => Fault::InUse { host, link },
        16 | 23 => reconfiguration(random, host),
        17 | 18 => {
            let to = usize::try_from(random.below(u64::try_from(hosts).unwrap_or(1)));
            Fault::Cut { link, from: host, to: to.unwrap_or(0) }
        }
        19 => Fault::Split { sides: u32::try_from(random.below(1 << hosts)).unwrap_or(0) },
        20 => Fault::Weather(weather(random, false)),
        21 => Fault::Refuse { host, refuses: random.below(3) == 0 },
        _ => Fault::Heal,
    }
}

/// A restart with another configuration.
fn reconfiguration(random: &mut impl Choices, host: usize) -> Fault {
    match random.below(4) {
        0 => {
            let interval = random.pick(&[1_000, 250, 500, 2_000, 3_000]).copied().unwrap_or(1_000);
            Fault::Retime { host, interval: Duration::from_millis(interval) }
        }
        1 => Fault::Prefer { host, preempts: random.below(2) == 0 },
        _ => {
            // No two hosts become equal by it: see `WORSE`, which has none of these numbers.
            let tens = u8::try_from(random.below(24)).unwrap_or(0) * 10;
            let own = u8::try_from(host).unwrap_or(0) + 2;
            Fault::Rerank { host, worse: tens.saturating_add(own) }
        }
    }
}
