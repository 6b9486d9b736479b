//! `mac`, `advert_mac` and `address_interface`: where adverts come from, and where addresses live.

use carp_proto::Protocol;
use toml::Spanned;

use super::interface;
use super::senders::has_peers;
use crate::config::read::Section;
use crate::config::spec::{AdvertMac, Mac};

/// Where adverts come from, and where addresses live.
pub(super) struct Link {
    pub(super) mac: Mac,
    pub(super) advert_mac: AdvertMac,
    pub(super) address_interface: Option<String>,
}

impl Link {
    pub(super) fn read(section: &Section<'_>, protocol: Option<Protocol>, owner: bool) -> Self {
        let mac = section.word("mac", &Mac::ALL.map(|mac| (mac.name(), mac))).unwrap_or_default();
        if mac == Mac::Virtual && owner {
            let message = "an owner has its addresses at the interface, not at a virtual mac";
            let help = "remove mac, or take a priority of 1 to 254";
            at(section, "mac", message, help);
        }
        Self {
            mac,
            advert_mac: advert_mac(section, protocol, mac),
            address_interface: address_interface(section, mac),
        }
    }
}

/// Adverts come from the virtual address if it is there, except to peers.
fn advert_mac(section: &Section<'_>, protocol: Option<Protocol>, mac: Mac) -> AdvertMac {
    let names = AdvertMac::ALL.map(|mac| (mac.name(), mac));
    let written = section.word("advert_mac", &names);
    let unicast = has_peers(section);
    let speaks_vrrp = protocol.filter(|protocol| *protocol != Protocol::Carp);
    match (written, speaks_vrrp) {
        (Some(AdvertMac::Ucarp), Some(protocol)) => {
            let message = "advert_mac \"ucarp\" is for carp";
            let help = format!("{protocol} has \"interface\" and \"virtual\"");
            at(section, "advert_mac", message, &help);
        }
        (Some(AdvertMac::Ucarp), None) if mac == Mac::Virtual => {
            let message = "advert_mac \"ucarp\" does not go with mac \"virtual\"";
            let help = "remove advert_mac: adverts come from the virtual mac then";
            at(section, "advert_mac", message, help);
        }
        (Some(AdvertMac::Virtual | AdvertMac::Ucarp), _) if unicast => {
            let message = "advert_mac does not go with peers";
            let help = "remove advert_mac: adverts to peers leave by the host's own routing, from \
                        the interface's own address";
            at(section, "advert_mac", message, help);
        }
        (Some(AdvertMac::Interface | AdvertMac::Virtual | AdvertMac::Ucarp) | None, _) => {}
    }
    written.unwrap_or(match mac {
        Mac::Virtual if !unicast => AdvertMac::Virtual,
        Mac::Virtual | Mac::Interface => AdvertMac::Interface,
    })
}

fn address_interface(section: &Section<'_>, mac: Mac) -> Option<String> {
    section.value("address_interface")?;
    let name = interface(section, "address_interface")?;
    if mac == Mac::Virtual {
        let message = "address_interface does not go with mac \"virtual\"";
        let help = "remove one of the two: a virtual mac has a device of its own on interface";
        section.reader().mistake(name.span(), message, help);
    }
    Some((*name.get_ref()).to_owned())
}

fn at(section: &Section<'_>, key: &str, message: &str, help: &str) {
    let span = section.value(key).map(Spanned::span).unwrap_or_default();
    section.reader().mistake(span, message, help);
}
