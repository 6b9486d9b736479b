//! CARP's authentication: HMAC-SHA1 over what the members of a router agree on.
//!
//! The digest covers the version, the type, the VHID, the sorted addresses and the counter. It does
//! **not** cover advbase, advskew, the demotion byte or the sender: whoever can capture one advert can
//! send it again with another rank. That is the protocol, and every implementation of it; see
//! `docs/wire.md`.

use alloc::vec::Vec;
use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::address::{HashedAddresses, VirtualAddress};
use crate::id::VirtualId;
use crate::wire::carp::{DIGEST_LEN, TYPE_ADVERTISEMENT, VERSION};

type HmacSha1 = Hmac<Sha1>;

/// The secret that the members of a CARP router share: 1 to 19 bytes, taken as they are.
///
/// ucarp and the BSDs copy it into a field of 20 bytes that ends with a NUL; because HMAC pads its
/// key with zeros, the bytes alone give the same digest. The memory is wiped when the key is dropped,
/// and `Debug` does not show it.
#[derive(Clone)]
pub struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// The longest key that every implementation takes.
    pub const MAX_LEN: usize = 19;

    /// A key from its bytes.
    ///
    /// # Errors
    /// [`KeyError`] if there is none, or more than [`Key::MAX_LEN`] bytes: BSD's `ifconfig` would cut
    /// a longer one silently, ucarp refuses it.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        match bytes.len() {
            0 => Err(KeyError::Empty),
            1..=Self::MAX_LEN => Ok(Self(Zeroizing::new(bytes.to_vec()))),
            found => Err(KeyError::TooLong { found }),
        }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why bytes cannot be a CARP key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No bytes at all.
    #[error("the key is empty: it has 1 to 19 bytes")]
    Empty,
    /// More bytes than the protocol's implementations hold.
    #[error("the key has {found} bytes: at most 19 fit (BSD's ifconfig cuts longer ones to 19)")]
    TooLong {
        /// The bytes given.
        found: usize,
    },
}

/// Signs and verifies the adverts of one virtual router.
///
/// All that is the same in every advert is hashed once, here; an advert costs the two compressions
/// that its counter needs.
#[derive(Clone)]
pub struct Authenticator {
    sending: HmacSha1,
    /// With link-local addresses in the list: a peer may hash them (FreeBSD) or not (OpenBSD).
    without_link_local: Option<HmacSha1>,
}

impl Authenticator {
    /// Prepares the HMAC state of a router: its key, id and addresses, in any order.
    #[must_use]
    pub fn new(key: &Key, id: VirtualId, addresses: &[VirtualAddress]) -> Self {
        let all = HashedAddresses::new(addresses);
        let mut routable = all.clone();
        routable.v6.retain(|ip| !ip.is_unicast_link_local());
        let without_link_local =
            (routable.v6.len() != all.v6.len()).then(|| prepare(key, id, &routable));
        Self { sending: prepare(key, id, &all), without_link_local }
    }

    /// The digest of an advert with this counter.
    #[must_use]
    pub fn digest(&self, counter: u64) -> [u8; DIGEST_LEN] {
        with_counter(&self.sending, counter).finalize().into_bytes().into()
    }

    /// Whether a digest belongs to this counter, compared in constant time.
    #[must_use]
    pub fn verify(&self, counter: u64, digest: &[u8; DIGEST_LEN]) -> bool {
        let fits = |state| with_counter(state, counter).verify_slice(digest).is_ok();
        fits(&self.sending) || self.without_link_local.as_ref().is_some_and(fits)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authenticator(..)")
    }
}

fn prepare(key: &Key, id: VirtualId, addresses: &HashedAddresses) -> HmacSha1 {
    // HMAC takes a key of any length; `new_from_slice` cannot fail for it.
    let mut mac = match HmacSha1::new_from_slice(&key.0) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of every length"),
    };
    mac.update(&[VERSION, TYPE_ADVERTISEMENT, id.get()]);
    for ip in &addresses.v4 {
        mac.update(&ip.octets());
    }
    for ip in &addresses.v6 {
        mac.update(&ip.octets());
    }
    mac
}

fn with_counter(state: &HmacSha1, counter: u64) -> HmacSha1 {
    let mut mac = state.clone();
    mac.update(&counter.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_19_bytes() {
        assert_eq!(Key::new(b"").err(), Some(KeyError::Empty));
        assert!(Key::new(&[0; 1]).is_ok());
        assert!(Key::new(&[0xff; 19]).is_ok());
        assert_eq!(Key::new(&[0; 20]).err(), Some(KeyError::TooLong { found: 20 }));
    }
}
