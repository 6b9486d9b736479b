//! Reading a CARP message is total, and what is read with a good checksum is emitted as it came. With digest and
//! checksum mended it is verified, whatever else is in it.
//!
//! One thing may differ. In ones' complement a sum of zero has two spellings, 0x0000 and 0xffff, and
//! RFC 1071 accepts both: an advert that came with the one may leave with the other.

use carp_proto::testing::{ID, KEY, Peers, Setup};
use carp_proto::wire::carp::{self, HEADER_LEN};
use carp_proto::{Authenticator, Key, VirtualId};

const CHECKSUM: core::ops::Range<usize> = 6..8;

/// Panics if these bytes show that something is wrong.
pub fn check(message: &[u8]) {
    let read = as_it_came(message);

    let setup = Setup::new();
    let mut mended = message.to_vec();
    Peers::new(setup).mend(&setup.meta(setup.host(9)), &mut mended);
    let again = as_it_came(&mended);
    assert_eq!(read.is_some(), again.is_some());
    let Some(parsed) = again else { return };
    assert!(parsed.checksum_ok);
    let key = Key::new(KEY).expect("a key");
    let id = VirtualId::new(ID).expect("an id");
    let authenticator = Authenticator::new(&key, id, setup.config().addresses());
    assert!(authenticator.verify(parsed.advert.counter, &parsed.advert.digest));
}

fn as_it_came(message: &[u8]) -> Option<carp::Parsed> {
    let parsed = carp::parse(message).ok()?;
    assert_eq!(message.len(), HEADER_LEN);

    let mut emitted = Vec::new();
    carp::emit(&parsed.advert, &mut emitted);
    assert_eq!(emitted[..CHECKSUM.start], message[..CHECKSUM.start]);
    assert_eq!(emitted[CHECKSUM.end..], message[CHECKSUM.end..]);

    let same_checksum = checksum(&emitted) == checksum(message);
    assert_eq!(same_checksum, parsed.checksum_ok, "{message:02x?} became {emitted:02x?}");
    assert!(carp::parse(&emitted).is_ok_and(|again| again.checksum_ok));
    Some(parsed)
}

/// The checksum field, with one spelling for zero.
fn checksum(message: &[u8]) -> u16 {
    match u16::from_be_bytes([message[CHECKSUM.start], message[CHECKSUM.start + 1]]) {
        0xffff => 0,
        checksum => checksum,
    }
}
