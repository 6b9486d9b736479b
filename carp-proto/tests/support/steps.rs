//! What can happen to one router, as values that proptest makes and shrinks.

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Bar, Dialect, Fault, Input, LinkState, Posture, State};
use carp_proto::{Action, Demotion, Instant, RxMeta, Transmit, VirtualRouter};
use proptest::prelude::*;

use super::peers::{Datagram, Extra, Peers, Said};
use super::vrrp::Version;
use super::{Effect, Setup, ip, ms, owned, secs};

/// When the runs begin.
pub(crate) const ORIGIN: Instant = Instant::from_nanos(1_000_000_000_000);

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Time passes, and its deadlines are not met.
    Sleep(Duration),
    /// Time passes up to the next deadline and this much over it, which is then met.
    Deadline(Duration),
    Input(Input),
    /// A valid advert of the peer with this last octet.
    Hear {
        source: u8,
        advbase: u8,
        advskew: u8,
        demotion: u8,
    },
}

/// What came of a step: the effects, what was sent byte for byte, the deadline relative to the present,
/// and the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) effects: Vec<Effect>,
    pub(crate) sent: Vec<Datagram>,
    pub(crate) wait: Option<Duration>,
    pub(crate) state: State,
    pub(crate) posture: Posture,
}

pub(crate) fn any_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Start),
        Just(Input::Stop),
        Just(Input::Timeout),
        Just(Input::Yield),
        any::<bool>().prop_map(Input::Permit),
        Just(Input::StepDown),
        (0..300_u32).prop_map(|points| Input::Demotion(Demotion::clamped(points))),
        any::<bool>().prop_map(Input::Held),
        prop::sample::select(&[Bar::Nothing, Bar::Silence, Bar::Takeover][..]).prop_map(Input::Bar),
        Just(Input::Link(LinkState::Up { source: ip(5) })),
        Just(Input::Link(LinkState::Up { source: ip(6) })),
        Just(Input::Link(LinkState::Down)),
        Just(Input::Link(LinkState::NoAddress)),
        Just(Input::Prepared),
        Just(Input::Refused),
        Just(Input::Acquired),
        Just(Input::AddressLost),
        Just(Input::AddressExpired),
        Just(Input::AnnouncementHeard),
        Just(Input::AddressInUse),
        prop_oneof![
            Just(Fault::Acquire { code: 1 }),
            Just(Fault::AcquireTimeout),
            Just(Fault::Release { code: 1 }),
            Just(Fault::AddressLost),
            Just(Fault::Refused),
            Just(Fault::PrepareTimeout),
            Just(Fault::AddressInUse),
        ]
        .prop_map(Input::Fault),
    ]
}

pub(crate) fn any_step() -> impl Strategy<Value = Step> {
    let over = prop_oneof![8 => Just(0), 2 => 0..50_u64, 1 => 0..10_000_u64];
    let interval = prop_oneof![
        6 => (0..3_u8, any::<u8>()),
        1 => (any::<u8>(), any::<u8>()),
        2 => Just((255, 255)),
    ];
    prop_oneof![
        1 => (0..5000_u64).prop_map(|time| Step::Sleep(ms(time))),
        4 => over.prop_map(|over| Step::Deadline(ms(over))),
        3 => Just(Step::Input(Input::Acquired)),
        3 => any_input().prop_map(Step::Input),
        3 => (7..11_u8, interval, 0..3_u8).prop_map(|(source, (advbase, advskew), demotion)| {
            Step::Hear { source, advbase, advskew, demotion }
        }),
    ]
}

/// A sequence that begins with a running router.
pub(crate) fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any_step(), 0..60).prop_map(|steps| {
        let mut all = vec![
            Step::Input(Input::Start),
            Step::Input(Input::Link(LinkState::Up { source: ip(5) })),
        ];
        all.extend(steps);
        all
    })
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(&Dialect::ALL[..])
}

/// CARP in one of its dialects, or VRRP.
pub(crate) fn any_protocol() -> impl Strategy<Value = (Option<Version>, Dialect)> {
    prop_oneof![
        any_dialect().prop_map(|dialect| (None, dialect)),
        any_version().prop_map(|version| (Some(version), Dialect::Native)),
    ]
}

pub(crate) fn any_version() -> impl Strategy<Value = Version> {
    prop::sample::select(&Version::ALL[..])
}

prop_compose! {
    pub(crate) fn any_setup()(
        (vrrp, dialect) in any_protocol(),
        extra: prop::sample::Index,
        advbase in prop_oneof![4 => 1..3_u8, 1 => 0..255_u8],
        advskew in prop_oneof![7 => 0..255_u8, 1 => Just(0)],
        preempt: bool,
        prepares: bool,
    ) -> Setup {
        let extra = *extra.get(Extra::of(vrrp));
        // The dialects without a meaning for advbase 0 refuse it. VRRP's longest interval is 40.95 s.
        let zero = vrrp.is_none() && dialect.policy().zero_base;
        let longest = if vrrp.is_none() { 254 } else { 40 };
        let advbase = advbase.clamp(u8::from(!zero), longest);
        let prepare = prepares.then_some(secs(2));
        Setup { vrrp, extra, dialect, advbase, advskew, preempt, prepare, ..Setup::new() }
    }
}

/// A router and its clock, and what the tests do between the steps.
pub(crate) struct Run {
    pub(crate) router: VirtualRouter,
    pub(crate) now: Instant,
    setup: Setup,
    peers: Peers,
    /// The last valid advert that was heard.
    pub(crate) last_heard: Option<Datagram>,
}

impl Run {
    pub(crate) fn new(setup: Setup, origin: Instant) -> Self {
        let peers = Peers::new(setup);
        Self { router: setup.router(), now: origin, setup, peers, last_heard: None }
    }

    /// When a step will have been taken.
    pub(crate) fn ends(&self, step: &Step) -> Instant {
        match step {
            Step::Sleep(time) => self.now + *time,
            Step::Deadline(over) => {
                let deadline = self.router.poll_timeout();
                deadline.map_or(self.now, |deadline| self.now.max(deadline.at) + *over)
            }
            Step::Input(_) | Step::Hear { .. } => self.now,
        }
    }

    pub(crate) fn take(&mut self, step: &Step) -> Outcome {
        let due = self.router.poll_timeout().is_some();
        self.now = self.ends(step);
        match step {
            Step::Sleep(_) => {}
            Step::Deadline(_) => {
                if due {
                    self.router.handle(self.now, Input::Timeout);
                }
            }
            Step::Input(Input::Link(LinkState::Up { source })) => {
                // The steps know IPv4 only; what matters is the host.
                let [.., host] = match source {
                    IpAddr::V4(ip) => ip.octets(),
                    IpAddr::V6(ip) => panic!("{ip}"),
                };
                let source = self.setup.host(host);
                self.router.handle(self.now, Input::Link(LinkState::Up { source }));
            }
            Step::Input(input) => self.router.handle(self.now, *input),
            Step::Hear { source, advbase, advskew, demotion } => {
                let (&advbase, &advskew, &demotion) = (advbase, advskew, demotion);
                let said = Said { advbase, advskew, demotion };
                let (meta, message) = self.peers.advert(self.now, *source, said);
                if self.hear(self.now, &meta, &message) {
                    self.last_heard = Some((meta, message));
                }
            }
        }
        self.outcome()
    }

    pub(crate) fn hear(&mut self, at: Instant, meta: &RxMeta, message: &[u8]) -> bool {
        self.router.handle_datagram(at, meta, message).is_ok()
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        let (effects, sent) = drain(&mut self.router);
        let deadline = self.router.poll_timeout();
        let wait = deadline.map(|deadline| deadline.at.saturating_since(self.now));
        let (state, posture) = (self.router.state(), self.router.posture());
        Outcome { effects, sent, wait, state, posture }
    }
}

/// What comes of each of these steps.
pub(crate) fn outcomes(setup: Setup, origin: Instant, steps: &[Step]) -> Vec<Outcome> {
    let mut run = Run::new(setup, origin);
    steps.iter().map(|step| run.take(step)).collect()
}

/// Takes out everything that a router wants: the effects, and the adverts among them as they are sent.
pub(crate) fn drain(router: &mut VirtualRouter) -> (Vec<Effect>, Vec<Datagram>) {
    let mut scratch = BytesMut::new();
    let (mut effects, mut sent) = (Vec::new(), Vec::new());
    while let Some(action) = router.poll_action(&mut scratch) {
        effects.push(owned(&action));
        if let Action::Send(Transmit { source, destination, payload, .. }) = action {
            sent.push((RxMeta { source, destination, ttl: 255 }, payload.to_vec()));
        }
    }
    (effects, sent)
}
