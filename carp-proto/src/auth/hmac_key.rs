//! The keys of keepalived's `auth_hmac`, and the tag that they make.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr};
use core::num::NonZeroU8;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::wire::vrrp::trailer::TAG_LEN;

type HmacSha256 = Hmac<Sha256>;

/// The tag's own bytes while it is computed.
const NO_TAG: [u8; TAG_LEN] = [0; TAG_LEN];

/// The checksum's bytes while the tag is computed: the kernel may fill them in later.
const NO_CHECKSUM: [u8; 2] = [0; 2];

/// A key of 32 to 64 bytes, and the number by which a trailer names it.
///
/// All members of a virtual router hold the same keys under the same numbers, so any member can sign
/// as any other. What is kept is the HMAC state that the key leads to, computed once. That state is as
/// secret as the key; it is wiped when it is dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct HmacKey {
    id: NonZeroU8,
    state: HmacSha256,
}

impl HmacKey {
    /// The shortest key.
    pub const MIN_LEN: usize = 32;

    /// The longest key: one block of SHA-256.
    pub const MAX_LEN: usize = 64;

    /// A key from its number and its bytes.
    ///
    /// # Errors
    /// [`HmacKeyError`] for the number 0, and for less than 32 or more than 64 bytes.
    pub fn new(id: u8, bytes: &[u8]) -> Result<Self, HmacKeyError> {
        let id = NonZeroU8::new(id).ok_or(HmacKeyError::Id)?;
        let found = bytes.len();
        if !(Self::MIN_LEN..=Self::MAX_LEN).contains(&found) {
            return Err(HmacKeyError::Length { found });
        }
        let state =
            HmacSha256::new_from_slice(bytes).map_err(|_| HmacKeyError::Length { found })?;
        Ok(Self { id, state })
    }

    /// A key as keepalived's configuration and key files have it: `hex:` and hexadecimal digits, or
    /// the bytes themselves.
    ///
    /// # Errors
    /// [`HmacKeyError::Hex`] if what follows `hex:` is not whole bytes in hexadecimal; otherwise as
    /// [`HmacKey::new`].
    pub fn from_text(id: u8, text: &[u8]) -> Result<Self, HmacKeyError> {
        let Some(digits) = text.strip_prefix(b"hex:") else { return Self::new(id, text) };
        let (pairs, []) = digits.as_chunks::<2>() else { return Err(HmacKeyError::Hex) };
        let mut bytes = Zeroizing::new([0; Self::MAX_LEN]);
        let bytes =
            bytes.get_mut(..pairs.len()).ok_or(HmacKeyError::Length { found: pairs.len() })?;
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Self::new(id, bytes)
    }

    /// The number, 1 to 255.
    #[must_use]
    pub const fn id(&self) -> u8 {
        self.id.get()
    }

    /// Whether two keys have the same number and sign alike. Compared by what they sign, so that no key
    /// leaves its type.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let source = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let nothing = Parts { header: &[0; 8], addresses: &[], prefix: &[] };
        self.id == other.id && self.verify(source, &nothing, &other.tag(source, &nothing))
    }

    /// The tag of a message, given in the parts `header`, `addresses` and the trailer's `prefix`.
    pub(super) fn tag(&self, source: IpAddr, signed: &Parts<'_>) -> [u8; TAG_LEN] {
        let mut tag = NO_TAG;
        tag.copy_from_slice(&self.mac(source, signed).finalize().into_bytes()[..TAG_LEN]);
        tag
    }

    /// Whether a tag belongs to a message, compared in constant time.
    pub(super) fn verify(&self, source: IpAddr, signed: &Parts<'_>, tag: &[u8; TAG_LEN]) -> bool {
        self.mac(source, signed).verify_truncated_left(tag).is_ok()
    }

    /// HMAC over the pseudo-header, the message with a checksum of zero, and the trailer with a tag of
    /// zero.
    fn mac(&self, source: IpAddr, parts: &Parts<'_>) -> HmacSha256 {
        let [version_type, vrid, priority, count, how_0, how_1, _, _] = *parts.header;
        let (family, address) = match source {
            IpAddr::V4(ip) => {
                let mut padded = [0; 16];
                padded[..4].copy_from_slice(&ip.octets());
                (4, padded)
            }
            IpAddr::V6(ip) => (6, ip.octets()),
        };
        let mut mac = self.state.clone();
        mac.update(&[family, version_type >> 4, vrid, 0]);
        mac.update(&address);
        mac.update(&[version_type, vrid, priority, count, how_0, how_1]);
        mac.update(&NO_CHECKSUM);
        mac.update(parts.addresses);
        mac.update(parts.prefix);
        mac.update(&NO_TAG);
        mac
    }
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HmacKey({}, ..)", self.id)
    }
}

/// What is signed: the eight bytes of a message's header, its addresses, and what its trailer has
/// before the tag.
pub(super) struct Parts<'a> {
    pub(super) header: &'a [u8; 8],
    pub(super) addresses: &'a [u8],
    pub(super) prefix: &'a [u8],
}

fn nibble(digit: u8) -> Result<u8, HmacKeyError> {
    let value = char::from(digit).to_digit(16).ok_or(HmacKeyError::Hex)?;
    u8::try_from(value).map_err(|_| HmacKeyError::Hex)
}

/// Why something cannot be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HmacKeyError {
    /// The number 0.
    #[error("0 is not the number of a key: it is one of 1 to 255")]
    Id,
    /// Too few or too many bytes.
    #[error("the key has {found} bytes: it has 32 to 64, and 32 random ones are best")]
    Length {
        /// The bytes given.
        found: usize,
    },
    /// No hexadecimal digits, or an odd number of them.
    #[error("what follows `hex:` is not hexadecimal: it has two digits for each byte")]
    Hex,
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec;

    use super::*;

    #[test]
    fn a_key_has_32_to_64_bytes_and_a_number() {
        for len in [0, 31, 65, 1000] {
            let error = HmacKey::new(1, &vec![7; len]).unwrap_err();
            assert_eq!(error, HmacKeyError::Length { found: len });
        }
        assert_eq!(HmacKey::new(0, &[7; 32]).unwrap_err(), HmacKeyError::Id);
        assert_eq!(HmacKey::new(255, &[7; 64]).unwrap().id(), 255);
    }

    #[test]
    fn a_key_may_be_written_in_hexadecimal() {
        let parts = Parts { header: &[0x31; 8], addresses: &[10, 0, 0, 1], prefix: &[1; 12] };
        let source = IpAddr::from([10, 0, 0, 1]);
        let tag = |key: HmacKey| key.tag(source, &parts);
        let hex = format!("hex:{}", "0aF".repeat(32));
        let bytes = [0x0a, 0xf0, 0xaf].repeat(16);
        let from_hex = HmacKey::from_text(1, hex.as_bytes()).unwrap();
        assert_eq!(tag(from_hex), tag(HmacKey::new(1, &bytes).unwrap()));
        let plain = b"thirty-two bytes, taken as given";
        let from_text = HmacKey::from_text(1, plain).unwrap();
        assert_eq!(tag(from_text), tag(HmacKey::new(1, plain).unwrap()));
    }

    #[test]
    fn bad_hexadecimal_is_told_from_a_bad_length() {
        let error = |text: &str| HmacKey::from_text(1, text.as_bytes()).unwrap_err();
        assert_eq!(error(&format!("hex:{}", "0".repeat(63))), HmacKeyError::Hex);
        assert_eq!(error(&format!("hex:{}", "0g".repeat(32))), HmacKeyError::Hex);
        assert_eq!(error("hex:"), HmacKeyError::Length { found: 0 });
        assert_eq!(error(&format!("hex:{}", "00".repeat(31))), HmacKeyError::Length { found: 31 });
        assert_eq!(error(&format!("hex:{}", "00".repeat(65))), HmacKeyError::Length { found: 65 });
        assert_eq!(error("too short"), HmacKeyError::Length { found: 9 });
    }

    #[test]
    fn the_same_key_has_the_same_number_and_bytes() {
        let key = HmacKey::new(1, &[7; 32]).unwrap();
        assert!(key.is_same(&HmacKey::from_text(1, &[7; 32]).unwrap()));
        assert!(!key.is_same(&HmacKey::new(2, &[7; 32]).unwrap()));
        assert!(!key.is_same(&HmacKey::new(1, &[8; 32]).unwrap()));
    }

    #[test]
    fn debug_shows_the_number_only() {
        assert_eq!(format!("{:?}", HmacKey::new(7, &[0x41; 32]).unwrap()), "HmacKey(7, ..)");
    }
}
