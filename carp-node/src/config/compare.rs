//! Two nodes side by side: do their routers hear each other, and who is active when?

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::net::IpAddr;

use carp_proto::election::TieBreak;
use carp_proto::{Authenticator, CarpInterval, Key, VirtualId};

use super::{Config, Diagnostic, Location, RouterSpec};

/// Adverts in a row that may get lost without a takeover, at least.
const WANTED_TOLERANCE: u128 = 2;

pub(super) fn compare(ours: &Config, theirs: &Config) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut matched = BTreeSet::new();
    for router in &ours.routers {
        match counterpart(router, &theirs.routers) {
            Some(index) => {
                matched.insert(index);
                pair(router, &theirs.routers[index], &mut found);
            }
            None => found.push(alone(router, "the other node")),
        }
    }
    let unmatched = theirs.routers.iter().enumerate().filter(|(index, _)| !matched.contains(index));
    found.extend(unmatched.map(|(_, router)| alone(router, "this node")));
    found
}

/// The router of the same name; else the one of the same protocol and id.
fn counterpart(router: &RouterSpec, others: &[RouterSpec]) -> Option<usize> {
    let by_name = others.iter().position(|other| other.name == router.name);
    by_name.or_else(|| {
        let same = |other: &RouterSpec| (other.protocol, other.id) == (router.protocol, router.id);
        others.iter().position(same)
    })
}

fn alone(router: &RouterSpec, node: &str) -> Diagnostic {
    let message = format!("router {:?} is missing on {node}", router.name);
    router.places.table.warning(message).with_help("a router alone does not fail over")
}

fn pair(ours: &RouterSpec, theirs: &RouterSpec, found: &mut Vec<Diagnostic>) {
    found.extend(same_group(ours, theirs));
    found.extend(ranks(ours, theirs));
}

/// What the members of a router have to agree on.
fn same_group(ours: &RouterSpec, theirs: &RouterSpec) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut differs = |place: &Location, message: String, help: &str| {
        found.push(place.error(message).with_help(help));
    };
    let there = &theirs.places;
    if ours.protocol != theirs.protocol {
        let message = format!(
            "the protocol is {} here and {} at {}",
            ours.protocol, theirs.protocol, there.table
        );
        differs(&ours.places.table, message, "routers of one group speak one protocol");
    }
    if ours.id != theirs.id {
        let message = format!("the id is {} here and {} at {}", ours.id, theirs.id, there.id);
        differs(&ours.places.id, message, "the members of a router have the same id");
    }
    if ips(ours) != ips(theirs) {
        let message = address_difference(ours, theirs);
        let help =
            "the digest covers the addresses: with other lists the routers reject each other";
        differs(&ours.places.table, message, help);
    }
    if !same_key(&ours.key, &theirs.key) {
        let message = format!("the key is not the one at {}", there.key_file);
        let help = "copy the key file from one server to the other";
        differs(&ours.places.key_file, message, help);
    }
    if ours.dialect != theirs.dialect {
        let (here, peer) = (ours.dialect, theirs.dialect);
        let message = format!("the dialect is {here} here and {peer} at {}", there.table);
        differs(&ours.places.table, message, "routers of one group elect by the same rules");
    }
    if ours.interval.advbase != theirs.interval.advbase {
        let (here, peer) = (ours.interval.advbase, theirs.interval.advbase);
        let message = format!("advbase is {here} here and {peer} at {}", there.table);
        differs(&ours.places.table, message, "take the same advbase, and rank by advskew");
    }
    found
}

fn ips(router: &RouterSpec) -> BTreeSet<IpAddr> {
    router.addresses.iter().map(|address| address.ip()).collect()
}

fn address_difference(ours: &RouterSpec, theirs: &RouterSpec) -> String {
    let (here, there) = (ips(ours), ips(theirs));
    let list = |ips: Vec<String>| if ips.is_empty() { "none".to_owned() } else { ips.join(", ") };
    let only_here = list(here.difference(&there).map(ToString::to_string).collect());
    let only_there = list(there.difference(&here).map(ToString::to_string).collect());
    let place = &theirs.places.table;
    format!("the addresses differ: only here {only_here}, only at {place} {only_there}")
}

/// Compared by what they sign, so that no key leaves its type.
fn same_key(ours: &Key, theirs: &Key) -> bool {
    let Ok(id) = VirtualId::new(1) else { return false };
    let digest = Authenticator::new(ours, id, &[]).digest(0);
    Authenticator::new(theirs, id, &[]).verify(0, &digest)
}

/// Who is active, and how easily that changes.
fn ranks(ours: &RouterSpec, theirs: &RouterSpec) -> Option<Diagnostic> {
    let (better, worse) = match ours.interval.cmp(&theirs.interval) {
        Ordering::Less => (ours, theirs),
        Ordering::Greater => (theirs, ours),
        Ordering::Equal => return Some(tie(ours, theirs)),
    };
    let adverts = worse.active_down().as_nanos() / better.interval.advert().as_nanos();
    let tolerance = adverts.saturating_sub(1);
    if tolerance >= WANTED_TOLERANCE {
        return None;
    }
    let taker = if std::ptr::eq(worse, ours) { "this node" } else { "the other node" };
    let message = match tolerance {
        0 => format!("{taker} takes over as soon as one advert is lost: none may be"),
        _ => format!("{taker} takes over when two adverts in a row are lost: only 1 may be"),
    };
    let help = format!(
        "{taker} waits {:?} for adverts that come every {:?}: lower the advskew of the better \
         router, or raise that of the worse",
        worse.active_down(),
        better.interval.advert()
    );
    Some(ours.places.table.warning(message).with_help(help))
}

fn tie(ours: &RouterSpec, theirs: &RouterSpec) -> Diagnostic {
    let CarpInterval { advbase, advskew } = ours.interval;
    let stays = match ours.dialect.policy().tie {
        TieBreak::LowerAddressStays => "the one with the lower source address stays",
        TieBreak::HigherAddressStays => "the one with the higher source address stays",
        TieBreak::UcarpAddressStays => {
            "the one whose source address, read from its last byte to its first, is lower stays"
        }
        TieBreak::HearerYields => "the one that hears the other first yields",
    };
    let place = &theirs.places.table;
    let message = format!("the rank is that of {place} too: advbase {advbase}, advskew {advskew}");
    let help = format!(
        "of two that are active, {stays}; give the router that shall be backup a higher advskew"
    );
    ours.places.table.warning(message).with_help(help)
}
