//! keepalived's authentication trailer, which follows an advert of version 3.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |   extension   |    key id     |           reserved            |
//! +---------------+---------------+-------------------------------+
//! |                   seconds since the Unix epoch                |
//! +-------------------------------+-------------------------------+
//! |      fraction (1/65536 s)     |            counter            |
//! +-------------------------------+-------------------------------+
//! |                                                               |
//! +                                                               +
//! |              tag (HMAC-SHA-256, first 16 bytes)               |
//! :                                                               :
//! +---------------------------------------------------------------+
//! ```
//!
//! The format is keepalived's `auth_hmac` since its release 2.4.2, described in
//! draft-cassen-vrrp-auth-hmac. A trailer is known by the length of the datagram alone. keepalived
//! can put one behind an advert of version 2 too; this project does not.
//!
//! This module knows where the bytes are. What they prove is in [`crate::auth`].

use core::time::Duration;

use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u64};
use nom::{IResult, Parser};

use crate::interval::fixed_point;

/// The length of a trailer.
pub const LEN: usize = 28;

/// The length of a tag.
pub const TAG_LEN: usize = 16;

/// The only extension: HMAC-SHA-256, cut to 16 bytes.
pub const EXTENSION_SHA256: u8 = 1;

/// A trailer's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// How the tag is computed: [`EXTENSION_SHA256`].
    pub extension: u8,
    /// Which key was used, 1 to 255.
    pub key_id: u8,
    /// Zero.
    pub reserved: u16,
    /// When the advert was signed.
    pub sequence: Sequence,
    /// The proof.
    pub tag: [u8; TAG_LEN],
}

impl Trailer {
    /// The trailer that these bytes are, if they have a trailer's length.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LEN {
            return None;
        }
        fields(bytes).ok().map(|(_, trailer)| trailer)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn to_wire(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        let (prefix, tag) = bytes.split_at_mut(LEN - TAG_LEN);
        prefix.copy_from_slice(&self.prefix());
        tag.copy_from_slice(&self.tag);
        bytes
    }

    /// What comes before the tag.
    pub(crate) fn prefix(&self) -> [u8; LEN - TAG_LEN] {
        let [r0, r1] = self.reserved.to_be_bytes();
        let [s0, s1, s2, s3, f0, f1, c0, c1] = self.sequence.0.to_be_bytes();
        [self.extension, self.key_id, r0, r1, s0, s1, s2, s3, f0, f1, c0, c1]
    }
}

fn fields(input: &[u8]) -> IResult<&[u8], Trailer> {
    let (rest, (extension, key_id, reserved, sequence)) =
        (be_u8, be_u8, be_u16, be_u64).parse(input)?;
    let (rest, tag_bytes) = take(TAG_LEN).parse(rest)?;
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(tag_bytes);
    Ok((rest, Trailer { extension, key_id, reserved, sequence: Sequence(sequence), tag }))
}

/// A message together with the trailer that follows it, not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The message without the trailer.
    pub message: &'a [u8],
    /// The trailer.
    pub trailer: Trailer,
}

/// When an advert was signed: 32 bits of seconds since the Unix epoch, 16 bits of 1/65536 s, and 16
/// bits that count the adverts of one such moment.
///
/// It is a serial number (RFC 1982): it wraps, and of two that are less than half the range apart one
/// is after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence that stands on the wire.
    #[must_use]
    pub const fn from_wire(sequence: u64) -> Self {
        Self(sequence)
    }

    /// As it stands on the wire.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first sequence of a moment, which is given as the time since the Unix epoch (UTC).
    #[must_use]
    pub fn at(since_epoch: Duration) -> Self {
        let (seconds, fraction) = fixed_point(since_epoch);
        Self(u64::from(seconds) << 32 | u64::from(fraction) << 16)
    }

    /// The one after this: the counter, and when it is full the time, goes on.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// Whether this is after `other` (RFC 1982 section 3.2).
    #[must_use]
    pub const fn is_after(self, other: Self) -> bool {
        let distance = self.0.wrapping_sub(other.0);
        0 < distance && distance < 1 << 63
    }

    /// The whole seconds by which this is after `other`, or before it: the lesser of the two ways
    /// round.
    #[must_use]
    pub const fn seconds_apart(self, other: Self) -> u64 {
        let ahead = (self.0 >> 32).wrapping_sub(other.0 >> 32) & SECONDS;
        let behind = (other.0 >> 32).wrapping_sub(self.0 >> 32) & SECONDS;
        if ahead < behind { ahead } else { behind }
    }
}

/// The range of the seconds.
const SECONDS: u64 = 0xffff_ffff;

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(seconds: u64, rest: u64) -> Sequence {
        Sequence(seconds << 32 | rest)
    }

    #[test]
    fn a_sequence_grows_with_time_and_within_a_moment() {
        let early = Sequence::at(Duration::from_millis(1_500));
        assert_eq!(early.get(), 0x0000_0001_8000_0000);
        assert!(early.next().is_after(early) && !early.is_after(early.next()));
        assert!(Sequence::at(Duration::from_secs(2)).is_after(early.next()));
        assert!(!early.is_after(early));
    }

    #[test]
    fn order_survives_the_wrap_of_the_seconds() {
        let (last, first) = (sequence(SECONDS, 7), sequence(0, 3));
        assert!(first.is_after(last) && !last.is_after(first));
        assert_eq!((first.seconds_apart(last), last.seconds_apart(first)), (1, 1));
        assert_eq!(Sequence(u64::MAX).next(), Sequence(0));
    }

    #[test]
    fn of_two_that_are_half_the_range_apart_neither_is_after_the_other() {
        let (one, other) = (Sequence(0), Sequence(1 << 63));
        assert!(!one.is_after(other) && !other.is_after(one));
    }
}
