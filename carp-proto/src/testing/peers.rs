//! What the other members of a virtual router say.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Datagram;
use super::setup::{EPOCH, Extra, HMAC_KEY, ID, KEY, PASSWORD, Setup, Version};
use crate::address::VirtualAddress;
use crate::auth::{
    AntiReplay, Authenticator, HmacAuthenticator, HmacKey, HmacMode, Key, Password, Window,
};
use crate::id::{Priority, VirtualId};
use crate::interval::{CarpInterval, Centiseconds, Seconds};
use crate::time::Instant;
use crate::wire::carp::{self, Advert};
use crate::wire::checksum::checksum;
use crate::wire::ip::RxMeta;
use crate::wire::vrrp::v3::{self, Carrier};
use crate::wire::vrrp::{AddressList, Authentication, ChecksumForm, trailer, v2};

/// What an advert says. In VRRP an advskew is a priority of 255 - advskew; 255/255 resigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "arbitrary", derive(arbitrary::Arbitrary))]
pub struct Said {
    /// CARP's advbase. In version 3 the interval grows with it; in version 2 it is always the router's own.
    pub advbase: u8,
    /// CARP's advskew.
    pub advskew: u8,
    /// CARP's demotion byte.
    pub demotion: u8,
}

/// The routers that a router hears: all that they say is well written.
#[derive(Clone, Debug)]
pub struct Peers {
    setup: Setup,
    key: Key,
    texts: &'static [&'static str],
    /// CARP's counter, which they share.
    counter: u64,
    password: Option<Password>,
    hmac: Option<HmacAuthenticator>,
}

impl Peers {
    /// The peers of such a router.
    #[must_use]
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            key: Key::new(KEY).expect("a key"),
            texts: setup.texts(),
            counter: 100,
            password: setup.password(),
            hmac: (setup.extra == Extra::Signatures).then(|| signer(HMAC_KEY)),
        }
    }

    /// Peers with another key.
    ///
    /// # Panics
    /// If it is not one.
    #[must_use]
    pub fn with_key(self, key: &[u8]) -> Self {
        Self { key: Key::new(key).expect("a key"), ..self }
    }

    /// Peers with other addresses.
    #[must_use]
    pub fn with_texts(self, texts: &'static [&'static str]) -> Self {
        Self { texts, ..self }
    }

    /// Peers of which the next advert has this counter.
    #[must_use]
    pub fn with_counter(self, counter: u64) -> Self {
        Self { counter: counter.wrapping_sub(1), ..self }
    }

    /// Peers with another password.
    ///
    /// # Panics
    /// If it is not one.
    #[must_use]
    pub fn with_password(self, password: &[u8]) -> Self {
        Self { password: Some(Password::new(password).expect("a password")), ..self }
    }

    /// Peers that sign in another way.
    #[must_use]
    pub fn with_signer(self, hmac: Option<HmacAuthenticator>) -> Self {
        Self { hmac, ..self }
    }

    /// An advert of a host, as it arrives. Where there are two families, they take turns.
    ///
    /// # Panics
    /// If the [addresses](Self::with_texts) are not some.
    pub fn advert(&mut self, now: Instant, host: u8, said: Said) -> Datagram {
        self.counter = self.counter.wrapping_add(1);
        let both = self.setup.extra == Extra::BothFamilies;
        let meta = if both && self.counter.is_multiple_of(2) {
            Version::V3Ipv6.meta(Version::V3Ipv6.host(host))
        } else {
            self.setup.meta(self.setup.host(host))
        };
        let mut message = Vec::new();
        match self.setup.vrrp {
            None => self.write_carp(said, &mut message),
            Some(version) => self.write_vrrp(version, now, &meta, said, &mut message),
        }
        (meta, message)
    }

    /// Makes right what only a member can: in a message of whatever content, as long as it is long enough, CARP's
    /// digest, the password or the signature, and then the checksum.
    ///
    /// What is fuzzed gets past these checks so; they are never switched off.
    pub fn mend(&self, meta: &RxMeta, message: &mut [u8]) {
        match self.setup.vrrp {
            None => {
                if let Some((head, digest)) = message.split_last_chunk_mut::<{ carp::DIGEST_LEN }>()
                    && let Some(counter) = head.last_chunk()
                {
                    *digest = self.authenticator().digest(u64::from_be_bytes(*counter));
                }
            }
            Some(Version::V2) => {
                if let (Some(_), Some(data)) = (&self.password, message.last_chunk_mut()) {
                    let mut secret = [0; v2::AUTH_DATA_LEN];
                    secret[..PASSWORD.len()].copy_from_slice(PASSWORD);
                    *data = secret;
                }
            }
            Some(Version::V3 | Version::V3Ipv6) => {
                if let Some(hmac) = &self.hmac {
                    hmac.sign_again(meta.source, message);
                }
            }
        }
        self.mend_checksum(meta, message);
    }

    /// Makes the checksum of a message right, whatever its content, as long as it has one.
    pub fn mend_checksum(&self, meta: &RxMeta, message: &mut [u8]) {
        if message.len() < 8 {
            return;
        }
        message[6..8].fill(0);
        let signed = self.hmac.is_some() && message.len() >= 8 + trailer::LEN;
        // Over IPv4 the checksum does not cover the trailer.
        let bare = &message[..message.len() - if signed { trailer::LEN } else { 0 }];
        let sum = match self.setup.vrrp {
            None | Some(Version::V2) => checksum(message),
            Some(Version::V3) if self.setup.extra == Extra::MessageChecksum => checksum(message),
            Some(Version::V3) => with_pseudo_header(meta, bare),
            Some(Version::V3Ipv6) => with_pseudo_header(meta, message),
        };
        message[6..8].copy_from_slice(&sum.to_be_bytes());
    }

    fn write_carp(&self, said: Said, message: &mut Vec<u8>) {
        let Said { advbase, advskew, demotion } = said;
        let (interval, counter) = (CarpInterval { advbase, advskew }, self.counter);
        let digest = self.authenticator().digest(counter);
        carp::emit(&Advert { vhid: ID, interval, demotion, counter, digest }, message);
    }

    /// Who signs CARP's adverts.
    pub(super) fn authenticator(&self) -> Authenticator {
        Authenticator::new(&self.key, id(), &addresses(self.texts))
    }

    fn write_vrrp(
        &mut self,
        version: Version,
        now: Instant,
        meta: &RxMeta,
        said: Said,
        message: &mut Vec<u8>,
    ) {
        let (id, priority) = (id(), Priority::from_wire(255 - said.advskew));
        let list = AddressList::new(&addresses(self.texts)).expect("a list");
        if let (Version::V2, AddressList::Ipv4(addresses)) = (version, &list) {
            let interval = Seconds::from_wire(self.setup.advbase);
            let password = self.password.as_ref();
            let authentication = password.map_or(Authentication::None, Authentication::Password);
            let advert = v2::Outgoing { id, priority, interval, addresses, authentication };
            return v2::emit(&advert, message);
        }
        let bare = self.setup.extra == Extra::MessageChecksum;
        let form = if bare { ChecksumForm::Message } else { ChecksumForm::PseudoHeader };
        let interval = Centiseconds::from_wire(u16::from(said.advbase) * 16 + 1);
        let carrier = Carrier::new(&list, meta.source, meta.destination, form);
        let carrier = carrier.expect("a path in the family of the list");
        let advert = v3::Outgoing { id, priority, interval, carrier };
        let since_epoch = EPOCH + now.saturating_since(Instant::ZERO);
        match self.hmac.as_mut().and_then(|hmac| hmac.sign(since_epoch, &advert)) {
            Some(trailer) => v3::emit_signed(&advert, &trailer, message),
            None => v3::emit(&advert, message),
        }
    }
}

/// Signs with a key and its id, and takes what is at most five seconds old.
///
/// # Panics
/// If the id is 0.
#[must_use]
pub fn signer(key: (u8, [u8; 32])) -> HmacAuthenticator {
    authenticator(&[key], HmacMode::Enforce)
}

/// Signs with the last of these keys, and takes what is at most five seconds old.
pub(super) fn authenticator(keys: &[(u8, [u8; 32])], mode: HmacMode) -> HmacAuthenticator {
    let active = keys.last().map_or(0, |(id, _)| *id);
    let keys = keys.iter().map(|(id, bytes)| HmacKey::new(*id, bytes).expect("a key"));
    let window = AntiReplay::Time(Window::new(5).expect("a window"));
    HmacAuthenticator::new(keys.collect(), active, mode, window).expect("keys that differ")
}

fn with_pseudo_header(meta: &RxMeta, message: &[u8]) -> u16 {
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut summed = [octets(meta.source), octets(meta.destination)].concat();
    let len = u32::try_from(message.len()).expect("no message is that long");
    summed.extend(len.to_be_bytes());
    summed.extend([0, 0, 0, 112]);
    summed.extend_from_slice(message);
    checksum(&summed)
}

fn id() -> VirtualId {
    VirtualId::new(ID).expect("an id")
}

pub(super) fn addresses(texts: &[&str]) -> Vec<VirtualAddress> {
    texts.iter().map(|text| text.parse().expect("an address")).collect()
}
