use carp_node::capture::hex;
use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn whatever_text_is_read_for_hex_it_ends(text in "[0-9a-fx: \\n\\t|.G*é]{0,200}") {
        let mut dump = Dump::new(text.as_bytes());
        while let Ok(Some(bytes)) = dump.next_packet() {
            prop_assert!(!bytes.is_empty() && bytes.len() <= text.len());
        }
    }

    /// Hex in all its forms is the same bytes.
    #[test]
    fn a_dump_reads_as_what_was_dumped(packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..70), 1..4)) {
        for dumped in [xxd, tcpdump, hexdump, od, wireshark, plain] {
            let text: String = packets.iter().map(|packet| dumped(packet)).collect();
            let mut dump = Dump::new(text.as_bytes());
            for packet in &packets {
                let read = dump.next_packet().unwrap();
                prop_assert_eq!(read.as_ref(), Some(packet), "{}", text);
            }
            prop_assert!(dump.next_packet().unwrap().is_none());
        }
    }
}

fn ascii(bytes: &[u8]) -> String {
    // Letters that are hex digits as well are the hardest.
    bytes.iter().map(|&byte| if byte % 2 == 0 { 'a' } else { '.' }).collect()
}

fn words(bytes: &[u8]) -> String {
    let word = |word: &[u8]| word.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    bytes.chunks(2).map(word).collect::<Vec<_>>().join(" ")
}

fn pairs(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn lines(packet: &[u8], line: impl Fn(usize, &[u8]) -> String) -> String {
    packet.chunks(16).enumerate().map(|(at, bytes)| line(at * 16, bytes)).collect()
}

fn xxd(packet: &[u8]) -> String {
    lines(packet, |at, bytes| format!("{at:08x}: {:<39}  {}\n", words(bytes), ascii(bytes)))
}

/// As `tcpdump -X` prints it, with a line of what it knows.
fn tcpdump(packet: &[u8]) -> String {
    let title = "08:43:47.222603 IP 10.99.0.1 > 224.0.0.18: CARPv2-advertise 36\n".to_owned();
    let line = |at: usize, bytes: &[u8]| {
        format!("\t0x{at:04x}:  {:<39}  {}\n", words(bytes), ascii(bytes))
    };
    title + &lines(packet, line)
}

fn hexdump(packet: &[u8]) -> String {
    let line = |at: usize, bytes: &[u8]| {
        let (first, second) = bytes.split_at(bytes.len().min(8));
        format!("{at:08x}  {:<23}  {:<23}  |{}|\n", pairs(first), pairs(second), ascii(bytes))
    };
    lines(packet, line) + &format!("{:08x}\n", packet.len())
}

/// As `od -Ax -tx1` prints it.
fn od(packet: &[u8]) -> String {
    let line = |at: usize, bytes: &[u8]| format!("{at:06x} {}\n", pairs(bytes));
    lines(packet, line) + &format!("{:06x}\n", packet.len())
}

fn wireshark(packet: &[u8]) -> String {
    lines(packet, |at, bytes| format!("{at:04x}   {:<47}   {}\n", pairs(bytes), ascii(bytes)))
}

/// As `xxd -p` prints it; an empty line ends a packet.
fn plain(packet: &[u8]) -> String {
    let line = |_, bytes: &[u8]| words(bytes).replace(' ', "") + "\n";
    lines(packet, line) + "\n"
}

#[test]
fn hex_is_pairs_of_digits_with_anything_usual_between() {
    for text in ["212a0007", "21 2a 00 07", "21:2A:00:07", "0x212a0007", "0x21 0x2a\n00\t07"] {
        assert_eq!(hex::bytes(text).unwrap(), [0x21, 0x2a, 0, 7], "{text}");
    }
    for (text, error) in [
        ("", "there is nothing"),
        (" : ", "there is nothing"),
        ("212", "\"212\" has an odd number of digits"),
        ("21 2a 0", "\"0\" has an odd number of digits"),
        ("21-2a", "'-' is not a hex digit"),
        ("0x", "\"0x\" has an odd number of digits"),
        ("lan.pcap", "'l' is not a hex digit"),
        ("é", "'é' is not a hex digit"),
    ] {
        assert_eq!(hex::bytes(text).unwrap_err().to_string(), error);
    }
}

#[test]
fn mistakes_in_hex_are_named_with_their_line() {
    let error = |text: &str| {
        let mut dump = Dump::new(text.as_bytes());
        loop {
            match dump.next_packet() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{text} was taken"),
                Err(error) => return error.to_string(),
            }
        }
    };
    assert_eq!(error("2121\n21g1\n"), "line 2: 'g' is not a hex digit");
    assert_eq!(error("advert:\n2121\n"), "line 1: 'v' is not a hex digit");
    assert_eq!(error("\n \n"), "there is nothing in it");
    assert_eq!(
        error("root:x:0:0\n\n"),
        "there is no hex in it: \"root:x:0:0\" is neither hex nor a line of a hex dump"
    );
    assert_eq!(
        error("0000: 2121\n0010: 21\n"),
        "line 2: the offset is 0x10 where 0x2 was expected"
    );
    assert_eq!(
        error("00000000: 2121 2121\n*\n00000010: 21\n"),
        "line 3: the offset is 0x10 where 0x0 was expected"
    );
}
