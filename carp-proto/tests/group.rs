//! The rules of a sync group: the group by itself, and one router of a group by itself.

mod support;

use carp_proto::Group;
use carp_proto::election::{Cause, Event, Input, LinkState, Phase, Posture, State};
use proptest::prelude::*;
use support::Effect::{Acquire, Claim, Priority, Release, Resign};
use support::vrrp::{Version, VrrpSetup};
use support::{Effect, Rig, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs};

const POSTURES: [Posture; 6] = [
    Posture::Init,
    Posture::Backup,
    Posture::Willing,
    Posture::Active,
    Posture::Leaving,
    Posture::Unanswered,
];

// The group by itself.

/// A group whose routers know that they have to wait for each other.
fn group(postures: &[Posture]) -> Group {
    let mut group = Group::new(postures.len());
    inputs(&mut group);
    for (member, posture) in postures.iter().enumerate() {
        group.note(member, *posture);
    }
    group
}

fn inputs(group: &mut Group) -> Vec<(usize, Input)> {
    std::iter::from_fn(|| group.poll_input()).take(100).collect()
}

fn permit(member: usize) -> (usize, Input) {
    (member, Input::Permit(true))
}

fn revoke(member: usize) -> (usize, Input) {
    (member, Input::Permit(false))
}

fn step_down(member: usize) -> (usize, Input) {
    (member, Input::StepDown)
}

#[test]
fn a_new_group_tells_its_routers_to_wait_once() {
    let mut group = Group::new(3);
    assert_eq!(inputs(&mut group), [revoke(0), revoke(1), revoke(2)]);
    assert_eq!(inputs(&mut group), []);
    assert_eq!(inputs(&mut Group::new(0)), []);
}

#[test]
fn all_take_over_when_the_last_one_is_willing() {
    let mut group = group(&[Posture::Willing, Posture::Willing, Posture::Backup]);
    assert_eq!(inputs(&mut group), []);
    group.note(2, Posture::Willing);
    assert_eq!(inputs(&mut group), [permit(0), permit(1), permit(2)]);
    (0..3).for_each(|member| group.note(member, Posture::Active));
    assert_eq!(inputs(&mut group), [revoke(0), revoke(1), revoke(2)], "for this once");
}

#[test]
fn permissions_are_taken_back_before_others_are_given() {
    let mut group = group(&[Posture::Willing, Posture::Willing]);
    assert_eq!(group.poll_input(), Some(permit(0)));
    group.note(0, Posture::Active);
    assert_eq!(inputs(&mut group), [revoke(0), permit(1)]);
}

#[test]
fn each_posture_but_those_that_are_up_keeps_the_others_back() {
    for posture in POSTURES {
        let mut waiting = group(&[Posture::Willing, posture]);
        let permitted = match posture {
            Posture::Init | Posture::Backup | Posture::Leaving => vec![],
            Posture::Active => vec![permit(0)],
            Posture::Willing | Posture::Unanswered => vec![permit(0), permit(1)],
        };
        assert_eq!(inputs(&mut waiting), permitted, "{posture}");
    }
}

#[test]
fn each_posture_that_is_not_up_makes_the_active_ones_step_down_once() {
    for posture in POSTURES {
        let mut group = group(&[Posture::Active, posture, Posture::Active]);
        let told = match posture {
            Posture::Init | Posture::Backup | Posture::Leaving => vec![step_down(0), step_down(2)],
            Posture::Active => vec![],
            Posture::Willing | Posture::Unanswered => vec![permit(1)],
        };
        assert_eq!(inputs(&mut group), told, "{posture}");
        assert_eq!(inputs(&mut group), []);
    }
}

#[test]
fn who_was_not_answered_waits_for_those_that_leave_and_for_no_others() {
    for posture in POSTURES {
        let mut group = group(&[Posture::Unanswered, posture]);
        let told = match posture {
            Posture::Init | Posture::Backup => vec![step_down(0)],
            Posture::Leaving => vec![],
            Posture::Active => vec![permit(0)],
            Posture::Willing | Posture::Unanswered => vec![permit(0), permit(1)],
        };
        assert_eq!(inputs(&mut group), told, "{posture}");
    }
}

#[test]
fn a_permission_that_was_not_used_is_taken_back() {
    let mut group = group(&[Posture::Willing, Posture::Willing]);
    assert_eq!(group.poll_input(), Some(permit(0)));
    // Before the second one is told, the first one has failed.
    group.note(0, Posture::Backup);
    assert_eq!(inputs(&mut group), [revoke(0)]);
}

#[test]
fn a_number_of_no_router_changes_nothing() {
    let mut group = group(&[Posture::Willing]);
    group.note(1, Posture::Init);
    assert_eq!(inputs(&mut group), [permit(0)]);
}

fn any_posture() -> impl Strategy<Value = Posture> {
    prop::sample::select(&POSTURES[..])
}

proptest! {
    #[test]
    fn a_group_of_routers_that_obey_comes_to_rest_whole_after_two_inputs_each(
        events in prop::collection::vec((0..4_usize, any_posture()), 1..60),
        serving: [bool; 4],
        size in 1..5_usize,
    ) {
        let mut group = group(&vec![Posture::Init; size]);
        let mut postures = vec![Posture::Init; size];
        for (member, posture) in events {
            let member = member % size;
            postures[member] = posture;
            group.note(member, posture);
            let mut told = vec![0; size];
            while let Some((member, input)) = group.poll_input() {
                told[member] += 1;
                prop_assert!(told[member] <= 2, "{:?}", told);
                postures[member] = match (postures[member], input) {
                    (Posture::Willing | Posture::Unanswered, Input::Permit(true)) => Posture::Active,
                    (Posture::Active, Input::StepDown) if serving[member] => Posture::Leaving,
                    (Posture::Active | Posture::Unanswered, Input::StepDown) => Posture::Backup,
                    (posture, _) => posture,
                };
                group.note(member, postures[member]);
            }
            let active = postures.iter().filter(|posture| **posture == Posture::Active).count();
            prop_assert!(active == 0 || active == size, "{:?}", postures);
        }
    }

    #[test]
    fn whatever_its_routers_do_a_group_asks_for_no_more_than_they_change(
        answers in prop::collection::vec((0..4_usize, any_posture()), 0..60),
        size in 1..5_usize,
    ) {
        let mut group = Group::new(size);
        let most = 2 * size * (answers.len() + 1);
        let mut answers = answers.into_iter();
        let mut inputs = 0;
        while let Some((member, _)) = group.poll_input() {
            inputs += 1;
            prop_assert!(inputs <= most);
            if let Some((other, posture)) = answers.next() {
                group.note(member, posture);
                group.note(other % size, posture);
            }
        }
        prop_assert_eq!(group.poll_input(), None);
    }
}

// A router of a group by itself.

fn event(from: State, to: State, cause: Cause) -> Effect {
    Effect::State(from, to, cause)
}

fn waiting(setup: Setup) -> Rig {
    let mut rig = setup.rig().backup();
    assert_eq!(rig.input(Input::Permit(false)), []);
    rig
}

fn willing(setup: Setup) -> Rig {
    let mut rig = waiting(setup);
    assert_eq!(rig.times_out(), []);
    assert_eq!((rig.state(), rig.router.posture()), (State::Backup, Posture::Willing));
    rig
}

#[test]
fn a_willing_backup_has_no_deadline_and_does_nothing_on_timeouts() {
    let mut rig = willing(Setup::new());
    assert_eq!(rig.router.poll_timeout(), None);
    for _ in 0..3 {
        assert_eq!(rig.passes(secs(100)).input(Input::Timeout), []);
    }
    assert_eq!(rig.router.posture(), Posture::Willing);
    assert_eq!(rig.input(Input::Permit(false)), []);
    assert_eq!(rig.input(Input::StepDown), []);
    assert_eq!(rig.input(Input::Yield), []);
    assert_eq!(rig.router.posture(), Posture::Willing);
    assert_eq!(rig.input(Input::Permit(true)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_permission_without_a_reason_starts_no_takeover() {
    let mut rig = waiting(Setup::new());
    let wait = rig.wait();
    assert_eq!(rig.input(Input::Permit(true)), []);
    assert_eq!((rig.router.posture(), rig.wait()), (Posture::Backup, wait));
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn an_advert_that_would_start_the_timer_anew_ends_the_willingness() {
    let mut rig = willing(Setup { preempt: true, ..Setup::new() });
    assert_eq!(rig.hears(ip(9), 1, 50), []);
    assert_eq!(rig.router.posture(), Posture::Backup);
    assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100);
    assert_eq!(rig.input(Input::Permit(true)), []);
}

#[test]
fn an_advert_that_is_preempted_leaves_it() {
    let mut rig = willing(Setup { preempt: true, ..Setup::new() });
    assert_eq!(rig.hears(ip(9), 1, 150), []);
    assert_eq!(rig.router.posture(), Posture::Willing);
    for version in Version::ALL {
        let mut rig = VrrpSetup { preempt: true, ..VrrpSetup::new(version) }.rig().backup();
        rig.input(Input::Permit(false));
        assert_eq!(rig.times_out(), []);
        assert_eq!(rig.hears_vrrp(version, 9, 50), []);
        assert_eq!(rig.router.posture(), Posture::Willing);
        assert_eq!(rig.hears_vrrp(version, 9, 150), []);
        assert_eq!(rig.router.posture(), Posture::Backup);
    }
}

/// What makes a router willing.
type Reason = fn(&mut Rig) -> Vec<Effect>;

#[test]
fn a_permitted_router_takes_over_for_the_reason_that_made_it_willing() {
    let preempts = Setup { preempt: true, ..Setup::new() };
    let resigned = |rig: &mut Rig| {
        assert_eq!(rig.hears(ip(9), 1, 0), []);
        rig.hears_resignation(ip(9))
    };
    let worse = |rig: &mut Rig| rig.hears(ip(9), 1, 200);
    let reasons: [(Reason, Cause); 3] = [
        (resigned, Cause::Resigned),
        (worse, Cause::WorsePeer),
        (Rig::times_out, Cause::ActiveDown),
    ];
    for (reason, cause) in reasons {
        let mut rig = waiting(preempts);
        assert_eq!(reason(&mut rig), []);
        assert_eq!(rig.router.posture(), Posture::Willing, "{cause}");
        rig.passes(secs(5));
        assert_eq!(rig.input(Input::Permit(true)), [Claim(1, 100, 0), Acquire]);
        assert_eq!(rig.input(Input::Acquired), [event(State::Backup, State::Active, cause)]);
    }
}

#[test]
fn a_waiting_owner_is_willing_at_once() {
    for version in Version::ALL {
        let owner = VrrpSetup { priority: 255, ..VrrpSetup::new(version) };
        let mut rig = owner.rig();
        rig.input(Input::Permit(false));
        let (mut rig, effects) = rig.started();
        assert_eq!(effects, [event(State::Init, State::Backup, Cause::Start)]);
        assert_eq!(rig.router.posture(), Posture::Willing);
        assert_eq!(rig.input(Input::Permit(true)), [Priority(255), Acquire]);
        let to_active = event(State::Backup, State::Active, Cause::Start);
        assert_eq!(rig.input(Input::Acquired), [to_active]);
    }
}

#[test]
fn after_a_resignation_in_vrrp_the_skew_time_comes_before_the_willingness() {
    for version in Version::ALL {
        let mut rig = VrrpSetup { preempt: false, ..VrrpSetup::new(version) }.rig().backup();
        rig.input(Input::Permit(false));
        rig.hears_vrrp(version, 9, 200);
        rig.hears_vrrp(version, 9, 0);
        assert_eq!(rig.router.posture(), Posture::Backup);
        assert_eq!(rig.times_out(), []);
        assert_eq!(rig.router.posture(), Posture::Willing);
        rig.hears_vrrp(version, 9, 0);
        assert_eq!((rig.router.posture(), rig.router.poll_timeout()), (Posture::Willing, None));
    }
}

#[test]
fn stop_and_a_lost_link_end_the_willingness() {
    let ends = [(Input::Stop, Cause::Stop), (Input::Link(LinkState::Down), Cause::Link)];
    for (input, cause) in ends {
        let mut rig = willing(Setup::new());
        assert_eq!(rig.input(input), [event(State::Backup, State::Init, cause)]);
        assert_eq!(rig.input(Input::Permit(true)), []);
        assert_eq!(rig.router.posture(), Posture::Init);
    }
}

#[test]
fn stepping_down_resigns_twice_and_serves_until_a_successor_announces() {
    let mut rig = Setup::new().rig().leaving(Input::StepDown);
    assert_eq!(rig.router.posture(), Posture::Leaving);
    assert_eq!((rig.wait(), rig.times_out()), (ms(10), vec![Resign]));
    assert_eq!(rig.input(Input::StepDown), [], "it does so already");
    assert_eq!(rig.hears(ip(9), 1, 200), []);
    assert_eq!(rig.wait(), ms(200));
    let to_backup = event(State::Active, State::Backup, Cause::Group);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup]);
    assert!(rig.held());
}

#[test]
fn before_it_serves_stepping_down_withdraws() {
    let mut rig = Setup::new().rig().acquiring();
    let ended = event(State::Backup, State::Backup, Cause::Group);
    assert_eq!(rig.input(Input::StepDown), [Resign, Release, ended]);
    assert!(rig.held());
}

#[test]
fn who_is_not_active_does_not_step_down() {
    let mut stopped = Setup::new().rig();
    assert_eq!(stopped.input(Input::StepDown), []);
    let mut rig = Setup::new().rig().backup();
    let wait = rig.wait();
    assert_eq!(rig.input(Input::StepDown), []);
    assert_eq!((rig.wait(), rig.held()), (wait, false));
}

#[test]
fn who_is_not_permitted_leaves_unanswered_and_serves_in_silence() {
    let mut rig = unanswered(Input::StepDown);
    assert_eq!(rig.router.poll_timeout(), None);
    assert_eq!(rig.passes(secs(100)).input(Input::Timeout), []);
    assert_eq!((rig.router.posture(), rig.phase()), (Posture::Unanswered, Some(Phase::Leaving)));
    assert_eq!(rig.hears_resignation(ip(9)), [], "that is not a successor");
    assert_eq!(rig.router.posture(), Posture::Unanswered);
}

fn unanswered(input: Input) -> Rig {
    let mut rig = Setup::new().rig().leaving(input);
    rig.input(Input::Permit(false));
    let effects: Vec<Effect> = rig.runs(secs(10)).into_iter().map(|(_, effect)| effect).collect();
    assert_eq!(effects, [Resign]);
    assert_eq!(rig.router.posture(), Posture::Unanswered);
    rig
}

#[test]
fn stepping_down_leaves_a_successor_the_time_to_miss_a_silent_router_too() {
    let mut rig = Setup::new().rig().leaving(Input::StepDown);
    rig.input(Input::Permit(false));
    rig.times_out();
    // The active-down interval, and the handover window.
    assert_eq!(rig.wait() + ms(10), secs(3) + SKEW_UNIT * 100 + secs(2) + SKEW_UNIT * 100);
}

#[test]
fn the_unanswered_are_taken_back_when_they_may() {
    let told = Effect::Event(Event::YieldUnanswered);
    let cases = [
        (Input::StepDown, vec![Claim(1, 100, 0), Acquire]),
        (Input::Yield, vec![Claim(1, 100, 0), Acquire, told]),
    ];
    for (input, expected) in cases {
        let mut rig = unanswered(input);
        assert_eq!(rig.input(Input::Permit(true)), expected);
        assert_eq!(rig.router.posture(), Posture::Active);
        assert_eq!(rig.input(Input::Acquired), []);
    }
}

#[test]
fn what_ends_an_unanswered_handover() {
    let to_backup = event(State::Active, State::Backup, Cause::Group);
    let to_init = |cause| event(State::Active, State::Init, cause);
    let cases = [
        (Input::StepDown, to_backup.clone()),
        (Input::AnnouncementHeard, to_backup.clone()),
        (Input::Stop, to_init(Cause::Stop)),
        (Input::Link(LinkState::Down), to_init(Cause::Link)),
    ];
    for (input, expected) in cases {
        assert_eq!(unanswered(Input::StepDown).input(input), [Release, expected], "{input:?}");
    }
    let mut rig = unanswered(Input::StepDown);
    assert_eq!(rig.hears(ip(9), 1, 200), []);
    assert_eq!((rig.router.posture(), rig.wait()), (Posture::Leaving, ms(200)));
    assert_eq!(rig.times_out(), [Release, to_backup]);
}

#[test]
fn a_stop_or_a_yield_shortens_the_handover_of_a_group() {
    for (input, cause) in [(Input::Stop, Cause::Stop), (Input::Yield, Cause::Yield)] {
        let mut rig = Setup::new().rig().leaving(Input::StepDown);
        rig.passes(ms(50)).input(Input::Timeout);
        assert_eq!(rig.input(input), []);
        assert_eq!(rig.wait(), secs(2) + SKEW_UNIT * 100);
        let to = if input == Input::Stop { State::Init } else { State::Backup };
        let ended = event(State::Active, to, cause);
        assert_eq!(rig.input(Input::AnnouncementHeard), [Release, ended]);
    }
}

#[test]
fn a_shortened_handover_is_not_lengthened_by_a_successor_that_resigns() {
    for (input, after) in [(Input::Stop, State::Init), (Input::Yield, State::Active)] {
        let mut rig = Setup::new().rig().leaving(Input::StepDown);
        rig.passes(ms(50)).input(Input::Timeout);
        rig.input(input);
        let wait = rig.wait();
        rig.hears(ip(9), 1, 200);
        assert!(rig.wait() < wait, "the successor has the addresses soon");
        rig.hears_resignation(ip(9));
        assert_eq!(rig.wait(), wait, "and now it has not");
        rig.times_out();
        assert_eq!(rig.state(), after, "nobody took over");
    }
}

#[test]
fn a_better_router_that_resigns_at_once_is_served_on_for_only_with_permission() {
    let mut rig = Setup::new().rig().serving();
    rig.input(Input::Permit(false));
    assert_eq!(rig.hears(ip(9), 1, 50), [Claim(1, 100, 0)]);
    assert_eq!(rig.router.posture(), Posture::Leaving);
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.router.posture(), Posture::Unanswered);
    assert_eq!(rig.input(Input::Permit(true)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn who_waits_after_a_better_router_has_resigned_hands_over_to_any_other() {
    let mut rig = Setup::new().rig().serving();
    rig.input(Input::Permit(false));
    rig.hears(ip(9), 1, 50);
    rig.hears_resignation(ip(9));
    assert_eq!(rig.router.posture(), Posture::Unanswered);
    // Worse than the one that has resigned, and than this router.
    assert_eq!(rig.passes(secs(5)).hears(ip(8), 1, 200), []);
    assert_eq!((rig.router.posture(), rig.wait()), (Posture::Leaving, ms(200)));
    let to_backup = event(State::Active, State::Backup, Cause::BetterPeer);
    assert_eq!(rig.times_out(), [Release, to_backup]);
}

#[test]
fn a_group_that_went_to_a_worse_host_is_held_and_one_that_went_to_a_better_is_not() {
    for (advskew, held) in [(200, true), (100, true), (50, false)] {
        let mut rig = Setup::new().rig().leaving(Input::StepDown);
        rig.hears(ip(9), 1, advskew);
        rig.input(Input::AnnouncementHeard);
        assert_eq!(rig.held(), held);
        let down = secs(3) + SKEW_UNIT * 100;
        let interval = secs(1) + SKEW_UNIT * 100;
        let waits = rig.wait();
        if held {
            // Longer by more than an interval and less than two, as its address decides.
            assert!(waits > down + interval && waits < down + interval * 2, "{waits:?}");
        } else {
            assert_eq!(waits, down);
        }
        rig.passes(secs(59));
        assert_eq!(rig.held(), held, "for a minute at the least");
        rig.passes(secs(31)).hears(ip(9), 1, 50);
        assert_eq!(rig.wait(), down, "half a minute later no more");
    }
}

/// The one that it resigned to may not have been heard yet.
#[test]
fn who_is_held_for_its_group_lets_the_successor_of_a_resigning_router_speak_first() {
    let mut rig = Setup { advskew: 0, ..Setup::new() }.rig().leaving(Input::StepDown);
    rig.hears(ip(9), 1, 200);
    rig.input(Input::AnnouncementHeard);
    assert!(rig.held());
    rig.passes(ms(150)).hears(ip(9), 1, 200);
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.wait(), ms(100));
    assert_eq!(rig.passes(ms(10)).hears_resignation(ip(9)), [], "which it repeats");
    assert_eq!(rig.wait(), ms(90));

    let mut succeeded = rig.clone();
    succeeded.hears(ip(8), 1, 50);
    assert!(succeeded.wait() > secs(3), "another one serves");

    rig.times_out();
    assert_eq!(rig.state(), State::Active, "nobody does");
}

/// A minute at the least; less than that and half a minute, or eight intervals where they are longer.
#[test]
fn holds_of_neighbouring_addresses_end_adverts_apart() {
    for advbase in [1, 5, 60] {
        let held_for = |last: u8| {
            let setup = Setup { advbase, advskew: 0, source: ip(last), ..Setup::new() };
            let mut rig = setup.rig().leaving(Input::StepDown);
            rig.input(Input::AnnouncementHeard);
            let from = rig.now;
            while rig.held() {
                rig.passes(ms(100));
            }
            rig.now.saturating_since(from)
        };
        let interval = secs(advbase.into());
        let mut all: Vec<_> = (1..=4).map(held_for).collect();
        all.sort();
        let longest = secs(60) + secs(30).max(interval * 8);
        assert!(all[0] >= secs(60) && all[3] <= longest, "{all:?}");
        let nearest = all.windows(2).map(|pair| pair[1] - pair[0]).min();
        assert!(nearest > Some(interval), "{all:?}");
    }
}

#[test]
fn hosts_with_neighbouring_addresses_wait_for_different_times() {
    let waits = |last: u8| {
        let setup = Setup { advskew: 0, source: ip(last), ..Setup::new() };
        let mut rig = setup.rig().leaving(Input::StepDown);
        rig.input(Input::AnnouncementHeard);
        rig.wait()
    };
    let mut all: Vec<_> = (1..12).map(waits).collect();
    all.sort();
    let nearest = all.windows(2).map(|pair| pair[1] - pair[0]).min();
    assert!(nearest > Some(ms(30)), "{all:?}");
}
