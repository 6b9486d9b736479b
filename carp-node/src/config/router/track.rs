//! `track`.

use std::net::IpAddr;

use carp_proto::Family;

use super::addresses::Addresses;
use super::link::Link;
use crate::config::known;
use crate::config::read::Section;
use crate::config::spec::Mac;

/// The gateway to watch.
pub(super) fn gateway(section: &Section<'_>, addresses: &Addresses, link: &Link) -> Option<IpAddr> {
    const EXAMPLE: &str = "track = { gateway = \"192.168.130.1\" }";
    let inner = section.section("track", "track", EXAMPLE, &known::TRACK)?;
    let text = inner.text("gateway", EXAMPLE)?;
    if text.get_ref().is_empty() {
        return None;
    }
    let mistake = |message: String, help: &str| {
        section.reader().mistake(text.span(), message, help);
        None
    };
    let Ok(ip) = text.get_ref().parse::<IpAddr>() else {
        let message = format!("gateway {:?} is not an address", text.get_ref());
        return mistake(message, &format!("write it like {EXAMPLE}, or leave it empty"));
    };
    if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() {
        return mistake(
            format!("gateway {ip} is no address of a host"),
            "name the router of the network",
        );
    }
    if addresses.contains(ip) {
        let message = format!("gateway {ip} is one of the router's own addresses");
        return mistake(message, "name another host, which has to answer");
    }
    if !addresses.has(Family::of(ip)) {
        let message = format!("gateway {ip} is of another family than the router's addresses");
        return mistake(message, "name one of their family");
    }
    if link.address_interface.is_some() || link.mac == Mac::Virtual {
        let message =
            "track.gateway needs the addresses to be on interface, with its link-layer address";
        return mistake(message.to_owned(), "remove address_interface and mac, or track");
    }
    Some(ip)
}
