//! Values out of a fuzzer's bytes. All of them are valid.

use core::net::IpAddr;
use core::time::Duration;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::{Extra, Setup, Step, Version, ipv4_host};
use crate::address::VirtualAddress;
use crate::auth::Key;
use crate::election::{AnnouncePlan, Bar, Dialect, Fault, Input, LinkState};
use crate::id::{Demotion, MacAddr, Priority, VirtualId};
use crate::interval::{AdvBase, AdvSkew, CarpInterval, Centiseconds, Seconds};
use crate::router::RouterConfig;
use crate::time::Instant;
use crate::wire::ip::RxMeta;
use crate::wire::vrrp::{ChecksumForm, Sequence, Trailer, trailer};
use crate::wire::{arp, carp, ndp};

/// Implements [`Arbitrary`] for types by an expression over the bytes.
macro_rules! arbitrary {
    ($($type:ty: |$bytes:ident| $value:expr;)*) => {$(
        impl<'a> Arbitrary<'a> for $type {
            fn arbitrary($bytes: &mut Unstructured<'a>) -> Result<Self> {
                Ok($value)
            }
        }
    )*};
}

arbitrary! {
    VirtualId: |bytes| VirtualId::new(bytes.int_in_range(1..=255)?).expect("1 to 255");
    Priority: |bytes| Priority::from_wire(bytes.arbitrary()?);
    Demotion: |bytes| Demotion::clamped(u32::from(bytes.arbitrary::<u8>()?));
    MacAddr: |bytes| MacAddr(bytes.arbitrary()?);
    AdvBase: |bytes| AdvBase::new(bytes.int_in_range(0..=254)?).expect("0 to 254");
    AdvSkew: |bytes| AdvSkew::new(bytes.int_in_range(0..=254)?).expect("0 to 254");
    CarpInterval: |bytes| CarpInterval {
        advbase: bytes.arbitrary()?,
        advskew: bytes.arbitrary()?,
    };
    Seconds: |bytes| Seconds::from_wire(bytes.arbitrary()?);
    Centiseconds: |bytes| Centiseconds::from_wire(bytes.arbitrary()?);
    Instant: |bytes| Instant::from_nanos(bytes.arbitrary()?);
    RxMeta: |bytes| RxMeta {
        source: bytes.arbitrary()?,
        destination: bytes.arbitrary()?,
        ttl: bytes.arbitrary()?,
    };
    Key: |bytes| {
        let len = bytes.int_in_range(1..=Key::MAX_LEN)?;
        Key::new(bytes.bytes(len)?).expect("1 to 19 bytes")
    };
    Dialect: |bytes| *bytes.choose(&Dialect::ALL)?;
    Version: |bytes| *bytes.choose(&Version::ALL)?;
    ChecksumForm: |bytes| {
        *bytes.choose(&[ChecksumForm::Message, ChecksumForm::PseudoHeader])?
    };
    Sequence: |bytes| Sequence::from_wire(bytes.arbitrary()?);
    Trailer: |bytes| Trailer {
        extension: bytes.arbitrary()?,
        key_id: bytes.arbitrary()?,
        reserved: bytes.arbitrary()?,
        sequence: bytes.arbitrary()?,
        tag: bytes.arbitrary::<[u8; trailer::TAG_LEN]>()?,
    };
    carp::Advert: |bytes| carp::Advert {
        vhid: bytes.arbitrary()?,
        interval: bytes.arbitrary()?,
        demotion: bytes.arbitrary()?,
        counter: bytes.arbitrary()?,
        digest: bytes.arbitrary()?,
    };
    arp::Announcement: |bytes| arp::Announcement {
        mac: bytes.arbitrary()?,
        address: bytes.arbitrary()?,
    };
    LinkState: |bytes| match bytes.int_in_range(0..=2)? {
        0 => LinkState::Down,
        1 => LinkState::NoAddress,
        _ => LinkState::Up { source: bytes.arbitrary()? },
    };
    Fault: |bytes| match bytes.int_in_range(0..=7)? {
        0 => Fault::Acquire { code: bytes.arbitrary()? },
        1 => Fault::AcquireTimeout,
        2 => Fault::Release { code: bytes.arbitrary()? },
        3 => Fault::AddressLost,
        4 => Fault::Refused,
        5 => Fault::PrepareTimeout,
        6 => Fault::AddressInUse,
        _ => Fault::Barred,
    };
    Bar: |bytes| *bytes.choose(&[Bar::Nothing, Bar::Silence, Bar::Takeover])?;
    Input: |bytes| match bytes.int_in_range(0..=18)? {
        0 => Input::Start,
        1 => Input::Stop,
        2 => Input::Timeout,
        3 => Input::Yield,
        4 => Input::Permit(bytes.arbitrary()?),
        5 => Input::StepDown,
        6 => Input::Demotion(bytes.arbitrary()?),
        7 => Input::Link(bytes.arbitrary()?),
        8 => Input::Prepared,
        9 => Input::Refused,
        10 => Input::Acquired,
        11 => Input::AddressLost,
        12 => Input::AddressExpired,
        13 => Input::AnnouncementHeard,
        14 => Input::AddressInUse,
        15 => Input::Fault(bytes.arbitrary()?),
        16 => Input::Held(bytes.arbitrary()?),
        17 => Input::Bar(bytes.arbitrary()?),
        _ => Input::AwaitsHandover(bytes.arbitrary()?),
    };
    AnnouncePlan: |bytes| AnnouncePlan {
        burst: bytes.arbitrary()?,
        repeat: [
            some_millis(bytes)?, some_millis(bytes)?, some_millis(bytes)?, some_millis(bytes)?,
        ],
        refresh: some_millis(bytes)?,
    };
    Setup: |bytes| {
        let vrrp = bytes.arbitrary()?;
        let preempt_delay = some_millis(bytes)?.unwrap_or(Duration::ZERO);
        Setup {
            vrrp,
            extra: *bytes.choose(Extra::of(vrrp))?,
            dialect: bytes.arbitrary()?,
            advbase: bytes.arbitrary()?,
            advskew: bytes.arbitrary()?,
            preempt: bytes.arbitrary()?,
            preempt_delay,
            prepare: some_millis(bytes)?,
            announce: bytes.arbitrary()?,
            handover: some_millis(bytes)?,
            source: ipv4_host(super::OWN_HOST),
            seed: bytes.arbitrary()?,
            ..Setup::new()
        }
        .valid()
    };
    RouterConfig: |bytes| bytes.arbitrary::<Setup>()?.config();
    Step: |bytes| match bytes.int_in_range(0..=7)? {
        0 => Step::Sleep(Duration::from_millis(bytes.arbitrary::<u32>()?.into())),
        1 => Step::Deadline(Duration::ZERO),
        2 => Step::Deadline(millis(bytes)?),
        3 => Step::Input(bytes.arbitrary()?),
        4 => Step::LinkUp(host(bytes)?),
        5 => Step::Hear { source: host(bytes)?, said: bytes.arbitrary()? },
        6 => Step::Damaged {
            source: host(bytes)?,
            said: bytes.arbitrary()?,
            bit: bytes.arbitrary()?,
        },
        _ => Step::Raw {
            source: host(bytes)?,
            to_group: bytes.arbitrary()?,
            ttl: bytes.arbitrary()?,
            mended: bytes.arbitrary()?,
            message: bytes.arbitrary()?,
        },
    };
}

impl<'a> Arbitrary<'a> for VirtualAddress {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        let ip: IpAddr = bytes.arbitrary()?;
        VirtualAddress::new(ip, None).map_err(|_| arbitrary::Error::IncorrectFormat)
    }
}

impl<'a> Arbitrary<'a> for ndp::Announcement {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            mac: bytes.arbitrary()?,
            address: bytes.arbitrary()?,
            router: bytes.arbitrary()?,
            overrides: bytes.arbitrary()?,
        })
    }
}

/// One of the few hosts on the link, so that the same one comes again; one is the router itself.
fn host(bytes: &mut Unstructured<'_>) -> Result<u8> {
    bytes.int_in_range(4..=12)
}

fn millis(bytes: &mut Unstructured<'_>) -> Result<Duration> {
    Ok(Duration::from_millis(bytes.arbitrary::<u16>()?.into()))
}

fn some_millis(bytes: &mut Unstructured<'_>) -> Result<Option<Duration>> {
    if bytes.arbitrary()? { millis(bytes).map(Some) } else { Ok(None) }
}

/// All the bytes that there are choose the scenario.
#[cfg(feature = "sim")]
impl<'a> Arbitrary<'a> for crate::sim::Scenario {
    fn arbitrary(bytes: &mut Unstructured<'a>) -> Result<Self> {
        Ok(crate::sim::scenario_of(bytes.bytes(bytes.len())?))
    }
}
