//! Two CARP routers.

use std::cmp::Ordering;

use carp_proto::election::TieBreak;
use carp_proto::{Authenticator, Key, VirtualId};

use super::{Pair, address_difference, ips, rank};
use crate::config::spec::{CarpSpec, RouterSpec};

/// Adverts in a row that may get lost without a takeover, at least.
const WANTED_TOLERANCE: u128 = 2;

pub(super) fn compare(pair: &mut Pair<'_>, here: &CarpSpec, there: &CarpSpec) {
    authentication(pair, here, there);
    if here.dialect != there.dialect {
        let help = "the members of a router elect by the same rules";
        pair.differs("dialect", here.dialect, there.dialect, help);
    }
    let (base, their_base) = (here.interval.advbase, there.interval.advbase);
    if base != their_base {
        let help = "take the same advbase, and rank by advskew";
        pair.differs("advbase", base, their_base, help);
    }
    match rank(pair.ours, pair.theirs) {
        Ordering::Equal => tie(pair, here),
        Ordering::Greater => tolerance(pair, pair.ours, pair.theirs),
        Ordering::Less => tolerance(pair, pair.theirs, pair.ours),
    }
}

/// The digest covers the key and the addresses. While they change, each node may accept what was
/// before.
fn authentication(pair: &mut Pair<'_>, here: &CarpSpec, there: &CarpSpec) {
    // Whether the ids differ is told elsewhere.
    let id = pair.ours.id;
    let ours = Digests::new(id, pair.ours, here);
    let theirs = Digests::new(id, pair.theirs, there);
    let (heard_here, heard_there) = (ours.accept(&theirs), theirs.accept(&ours));
    if heard_here && heard_there {
        return;
    }
    let in_part = heard_here || heard_there;
    let mut note = |key: &str, message: String, help: &str| {
        let place = pair.ours.place(key);
        let diagnostic = if in_part {
            let help = "adverts are accepted one way only: well while a change is rolled out, not \
                        for long";
            place.warning(message).with_help(help)
        } else {
            place.error(message).with_help(help)
        };
        pair.found.push(diagnostic);
    };
    if ips(pair.ours) != ips(pair.theirs) {
        let help =
            "the digest covers the addresses: with other lists the routers reject each other";
        note("addresses", address_difference(pair.ours, pair.theirs), help);
    }
    if !same_key(id, &here.key.key, &there.key.key) {
        let message = format!("the key is not the one at {}", there.key.place);
        note("key_file", message, "copy the key file from one server to the other");
    }
}

/// What a router signs with, and what else it accepts.
struct Digests {
    present: Authenticator,
    previous: Option<Authenticator>,
}

impl Digests {
    fn new(id: VirtualId, router: &RouterSpec, carp: &CarpSpec) -> Self {
        let previous = carp.previous.as_ref().map(|previous| {
            let key = previous.key.as_ref().unwrap_or(&carp.key);
            let addresses = previous.addresses.as_ref().unwrap_or(&router.addresses);
            Authenticator::new(&key.key, id, addresses)
        });
        Self { present: Authenticator::new(&carp.key.key, id, &router.addresses), previous }
    }

    fn accept(&self, other: &Self) -> bool {
        let digest = other.present.digest(0);
        let mut accepted = std::iter::once(&self.present).chain(&self.previous);
        accepted.any(|authenticator| authenticator.verify(0, &digest))
    }
}

/// Compared by what they sign, so that no key leaves its type.
fn same_key(id: VirtualId, ours: &Key, theirs: &Key) -> bool {
    let digest = Authenticator::new(ours, id, &[]).digest(0);
    Authenticator::new(theirs, id, &[]).verify(0, &digest)
}

/// How easily the worse router takes over.
fn tolerance(pair: &mut Pair<'_>, better: &RouterSpec, worse: &RouterSpec) {
    let (waits, interval) = (worse.timers.active_down, better.timers.interval);
    let adverts = waits.as_nanos().checked_div(interval.as_nanos()).unwrap_or_default();
    let tolerance = adverts.saturating_sub(1);
    if tolerance >= WANTED_TOLERANCE {
        return;
    }
    let taker = if std::ptr::eq(worse, pair.ours) { "this node" } else { "the other node" };
    let message = match tolerance {
        0 => format!("{taker} takes over as soon as one advert is lost: none may be"),
        _ => format!("{taker} takes over when two adverts in a row are lost: only 1 may be"),
    };
    let help = format!(
        "{taker} waits {waits:?} for adverts that come every {interval:?}: lower the advskew of \
         the better router, or raise that of the worse"
    );
    pair.warning(&pair.ours.places.table, message, &help);
}

fn tie(pair: &mut Pair<'_>, here: &CarpSpec) {
    let stays = match here.dialect.policy().tie {
        TieBreak::LowerAddressStays => "the one with the lower source address stays",
        TieBreak::HigherAddressStays => "the one with the higher source address stays",
        TieBreak::UcarpAddressStays => {
            "the one whose source address, read from its last byte to its first, is lower stays"
        }
        TieBreak::HearerYields => "the one that hears the other first yields",
    };
    let message = format!(
        "the rank is that of {} too: advbase {}, advskew {}",
        pair.theirs.place("advskew"),
        here.interval.advbase,
        here.interval.advskew
    );
    let help = format!(
        "of two that are active, {stays}; give the router that shall be backup a higher advskew"
    );
    pair.warning(pair.ours.place("advskew"), message, &help);
}
