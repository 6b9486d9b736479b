//! What is counted: each case does one thing again and again.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use bytes::BytesMut;
use carp_benches::Result;
use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Verdict, Window};
use carp_proto::election::{AnnouncePlan, Input, LinkState, State};
use carp_proto::wire::carp;
use carp_proto::wire::ip::{GROUP_IPV4, TTL};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{
    AddressList, Authentication, ChecksumForm, Expectations, Ipv4List, Senders, Version, v2,
    validate,
};
use carp_proto::{
    Action, Authenticator, CarpInterval, Centiseconds, Instant, Key, Priority, RouterConfig,
    RxMeta, Seconds, VirtualAddress, VirtualId, VirtualRouter, Vrrp2, Vrrp3,
};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const META: RxMeta = RxMeta { source: PEER, destination: IpAddr::V4(GROUP_IPV4), ttl: TTL };

/// A case: so many times.
pub(crate) type Case = fn(u64) -> Result<()>;

pub(crate) const CASES: [(&str, Case); 12] = [
    ("carp: parse an advert", carp_parse),
    ("carp: verify a digest", carp_verify),
    ("carp: sign and emit an advert", carp_emit),
    ("carp: a backup hears an advert", carp_hear),
    ("vrrp2: a backup hears an advert", vrrp2_hear),
    ("vrrp2: emit an advert", vrrp2_emit),
    ("vrrp3: parse and validate an advert", vrrp3_validate),
    ("vrrp3: a backup hears an advert", vrrp3_hear),
    ("vrrp3: emit an advert", vrrp3_emit),
    ("vrrp3: sign and emit an advert", vrrp3_sign),
    ("vrrp3: verify a signature", vrrp3_verify),
    ("an active router's deadline, advert included", step),
];

fn id() -> Result<VirtualId> {
    Ok(VirtualId::new(42)?)
}

fn addresses() -> Result<Vec<VirtualAddress>> {
    Ok(vec!["192.0.2.100".parse()?])
}

fn authenticator() -> Result<Authenticator> {
    Ok(Authenticator::new(&Key::new(b"secret")?, id()?, &addresses()?))
}

fn carp_advert(counter: u64, authenticator: &Authenticator) -> carp::Advert {
    let interval = CarpInterval { advbase: 1, advskew: 0 };
    carp::Advert { vhid: 42, interval, demotion: 0, counter, digest: authenticator.digest(counter) }
}

fn carp_message() -> Result<Vec<u8>> {
    let mut message = Vec::new();
    carp::emit(&carp_advert(7, &authenticator()?), &mut message);
    Ok(message)
}

fn carp_parse(times: u64) -> Result<()> {
    let message = carp_message()?;
    for _ in 0..times {
        assert!(black_box(carp::parse(black_box(&message))?).checksum_ok);
    }
    Ok(())
}

fn carp_verify(times: u64) -> Result<()> {
    let authenticator = authenticator()?;
    let digest = authenticator.digest(7);
    for _ in 0..times {
        assert!(authenticator.verify(black_box(7), black_box(&digest)));
    }
    Ok(())
}

fn carp_emit(times: u64) -> Result<()> {
    let (authenticator, mut buffer) = (authenticator()?, BytesMut::with_capacity(64));
    for counter in 0..times {
        buffer.clear();
        carp::emit(&carp_advert(black_box(counter), &authenticator), &mut buffer);
        black_box(&buffer);
    }
    Ok(())
}

fn carp_hear(times: u64) -> Result<()> {
    let config = RouterConfig::carp(id()?, &Key::new(b"secret")?, addresses()?, 1)?;
    hear(backup(config), &carp_message()?, times)
}

fn vrrp2_hear(times: u64) -> Result<()> {
    let config = RouterConfig::vrrp2(id()?, addresses()?, Vrrp2::default())?;
    let message = advert_of(config.clone())?;
    hear(backup(config), &message, times)
}

fn vrrp3_hear(times: u64) -> Result<()> {
    let config = RouterConfig::vrrp3(id()?, addresses()?, Vrrp3::default())?;
    let message = advert_of(config.clone())?;
    hear(backup(config), &message, times)
}

fn hear(mut router: VirtualRouter, message: &[u8], times: u64) -> Result<()> {
    for _ in 0..times {
        router.handle_datagram(Instant::ZERO, &META, black_box(message))?;
    }
    assert_eq!(router.state(), State::Backup);
    Ok(())
}

fn vrrp3_validate(times: u64) -> Result<()> {
    let message = advert_of(RouterConfig::vrrp3(id()?, addresses()?, Vrrp3::default())?)?;
    let expected = Expectations {
        id: id()?,
        version: Version::V3 { trailer: false },
        min_ttl: TTL,
        senders: Senders::Group { only: &[] },
        own_source: Some(OWN),
    };
    for _ in 0..times {
        let valid = validate(black_box(&META), black_box(&message), &expected)?;
        assert_eq!(valid.addresses().len(), 1);
    }
    Ok(())
}

fn vrrp2_emit(times: u64) -> Result<()> {
    let list = Ipv4List::new([Ipv4Addr::new(192, 0, 2, 100)])?;
    let advert = v2::Outgoing {
        id: id()?,
        priority: Priority::DEFAULT,
        interval: Seconds::DEFAULT,
        addresses: &list,
        authentication: Authentication::None,
    };
    let mut buffer = BytesMut::with_capacity(64);
    for _ in 0..times {
        buffer.clear();
        v2::emit(black_box(&advert), &mut buffer);
        black_box(&buffer);
    }
    Ok(())
}

fn vrrp3_emit(times: u64) -> Result<()> {
    let list = AddressList::new(&addresses()?)?;
    let (advert, mut buffer) = (outgoing(&list)?, BytesMut::with_capacity(64));
    for _ in 0..times {
        buffer.clear();
        v3::emit(black_box(&advert), &mut buffer);
        black_box(&buffer);
    }
    Ok(())
}

fn vrrp3_sign(times: u64) -> Result<()> {
    let (mut hmac, list) = (signer()?, AddressList::new(&addresses()?)?);
    let (advert, mut buffer) = (outgoing(&list)?, BytesMut::with_capacity(64));
    for second in 0..times {
        buffer.clear();
        let trailer = hmac.sign(Duration::from_secs(second), &advert).ok_or("it signs")?;
        v3::emit_signed(&advert, &trailer, &mut buffer);
        black_box(&buffer);
    }
    Ok(())
}

/// Two adverts in turn, so far apart that the mark of the one is too old to refuse the other: the same signature is no
/// good twice.
fn vrrp3_verify(times: u64) -> Result<()> {
    let (mut hmac, list) = (signer()?, AddressList::new(&addresses()?)?);
    let advert = outgoing(&list)?;
    let seconds = [0, 1000].map(Duration::from_secs);
    let mut messages = Vec::new();
    for since_epoch in seconds {
        let trailer = hmac.sign(since_epoch, &advert).ok_or("it signs")?;
        let mut message = Vec::new();
        v3::emit_signed(&advert, &trailer, &mut message);
        messages.push(message);
    }
    let mut parsed = Vec::new();
    for (message, since_epoch) in messages.iter().zip(seconds) {
        let signed = v3::parse(&META, message)?.signed.ok_or("it is signed")?;
        parsed.push((since_epoch, signed));
    }
    for (_, (since_epoch, signed)) in (0..times).zip(parsed.iter().cycle()) {
        let verdict = hmac.verify(*since_epoch, PEER, Some(black_box(signed)));
        assert_eq!(verdict, Verdict::Verified);
    }
    Ok(())
}

/// With a window of time, as keepalived has it by default.
fn signer() -> Result<HmacAuthenticator> {
    let key = HmacKey::new(1, &[7; 32])?;
    let window = AntiReplay::Time(Window::new(5)?);
    Ok(HmacAuthenticator::new(vec![key], 1, HmacMode::Enforce, window)?)
}

fn outgoing(list: &AddressList) -> Result<v3::Outgoing<'_>> {
    let carrier = Carrier::new(list, PEER, GROUP_IPV4.into(), ChecksumForm::PseudoHeader)
        .ok_or("one family")?;
    let (priority, interval) = (Priority::DEFAULT, Centiseconds::DEFAULT);
    Ok(v3::Outgoing { id: id()?, priority, interval, carrier })
}

fn step(times: u64) -> Result<()> {
    let config = RouterConfig::vrrp3(id()?, addresses()?, Vrrp3::default())?;
    let (mut router, mut scratch) = (active(config), BytesMut::with_capacity(64));
    for _ in 0..times {
        let at = router.poll_timeout().ok_or("an active router has a deadline")?.at;
        router.handle(black_box(at), Input::Timeout);
        while let Some(action) = router.poll_action(&mut scratch) {
            black_box(action);
        }
    }
    Ok(())
}

/// A router that is at `source`, and announces nothing by itself.
fn started(config: RouterConfig, source: IpAddr) -> VirtualRouter {
    let silent = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None };
    let mut router = VirtualRouter::new(config.with_announce(silent));
    router.handle(Instant::ZERO, Input::Start);
    router.handle(Instant::ZERO, Input::Link(LinkState::Up { source }));
    router
}

fn backup(config: RouterConfig) -> VirtualRouter {
    started(config, OWN)
}

fn active(config: RouterConfig) -> VirtualRouter {
    let mut router = started(config, PEER);
    let mut scratch = BytesMut::new();
    if let Some(deadline) = router.poll_timeout() {
        router.handle(deadline.at, Input::Timeout);
        while router.poll_action(&mut scratch).is_some() {}
        router.handle(deadline.at, Input::Acquired);
        while router.poll_action(&mut scratch).is_some() {}
    }
    router
}

/// An advert of such a router that is active.
fn advert_of(config: RouterConfig) -> Result<Vec<u8>> {
    let mut router = active(config);
    let mut scratch = BytesMut::new();
    let at = router.poll_timeout().ok_or("an active router has a deadline")?.at;
    router.handle(at, Input::Timeout);
    match router.poll_action(&mut scratch) {
        Some(Action::Send(advert)) => Ok(advert.payload.to_vec()),
        other => Err(format!("{other:?} is no advert").into()),
    }
}
