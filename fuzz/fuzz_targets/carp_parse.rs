//! Reading a CARP message is total, and what is read with a good checksum is emitted as it came.
//!
//! One thing may differ. In ones' complement a sum of zero has two spellings, 0x0000 and 0xffff, and
//! RFC 1071 accepts both: an advert that came with the one may leave with the other.

#![no_main]

use carp_proto::wire::carp::{self, HEADER_LEN};
use libfuzzer_sys::fuzz_target;

const CHECKSUM: core::ops::Range<usize> = 6..8;

fuzz_target!(|message: &[u8]| {
    let Ok(parsed) = carp::parse(message) else { return };
    assert_eq!(message.len(), HEADER_LEN);

    let mut emitted = Vec::new();
    carp::emit(&parsed.advert, &mut emitted);
    assert_eq!(emitted[..CHECKSUM.start], message[..CHECKSUM.start]);
    assert_eq!(emitted[CHECKSUM.end..], message[CHECKSUM.end..]);

    let same_checksum = checksum(&emitted) == checksum(message);
    assert_eq!(same_checksum, parsed.checksum_ok, "{message:02x?} became {emitted:02x?}");
    assert!(carp::parse(&emitted).is_ok_and(|again| again.checksum_ok));
});

/// The checksum field, with one spelling for zero.
fn checksum(message: &[u8]) -> u16 {
    match u16::from_be_bytes([message[CHECKSUM.start], message[CHECKSUM.start + 1]]) {
        0xffff => 0,
        checksum => checksum,
    }
}
