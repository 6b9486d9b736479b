//! A router, whatever happens to it in whatever order, keeps its promises:
//!
//! - a datagram that it rejects changes counters and nothing else. Beside the router runs a twin that
//!   is spared what the router rejected, and both do the same for ever;
//! - it advertises its claim only while active, and resigns only from being active;
//! - it reports to be active when it has the addresses, and has given them back when it is not;
//! - inputs cause few actions, and deadlines move: nobody who drives it spins;
//! - it becomes active only while it is permitted to;
//! - stopped, it is in `Init` after its timeouts, whatever else does not come.

#![no_main]

mod scenario;

use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Advertisement, Event, Input, Phase, Posture, State};
use carp_proto::wire::carp::HEADER_LEN;
use carp_proto::{Action, Instant, Reject, RouterConfig, RxMeta, Snapshot, VirtualRouter};
use libfuzzer_sys::fuzz_target;

use self::scenario::{Member, Scenario, Step};

/// The lengths of the adverts: CARP's, and VRRP's with the addresses of the scenarios.
const CARP_LEN: usize = HEADER_LEN;
const V2_LEN: usize = 20;
const V3_LEN: usize = 12;
const V3_IPV6_LEN: usize = 40;

/// More actions than any one input has reason to cause.
const MOST_ACTIONS: usize = 16;

/// More timeouts than can be due at one instant.
const MOST_TIMEOUTS_AT_ONCE: usize = 4;

/// More timeouts than a handover has.
const MOST_TIMEOUTS_OF_A_STOP: usize = 8;

/// Longer scenarios find nothing that shorter ones do not.
const MOST_STEPS: usize = 256;

fuzz_target!(|scenario: Scenario| {
    let Some(config) = scenario.setup.config() else { return };
    let Some(member) = scenario.setup.member() else { return };
    let mut bench = Bench::new(config, member);
    for step in scenario.steps.into_iter().take(MOST_STEPS) {
        bench.step(step);
    }
    bench.stop();
});

/// A router, its twin, and what they have said so far.
struct Bench {
    /// Writes the adverts of its peers.
    member: Member,
    now: Instant,
    router: VirtualRouter,
    /// The same, but for the datagrams that were rejected.
    twin: VirtualRouter,
    /// The state that the last event told of.
    reported: State,
    /// Whether the addresses were asked for and not given back.
    addresses_asked_for: bool,
    /// Whether it may become active.
    permitted: bool,
}

impl Bench {
    fn new(config: RouterConfig, member: Member) -> Self {
        let router = VirtualRouter::new(config);
        let twin = router.clone();
        Self {
            member,
            now: Instant::ZERO,
            router,
            twin,
            reported: State::Init,
            addresses_asked_for: false,
            permitted: true,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Signed { host, claim } => {
                let meta = self.member.advertises(host);
                let payload = self.member.write(&meta, claim);
                let _ = self.datagram(&meta, &payload);
            }
            Step::Damaged { host, claim, byte, bit } => {
                let meta = self.member.advertises(host);
                let mut payload = self.member.write(&meta, claim);
                let place = usize::from(byte) % payload.len();
                payload[place] ^= 1 << (bit % 8);
                let verdict = self.datagram(&meta, &payload);
                assert!(verdict.is_err(), "taken in although a bit had changed");
            }
            Step::Raw { host, to_group, ttl, payload } => {
                let source = self.member.address(host);
                let destination = if to_group { self.member.group() } else { source };
                let _ = self.datagram(&RxMeta { source, destination, ttl }, &payload);
            }
            Step::Input(happening) => self.input(happening.input(&self.member)),
            Step::Wait(millis) => self.now += Duration::from_millis(millis.into()),
            Step::Sleep(millis) => self.now += Duration::from_millis(millis.into()),
            Step::Deadline => self.deadline(),
        }
    }

    fn datagram(&mut self, meta: &RxMeta, payload: &[u8]) -> Result<(), Reject> {
        let before = self.router.snapshot(self.now);
        let deadline = self.router.poll_timeout();
        let verdict = self.router.handle_datagram(self.now, meta, payload);
        match verdict {
            Ok(()) => {
                assert_eq!(self.twin.handle_datagram(self.now, meta, payload), Ok(()));
                self.drain(before.state);
            }
            Err(reject) => {
                let after = self.router.snapshot(self.now);
                assert_only_counted(&before, &after, reject);
                assert_eq!(self.router.poll_timeout(), deadline);
                assert_eq!(self.router.poll_action(&mut BytesMut::new()), None);
            }
        }
        verdict
    }

    fn input(&mut self, input: Input) {
        let before = self.router.state();
        if let Input::Permit(permitted) = input {
            self.permitted = permitted;
        }
        self.router.handle(self.now, input);
        self.twin.handle(self.now, input);
        self.drain(before);
    }

    /// Waits for the deadline, and tells until it lies ahead.
    fn deadline(&mut self) {
        for _ in 0..MOST_TIMEOUTS_AT_ONCE {
            let Some(deadline) = self.router.poll_timeout() else { return };
            self.now = self.now.max(deadline.at);
            self.input(Input::Timeout);
            if self.router.poll_timeout().is_none_or(|next| next.at > self.now) {
                return;
            }
        }
        panic!("{:?} stays due however often it is told", self.router.poll_timeout());
    }

    fn stop(&mut self) {
        self.input(Input::Stop);
        for _ in 0..MOST_TIMEOUTS_OF_A_STOP {
            if self.router.poll_timeout().is_none() {
                break;
            }
            self.deadline();
        }
        assert_eq!(self.router.state(), State::Init);
        assert_eq!(self.router.poll_timeout(), None);
    }

    /// Takes the actions out that one input caused in the state `before`.
    fn drain(&mut self, before: State) {
        let was_active = before == State::Active;
        let may_claim = was_active || self.router.state() == State::Active;
        assert!(was_active || self.permitted || self.router.state() != State::Active);
        let [mut scratch, mut twin_scratch] = [BytesMut::new(), BytesMut::new()];
        for _ in 0..MOST_ACTIONS {
            let action = self.router.poll_action(&mut scratch);
            assert_eq!(action, self.twin.poll_action(&mut twin_scratch));
            match action {
                Some(Action::Send(advert)) => {
                    assert_eq!(advert.destination, self.member.group());
                    assert!(
                        [CARP_LEN, V2_LEN, V3_LEN, V3_IPV6_LEN].contains(&advert.payload.len())
                    );
                    match advert.advertisement {
                        Advertisement::Claim => assert!(may_claim, "a claim in {before}"),
                        Advertisement::Resign => assert!(was_active, "a resignation in {before}"),
                    }
                }
                Some(Action::Acquire(announce)) => {
                    assert!(announce.burst > 0);
                    self.addresses_asked_for = true;
                }
                Some(Action::Announce(announce)) => {
                    assert!(announce.burst > 0);
                    assert!(self.addresses_asked_for, "announced without the addresses");
                }
                Some(Action::Release(_)) => self.addresses_asked_for = false,
                Some(Action::Prepare) => assert!(!self.addresses_asked_for),
                Some(Action::Event(event)) => self.note(event),
                None => return self.assert_consistent(),
            }
        }
        panic!("more than {MOST_ACTIONS} actions of one input");
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::State { from, to, cause: _, evidence: _ } => {
                assert_eq!(from, self.reported);
                self.reported = to;
            }
            Event::Rival { source: _ }
            | Event::AddressLost
            | Event::AddressExpired
            | Event::YieldUnanswered => {}
        }
    }

    fn assert_consistent(&self) {
        let snapshot = self.router.snapshot(self.now);
        assert_eq!(self.router.poll_timeout(), self.twin.poll_timeout());
        assert_eq!(self.router.state(), self.twin.state());
        let expected = match (snapshot.state, snapshot.phase) {
            // An event tells of the active router when it has the addresses. An owner takes them
            // over without having been a backup.
            (State::Active, Some(Phase::TakingOver)) if self.reported == State::Init => State::Init,
            (State::Active, Some(Phase::TakingOver)) => State::Backup,
            (state, _) => state,
        };
        assert_eq!(self.reported, expected);
        assert_eq!(snapshot.phase.is_some(), snapshot.state == State::Active);
        let waits = match snapshot.posture {
            Posture::Init | Posture::Willing | Posture::Unanswered => false,
            Posture::Backup | Posture::Active | Posture::Leaving => true,
        };
        assert_eq!(self.router.poll_timeout().is_some(), waits);
        if snapshot.state != State::Active {
            assert!(!self.addresses_asked_for, "keeps the addresses in {}", snapshot.state);
        }
    }
}

/// Of a rejected datagram only its counter, and for the digest the conflict that is shown, remain.
fn assert_only_counted(before: &Snapshot, after: &Snapshot, reject: Reject) {
    assert_eq!(unmoved(before), unmoved(after), "{reject}");
    if reject != Reject::BadAuthentication {
        assert_eq!(before.conflict, after.conflict);
    }
    let label = reject.label();
    let [was, is] = [before, after].map(|snapshot| snapshot.counters.rejected);
    assert_eq!(is.get(label), was.get(label).map(|count| count + 1));
    assert_eq!(is.total(), was.total() + 1);
    assert_eq!(after.last_reject.map(|last| last.reject), Some(reject));
}

/// All of a snapshot that no rejected datagram may change.
fn unmoved(snapshot: &Snapshot) -> impl PartialEq + core::fmt::Debug + use<> {
    let &Snapshot {
        state,
        phase,
        posture,
        since,
        cause,
        transitions,
        link,
        advertised,
        learned,
        demotion,
        interval,
        active_down,
        alone,
        conflict: _,
        held,
        held_by_data,
        fault,
        checksum,
        last_verdict: _,
        peers,
        last_reject: _,
        counters,
    } = snapshot;
    (
        (state, phase, since, cause, transitions, link, advertised, demotion, interval),
        (posture, active_down, learned, alone, held, held_by_data, fault, checksum, peers),
        (counters.adverts_sent, counters.adverts_received),
    )
}
