//! What status shows of a router: its snapshot, and the getters that say the same for less.

mod support;

use carp_proto::Reject;
use carp_proto::election::{Cause, Event, Fault, Input, Phase, State};
use carp_proto::testing::{Extra, Peers, Said, Setup, Version};
use carp_proto::{Action, VirtualRouter};
use support::vrrp::VrrpSetup;
use support::{Effect, Rig, Rigged as _, ip as host, ms, secs};

const BETTER: Said = Said { advbase: 1, advskew: 0, demotion: 0 };

/// Lets the router hear an advert that is signed with another key.
fn hears_a_stranger(rig: &mut Rig, source: u8) {
    let (meta, message) =
        Peers::new(Setup::new()).with_key(b"hate").advert(rig.now, source, BETTER);
    assert_eq!(rig.hears_bytes(&meta, &message), Err(Reject::BadAuthentication));
}

#[test]
fn phase_and_fault_are_those_of_the_snapshot() {
    let mut rig = Setup::new().rig().backup();
    assert_eq!((rig.router.phase(), rig.router.fault()), (None, None));
    rig.times_out();
    assert_eq!(rig.router.phase(), Some(Phase::TakingOver));
    rig.input(Input::Fault(Fault::AcquireTimeout));
    assert_eq!((rig.router.phase(), rig.router.fault()), (None, Some(Fault::AcquireTimeout)));
    let snapshot = rig.router.snapshot(rig.now);
    assert_eq!((snapshot.phase, snapshot.fault), (None, Some(Fault::AcquireTimeout)));
}

#[test]
fn the_interval_that_was_learned_is_shown() {
    let mut rig = VrrpSetup::new(Version::V3).rig().backup();
    assert_eq!(rig.router.learned(), None);
    rig.hears_every(Version::V3, 9, 200, secs(7));
    let learned = rig.router.learned().unwrap();
    assert_eq!(learned.advertised, secs(7));
    assert_eq!(rig.router.snapshot(rig.now).learned, Some(learned));
}

#[test]
fn alone_is_who_is_active_and_has_heard_nobody() {
    let alone = |rig: &Rig| rig.router.snapshot(rig.now).alone;
    let mut rig = Setup::new().rig().backup();
    assert!(!alone(&rig), "a backup may still hear somebody");
    rig.times_out();
    assert!(alone(&rig));
    rig.hears(host(9), 1, 200);
    assert!(!alone(&rig), "a worse one was heard");
    let mut rig = Setup::new().rig().backup();
    rig.hears(host(9), 1, 0);
    rig.times_out();
    assert_eq!((rig.state(), alone(&rig)), (State::Active, false));
}

#[test]
fn each_source_is_shown_once_the_latest_first() {
    let mut rig = Setup::new().rig().backup();
    for source in [9, 8, 9, 7, 8] {
        rig.passes(ms(1)).hears(host(source), 1, 0);
    }
    let snapshot = rig.router.snapshot(rig.now);
    let sources: Vec<_> = snapshot.peers.iter().flatten().map(|peer| peer.source).collect();
    assert_eq!(sources, [host(8), host(7), host(9)]);
}

#[test]
fn who_speaks_with_another_key_is_a_conflict_while_we_are_active() {
    let conflict = |rig: &Rig| rig.router.snapshot(rig.now).conflict;
    let mut rig = Setup::new().rig().backup();
    hears_a_stranger(&mut rig, 9);
    assert_eq!(conflict(&rig), None, "a backup leaves that to the active router");
    let mut rig = Setup::new().rig().serving();
    assert_eq!(conflict(&rig), None);
    hears_a_stranger(&mut rig, 9);
    assert_eq!(conflict(&rig), Some(host(9)));
    let active_down = rig.router.snapshot(rig.now).active_down;
    rig.passes(active_down);
    assert_eq!(conflict(&rig), Some(host(9)));
    rig.passes(ms(1));
    assert_eq!(conflict(&rig), None, "it has been silent for as long as the dead are");
}

#[test]
fn a_packet_that_is_only_damaged_is_no_conflict() {
    let mut rig = Setup::new().rig().serving();
    rig.router.note_reject(rig.now, Some(host(9)), Reject::BadChecksum);
    let snapshot = rig.router.snapshot(rig.now);
    assert_eq!(snapshot.conflict, None);
    assert_eq!(snapshot.last_reject.map(|last| last.reject), Some(Reject::BadChecksum));
}

#[test]
fn changes_of_state_are_counted() {
    let mut rig = Setup::new().rig();
    let count = |rig: &Rig| rig.router.snapshot(rig.now).transitions;
    let before = count(&rig);
    rig.input(Input::Start);
    rig.link_up();
    assert_eq!(count(&rig), before + 1, "backup");
    rig.times_out();
    rig.input(Input::Acquired);
    assert_eq!(count(&rig), before + 2, "active");
    rig.hears(host(9), 1, 0);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(count(&rig), before + 3, "backup again");
}

/// The evidence of every event of a change of state.
fn evidence(router: &mut VirtualRouter) -> Vec<(Cause, carp_proto::election::Evidence)> {
    let mut scratch = bytes::BytesMut::new();
    let mut found = Vec::new();
    while let Some(action) = router.poll_action(&mut scratch) {
        if let Action::Event(Event::State { cause, evidence, .. }) = action {
            found.push((cause, evidence));
        }
    }
    found
}

#[test]
fn a_fault_is_evidence_wherever_it_strikes() {
    // While it takes over.
    let mut rig = Setup::new().rig().acquiring();
    rig.router.handle(rig.now, Input::Fault(Fault::AcquireTimeout));
    let told = evidence(&mut rig.router);
    assert_eq!(told.last().map(|(_, last)| last.fault), Some(Some(Fault::AcquireTimeout)));
    // While it serves: the third loss in a minute is one too many, and it offers the addresses to others.
    let mut rig = Setup::new().rig().serving();
    let mut told = Vec::new();
    for _ in 0..3 {
        rig.router.handle(rig.now, Input::AddressLost);
        rig.router.handle(rig.now, Input::Acquired);
        told.extend(evidence(&mut rig.router));
    }
    assert_eq!(told, []);
    rig.hears(host(9), 1, 200);
    rig.router.handle(rig.now, Input::AnnouncementHeard);
    told.extend(evidence(&mut rig.router));
    assert_eq!(told.last().map(|(_, last)| last.fault), Some(Some(Fault::AddressLost)));
    // While it waits.
    let mut rig = Setup::new().rig().backup();
    rig.input(Input::AddressInUse);
    let wait = rig.wait();
    rig.passes(wait);
    rig.router.handle(rig.now, Input::Timeout);
    let told = evidence(&mut rig.router);
    assert_eq!(told.last().map(|(_, last)| last.fault), Some(Some(Fault::AddressInUse)));
}

#[test]
fn a_pause_is_evidence_of_how_long_it_was() {
    let mut rig = Setup::new().rig().serving();
    let interval = rig.router.snapshot(rig.now).interval;
    rig.passes(interval + secs(60));
    rig.router.handle(rig.now, Input::Timeout);
    let told = evidence(&mut rig.router);
    let (cause, last) = told.last().expect("it is told");
    assert_eq!((*cause, last.late_by), (Cause::Paused, Some(secs(60))));
}

#[test]
fn adverts_of_a_short_interval_come_no_closer_than_nine_tenths_of_it() {
    let setup = VrrpSetup { interval: ms(50), ..VrrpSetup::new(Version::V3) };
    let mut rig = setup.rig().serving();
    let wait = rig.wait();
    rig.passes(wait + ms(20)).input(Input::Timeout);
    assert_eq!(rig.wait(), ms(45));
}

#[test]
fn a_backup_that_is_late_by_an_interval_takes_over_and_by_more_waits_once_more() {
    let interval = secs(1) + support::SKEW_UNIT * 100;
    for (late, acts) in [(interval, true), (interval + ms(1), false)] {
        let mut rig = Setup::new().rig().backup();
        let wait = rig.wait();
        let effects = rig.passes(wait + late).input(Input::Timeout);
        assert_eq!(effects.last() == Some(&Effect::Acquire), acts, "{late:?}");
    }
}

#[test]
fn a_signature_that_was_mended_is_accepted() {
    let setup = Setup { vrrp: Some(Version::V3), extra: Extra::Signatures, ..Setup::new() };
    let mut rig = setup.member().backup();
    let mut peers = Peers::new(setup);
    let (meta, mut message) = peers.advert(rig.now, 9, BETTER);
    *message.last_mut().unwrap() ^= 1;
    assert_eq!(rig.hears_bytes(&meta, &message), Err(Reject::BadAuthentication));
    peers.mend(&meta, &mut message);
    assert_eq!(rig.hears_bytes(&meta, &message), Ok(()));
}
