//! VRRP routers for the tests, and the adverts of their peers.

use std::time::Duration;

use bytes::BytesMut;
use carp_proto::auth::{HmacAuthenticator, Password};
use carp_proto::election::Input;
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{AddressList, Authentication, ChecksumForm, v2};
use carp_proto::{
    Action, Centiseconds, ChecksumMode, Priority, RouterConfig, RxMeta, Seconds, Transmit, Vrrp2,
    Vrrp3,
};

pub(crate) use carp_proto::testing::Version;

use super::{Effect, Rig, addresses, drain, id, ms, secs};

/// The parameters of one router of the tests' virtual router, id 42.
#[derive(Clone, Debug)]
pub(crate) struct VrrpSetup {
    pub(crate) version: Version,
    pub(crate) priority: u8,
    pub(crate) interval: Duration,
    pub(crate) preempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) password: Option<Password>,
    pub(crate) checksum: ChecksumMode,
    pub(crate) hmac: Option<HmacAuthenticator>,
}

impl VrrpSetup {
    /// Priority 100, an advert every second, as the host 5.
    pub(crate) fn new(version: Version) -> Self {
        Self {
            version,
            priority: 100,
            interval: secs(1),
            preempt: true,
            preempt_delay: ms(0),
            password: None,
            checksum: ChecksumMode::Auto,
            hmac: None,
        }
    }

    pub(crate) fn config(&self) -> RouterConfig {
        let priority = Priority::from_wire(self.priority);
        let list = addresses(self.version.texts());
        let config = match self.version {
            Version::V2 => {
                let interval = Seconds::try_from(self.interval).unwrap();
                let password = self.password.clone();
                RouterConfig::vrrp2(id(42), list, Vrrp2 { priority, interval, password })
            }
            Version::V3 | Version::V3Ipv6 => {
                let interval = Centiseconds::try_from(self.interval).unwrap();
                let (checksum, hmac) = (self.checksum, self.hmac.clone());
                RouterConfig::vrrp3(id(42), list, Vrrp3 { priority, interval, checksum, hmac })
            }
        };
        config.unwrap().with_preempt(self.preempt).with_preempt_delay(self.preempt_delay)
    }

    pub(crate) fn rig(&self) -> Rig {
        Rig::of(self.config(), self.version.host(5))
    }
}

/// An advert of a peer for the tests' virtual router, as it comes from `meta`'s source.
pub(crate) fn advert(
    version: Version,
    meta: &RxMeta,
    priority: u8,
    interval: Duration,
    form: ChecksumForm,
) -> Vec<u8> {
    let list = AddressList::new(&addresses(version.texts())).unwrap();
    let priority = Priority::from_wire(priority);
    let mut message = Vec::new();
    match (version, &list) {
        (Version::V2, AddressList::Ipv4(list)) => {
            let interval = Seconds::try_from(interval).unwrap();
            let authentication = Authentication::None;
            let advert =
                v2::Outgoing { id: id(42), priority, interval, addresses: list, authentication };
            v2::emit(&advert, &mut message);
        }
        (Version::V2, AddressList::Ipv6(_)) => panic!("version 2 has no IPv6"),
        (Version::V3 | Version::V3Ipv6, list) => {
            let interval = Centiseconds::try_from(interval).unwrap();
            let carrier = Carrier::new(list, meta.source, meta.destination, form).unwrap();
            v3::emit(&v3::Outgoing { id: id(42), priority, interval, carrier }, &mut message);
        }
    }
    message
}

/// The priority of an advert that was sent, whose checksum and shape are right.
pub(crate) fn priority_of(transmit: &Transmit<'_>) -> u8 {
    let Transmit { source, destination, payload, .. } = *transmit;
    if payload[0] >> 4 == v2::VERSION {
        let parsed = v2::parse(payload).unwrap();
        assert!(parsed.checksum_ok);
        return parsed.advert.priority.get();
    }
    let parsed = v3::parse(&RxMeta { source, destination, ttl: 255 }, payload).unwrap();
    assert!(parsed.checksum.is_ok());
    parsed.advert.priority.get()
}

/// The datagrams that a router wants sent, as its peers receive them.
pub(crate) fn sent_by(rig: &mut Rig) -> Vec<(RxMeta, Vec<u8>)> {
    let mut scratch = BytesMut::new();
    let mut sent = Vec::new();
    while let Some(action) = rig.router.poll_action(&mut scratch) {
        if let Action::Send(transmit) = action {
            let Transmit { source, destination, payload, .. } = transmit;
            sent.push((RxMeta { source, destination, ttl: 255 }, payload.to_vec()));
        }
    }
    sent
}

impl Rig {
    /// Lets its next deadline pass: what it sends then.
    pub(crate) fn advertises(&mut self) -> Vec<(RxMeta, Vec<u8>)> {
        let wait = self.wait();
        self.passes(wait);
        self.router.handle(self.now, Input::Timeout);
        sent_by(self)
    }

    /// A valid VRRP advert with an interval of 1 s.
    pub(crate) fn hears_vrrp(&mut self, version: Version, host: u8, priority: u8) -> Vec<Effect> {
        self.hears_every(version, host, priority, secs(1))
    }

    pub(crate) fn hears_every(
        &mut self,
        version: Version,
        host: u8,
        priority: u8,
        interval: Duration,
    ) -> Vec<Effect> {
        let meta = version.meta(version.host(host));
        let message = advert(version, &meta, priority, interval, ChecksumForm::PseudoHeader);
        assert_eq!(self.router.handle_datagram(self.now, &meta, &message), Ok(()));
        drain(&mut self.router)
    }

    /// An owner that has just been started: it has asked for the addresses.
    pub(crate) fn started(mut self) -> (Self, Vec<Effect>) {
        assert_eq!(self.input(Input::Start), []);
        let effects = self.link_up();
        (self, effects)
    }
}
