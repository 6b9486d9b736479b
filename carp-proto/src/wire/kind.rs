//! Telling CARP and the two versions of VRRP apart.

use crate::id::Protocol;
use crate::wire::{carp, vrrp};

/// What a message of IP protocol 112 is, by its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// CARP: version 2, 36 bytes, and an authlen of 7.
    Carp,
    /// VRRP version 2: as long as its count of addresses and its authentication data make it.
    Vrrp2,
    /// VRRP version 3: nobody else has that version.
    Vrrp3,
    /// None of these.
    Unknown,
}

impl Kind {
    /// The protocol, if it is one.
    #[must_use]
    pub const fn protocol(self) -> Option<Protocol> {
        match self {
            Self::Carp => Some(Protocol::Carp),
            Self::Vrrp2 => Some(Protocol::Vrrp2),
            Self::Vrrp3 => Some(Protocol::Vrrp3),
            Self::Unknown => None,
        }
    }
}

/// What a message is, by its shape: the payload of a datagram, trimmed to the length that its IP
/// header says.
///
/// CARP and VRRP share IP protocol 112, the groups, the TTL and, in version 2, the first byte. Neither
/// the id nor any configuration helps, because both may use the same id. Their lengths do:
///
/// | version | length | fourth byte | kind |
/// |---|---|---|---|
/// | 3 | any | any | VRRP version 3 |
/// | 2 | 36 | 7, CARP's authlen | CARP |
/// | 2 | 16 + 4 × the fourth byte | the count of addresses | VRRP version 2 |
/// | else | | | unknown |
///
/// No message is in two rows: seven addresses make 44 bytes, and 36 bytes are five. Read as VRRP
/// version 2, CARP's advskew would be the priority, and advskew 0 a resignation.
///
/// The kind says who has to read the message, not that it is a good one: type, checksum and, in
/// version 3, length are not looked at.
#[must_use]
pub fn classify(message: &[u8]) -> Kind {
    classify_start(message, message.len())
}

/// The same for a message of `len` bytes, of which perhaps only the start is there, as in a capture
/// that was cut.
#[must_use]
pub fn classify_start(start: &[u8], len: usize) -> Kind {
    let [version_type, rest @ ..] = start else { return Kind::Unknown };
    match (version_type >> 4, rest) {
        (vrrp::v3::VERSION, _) => Kind::Vrrp3,
        (carp::VERSION, [_, _, count, ..]) => match *count {
            carp::AUTH_LEN if len == carp::HEADER_LEN => Kind::Carp,
            count if len == vrrp::v2::message_len(count) => Kind::Vrrp2,
            _ => Kind::Unknown,
        },
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(first: u8, fourth: u8, len: usize) -> std::vec::Vec<u8> {
        let mut message = std::vec![0; len];
        [message[0], message[3]] = [first, fourth];
        message
    }

    #[test]
    fn one_count_of_addresses_would_have_carp_s_length_and_it_is_not_seven() {
        assert_eq!(classify(&message(0x21, 7, 36)), Kind::Carp);
        assert_eq!(classify(&message(0x21, 5, 36)), Kind::Vrrp2);
        assert_eq!(classify(&message(0x21, 7, 44)), Kind::Vrrp2);
        assert_eq!(classify(&message(0x21, 7, 40)), Kind::Unknown);
    }

    #[test]
    fn version_3_needs_no_shape() {
        for len in 4..80 {
            assert_eq!(classify(&message(0x31, 7, len)), Kind::Vrrp3);
        }
        assert_eq!(classify(&[0x3f]), Kind::Vrrp3);
    }

    #[test]
    fn what_is_too_short_to_tell_is_unknown() {
        for message in [&[][..], &[0x21], &[0x21, 42, 0]] {
            assert_eq!(classify(message), Kind::Unknown);
        }
    }

    #[test]
    fn the_start_of_a_message_tells_as_much_as_the_whole() {
        for (fourth, len, kind) in
            [(7, 36, Kind::Carp), (5, 36, Kind::Vrrp2), (7, 40, Kind::Unknown)]
        {
            let whole = message(0x21, fourth, len);
            for cut in 4..=len {
                assert_eq!(classify_start(&whole[..cut], len), kind);
            }
            assert_eq!(classify_start(&whole[..3], len), Kind::Unknown);
        }
    }

    #[test]
    fn other_versions_are_unknown() {
        for version in (0..=15_u8).filter(|version| ![2, 3].contains(version)) {
            assert_eq!(classify(&message(version << 4 | 1, 7, 36)), Kind::Unknown);
        }
    }
}
