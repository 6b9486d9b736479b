//! The seeds of `router_sequence` and of `lan` are stories, and their files say what they are called.
//!
//! `SEEDS=write cargo test -p carp-checks --test seeds` writes them again, after a change to how a fuzzer's bytes are
//! read.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use carp_checks::router::scenario;
use carp_proto::election::{Dialect, Fault, Input, LinkState};
use carp_proto::sim::{self, Random, SpecSpeech, scenario_of};
use carp_proto::testing::{Extra, Said, Setup, Step, Version};

const BETTER: Said = Said { advbase: 1, advskew: 0, demotion: 0 };
const WORSE: Said = Said { advbase: 1, advskew: 200, demotion: 0 };
const RESIGNING: Said = Said { advbase: 255, advskew: 255, demotion: 0 };

/// What every story begins with: the router serves.
fn serves() -> Vec<Step> {
    let mut steps = vec![Step::Input(Input::Start), Step::LinkUp(5)];
    steps.extend([Step::Deadline(Duration::ZERO), Step::Input(Input::Acquired)]);
    steps
}

fn hears(said: Said) -> Step {
    Step::Hear { source: 9, said }
}

/// A story by its name.
fn stories() -> Vec<(&'static str, Vec<Step>)> {
    let next = Step::Deadline(Duration::ZERO);
    let late = Step::Sleep(Duration::from_secs(60));
    let input = |input| Step::Input(input);
    let after = |steps: &[Step]| [serves(), steps.to_vec()].concat();
    let raw = |mended| Step::Raw {
        source: 9,
        to_group: true,
        ttl: 255,
        message: [&[0x21, 42, 0, 7, 0, 1][..], &[0; 30]].concat(),
        mended,
    };
    vec![
        ("serves-and-advertises", after(&[next.clone(), next.clone()])),
        ("follows-and-takes-over", {
            let heard = [hears(BETTER), hears(RESIGNING), next.clone(), input(Input::Acquired)];
            [vec![input(Input::Start), Step::LinkUp(5)], heard.to_vec()].concat()
        }),
        ("gives-way", after(&[hears(BETTER), input(Input::AnnouncementHeard)])),
        ("meets-a-rival", after(&[hears(WORSE), next.clone(), hears(WORSE)])),
        ("yields-unanswered", after(&[input(Input::Yield), next.clone(), next.clone()])),
        ("steps-down-with-its-group", {
            let steps = [input(Input::Permit(false)), input(Input::StepDown), next.clone()];
            after(&[steps.to_vec(), vec![next.clone(), input(Input::Permit(true))]].concat())
        }),
        ("loses-its-address", after(&[input(Input::AddressLost), input(Input::Acquired)])),
        ("faults", after(&[input(Input::Fault(Fault::AcquireTimeout)), next.clone()])),
        ("pauses", after(&[late, next.clone(), next.clone()])),
        ("loses-its-link", after(&[input(Input::Link(LinkState::Down)), Step::LinkUp(6)])),
        ("hears-damage", {
            let damaged = Step::Damaged { source: 9, said: BETTER, bit: 77 };
            after(&[damaged, raw(false), raw(true)])
        }),
    ]
}

/// The routers of the stories, by the protocol's name.
fn routers() -> Vec<(&'static str, Setup)> {
    let vrrp = |version, extra| Setup { vrrp: Some(version), extra, preempt: true, ..Setup::new() };
    vec![
        ("carp", Setup::new()),
        ("carp-openbsd", Setup { dialect: Dialect::OpenBsd, ..Setup::new() }),
        ("vrrp2-password", vrrp(Version::V2, Extra::Password)),
        ("vrrp3-signed", vrrp(Version::V3, Extra::Signatures)),
        ("vrrp3-ipv6-unicast", vrrp(Version::V3Ipv6, Extra::Peers)),
    ]
}

#[test]
fn the_seeds_of_the_router_are_the_stories_that_their_names_tell() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/router_sequence");
    let writes = std::env::var("SEEDS").is_ok_and(|what| what == "write");
    for (protocol, setup) in routers() {
        for (story, steps) in stories() {
            let bytes = bytes_of(setup, &steps);
            assert_eq!(scenario(&bytes).unwrap(), (setup, steps), "{protocol} {story}");
            let path = directory.join(format!("seed-{protocol}-{story}"));
            if writes {
                fs::write(&path, &bytes).unwrap();
            }
            assert_eq!(fs::read(&path).ok(), Some(bytes), "{}", path.display());
        }
    }
}

/// The bytes that a fuzzer would have to make up.
fn bytes_of(setup: Setup, steps: &[Step]) -> Vec<u8> {
    let mut bytes = Bytes(Vec::new());
    bytes.setup(setup);
    for step in steps {
        bytes.0.push(1);
        bytes.step(step);
    }
    bytes.0.push(0);
    bytes.0
}

/// Writes what the implementations of `Arbitrary` read.
struct Bytes(Vec<u8>);

impl Bytes {
    fn place<T: PartialEq>(&mut self, of: &T, among: &[T]) {
        let place = among.iter().position(|it| it == of).unwrap();
        self.0.push(place.try_into().unwrap());
    }

    fn millis(&mut self, time: Option<Duration>) {
        self.0.push(time.is_some().into());
        if let Some(time) = time {
            let millis: u16 = time.as_millis().try_into().unwrap();
            self.0.extend(millis.to_le_bytes());
        }
    }

    fn setup(&mut self, setup: Setup) {
        self.0.push(setup.vrrp.is_some().into());
        if let Some(version) = setup.vrrp {
            self.place(&version, &Version::ALL);
        }
        self.millis(Some(setup.preempt_delay));
        self.place(&setup.extra, Extra::of(setup.vrrp));
        self.place(&setup.dialect, &Dialect::ALL);
        self.0.extend([setup.advbase, setup.advskew, setup.preempt.into()]);
        self.millis(setup.prepare);
        self.0.push(setup.announce.burst);
        setup.announce.repeat.into_iter().for_each(|time| self.millis(time));
        self.millis(setup.announce.refresh);
        self.millis(setup.handover);
        self.0.extend(setup.seed.to_le_bytes());
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Sleep(time) => {
                let millis: u32 = time.as_millis().try_into().unwrap();
                self.0.push(0);
                self.0.extend(millis.to_le_bytes());
            }
            Step::Deadline(over) => {
                assert_eq!(*over, Duration::ZERO, "no story has another one");
                self.0.push(1);
            }
            Step::Input(input) => {
                self.0.push(3);
                self.input(*input);
            }
            Step::LinkUp(host) => self.0.extend([4, host - 4]),
            Step::Hear { source, said } => {
                self.0.extend([5, source - 4, said.advbase, said.advskew, said.demotion]);
            }
            Step::Damaged { source, said, bit } => {
                self.0.extend([6, source - 4, said.advbase, said.advskew, said.demotion]);
                self.0.extend(bit.to_le_bytes());
            }
            Step::Raw { source, to_group, ttl, message, mended } => {
                self.0.extend([7, source - 4, (*to_group).into(), *ttl, (*mended).into()]);
                message.iter().for_each(|byte| self.0.extend([1, *byte]));
                self.0.push(0);
            }
        }
    }

    fn input(&mut self, input: Input) {
        match input {
            Input::Start => self.0.push(0),
            Input::Yield => self.0.push(3),
            Input::Permit(permitted) => self.0.extend([4, permitted.into()]),
            Input::StepDown => self.0.push(5),
            Input::Link(LinkState::Down) => self.0.extend([7, 0]),
            Input::Acquired => self.0.push(10),
            Input::AddressLost => self.0.push(11),
            Input::AnnouncementHeard => self.0.push(13),
            Input::Fault(Fault::AcquireTimeout) => self.0.extend([15, 1]),
            other => panic!("no story has {other:?}"),
        }
    }
}

/// What is to happen on a LAN, by its name.
type LanStory = (&'static str, fn(&sim::Scenario) -> bool);

const LANS: [LanStory; 12] = [
    ("two-hosts-at-rest", |it| it.hosts.len() == 2 && it.steps.is_empty()),
    ("carp-crash", |it| {
        is_carp(it) && happens(it, |fault| matches!(fault, sim::Fault::Crash { .. }))
    }),
    ("carp-yield", |it| {
        is_carp(it) && happens(it, |fault| matches!(fault, sim::Fault::Yield { .. }))
    }),
    ("carp-freeze", |it| {
        is_carp(it) && happens(it, |fault| matches!(fault, sim::Fault::Freeze { .. }))
    }),
    ("vrrp-cut", |it| !is_carp(it) && happens(it, |fault| matches!(fault, sim::Fault::Cut { .. }))),
    ("vrrp-signed-split", |it| {
        is_signed(it) && happens(it, |fault| matches!(fault, sim::Fault::Split { .. }))
    }),
    ("group-loses-a-link", |it| {
        it.links() > 1 && happens(it, |fault| matches!(fault, sim::Fault::Unplug { .. }))
    }),
    ("carp-over-both-families-by-unicast", |it| {
        let router = &it.hosts[0].routers[0];
        is_carp(it) && router.addresses.len() == 2 && !router.peers.is_empty()
    }),
    ("another-rank-and-a-restart", |it| {
        happens(it, |fault| matches!(fault, sim::Fault::Rerank { .. }))
            && happens(it, |fault| matches!(fault, sim::Fault::Restart { .. }))
    }),
    ("another-interval", |it| happens(it, |fault| matches!(fault, sim::Fault::Retime { .. }))),
    ("five-hosts-in-bad-weather", |it| it.hosts.len() == 5 && it.weather.loss.parts() > 300_000),
    ("much-happens", |it| it.steps.len() > 20),
];

fn speech(scenario: &sim::Scenario) -> SpecSpeech {
    scenario.hosts[0].routers[0].speech
}

fn is_carp(scenario: &sim::Scenario) -> bool {
    matches!(speech(scenario), SpecSpeech::Carp { .. })
}

fn is_signed(scenario: &sim::Scenario) -> bool {
    matches!(speech(scenario), SpecSpeech::Vrrp3 { signed: true, .. })
}

fn happens(scenario: &sim::Scenario, what: fn(&sim::Fault) -> bool) -> bool {
    (1..6).contains(&scenario.steps.len()) && scenario.steps.iter().any(|step| what(&step.fault))
}

#[test]
fn the_seeds_of_the_lan_are_the_stories_that_their_names_tell() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/lan");
    let writes = std::env::var("SEEDS").is_ok_and(|what| what == "write");
    for (story, tells) in LANS {
        let path = directory.join(format!("seed-{story}"));
        if writes {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&path, bytes_of_a_lan(tells)).unwrap();
        }
        let scenario = scenario_of(&fs::read(&path).unwrap());
        assert!(tells(&scenario), "{}:\n{scenario}", path.display());
    }
}

/// The first bytes, by chance, that choose such a scenario.
fn bytes_of_a_lan(tells: fn(&sim::Scenario) -> bool) -> Vec<u8> {
    let mut random = Random::new(0);
    loop {
        let bytes: Vec<u8> = (0..64).flat_map(|_| random.next().to_le_bytes()).collect();
        if tells(&scenario_of(&bytes)) {
            return bytes;
        }
    }
}
