//! What routers of one configuration must not have in common.

use std::collections::HashMap;

use super::read::Reader;
use super::router::Draft;

/// Notes every conflict at the place that comes later in the file.
pub(super) fn report(reader: &Reader<'_>, routers: &[Draft<'_>]) {
    ids(reader, routers);
    addresses(reader, routers);
}

/// An id is unique on an interface. So would it be for each protocol, but there is only one.
fn ids(reader: &Reader<'_>, routers: &[Draft<'_>]) {
    let mut taken = HashMap::new();
    for router in routers {
        let (Some(interface), Some(id)) = (&router.interface, &router.id) else { continue };
        let (interface, number) = (*interface.get_ref(), *id.get_ref());
        if let Some(first) = taken.get(&(interface, number)) {
            let message = format!("id {number} is already that of {first} on {interface}");
            reader.mistake(id.span(), message, "give every router of an interface its own id");
        } else {
            let place = reader.locate(id.span());
            taken.insert((interface, number), format!("[router.{}] ({place})", router.name));
        }
    }
}

/// An address is on an interface once.
fn addresses(reader: &Reader<'_>, routers: &[Draft<'_>]) {
    let mut taken = HashMap::new();
    for (index, router) in routers.iter().enumerate() {
        // Without a valid interface, the addresses can still be compared with each other.
        let interface = router.interface.as_ref().map(|interface| *interface.get_ref());
        let scope = interface.ok_or(index);
        for address in &router.addresses {
            let ip = address.get_ref().ip();
            if let Some(first) = taken.get(&(scope, ip)) {
                let message = format!("address {ip} is already that of {first}");
                let help = "an address belongs to one router, and is written once";
                reader.mistake(address.span(), message, help);
            } else {
                let place = reader.locate(address.span());
                taken.insert((scope, ip), format!("[router.{}] ({place})", router.name));
            }
        }
    }
}
