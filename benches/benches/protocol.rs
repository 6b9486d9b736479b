//! What one advert, one forgery and one election cost.

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use bytes::BytesMut;
use carp_proto::election::{AnnouncePlan, Dialect, Input, LinkState, Phase, State};
use carp_proto::wire::ip::{GROUP_IPV4, TTL};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{AddressList, ChecksumForm, Expectations, Senders, Version, validate};
use carp_proto::{
    Action, AdvBase, AdvSkew, Centiseconds, Instant, Key, Priority, Reject, RouterConfig, RxMeta,
    VirtualId, VirtualRouter,
};
use criterion::{BatchSize, Criterion};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

const ACTIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const BACKUP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    receive(&mut criterion)?;
    digest(&mut criterion)?;
    validate_vrrp3(&mut criterion)?;
    reject(&mut criterion)?;
    send(&mut criterion)?;
    elect(&mut criterion)?;
    criterion.final_summary();
    Ok(())
}

fn receive(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let (mut backup, meta, advert) = backup_and_advert()?;
    let now = Instant::ZERO;
    backup.handle_datagram(now, &meta, &advert)?;
    criterion.bench_function("parse and verify an advert", |bencher| {
        bencher.iter(|| backup.handle_datagram(now, &meta, black_box(&advert)));
    });
    assert_eq!(backup.state(), State::Backup);
    assert_eq!(backup.snapshot(now).counters.rejected.total(), 0);
    Ok(())
}

/// The bare digest of what a CARP advert is authenticated by, with the state of the key cached: what verifying
/// cannot be cheaper than.
fn digest(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let (_, _, advert) = backup_and_advert()?;
    let mut state = Hmac::<Sha1>::new_from_slice(b"secret")?;
    state.update(&[2, 1, 42]);
    state.update(&[192, 0, 2, 100]);
    let counter: [u8; 8] = advert[8..16].try_into()?;
    criterion.bench_function("bare HMAC-SHA1 of an advert", |bencher| {
        bencher.iter(|| {
            let mut mac = state.clone();
            mac.update(black_box(&counter));
            mac.finalize().into_bytes()
        });
    });
    Ok(())
}

fn validate_vrrp3(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let list = AddressList::new(&["192.0.2.100".parse()?])?;
    let form = ChecksumForm::PseudoHeader;
    let carrier = Carrier::new(&list, ACTIVE, GROUP_IPV4.into(), form).ok_or("one family")?;
    let (id, priority) = (VirtualId::new(42)?, Priority::DEFAULT);
    let mut message = Vec::new();
    v3::emit(
        &v3::Outgoing { id, priority, interval: Centiseconds::DEFAULT, carrier },
        &mut message,
    );
    let meta = RxMeta { source: ACTIVE, destination: GROUP_IPV4.into(), ttl: TTL };
    let expected = Expectations {
        id,
        version: Version::V3 { trailer: false },
        min_ttl: TTL,
        senders: Senders::Group { only: &[] },
        own_source: Some(BACKUP),
    };
    validate(&meta, &message, &expected)?;
    criterion.bench_function("parse and validate a VRRPv3 advert", |bencher| {
        bencher.iter(|| {
            validate(black_box(&meta), black_box(&message), &expected).map(|valid| valid.priority())
        });
    });
    Ok(())
}

fn reject(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let (mut backup, meta, mut advert) = backup_and_advert()?;
    let now = Instant::ZERO;
    let last = advert.len() - 1;
    advert[last] ^= 1;
    assert_eq!(backup.handle_datagram(now, &meta, &advert), Err(Reject::BadChecksum));
    criterion.bench_function("reject a bad checksum", |bencher| {
        bencher.iter(|| backup.handle_datagram(now, &meta, black_box(&advert)));
    });
    Ok(())
}

fn send(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let mut scratch = BytesMut::new();
    let (mut active, mut now) = elected(VirtualRouter::new(config(0)?), &mut scratch);
    let before = active.snapshot(now).counters.adverts_sent;
    let mut timeouts = 0;
    criterion.bench_function("sign and emit an advert", |bencher| {
        bencher.iter(|| {
            now = active.poll_timeout().map_or(now, |deadline| deadline.at);
            active.handle(now, Input::Timeout);
            while let Some(action) = active.poll_action(&mut scratch) {
                black_box(action);
            }
            timeouts += 1;
        });
    });
    assert_eq!(active.snapshot(now).counters.adverts_sent, before + timeouts);
    Ok(())
}

fn elect(criterion: &mut Criterion) -> Result<(), Box<dyn Error>> {
    let config = config(0)?;
    let mut scratch = BytesMut::new();
    let (router, now) = elected(VirtualRouter::new(config.clone()), &mut scratch);
    assert_eq!(router.snapshot(now).phase, Some(Phase::Serving));
    criterion.bench_function("elect, from start to serving", |bencher| {
        bencher.iter_batched(
            || VirtualRouter::new(config.clone()),
            |router| elected(router, &mut scratch),
            BatchSize::SmallInput,
        );
    });
    Ok(())
}

/// A backup, and an advert of the active router that it follows.
fn backup_and_advert() -> Result<(VirtualRouter, RxMeta, Vec<u8>), Box<dyn Error>> {
    let mut backup = VirtualRouter::new(config(100)?);
    backup.handle(Instant::ZERO, Input::Start);
    backup.handle(Instant::ZERO, Input::Link(LinkState::Up { source: BACKUP }));
    while backup.poll_action(&mut BytesMut::new()).is_some() {}
    let meta = RxMeta { source: ACTIVE, destination: GROUP_IPV4.into(), ttl: TTL };
    Ok((backup, meta, advert()?))
}

/// The bytes of the last advert on the way from start to serving.
fn advert() -> Result<Vec<u8>, Box<dyn Error>> {
    let mut scratch = BytesMut::new();
    elected(VirtualRouter::new(config(0)?), &mut scratch);
    Ok(scratch.to_vec())
}

/// Drives a new router until it serves, alone on its link.
fn elected(mut router: VirtualRouter, scratch: &mut BytesMut) -> (VirtualRouter, Instant) {
    let mut now = Instant::ZERO;
    router.handle(now, Input::Start);
    router.handle(now, Input::Link(LinkState::Up { source: ACTIVE }));
    while let Some(deadline) = router.poll_timeout() {
        now = deadline.at;
        router.handle(now, Input::Timeout);
        let mut asked_for = false;
        while let Some(action) = router.poll_action(scratch) {
            asked_for |= matches!(black_box(action), Action::Acquire(_));
        }
        if asked_for {
            router.handle(now, Input::Acquired);
            while router.poll_action(scratch).is_some() {}
            break;
        }
    }
    (router, now)
}

/// A router that sends adverts and announces nothing by itself.
fn config(advskew: i64) -> Result<RouterConfig, Box<dyn Error>> {
    let addresses = vec!["192.0.2.100".parse()?];
    let silent = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None };
    let config = RouterConfig::carp(VirtualId::new(42)?, &Key::new(b"secret")?, addresses, 0x5eed)?
        .with_interval(Dialect::Native, AdvBase::new(1)?, AdvSkew::new(advskew)?)?
        .with_announce(silent);
    Ok(config)
}
