use std::net::IpAddr;
use std::time::Duration;

use super::super::record::tests::{history, node, peer, record_of, share_of};
use super::super::record::{Keep, Walk};
use super::*;

const SECOND: u64 = 1_000_000_000;

fn now() -> Instant {
    Instant::from_nanos(100 * SECOND)
}

/// What `name` decides, as a backup, about a peer called `b`.
fn decided(name: &str, memory: &Memory, peer: Option<&Peer>, heard: Option<IpAddr>) -> Decision {
    let node = node(name);
    let clock = Stamp(1_000 * SECOND);
    let me = Me { node: &node, share: "www", role: Role::Backup, memory, clock };
    decide(&me, peer, heard, &Policy::default(), now())
}

fn b(share: ShareRecord) -> Peer {
    peer("b", share, now())
}

fn reason(decision: &Decision) -> HoldReason {
    match decision {
        Decision::Hold(hold) => hold.reason,
        other => panic!("{other:?}"),
    }
}

fn rescue(decision: &Decision) -> Option<Rescue> {
    match decision {
        Decision::Pull(pull) => pull.rescue,
        other => panic!("{other:?}"),
    }
}

/// A memory of which `epochs` epochs of b are, all copied completely.
fn copy_of_b(epochs: u64) -> Memory {
    let source = share_of("b", Role::Active, epochs);
    let clocks = (Stamp(SECOND), Stamp(500 * SECOND));
    let pass = super::super::record::CompletePass {
        source: &source,
        source_clock: clocks.0,
        local_clock: clocks.1,
        given_up: false,
        files: 1,
    };
    Memory::default().after_pass(&pass).unwrap()
}

/// b goes on from a tree, in an epoch that began at that moment of its clock.
fn b_after(memory: &Memory, as_of: Stamp, began: Stamp) -> ShareRecord {
    let start = super::super::lineage::Start {
        node: node("b"),
        nonce: 77,
        seen: 0,
        origin: memory
            .history
            .tip()
            .map(|tip| super::super::lineage::Origin { tip: tip.clone(), as_of }),
        now: began,
    };
    ShareRecord { history: memory.history.promoted(start), ..share_of("b", Role::Active, 0) }
}

fn walked(memory: Memory, newest: u64) -> Memory {
    Memory { walked: Some(Walk { empty: false, newest: Stamp(newest) }), ..memory }
}

#[test]
fn a_source_that_may_have_crashed_is_copied_with_rescue() {
    let memory = copy_of_b(2);
    let peer = b(share_of("b", Role::Active, 2));
    let (node, clock) = (node("a"), Stamp(1_000 * SECOND));
    let me = Me { node: &node, share: "www", role: Role::Backup, memory: &memory, clock };
    let at = |later| decide(&me, Some(&peer), None, &Policy::default(), now() + later);
    assert_eq!(rescue(&at(SOURCE_FRESH)), None);
    let late = rescue(&at(SOURCE_FRESH + Duration::from_millis(1))).unwrap();
    assert_eq!(late.orphans_since, Some(Stamp(500 * SECOND).before(WRITEBACK_MARGIN)));
    assert_eq!(at(RECORD_FRESH * 2), Decision::Wait(Wait::PeerSilent));
}

#[test]
fn a_source_that_was_set_back_while_it_served_is_held_and_copied_with_rescue_on_demand() {
    let memory = copy_of_b(2);
    let mut peer = b(share_of("b", Role::Active, 2));
    assert_eq!(rescue(&decided("a", &memory, Some(&peer), None)), None);
    let mut older = peer.record.clone();
    older.beat -= 1;
    peer.update(older.clone(), now());
    assert!(peer.rewound);
    let decision = decided("a", &memory, Some(&peer), None);
    assert_eq!(reason(&decision), HoldReason::RolledBackSource);
    let tip = memory.history.tip().unwrap().clone();
    let asked = memory.after_resolve(Keep::Peer, tip);
    let kept = Rescue { orphans_since: None };
    assert_eq!(rescue(&decided("a", &asked, Some(&peer), None)), Some(kept));
    // It goes on counting, and is no better for it; a new process begins a new epoch.
    older.beat += 5;
    peer.update(older.clone(), now());
    assert!(peer.rewound);
    older.process += 1;
    peer.update(older, now());
    assert!(!peer.rewound);
}

fn served(epochs: u64) -> Memory {
    let memory = Memory { history: history("a", epochs), dirty: true, ..Memory::default() };
    Memory { share_id: Some("id".into()), ..memory }
}

#[test]
fn an_active_node_never_pulls() {
    let (node, memory) = (node("a"), copy_of_b(3));
    let peer = b(share_of("b", Role::Active, 3));
    let me = Me { node: &node, share: "www", role: Role::Active, memory: &memory, clock: Stamp(0) };
    for heard in [None, Some("192.0.2.1".parse().unwrap())] {
        let decision = decide(&me, Some(&peer), heard, &Policy::default(), now());
        assert_eq!(decision, Decision::Serve(None));
    }
    let me = Me { role: Role::Init, ..me };
    let decision = decide(&me, Some(&peer), None, &Policy::default(), now());
    assert_eq!(decision, Decision::Wait(Wait::NotElected));
}

#[test]
fn a_copy_of_this_very_tenure_is_refreshed_without_rescue() {
    let decision = decided("a", &copy_of_b(3), Some(&b(share_of("b", Role::Active, 3))), None);
    let Decision::Pull(pull) = decision else { panic!("{decision:?}") };
    assert_eq!((pull.rescue, pull.given_up, pull.tip.number), (None, false, 3));
}

#[test]
fn every_other_tenure_is_pulled_with_rescue() {
    // b has started again: what it lost in between is only here.
    let decision = decided("a", &copy_of_b(3), Some(&b(share_of("b", Role::Active, 4))), None);
    let since = Stamp(500 * SECOND).before(WRITEBACK_MARGIN);
    assert_eq!(rescue(&decision), Some(Rescue { orphans_since: Some(since) }));
    // The tip is b's, but no pass over it was complete.
    let cut_off = Memory { as_of: None, ..copy_of_b(3) };
    let decision = decided("a", &cut_off, Some(&b(share_of("b", Role::Active, 3))), None);
    assert_eq!(rescue(&decision), Some(Rescue { orphans_since: None }));
}

#[test]
fn what_was_served_here_is_orphaned_from_where_the_other_ones_copy_ended() {
    let memory = served(2);
    // b's clock says 2 s at `now`; its epoch began then, 500 s after the last change here.
    let share = b_after(&memory, Stamp(400 * SECOND), Stamp(2 * SECOND));
    assert_eq!(decided("a", &memory, Some(&b(share.clone())), None), Decision::Scan);
    let memory = walked(memory, 500 * SECOND);
    let decision = decided("a", &memory, Some(&b(share)), None);
    assert_eq!(rescue(&decision), Some(Rescue { orphans_since: Some(Stamp(400 * SECOND)) }));
}

#[test]
fn writing_while_the_other_one_served_is_held() {
    // b's epoch began one second before now by its clock, at 999 s by ours.
    let memory = walked(served(2), 999 * SECOND + 4 * SECOND);
    let share = b_after(&memory, Stamp(400 * SECOND), Stamp(SECOND));
    assert!(rescue(&decided("a", &memory, Some(&b(share.clone())), None)).is_some());
    let memory = walked(served(2), 999 * SECOND + 6 * SECOND);
    let decision = decided("a", &memory, Some(&b(share.clone())), None);
    assert_eq!(reason(&decision), HoldReason::Diverged);
    let accepts = memory.after_resolve(Keep::Peer, share.history.tip().unwrap().clone());
    assert!(rescue(&decided("a", &accepts, Some(&b(share.clone())), None)).is_some());
    let keeps = memory.after_resolve(Keep::Local, share.history.tip().unwrap().clone());
    assert_eq!(decided("a", &keeps, Some(&b(share)), None), Decision::Keep);
}

#[test]
fn a_copy_that_somebody_has_to_say_may_be_replaced_is_kept() {
    let (memory, share) = (copy_of_b(3), share_of("b", Role::Active, 3));
    let tip = share.history.tip().unwrap().clone();
    let plain = decided("a", &memory, Some(&b(share.clone())), None);
    assert_eq!(rescue(&plain), None, "it came from there");
    // Without its marker, for example, it was held, and nobody knows what is here now.
    let accepts = memory.after_resolve(Keep::Peer, tip);
    assert!(rescue(&decided("a", &accepts, Some(&b(share)), None)).is_some());
}

#[test]
fn a_stranger_is_followed_only_when_this_tree_was_given_up() {
    let common = served(1);
    let mine = Memory { history: common.history.promoted(start_of_a()), ..common.clone() };
    let mine = walked(mine, 5_000 * SECOND);
    let mut share = b_after(&common, Stamp(0), Stamp(0));
    assert_eq!(reason(&decided("a", &mine, Some(&b(share.clone())), None)), HoldReason::Diverged);
    share.supersedes = mine.history.tip().cloned();
    let decision = decided("a", &mine, Some(&b(share.clone())), None);
    assert!(rescue(&decision).is_some(), "{decision:?}");
    share.supersedes = common.history.tip().cloned();
    let decision = decided("a", &mine, Some(&b(share)), None);
    assert_eq!(reason(&decision), HoldReason::Diverged, "another epoch was given up");
}

fn start_of_a() -> super::super::lineage::Start {
    super::super::lineage::Start {
        node: node("a"),
        nonce: 99,
        seen: 0,
        origin: history("a", 1)
            .tip()
            .map(|tip| super::super::lineage::Origin { tip: tip.clone(), as_of: Stamp(0) }),
        now: Stamp(2_000 * SECOND),
    }
}

#[test]
fn an_idle_tenure_waits_for_the_other_one_which_supersedes_it() {
    let common = served(1);
    let idle = Memory { history: common.history.promoted(start_of_a()), ..common.clone() };
    let idle = walked(idle, 1_999 * SECOND);
    assert!(untouched(&node("a"), &idle));
    let mut share = b_after(&common, Stamp(0), Stamp(0));
    let decision = decided("a", &idle, Some(&b(share.clone())), None);
    assert_eq!(decision, Decision::Wait(Wait::PeerToRenew));
    // And from the other side.
    let (b_node, mut b_memory) = (node("b"), common.clone());
    b_memory.history = share.history.clone();
    let a = ShareRecord {
        history: idle.history.clone(),
        untouched: true,
        ..share_of("a", Role::Backup, 0)
    };
    let me =
        Me { node: &b_node, share: "www", role: Role::Active, memory: &b_memory, clock: Stamp(0) };
    let serve = |share: ShareRecord| {
        let peer = peer("a", share, now());
        match decide(&me, Some(&peer), None, &Policy::default(), now()) {
            Decision::Serve(renewal) => renewal,
            other => panic!("{other:?}"),
        }
    };
    let renewal = serve(a.clone()).unwrap();
    assert_eq!(renewal, Renewal { above: 2, supersedes: idle.history.tip().cloned() });
    let renewal = serve(ShareRecord { untouched: false, ..a.clone() }).unwrap();
    assert_eq!(renewal.supersedes, None, "it has something of its own");
    assert_eq!(serve(ShareRecord { role: Role::Active, ..a }), None, "the election comes first");
    let after = b_memory.after_renewal(
        &b_node,
        Stamp(1),
        5,
        &Renewal { above: 2, supersedes: idle.history.tip().cloned() },
    );
    share.history = after.history;
    share.supersedes = after.supersedes;
    let decision = decided("a", &idle, Some(&b(share)), None);
    assert!(matches!(&decision, Decision::Pull(pull) if pull.given_up && pull.tip.number == 3));
}

#[test]
fn a_restored_source_is_never_followed() {
    let mine = copy_of_b(3);
    for forgotten in [1, 2] {
        let mut share = share_of("b", Role::Active, forgotten);
        share.history = share.history.promoted(super::super::lineage::Start {
            node: node("b"),
            nonce: 1234,
            ..start_of_a()
        });
        let decision = decided("a", &mine, Some(&b(share)), None);
        assert_eq!(reason(&decision), HoldReason::RolledBackSource);
    }
}

#[test]
fn the_first_copy_goes_into_an_empty_tree_only() {
    let peer = b(share_of("b", Role::Active, 3));
    let fresh = Memory::default();
    assert_eq!(decided("a", &fresh, Some(&peer), None), Decision::Scan);
    let walk = |empty| Memory::default().after_scan(Walk { empty, newest: Stamp(0) });
    assert!(rescue(&decided("a", &walk(true), Some(&peer), None)).is_some());
    let full = walk(false);
    assert_eq!(reason(&decided("a", &full, Some(&peer), None)), HoldReason::NotAdopted);
    let tip = history("b", 3).tip().unwrap().clone();
    let adopted = full.after_resolve(Keep::Peer, tip.clone());
    assert!(rescue(&decided("a", &adopted, Some(&peer), None)).is_some());
    let kept = full.after_resolve(Keep::Local, tip);
    assert_eq!(decided("a", &kept, Some(&peer), None), Decision::Keep);
}

#[test]
fn a_peer_that_is_silent_or_does_not_serve_is_not_pulled() {
    let memory = copy_of_b(3);
    let share = share_of("b", Role::Active, 3);
    let waits = |peer: Option<&Peer>, wait| {
        assert_eq!(decided("a", &memory, peer, None), Decision::Wait(wait));
    };
    waits(None, Wait::PeerSilent);
    waits(Some(&Peer::new(record_of("b", share.clone(), 1), now())), Wait::PeerSilent);
    let old = Instant::from_nanos(100 * SECOND) - RECORD_FRESH - Duration::from_nanos(1);
    waits(Some(&peer("b", share.clone(), old)), Wait::PeerSilent);
    for role in [Role::Init, Role::Backup] {
        waits(Some(&b(ShareRecord { role, ..share.clone() })), Wait::PeerNotActive);
    }
    waits(Some(&b(share_of("b", Role::Active, 0))), Wait::PeerWithoutEpoch);
    waits(Some(&b(share_of("a", Role::Active, 3))), Wait::PeerWithoutEpoch);
    let mut other = b(share);
    other.record.shares = other.record.shares.into_values().map(|s| ("x".to_owned(), s)).collect();
    waits(Some(&other), Wait::PeerWithoutShare);
}

#[test]
fn nothing_is_copied_before_the_source_has_looked_for_databases_nor_while_there_is_one() {
    let share = share_of("b", Role::Active, 3);
    let says = |databases| b(ShareRecord { databases, ..share.clone() });
    let found = says(Databases::Found("an InnoDB data directory: /srv/www/mysql".into()));
    for memory in [Memory::default(), copy_of_b(2), copy_of_b(3)] {
        let decision = decided("a", &memory, Some(&says(Databases::Unknown)), None);
        assert_eq!(decision, Decision::Wait(Wait::PeerLooks));
        let decision = decided("a", &memory, Some(&found), None);
        assert_eq!(reason(&decision), HoldReason::LiveDatabase);
        let Decision::Hold(hold) = decision else { unreachable!("it has a reason") };
        assert!(hold.message.contains("/srv/www/mysql, on b; exclude it"), "{hold:?}");
    }
    let decision = decided("a", &copy_of_b(3), Some(&says(Databases::Absent)), None);
    assert!(matches!(decision, Decision::Pull(_)), "{decision:?}");
}

#[test]
fn mistakes_of_the_configuration_are_held() {
    let memory = copy_of_b(3);
    let share = share_of("b", Role::Active, 3);
    let third = Some("192.0.2.99".parse().unwrap());
    let decision = decided("a", &memory, Some(&b(share.clone())), third);
    assert_eq!(reason(&decision), HoldReason::ThirdRouter);
    let known = Some("192.0.2.1".parse().unwrap());
    assert!(matches!(decided("a", &memory, Some(&b(share.clone())), known), Decision::Pull(_)));
    let decision = decided("b", &memory, Some(&b(share.clone())), None);
    assert_eq!(reason(&decision), HoldReason::SameName);
    let other = ShareRecord { share_id: Some("another".into()), ..share };
    let decision = decided("a", &memory, Some(&b(other)), None);
    assert_eq!(reason(&decision), HoldReason::OtherShare);
}

#[test]
fn the_operator_and_a_damaged_memory_hold_before_everything_else() {
    let peer = b(share_of("b", Role::Active, 3));
    let held = Memory { hold: Some("a move of the data".into()), ..copy_of_b(3) };
    let decision = decided("a", &held, Some(&peer), None);
    assert_eq!(reason(&decision), HoldReason::Operator);
    let damaged = Memory { damage: Some("a flipped bit".into()), ..Memory::default() };
    for peer in [None, Some(&peer)] {
        assert_eq!(reason(&decided("a", &damaged, peer, None)), HoldReason::StateDamaged);
    }
}

#[test]
fn a_peer_that_is_restarted_lifts_no_hold_that_is_about_the_trees() {
    for reason in HoldReason::ALL {
        assert!(Wait::PeerSilent.keeps(reason), "{reason:?}");
        assert!(!Wait::PeerWithoutShare.keeps(reason), "{reason:?}");
        assert_eq!(Wait::PeerNotActive.keeps(reason), reason.is_of_trees(), "{reason:?}");
    }
    assert!(HoldReason::Diverged.is_of_trees());
    assert!(!HoldReason::ThirdRouter.is_of_trees());
}
