//! What is wrong between the speakers of a link, or can go wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use carp_proto::wire::ip::TTL;
use carp_proto::{MacAddr, Protocol, VirtualId};

use super::speaker::Speaker;
use super::{Count, MAX_SPEAKERS, Strays};

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Several speakers of one id and protocol were active at the same time.
    SeveralActive {
        /// The protocol.
        protocol: Protocol,
        /// The id.
        id: u8,
        /// The speakers.
        sources: Vec<IpAddr>,
    },
    /// Both versions of VRRP are spoken for one id.
    MixedVersions {
        /// The id.
        id: u8,
        /// The speakers of either.
        sources: Vec<IpAddr>,
    },
    /// A CARP and a VRRP router have the same id, and so the same virtual MAC.
    SharedMac {
        /// The id.
        id: u8,
        /// The MAC that both use, if they use one.
        mac: MacAddr,
        /// The speakers of either.
        sources: Vec<IpAddr>,
    },
    /// Adverts that a router has forwarded. Nobody acts on them.
    Forwarded {
        /// The id.
        id: u8,
        /// The sender.
        source: IpAddr,
        /// The TTL that was left.
        ttl: u8,
    },
    /// A digest that does not fit the key and the addresses that were given.
    DigestBad {
        /// The id.
        id: u8,
        /// The sender.
        source: IpAddr,
    },
    /// Packets that are no adverts.
    Unreadable {
        /// How many.
        packets: u64,
        /// Who sent the last of them.
        last: Option<IpAddr>,
    },
    /// Adverts with a wrong checksum, which say nothing.
    Damaged {
        /// How many.
        packets: u64,
        /// Who sent the last of them.
        last: Option<IpAddr>,
    },
    /// Adverts of more speakers than are kept apart.
    Overlooked {
        /// How many.
        packets: u64,
    },
}

impl Finding {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::SeveralActive { .. } => "several-active",
            Self::MixedVersions { .. } => "mixed-versions",
            Self::SharedMac { .. } => "shared-mac",
            Self::Forwarded { .. } => "forwarded",
            Self::DigestBad { .. } => "bad-authentication",
            Self::Unreadable { .. } => "unreadable",
            Self::Damaged { .. } => "bad-checksum",
            Self::Overlooked { .. } => "overlooked",
        }
    }

    /// The id that it is about.
    #[must_use]
    pub const fn id(&self) -> Option<u8> {
        match self {
            Self::SeveralActive { id, .. }
            | Self::MixedVersions { id, .. }
            | Self::SharedMac { id, .. }
            | Self::Forwarded { id, .. }
            | Self::DigestBad { id, .. } => Some(*id),
            Self::Unreadable { .. } | Self::Damaged { .. } | Self::Overlooked { .. } => None,
        }
    }

    /// The speakers that it is about.
    #[must_use]
    pub fn sources(&self) -> &[IpAddr] {
        match self {
            Self::SeveralActive { sources, .. }
            | Self::MixedVersions { sources, .. }
            | Self::SharedMac { sources, .. } => sources,
            Self::Forwarded { source, .. } | Self::DigestBad { source, .. } => {
                std::slice::from_ref(source)
            }
            Self::Unreadable { last, .. } | Self::Damaged { last, .. } => last.as_slice(),
            Self::Overlooked { .. } => &[],
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |sources: &[IpAddr]| {
            sources.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::SeveralActive { protocol, id, sources } => {
                let count = sources.len();
                write!(f, "{count} are active for {protocol} id {id}: {}", list(sources))
            }
            Self::MixedVersions { id, sources } => {
                write!(f, "id {id} is spoken for in VRRP version 2 and 3: {}", list(sources))
            }
            Self::SharedMac { id, mac, sources } => write!(
                f,
                "CARP and VRRP both use id {id}, whose virtual MAC is {mac} in both: {}",
                list(sources)
            ),
            Self::Forwarded { id, source, ttl } => {
                write!(f, "adverts of {source} for id {id} crossed a router: ttl {ttl}, not {TTL}")
            }
            Self::DigestBad { id, source } => write!(
                f,
                "the digest of {source} for id {id} does not fit: another key, or other addresses"
            ),
            Self::Unreadable { packets, last } => {
                write!(f, "packets that cannot be read: {packets}{}", Last(*last))
            }
            Self::Damaged { packets, last } => {
                write!(f, "packets with a bad checksum: {packets}{}", Last(*last))
            }
            Self::Overlooked { packets } => write!(
                f,
                "adverts of more than {MAX_SPEAKERS} speakers: {packets}; somebody makes them up"
            ),
        }
    }
}

struct Last(Option<IpAddr>);

impl fmt::Display for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |source| write!(f, ", the last from {source}"))
    }
}

/// All that there is to say, the worst first.
pub(super) fn findings(speakers: &[Speaker], strays: &Strays) -> Vec<Finding> {
    let mut findings = several_active(speakers);
    findings.extend(shared_ids(speakers));
    for speaker in speakers {
        let Speaker { id, source, ttl, .. } = *speaker;
        if ttl != TTL {
            findings.push(Finding::Forwarded { id, source, ttl });
        }
        if speaker.proof == super::Proof::DigestBad {
            findings.push(Finding::DigestBad { id, source });
        }
    }
    if let Count { packets: packets @ 1.., last } = strays.damaged {
        findings.push(Finding::Damaged { packets, last });
    }
    if let Count { packets: packets @ 1.., last } = strays.unreadable {
        findings.push(Finding::Unreadable { packets, last });
    }
    if strays.overlooked > 0 {
        findings.push(Finding::Overlooked { packets: strays.overlooked });
    }
    findings
}

/// Speakers stand next to each other if they have VLAN, id and protocol in common.
fn several_active(speakers: &[Speaker]) -> Vec<Finding> {
    let one_router =
        |a: &Speaker, b: &Speaker| (a.vlan, a.id, a.protocol) == (b.vlan, b.id, b.protocol);
    let mut findings = Vec::new();
    for group in speakers.chunk_by(one_router) {
        for is_ipv4 in [true, false] {
            let family = group.iter().filter(|it| it.source.is_ipv4() == is_ipv4);
            let family: Vec<&Speaker> = family.collect();
            let rivals = |one: &&&Speaker| family.iter().any(|other| one.overlaps(other));
            let sources: Vec<IpAddr> =
                family.iter().filter(rivals).map(|speaker| speaker.source).collect();
            if let [first, _, ..] = family[..]
                && !sources.is_empty()
            {
                let (protocol, id) = (first.protocol, first.id);
                findings.push(Finding::SeveralActive { protocol, id, sources });
            }
        }
    }
    findings
}

/// Ids that two protocols use over IPv4, where they have one virtual MAC. The BSDs have the same one
/// for CARP over IPv6.
fn shared_ids(speakers: &[Speaker]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let rooms: BTreeSet<_> = speakers.iter().map(|speaker| (speaker.vlan, speaker.id)).collect();
    for (vlan, number) in rooms {
        let Ok(id) = VirtualId::new(number) else { continue };
        let of = |protocol| -> BTreeSet<IpAddr> {
            let here = speakers.iter().filter(move |speaker| {
                (speaker.vlan, speaker.id, speaker.protocol) == (vlan, number, protocol)
            });
            let source = here.map(|speaker| speaker.source);
            source.filter(|source| protocol == Protocol::Carp || source.is_ipv4()).collect()
        };
        let (carp, v2, v3) = (of(Protocol::Carp), of(Protocol::Vrrp2), of(Protocol::Vrrp3));
        let vrrp = &v2 | &v3;
        if !carp.is_empty() && !vrrp.is_empty() {
            let sources = (&carp | &vrrp).into_iter().collect();
            let mac = MacAddr::virtual_router(id);
            findings.push(Finding::SharedMac { id: number, mac, sources });
        }
        if !v2.is_empty() && !v3.is_empty() {
            let sources = vrrp.into_iter().collect();
            findings.push(Finding::MixedVersions { id: number, sources });
        }
    }
    findings
}
