//! What a router tells about itself and about others is what happened.

mod support;

use bytes::BytesMut;
use carp_proto::auth::Verdict;
use carp_proto::election::{Cause, Dialect, Event, Evidence, Fault, Input, State};
use carp_proto::testing::{Extra, Peers, Said, Setup, Version};
use carp_proto::wire::ip::{self, find_message};
use carp_proto::{Action, Reject, RejectCounters, VirtualRouter};
use support::{Rig, Rigged as _, ip as host, ms, secs};

/// The evidence of the first transition to a state among what a router wants to tell.
fn evidence(router: &mut VirtualRouter, state: State) -> Option<(Cause, Evidence)> {
    let mut scratch = BytesMut::new();
    let mut found = None;
    while let Some(action) = router.poll_action(&mut scratch) {
        if let Action::Event(Event::State { to, cause, evidence, .. }) = action
            && to == state
        {
            found = Some((cause, evidence));
        }
    }
    found
}

/// Lets a router hear this and become active, two seconds after it heard the peer before.
fn takes_over(mut rig: Rig, said: Said) -> (Cause, Evidence) {
    let mut peers = Peers::new(Setup::new());
    let mut hear = |rig: &mut Rig, said| {
        let (meta, message) = peers.advert(rig.now, 9, said);
        assert_eq!(rig.hears_bytes(&meta, &message), Ok(()));
    };
    let better = Said { advbase: 1, advskew: 0, demotion: 0 };
    hear(&mut rig, better);
    rig.passes(secs(2));
    hear(&mut rig, said);
    rig.router.handle(rig.now, Input::Acquired);
    evidence(&mut rig.router, State::Active).expect("it became active")
}

#[test]
fn a_takeover_tells_of_whom_and_how_long_he_was_silent() {
    let resigns = Said { advbase: 255, advskew: 255, demotion: 0 };
    let (cause, evidence) = takes_over(Setup::new().rig().backup(), resigns);
    assert_eq!((cause, evidence.peer), (Cause::Resigned, Some(host(9))));
    assert!(evidence.silent_for.is_some_and(|silent| silent <= secs(2)));

    let worse = Said { advbase: 1, advskew: 200, demotion: 0 };
    let preempting = Setup { preempt: true, ..Setup::new() };
    let (cause, evidence) = takes_over(preempting.rig().backup(), worse);
    assert_eq!((cause, evidence.peer), (Cause::WorsePeer, Some(host(9))));
    assert_eq!(evidence.fault, None::<Fault>);
}

#[test]
fn giving_way_tells_for_whom() {
    for mut rig in [Setup::new().rig().acquiring(), Setup::new().rig().serving()] {
        let (meta, message) = Peers::new(Setup::new()).advert(
            rig.now,
            9,
            Said { advbase: 1, advskew: 0, demotion: 0 },
        );
        assert_eq!(rig.hears_bytes(&meta, &message), Ok(()));
        rig.router.handle(rig.now, Input::AnnouncementHeard);
        let (cause, evidence) = evidence(&mut rig.router, State::Backup).expect("it gave way");
        assert_eq!((cause, evidence.peer), (Cause::BetterPeer, Some(host(9))));
    }
}

#[test]
fn the_latest_advert_is_told_of() {
    let mut rig = Setup::new().rig().backup();
    assert_eq!(rig.router.last_heard(), None);
    for source in [9, 8, 9] {
        rig.hears(host(source), 1, 0);
        assert_eq!(rig.router.last_heard().map(|peer| peer.source), Some(host(source)));
    }
}

#[test]
fn the_latest_signature_is_told_of() {
    let setup = Setup { vrrp: Some(Version::V3), extra: Extra::Signatures, ..Setup::new() };
    let mut rig = setup.member().backup();
    assert_eq!(rig.router.last_verdict(), None);
    let said = Said { advbase: 1, advskew: 0, demotion: 0 };
    let (meta, message) = Peers::new(setup).advert(rig.now, 9, said);
    for expected in [Verdict::Verified, Verdict::Repeated] {
        let _ = rig.hears_bytes(&meta, &message);
        assert_eq!(rig.router.last_verdict(), Some(expected));
        assert_eq!(rig.router.snapshot(rig.now).last_verdict, Some(expected));
    }
}

#[test]
fn rejects_are_counted_by_label_and_in_all() {
    let mut counters = RejectCounters::default();
    assert_eq!(counters.total(), 0);
    counters.count(Reject::BadChecksum);
    counters.count(Reject::BadChecksum);
    counters.count(Reject::OwnLoop);
    assert_eq!(counters.get("bad-checksum"), Some(2));
    assert_eq!((counters.get("own-loop"), counters.get("no-label")), (Some(1), None));
    assert_eq!(counters.total(), 3);
}

#[test]
fn dialects_have_names_that_read_back() {
    let names = ["native", "openbsd", "freebsd", "ucarp"];
    assert_eq!(Dialect::ALL.map(Dialect::name), names);
    for (dialect, name) in Dialect::ALL.into_iter().zip(names) {
        assert_eq!((name.parse(), dialect.to_string()), (Ok(dialect), name.to_owned()));
    }
    assert!("cisco".parse::<Dialect>().is_err());
}

/// The last advert of the one that was taken over from comes within an interval. Later ones are of a rival.
#[test]
fn a_worse_router_is_a_rival_when_it_is_heard_more_than_an_interval_after_the_takeover() {
    for (after, conflict) in [(secs(1), false), (secs(1) + ms(1), true)] {
        let mut rig = Setup { advskew: 0, ..Setup::new() }.rig().serving();
        rig.passes(after);
        rig.hears(host(9), 1, 200);
        assert_eq!(rig.router.snapshot(rig.now).conflict.is_some(), conflict, "{after:?}");
    }
}

#[test]
fn padding_is_no_mistake_and_a_length_beyond_the_packet_is_one() {
    let mut packet = Vec::new();
    let ends = ("fe80::1".parse().unwrap(), ip::GROUP_IPV6);
    ip::emit_ipv6_advert(ends.0, ends.1, 8, &mut packet);
    packet.extend([0x31, 1, 100, 0, 0, 100, 0, 0]);
    let problem = |packet: &[u8], cut| find_message(packet, cut).unwrap().problem;
    assert_eq!(problem(&packet, false), None);
    assert_eq!(problem(&[&packet[..], &[0; 6]].concat(), false), None);
    let short = &packet[..packet.len() - 1];
    assert!(problem(short, false).is_some());
    assert_eq!(problem(short, true), None);
}
