use std::io::Read;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// What is asked of a frame here: number, time, link type, bytes, whether it was cut.
type Seen = (u64, Option<String>, LinkType, Vec<u8>, bool);

/// Every frame, and the error at the end, if there is one.
fn read(file: &[u8]) -> (Vec<Seen>, Option<CaptureError>) {
    let mut seen = Vec::new();
    let mut reader = match Reader::new(file) {
        Ok(reader) => reader,
        Err(error) => return (seen, Some(error)),
    };
    loop {
        match reader.next_frame() {
            Ok(Some(Frame { number, time, link, bytes, cut })) => {
                seen.push((number, time.map(|time| time.to_string()), link, bytes.to_vec(), cut));
            }
            Ok(None) => return (seen, None),
            Err(error) => return (seen, Some(error)),
        }
    }
}

fn read_well(file: &[u8]) -> Vec<Seen> {
    let (seen, error) = read(file);
    assert!(error.is_none(), "{error:?}");
    seen
}

/// Writes numbers in one byte order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Order {
    big: bool,
}

const ORDERS: [Order; 2] = [Order { big: false }, Order { big: true }];

impl Order {
    fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|&value| self.u32(value)).collect()
    }

    fn pcap(self, magic: u32, link: u32, records: &[(u32, u32, &[u8], u32)]) -> Vec<u8> {
        let mut file = self.words(&[magic]);
        file.extend(self.u16(2));
        file.extend(self.u16(4));
        file.extend(self.words(&[0, 0, 262_144, link]));
        for (seconds, fraction, bytes, original_len) in records {
            let len = u32::try_from(bytes.len()).unwrap();
            file.extend(self.words(&[*seconds, *fraction, len, *original_len]));
            file.extend_from_slice(bytes);
        }
        file
    }

    fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut body = body.to_vec();
        body.resize(body.len().next_multiple_of(4), 0);
        let len = u32::try_from(body.len() + 12).unwrap();
        [&self.words(&[kind, len])[..], &body, &self.u32(len)].concat()
    }

    fn section(self) -> Vec<u8> {
        let versions = [self.u16(1), self.u16(0)].concat();
        self.block(0x0a0d_0d0a, &[&self.u32(0x1a2b_3c4d)[..], &versions, &[0xff; 8]].concat())
    }

    /// An interface with the options `if_tsresol` and `if_tsoffset`.
    fn interface(self, link: u16, snaplen: u32, resolution: u8, offset: u64) -> Vec<u8> {
        let offset = if self.big { offset.to_be_bytes() } else { offset.to_le_bytes() };
        let options = [
            &self.u16(9)[..],
            &self.u16(1),
            &[resolution, 0, 0, 0],
            &self.u16(14),
            &self.u16(8),
            &offset,
            &[0; 4],
        ];
        let fixed = [&self.u16(link)[..], &[0, 0], &self.u32(snaplen)].concat();
        self.block(1, &[fixed, options.concat()].concat())
    }

    fn enhanced(self, interface: u32, ticks: u64, bytes: &[u8], original_len: u32) -> Vec<u8> {
        let len = u32::try_from(bytes.len()).unwrap();
        let [high, low] = [ticks >> 32, ticks & 0xffff_ffff].map(|it| u32::try_from(it).unwrap());
        let head = self.words(&[interface, high, low, len, original_len]);
        let mut padded = bytes.to_vec();
        padded.resize(bytes.len().next_multiple_of(4), 0);
        // A comment, as Wireshark adds it.
        let comment = [&self.u16(1)[..], &self.u16(2), b"hi\0\0", &[0; 4]].concat();
        self.block(6, &[head, padded, comment].concat())
    }

    fn simple(self, bytes: &[u8], original_len: u32) -> Vec<u8> {
        self.block(3, &[&self.u32(original_len)[..], bytes].concat())
    }

    fn obsolete(self, interface: u16, ticks: u32, bytes: &[u8], original_len: u32) -> Vec<u8> {
        let len = u32::try_from(bytes.len()).unwrap();
        let head = [&self.u16(interface)[..], &self.u16(0), &self.words(&[0, ticks, len])].concat();
        self.block(2, &[&head[..], &self.u32(original_len), bytes].concat())
    }

    /// A file with all that there is.
    fn everything(self) -> Vec<u8> {
        [
            self.section(),
            self.interface(1, 4, 9, 0),
            self.interface(276, 0, 0x80 | 10, 60),
            self.enhanced(0, 1_340_954_905_298_858_007, b"\x01\x02\x03\x04\x05", 5),
            self.block(5, &[0; 12]), // statistics
            self.enhanced(1, 1024 + 512, b"\x06", 9),
            self.simple(b"\x07\x08\x09\x0a", 100),
            self.obsolete(0, 5, b"\x0b\x0c", 2),
            self.block(0x8000_0000, b"a name resolution of tomorrow"),
            self.section(),
            self.interface(101, 0, 6, 0),
            self.enhanced(0, 7, b"", 0),
        ]
        .concat()
    }
}

fn time(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn pcap_of_either_byte_order_and_resolution_reads_the_same() {
    for order in ORDERS {
        for (magic, early, late) in [
            (0xa1b2_c3d4, "2026-11-22T08:43:47.000007Z", "2026-11-22T08:43:48.123456Z"),
            (0xa1b2_3c4d, "2026-11-22T08:43:47.000000007Z", "2026-11-22T08:43:48.000123456Z"),
        ] {
            let records: [(u32, u32, &[u8], u32); 2] =
                [(1_795_337_027, 7, b"abc", 3), (1_795_337_028, 123_456, b"", 60)];
            let expected = [
                (1, time(early), LinkType::Ethernet, b"abc".to_vec(), false),
                (2, time(late), LinkType::Ethernet, Vec::new(), true),
            ];
            assert_eq!(read_well(&order.pcap(magic, 1, &records)), expected);
        }
    }
}

#[test]
fn the_variant_with_longer_records_reads_too() {
    let order = ORDERS[0];
    let mut file = order.pcap(0xa1b2_cd34, 1, &[]);
    file.extend(order.words(&[1, 2, 3, 3, 0, 0]));
    file.extend(b"abc");
    let expected =
        (1, time("1970-01-01T00:00:01.000002Z"), LinkType::Ethernet, b"abc".to_vec(), false);
    assert_eq!(read_well(&file), [expected]);
}

#[test]
fn pcapng_of_either_byte_order_reads_the_same() {
    for order in ORDERS {
        let seen = read_well(&order.everything());
        let expected = [
            (
                1,
                time("2012-06-29T07:28:25.298858007Z"),
                LinkType::Ethernet,
                b"\x01\x02\x03\x04\x05".to_vec(),
                false,
            ),
            (2, time("1970-01-01T00:01:01.500000000Z"), LinkType::LinuxSll2, vec![6], true),
            (3, None, LinkType::Ethernet, b"\x07\x08\x09\x0a".to_vec(), true),
            (4, time("1970-01-01T00:00:00.000000005Z"), LinkType::Ethernet, vec![11, 12], false),
            (5, time("1970-01-01T00:00:00.000007Z"), LinkType::Raw, vec![], false),
        ];
        assert_eq!(seen, expected, "{order:?}");
    }
}

#[test]
fn a_file_can_change_its_byte_order_with_a_section() {
    let file = [ORDERS[0].everything(), ORDERS[1].everything()].concat();
    let seen = read_well(&file);
    assert_eq!(seen.len(), 10);
    assert_eq!(seen[0].1, seen[5].1);
    assert_eq!(seen[9].0, 10);
}

#[test]
fn a_file_that_ends_too_early_gives_its_whole_frames_and_says_where() {
    let real = Path::new(env!("CARGO_MANIFEST_DIR")).join("../carp-proto/tests/vectors");
    let real = std::fs::read(real.join("ucarp-default.pcap")).unwrap();
    for file in [real, ORDERS[0].everything(), ORDERS[1].everything()] {
        let whole = read_well(&file);
        let mut ends = 0;
        for len in 0..file.len() {
            let (seen, error) = read(&file[..len]);
            assert_eq!(seen, whole[..seen.len()], "{len} bytes");
            match error {
                // Between two records a cut does not show.
                None => ends += 1,
                Some(CaptureError::Truncated { offset, frames }) => {
                    assert_eq!(offset, u64::try_from(len).unwrap());
                    assert_eq!(frames, u64::try_from(seen.len()).unwrap());
                }
                Some(CaptureError::Empty) => assert_eq!(len, 0),
                Some(CaptureError::NotACapture) => assert!(len < 4, "{len}"),
                Some(error) => panic!("{len} bytes: {error}"),
            }
        }
        assert!(ends >= whole.len(), "{ends} ends");
    }
}

/// What an error says.
fn error_of(file: &[u8]) -> String {
    read(file).1.expect("an error").to_string()
}

#[test]
fn damage_is_named_with_its_place() {
    let order = ORDERS[0];
    assert_eq!(error_of(b""), "it is empty");
    assert_eq!(error_of(b"GIF89a"), "it is neither pcap nor pcapng");

    let mut file = order.pcap(0xa1b2_c3d4, 1, &[(0, 0, b"abcd", 4)]);
    file.extend(order.words(&[0, 0, 262_145, 262_145]));
    assert_eq!(
        error_of(&file),
        "it is damaged at byte 44, after 1 whole frames: a frame of 262145 bytes, where 262144 are \
         the most"
    );

    let start = [order.section(), order.interface(1, 0, 6, 0)].concat();
    let damaged = |block: &[u8]| {
        let text = error_of(&[&start[..], block].concat());
        let place = format!("it is damaged at byte {}, after 0 whole frames: ", start.len());
        text.strip_prefix(&place).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert_eq!(damaged(&order.words(&[6, 11])), "a block of 11 bytes");
    assert_eq!(damaged(&order.words(&[6, 1 << 21])), "a block of 2097152 bytes");
    assert_eq!(
        damaged(&order.enhanced(7, 0, b"", 0)),
        "a packet of interface 7, which the file does not describe"
    );
    let contradiction = "a block whose fields contradict each other";
    // Statistics whose second length differs, and packets that are longer than their block.
    assert_eq!(damaged(&order.words(&[5, 12, 13])), contradiction);
    assert_eq!(damaged(&order.block(6, &order.words(&[0, 0, 0, 5, 5]))), contradiction);
    assert_eq!(damaged(&order.block(6, &order.words(&[0, 0, 0, u32::MAX, 5]))), contradiction);
    assert_eq!(damaged(&order.block(3, &order.words(&[5]))), contradiction);
    assert_eq!(damaged(&order.block(2, &order.words(&[0, 0, 0, 5, 5]))), contradiction);
    let mut orderless = order.section();
    orderless[8] = 0;
    assert_eq!(damaged(&orderless), contradiction);
    let mut future = order.section();
    future[12] = 2;
    assert_eq!(damaged(&future), "a section of version 2 of pcapng, where 1 is known");
}

/// The parser of blocks takes the length of this one for at least 12.
#[test]
fn a_block_shorter_than_its_own_frame_is_damage_whatever_its_type() {
    for kind in [4, 5, 6, 9, 10, 0xbad, 0x4000_0bad, 0x8000_0001] {
        for len in 0..12 {
            let file = [ORDERS[0].section(), ORDERS[0].words(&[kind, len, 0, 0, 0])].concat();
            assert!(error_of(&file).ends_with(&format!(": a block of {len} bytes")));
        }
    }
}

#[test]
fn a_long_block_without_packets_is_passed_over_and_not_kept() {
    /// So many zeros.
    struct Zeros(usize);
    impl Read for Zeros {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let len = buffer.len().min(self.0);
            buffer[..len].fill(0);
            self.0 -= len;
            Ok(len)
        }
    }
    const LEN: u32 = 64 << 20;
    let order = ORDERS[0];
    let start = [order.section(), order.words(&[0xbad, LEN])].concat();
    let zeros = Zeros(usize::try_from(LEN).unwrap() - 12);
    let after = [order.words(&[LEN]), order.interface(1, 0, 6, 0), order.simple(b"x", 1)].concat();
    let mut reader = Reader::new(start.chain(zeros).chain(&after[..])).unwrap();
    assert_eq!(reader.next_frame().unwrap().unwrap().bytes, b"x");
    assert!(reader.next_frame().unwrap().is_none());
}

#[test]
fn an_unknown_link_type_is_named() {
    let file = ORDERS[0].pcap(0xa1b2_c3d4, 147, &[]);
    assert_eq!(error_of(&file), "its link type 147 is not understood");
    // The upper bits tell of a frame check sequence.
    assert_eq!(read_well(&ORDERS[1].pcap(0xa1b2_c3d4, 0x2400_0001, &[])), []);
    let file = [
        ORDERS[0].section(),
        ORDERS[0].interface(220, 0, 6, 0),
        ORDERS[0].interface(1, 0, 6, 0),
        ORDERS[0].enhanced(0, 0, b"usb", 3),
        ORDERS[0].enhanced(1, 0, b"lan", 3),
    ];
    let links: Vec<_> = read_well(&file.concat()).into_iter().map(|seen| seen.2).collect();
    assert_eq!(links, [LinkType::Other(220), LinkType::Ethernet]);
}

#[test]
fn an_error_of_the_stream_says_where() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::Error::other("the disk is gone"))
        }
    }
    let file = ORDERS[0].pcap(0xa1b2_c3d4, 1, &[(0, 0, b"abcd", 4)]);
    let mut reader = Reader::new(file.chain(Broken)).unwrap();
    assert!(reader.next_frame().unwrap().is_some());
    let error = reader.next_frame().unwrap_err();
    assert_eq!(error.to_string(), "it cannot be read at byte 44: the disk is gone");
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_reading_ends(
        start in prop::sample::select(vec![
            Vec::new(),
            ORDERS[0].pcap(0xa1b2_c3d4, 1, &[]),
            ORDERS[1].pcap(0xa1b2_3c4d, 113, &[]),
            ORDERS[0].section(),
            [ORDERS[1].section(), ORDERS[1].interface(1, 0, 6, 0)].concat(),
        ]),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let file = [start, rest].concat();
        let (seen, _) = read(&file);
        prop_assert!(seen.len() * 12 <= file.len());
    }

    /// Whole files with a few bytes changed come further than noise.
    #[test]
    fn whatever_is_damaged_reading_ends(
        order in prop::sample::select(ORDERS.to_vec()),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut file = order.everything();
        for (index, byte) in changes {
            *index.get_mut(&mut file) = byte;
        }
        let (seen, _) = read(&file);
        prop_assert!(seen.len() * 12 <= file.len());
    }
}

/// A stream that remembers what it was handed at a time.
#[derive(Default)]
struct Pieces(Vec<Vec<u8>>);

impl std::io::Write for &mut Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_record_is_handed_over_in_one_piece() {
    let mut pieces = Pieces::default();
    let mut writer = Writer::new(&mut pieces, LinkType::Ethernet).unwrap();
    writer.write(Timestamp::of_parts(7, 9, 9), &[1; 60], 60).unwrap();
    writer.write(None, &[2; 60], 1500).unwrap();
    let lengths: Vec<usize> = pieces.0.iter().map(Vec::len).collect();
    assert_eq!(lengths, [24, 76, 76]);
    let seen = read_well(&pieces.0.concat());
    let first = Some("1970-01-01T00:00:07.000000009Z".to_owned());
    assert_eq!(seen[0], (1, first, LinkType::Ethernet, vec![1; 60], false));
    assert_eq!((seen[1].3.len(), seen[1].4), (60, true), "it says that the frame was longer");
}

proptest! {
    #[test]
    fn what_is_written_reads_as_it_was(
        link in prop::sample::select(LinkType::KNOWN.to_vec()),
        frames in prop::collection::vec(
            (any::<u32>(), 0..1_000_000_000_u32, prop::collection::vec(any::<u8>(), 0..80), 0..9_usize),
            0..6,
        ),
    ) {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, link).unwrap();
        let mut expected = Vec::new();
        for (number, (seconds, nanos, bytes, missing)) in (1..).zip(frames) {
            let time = Timestamp::of_parts(seconds, nanos, 9);
            writer.write(time, &bytes, bytes.len() + missing).unwrap();
            expected.push((number, time.map(|time| time.to_string()), link, bytes, missing > 0));
        }
        prop_assert_eq!(read_well(&file), expected);
    }
}
