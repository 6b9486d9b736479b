//! ARP, as far as it concerns an address that moves: gratuitous ARP tells a link that an IPv4 address is now
//! behind another link-layer address, a probe asks whether anybody has an address, and a question from an
//! address asks a neighbour where it is.
//!
//! ```text
//!  0       2       4   5   6       8            14        18           24        28
//! +-------+-------+---+---+-------+------------+---------+------------+---------+
//! | hw 1  | 0x0800| 6 | 4 | op    | sender MAC | sender  | target MAC | target  |
//! +-------+-------+---+---+-------+------------+---------+------------+---------+
//! ```
//!
//! In an announcement sender and target address are both the announced one. RFC 5227 section 3 calls for the
//! request; some devices learn from replies only, so both forms exist. In a probe (RFC 5227 section 2.1.1) the
//! sender's address is 0.0.0.0, so that nobody learns anything from it; answers to it are for 0.0.0.0.

use core::net::Ipv4Addr;

use bytes::BufMut;
use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u32};

use super::WireError;
use super::ethernet::{self, TYPE_ARP, TYPE_IPV4};
use crate::id::MacAddr;

/// The length of an ARP packet for IPv4 over Ethernet.
pub const PACKET_LEN: usize = 28;

/// The length of the Ethernet frame around it, without padding.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + PACKET_LEN;

const HARDWARE_ETHERNET: u16 = 1;
const MAC_LEN: u8 = 6;
const IPV4_LEN: u8 = 4;

/// The operation in which an announcement is dressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A request for the own address (RFC 5227 section 3). The target MAC, which has no meaning in a
    /// request, is the sender's, as ucarp sends it.
    Request,
    /// An unasked-for reply to everybody. Its target MAC is the sender's: Linux takes a reply for
    /// gratuitous only then.
    Reply,
}

impl Form {
    const fn operation(self) -> u16 {
        match self {
            Self::Request => 1,
            Self::Reply => 2,
        }
    }
}

/// An ARP packet for IPv4 over Ethernet, less what has no meaning: a sender that says where it is, and asks
/// for an address or answers to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// A request, or a reply.
    pub form: Form,
    /// Where the sender is.
    pub sender_mac: MacAddr,
    /// The sender's address; 0.0.0.0 in a probe.
    pub sender: Ipv4Addr,
    /// The address that is asked for, or that is answered to.
    pub target: Ipv4Addr,
}

/// "This address is at this link-layer address."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Where the address is.
    pub mac: MacAddr,
    /// The address.
    pub address: Ipv4Addr,
}

/// Appends a whole Ethernet frame that announces an address to everybody.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`FRAME_LEN`] bytes.
pub fn emit_frame(announcement: Announcement, form: Form, buffer: &mut impl BufMut) {
    let Announcement { mac, address } = announcement;
    let packet = Packet { form, sender_mac: mac, sender: address, target: address };
    emit_packet(packet, mac, buffer);
}

/// Appends a whole Ethernet frame that asks everybody for an address: as a probe, or from an address of
/// one's own, which neighbours learn from it.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`FRAME_LEN`] bytes.
pub fn emit_question_frame(
    mac: MacAddr,
    from: Option<Ipv4Addr>,
    target: Ipv4Addr,
    buffer: &mut impl BufMut,
) {
    let sender = from.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let packet = Packet { form: Form::Request, sender_mac: mac, sender, target };
    emit_packet(packet, MacAddr([0; 6]), buffer);
}

fn emit_packet(packet: Packet, target_mac: MacAddr, buffer: &mut impl BufMut) {
    let Packet { form, sender_mac, sender, target } = packet;
    ethernet::emit(buffer, MacAddr::BROADCAST, sender_mac, TYPE_ARP);
    buffer.put_u16(HARDWARE_ETHERNET);
    buffer.put_u16(TYPE_IPV4);
    buffer.put_u8(MAC_LEN);
    buffer.put_u8(IPV4_LEN);
    buffer.put_u16(form.operation());
    buffer.put_slice(&sender_mac.0);
    buffer.put_slice(&sender.octets());
    buffer.put_slice(&target_mac.0);
    buffer.put_slice(&target.octets());
}

/// Reads an ARP packet, without its Ethernet header, as an announcement.
///
/// # Errors
/// As [`read`]; [`WireError::Arp`] also if it asks or answers for an address that is not the sender's.
pub fn parse(packet: &[u8]) -> Result<(Announcement, Form), WireError> {
    let Packet { form, sender_mac: mac, sender: address, target } = read(packet)?;
    if address != target {
        return Err(WireError::Arp("sender and target address differ"));
    }
    Ok((Announcement { mac, address }, form))
}

/// Reads an ARP packet, without its Ethernet header.
///
/// # Errors
/// [`WireError::Truncated`] if it ends early, [`WireError::Arp`] if it is not a request or a reply of ARP
/// for IPv4 over Ethernet.
pub fn read(packet: &[u8]) -> Result<Packet, WireError> {
    let mut header = (be_u16, be_u16, be_u8, be_u8, be_u16);
    let mut addresses = (take(6_usize), be_u32, take(6_usize), be_u32);
    let truncated = |_: nom::Err<nom::error::Error<&[u8]>>| WireError::Truncated {
        found: packet.len(),
        needed: PACKET_LEN,
    };
    let (rest, (hardware, protocol, mac_len, ip_len, operation)) =
        header.parse(packet).map_err(truncated)?;
    if (hardware, protocol, mac_len, ip_len) != (HARDWARE_ETHERNET, TYPE_IPV4, MAC_LEN, IPV4_LEN) {
        return Err(WireError::Arp("not for IPv4 over Ethernet"));
    }
    let form = match operation {
        1 => Form::Request,
        2 => Form::Reply,
        _ => return Err(WireError::Arp("neither request nor reply")),
    };
    let (_, (sender_mac, sender, _target_mac, target)) =
        addresses.parse(rest).map_err(truncated)?;
    let mut mac = [0; 6];
    mac.copy_from_slice(sender_mac);
    let (sender, target) = (Ipv4Addr::from(sender), Ipv4Addr::from(target));
    Ok(Packet { form, sender_mac: MacAddr(mac), sender, target })
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    const ANNOUNCEMENT: Announcement = Announcement {
        mac: MacAddr([0x02, 0, 0, 0, 0, 0x0a]),
        address: Ipv4Addr::new(10, 99, 0, 100),
    };

    #[test]
    fn the_request_is_the_frame_that_ucarp_sends() {
        let mut frame = Vec::new();
        emit_frame(ANNOUNCEMENT, Form::Request, &mut frame);
        // Frame 8 of ucarp-default.pcap.
        let captured = [
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x08,
            0x06, //
            0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x02, 0x00, 0x00, 0x00, 0x00,
            0x0a, //
            0x0a, 0x63, 0x00, 0x64, 0x02, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x0a, 0x63, 0x00, 0x64,
        ];
        assert_eq!(frame, captured);
    }

    #[test]
    fn both_forms_read_back() {
        for form in [Form::Request, Form::Reply] {
            let mut frame = std::vec![0xa5; 3];
            emit_frame(ANNOUNCEMENT, form, &mut frame);
            assert_eq!(frame.len(), 3 + FRAME_LEN);
            let packet = &frame[3 + ethernet::HEADER_LEN..];
            assert_eq!(parse(packet), Ok((ANNOUNCEMENT, form)));
            assert!(matches!(parse(&packet[..27]), Err(WireError::Truncated { .. })));
        }
    }

    #[test]
    fn a_probe_says_nothing_of_its_sender() {
        let (mac, target) = (ANNOUNCEMENT.mac, ANNOUNCEMENT.address);
        for from in [None, Some(Ipv4Addr::new(10, 99, 0, 7))] {
            let mut frame = Vec::new();
            emit_question_frame(mac, from, target, &mut frame);
            let packet = &frame[ethernet::HEADER_LEN..];
            let sender = from.unwrap_or(Ipv4Addr::UNSPECIFIED);
            let read_back = Packet { form: Form::Request, sender_mac: mac, sender, target };
            assert_eq!(read(packet), Ok(read_back));
            assert_eq!((&frame[..6], &packet[18..24]), (&[0xff; 6][..], &[0; 6][..]));
            assert_eq!(parse(packet), Err(WireError::Arp("sender and target address differ")));
        }
    }

    #[test]
    fn a_question_for_another_address_announces_nothing() {
        let mut frame = Vec::new();
        emit_frame(ANNOUNCEMENT, Form::Request, &mut frame);
        frame[FRAME_LEN - 1] = 1;
        let error = parse(&frame[ethernet::HEADER_LEN..]);
        assert_eq!(error, Err(WireError::Arp("sender and target address differ")));
    }
}
