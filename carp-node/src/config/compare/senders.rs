//! Do two routers send to each other, and do they listen to each other?

use std::collections::BTreeSet;
use std::net::IpAddr;

use carp_proto::Family;

use super::Pair;

const EACH: &str = "each node names the others, and not itself";

/// A node does not name itself: so the other node is among the peers here and not among its own, and
/// this node is among its peers and not among those here. What the nodes' own addresses are, the
/// configurations do not say.
pub(super) fn compare(pair: &mut Pair<'_>) {
    let (ours, theirs) = (&pair.ours.peers, &pair.theirs.peers);
    if ours.is_empty() != theirs.is_empty() {
        let count = |peers: &[IpAddr]| if peers.is_empty() { "empty" } else { "not empty" };
        let help = "name peers on both nodes or on none: with peers, adverts are unicast, and only \
                    unicast ones are heard";
        return pair.differs("peers", count(ours), count(theirs), help);
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let of = |peers: &[IpAddr]| -> BTreeSet<IpAddr> {
            peers.iter().copied().filter(|ip| Family::of(*ip) == family).collect()
        };
        mutual(pair, &of(ours), &of(theirs));
    }
}

fn mutual(pair: &mut Pair<'_>, here: &BTreeSet<IpAddr>, there: &BTreeSet<IpAddr>) {
    if here.is_empty() && there.is_empty() {
        return;
    }
    let place = pair.theirs.place("peers");
    if here.is_subset(there) {
        let message =
            format!("peers does not name the other node: all of them are its peers at {place} too");
        pair.error(pair.ours.place("peers"), message, EACH);
    } else if there.is_subset(here) {
        let message =
            format!("the peers at {place} do not name this node: all of them are peers here too");
        pair.error(pair.ours.place("peers"), message, EACH);
    }
}
