//! A router, whatever happens to it in whatever order, keeps its promises:
//!
//! - a datagram that it rejects changes counters and nothing else. Beside the router runs a twin that
//!   is spared what the router rejected, and both do the same for ever;
//! - it advertises its claim only while active, and resigns only from being active;
//! - it reports to be active when it has the addresses, and has given them back when it is not;
//! - inputs cause few actions, and deadlines move: nobody who drives it spins;
//! - it becomes active only while it is permitted to;
//! - a bit that changes on the way is always noticed;
//! - one datagram causes at most one advert to each destination, and one announcement;
//! - its actions fit each other: the simulator's books of one router ([`Ledger`]) find nothing;
//! - stopped, it is in `Init` after its timeouts, whatever else does not come.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use arbitrary::{Arbitrary, Unstructured};
use bytes::BytesMut;
use carp_proto::election::{Advertisement, Event, Input, LinkState, Phase, Posture, State};
use carp_proto::sim::{Ledger, Violation};
use carp_proto::testing::{Drill, Extra, Setup, Step, Version};
use carp_proto::wire::carp::HEADER_LEN;
use carp_proto::wire::vrrp::{trailer, v2, v3};
use carp_proto::{Action, Family, Instant, Reject, RxMeta, Snapshot, VirtualRouter};

/// More actions than any one input has reason to cause: an advert can be six datagrams, one for each peer.
const MOST_ACTIONS: usize = 48;

/// More timeouts than can be due at one instant.
const MOST_TIMEOUTS_AT_ONCE: usize = 4;

/// More timeouts than a handover has.
const MOST_TIMEOUTS_OF_A_STOP: usize = 8;

/// Longer scenarios find nothing that shorter ones do not.
const MOST_STEPS: usize = 256;

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    if let Ok((setup, steps)) = scenario(input) {
        let mut bench = Bench::new(setup);
        steps.iter().for_each(|step| bench.step(step));
        bench.stop();
    }
}

/// What one input has caused.
#[derive(Debug, Default)]
struct Caused {
    /// Claims, by where they went.
    claims: BTreeMap<IpAddr, usize>,
    announcements: usize,
}

/// The router and what happens to it.
///
/// # Errors
/// If the bytes end in the router.
pub fn scenario(input: &[u8]) -> arbitrary::Result<(Setup, Vec<Step>)> {
    let mut bytes = Unstructured::new(input);
    let setup = Setup::arbitrary(&mut bytes)?;
    let steps = bytes.arbitrary_iter()?.take(MOST_STEPS).map_while(Result::ok).collect();
    Ok((setup, steps))
}

/// A router, its twin, and what they have said so far.
struct Bench {
    /// The router; the drill writes the adverts of its peers.
    drill: Drill,
    /// The same, but for the datagrams that were rejected.
    twin: VirtualRouter,
    /// The state that the last event told of.
    reported: State,
    /// Whether the addresses were asked for and not given back.
    addresses_asked_for: bool,
    /// Whether it may become active.
    permitted: bool,
    /// The simulator's books. There are none any more once the router has been given an own address of another family
    /// than its adverts: it has nothing to send then, and no claim is on record.
    books: Option<Ledger>,
}

impl Bench {
    fn new(setup: Setup) -> Self {
        let drill = Drill::new(setup, Instant::ZERO);
        let twin = drill.router.clone();
        Self {
            drill,
            twin,
            reported: State::Init,
            addresses_asked_for: false,
            permitted: true,
            books: Some(Ledger::default()),
        }
    }

    fn step(&mut self, step: &Step) {
        if let Step::Deadline(over) = step {
            return self.deadline(*over);
        }
        let input = self.drill.input(step);
        self.drill.now = self.drill.ends(step);
        if let Some(input) = input {
            self.input(input);
        }
        if let Some((meta, message)) = self.drill.datagram(step) {
            let verdict = self.datagram(&meta, &message);
            if matches!(step, Step::Damaged { .. }) {
                assert!(verdict.is_err(), "taken in although a bit had changed");
            }
        }
    }

    fn datagram(&mut self, meta: &RxMeta, payload: &[u8]) -> Result<(), Reject> {
        let before = self.drill.router.snapshot(self.drill.now);
        let deadline = self.drill.router.poll_timeout();
        let verdict = self.drill.router.handle_datagram(self.drill.now, meta, payload);
        match verdict {
            Ok(()) => {
                if let Some(books) = &mut self.books {
                    books.heard();
                }
                assert_eq!(self.twin.handle_datagram(self.drill.now, meta, payload), Ok(()));
                let Caused { claims, announcements } = self.drain(before.state);
                let most = claims.values().copied().max().unwrap_or_default();
                assert!(most <= 1, "{claims:?} because of one datagram");
                assert!(announcements <= 1, "{announcements} announcements of one datagram");
            }
            Err(reject) => {
                let after = self.drill.router.snapshot(self.drill.now);
                assert_only_counted(&before, &after, reject);
                assert_eq!(self.drill.router.poll_timeout(), deadline);
                assert_eq!(self.drill.router.poll_action(&mut BytesMut::new()), None);
            }
        }
        verdict
    }

    fn input(&mut self, input: Input) {
        let before = self.drill.router.state();
        if let Input::Permit(permitted) = input {
            self.permitted = permitted;
        }
        self.write_down(input);
        self.drill.router.handle(self.drill.now, input);
        self.twin.handle(self.drill.now, input);
        self.drain(before);
    }

    fn write_down(&mut self, input: Input) {
        let phase = self.drill.router.snapshot(self.drill.now).phase;
        let families =
            self.drill.router.config().addresses().iter().map(|address| address.family());
        if let Input::Link(LinkState::Up { source }) = input
            && !families.into_iter().any(|family| family == Family::of(source))
        {
            self.books = None;
        }
        if let Some(books) = &mut self.books {
            books.told(input, phase);
            // Time passes here as it likes, and deadlines are missed.
            books.excuse_lateness();
        }
    }

    /// Waits for the deadline and this much longer, and tells until it lies ahead.
    fn deadline(&mut self, over: Duration) {
        let mut over = Some(over);
        for _ in 0..MOST_TIMEOUTS_AT_ONCE {
            let Some(deadline) = self.drill.router.poll_timeout() else { return };
            self.drill.now = self.drill.now.max(deadline.at) + over.take().unwrap_or_default();
            self.input(Input::Timeout);
            if self.drill.router.poll_timeout().is_none_or(|next| next.at > self.drill.now) {
                return;
            }
        }
        panic!("{:?} stays due however often it is told", self.drill.router.poll_timeout());
    }

    fn stop(&mut self) {
        self.input(Input::Stop);
        for _ in 0..MOST_TIMEOUTS_OF_A_STOP {
            if self.drill.router.poll_timeout().is_none() {
                break;
            }
            self.deadline(Duration::ZERO);
        }
        assert_eq!(self.drill.router.state(), State::Init);
        assert_eq!(self.drill.router.poll_timeout(), None);
    }

    /// Takes the actions out that one input caused in the state `before`.
    fn drain(&mut self, before: State) -> Caused {
        let was_active = before == State::Active;
        let may_claim = was_active || self.drill.router.state() == State::Active;
        assert!(was_active || self.permitted || self.drill.router.state() != State::Active);
        let [mut scratch, mut twin_scratch] = [BytesMut::new(), BytesMut::new()];
        let destinations = self.drill.router.config().destinations().to_vec();
        let message_len = self.message_len();
        let interval = self.drill.router.snapshot(self.drill.now).interval;
        let mut caused = Caused::default();
        for _ in 0..MOST_ACTIONS {
            let action = self.drill.router.poll_action(&mut scratch);
            assert_eq!(action, self.twin.poll_action(&mut twin_scratch));
            if let (Some(books), Some(action)) = (&mut self.books, &action) {
                fits(books.acts(self.drill.now, action, interval, Duration::ZERO));
            }
            match action {
                Some(Action::Send(advert)) => {
                    assert!(destinations.contains(&advert.destination));
                    assert_eq!(advert.payload.len(), message_len);
                    match advert.advertisement {
                        Advertisement::Claim => {
                            assert!(may_claim, "a claim in {before}");
                            *caused.claims.entry(advert.destination).or_default() += 1;
                        }
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
                    caused.announcements += 1;
                }
                Some(Action::Release(_)) => self.addresses_asked_for = false,
                Some(Action::Prepare) => assert!(!self.addresses_asked_for),
                Some(Action::Event(event)) => self.note(event),
                None => {
                    self.assert_consistent();
                    let Snapshot { state, phase, .. } = self.drill.router.snapshot(self.drill.now);
                    self.books.iter_mut().for_each(|books| fits(books.settled(state, phase)));
                    return caused;
                }
            }
        }
        panic!("more than {MOST_ACTIONS} actions of one input");
    }

    /// The length of an advert of this router.
    fn message_len(&self) -> usize {
        let setup = self.drill.setup;
        let trailer = if setup.extra == Extra::Signatures { trailer::LEN } else { 0 };
        match setup.vrrp {
            None => HEADER_LEN,
            Some(Version::V2) => v2::message_len(1),
            Some(Version::V3) => v3::message_len(Family::Ipv4, 1) + trailer,
            Some(Version::V3Ipv6) => v3::message_len(Family::Ipv6, 2) + trailer,
        }
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
        let snapshot = self.drill.router.snapshot(self.drill.now);
        assert_eq!(self.drill.router.poll_timeout(), self.twin.poll_timeout());
        assert_eq!(self.drill.router.state(), self.twin.state());
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
        assert_eq!(self.drill.router.poll_timeout().is_some(), waits);
        if snapshot.state != State::Active {
            assert!(!self.addresses_asked_for, "keeps the addresses in {}", snapshot.state);
        }
    }
}

fn fits(found: Result<(), Violation>) {
    if let Err(violation) = found {
        panic!("{violation}");
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
        ..
    } = snapshot;
    (
        (state, phase, since, cause, transitions, link, advertised, demotion, interval),
        (posture, active_down, learned, alone, held, held_by_data, fault, checksum, peers),
        (counters.adverts_sent, counters.adverts_received),
    )
}
