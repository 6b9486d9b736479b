use carp_node::capture::Reader;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::{CarpInterval, Reject, RxMeta};
use proptest::prelude::*;

use super::*;

const ALL: [Authentication; 3] =
    [Authentication::Ok, Authentication::Bad, Authentication::Unchecked];

fn found(message: Message) -> Dissected<'static> {
    let meta = RxMeta {
        source: "10.99.0.1".parse().unwrap(),
        destination: "224.0.0.18".parse().unwrap(),
        ttl: 255,
    };
    let (authentication_header, length, bytes) = (false, 36, &[0; 36][..]);
    Dissected { meta: Some(meta), authentication_header, length, bytes, message }
}

fn advert(advbase: u8, advskew: u8) -> Message {
    let interval = CarpInterval { advbase, advskew };
    let advert = Advert { vhid: 42, interval, demotion: 0, counter: 0xabc, digest: [0; 20] };
    Message::Carp(carp::Parsed { advert, checksum_ok: true })
}

fn record(found: Dissected<'_>) -> Record<'_> {
    Record { frame: 7, time: None, layer: None, found }
}

#[test]
fn an_advert_is_one_line() {
    let line = text::line(&record(found(advert(1, 100))), Authentication::Unchecked, true);
    assert_eq!(
        line,
        "   7  -  10.99.0.1 > 224.0.0.18       CARP vhid 42  1+100/256 s  demotion 0  counter \
         0000000000000abc  ttl 255  authentication unchecked\n"
    );
    let line = text::line(&record(found(advert(255, 255))), Authentication::Ok, true);
    assert!(line.contains("  resigns      demotion 0"), "{line}");
}

#[test]
fn what_is_unusual_stands_out() {
    let mut odd = found(advert(1, 0));
    odd.authentication_header = true;
    odd.meta = odd.meta.map(|meta| RxMeta { ttl: 64, ..meta });
    if let Message::Carp(parsed) = &mut odd.message {
        parsed.checksum_ok = false;
    }
    let plain = text::line(&record(odd), Authentication::Bad, false);
    let expected = "  ttl 64  in AH  authentication bad  ! checksum bad  ! ttl not 255: it crossed \
                    a router  ! authentication failed: another key, or other addresses\n";
    assert!(plain.ends_with(expected), "{plain}");
    let colored = text::line(&record(odd), Authentication::Bad, true);
    assert!(colored.contains("  \x1b[1;31m! checksum bad\x1b[0m  "), "{colored}");
}

#[test]
fn objects_have_the_keys_of_the_contract() {
    let line = json::line(&record(found(advert(1, 100))), Authentication::Bad).unwrap();
    assert_eq!(
        line,
        "{\"frame\":7,\"time\":null,\"source\":\"10.99.0.1\",\"destination\":\"224.0.0.18\",\
         \"ttl\":255,\"protocol\":\"carp\",\"length\":36,\"vhid\":42,\"advskew\":100,\
         \"advbase\":1,\"demotion\":0,\"counter\":\"0000000000000abc\",\"checksum\":\"ok\",\
         \"authentication\":\"bad\"}\n"
    );
    let line = json::line(&record(found(Message::Vrrp2)), Authentication::Unchecked).unwrap();
    assert!(line.ends_with("\"ttl\":255,\"protocol\":\"vrrp2\",\"length\":36}\n"), "{line}");
}

/// Shows every packet of a capture in every way.
fn render(file: &[u8]) {
    let Ok(mut reader) = Reader::new(file) else { return };
    while let Ok(Some(frame)) = reader.next_frame() {
        if let Some(found) = dissect(frame.bytes, Layer::Link(frame.link), frame.cut) {
            show(&Record { frame: frame.number, time: frame.time, layer: None, found });
        }
    }
}

fn show(record: &Record<'_>) {
    for authentication in ALL {
        let line = text::line(record, authentication, false);
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
        let line = json::line(record, authentication).unwrap();
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["frame"], record.frame);
        let error = object["error"].as_str();
        assert!(error.is_none_or(|error| Reject::LABELS.contains(&error)), "{line}");
        assert!(error.is_some() || object["protocol"] != "unknown", "{line}");
    }
}

proptest! {
    #[test]
    fn whatever_a_capture_holds_it_can_be_shown(
        link in prop::sample::select(vec![0_u8, 1, 101, 108, 113, 228, 229]),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..4),
        start in prop::sample::select(vec![
            vec![],
            vec![0x45, 0, 0, 56, 0, 0, 0, 0, 255, 112, 0, 0],
            vec![0x60, 0, 0, 0, 0, 36, 112, 255],
            [&[0; 12][..], &[8, 0, 0x45, 0, 0, 56, 0, 0, 0, 0, 255, 51]].concat(),
        ]),
    ) {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        file.extend([0; 12]);
        file.extend([link, 0, 0, 0]);
        for frame in frames {
            let frame = [&start[..], &frame].concat();
            let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
            file.extend([[0; 4], [0; 4], len, len].concat());
            file.extend(frame);
        }
        render(&file);
    }

    #[test]
    fn whatever_text_is_read_for_hex_it_ends(text in "[0-9a-fx: \\n\\t|.G*é]{0,200}") {
        let mut dump = Dump::new(text.as_bytes());
        while let Ok(Some(bytes)) = dump.next_packet() {
            prop_assert!(!bytes.is_empty() && bytes.len() <= text.len());
            let layer = guess(&bytes);
            if let Some(found) = dissect(&bytes, layer, true) {
                show(&Record { frame: 1, time: None, layer: Some(layer), found });
            }
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
