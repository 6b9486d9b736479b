//! What a router asks its neighbours, and what it makes of what they say.
//!
//! Before a takeover, while the active-down timer runs out, it asks who has the addresses. The other router
//! is asked for its own address at the same time, so that it is known by its link-layer address. After a
//! takeover it asks from the addresses, which tells whether anybody hears. No I/O and no clock: the node
//! puts in what happens and carries out [deeds](Deed).

mod confirm;
mod policy;
mod show;

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use carp_proto::election::{Cause, Phase, State, Wait};
use carp_proto::{
    Family, Instant, MAX_PEERS, MacAddr, Peer, Snapshot, VirtualAddress, VirtualRouter,
};

use self::confirm::{Confirmation, Round};
pub use self::policy::Duplicate;
use crate::addresses::Hosts;
use crate::backend::{Neighbour, Saying};
use crate::event::EventKind;
use crate::node::RouterSetup;

/// Questions in one active-down interval: after a half of it, and after a half of the rest.
const QUESTIONS: u32 = 2;

/// How long to wait for another router to say where it is, before somebody is taken for a stranger.
const SETTLE: Duration = Duration::from_millis(100);

/// How long a host that has one of our addresses is talked of after it was last heard.
const RECENT: Duration = Duration::from_secs(60);

/// Different hosts that say to have an address are told of this often at most.
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// An active router defends its address this often at most (`DEFEND_INTERVAL` of RFC 5227), and asks then
/// whether the other host still has it.
const DEFEND: Duration = Duration::from_secs(10);

/// A router that resigned this long ago may still be expected to be there.
const RESIGNED: Duration = Duration::from_secs(2);

/// Something for the node to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Ask who has the addresses, and where these hosts are.
    Probe(Hosts),
    /// Ask these hosts, and the default gateway, from the address of a family.
    Confirm(Family, Hosts),
    /// Announce the addresses.
    Announce,
    /// Tell the router that another host has one of its addresses, and is to keep it.
    LetKeep,
    /// Tell people.
    Tell(EventKind),
}

/// What one router asks, and what is known of its addresses elsewhere.
#[derive(Debug)]
pub(crate) struct Probe {
    policy: Duplicate,
    addresses: Arc<[VirtualAddress]>,
    /// Link-layer addresses that every router of the id may have.
    shared_macs: [MacAddr; 3],
    /// Whether it hears neighbours where the addresses are.
    hears: bool,
    /// Whether the addresses are the host's own, which is not asked about.
    owned: bool,
    /// Why nobody is asked from the addresses.
    silent_because: Option<&'static str>,
    waiting: Option<Waiting>,
    /// Routers that were asked where they are, and what they answered.
    routers: [Option<(IpAddr, Option<MacAddr>)>; MAX_PEERS],
    asked_at: Option<Instant>,
    /// Who says to have an address, as long as it may be one of the routers.
    suspect: Option<Suspect>,
    other: Option<Other>,
    told_at: Option<Instant>,
    /// Since when the addresses are served, and what comes of asking from them.
    serving: bool,
    confirmations: [Option<Confirmation>; 2],
    defended_at: Option<Instant>,
    /// Why it does not take over, in words.
    words: Option<String>,
    deeds: VecDeque<Deed>,
}

/// A backup's wait for its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Waiting {
    down_at: Instant,
    /// Since when it has waited, or when it last asked.
    since: Instant,
    asked: u32,
    /// Whether the router was told that another host has an address.
    let_keep: bool,
}

/// Somebody who says to have an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Suspect {
    address: IpAddr,
    mac: MacAddr,
    settle_at: Instant,
}

/// Another host that has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Other {
    address: IpAddr,
    mac: MacAddr,
    peer: Option<IpAddr>,
    heard_at: Instant,
    /// While we serve: when it is asked whether it still has it.
    ask_at: Instant,
    unanswered: u32,
}

/// Inputs.
impl Probe {
    pub(super) fn new(setup: &RouterSetup) -> Self {
        let (place, id) = (&setup.place, setup.config.id());
        let here = place.announced_on == setup.interface;
        let silent_because = if !here {
            Some("the addresses are on another interface than the adverts")
        } else if place.mac.is_some() {
            Some("answers to the virtual link-layer address are not heard")
        } else {
            None
        };
        Self {
            policy: setup.duplicate,
            addresses: setup.config.addresses().into(),
            shared_macs: [
                MacAddr::virtual_router(id),
                MacAddr::virtual_router_ipv6(id),
                MacAddr::ucarp(id),
            ],
            hears: here,
            owned: place.owned,
            silent_because,
            waiting: None,
            routers: [None; MAX_PEERS],
            asked_at: None,
            suspect: None,
            other: None,
            told_at: None,
            serving: false,
            confirmations: [None; 2],
            defended_at: None,
            words: None,
            deeds: VecDeque::with_capacity(8),
        }
    }

    /// Takes in what has become of the router. To be called after everything that may change it.
    pub(super) fn follow(&mut self, now: Instant, router: &VirtualRouter) {
        let deadline = router.poll_timeout().filter(|deadline| deadline.why == Wait::ActiveDown);
        let down_at = deadline.map(|deadline| deadline.at).filter(|_| self.hears && !self.owned);
        if self.waiting.map(|waiting| waiting.down_at) != down_at {
            let wait = |down_at| Waiting { down_at, since: now, asked: 0, let_keep: false };
            self.waiting = down_at.map(wait);
            self.suspect = None;
        }
        let heard_again = |other: Other| {
            let heard = router.last_heard().filter(|peer| Some(peer.source) == other.peer);
            heard.is_some_and(|peer| peer.heard_at >= other.heard_at)
        };
        // Its adverts arrive after all, and say what there is to say.
        self.other = self.other.filter(|other| !heard_again(*other));
        let serving = router.phase() == Some(Phase::Serving);
        if serving != self.serving {
            self.serving = serving;
            self.suspect = None;
            self.confirmations = [None; 2];
            if serving && self.silent_because.is_none() {
                self.begin_confirmations(now, router);
            }
        }
    }

    /// Takes in what a neighbour says.
    pub(super) fn hear(&mut self, now: Instant, router: &VirtualRouter, said: Neighbour) {
        if self.addresses.iter().any(|address| address.ip() == said.address) {
            if let Some(mac) = said.mac {
                self.hear_claim(now, router, said.address, mac);
            }
            return;
        }
        if let Some((_, mac)) =
            self.routers.iter_mut().flatten().find(|(ip, _)| *ip == said.address)
        {
            *mac = said.mac.or(*mac);
        }
        if let Saying::Answered(to) = said.saying {
            self.hear_answer(to, said.address);
        }
    }

    /// Takes in that the address thread has asked from the addresses, and whether there is a gateway.
    pub(super) fn asked(&mut self, family: Family, gateway: bool) {
        let mut confirmations = self.confirmations.iter_mut().flatten();
        if let Some(found) = confirmations.find(|it| it.family == family) {
            // What is over does not begin again.
            found.expected |= gateway && found.next_at.is_some();
        }
    }

    /// Does what is due.
    pub(super) fn handle_timeout(&mut self, now: Instant, router: &VirtualRouter) {
        if let Some(suspect) = self.suspect.filter(|it| now >= self.settled_at(*it)) {
            self.suspect = None;
            self.judge(now, router, suspect.address, suspect.mac);
        }
        if self.question_at(router).is_some_and(|at| now >= at)
            && let Some(waiting) = self.waiting.as_mut().filter(|waiting| now < waiting.down_at)
        {
            waiting.asked += 1;
            waiting.since = now;
            self.ask(now, router);
        }
        if let Some(other) = self.other.filter(|other| self.serving && now >= other.ask_at) {
            self.ask_again(now, router, other);
        }
        for place in 0..self.confirmations.len() {
            self.confirm(now, router, place);
        }
    }
}

/// Outputs.
impl Probe {
    /// What is to be done, until there is nothing.
    pub(super) fn poll_deed(&mut self) -> Option<Deed> {
        self.deeds.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub(super) fn poll_timeout(&self, router: &VirtualRouter) -> Option<Instant> {
        let suspect = self.suspect.map(|suspect| self.settled_at(suspect));
        let other = self.other.filter(|_| self.serving).map(|other| other.ask_at);
        let confirmations = self.confirmations.iter().flatten().filter_map(|it| it.next_at);
        let times = [suspect, self.question_at(router), other].into_iter().flatten();
        times.chain(confirmations).min()
    }

    /// Whether answers are of use at present.
    pub(super) fn awaits_answers(&self) -> bool {
        self.waiting.is_some_and(|waiting| waiting.asked > 0)
            || self.suspect.is_some()
            || (self.serving && self.other.is_some())
            || self.confirmations.iter().flatten().any(|it| it.next_at.is_some())
    }
}

/// Before a takeover.
impl Probe {
    /// When to ask next: not before the active router's advert is overdue, so that a router that is well is
    /// never asked.
    fn question_at(&self, router: &VirtualRouter) -> Option<Instant> {
        let waiting = self.waiting.filter(|waiting| waiting.asked < QUESTIONS)?;
        let at = waiting.since + waiting.down_at.saturating_since(waiting.since) / 2;
        let at = router.last_heard().and_then(overdue_at).map_or(at, |overdue| at.max(overdue));
        (at < waiting.down_at).then_some(at)
    }

    fn ask(&mut self, now: Instant, router: &VirtualRouter) {
        let hosts = hosts(now, router);
        let known = |ip| self.routers.iter().flatten().find(|(known, _)| *known == ip);
        let asked = |ip: IpAddr| (ip, known(ip).and_then(|(_, mac)| *mac));
        self.routers = hosts.map(|ip| ip.map(asked));
        self.asked_at = Some(now);
        self.deeds.push_back(Deed::Probe(hosts));
    }

    fn settled_at(&self, suspect: Suspect) -> Instant {
        let down_at = self.waiting.map_or(suspect.settle_at, |waiting| waiting.down_at);
        suspect.settle_at.min(down_at)
    }

    /// Somebody says to have one of our addresses.
    fn hear_claim(&mut self, now: Instant, router: &VirtualRouter, address: IpAddr, mac: MacAddr) {
        let asking = self.waiting.is_some_and(|waiting| waiting.asked > 0);
        let listens = self.hears && (asking || self.serving);
        if !listens || self.shared_macs.contains(&mac) || self.suspect.is_some() {
            return;
        }
        let is_known = self.routers.iter().flatten().any(|(_, known)| *known == Some(mac));
        let settle_at = if is_known { now } else { self.settled_for(now, router) };
        if settle_at <= now {
            return self.judge(now, router, address, mac);
        }
        self.suspect = Some(Suspect { address, mac, settle_at });
    }

    /// When it is known where the other routers are, as far as they say so. They are asked if they have not
    /// been.
    fn settled_for(&mut self, now: Instant, router: &VirtualRouter) -> Instant {
        let hosts = hosts(now, router);
        let found = |ip| self.routers.iter().flatten().find(|(known, _)| *known == ip);
        let mut found = hosts.iter().flatten().map(|ip| found(*ip));
        if found.clone().next().is_none() {
            return now;
        }
        let all_answered = found.clone().flatten().all(|(_, mac)| mac.is_some());
        let all_asked = found.all(|found| found.is_some());
        // Who did not answer may be there again: after a partition two routers have the addresses.
        let valid = if all_answered { RECENT } else { SETTLE };
        let recent = |at: &Instant| now.saturating_since(*at) < valid;
        match self.asked_at.filter(|at| all_asked && recent(at)) {
            Some(_) if all_answered => now,
            Some(at) => at + SETTLE,
            None => {
                self.ask(now, router);
                now + SETTLE
            }
        }
    }

    /// Decides who it is that has an address, as far as that can be known.
    fn judge(&mut self, now: Instant, router: &VirtualRouter, address: IpAddr, mac: MacAddr) {
        let known = self.routers.iter().flatten().find(|(_, known)| *known == Some(mac));
        let peer = known.map(|(ip, _)| *ip);
        if peer.is_some_and(|peer| speaks_for_itself(&router.snapshot(now), now, peer)) {
            return;
        }
        let other = self.note_other(now, address, mac, peer);
        if let Some(waiting) = &mut self.waiting
            && peer.is_none()
            && self.policy == Duplicate::Veto
            && !waiting.let_keep
        {
            waiting.let_keep = true;
            self.words = Some(self.words_of(&other));
            self.deeds.push_back(Deed::LetKeep);
        }
        // Which of two routers has the address, the election decides: the loser must not have the last word.
        let defended = self.defended_at.is_some_and(|at| now.saturating_since(at) < DEFEND);
        if self.serving && peer.is_none() && !defended {
            self.defended_at = Some(now);
            self.deeds.push_back(Deed::Announce);
        }
    }

    /// Keeps who has an address, and tells it: one that is known once in a while, and never more than so much
    /// at a time, because anybody can say anything.
    fn note_other(
        &mut self,
        now: Instant,
        address: IpAddr,
        mac: MacAddr,
        peer: Option<IpAddr>,
    ) -> Other {
        let found =
            Other { address, mac, peer, heard_at: now, ask_at: now + DEFEND, unanswered: 0 };
        let is_same =
            |other: &Other| (other.address, other.mac, other.peer) == (address, mac, peer);
        let known = self.other.filter(is_same);
        let pause = if known.is_some() { RECENT } else { LEAST_PAUSE };
        let tells = self.told_at.is_none_or(|at| now.saturating_since(at) >= pause);
        if let Some(known) = known {
            let ask_at = if known.ask_at > now { known.ask_at } else { found.ask_at };
            self.other = Some(Other { ask_at, ..found });
        } else if tells || self.other.is_none() {
            self.other = Some(found);
        }
        if tells {
            self.told_at = Some(now);
            let (text, mac) = (self.words_of(&found), mac.to_string());
            self.deeds.push_back(Deed::Tell(EventKind::Duplicate { address, mac, peer, text }));
        }
        found
    }

    /// Asks whether the other host still has the address. Two questions without an answer say that it has
    /// not.
    fn ask_again(&mut self, now: Instant, router: &VirtualRouter, other: Other) {
        if other.unanswered >= 2 {
            self.other = None;
            let Other { address, mac, .. } = other;
            let text = format!("nobody else answers for {address} any more: {mac} did");
            return self.deeds.push_back(Deed::Tell(EventKind::Log { text }));
        }
        let (unanswered, ask_at) = (other.unanswered + 1, now + DEFEND);
        self.other = Some(Other { unanswered, ask_at, ..other });
        self.ask(now, router);
    }
}

/// After a takeover.
impl Probe {
    fn begin_confirmations(&mut self, now: Instant, router: &VirtualRouter) {
        let snapshot = router.snapshot(now);
        // Peers by unicast may be behind routers, and then do not answer.
        let on_link = !router.config().is_unicast();
        self.confirmations = [Family::Ipv4, Family::Ipv6].map(|family| {
            let from = self.addresses.iter().find(|address| address.family() == family)?;
            let living =
                snapshot.peers.iter().flatten().any(|peer| {
                    Family::of(peer.source) == family && is_living(peer, &snapshot, now)
                });
            Some(Confirmation::begin(now, from.ip(), living && on_link))
        });
    }

    fn confirm(&mut self, now: Instant, router: &VirtualRouter, place: usize) {
        let Some(confirmation) = &mut self.confirmations[place] else { return };
        let (family, from) = (confirmation.family, confirmation.from);
        match confirmation.next_round(now) {
            None | Some(Round::Nobody) => return,
            Some(Round::First) => {}
            Some(Round::Unanswered { news }) => {
                if news {
                    let text = show::unanswered(from);
                    let event = EventKind::Confirmation { confirmed: false, text };
                    self.deeds.push_back(Deed::Tell(event));
                }
                self.deeds.push_back(Deed::Announce);
            }
        }
        let own = hosts(now, router).map(|ip| ip.filter(|ip| Family::of(*ip) == family));
        self.deeds.push_back(Deed::Confirm(family, own));
    }

    /// Somebody answered to an address.
    fn hear_answer(&mut self, to: IpAddr, by: IpAddr) {
        if !self.addresses.iter().any(|address| address.ip() == to) {
            return;
        }
        let known = self.confirmations.iter().flatten().any(|it| it.family == Family::of(to));
        if !known {
            return;
        }
        let mut told = false;
        for it in self.confirmations.iter_mut().flatten() {
            // The way to us is the same for both families: that somebody has none of the other, or does not
            // answer in it, says nothing of our port.
            told |= if it.family == Family::of(to) { it.answered(by) } else { it.excuse() };
        }
        if told {
            let text = format!("{by} answers to {to} now: announcing again");
            let event = EventKind::Confirmation { confirmed: true, text };
            self.deeds.push_back(Deed::Tell(event));
            // What was announced before has not been heard.
            self.deeds.push_back(Deed::Announce);
        }
    }
}

/// The other routers: those that were heard, and those that are configured to be.
fn hosts(now: Instant, router: &VirtualRouter) -> Hosts {
    let mut hosts = router.snapshot(now).peers.map(|peer| peer.map(|peer| peer.source));
    let config = router.config();
    let configured = config.destinations().iter().filter(|_| config.is_unicast());
    for peer in configured {
        if !hosts.contains(&Some(*peer))
            && let Some(free) = hosts.iter_mut().find(|host| host.is_none())
        {
            *free = Some(*peer);
        }
    }
    hosts
}

/// When the next advert of a router is overdue by a quarter of its interval; `None` if none is to come.
fn overdue_at(peer: &Peer) -> Option<Instant> {
    let interval = peer.advertised.interval();
    (!peer.advertised.is_resignation()).then(|| peer.heard_at + interval + interval / 4)
}

/// Whether a router's own adverts say what there is to say of it: they arrive, or it has resigned.
fn speaks_for_itself(snapshot: &Snapshot, now: Instant, source: IpAddr) -> bool {
    let peer = snapshot.peers.iter().flatten().find(|peer| peer.source == source);
    peer.is_some_and(|peer| match snapshot.state {
        State::Active => now.saturating_since(peer.heard_at) <= snapshot.active_down,
        State::Init | State::Backup => overdue_at(peer).is_none_or(|overdue| now < overdue),
    })
}

/// Whether a router is there, as far as it can be known at a takeover.
fn is_living(peer: &Peer, snapshot: &Snapshot, now: Instant) -> bool {
    match overdue_at(peer) {
        Some(overdue) => now < overdue && snapshot.cause != Cause::ActiveDown,
        None => now.saturating_since(peer.heard_at) <= RESIGNED,
    }
}
