//! The only place where what a router wants done is done.
//!
//! Adverts are sent from here, at once. Addresses go to the address thread, programs to the hooks,
//! events to the log: all of that answers later, as an input. What fails here becomes an input too.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use bytes::BytesMut;
use carp_proto::election::{Advertisement, Bar, Cause, Event, Fault, Input, State};
use carp_proto::{Action, Family, Instant, MacAddr, VirtualAddress, VirtualRouter};
use tokio::sync::oneshot;

use crate::addresses::{Job, Place, Presence, Task};
use crate::backend::{Interface, PacketIo};
use crate::demotion::Contributions;
use crate::event::{EventKind, EventSource};
use crate::guard::Post;
use crate::node::contest::Contest;
use crate::node::gateway::Gateway;
use crate::node::lease::Renewals;
use crate::node::probe::Probe;
use crate::node::remark::Told;
use crate::node::{Hold, Prepare, YieldError, Yielded};

/// One router of a node, with what the driver keeps for it.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    pub(crate) interface: Arc<str>,
    /// Which port of the node.
    pub(crate) port: usize,
    /// How long it waits before it takes part.
    pub(crate) hold: Hold,
    pub(crate) router: VirtualRouter,
    /// Where its addresses are.
    pub(crate) place: Arc<Place>,
    pub(crate) addresses: Arc<[VirtualAddress]>,
    /// The source of adverts, if it is not the interface's.
    pub(crate) advert_mac: Option<MacAddr>,
    pub(crate) contributions: Contributions,
    pub(crate) tickets: Tickets,
    /// Who waits for the end of a handover.
    pub(crate) yielding: Vec<oneshot::Sender<Result<Yielded, YieldError>>>,
    /// What went wrong last, in the operating system's words.
    pub(crate) fault_text: Option<String>,
    /// Why adverts cannot be sent, while they cannot.
    pub(crate) send_fault: Option<String>,
    /// What was told last of odd adverts.
    pub(crate) remarked: Told,
    /// What others do to the addresses.
    pub(crate) contest: Contest,
    /// The state before what happens now.
    pub(crate) last_state: State,
    /// When the kernel is to be told that the addresses are still wanted.
    pub(crate) renewals: Renewals,
    /// What it asks its neighbours.
    pub(crate) probe: Probe,
    /// What is known of its gateway, if one is to be watched.
    pub(crate) gateway: Option<Gateway>,
    /// What its data forbid it.
    pub(crate) data_bar: Bar,
}

impl Member {
    /// Whether the router sends and hears adverts in this family.
    pub(crate) fn speaks(&self, family: Family) -> bool {
        self.router.config().destinations().iter().any(|to| Family::of(*to) == family)
    }

    /// What a fault of the router is, in the best words there are.
    pub(crate) fn fault_words(&self, fault: Fault) -> String {
        match (fault, self.probe.words_for(Some(fault)), self.fault_text.as_deref()) {
            (Fault::AddressLost, ..) => self.contest.words(),
            (_, Some(text), _) | (_, None, Some(text)) => text.to_owned(),
            (_, None, None) => fault.to_string(),
        }
    }

    /// A job for the address thread about this router, which is number `router` of its node.
    pub(crate) fn job(&self, router: usize, task: Task, ticket: u64) -> Job {
        Job {
            task,
            router,
            ticket,
            place: Arc::clone(&self.place),
            addresses: Arc::clone(&self.addresses),
        }
    }
}

/// Numbers by which late answers are told from those that are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tickets {
    last: u64,
    pub(crate) acquire: u64,
    pub(crate) prepare: u64,
}

impl Tickets {
    fn draw(&mut self) -> u64 {
        self.last += 1;
        self.last
    }
}

/// What actions are carried out with.
pub(crate) struct Driver<'a, P> {
    /// The sockets; `None` while the interface is gone.
    pub(crate) packets: Option<&'a mut P>,
    /// The interface that the addresses are on, as it was at its last change.
    pub(crate) home: Option<&'a Interface>,
    pub(crate) jobs: &'a SyncSender<Job>,
    pub(crate) events: &'a EventSource,
    pub(crate) prepare: Option<&'a Prepare>,
    pub(crate) scratch: &'a mut BytesMut,
    pub(crate) guard: Option<GuardSeat<'a>>,
}

/// Where resignations are kept ready, and the interface on which they will be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuardSeat<'a> {
    pub(crate) post: &'a Post,
    pub(crate) interface: u32,
}

impl GuardSeat<'_> {
    /// Keeps the resignation of a router ready that may have addresses.
    pub(crate) fn keep(self, index: usize, member: &Member, scratch: &mut BytesMut) {
        if member.router.state() == State::Active {
            let (router, mac) = (&member.router, member.advert_mac);
            self.post.keep_resignation(index, router, self.interface, mac, scratch);
        }
    }
}

impl<P: PacketIo> Driver<'_, P> {
    /// Carries out everything that a router wants, and what follows from that.
    pub(crate) fn carry_out(&mut self, index: usize, member: &mut Member, now: Instant) {
        loop {
            let mut inputs = Vec::new();
            while let Some(action) = member.router.poll_action(self.scratch) {
                let input = match action {
                    Action::Send(advert) => {
                        let sent = match &mut self.packets {
                            Some(packets) => packets.send(&advert, member.advert_mac),
                            None => Err(std::io::ErrorKind::NotConnected.into()),
                        };
                        let ok = sent.is_ok();
                        if ok && advert.advertisement == Advertisement::Claim {
                            self.renew(index, member, now);
                        }
                        let turned = member.contributions.note_send(ok);
                        if turned {
                            self.tell_sending(member, sent.err());
                        }
                        turned.then(|| Input::Demotion(member.contributions.sum()))
                    }
                    Action::Prepare => {
                        let ticket = member.tickets.draw();
                        member.tickets.prepare = ticket;
                        match self.prepare {
                            Some(prepare) => {
                                prepare(index, ticket);
                                None
                            }
                            None => Some(Input::Prepared),
                        }
                    }
                    Action::Acquire(announce) => {
                        let presence = presence(self.home, &member.addresses);
                        let task = Task::Acquire { presence, burst: announce.burst };
                        member.tickets.acquire = member.tickets.draw();
                        member.renewals.begin(now);
                        // Whoever dies with the addresses must have something to resign with.
                        self.keep_resignation(index, member);
                        let job = member.job(index, task, member.tickets.acquire);
                        // The queue is full: the kernel has not answered for hundreds of requests.
                        let refused = self.jobs.try_send(job).is_err();
                        refused.then_some(Input::Fault(Fault::AcquireTimeout))
                    }
                    Action::Announce(announce) => {
                        let task = Task::Announce { burst: announce.burst };
                        let ticket = member.tickets.draw();
                        // An announcement that finds no place is repeated by the plan.
                        let _ = self.jobs.try_send(member.job(index, task, ticket));
                        None
                    }
                    Action::Release(_) => {
                        let ticket = member.tickets.draw();
                        member.renewals.end();
                        let job = member.job(index, Task::Release, ticket);
                        let refused = self.jobs.try_send(job).is_err();
                        refused.then_some(Input::Fault(Fault::Release { code: 0 }))
                    }
                    Action::Event(event) => {
                        settle_yield(&mut member.yielding, &event);
                        self.tell(member, event);
                        None
                    }
                };
                inputs.extend(input);
            }
            if inputs.is_empty() {
                return self.keep_resignation(index, member);
            }
            inputs.into_iter().for_each(|input| member.router.handle(now, input));
        }
    }

    /// Tells that adverts can no longer be sent, or can be sent again.
    fn tell_sending(&self, member: &mut Member, error: Option<std::io::Error>) {
        let interface = &member.interface;
        member.send_fault = error.map(|error| {
            format!(
                "adverts cannot be sent on {interface}: {error}; demoted until three could be sent"
            )
        });
        let kind = match member.send_fault.clone() {
            Some(text) => EventKind::Fault { text },
            None => {
                let text = format!("adverts can be sent on {interface} again: no longer demoted");
                EventKind::Log { text }
            }
        };
        self.events.tell(Some(&member.name), kind);
    }

    /// Renews the lease of a router that has just advertised, if it is time, or is before it does so again.
    fn renew(&self, index: usize, member: &mut Member, now: Instant) {
        let interval = member.router.advertised().interval();
        if let Some(task) = member.renewals.with_advert(now, interval) {
            // If the thread is that busy, the next one may find a place.
            let _ = self.jobs.try_send(member.job(index, task, 0));
        }
    }

    fn keep_resignation(&mut self, index: usize, member: &Member) {
        if let Some(seat) = self.guard {
            seat.keep(index, member, self.scratch);
        }
    }

    fn tell(&self, member: &Member, event: Event) {
        let mut kind = match event {
            Event::AddressLost => member.contest.event(),
            Event::State { .. }
            | Event::Rival { .. }
            | Event::AddressExpired
            | Event::YieldUnanswered => event.into(),
        };
        if let (EventKind::State { evidence: told, .. }, Event::State { evidence, .. }) =
            (&mut kind, event)
        {
            told.fault = evidence.fault.map(|fault| member.fault_words(fault));
        }
        self.events.tell(Some(&member.name), kind);
    }
}

/// What is known of addresses on an interface.
fn presence(home: Option<&Interface>, addresses: &[VirtualAddress]) -> Presence {
    let is_one = |ip| addresses.iter().any(|address| address.ip() == ip);
    match home {
        Some(home) if !home.addresses.iter().any(|there| is_one(there.ip)) => Presence::Absent,
        Some(_) | None => Presence::Unknown,
    }
}

/// Answers those who asked the router to yield, once it is decided what became of it.
fn settle_yield(yielding: &mut Vec<oneshot::Sender<Result<Yielded, YieldError>>>, event: &Event) {
    let outcome = match event {
        Event::State { cause: Cause::Yield, evidence, .. } => Ok(Yielded { to: evidence.peer }),
        Event::State { to: State::Active, .. }
        | Event::Rival { .. }
        | Event::AddressLost
        | Event::AddressExpired => return,
        Event::State { cause, .. } => Err(YieldError::Overtaken { cause: *cause }),
        Event::YieldUnanswered => Err(YieldError::Unanswered),
    };
    for waiting in yielding.drain(..) {
        // Whoever asked may have gone.
        let _ = waiting.send(outcome);
    }
}
