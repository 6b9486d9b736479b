//! Reading a capture is total, frames are counted without a gap, and a stream that comes in pieces
//! reads as one that comes at once. What was read is written and reads the same. Dissecting is total
//! for every layer; the message lies inside the frame, and what is read as an advert is one to the
//! router's parser as well. A census takes whatever comes, and checks digests with a key: as it came, and with
//! digest, signature and checksum mended, since it reads nothing more of what is damaged.

use std::io::{self, Read};

use carp_node::capture::{MAX_FRAME, Reader, Timestamp, Writer};
use carp_node::census::Census;
use carp_node::dissect::{Dissected, Layer, LinkType, Message, Verifier, dissect, guess};
use carp_proto::Key;
use carp_proto::testing::{Extra, KEY, Peers, Setup, Version};
use carp_proto::wire::carp::{self, HEADER_LEN};
use carp_proto::wire::vrrp::{v2, v3};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let at_once = frames(input);
    assert_eq!(at_once, frames(Pieces(input)));

    let mut census = census();
    let layers = LinkType::KNOWN.map(Layer::Link);
    for layer in layers.into_iter().chain([Layer::Ip, Layer::Message, guess(input)]) {
        for cut in [false, true] {
            check_message(input, dissect(input, layer, cut));
            if let Layer::Link(link) = layer {
                observe(&mut census, None, link, input, cut);
            }
        }
    }
    let report = census.report();
    let free: usize = report.free_ids.iter().map(|ids| ids.clone().count()).sum();
    assert_eq!(free + report.used_ids.len(), 255);
}

/// The frames of a capture, and how it ends.
fn frames(stream: impl Read) -> (Vec<Vec<u8>>, String) {
    let mut frames = Vec::new();
    let mut reader = match Reader::new(stream) {
        Ok(reader) => reader,
        Err(error) => return (frames, error.to_string()),
    };
    let mut census = census();
    loop {
        match reader.next_frame() {
            Ok(Some(frame)) => {
                assert_eq!(frame.number, u64::try_from(frames.len()).expect("few") + 1);
                assert!(frame.bytes.len() <= MAX_FRAME);
                check_message(
                    frame.bytes,
                    dissect(frame.bytes, Layer::Link(frame.link), frame.cut),
                );
                observe(&mut census, frame.time, frame.link, frame.bytes, frame.cut);
                let mut file = Vec::new();
                let mut writer = Writer::new(&mut file, LinkType::Raw).expect("a vector");
                writer.write(frame.time, frame.bytes, frame.bytes.len()).expect("a vector");
                let mut again = Reader::new(&file[..]).expect("what was written");
                let again = again.next_frame().expect("a record").expect("one frame");
                assert_eq!((again.bytes, again.cut), (frame.bytes, false));
                let time = frame.time.map(|time| time.to_string()).unwrap_or_default();
                frames.push([frame.bytes, time.as_bytes()].concat());
            }
            Ok(None) => break,
            Err(error) => return (frames, error.to_string()),
        }
    }
    let _ = census.report();
    (frames, "the end".to_owned())
}

/// One that knows the key of the seeds.
fn census() -> Census {
    let addresses = vec!["10.99.0.100".parse().expect("an address")];
    Census::new(Some(Verifier::new(Key::new(KEY).expect("a key"), addresses)))
}

/// Lets a census look at a frame as it came, and mended.
fn observe(census: &mut Census, time: Option<Timestamp>, link: LinkType, frame: &[u8], cut: bool) {
    census.observe(time, link, frame, cut);
    if let Some(mended) = mended(frame, link, cut) {
        let again = dissect(&mended, Layer::Link(link), cut).expect("the same headers");
        assert!(!again.message.is_damaged(), "{again:?}");
        census.observe(time, link, &mended, cut);
    }
}

/// The frame with a message whose digest or signature and checksum are right, if all of it is there.
fn mended(frame: &[u8], link: LinkType, cut: bool) -> Option<Vec<u8>> {
    let found = dissect(frame, Layer::Link(link), cut)?;
    let meta = found.meta.filter(|_| found.bytes.len() == found.length)?;
    let version = if meta.source.is_ipv6() { Version::V3Ipv6 } else { Version::V3 };
    let (vrrp, extra) = match found.message {
        Message::Carp(_) => (None, Extra::Nothing),
        Message::Vrrp2(_) => (Some(Version::V2), Extra::Nothing),
        Message::Vrrp3(read) if read.signed.is_some() => (Some(version), Extra::Signatures),
        Message::Vrrp3(_) => (Some(version), Extra::Nothing),
        Message::Unreadable { .. } => return None,
    };
    let mut message = found.bytes.to_vec();
    let setup = Setup { vrrp, extra, ..Setup::new() };
    Peers::new(setup).mend(&meta, &mut message);
    let at = found.bytes.as_ptr().addr() - frame.as_ptr().addr();
    let mut frame = frame.to_vec();
    frame[at..][..message.len()].copy_from_slice(&message);
    Some(frame)
}

fn check_message(frame: &[u8], found: Option<Dissected<'_>>) {
    let Some(found) = found else { return };
    let (inside, bytes) = (frame.as_ptr_range(), found.bytes.as_ptr_range());
    assert!(
        found.bytes.is_empty() || (inside.start <= bytes.start && bytes.end <= inside.end),
        "{found:?}"
    );
    assert!(found.bytes.len() <= found.length);
    match found.message {
        Message::Carp(parsed) => {
            assert_eq!(found.length, HEADER_LEN);
            assert_eq!(carp::parse(found.bytes), Ok(parsed));
        }
        Message::Vrrp2(parsed) => assert_eq!(v2::parse(found.bytes), Ok(parsed)),
        Message::Vrrp3(read) => {
            let Some(meta) = found.meta else { return };
            let parsed = v3::parse(&meta, found.bytes).expect("it was read before");
            assert_eq!((parsed.advert, parsed.signed), (read.advert, read.signed));
            assert_eq!(Some(parsed.checksum), read.checksum);
        }
        Message::Unreadable { .. } => {}
    }
}

/// A stream that gives three bytes at a time.
struct Pieces<'a>(&'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(3).min(self.0.len());
        let (now, later) = self.0.split_at(len);
        buffer[..len].copy_from_slice(now);
        self.0 = later;
        Ok(len)
    }
}
