//! A reader of classic pcap files, as much of one as the captures here need.

use std::path::Path;
use std::time::Duration;

use carp_proto::RxMeta;
use carp_proto::wire::ip;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const ETHERNET_HEADER: usize = 14;

/// An Ethernet frame, and its place in the file, counted from 1.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) number: usize,
    /// When it was captured.
    pub(crate) at: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// The frames of a capture in `tests/vectors`.
pub(crate) fn read(name: &str) -> Vec<Frame> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(name);
    let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(file[..4], [0xd4, 0xc3, 0xb2, 0xa1], "{name} is not a little-endian pcap file");
    assert_eq!(file[20..24], [1, 0, 0, 0], "{name} is not a capture of Ethernet");
    let mut rest = &file[FILE_HEADER..];
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let field = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
        let len = usize::try_from(field(8)).unwrap();
        let at = Duration::from_secs(field(0).into()) + Duration::from_micros(field(4).into());
        let (record, next) = rest.split_at(RECORD_HEADER + len);
        frames.push(Frame {
            number: frames.len() + 1,
            at,
            bytes: record[RECORD_HEADER..].to_vec(),
        });
        rest = next;
    }
    frames
}

/// The frames that carry IP protocol 112 over IPv4: number, what the IP header says, and the message.
pub(crate) fn adverts(name: &str) -> Vec<(usize, RxMeta, Vec<u8>)> {
    let is_advert = |frame: &Frame| frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 112;
    read(name)
        .into_iter()
        .filter(is_advert)
        .map(|frame| {
            let (meta, message) = ip::strip_ipv4(&frame.bytes[ETHERNET_HEADER..]).unwrap();
            (frame.number, meta, message.to_vec())
        })
        .collect()
}

/// The ARP packets of a capture, without their Ethernet headers.
pub(crate) fn arp(name: &str) -> Vec<(usize, Vec<u8>)> {
    read(name)
        .into_iter()
        .filter(|frame| frame.bytes[12..14] == [8, 6])
        .map(|frame| (frame.number, frame.bytes[ETHERNET_HEADER..].to_vec()))
        .collect()
}
