//! Strategies of proptest.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use proptest::prelude::*;

use super::{Extra, HEARD, OWN_HOST, Said, Setup, Step, Version};
use crate::address::VirtualAddress;
use crate::auth::HmacMode;
use crate::election::{AnnouncePlan, Bar, Dialect, Fault, Input, LinkState};
use crate::id::{Demotion, Priority, VirtualId};
use crate::interval::{CarpInterval, Centiseconds, Seconds};
use crate::router::RouterConfig;
use crate::wire::carp;
use crate::wire::vrrp::{ChecksumForm, Sequence, Trailer, trailer};

/// Any id.
pub fn any_id() -> impl Strategy<Value = VirtualId> + Clone {
    (1..=255_u8).prop_map(|id| VirtualId::new(id).expect("1 to 255"))
}

/// Any priority, 0 and 255 among them.
pub fn any_priority() -> impl Strategy<Value = Priority> + Clone {
    any::<u8>().prop_map(Priority::from_wire)
}

/// Any interval of VRRP version 2 that can stand on the wire.
pub fn any_seconds() -> impl Strategy<Value = Seconds> + Clone {
    any::<u8>().prop_map(Seconds::from_wire)
}

/// Any interval of VRRP version 3 that can stand on the wire.
pub fn any_centiseconds() -> impl Strategy<Value = Centiseconds> + Clone {
    any::<u16>().prop_map(Centiseconds::from_wire)
}

/// Any demotion.
pub fn any_demotion() -> impl Strategy<Value = Demotion> + Clone {
    (0..300_u32).prop_map(Demotion::clamped)
}

/// An address that a virtual router can have, of either family.
pub fn any_virtual_address() -> impl Strategy<Value = VirtualAddress> + Clone {
    let v4 = (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(ip, len)| (IpAddr::from(ip), len));
    let v6 = (any::<[u8; 16]>(), 0..=128_u8).prop_map(|(ip, len)| (IpAddr::from(ip), len));
    prop_oneof![v4, v6]
        .prop_filter_map("no host's address", |(ip, len)| VirtualAddress::new(ip, Some(len)).ok())
}

/// A list of 1 to 255 IPv4 addresses, as a message of VRRP can carry.
pub fn any_ipv4_list() -> impl Strategy<Value = Vec<Ipv4Addr>> + Clone {
    prop::collection::vec(any::<[u8; 4]>().prop_map(Ipv4Addr::from), 1..=255)
}

/// A list of 1 to 255 IPv6 addresses that begins with a link-local one, as a message of VRRP can carry.
pub fn any_ipv6_list() -> impl Strategy<Value = Vec<Ipv6Addr>> + Clone {
    let link_local = any::<[u8; 16]>().prop_map(|mut octets| {
        [octets[0], octets[1]] = [0xfe, 0x80];
        octets.into()
    });
    let others = prop::collection::vec(any::<[u8; 16]>().prop_map(Ipv6Addr::from), 0..=254);
    (link_local, others).prop_map(|(first, others): (Ipv6Addr, _)| [vec![first], others].concat())
}

/// Either form of the checksum over IPv4.
pub fn any_checksum_form() -> impl Strategy<Value = ChecksumForm> + Clone {
    prop_oneof![Just(ChecksumForm::Message), Just(ChecksumForm::PseudoHeader)]
}

/// Any advert of CARP. Its digest is random.
pub fn any_carp_advert() -> impl Strategy<Value = carp::Advert> + Clone {
    (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>(), any::<u64>(), any::<[u8; 20]>()).prop_map(
        |(vhid, advbase, advskew, demotion, counter, digest)| carp::Advert {
            vhid,
            interval: CarpInterval { advbase, advskew },
            demotion,
            counter,
            digest,
        },
    )
}

/// Any signature of VRRP version 3. Its tag is random.
pub fn any_trailer() -> impl Strategy<Value = Trailer> + Clone {
    let fields = (any::<u8>(), any::<u8>(), any::<u16>(), any::<u64>());
    (fields, any::<[u8; trailer::TAG_LEN]>()).prop_map(
        |((extension, key_id, reserved, sequence), tag)| Trailer {
            extension,
            key_id,
            reserved,
            sequence: Sequence::from_wire(sequence),
            tag,
        },
    )
}

/// Any input. The source of a link that is up is the router's [own host](OWN_HOST) or the next one, 10.99.0.5 or
/// 10.99.0.6, `fe80::5` or `fe80::6`, whatever the router's family is.
pub fn any_input() -> impl Strategy<Value = Input> {
    let up = (any_version(), OWN_HOST..OWN_HOST + 2).prop_map(|(version, host)| {
        let source = version.host(host);
        Input::Link(LinkState::Up { source })
    });
    prop_oneof![9 => any_other_input(), 1 => up]
}

/// Any input but that the link is up.
fn any_other_input() -> impl Strategy<Value = Input> {
    prop_oneof![
        Just(Input::Start),
        Just(Input::Stop),
        Just(Input::Timeout),
        Just(Input::Yield),
        any::<bool>().prop_map(Input::Permit),
        Just(Input::StepDown),
        any_demotion().prop_map(Input::Demotion),
        any::<bool>().prop_map(Input::Held),
        any::<bool>().prop_map(Input::AwaitsHandover),
        prop::sample::select(&[Bar::Nothing, Bar::Silence, Bar::Takeover][..]).prop_map(Input::Bar),
        Just(Input::Link(LinkState::Down)),
        Just(Input::Link(LinkState::NoAddress)),
        Just(Input::Prepared),
        Just(Input::Refused),
        Just(Input::Acquired),
        Just(Input::AddressLost),
        Just(Input::AddressExpired),
        Just(Input::AnnouncementHeard),
        Just(Input::AddressInUse),
        any_fault().prop_map(Input::Fault),
    ]
}

/// Any fault.
pub fn any_fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        any::<i32>().prop_map(|code| Fault::Acquire { code }),
        Just(Fault::AcquireTimeout),
        any::<i32>().prop_map(|code| Fault::Release { code }),
        Just(Fault::AddressLost),
        Just(Fault::Refused),
        Just(Fault::PrepareTimeout),
        Just(Fault::AddressInUse),
        Just(Fault::Barred),
    ]
}

/// What an advert may say: more often than not something usual, at times a resignation.
pub fn any_said() -> impl Strategy<Value = Said> {
    let interval = prop_oneof![
        6 => (0..3_u8, any::<u8>()),
        1 => (any::<u8>(), any::<u8>()),
        2 => Just((255, 255)),
    ];
    (interval, 0..3_u8).prop_map(|((advbase, advskew), demotion)| Said {
        advbase,
        advskew,
        demotion,
    })
}

/// One step. The hosts that speak are those that are heard everywhere, more often than not; at times they are the
/// router's [own](OWN_HOST), or strangers to those who do not hear all. Half of the datagrams of any bytes have a
/// checksum and a digest that fit.
pub fn any_step() -> impl Strategy<Value = Step> {
    let over = prop_oneof![8 => Just(0), 2 => 0..50_u64, 1 => 0..10_000_u64];
    let host = prop_oneof![
        8 => HEARD.start() + 1..HEARD.end() + 1,
        1 => Just(OWN_HOST),
        1 => OWN_HOST - 1..HEARD.end() + 2,
    ];
    prop_oneof![
        2 => (0..5000_u64).prop_map(|time| Step::Sleep(Duration::from_millis(time))),
        8 => over.prop_map(|over| Step::Deadline(Duration::from_millis(over))),
        6 => Just(Step::Input(Input::Acquired)),
        6 => prop_oneof![
            9 => any_other_input().prop_map(Step::Input),
            1 => (OWN_HOST..OWN_HOST + 2).prop_map(Step::LinkUp),
        ],
        6 => (host.clone(), any_said()).prop_map(|(source, said)| Step::Hear { source, said }),
        1 => (host.clone(), any_said(), any::<u16>())
            .prop_map(|(source, said, bit)| Step::Damaged { source, said, bit }),
        1 => (host, any::<(bool, bool)>(), prop_oneof![Just(255), any::<u8>()], any_bytes())
            .prop_map(|(source, (to_group, mended), ttl, message)| {
                Step::Raw { source, to_group, ttl, message, mended }
            }),
    ]
}

/// Bytes, most of which begin as an advert does.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![Just(0x21), Just(0x31), any::<u8>()];
    (start, prop::collection::vec(any::<u8>(), 0..80)).prop_map(|(start, mut bytes)| {
        if let [first, id, ..] = &mut bytes[..] {
            (*first, *id) = (start, super::ID);
        }
        bytes
    })
}

/// A sequence of steps that begins with a running router.
pub fn any_steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(any_step(), 0..60).prop_map(|steps| {
        let mut all = vec![Step::Input(Input::Start), Step::LinkUp(OWN_HOST)];
        all.extend(steps);
        all
    })
}

/// Any dialect.
pub fn any_dialect() -> impl Strategy<Value = Dialect> + Clone {
    prop::sample::select(&Dialect::ALL[..])
}

/// What may be done with signatures.
pub fn any_hmac_mode() -> impl Strategy<Value = HmacMode> + Clone {
    prop::sample::select(&[HmacMode::Receive, HmacMode::Permissive, HmacMode::Enforce][..])
}

/// Any protocol of VRRP.
pub fn any_version() -> impl Strategy<Value = Version> + Clone {
    prop::sample::select(&Version::ALL[..])
}

/// CARP in one of its dialects, or VRRP.
pub fn any_protocol() -> impl Strategy<Value = (Option<Version>, Dialect)> {
    prop_oneof![
        any_dialect().prop_map(|dialect| (None, dialect)),
        any_version().prop_map(|version| (Some(version), Dialect::Native)),
    ]
}

prop_compose! {
    /// When to announce: from one to ten announcements at once, and times that ascend, of at most a minute.
    pub fn any_announce_plan()(
        burst in 1..=10_u8,
        mut repeat in prop::collection::vec(1..60_000_u64, 0..=4),
        refresh in prop::option::of(1_000..60_000_u64),
    ) -> AnnouncePlan {
        repeat.sort_unstable();
        let mut times = repeat.into_iter().map(Duration::from_millis);
        let repeat = [(); 4].map(|()| times.next());
        AnnouncePlan { burst, repeat, refresh: refresh.map(Duration::from_millis) }
    }
}

prop_compose! {
    /// The parameters of any router. The announcements, the handover and the delay of preemption are each the usual
    /// ones in half of them, and their times are at most a minute. What is prepared has two seconds, and the router's own
    /// address and CARP's first counter are always the same.
    pub fn any_setup()(
        (vrrp, dialect) in any_protocol(),
        extra: prop::sample::Index,
        advbase in prop_oneof![4 => 1..3_u8, 1 => 0..255_u8],
        advskew in prop_oneof![7 => 0..255_u8, 1 => Just(0)],
        preempt: bool,
        prepares: bool,
        preempt_delay in prop_oneof![3 => Just(0), 2 => 1..5_000_u64, 1 => 1..60_000_u64],
        announce in prop_oneof![Just(AnnouncePlan::default()), any_announce_plan()],
        handover in prop::option::of(prop_oneof![2 => 0..5_000_u64, 1 => 0..60_000_u64]),
        hmac_mode in any_hmac_mode(),
        second_key: bool,
    ) -> Setup {
        let extra: Extra = *extra.get(Extra::of(vrrp));
        let prepare = prepares.then_some(Duration::from_secs(2));
        let preempt_delay = Duration::from_millis(preempt_delay);
        let handover = handover.map(Duration::from_millis);
        let ranks = Setup { vrrp, extra, dialect, advbase, advskew, preempt, ..Setup::new() };
        let signs = Setup { hmac_mode, second_key, ..ranks };
        Setup { preempt_delay, prepare, announce, handover, ..signs }.valid()
    }
}

/// The configuration of any router.
pub fn any_config() -> impl Strategy<Value = RouterConfig> {
    any_setup().prop_map(Setup::config)
}

/// Any scenario of [`random_scenario`](crate::sim::random_scenario)'s kinds, in which every invariant has to hold. What
/// it shrinks to has fewer hosts and faults; [`minimise`](crate::sim::minimise) makes it smaller still.
#[cfg(feature = "sim")]
pub fn any_scenario() -> impl Strategy<Value = crate::sim::Scenario> {
    prop::collection::vec(any::<u8>(), 0..400).prop_map(|bytes| crate::sim::scenario_of(&bytes))
}
