//! What arrives: to which router it goes, and what is told of it.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use carp_proto::auth::Verdict;
use carp_proto::wire::classify;
use carp_proto::wire::ip::strip_ipv4;
use carp_proto::{Family, Instant, Reject, RxMeta};

use super::Node;
use crate::backend::{Backend, Clock, Received};
use crate::driver::Member;
use crate::event::EventKind;

/// A reject of one kind is told at most this often.
const REJECTS_TOLD: Duration = Duration::from_secs(60);

/// When a kind of reject was last told, and how many came since.
pub(super) struct RejectTold {
    at: Instant,
    untold: u64,
}

impl<B: Backend> Node<B> {
    pub(super) fn received(&mut self, port: usize, received: &io::Result<Received>) {
        match received {
            Ok(Received::Ipv4 { len, ttl }) => self.ipv4_packet(port, *len, *ttl),
            Ok(Received::Ipv6 { len, meta }) => self.datagram(port, meta, 0..*len),
            Ok(Received::Neighbour(said)) => self.neighbour_said(port, *said),
            // Or an error of the link, such as "network is down", which link events tell better.
            Ok(Received::Useless) | Err(_) => {}
        }
    }

    fn ipv4_packet(&mut self, port: usize, len: usize, ttl: Option<u8>) {
        let packet = &self.buffer[..len];
        match strip_ipv4(packet) {
            Ok((mut meta, payload)) => {
                meta.ttl = ttl.unwrap_or(meta.ttl);
                // Beyond the end of the datagram there may be padding.
                let start = payload.as_ptr().addr() - packet.as_ptr().addr();
                let range = start..start + payload.len();
                self.datagram(port, &meta, range);
            }
            Err(_) => {
                let speaks = |member: &Member| member.port == port && member.speaks(Family::Ipv4);
                let Some(index) = self.members.iter().position(speaks) else { return };
                let now = self.clock.now();
                self.members[index].router.note_reject(now, None, Reject::MalformedIp);
                self.tell_reject(now, index, None, Reject::MalformedIp);
            }
        }
    }

    /// Hands a datagram, of which this part of the buffer is the message, to the router that it is for.
    fn datagram(&mut self, port: usize, meta: &RxMeta, message: Range<usize>) {
        let found = addressee(&self.members, port, meta, &self.buffer[message.clone()]);
        let Some(index) = found else { return };
        let now = self.clock.now();
        self.tell_time_of_day(index, now);
        let router = &mut self.members[index].router;
        match router.handle_datagram(now, meta, &self.buffer[message]) {
            Ok(()) => {
                self.tell_remark(now, index);
                self.carry_out(index, now);
            }
            Err(reject) => {
                let verdict = router.last_verdict();
                if reject == Reject::BadAuthentication
                    && matches!(verdict, Some(Verdict::Stale { .. }))
                {
                    self.day.doubt();
                }
                self.tell_reject(now, index, Some(meta.source), reject);
            }
        }
    }

    /// Signatures need the time of day.
    pub(super) fn tell_time_of_day(&mut self, index: usize, now: Instant) {
        let router = &mut self.members[index].router;
        if router.config().is_signed() {
            router.set_time_of_day(now, self.day.at(now, self.clock.time_of_day()));
        }
    }

    /// Tells what is odd about the advert that was just heard.
    fn tell_remark(&mut self, now: Instant, index: usize) {
        let Member { router, remarked, name, .. } = &mut self.members[index];
        let Some(peer) = router.last_heard() else { return };
        if let Some(text) = remarked.news(now, router.config(), peer, router.learned()) {
            self.events.tell(Some(name), EventKind::Remark { source: peer.source, text });
        }
    }

    /// Tells the first reject of a kind, and then sums.
    fn tell_reject(&mut self, now: Instant, index: usize, source: Option<IpAddr>, reject: Reject) {
        let count = match self.rejects.get_mut(&(index, reject.index())) {
            None => 1,
            Some(told) if now.saturating_since(told.at) < REJECTS_TOLD => {
                told.untold = told.untold.saturating_add(1);
                return;
            }
            Some(told) => told.untold.saturating_add(1),
        };
        self.rejects.insert((index, reject.index()), RejectTold { at: now, untold: 0 });
        let (label, text) = (reject.label().into(), reject.to_string());
        let kind = EventKind::Reject { label, source, text, count };
        self.events.tell(Some(&self.members[index].name), kind);
    }
}

/// The router that a message is for: the one of its protocol and id. What is for none is counted where
/// its id is, or else where the rejects of its interface are.
fn addressee(members: &[Member], port: usize, meta: &RxMeta, message: &[u8]) -> Option<usize> {
    let protocol = classify(message).protocol();
    let id = message.get(1).copied();
    let family = Family::of(meta.destination);
    let here = || {
        let members = members.iter().enumerate();
        members.filter(|(_, member)| member.port == port && member.speaks(family))
    };
    let of_id = |member: &Member| Some(member.router.config().id().get()) == id;
    let of_protocol = |member: &Member| Some(member.router.config().protocol()) == protocol;
    let found = here()
        .find(|(_, member)| of_id(member) && of_protocol(member))
        .or_else(|| here().find(|(_, member)| of_id(member)))
        .or_else(|| here().next());
    found.map(|(index, _)| index)
}
