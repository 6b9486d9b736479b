use proptest::prelude::*;

use super::*;

/// What rsync 3.5.0 printed for a small tree, with its options of a pass.
const PRINTED: &[u8] = b"@I|.d..t......|4096|./\n@I|>f+++++++++|6|a\\#012b\n\
    @I|cLc.t......|1|link\n@I|hf+++++++++|6|hard\n@I|*deleting  |0|old\n\
    \r              6  50%    5.86kB/s    0:00:00 (xfr#1, to-chk=2/5)\
    \r             12 100%    0.00kB/s    0:00:00 (xfr#2, to-chk=0/5)\n\n\
    Number of files: 1,005 (reg: 1,003, dir: 2)\nNumber of created files: 2 (reg: 2)\n\
    Total file size: 12 bytes\nsent 85 bytes  received 255 bytes  680.00 bytes/sec\n";

fn read(pieces: &[&[u8]]) -> Vec<Line> {
    let (mut reader, mut lines) = (Reader::default(), Vec::new());
    for piece in pieces {
        reader.push(piece, |line| lines.push(line));
    }
    reader.finish(|line| lines.push(line));
    lines
}

fn item_of(line: &str) -> Item {
    match Line::parse(line.as_bytes()) {
        Line::Item(item) => item,
        other => panic!("{line} is {other:?}"),
    }
}

#[test]
fn items_progress_and_statistics_are_told_apart() {
    let lines = read(&[PRINTED]);
    let item = |change, len, path: &[u8]| Line::Item(Item { change, len, path: path.to_vec() });
    let progress = |bytes, percent, rate, files, to_check| {
        let (time, files, to_check) = (Duration::ZERO, Some(files), Some(to_check));
        Line::Progress(Progress { bytes, percent, rate, time, files, to_check })
    };
    let sent = b"sent 85 bytes  received 255 bytes  680.00 bytes/sec";
    assert_eq!(
        lines,
        [
            item(Change::Attributes, 4096, b"./"),
            item(Change::Received { new: true }, 6, b"a\nb"),
            item(Change::Created, 1, b"link"),
            item(Change::Linked, 6, b"hard"),
            item(Change::Deleted, 0, b"old"),
            progress(6, 50, 6000, 1, (2, 5)),
            progress(12, 100, 0, 2, (0, 5)),
            Line::Stat(Stat::Files, 1005),
            Line::Stat(Stat::Created, 2),
            Line::Stat(Stat::TotalSize, 12),
            Line::Other(sent.to_vec()),
        ]
    );
}

#[test]
fn names_are_bytes() {
    for (printed, name) in [
        (r"plain", &b"plain"[..]),
        (r"\#303\#244", b"\xc3\xa4"),
        (r"\#377|pipe", b"\xff|pipe"),
        (r"\#134#012", b"\\#012"),
        (r"\#400\#08a\#1", br"\#400\#08a\#1"),
        ("back\\slash", b"back\\slash"),
    ] {
        assert_eq!(item_of(&format!("@I|>f+++++++++|1|{printed}")).path, name, "{printed}");
    }
}

#[test]
fn progress_is_read_in_all_its_forms() {
    for (line, rate, seconds, counted) in [
        ("  1,234  45%   12.34MB/s    1:02:03 (xfr#5, to-chk=12/34)", 12_939_427, 3723, true),
        ("1234 45% 1.00GB/s 0:00:01 (xfr#5, ir-chk=1000/2000)", 1 << 30, 1, true),
        ("      0   0%    0.00kB/s    0:00:00  ", 0, 0, false),
        ("9  45%  999.99kB/s 1000:00:00", 1_023_989, 3_600_000, false),
    ] {
        let Line::Progress(progress) = Line::parse(line.as_bytes()) else { panic!("{line}") };
        assert_eq!(
            (progress.rate, progress.time.as_secs(), progress.files.is_some()),
            (rate, seconds, counted),
            "{line}"
        );
    }
}

#[test]
fn what_looks_nearly_right_is_only_a_message() {
    for line in [
        "@I|>f|1",
        "@I||1|x",
        "@I|>f+++++++++|-1|x",
        "@I|>f+++++++++|99999999999999999999999|x",
        "12 101% 1.00kB/s 0:00:00",
        "12 50% 1.0kB/s 0:00:00",
        "12 50% 99999999999999999.00GB/s 0:00:00",
        "12 50% 1.00kB/s 0:00:00 and more",
        "Number of files: many",
        "Number of",
    ] {
        assert_eq!(Line::parse(line.as_bytes()), Line::Other(line.into()), "{line}");
    }
}

#[test]
fn a_line_without_end_does_not_fill_the_memory() {
    let mut reader = Reader::default();
    for _ in 0..100 {
        reader.push(&[b'x'; 4096], |line| panic!("{line:?}"));
    }
    let mut lines = Vec::new();
    reader.push(b"\nnext\n", |line| lines.push(line));
    assert_eq!(lines, [Line::Other(vec![b'x'; LINE_LEN]), Line::Other(b"next".to_vec())]);
}

proptest! {
    #[test]
    fn however_the_stream_is_cut_it_says_the_same(
        cuts in proptest::collection::vec(0..PRINTED.len(), 0..20),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts {
            pieces.push(&PRINTED[from..cut]);
            from = cut;
        }
        pieces.push(&PRINTED[from..]);
        prop_assert_eq!(read(&pieces), read(&[PRINTED]));
    }

    #[test]
    fn no_bytes_make_it_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        like in r"(@I\|[<>ch.*][a-z+.]{0,12}\|?[0-9,]{0,22}\|?.{0,9}|[ 0-9,%.kMGB/s:()#xfr=-]{0,60}|[TLMN][a-z :]{0,40}[0-9]{0,25})",
        at in 0_usize..300,
    ) {
        for bytes in [&bytes[..], like.as_bytes()] {
            let at = at.min(bytes.len());
            let (a, b) = bytes.split_at(at);
            prop_assert_eq!(read(&[a, b]), read(&[bytes]));
        }
    }

    #[test]
    fn every_name_survives_rsyncs_escaping(name in proptest::collection::vec(1_u8.., 1..40)) {
        // As rsync does it: what is not printable, and a backslash that looks like an escape.
        let mut printed = b"@I|>f+++++++++|1|".to_vec();
        for (n, byte) in name.iter().enumerate() {
            let digits = name.get(n + 2..n + 5);
            let escape = *byte == b'\\'
                && name.get(n + 1) == Some(&b'#')
                && digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_digit));
            match byte {
                b' '..=b'~' if !escape => printed.push(*byte),
                byte => printed.extend(format!("\\#{byte:03o}").into_bytes()),
            }
        }
        match Line::parse(&printed) {
            Line::Item(item) => prop_assert_eq!(item.path, name),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
