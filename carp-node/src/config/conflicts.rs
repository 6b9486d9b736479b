//! What routers of one configuration must not have in common, and what those of a group should.

use std::collections::HashMap;
use std::net::IpAddr;

use carp_proto::{Family, MacAddr, Protocol, VirtualId};

use super::read::Reader;
use super::spec::{AdvertMac, GroupSpec, Mac, RouterSpec};
use super::{Election, Location};

/// Notes every conflict at the place that comes later in the file.
pub(super) fn report(reader: &Reader<'_>, routers: &[&RouterSpec], groups: &[GroupSpec]) {
    ids(reader, routers);
    addresses(reader, routers);
    macs(reader, routers);
    for group in groups {
        preemption(reader, routers, group);
    }
}

/// An id is unique on an interface for each protocol, and in VRRP version 3 for each family.
fn ids(reader: &Reader<'_>, routers: &[&RouterSpec]) {
    let mut taken: HashMap<(&str, Protocol, Option<Family>, VirtualId), &RouterSpec> =
        HashMap::new();
    for router in routers {
        let key = |election: &Election<'_>| {
            (&*router.interface, router.protocol(), election.family(), router.id)
        };
        let keys: Vec<_> = router.elections().iter().map(key).collect();
        let first = keys.iter().find_map(|key| taken.get(key));
        if let Some(first) = first {
            let (interface, protocol, id) = (&router.interface, router.protocol(), router.id);
            let first = named(first, &first.places.id);
            let message = format!("{protocol} id {id} is already that of {first} on {interface}");
            let help = "give every router of an interface its own id";
            reader.note(router.places.id.error(message).with_help(help));
        } else {
            taken.extend(keys.into_iter().map(|key| (key, *router)));
        }
    }
}

/// `[router.NAME] (PLACE)`.
fn named(router: &RouterSpec, place: &Location) -> String {
    format!("[router.{}] ({place})", router.name)
}

/// An address is on an interface once.
fn addresses(reader: &Reader<'_>, routers: &[&RouterSpec]) {
    let mut taken: HashMap<(&str, IpAddr), String> = HashMap::new();
    for router in routers {
        let written = router.addresses.iter().zip(&router.places.addresses);
        for (address, place) in written {
            let ip = address.ip();
            if let Some(first) = taken.get(&(router.home(), ip)) {
                let message = format!("address {ip} is already that of {first}");
                let help = "an address belongs to one router, and is written once";
                reader.note(place.error(message).with_help(help));
            } else {
                taken.insert((router.home(), ip), named(router, place));
            }
        }
    }
    for router in routers {
        let Some(derived) = router.derived_address else { continue };
        let ip = derived.ip();
        if let Some(first) = taken.get(&(router.home(), ip)) {
            let message = format!("the derived link-local address {ip} is already that of {first}");
            let help = "write another link-local address before the other IPv6 addresses";
            reader.note(router.places.id.error(message).with_help(help));
        } else {
            taken.insert((router.home(), ip), named(router, &router.places.id));
        }
    }
}

/// The protocols share the virtual link-layer addresses. Two devices of an interface cannot have the
/// same one; and where two routers send from one that are active on two nodes, the switch sends the
/// traffic of both to one of them.
fn macs(reader: &Reader<'_>, routers: &[&RouterSpec]) {
    let mut taken: HashMap<(&str, MacAddr), &RouterSpec> = HashMap::new();
    for router in routers {
        let macs: Vec<_> = if uses_virtual_mac(router) {
            router.elections().iter().map(Election::router_mac).collect()
        } else {
            Vec::new()
        };
        for mac in macs {
            let key = (&*router.interface, mac);
            match taken.get(&key) {
                None => {
                    taken.insert(key, router);
                }
                // The same id of the same protocol is told as that.
                Some(first) if first.protocol() == router.protocol() => {}
                Some(first) => same_mac(reader, first, router, mac),
            }
        }
    }
}

fn uses_virtual_mac(router: &RouterSpec) -> bool {
    router.mac == Mac::Virtual || router.advert_mac == AdvertMac::Virtual
}

fn same_mac(reader: &Reader<'_>, first: &RouterSpec, router: &RouterSpec, mac: MacAddr) {
    let place = &router.places.id;
    let other = named(first, &first.places.id);
    let help = "give one of them another id";
    let diagnostic = if first.mac == Mac::Virtual && router.mac == Mac::Virtual {
        let interface = &router.interface;
        let text = format!("{mac} would be on {interface} twice: {other} has mac \"virtual\" too");
        place.error(text)
    } else {
        let text = format!("{mac} is also an address of {other}: switches cannot tell them apart");
        place.warning(text)
    };
    reader.note(diagnostic.with_help(help));
}

/// A member that does not preempt keeps back those that would.
fn preemption(reader: &Reader<'_>, routers: &[&RouterSpec], group: &GroupSpec) {
    let is_member = |router: &&&RouterSpec| group.routers.contains(&router.name);
    let members: Vec<_> = routers.iter().filter(is_member).collect();
    let does = members.iter().find(|router| router.preempt || router.is_owner());
    let does_not = members.iter().find(|router| !router.preempt && !router.is_owner());
    if let (Some(does), Some(does_not)) = (does, does_not) {
        let (does, does_not) = (&does.name, &does_not.name);
        let message = format!("router {does:?} preempts and router {does_not:?} does not");
        let help = "a group moves as one: give all of its members the same preempt";
        reader.note(group.place.warning(message).with_help(help));
    }
}
