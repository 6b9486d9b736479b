//! What can happen to one router, as values that proptest makes and shrinks.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::election::{Deadline, Fault, Input, LinkState, Posture, State};
use carp_proto::{Demotion, Instant, RxMeta, VirtualRouter};
use proptest::prelude::*;

use super::{Effect, Setup, drain, ip, ms};

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

/// What came of a step: the effects, the deadline relative to the present, and the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) effects: Vec<Effect>,
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
        Just(Input::Link(LinkState::Up { source: ip(5) })),
        Just(Input::Link(LinkState::Up { source: ip(6) })),
        Just(Input::Link(LinkState::Down)),
        Just(Input::Link(LinkState::NoAddress)),
        Just(Input::Prepared),
        Just(Input::Refused),
        Just(Input::Acquired),
        Just(Input::AddressLost),
        Just(Input::AnnouncementHeard),
        prop_oneof![
            Just(Fault::Acquire { code: 1 }),
            Just(Fault::AcquireTimeout),
            Just(Fault::Release { code: 1 }),
            Just(Fault::AddressLost),
            Just(Fault::Refused),
            Just(Fault::PrepareTimeout),
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

/// A router and its clock, and what the tests do between the steps.
pub(crate) struct Run {
    pub(crate) router: VirtualRouter,
    pub(crate) now: Instant,
    setup: Setup,
    counter: u64,
}

impl Run {
    pub(crate) fn new(setup: Setup, origin: Instant) -> Self {
        Self { router: setup.router(), now: origin, setup, counter: 100 }
    }

    pub(crate) fn take(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Sleep(time) => self.now += *time,
            Step::Deadline(over) => {
                if let Some(Deadline { at, .. }) = self.router.poll_timeout() {
                    self.now = self.now.max(at) + *over;
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
                self.counter += 1;
                let (setup, rest) = (self.setup, (*demotion, self.counter));
                let message = setup.message(*source, *advbase, *advskew, rest);
                self.hear(&setup.meta(setup.host(*source)), &message);
            }
        }
        self.outcome()
    }

    pub(crate) fn hear(&mut self, meta: &RxMeta, message: &[u8]) -> bool {
        self.router.handle_datagram(self.now, meta, message).is_ok()
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        let effects = drain(&mut self.router);
        let deadline = self.router.poll_timeout();
        let wait = deadline.map(|deadline| deadline.at.saturating_since(self.now));
        let (state, posture) = (self.router.state(), self.router.posture());
        Outcome { effects, wait, state, posture }
    }
}
