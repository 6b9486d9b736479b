//! What a router of the tests may have beyond the plain form of its protocol, and what its peers say.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::auth::{
    AntiReplay, Authenticator, HmacAuthenticator, HmacKey, HmacMode, Key, Password, Window,
};
use carp_proto::election::Dialect;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{AddressList, Authentication, ChecksumForm, v2};
use carp_proto::{CarpInterval, Centiseconds, Instant, Priority, RxMeta, Seconds, VirtualRouter};

use super::vrrp::Version;
use super::{Rig, Setup, addresses, id, ms, secs};

/// What time of day the origin of the tests' instants is.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// The tests' secrets.
pub(crate) const KEY: &[u8] = b"love";
pub(crate) const PASSWORD: &[u8] = b"s3cr3t";
pub(crate) const HMAC_KEY: (u8, [u8; 32]) = (1, [7; 32]);

/// The hosts that are heard where not all are.
const HEARD: std::ops::RangeInclusive<u8> = 6..=11;

/// What a router may have beyond the plain form of its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    Nothing,
    /// Adverts go by unicast to the hosts 6 to 11, and only those are heard.
    Peers,
    /// Of those who send to the group, only the hosts 6 to 11 are heard.
    Chosen,
    /// CARP: IPv6 addresses alone.
    Ipv6,
    /// CARP: addresses of both families.
    BothFamilies,
    /// Version 2: a password.
    Password,
    /// Version 3: signatures, without which nothing is heard.
    Signatures,
    /// Version 3 over IPv4: the peers' checksum covers the message alone.
    MessageChecksum,
}

impl Extra {
    /// Those that a protocol can have.
    pub(crate) fn of(vrrp: Option<Version>) -> &'static [Self] {
        match vrrp {
            None => &[Self::Nothing, Self::Peers, Self::Chosen, Self::Ipv6, Self::BothFamilies],
            Some(Version::V2) => &[Self::Nothing, Self::Peers, Self::Chosen, Self::Password],
            Some(Version::V3) => {
                &[Self::Nothing, Self::Peers, Self::Chosen, Self::Signatures, Self::MessageChecksum]
            }
            Some(Version::V3Ipv6) => &[Self::Nothing, Self::Peers, Self::Chosen, Self::Signatures],
        }
    }

    /// Whether only the hosts 6 to 11 are heard.
    pub(crate) fn is_selective(self) -> bool {
        [Self::Peers, Self::Chosen].contains(&self)
    }
}

/// A datagram without its IP header.
pub(crate) type Datagram = (RxMeta, Vec<u8>);

impl Setup {
    /// Every kind of router: each protocol with each of its extras, and CARP's other dialects.
    pub(crate) fn every() -> Vec<Self> {
        let protocols = [None].into_iter().chain(Version::ALL.map(Some));
        let with_extras =
            |vrrp| Extra::of(vrrp).iter().map(move |&extra| Self { vrrp, extra, ..Self::new() });
        let others = Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Native);
        let dialects = others.map(|dialect| Self { dialect, ..Self::new() });
        protocols.flat_map(with_extras).chain(dialects).collect()
    }

    /// The virtual addresses.
    pub(crate) fn texts(self) -> &'static [&'static str] {
        const BOTH: [&str; 3] = ["10.99.0.100", "fe80::100", "2001:db8::100"];
        if self.extra == Extra::BothFamilies { &BOTH } else { self.family().texts() }
    }

    /// The version of VRRP whose hosts and groups this router has.
    pub(crate) fn family(self) -> Version {
        let carp = if self.extra == Extra::Ipv6 { Version::V3Ipv6 } else { Version::V3 };
        self.vrrp.unwrap_or(carp)
    }

    pub(crate) fn password(self) -> Option<Password> {
        (self.extra == Extra::Password).then(|| Password::new(PASSWORD).unwrap())
    }

    pub(crate) fn hmac(self) -> Option<HmacAuthenticator> {
        (self.extra == Extra::Signatures).then(|| signer(HMAC_KEY))
    }

    /// The only hosts that are heard, if there are such.
    pub(crate) fn only(self) -> Option<Vec<IpAddr>> {
        self.extra.is_selective().then(|| HEARD.map(|host| self.host(host)).collect())
    }

    /// Tells a router what its configuration does not.
    pub(crate) fn equip(self, router: &mut VirtualRouter) {
        if self.extra == Extra::BothFamilies {
            router.set_other_source(Some(Version::V3Ipv6.host(5)));
        }
        router.set_time_of_day(Instant::ZERO, EPOCH);
    }

    /// This router at host 5, which has not been started.
    pub(crate) fn member(self) -> Rig {
        let mut rig = Rig::of(self.config(), self.host(5));
        self.equip(&mut rig.router);
        rig
    }
}

pub(crate) fn signer((id, bytes): (u8, [u8; 32])) -> HmacAuthenticator {
    let key = HmacKey::new(id, &bytes).unwrap();
    let window = AntiReplay::Time(Window::new(5).unwrap());
    HmacAuthenticator::new(vec![key], id, HmacMode::Enforce, window).unwrap()
}

/// What an advert says. An advskew is a priority of 255 - advskew in VRRP, and 255/255 resigns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Said {
    pub(crate) advbase: u8,
    pub(crate) advskew: u8,
    pub(crate) demotion: u8,
}

/// The routers that a router hears: one host after the other, and all that they say is well written.
pub(crate) struct Peers {
    setup: Setup,
    key: Key,
    texts: &'static [&'static str],
    /// CARP's counter, which they share.
    counter: u64,
    password: Option<Password>,
    hmac: Option<HmacAuthenticator>,
}

impl Peers {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            setup,
            key: Key::new(KEY).unwrap(),
            texts: setup.texts(),
            counter: 100,
            password: setup.password(),
            hmac: setup.hmac(),
        }
    }

    pub(crate) fn with_key(self, key: &[u8]) -> Self {
        Self { key: Key::new(key).unwrap(), ..self }
    }

    pub(crate) fn with_texts(self, texts: &'static [&'static str]) -> Self {
        Self { texts, ..self }
    }

    /// The next advert has this counter.
    pub(crate) fn with_counter(self, counter: u64) -> Self {
        Self { counter: counter - 1, ..self }
    }

    pub(crate) fn with_password(self, password: &[u8]) -> Self {
        Self { password: Some(Password::new(password).unwrap()), ..self }
    }

    pub(crate) fn with_signer(self, hmac: Option<HmacAuthenticator>) -> Self {
        Self { hmac, ..self }
    }

    /// An advert of a host, as it arrives. Where there are two families, they take turns.
    pub(crate) fn advert(&mut self, now: Instant, host: u8, said: Said) -> Datagram {
        self.counter += 1;
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

    fn write_carp(&self, said: Said, message: &mut Vec<u8>) {
        let Said { advbase, advskew, demotion } = said;
        let signer = Authenticator::new(&self.key, id(42), &addresses(self.texts));
        let (interval, digest) = (CarpInterval { advbase, advskew }, signer.digest(self.counter));
        let counter = self.counter;
        carp::emit(&Advert { vhid: 42, interval, demotion, counter, digest }, message);
    }

    fn write_vrrp(
        &mut self,
        version: Version,
        now: Instant,
        meta: &RxMeta,
        said: Said,
        message: &mut Vec<u8>,
    ) {
        let (id, priority) = (id(42), Priority::from_wire(255 - said.advskew));
        let list = AddressList::new(&addresses(self.texts)).unwrap();
        if let (Version::V2, AddressList::Ipv4(addresses)) = (version, &list) {
            let interval = Seconds::try_from(secs(self.setup.advbase.into())).unwrap();
            let password = self.password.as_ref();
            let authentication = password.map_or(Authentication::None, Authentication::Password);
            let advert = v2::Outgoing { id, priority, interval, addresses, authentication };
            return v2::emit(&advert, message);
        }
        let bare = self.setup.extra == Extra::MessageChecksum;
        let form = if bare { ChecksumForm::Message } else { ChecksumForm::PseudoHeader };
        let interval = Centiseconds::try_from(ms(160 * u64::from(said.advbase) + 10)).unwrap();
        let carrier = Carrier::new(&list, meta.source, meta.destination, form).unwrap();
        let advert = v3::Outgoing { id, priority, interval, carrier };
        let since_epoch = EPOCH + now.saturating_since(Instant::ZERO);
        match self.hmac.as_mut().and_then(|hmac| hmac.sign(since_epoch, &advert)) {
            Some(trailer) => v3::emit_signed(&advert, &trailer, message),
            None => v3::emit(&advert, message),
        }
    }
}
