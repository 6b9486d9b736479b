//! Reading hex and dumps of it is total and ends; a packet is no longer than a frame; what was read is dumped as `xxd`
//! does it and reads the same.

use carp_node::capture::MAX_FRAME;
use carp_node::capture::hex::{Dump, HexError, bytes};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    if let Ok(bytes) =
        str::from_utf8(input).map_err(drop).and_then(|text| bytes(text).map_err(drop))
    {
        let plain: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        assert_eq!(self::bytes(&plain).as_ref(), Ok(&bytes));
    }
    let lines = input.split(|byte| *byte == b'\n').count();
    let mut dump = Dump::new(input);
    let mut packets = Vec::new();
    loop {
        match dump.next_packet() {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => break,
            Err(HexError::Line { line, .. }) => {
                assert!((1..=lines).contains(&usize::try_from(line).unwrap_or(0)), "line {line}");
                break;
            }
            Err(HexError::Io(error)) => panic!("bytes in memory cannot be read: {error}"),
            Err(_) => {
                assert!(packets.is_empty());
                break;
            }
        }
        assert!(packets.len() <= lines, "a packet has a line at least");
    }
    for packet in &packets {
        assert!((1..=MAX_FRAME).contains(&packet.len()));
    }
    let text: String = packets.iter().map(|packet| dumped(packet)).collect();
    let mut again = Dump::new(text.as_bytes());
    for packet in &packets {
        assert_eq!(again.next_packet().expect("a dump").as_ref(), Some(packet));
    }
}

/// Lines of 16 bytes with their offsets and without ASCII, and an empty one behind the packet.
fn dumped(packet: &[u8]) -> String {
    let line = |(number, bytes): (usize, &[u8])| {
        let bytes: String = bytes.iter().map(|byte| format!(" {byte:02x}")).collect();
        format!("{:08x}: {bytes}\n", number * 16)
    };
    packet.chunks(16).enumerate().map(line).collect()
}
