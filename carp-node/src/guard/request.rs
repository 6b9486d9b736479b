//! Netlink requests, ready to be sent.

use carp_proto::VirtualAddress;
use netlink_packet_core::{
    DefaultNla, NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, LinkAttribute, LinkFlags, LinkMessage};

use crate::backend::linux::address_message;

/// `IFLA_INET_CONF`, nested.
const INET_CONF: u16 = 1 | 1 << 15;

/// `IPV4_DEVCONF_PROMOTE_SECONDARIES`.
const PROMOTE_SECONDARIES: u16 = 20;

/// `ip address del ADDRESS dev INTERFACE`.
///
/// With `promote`, `promote_secondaries` is set for that moment: otherwise a primary address takes the
/// secondary ones of its subnet along.
pub(super) fn remove(index: u32, address: &VirtualAddress, promote: bool) -> Vec<u8> {
    let removal = RouteNetlinkMessage::DelAddress(address_message(index, address));
    if promote {
        bytes([promotion(index, true), removal, promotion(index, false)])
    } else {
        bytes([removal])
    }
}

/// `ip link set INTERFACE down`.
pub(super) fn switch_off(index: u32) -> Vec<u8> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.change_mask = LinkFlags::Up;
    bytes([RouteNetlinkMessage::SetLink(link)])
}

fn promotion(index: u32, promote: bool) -> RouteNetlinkMessage {
    // The library leaves out what is 0, which here means something.
    let mut setting = Vec::with_capacity(8);
    setting.extend(8_u16.to_ne_bytes());
    setting.extend(PROMOTE_SECONDARIES.to_ne_bytes());
    setting.extend(u32::from(promote).to_ne_bytes());
    let inet = AfSpecInet::Other(DefaultNla::new(INET_CONF, setting));
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet(vec![inet])]));
    RouteNetlinkMessage::SetLink(link)
}

fn bytes<const N: usize>(requests: [RouteNetlinkMessage; N]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for request in requests {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
        message.finalize();
        let start = bytes.len();
        bytes.resize(start + message.buffer_len(), 0);
        message.serialize(&mut bytes[start..]);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::board::ORDER_BYTES;
    use super::*;

    #[test]
    fn every_request_fits_an_order() {
        for (text, promote) in [("192.0.2.1", true), ("2001:db8::1", false)] {
            let address = VirtualAddress::new(text.parse().unwrap(), Some(24)).unwrap();
            let request = remove(7, &address, promote);
            assert!(request.len() <= ORDER_BYTES, "{} bytes", request.len());
        }
        assert_eq!(switch_off(7).len(), 32);
    }
}
