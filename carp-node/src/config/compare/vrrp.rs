//! Two VRRP routers.

use std::collections::BTreeSet;

use carp_proto::auth::{HmacMode, Verdict};
use carp_proto::{Family, Priority};

use super::{Pair, address_difference, ips};
use crate::config::format_duration;
use crate::config::spec::{HmacSpec, RouterSpec, Vrrp2Spec, Vrrp3Spec};

const HERE: &str = "this node";
const THERE: &str = "the other node";

pub(super) fn compare_2(pair: &mut Pair<'_>, here: &Vrrp2Spec, there: &Vrrp2Spec) {
    if here.interval != there.interval {
        let [here, there] = [here, there].map(|it| format_duration(it.interval.advert()));
        let help = "take the same interval: vrrp2 rejects adverts with another one";
        pair.differs("interval", here, there, help);
    }
    match (&here.password, &there.password) {
        (None, None) => {}
        (Some(ours), Some(theirs)) if ours.key.is_same(&theirs.key) => {}
        (Some(_), Some(theirs)) => {
            let message = format!("the password is not the one at {}", theirs.place);
            let help = "copy the key file from one server to the other";
            pair.error(pair.ours.place("key_file"), message, help);
        }
        (Some(_), None) | (None, Some(_)) => {
            let name = |spec: &Vrrp2Spec| if spec.password.is_some() { "password" } else { "none" };
            let help =
                "give both the same: where a password is wanted, adverts without are rejected";
            pair.differs("auth", name(here), name(there), help);
        }
    }
    addresses(pair);
    priorities(pair, here.priority, there.priority);
}

pub(super) fn compare_3(pair: &mut Pair<'_>, here: &Vrrp3Spec, there: &Vrrp3Spec) {
    if here.interval != there.interval {
        let [here, there] = [here, there].map(|it| format_duration(it.interval.advert()));
        let help = "a backup goes by the interval that it hears: the time to a takeover depends on \
                    who is active";
        pair.doubtful("interval", here, there, help);
    }
    let (ours, theirs) = (here.hmac.as_ref(), there.hmac.as_ref());
    signatures(pair, Way { sender: HERE, receiver: THERE }, ours, theirs);
    signatures(pair, Way { sender: THERE, receiver: HERE }, theirs, ours);
    other_keys(pair, ours, theirs);
    families(pair);
    priorities(pair, here.priority, there.priority);
}

/// Who speaks to whom.
#[derive(Clone, Copy)]
struct Way {
    sender: &'static str,
    receiver: &'static str,
}

/// Whether the receiver acts on the sender's adverts. That a key has other bytes is told elsewhere.
fn signatures(
    pair: &mut Pair<'_>,
    way: Way,
    sender: Option<&HmacSpec>,
    receiver: Option<&HmacSpec>,
) {
    let Way { sender: from, receiver: to } = way;
    let (message, help) = match (sender.filter(|it| it.mode.signs()), receiver) {
        (None, None) => return,
        (None, Some(receiver)) if receiver.mode.decide(Verdict::Unsigned).is_ok() => return,
        (None, Some(_)) => (
            format!("{to} acts on signed adverts only, and {from} does not sign"),
            "roll signatures out in three rounds over all nodes: auth_mode receive, permissive, \
             enforce",
        ),
        (Some(_), None) => (
            format!("{from} signs its adverts, and {to} rejects them: it has no auth = \"hmac\""),
            "give all nodes the keys first, with auth_mode = \"receive\"",
        ),
        (Some(sender), Some(receiver)) => {
            let id = sender.signing.key.id();
            if receiver.keys().any(|key| key.key.id() == id) {
                return;
            }
            (
                format!("{from} signs with key {id}, and {to} has no such key"),
                "add the key to receive_keys there first",
            )
        }
    };
    pair.error(pair.ours.place("auth"), message, help);
}

/// Keys that both nodes have under one number are the same key, or will not be understood when they
/// sign.
fn other_keys(pair: &mut Pair<'_>, ours: Option<&HmacSpec>, theirs: Option<&HmacSpec>) {
    let (Some(ours), Some(theirs)) = (ours, theirs) else { return };
    for own in ours.keys() {
        let id = own.key.id();
        let other = theirs.keys().find(|key| key.key.id() == id);
        if let Some(other) = other.filter(|other| !other.key.is_same(&own.key)) {
            let message = format!("key {id} is not the one at {}", other.place);
            let help = "copy the key file from one server to the other";
            let signs =
                |hmac: &HmacSpec| hmac.mode != HmacMode::Receive && hmac.signing.key.id() == id;
            if signs(ours) || signs(theirs) {
                pair.error(&own.place, message, help);
            } else {
                pair.warning(&own.place, message, help);
            }
        }
    }
}

/// The families elect on their own: what one node has alone does not fail over.
fn families(pair: &mut Pair<'_>) {
    let of = |router: &RouterSpec| -> BTreeSet<Family> {
        router.addresses.iter().map(|address| address.family()).collect()
    };
    if of(pair.ours) == of(pair.theirs) {
        return addresses(pair);
    }
    let help = "vrrp3 elects for each family: addresses of one that the other node does not have \
                do not fail over";
    pair.error(pair.ours.place("addresses"), address_difference(pair.ours, pair.theirs), help);
}

/// Adverts with another list are acted on, but the addresses that one node has alone do not move.
fn addresses(pair: &mut Pair<'_>) {
    if ips(pair.ours) != ips(pair.theirs) {
        let help = "give both the same addresses: those that one node has alone do not fail over";
        pair.warning(
            pair.ours.place("addresses"),
            address_difference(pair.ours, pair.theirs),
            help,
        );
    }
}

fn priorities(pair: &mut Pair<'_>, here: Priority, there: Priority) {
    if here != there {
        return;
    }
    let place = pair.theirs.place("priority");
    let (message, help) = if here.is_owner() {
        (
            format!("this node and that of {place} both own the addresses"),
            "an address has one owner: give the other router a priority of 1 to 254",
        )
    } else {
        (
            format!("the priority is that of {place} too: {here}"),
            "of two that are active, the one with the higher source address stays; give the router \
             that shall be backup a lower priority",
        )
    };
    pair.warning(pair.ours.place("priority"), message, help);
}
