use super::super::decide::decide;

use super::super::record::tests::{as_of, history, node, peer, share_of};
use super::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * SECOND)
}

/// A copy of three epochs of b, complete at 100 s of the own clock.
fn copy() -> Memory {
    let history = history("b", 3);
    let as_of = as_of(history.tip().unwrap(), 1, 100 * SECOND);
    Memory { history, as_of: Some(as_of), share_id: Some("id".into()), ..Memory::default() }
}

fn seen(
    memory: &Memory,
    peer: Option<&Peer>,
    policy: &Policy,
    clock: u64,
    now: Instant,
) -> Standing {
    let node = node("a");
    let clock = Stamp(clock * SECOND);
    let me = Me { node: &node, share: "www", role: Role::Backup, memory, clock };
    let decision = decide(&me, peer, None, policy, now);
    let moments = Moments { started: at(1_000), heard: at(1_000) };
    standing(&me, peer, &decision, Duration::ZERO, policy, moments, now)
}

fn alone(memory: &Memory, policy: &Policy, clock: u64, now: Instant) -> Takeover {
    seen(memory, None, policy, clock, now).takeover
}

#[test]
fn a_young_complete_copy_is_in_sync_and_waits_for_a_handover() {
    let now = at(1_010);
    let b = peer("b", share_of("b", Role::Active, 3), now);
    let young = seen(&copy(), Some(&b), &Policy::default(), 130, now);
    assert!(young.in_sync && young.ready, "{young:?}");
    assert_eq!(young.held, Some(Held::AwaitsHandover));
    let old = seen(&copy(), Some(&b), &Policy::default(), 131, now);
    assert!(!old.in_sync && !old.ready, "{old:?}");
    assert_eq!(old.held, Some(Held::NotInSync));
    // A clock that was set back does not make a copy younger.
    let back = seen(&copy(), Some(&b), &Policy::default(), 50, now);
    assert!(!back.in_sync, "{back:?}");
    let optional = Policy { require: false, ..Policy::default() };
    assert_eq!(seen(&copy(), Some(&b), &optional, 131, now).held, None);
}

#[test]
fn a_copy_is_in_sync_for_as_long_as_its_passes_take() {
    let now = at(1_010);
    let b = peer("b", share_of("b", Role::Active, 3), now);
    let node = node("a");
    let in_sync = |age: u64, rhythm: u64| {
        let (memory, policy) = (copy(), Policy::default());
        let clock = Stamp((100 + age) * SECOND);
        let me = Me { node: &node, share: "www", role: Role::Backup, memory: &memory, clock };
        let decision = decide(&me, Some(&b), None, &policy, now);
        let moments = Moments { started: at(1_000), heard: at(1_000) };
        let rhythm = Duration::from_secs(rhythm);
        standing(&me, Some(&b), &decision, rhythm, &policy, moments, now).in_sync
    };
    assert!(in_sync(30, 13) && !in_sync(31, 13), "30 s, however quick they are");
    assert!(in_sync(240, 240) && !in_sync(241, 240));
    assert!(in_sync(300, 900) && !in_sync(301, 900), "never longer than max_lag");
}

#[test]
fn a_live_peers_own_word_vetoes_a_takeover_and_not_for_long() {
    let b = peer("b", share_of("b", Role::Active, 3), at(1_010));
    let until = Takeover::NotBefore(at(1_012), Delay::PeerServes);
    for now in [1_010, 1_011, 1_012] {
        let standing = seen(&copy(), Some(&b), &Policy::default(), 130, at(now));
        assert_eq!(standing.takeover, until, "{now}");
    }
    let standing = seen(&copy(), Some(&b), &Policy::default(), 130, at(1_013));
    assert_eq!(standing.takeover, Takeover::Now { stale: false });
    let off = Policy { peer_alive_veto: false, ..Policy::default() };
    let standing = seen(&copy(), Some(&b), &off, 130, at(1_010));
    assert_eq!(standing.takeover, Takeover::Now { stale: false });
}

#[test]
fn an_old_copy_takes_over_as_the_operator_chose() {
    let (clock, now) = (500, at(1_010));
    let with = |stale_takeover| {
        alone(&copy(), &Policy { stale_takeover, ..Policy::default() }, clock, now)
    };
    assert_eq!(with(StaleTakeover::Allow), Takeover::Now { stale: true });
    assert_eq!(with(StaleTakeover::Never), Takeover::Never);
    let allowed = copy().after_allowing_old();
    let never = Policy { stale_takeover: StaleTakeover::Never, ..Policy::default() };
    assert_eq!(alone(&allowed, &never, clock, now), Takeover::Now { stale: true });
    let silent = peer("b", share_of("b", Role::Active, 3), at(1_000));
    assert_eq!(seen(&allowed, Some(&silent), &never, clock, at(1_100)).takeover, Takeover::Never);
    let anew = peer("b", share_of("b", Role::Init, 0), at(1_000));
    let takeover = |memory: &Memory| seen(memory, Some(&anew), &never, clock, at(1_100)).takeover;
    assert_eq!(takeover(&copy()), Takeover::Never, "the peer was installed anew");
    assert_eq!(takeover(&allowed), Takeover::Now { stale: true });
    let knows = allowed.after_seeing(&share_of("b", Role::Active, 3));
    assert!(!knows.may_serve_old && allowed.after_seeing(anew.share("www").unwrap()).may_serve_old);
    let after = StaleTakeover::After(Duration::from_secs(30));
    assert_eq!(with(after), Takeover::NotBefore(at(1_030), Delay::StaleCopy));
    assert_eq!(alone(&copy(), &Policy::default(), clock, at(1_030)), Takeover::Now { stale: true });
    assert_eq!(alone(&copy(), &Policy::default(), 400, now), Takeover::Now { stale: false });
}

#[test]
fn who_may_have_missed_something_waits_for_the_peers_word_after_a_start() {
    let crashed = Memory { history: history("a", 2), dirty: true, ..Memory::default() };
    let damaged = Memory { damage: Some("x".into()), ..Memory::default() };
    for memory in [crashed, damaged, Memory::default()] {
        let wait = Takeover::NotBefore(at(1_060), Delay::ColdStart);
        assert_eq!(alone(&memory, &Policy::default(), 0, at(1_059)), wait, "{memory:?}");
        let then = alone(&memory, &Policy::default(), 0, at(1_060));
        assert!(matches!(then, Takeover::Now { .. }), "{then:?} {memory:?}");
    }
}

#[test]
fn the_one_that_is_behind_lets_the_other_one_serve() {
    let now = at(1_010);
    let restored = Memory { history: history("a", 1), dirty: true, ..Memory::default() };
    let ahead = peer("b", share_of("a", Role::Backup, 3), now);
    let behind = seen(&restored, Some(&ahead), &Policy::default(), 0, now);
    assert_eq!(behind.takeover, Takeover::NotBefore(now + RECORD_FRESH, Delay::PeerIsAhead));
    // The peer sees it the other way round, and need not wait for anything.
    let newer = Memory { history: history("a", 3), dirty: true, ..Memory::default() };
    let b = peer("b", share_of("a", Role::Backup, 1), now);
    assert_eq!(
        seen(&newer, Some(&b), &Policy::default(), 0, now).takeover,
        Takeover::Now { stale: false }
    );
    // One that takes no part in the election cannot serve.
    let out = peer("b", share_of("a", Role::Init, 3), now);
    let alone = seen(&restored, Some(&out), &Policy::default(), 0, now);
    assert_eq!(alone.takeover, Takeover::NotBefore(at(1_030), Delay::StaleCopy));
}

#[test]
fn who_serves_an_old_copy_gives_way_to_whoever_is_in_sync() {
    let node = node("a");
    let memory = Memory { stale: true, ..copy() };
    let me = Me { node: &node, share: "www", role: Role::Active, memory: &memory, clock: Stamp(0) };
    let moments = Moments { started: at(0), heard: at(0) };
    let standing = standing(
        &me,
        None,
        &Decision::Serve(None),
        Duration::ZERO,
        &Policy::default(),
        moments,
        at(9),
    );
    assert_eq!(standing.held, Some(Held::ServesStale));
}

#[test]
fn a_stale_copy_that_somebody_said_counts_may_be_served() {
    let policy = Policy { stale_takeover: StaleTakeover::Never, ..Policy::default() };
    let late = 100 + policy.max_lag.as_secs() + 1;
    assert_eq!(alone(&copy(), &policy, late, at(2_000)), Takeover::Never);
    let kept = copy()
        .after_resolve(crate::sync::record::Keep::Local, history("b", 3).tip().unwrap().clone());
    assert_eq!(alone(&kept, &policy, late, at(2_000)), Takeover::Now { stale: false });
    let ahead = peer("b", share_of("b", Role::Init, 3), at(2_000));
    let standing = seen(&kept, Some(&ahead), &policy, late, at(2_000));
    assert_eq!(standing.takeover, Takeover::Now { stale: false });
    // The word was about what the peer had then.
    let newer = peer("b", share_of("b", Role::Init, 4), at(1_000));
    let standing = seen(&kept, Some(&newer), &policy, late, at(2_000));
    assert_eq!(standing.takeover, Takeover::Never);
}
