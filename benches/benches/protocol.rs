//! What one advert, one forgery and one election cost.

use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use bytes::BytesMut;
use carp_proto::election::{AnnouncePlan, Dialect, Input, LinkState, Phase, State};
use carp_proto::wire::ip::{GROUP_IPV4, TTL};
use carp_proto::{
    Action, AdvBase, AdvSkew, Instant, Key, Reject, RouterConfig, RxMeta, VirtualId, VirtualRouter,
};
use criterion::{BatchSize, Criterion};

const ACTIVE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const BACKUP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    receive(&mut criterion)?;
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
