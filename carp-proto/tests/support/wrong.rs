//! Everything that can be wrong with an advert, and the label under which a router rejects it.

use carp_proto::auth::HmacMode;
use carp_proto::election::Dialect;
use carp_proto::{Instant, RxMeta};

use super::peers::{Datagram, Extra, HMAC_KEY, Peers, Said, signer};
use super::vrrp::Version;
use super::{Setup, secs};

/// The best that a peer can say without resigning: who acts on it gives way.
const EXCELLENT: Said = Said { advbase: 1, advskew: 1, demotion: 0 };

/// Who acts on it takes over, if it was a backup.
const RESIGNING: Said = Said { advbase: 255, advskew: 255, demotion: 0 };

/// One thing that is wrong with an otherwise excellent advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The source is of one family and the destination of the other.
    TwoFamilies,
    OtherFamily,
    ACarpAdvert,
    AVrrp2Advert,
    AVrrp3Advert,
    Empty,
    /// A byte less than a header.
    Short,
    /// A byte less than there should be.
    Cut,
    Version,
    Type,
    /// CARP's authlen, VRRP's count of addresses.
    LengthField,
    Long,
    Huge,
    UnexpectedSignature,
    Id,
    Ttl,
    TtlOfZero,
    /// Unicast to a member of the group, or the other way round.
    Destination,
    OtherGroup,
    /// From a host that is not one of those that are heard.
    Stranger,
    Checksum,
    OwnSource,
    OwnOtherSource,
    OwnCookie,
    NoInterval,
    OtherInterval,
    NoAddress,
    OtherAddresses,
    /// A type of authentication that is not the configured one.
    AuthType,
    /// RFC 2338's authentication header, without there being one.
    AuthHeader,
    Key,
    /// One bit of the digest, the password or the tag.
    AuthBit,
    Unsigned,
    UnknownKey,
    Stale,
}

impl Wrong {
    pub(crate) const ALL: [Self; 35] = [
        Self::TwoFamilies,
        Self::OtherFamily,
        Self::ACarpAdvert,
        Self::AVrrp2Advert,
        Self::AVrrp3Advert,
        Self::Empty,
        Self::Short,
        Self::Cut,
        Self::Version,
        Self::Type,
        Self::LengthField,
        Self::Long,
        Self::Huge,
        Self::UnexpectedSignature,
        Self::Id,
        Self::Ttl,
        Self::TtlOfZero,
        Self::Destination,
        Self::OtherGroup,
        Self::Stranger,
        Self::Checksum,
        Self::OwnSource,
        Self::OwnOtherSource,
        Self::OwnCookie,
        Self::NoInterval,
        Self::OtherInterval,
        Self::NoAddress,
        Self::OtherAddresses,
        Self::AuthType,
        Self::AuthHeader,
        Self::Key,
        Self::AuthBit,
        Self::Unsigned,
        Self::UnknownKey,
        Self::Stale,
    ];

    /// The label; `None` if such a router does not know this mistake.
    pub(crate) fn label(self, setup: Setup) -> Option<&'static str> {
        let Setup { vrrp, extra, dialect, .. } = setup;
        let carp = vrrp.is_none();
        let v2 = vrrp == Some(Version::V2);
        let v3 = !carp && !v2;
        let signed = extra == Extra::Signatures;
        let authenticated = carp || signed || extra == Extra::Password;
        let (known, label) = match self {
            Self::OtherFamily if carp => (extra != Extra::BothFamilies, "unknown-peer"),
            Self::TwoFamilies | Self::OtherFamily => (true, "malformed-ip"),
            Self::ACarpAdvert => (!carp, "foreign-protocol"),
            Self::AVrrp2Advert | Self::AVrrp3Advert if carp => (true, "foreign-protocol"),
            Self::AVrrp2Advert => (v3, "bad-version"),
            Self::AVrrp3Advert => (v2, "bad-version"),
            Self::Empty | Self::Short => (true, "too-short"),
            Self::Cut => (true, if carp { "too-short" } else { "bad-length" }),
            Self::Version => (true, "bad-version"),
            Self::Type => (true, "bad-type"),
            Self::LengthField | Self::Long | Self::Huge => (true, "bad-length"),
            Self::UnexpectedSignature => (v3 && !signed, "bad-length"),
            Self::Id => (true, "unknown-id"),
            Self::Ttl | Self::TtlOfZero => (true, "bad-ttl"),
            Self::Destination | Self::OtherGroup => (true, "unknown-peer"),
            Self::Stranger => (extra.is_selective(), "unknown-peer"),
            Self::Checksum => (true, "bad-checksum"),
            // Nobody is a peer of his own.
            Self::OwnSource => (!extra.is_selective(), "own-loop"),
            Self::OwnOtherSource => (extra == Extra::BothFamilies, "own-loop"),
            Self::OwnCookie => (carp && dialect == Dialect::OpenBsd, "own-loop"),
            Self::NoInterval => (!carp || !dialect.policy().zero_base, "bad-interval"),
            Self::OtherInterval => (v2, "bad-interval"),
            Self::NoAddress => (!carp, "bad-address-list"),
            Self::OtherAddresses => (carp, "bad-authentication"),
            Self::AuthType | Self::AuthHeader => (v2, "bad-authentication"),
            Self::Key | Self::AuthBit => (authenticated, "bad-authentication"),
            Self::Unsigned => {
                (signed && setup.hmac_mode == HmacMode::Enforce, "bad-authentication")
            }
            Self::UnknownKey | Self::Stale => (signed, "bad-authentication"),
        };
        known.then_some(label)
    }

    /// The advert, as it arrives at `now`.
    pub(crate) fn datagram(self, setup: Setup, now: Instant) -> Datagram {
        self.datagram_by(self.peers(setup), setup, now)
    }

    /// The same from others.
    pub(crate) fn datagram_by(self, peers: Peers, setup: Setup, now: Instant) -> Datagram {
        self.datagram_saying(EXCELLENT, peers, setup, now)
    }

    /// A resignation with the mistake.
    pub(crate) fn resignation(self, setup: Setup, now: Instant) -> Datagram {
        self.datagram_saying(RESIGNING, self.peers(setup), setup, now)
    }

    fn datagram_saying(self, said: Said, mut peers: Peers, setup: Setup, now: Instant) -> Datagram {
        let is = |wrong| self == wrong;
        let (mut meta, mut message) = peers.advert(self.signed_at(now), 9, said);
        self.change_carrier(setup, &mut meta);
        self.change_content(setup, &mut message);
        self.change_length(setup, &mut message);
        if !self.is_well_written() && message.len() >= 8 {
            sum(setup, &meta, &mut message);
        }
        if is(Self::Checksum) {
            message[7] ^= 1;
        }
        for (wrong, vrrp) in [
            (Self::ACarpAdvert, None),
            (Self::AVrrp2Advert, Some(Version::V2)),
            (Self::AVrrp3Advert, Some(Version::V3)),
        ] {
            if is(wrong) {
                message = plain(vrrp, now);
            }
        }
        (meta, message)
    }

    /// Whether nothing was changed behind the back of who wrote the advert.
    fn is_well_written(self) -> bool {
        [Self::Key, Self::OtherAddresses, Self::OwnCookie, Self::Stale].contains(&self)
    }

    /// Who writes it.
    fn peers(self, setup: Setup) -> Peers {
        let is = |wrong| self == wrong;
        let peers = Peers::new(setup);
        if is(Self::OtherAddresses) {
            peers.with_texts(&["10.99.0.101"])
        } else if is(Self::OwnCookie) {
            peers.with_counter(setup.seed)
        } else if is(Self::Unsigned) {
            peers.with_signer(None)
        } else if is(Self::UnknownKey) {
            peers.with_signer(Some(signer((9, HMAC_KEY.1))))
        } else if is(Self::UnexpectedSignature) {
            peers.with_signer(Some(signer(HMAC_KEY)))
        } else if is(Self::Key) && setup.extra == Extra::Signatures {
            peers.with_signer(Some(signer((HMAC_KEY.0, [8; 32]))))
        } else if is(Self::Key) {
            peers.with_key(b"another").with_password(b"another")
        } else {
            peers
        }
    }

    fn signed_at(self, now: Instant) -> Instant {
        let age = if self == Self::Stale { secs(60) } else { secs(0) };
        Instant::ZERO + now.saturating_since(Instant::ZERO + age)
    }

    fn change_carrier(self, setup: Setup, meta: &mut RxMeta) {
        let is = |wrong| self == wrong;
        let version = setup.family();
        let other = if version == Version::V3Ipv6 { Version::V3 } else { Version::V3Ipv6 };
        let [group, other_group] = [version, other].map(|it| it.meta(it.host(9)).destination);
        if is(Self::TwoFamilies) {
            meta.destination = other_group;
        }
        if is(Self::OtherFamily) {
            *meta = other.meta(other.host(9));
        }
        if is(Self::Ttl) {
            meta.ttl = 254;
        }
        if is(Self::TtlOfZero) {
            meta.ttl = 0;
        }
        if is(Self::Destination) {
            let unicast = setup.extra == Extra::Peers;
            meta.destination = if unicast { group } else { version.host(5) };
        }
        if is(Self::OtherGroup) {
            let neighbour = if group.is_ipv4() { "224.0.0.19" } else { "ff02::13" };
            meta.destination = neighbour.parse().unwrap();
        }
        if is(Self::Stranger) {
            meta.source = version.host(12);
        }
        if is(Self::OwnSource) {
            *meta = version.meta(version.host(5));
        }
        if is(Self::OwnOtherSource) {
            *meta = Version::V3Ipv6.meta(Version::V3Ipv6.host(5));
        }
    }

    fn change_content(self, setup: Setup, message: &mut Vec<u8>) {
        let is = |wrong| self == wrong;
        let (carp, v2) = (setup.vrrp.is_none(), setup.vrrp == Some(Version::V2));
        let last = message.len() - 1;
        if is(Self::Version) {
            message[0] = 0x10 | message[0] & 0x0f;
        }
        if is(Self::Type) {
            message[0] = message[0] & 0xf0 | 2;
        }
        if is(Self::LengthField) {
            message[3] += if carp { 2 } else { 1 };
        }
        if is(Self::Id) {
            message[1] = 43;
        }
        if is(Self::NoInterval) && carp {
            [message[2], message[5]] = [0, 0];
        } else if is(Self::NoInterval) {
            message[if v2 { 5..6 } else { 4..6 }].fill(0);
        }
        if is(Self::OtherInterval) {
            message[5] += 1;
        }
        if is(Self::NoAddress) {
            let size = if setup.family() == Version::V3Ipv6 { 16 } else { 4 };
            message.drain(8..8 + size * usize::from(message[3]));
            message[3] = 0;
        }
        if is(Self::AuthType) {
            message[4] ^= 1;
        }
        if is(Self::AuthHeader) {
            message[4] = 2;
        }
        if is(Self::AuthBit) {
            // The first byte of the password is not its padding.
            message[if v2 { last - 7 } else { last }] ^= 1;
        }
    }

    fn change_length(self, setup: Setup, message: &mut Vec<u8>) {
        let header = if setup.vrrp.is_none() { 36 } else { 8 };
        for (wrong, len) in [
            (Self::Empty, 0),
            (Self::Short, header - 1),
            (Self::Cut, message.len() - 1),
            (Self::Long, message.len() + 4),
            (Self::Huge, 9000),
        ] {
            if self == wrong {
                message.resize(len, 0);
            }
        }
    }
}

/// A good advert of another protocol.
fn plain(vrrp: Option<Version>, now: Instant) -> Vec<u8> {
    Peers::new(Setup { vrrp, ..Setup::new() }).advert(now, 9, EXCELLENT).1
}

/// Puts a checksum into an advert as the peers of this router do.
pub(crate) fn sum(setup: Setup, meta: &RxMeta, message: &mut [u8]) {
    Peers::new(setup).mend_checksum(meta, message);
}
