//! Who speaks CARP and VRRP on a link: what frames tell, taken together.
//!
//! A [`Census`] is shown one frame after the other, live or from a file, and makes a [`Report`]: every
//! speaker, what is wrong between them, and the ids that are free. It is pure: it reads no clock and
//! sends nothing.
//!
//! Only active routers speak. A backup is silent, so nobody can list it; and CARP does not say which
//! addresses it is about, unless they are announced from the virtual MAC meanwhile.

mod dialect;
mod finding;
mod speaker;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use carp_proto::{MacAddr, VirtualId};

pub use dialect::Guess;
pub use finding::Finding;
pub use speaker::{Proof, Rank, Speaker};

use crate::capture::Timestamp;
use crate::dissect::{Dissected, Layer, LinkInfo, LinkType, Verifier, announcement, dissect};
use speaker::{Advert, Name};

/// How many speakers are kept apart. A link has a few; more come from somebody who makes them up.
pub const MAX_SPEAKERS: usize = 1024;

/// How many announced addresses are kept.
const MAX_ANNOUNCED: usize = 4096;

/// Counts who speaks.
#[derive(Debug, Default)]
pub struct Census {
    verifier: Option<Verifier>,
    speakers: BTreeMap<Name, Speaker>,
    /// VLAN, id of the virtual MAC, and address, by gratuitous ARP.
    announced: BTreeSet<(Option<u16>, VirtualId, Ipv4Addr)>,
    /// How many adverts were looked at: the number of the next one.
    adverts: u64,
    strays: Strays,
}

/// What could not be told apart.
#[derive(Clone, Copy, Debug, Default)]
struct Strays {
    unreadable: Count,
    damaged: Count,
    overlooked: u64,
}

/// How many packets, and who sent the last of them.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    packets: u64,
    last: Option<IpAddr>,
}

impl Count {
    fn add(&mut self, source: Option<IpAddr>) {
        self.packets += 1;
        self.last = source;
    }
}

/// What a census came to.
#[derive(Debug)]
pub struct Report {
    /// Who was heard, by VLAN, id, protocol and source.
    pub speakers: Vec<Speaker>,
    /// What is wrong, or can go wrong.
    pub findings: Vec<Finding>,
    /// The ids that somebody uses, in CARP or VRRP.
    pub used_ids: BTreeSet<VirtualId>,
    /// The ids that nobody was heard to use.
    pub free_ids: Vec<RangeInclusive<u8>>,
}

impl Census {
    /// A census that checks the digests of CARP, if there is something to check them with.
    #[must_use]
    pub fn new(verifier: Option<Verifier>) -> Self {
        Self { verifier, ..Self::default() }
    }

    /// Looks at a frame. `cut` says that it was longer than these bytes.
    pub fn observe(&mut self, time: Option<Timestamp>, link: LinkType, frame: &[u8], cut: bool) {
        if let Some(found) = dissect(frame, Layer::Link(link), cut) {
            self.hear(time, &found);
        } else if let Some((link, announcement)) = announcement(frame, link) {
            self.note(link, announcement.mac, announcement.address);
        }
    }

    fn hear(&mut self, time: Option<Timestamp>, found: &Dissected<'_>) {
        let source = found.meta.map(|meta| meta.source);
        if found.message.is_damaged() {
            return self.strays.damaged.add(source);
        }
        let Some(advert) = Advert::read(found, self.verifier.as_mut()) else {
            return self.strays.unreadable.add(source);
        };
        let number = self.adverts;
        self.adverts += 1;
        let name = advert.name();
        if let Some(speaker) = self.speakers.get_mut(&name) {
            speaker.hear(&advert, time, number);
        } else if self.speakers.len() < MAX_SPEAKERS {
            self.speakers.insert(name, Speaker::new(&advert, time, number));
        } else {
            self.strays.overlooked += 1;
        }
    }

    fn note(&mut self, link: LinkInfo, mac: MacAddr, address: Ipv4Addr) {
        let Ok(id) = VirtualId::new(mac.0[5]) else { return };
        if mac == MacAddr::virtual_router(id) && self.announced.len() < MAX_ANNOUNCED {
            self.announced.insert((link.vlan, id, address));
        }
    }

    /// What it has come to so far.
    #[must_use]
    pub fn report(&self) -> Report {
        let speakers: Vec<Speaker> =
            self.speakers.values().map(|speaker| speaker.told(&self.announced)).collect();
        let used_ids: BTreeSet<_> =
            speakers.iter().filter_map(|speaker| VirtualId::new(speaker.id).ok()).collect();
        let findings = finding::findings(&speakers, &self.strays);
        let free_ids = free(&used_ids);
        Report { speakers, findings, used_ids, free_ids }
    }
}

/// The gaps between the ids in use.
fn free(used: &BTreeSet<VirtualId>) -> Vec<RangeInclusive<u8>> {
    let mut free = Vec::new();
    let mut next = 1_u8;
    for id in used.iter().map(|id| id.get()) {
        if next < id {
            free.push(next..=id - 1);
        }
        match id.checked_add(1) {
            Some(following) => next = following,
            None => return free,
        }
    }
    free.push(next..=u8::MAX);
    free
}

#[cfg(test)]
mod tests;
