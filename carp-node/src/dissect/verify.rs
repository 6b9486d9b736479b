//! Checking digests when the key and the addresses are known.

use std::collections::BTreeMap;

use carp_proto::wire::carp::Advert;
use carp_proto::{Authenticator, Key, VirtualAddress, VirtualId};

/// Checks the digests of adverts against one key and one list of addresses, whatever their VHIDs.
#[derive(Debug)]
pub struct Verifier {
    key: Key,
    addresses: Vec<VirtualAddress>,
    /// The digest covers the VHID: one state for each that was met.
    authenticators: BTreeMap<VirtualId, Authenticator>,
}

impl Verifier {
    /// A verifier for the key and the addresses of a router.
    #[must_use]
    pub const fn new(key: Key, addresses: Vec<VirtualAddress>) -> Self {
        Self { key, addresses, authenticators: BTreeMap::new() }
    }

    /// Whether the digest of an advert fits. That of a VHID 0, which no router has, never does.
    pub fn verify(&mut self, advert: &Advert) -> bool {
        let Ok(id) = VirtualId::new(advert.vhid) else { return false };
        let authenticator = self
            .authenticators
            .entry(id)
            .or_insert_with(|| Authenticator::new(&self.key, id, &self.addresses));
        authenticator.verify(advert.counter, &advert.digest)
    }
}
