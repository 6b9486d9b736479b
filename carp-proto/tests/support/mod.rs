//! What the tests share: one router driven by hand, the adverts of its peers, and captures.
#![expect(dead_code, reason = "each test binary compiles this and uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

pub(crate) mod lan;
pub(crate) mod pcap;
pub(crate) mod site;
pub(crate) mod steps;
pub(crate) mod vrrp;
pub(crate) mod wire;
pub(crate) mod words;
pub(crate) mod wrong;

use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Advertisement, Cause, Event, Fault, Input, LinkState, Phase, State};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::GROUP_IPV4;
use carp_proto::wire::{Kind, classify};
use carp_proto::{
    Action, Authenticator, CarpInterval, Instant, Key, Reject, RouterConfig, RxMeta, Transmit,
    VirtualAddress, VirtualId, VirtualRouter,
};

use carp_proto::testing::Datagram;
pub(crate) use carp_proto::testing::{self as peers, Setup};

/// So many cases of a property that takes long, or more if `PROPTEST_CASES` says so: `make properties`.
pub(crate) fn cases(usual: u32) -> proptest::test_runner::Config {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    proptest::test_runner::Config::with_cases(asked.unwrap_or(usual).max(usual))
}

pub(crate) const SKEW_UNIT: Duration = Duration::from_nanos(3_906_250);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 99, 0, last])
}

pub(crate) fn addresses(list: &[&str]) -> Vec<VirtualAddress> {
    list.iter().map(|text| text.parse().unwrap()).collect()
}

pub(crate) fn id(number: u8) -> VirtualId {
    VirtualId::new(number).unwrap()
}

/// Where an advert of `source` was sent to, and with which TTL, when all is well.
pub(crate) fn meta(source: IpAddr) -> RxMeta {
    RxMeta { source, destination: GROUP_IPV4.into(), ttl: 255 }
}

/// A router driven by hand.
pub(crate) trait Rigged {
    /// At the host that its parameters name.
    fn rig(self) -> Rig;
    /// At the host 5 of its family, which has not been started.
    fn member(self) -> Rig;
}

impl Rigged for Setup {
    fn rig(self) -> Rig {
        Rig::of(self.config(), self.source)
    }

    fn member(self) -> Rig {
        let mut rig = Rig::of(self.config(), self.host(5));
        self.equip(&mut rig.router);
        rig
    }
}

/// A peer's advert for the tests' virtual router, signed.
pub(crate) fn advert(advbase: u8, advskew: u8, demotion: u8, counter: u64) -> Vec<u8> {
    let key = Key::new(b"love").unwrap();
    let signer = Authenticator::new(&key, id(42), &addresses(&["10.99.0.100"]));
    let interval = CarpInterval { advbase, advskew };
    let digest = signer.digest(counter);
    let advert = Advert { vhid: 42, interval, demotion, counter, digest };
    let mut bytes = Vec::new();
    carp::emit(&advert, &mut bytes);
    bytes
}

/// The resignation that is kept ready for somebody else to send: one datagram for each destination that the
/// router reaches.
pub(crate) fn written(router: &VirtualRouter) -> Vec<Datagram> {
    let mut scratch = BytesMut::new();
    let destinations = 0..router.config().destinations().len();
    let write = |index| {
        let sent = router.write_resignation(index, &mut scratch)?;
        let meta = RxMeta { source: sent.source, destination: sent.destination, ttl: 255 };
        Some((meta, sent.payload.to_vec()))
    };
    destinations.filter_map(write).collect()
}

/// An [`Action`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A CARP advert with its base, skew and demotion byte.
    Claim(u8, u8, u8),
    /// A VRRP advert with its priority.
    Priority(u8),
    Resign,
    Prepare,
    Acquire,
    Announce,
    Release,
    State(State, State, Cause),
    Event(Event),
}

pub(crate) fn owned(action: &Action<'_>) -> Effect {
    match action {
        Action::Send(transmit) => sent(transmit),
        Action::Prepare => Effect::Prepare,
        Action::Acquire(_) => Effect::Acquire,
        Action::Announce(_) => Effect::Announce,
        Action::Release(_) => Effect::Release,
        Action::Event(Event::State { from, to, cause, evidence: _ }) => {
            Effect::State(*from, *to, *cause)
        }
        Action::Event(event) => Effect::Event(*event),
    }
}

/// The advert of an active router, read as its peers do.
fn sent(transmit: &Transmit<'_>) -> Effect {
    if classify(transmit.payload) != Kind::Carp {
        let priority = vrrp::priority_of(transmit);
        return match transmit.advertisement {
            Advertisement::Claim => Effect::Priority(priority),
            Advertisement::Resign => {
                assert_eq!(priority, 0);
                Effect::Resign
            }
        };
    }
    let advert = carp::parse(transmit.payload).unwrap().advert;
    let CarpInterval { advbase, advskew } = advert.interval;
    match transmit.advertisement {
        Advertisement::Claim => Effect::Claim(advbase, advskew, advert.demotion),
        Advertisement::Resign => {
            assert_eq!((advbase, advskew), (255, 255));
            Effect::Resign
        }
    }
}

pub(crate) fn drain(router: &mut VirtualRouter) -> Vec<Effect> {
    let mut scratch = BytesMut::new();
    let mut effects = Vec::new();
    while let Some(action) = router.poll_action(&mut scratch) {
        effects.push(owned(&action));
    }
    effects
}

/// One router, its clock, and everything that it wanted done since the last look.
#[derive(Clone)]
pub(crate) struct Rig {
    pub(crate) router: VirtualRouter,
    pub(crate) now: Instant,
    pub(crate) source: IpAddr,
    counter: u64,
}

impl Rig {
    pub(crate) fn new(setup: Setup) -> Self {
        setup.rig()
    }

    pub(crate) fn of(config: RouterConfig, source: IpAddr) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        Self { router: VirtualRouter::new(config), now, source, counter: 1000 }
    }

    pub(crate) fn input(&mut self, input: Input) -> Vec<Effect> {
        self.router.handle(self.now, input);
        drain(&mut self.router)
    }

    pub(crate) fn link_up(&mut self) -> Vec<Effect> {
        self.input(Input::Link(LinkState::Up { source: self.source }))
    }

    /// A valid advert with a demotion of 0.
    pub(crate) fn hears(&mut self, source: IpAddr, advbase: u8, advskew: u8) -> Vec<Effect> {
        self.hears_demoted(source, advbase, advskew, 0)
    }

    pub(crate) fn hears_demoted(
        &mut self,
        source: IpAddr,
        advbase: u8,
        advskew: u8,
        demotion: u8,
    ) -> Vec<Effect> {
        self.counter += 1;
        let bytes = advert(advbase, advskew, demotion, self.counter);
        assert_eq!(self.router.handle_datagram(self.now, &meta(source), &bytes), Ok(()));
        drain(&mut self.router)
    }

    pub(crate) fn hears_resignation(&mut self, source: IpAddr) -> Vec<Effect> {
        self.hears(source, 255, 255)
    }

    pub(crate) fn hears_bytes(&mut self, meta: &RxMeta, bytes: &[u8]) -> Result<(), Reject> {
        self.router.handle_datagram(self.now, meta, bytes)
    }

    pub(crate) fn passes(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self
    }

    /// How long until the next deadline.
    pub(crate) fn wait(&self) -> Duration {
        self.router.poll_timeout().expect("a deadline").at.saturating_since(self.now)
    }

    /// Goes to the next deadline and says that it has come.
    pub(crate) fn times_out(&mut self) -> Vec<Effect> {
        let wait = self.wait();
        self.passes(wait).input(Input::Timeout)
    }

    /// Meets every deadline of the next `time`, and returns what came of it with its time.
    pub(crate) fn runs(&mut self, time: Duration) -> Vec<(Duration, Effect)> {
        let start = self.now;
        let end = self.now + time;
        let mut effects = Vec::new();
        while let Some(deadline) = self.router.poll_timeout().filter(|deadline| deadline.at <= end)
        {
            self.now = self.now.max(deadline.at);
            let at = self.now.saturating_since(start);
            effects.extend(self.input(Input::Timeout).into_iter().map(|effect| (at, effect)));
        }
        self.now = end;
        effects
    }

    pub(crate) fn state(&self) -> State {
        self.router.state()
    }

    pub(crate) fn phase(&self) -> Option<Phase> {
        self.router.snapshot(self.now).phase
    }

    pub(crate) fn fault(&self) -> Option<Fault> {
        self.router.snapshot(self.now).fault
    }

    pub(crate) fn held(&self) -> bool {
        self.router.snapshot(self.now).held
    }

    pub(crate) fn backup(mut self) -> Self {
        self.input(Input::Start);
        self.link_up();
        assert_eq!(self.state(), State::Backup);
        self
    }

    pub(crate) fn preparing(self) -> Self {
        let mut rig = self.backup();
        let effects = rig.times_out();
        assert_eq!(effects.last(), Some(&Effect::Prepare));
        rig
    }

    pub(crate) fn acquiring(self) -> Self {
        let mut rig = self.backup();
        let effects = rig.times_out();
        assert_eq!(effects.last(), Some(&Effect::Acquire));
        rig
    }

    pub(crate) fn serving(self) -> Self {
        let mut rig = self.acquiring();
        rig.input(Input::Acquired);
        assert_eq!(rig.phase(), Some(Phase::Serving));
        rig
    }

    pub(crate) fn leaving(self, input: Input) -> Self {
        let mut rig = self.serving();
        assert_eq!(rig.input(input), [Effect::Resign]);
        assert_eq!(rig.phase(), Some(Phase::Leaving));
        rig
    }
}
