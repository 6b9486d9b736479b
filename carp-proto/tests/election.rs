//! Every rule of the election, through the public API, one router at a time.

mod support;

use std::time::Duration;

use carp_proto::Demotion;
use carp_proto::election::{
    AnnouncePlan, Cause, Dialect, Event, Fault, Input, LinkState, Phase, State, Wait,
};
use support::Effect::{Acquire, Announce, Claim, Prepare, Release, Resign};
use support::{Effect, Rig, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs};

const fn state(from: State, to: State, cause: Cause) -> Effect {
    Effect::State(from, to, cause)
}

fn to_backup(cause: Cause) -> Effect {
    state(State::Active, State::Backup, cause)
}

/// A takeover that ended before the addresses were there.
fn failed(cause: Cause) -> Effect {
    state(State::Backup, State::Backup, cause)
}

fn native() -> Setup {
    Setup::new()
}

fn with(dialect: Dialect) -> Setup {
    Setup { dialect, ..Setup::new() }
}

fn demoted(points: u32) -> Input {
    Input::Demotion(Demotion::clamped(points))
}

const FAILED_TO_ACQUIRE: Input = Input::Fault(Fault::Acquire { code: 1 });

// Starting, and the link.

#[test]
fn nothing_happens_before_start_and_link() {
    let mut rig = native().rig();
    assert_eq!(rig.input(Input::Timeout), []);
    assert_eq!(rig.hears(ip(9), 1, 0), []);
    assert_eq!(rig.input(Input::Start), []);
    assert_eq!(rig.state(), State::Init);
    assert_eq!(rig.router.poll_timeout(), None);
    assert_eq!(rig.link_up(), [state(State::Init, State::Backup, Cause::Start)]);
    assert_eq!(rig.input(Input::Start), [], "a second start");
    assert_eq!(rig.link_up(), [], "a second word of the link");
}

#[test]
fn the_order_of_start_and_link_does_not_matter() {
    let mut rig = native().rig();
    assert_eq!(rig.link_up(), []);
    assert_eq!(rig.input(Input::Start), [state(State::Init, State::Backup, Cause::Start)]);
}

#[test]
fn an_interface_without_an_address_is_as_good_as_down() {
    let mut rig = native().rig().backup();
    let effects = rig.input(Input::Link(LinkState::NoAddress));
    assert_eq!(effects, [state(State::Backup, State::Init, Cause::Link)]);
    assert_eq!(rig.input(Input::Link(LinkState::Down)), []);
    assert_eq!(rig.link_up(), [state(State::Init, State::Backup, Cause::Link)]);
}

#[test]
fn a_lost_link_ends_every_state() {
    let init = |from, cause| state(from, State::Init, cause);
    let prepares = Setup { prepare: Some(secs(5)), ..native() };
    let cases = [
        (native().rig().backup(), vec![init(State::Backup, Cause::Link)]),
        (prepares.rig().preparing(), vec![Release, init(State::Backup, Cause::Link)]),
        (native().rig().acquiring(), vec![Release, init(State::Backup, Cause::Link)]),
        (native().rig().serving(), vec![Release, init(State::Active, Cause::Link)]),
        (native().rig().leaving(Input::Yield), vec![Release, init(State::Active, Cause::Link)]),
        (
            native().rig().leaving(Input::Stop),
            vec![Release, state(State::Active, State::Init, Cause::Stop)],
        ),
    ];
    for (mut rig, expected) in cases {
        assert_eq!(rig.input(Input::Link(LinkState::Down)), expected);
        assert_eq!((rig.state(), rig.router.poll_timeout()), (State::Init, None));
    }
}

#[test]
fn a_router_that_was_stopping_when_the_link_went_stays_stopped() {
    let mut rig = native().rig().leaving(Input::Stop);
    rig.input(Input::Link(LinkState::Down));
    assert_eq!(rig.link_up(), []);
    let mut rig = native().rig().leaving(Input::Yield);
    rig.input(Input::Link(LinkState::Down));
    assert_eq!(rig.link_up(), [state(State::Init, State::Backup, Cause::Link)]);
}

// Becoming active.

#[test]
fn backup_takes_over_after_three_missed_adverts() {
    for dialect in Dialect::ALL {
        let mut rig = with(dialect).rig().backup();
        rig.passes(ms(700)).hears(ip(9), 1, 0);
        let down = secs(3) + SKEW_UNIT * 100;
        assert_eq!(rig.wait(), down, "{dialect}");
        assert_eq!(rig.router.poll_timeout().unwrap().why, Wait::ActiveDown);
        rig.passes(down - ms(1));
        assert_eq!(rig.input(Input::Timeout), [], "early");
        assert_eq!(rig.passes(ms(1)).input(Input::Timeout), [Claim(1, 100, 0), Acquire]);
        assert_eq!(rig.input(Input::Timeout), [], "again");
        assert_eq!(
            rig.input(Input::Acquired),
            [state(State::Backup, State::Active, Cause::ActiveDown)]
        );
    }
}

#[test]
fn the_event_of_a_takeover_names_the_silent_peer() {
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.times_out();
    rig.router.handle(rig.now, Input::Acquired);
    let mut scratch = bytes::BytesMut::new();
    let action = rig.router.poll_action(&mut scratch);
    let Some(carp_proto::Action::Event(Event::State { evidence, .. })) = action else {
        panic!("{action:?}")
    };
    assert_eq!(evidence.peer, Some(ip(9)));
    assert_eq!(evidence.silent_for, Some(secs(3) + SKEW_UNIT * 100));
}

#[test]
fn what_is_registered_comes_between_the_advert_and_the_addresses() {
    let mut rig = Setup { prepare: Some(secs(5)), ..native() }.rig().backup();
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Prepare]);
    assert_eq!(rig.input(Input::Acquired), [], "nothing was asked for yet");
    assert_eq!(rig.input(Input::AddressLost), []);
    assert_eq!(rig.input(FAILED_TO_ACQUIRE), []);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0)], "adverts do not wait");
    assert_eq!(rig.input(Input::Prepared), [Acquire]);
    assert_eq!(rig.input(Input::Prepared), []);
    assert_eq!(rig.input(Input::Refused), [], "too late");
    assert_eq!(rig.phase(), Some(Phase::TakingOver));
    rig.input(Input::Acquired);
    assert_eq!(rig.phase(), Some(Phase::Serving));
}

#[test]
fn a_takeover_that_fails_resigns_and_holds() {
    let prepares = Setup { prepare: Some(secs(2)), ..native() };
    let cases = [
        (prepares.rig().preparing(), Input::Refused, Fault::Refused),
        (prepares.rig().preparing(), Input::Fault(Fault::Refused), Fault::Refused),
        (prepares.rig().preparing(), Input::Fault(Fault::PrepareTimeout), Fault::PrepareTimeout),
        (native().rig().acquiring(), FAILED_TO_ACQUIRE, Fault::Acquire { code: 1 }),
        (native().rig().acquiring(), Input::Fault(Fault::AcquireTimeout), Fault::AcquireTimeout),
    ];
    for (mut rig, input, fault) in cases {
        assert_eq!(rig.input(input), [Resign, Release, failed(Cause::Fault)], "{input:?}");
        assert_eq!((rig.state(), rig.fault(), rig.held()), (State::Backup, Some(fault), true));
        // With nobody else there, it tries again after the active-down interval.
        assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100);
    }
}

#[test]
fn a_takeover_out_of_time_fails() {
    let mut rig = Setup { prepare: Some(ms(900)), ..native() }.rig().preparing();
    assert_eq!((rig.wait(), rig.router.poll_timeout().unwrap().why), (ms(900), Wait::Takeover));
    assert_eq!(rig.times_out(), [Resign, Release, failed(Cause::Fault)]);
    assert_eq!(rig.fault(), Some(Fault::PrepareTimeout));

    let mut rig = native().rig().acquiring();
    assert_eq!(
        rig.runs(secs(1)),
        [(secs(1), Resign), (secs(1), Release), (secs(1), failed(Cause::Fault))]
    );
    assert_eq!(rig.fault(), Some(Fault::AcquireTimeout));
    rig.times_out();
    assert_eq!(rig.fault(), Some(Fault::AcquireTimeout), "until the addresses are there");
    rig.input(Input::Acquired);
    assert_eq!(rig.fault(), None);
}

#[test]
fn a_fault_of_another_time_changes_nothing() {
    for input in [FAILED_TO_ACQUIRE, Input::Refused, Input::Prepared, Input::Acquired] {
        let mut rig = native().rig().backup();
        assert_eq!(rig.input(input), [], "{input:?} in backup");
        let mut rig = native().rig().leaving(Input::Yield);
        assert_eq!(rig.input(input), [], "{input:?} while leaving");
        assert_eq!(native().rig().input(input), [], "{input:?} in init");
    }
    let mut rig = native().rig().serving();
    assert_eq!(rig.input(Input::Fault(Fault::Release { code: 5 })), []);
    assert_eq!(rig.fault(), Some(Fault::Release { code: 5 }));
    assert_eq!(rig.input(Input::Fault(Fault::PrepareTimeout)), []);
}

// Being backup.

#[test]
fn a_backup_follows_any_active_router_unless_it_preempts() {
    for dialect in Dialect::ALL {
        for (preempt, theirs, takes_over) in [
            (false, (1, 0), false),
            (false, (1, 200), false),
            (false, (2, 0), false),
            (true, (1, 0), false),
            (true, (1, 100), false), // a tie
            (true, (1, 101), true),
            (true, (2, 0), true),
        ] {
            let mut rig = Setup { preempt, ..with(dialect) }.rig().backup();
            let effects = rig.passes(ms(500)).hears(ip(9), theirs.0, theirs.1);
            let expected = if takes_over { vec![Claim(1, 100, 0), Acquire] } else { vec![] };
            assert_eq!(effects, expected, "{dialect}, preempt {preempt}, {theirs:?}");
            if !takes_over {
                assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100);
            }
        }
    }
}

#[test]
fn the_farewell_of_a_loser_is_no_reason_to_preempt_while_the_winner_lives() {
    let mut rig = Setup { preempt: true, ..native() }.rig().backup();
    rig.hears(ip(9), 1, 0);
    let wait = rig.wait();
    assert_eq!(rig.passes(ms(5)).hears(ip(8), 1, 200), []);
    assert_eq!(rig.wait(), wait - ms(5), "it follows the winner");
    rig.passes(secs(1)).hears(ip(8), 1, 200);
    assert_eq!(rig.state(), State::Active, "the winner is late: it may be dead");
}

#[test]
fn a_router_that_advertises_too_seldom_counts_as_dead() {
    for dialect in Dialect::ALL {
        let mut rig = with(dialect).rig().backup();
        assert_eq!(rig.hears(ip(9), 3, 100), [], "{dialect}: it will be in time, just");
        assert_eq!(rig.hears(ip(9), 3, 101), [Claim(1, 100, 0), Acquire], "{dialect}");
        let cause = state(State::Backup, State::Active, Cause::WorsePeer);
        assert_eq!(rig.input(Input::Acquired), [cause]);
    }
}

#[test]
fn a_resignation_of_the_active_router_is_honoured_at_once() {
    for dialect in Dialect::ALL {
        let mut rig = with(dialect).rig().backup();
        rig.hears(ip(9), 1, 0);
        assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire], "{dialect}");
        let cause = state(State::Backup, State::Active, Cause::Resigned);
        assert_eq!(rig.input(Input::Acquired), [cause]);
    }
}

#[test]
fn only_the_active_router_can_resign() {
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 1, 0);
    let wait = rig.wait();
    assert_eq!(rig.hears_resignation(ip(8)), []);
    assert_eq!((rig.state(), rig.wait()), (State::Backup, wait));

    let mut rig = native().rig().backup();
    assert_eq!(rig.hears_resignation(ip(8)), [Claim(1, 100, 0), Acquire], "nobody else is known");
}

#[test]
fn an_active_router_ignores_resignations() {
    for mut rig in [native().rig().acquiring(), native().rig().serving()] {
        let wait = rig.wait();
        assert_eq!(rig.hears_resignation(ip(9)), []);
        assert_eq!((rig.state(), rig.wait()), (State::Active, wait));
    }
    let mut rig = native().rig().leaving(Input::Yield);
    assert_eq!(rig.hears_resignation(ip(9)), [], "a resigned router is no successor");
    assert_eq!(rig.phase(), Some(Phase::Leaving));
}

#[test]
fn a_backup_that_slept_waits_one_more_interval_awake() {
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 2, 0);
    rig.passes(secs(9));
    assert_eq!(rig.input(Input::Timeout), []);
    assert_eq!(rig.wait(), secs(2), "the longer of both intervals");
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);

    let mut rig = native().rig().backup();
    let late = rig.wait() + secs(1);
    assert_eq!(rig.passes(late).input(Input::Timeout), [Claim(1, 100, 0), Acquire], "a bit late");
}

// Being active.

#[test]
fn an_active_router_advertises_every_interval_and_keeps_the_rhythm() {
    let quiet = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None };
    let mut rig = Setup { announce: quiet, ..native() }.rig().serving();
    let interval = secs(1) + SKEW_UNIT * 100;
    assert_eq!(rig.wait(), interval);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0)]);
    rig.passes(interval + ms(7));
    assert_eq!(rig.input(Input::Timeout), [Claim(1, 100, 0)]);
    assert_eq!(rig.wait(), interval - ms(7));
    for late in [ms(30), secs(1), secs(3)] {
        let wait = rig.wait();
        rig.passes(wait + late);
        assert_eq!(rig.input(Input::Timeout), [Claim(1, 100, 0)]);
        assert_eq!(rig.wait(), interval - ms(10), "missed adverts are not made up for");
    }
}

#[test]
fn a_strictly_better_router_is_yielded_to_with_or_without_a_farewell() {
    for (dialect, farewell) in [
        (Dialect::Native, true),
        (Dialect::Ucarp, true),
        (Dialect::FreeBsd, false),
        (Dialect::OpenBsd, false),
    ] {
        let mut rig = with(dialect).rig().serving();
        let mut effects = rig.hears(ip(9), 1, 99);
        assert_eq!(rig.phase(), Some(Phase::Leaving), "{dialect} serves until the other does");
        rig.passes(ms(2));
        effects.extend(rig.input(Input::AnnouncementHeard));
        let mut expected = vec![Release, to_backup(Cause::BetterPeer)];
        if farewell {
            expected.insert(0, Claim(1, 100, 0));
        }
        assert_eq!(effects, expected, "{dialect}");
        assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100 - ms(2), "since its advert");

        let mut rig = with(dialect).rig().acquiring();
        *expected.last_mut().unwrap() = failed(Cause::BetterPeer);
        assert_eq!(rig.hears(ip(9), 1, 99), expected, "{dialect}, before it had the addresses");
        assert_eq!(rig.input(Input::Acquired), [], "too late");
    }
}

#[test]
fn who_yields_to_a_better_router_serves_until_that_announces_or_200_ms_have_passed() {
    let gives_way = || {
        let mut rig = native().rig().serving();
        assert_eq!(rig.hears(ip(9), 1, 0), [Claim(1, 100, 0)]);
        rig
    };
    let gone = [Release, to_backup(Cause::BetterPeer)];
    assert_eq!(gives_way().wait(), ms(200));
    assert_eq!(gives_way().times_out(), gone);
    let mut short = Setup { handover: Some(ms(50)), ..native() }.rig().serving();
    short.hears(ip(9), 1, 0);
    assert_eq!(short.wait(), ms(50), "never longer than the handover window");

    let mut rig = gives_way();
    assert_eq!(rig.passes(ms(5)).hears(ip(9), 1, 0), [], "its repeated advert");
    assert_eq!(rig.input(Input::Link(LinkState::Down))[0], Release);
    assert_eq!(gives_way().input(Input::Stop), []);
    let mut rig = gives_way();
    rig.input(Input::Stop);
    assert_eq!(rig.times_out(), [Release, state(State::Active, State::Init, Cause::Stop)]);
    let mut rig = gives_way();
    assert_eq!(rig.input(Input::Start), [], "it runs");
    assert_eq!(rig.times_out(), gone);
    let mut rig = gives_way();
    assert_eq!(rig.input(Input::Yield), []);
    assert_eq!(rig.times_out(), [Release, to_backup(Cause::Yield)]);
    assert!(rig.held());
}

#[test]
fn who_yields_to_a_router_that_resigns_at_once_serves_on() {
    let mut rig = native().rig().serving();
    rig.hears(ip(9), 1, 0);
    assert_eq!(rig.hears_resignation(ip(8)), [], "not of the one that it yields to");
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);
    assert_eq!(rig.input(Input::Acquired), []);
    assert_eq!((rig.state(), rig.phase()), (State::Active, Some(Phase::Serving)));
}

#[test]
fn a_tie_is_broken_as_the_dialect_says_and_without_a_farewell() {
    // We are 10.99.0.5.
    for (dialect, lower_stays, higher_stays) in [
        (Dialect::Native, true, false),
        (Dialect::Ucarp, true, false),
        (Dialect::FreeBsd, true, true),
        (Dialect::OpenBsd, true, true),
    ] {
        for (source, yields) in [(ip(4), lower_stays), (ip(6), higher_stays)] {
            let mut rig = with(dialect).rig().serving();
            let effects = rig.hears(source, 1, 100);
            let expected = if yields {
                vec![Release, to_backup(Cause::BetterPeer)]
            } else {
                vec![Effect::Event(Event::Rival { source }), Announce]
            };
            assert_eq!(effects, expected, "{dialect} hears {source}");
        }
    }
}

#[test]
fn a_worse_active_router_is_answered_at_once_and_after_one_and_five_seconds() {
    for dialect in Dialect::ALL {
        let plan = AnnouncePlan { refresh: None, ..AnnouncePlan::default() };
        let mut rig = Setup { announce: plan, ..with(dialect) }.rig().serving();
        rig.runs(secs(10));
        let rival = Effect::Event(Event::Rival { source: ip(9) });
        assert_eq!(rig.hears(ip(9), 1, 101), [rival, Announce], "{dialect}");
        let announced: Vec<Duration> = rig
            .runs(secs(20))
            .into_iter()
            .filter_map(|(at, effect)| (effect == Announce).then_some(at))
            .collect();
        assert_eq!(announced, [secs(1), secs(5)], "{dialect}");
    }
}

#[test]
fn a_loud_rival_gets_one_announcement_an_interval_and_one_event() {
    let mut rig = native().rig().serving();
    rig.runs(secs(10));
    let mut effects = Vec::new();
    for _ in 0..100 {
        effects.extend(rig.hears(ip(9), 1, 200));
        effects.extend(rig.runs(ms(50)).into_iter().map(|(_, effect)| effect));
    }
    let count = |wanted: &Effect| effects.iter().filter(|effect| *effect == wanted).count();
    assert_eq!(count(&Effect::Event(Event::Rival { source: ip(9) })), 1);
    assert!((3..=4).contains(&count(&Announce)), "{} in 5 s", count(&Announce));
}

#[test]
fn rivals_with_many_sources_get_no_more_announcements_than_one() {
    let mut rig = native().rig().serving();
    rig.runs(secs(10));
    let mut effects = Vec::new();
    for round in 0..100 {
        effects.extend(rig.hears(ip(10 + round), 1, 200));
        effects.extend(rig.runs(ms(50)).into_iter().map(|(_, effect)| effect));
    }
    let announced = effects.iter().filter(|effect| **effect == Announce).count();
    let events = effects.iter().filter(|effect| matches!(effect, Effect::Event(_))).count();
    assert!((3..=4).contains(&announced), "{announced} in 5 s");
    assert!((3..=4).contains(&events), "{events} in 5 s");
}

#[test]
fn announcements_follow_the_plan() {
    let repeat = [Some(ms(500)), Some(secs(2)), Some(secs(4)), None];
    let plan = AnnouncePlan { burst: 3, repeat, refresh: Some(secs(10)) };
    let mut rig = Setup { announce: plan, ..native() }.rig().serving();
    let announced: Vec<Duration> = rig
        .runs(secs(30))
        .into_iter()
        .filter_map(|(at, effect)| (effect == Announce).then_some(at))
        .collect();
    assert_eq!(announced[..3], [ms(500), secs(2), secs(4)]);
    for pair in announced[2..].windows(2) {
        let pause = pair[1] - pair[0];
        assert!((secs(9)..=secs(11)).contains(&pause), "{announced:?}");
    }
    assert!((4..=5).contains(&announced.len()), "{announced:?}");
}

#[test]
fn routers_that_take_over_together_do_not_refresh_together() {
    let plan = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: Some(secs(60)) };
    let refresh = |seed| {
        let mut rig = Setup { announce: plan, seed, ..native() }.rig().serving();
        let announced = rig.runs(secs(70)).into_iter().find(|(_, effect)| *effect == Announce);
        announced.unwrap().0
    };
    let mut times: Vec<Duration> = (0..100).map(refresh).collect();
    times.sort();
    assert!(times[0] >= secs(54) && times[99] <= secs(66), "{times:?}");
    assert!(times[0] < secs(55) && times[99] > secs(65), "they use the room: {times:?}");
    for second in times.windows(26) {
        assert!(second[25] - second[0] > secs(1), "no second has a quarter of them: {times:?}");
    }
}

#[test]
fn a_refresh_of_nothing_is_no_loop() {
    let plan = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: Some(Duration::ZERO) };
    let mut rig = Setup { announce: plan, ..native() }.rig().serving();
    let announced = rig.runs(secs(10)).into_iter().filter(|(_, effect)| *effect == Announce);
    assert!((9..=11).contains(&announced.count()));
}

#[test]
fn an_active_router_that_slept_too_long_listens_first() {
    let down = secs(3) + SKEW_UNIT * 100;
    for mut rig in [native().rig().acquiring(), native().rig().serving()] {
        let wait = rig.router.poll_timeout().unwrap();
        let advert_at =
            if wait.why == Wait::Advert { rig.wait() } else { secs(1) + SKEW_UNIT * 100 };
        rig.passes(advert_at + down + ms(1));
        let from = if rig.phase() == Some(Phase::Serving) { State::Active } else { State::Backup };
        let expected = [Release, state(from, State::Backup, Cause::Paused)];
        assert_eq!(rig.input(Input::Timeout), expected);
        assert_eq!(rig.wait(), down);
    }
}

#[test]
fn an_active_router_that_slept_a_little_goes_on() {
    let mut rig = native().rig().serving();
    let wait = rig.wait().max(secs(1) + SKEW_UNIT * 100);
    rig.passes(wait + secs(3));
    assert!(rig.input(Input::Timeout).contains(&Claim(1, 100, 0)));
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn whatever_wakes_a_router_that_slept_too_long_finds_a_backup() {
    let inputs = [Input::Acquired, Input::AddressLost, demoted(5), Input::Yield, FAILED_TO_ACQUIRE];
    for input in inputs {
        let mut rig = native().rig().serving();
        rig.passes(secs(30));
        assert_eq!(rig.input(input), [Release, to_backup(Cause::Paused)], "{input:?}");
    }
    let mut rig = native().rig().serving();
    rig.passes(secs(30));
    assert_eq!(rig.hears(ip(9), 1, 200), [Release, to_backup(Cause::Paused)]);
    let mut rig = native().rig().serving();
    rig.passes(secs(30));
    let stopped = state(State::Backup, State::Init, Cause::Stop);
    assert_eq!(rig.input(Input::Stop), [Release, to_backup(Cause::Paused), stopped]);
}

#[test]
fn what_a_router_that_slept_hears_first_is_no_reason_to_take_over() {
    let interval = secs(1) + SKEW_UNIT * 100;
    let quarter = interval / 4;
    // One that was active, and preempts.
    let mut rig = Setup { preempt: true, ..native() }.rig().serving();
    rig.passes(secs(30));
    assert_eq!(rig.hears(ip(9), 1, 200), [Release, to_backup(Cause::Paused)]);
    assert_eq!(rig.wait(), quarter);
    rig.passes(ms(1)).hears(ip(9), 1, 200);
    assert_eq!(rig.wait(), quarter - ms(1), "it is not put off");
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);

    // A backup, for which a resignation has waited, and behind it the successor's advert.
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.passes(secs(9));
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.hears(ip(8), 1, 50), []);
    assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100);

    // And without a successor.
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.passes(secs(9));
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.wait(), quarter);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_handover_that_was_slept_through_from_its_beginning_is_over() {
    let mut rig = native().rig().serving();
    rig.input(Input::Yield);
    // The resignation was to be repeated after 10 ms, and the window ends after 2.4 s.
    rig.passes(ms(11) + secs(3) + SKEW_UNIT * 100);
    assert_eq!(rig.input(Input::Timeout), [Release, to_backup(Cause::Yield)]);
}

// Lost addresses.

#[test]
fn a_lost_address_is_taken_again_and_announced() {
    let mut rig = native().rig().serving();
    rig.runs(secs(10));
    let lost = Effect::Event(Event::AddressLost);
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire]);
    assert_eq!(rig.input(Input::Acquired), [], "acquiring announces");
    let announced: Vec<Duration> = rig
        .runs(secs(10))
        .into_iter()
        .filter_map(|(at, effect)| (effect == Announce).then_some(at))
        .collect();
    assert_eq!(announced, [secs(1), secs(5)]);
}

#[test]
fn many_addresses_that_go_at_once_are_one_loss() {
    let lost = Effect::Event(Event::AddressLost);
    let mut rig = native().rig().serving();
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire]);
    for _ in 0..100 {
        assert_eq!(rig.input(Input::AddressLost), []);
    }
    assert_eq!(rig.input(Input::Acquired), [Acquire], "some may have gone after it began");
    assert_eq!(rig.input(Input::Acquired), []);
    assert_eq!(rig.runs(secs(2)).iter().filter(|(_, effect)| *effect == Resign).count(), 0);

    let mut rig = native().rig().acquiring();
    assert_eq!(rig.input(Input::AddressLost), []);
    assert_eq!(rig.input(Input::Acquired), [Acquire]);
    let active = state(State::Backup, State::Active, Cause::ActiveDown);
    assert_eq!(rig.input(Input::Acquired), [active]);
}

/// A serving router whose addresses have been removed three times within a minute.
fn contested() -> Rig {
    let mut rig = native().rig().serving();
    for _ in 0..2 {
        rig.input(Input::AddressLost);
        rig.input(Input::Acquired);
        rig.runs(secs(20));
    }
    let lost = Effect::Event(Event::AddressLost);
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire]);
    // Only then: what it announces must not come after what its successor announces.
    assert_eq!(rig.input(Input::Acquired), [Resign]);
    rig
}

#[test]
fn the_third_loss_within_a_minute_offers_the_addresses_to_another_router() {
    let mut rig = contested();
    assert_eq!((rig.phase(), rig.fault()), (Some(Phase::Leaving), Some(Fault::AddressLost)));
    assert_eq!(rig.input(Input::AddressLost), [], "it is not taken a second time");
    rig.hears(ip(9), 1, 200);
    let expected = [Release, to_backup(Cause::Fault)];
    assert_eq!(rig.input(Input::AnnouncementHeard), expected);
    assert_eq!((rig.fault(), rig.held()), (Some(Fault::AddressLost), true));
}

#[test]
fn addresses_that_nobody_else_takes_are_served_on_however_often_they_are_removed() {
    let mut rig = contested();
    let effects: Vec<Effect> = rig.runs(secs(3)).into_iter().map(|(_, effect)| effect).collect();
    let window = [Resign, Claim(1, 100, 0), Acquire, Effect::Event(Event::YieldUnanswered)];
    assert_eq!(effects[..4], window, "{effects:?}");
    assert!(!effects.contains(&Release), "{effects:?}");
    rig.input(Input::Acquired);
    assert_eq!((rig.phase(), rig.fault()), (Some(Phase::Serving), None));
    let lost = Effect::Event(Event::AddressLost);
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire], "it is counted anew");
}

#[test]
fn an_address_that_expired_is_taken_again_as_often_as_it_does() {
    let mut rig = native().rig().serving();
    for _ in 0..10 {
        let expired = Effect::Event(Event::AddressExpired);
        assert_eq!(rig.input(Input::AddressExpired), [expired, Acquire]);
        assert_eq!(rig.input(Input::Acquired), [], "acquiring announces");
        rig.runs(secs(1));
    }
    assert_eq!(rig.phase(), Some(Phase::Serving));
}

#[test]
fn what_expired_does_not_count_as_a_loss() {
    let mut rig = native().rig().serving();
    for input in [Input::AddressLost, Input::AddressExpired, Input::AddressLost] {
        rig.input(input);
        rig.input(Input::Acquired);
    }
    assert_eq!(rig.phase(), Some(Phase::Serving), "two losses are borne");
    rig.input(Input::AddressLost);
    rig.input(Input::Acquired);
    assert_eq!(rig.phase(), Some(Phase::Leaving), "the third one is not");
}

#[test]
fn an_address_that_expired_but_does_not_come_back_is_a_fault() {
    let mut rig = native().rig().serving();
    rig.input(Input::AddressExpired);
    assert_eq!(rig.input(Input::AddressExpired), [], "it is on its way back");
    rig.runs(secs(1));
    assert_eq!(rig.fault(), Some(Fault::AcquireTimeout));
    let mut rig = native().rig();
    assert_eq!(rig.input(Input::AddressExpired), [], "a router without addresses has none to lose");
}

#[test]
fn losses_that_are_far_apart_are_borne() {
    let mut rig = native().rig().serving();
    for _ in 0..10 {
        rig.input(Input::Fault(Fault::AddressLost));
        rig.input(Input::Acquired);
        rig.runs(secs(30));
    }
    assert_eq!(rig.phase(), Some(Phase::Serving));
}

#[test]
fn a_router_that_cannot_take_its_addresses_again_does_not_stay_active() {
    let mut rig = native().rig().serving();
    rig.input(Input::AddressLost);
    let expected = [Resign, Release, to_backup(Cause::Fault)];
    assert_eq!(rig.input(FAILED_TO_ACQUIRE), expected);

    let mut rig = native().rig().serving();
    rig.input(Input::AddressLost);
    let effects: Vec<Effect> = rig.runs(secs(1)).into_iter().map(|(_, effect)| effect).collect();
    assert!(effects.ends_with(&expected), "{effects:?}");
    assert_eq!(rig.fault(), Some(Fault::AcquireTimeout));
}

// Demotion.

#[test]
fn demotion_by_skew_is_clamped_and_told_at_once() {
    for dialect in [Dialect::Native, Dialect::FreeBsd, Dialect::Ucarp] {
        let mut rig = with(dialect).rig().serving();
        assert_eq!(rig.input(demoted(50)), [Claim(1, 150, 0)], "{dialect}");
        assert_eq!(rig.input(demoted(50)), [], "nothing new");
        assert_eq!(rig.input(demoted(1000)), [Claim(1, 240, 0)]);
        assert_eq!(rig.input(demoted(200)), [], "clamped alike");
        assert_eq!(rig.input(demoted(0)), [Claim(1, 100, 0)]);
        let mut rig = Setup { advskew: 250, ..with(dialect) }.rig().serving();
        assert_eq!(rig.input(demoted(1)), [], "a configured skew above 240 stays");
    }
}

#[test]
fn demotion_by_byte_leaves_the_skew_alone() {
    let mut rig = with(Dialect::OpenBsd).rig().serving();
    assert_eq!(rig.input(demoted(3)), [Claim(1, 100, 3)]);
    assert_eq!(rig.input(demoted(300)), [Claim(1, 100, 255)]);
    assert_eq!(rig.input(demoted(0)), [Claim(1, 100, 0)]);
}

#[test]
fn a_demoted_router_tells_it_while_it_takes_over_and_never_as_backup() {
    let mut rig = native().rig().acquiring();
    assert_eq!(rig.input(demoted(50)), [Claim(1, 150, 0)]);
    for mut rig in [native().rig(), native().rig().backup(), native().rig().leaving(Input::Stop)] {
        assert_eq!(rig.input(demoted(50)), []);
    }
}

#[test]
fn a_demoted_router_yields_and_does_not_preempt() {
    let mut rig = Setup { preempt: true, advskew: 0, ..native() }.rig().serving();
    rig.input(demoted(150));
    rig.hears(ip(9), 1, 100);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::BetterPeer)]);
    assert_eq!(rig.hears(ip(9), 1, 100), []);
    rig.input(demoted(0));
    assert_eq!(rig.state(), State::Backup);
    assert_eq!(rig.hears(ip(9), 1, 100), [Claim(1, 0, 0), Acquire]);
}

#[test]
fn the_demotion_byte_counts_before_the_interval_in_the_openbsd_dialect_alone() {
    for (dialect, takes_over) in
        [(Dialect::OpenBsd, true), (Dialect::Native, false), (Dialect::FreeBsd, false)]
    {
        let mut rig = with(dialect).rig().backup();
        let effects = rig.hears_demoted(ip(9), 1, 0, 1);
        assert_eq!(!effects.is_empty(), takes_over, "{dialect}: a demoted active router");
        let mut rig = with(dialect).rig().serving();
        rig.hears_demoted(ip(9), 1, 0, 1);
        let stays = rig.phase() == Some(Phase::Serving);
        assert_eq!(stays, takes_over, "{dialect}: while active");
    }
    let mut rig = with(Dialect::OpenBsd).rig().serving();
    rig.input(demoted(2));
    rig.hears_demoted(ip(9), 10, 0, 1);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.state(), State::Backup, "less demoted is better, whatever the interval");
    assert_eq!(rig.wait(), secs(30), "and is not dead between two adverts");
    assert_eq!(rig.hears_demoted(ip(9), 10, 0, 1), []);
}

#[test]
fn a_demoted_router_with_advbase_0_does_not_take_from_a_better_one() {
    let mut rig = Setup { advbase: 0, advskew: 20, ..native() }.rig().backup();
    rig.input(demoted(220));
    assert_eq!(rig.hears(ip(9), 0, 128), []);
    assert_eq!(rig.wait(), SKEW_UNIT * 128 * 3);
}

// Leaving.

#[test]
fn a_resignation_is_said_twice_and_the_addresses_stay_meanwhile() {
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!((rig.wait(), rig.router.poll_timeout().unwrap().why), (ms(10), Wait::Resignation));
    assert_eq!(rig.times_out(), [Resign]);
    let window = secs(2) + SKEW_UNIT * 100;
    assert_eq!(rig.wait(), window - ms(10), "the interval and one second since the first");
    assert_eq!(rig.router.poll_timeout().unwrap().why, Wait::Handover);
    assert_eq!(rig.times_out(), [Release, state(State::Active, State::Init, Cause::Stop)]);
}

#[test]
fn the_successors_announcement_ends_the_handover() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.passes(ms(5));
    let expected = [Release, to_backup(Cause::Yield)];
    assert_eq!(rig.input(Input::AnnouncementHeard), expected);
    assert_eq!(rig.input(Input::AnnouncementHeard), [], "again");
    for mut rig in [
        native().rig(),
        native().rig().backup(),
        native().rig().acquiring(),
        native().rig().serving(),
    ] {
        assert_eq!(rig.input(Input::AnnouncementHeard), [], "while not leaving");
    }
}

#[test]
fn an_advert_of_the_successor_ends_the_handover_100_ms_after_its_first() {
    let expected = [Release, state(State::Active, State::Init, Cause::Stop)];
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.passes(ms(3)).hears(ip(9), 0, 20), []);
    assert_eq!(rig.passes(ms(78)).hears(ip(9), 0, 20), [], "it may still take the addresses");
    assert_eq!(rig.passes(ms(78)).hears(ip(9), 0, 20), expected);
}

#[test]
fn of_several_successors_the_best_counts() {
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.passes(ms(3)).hears(ip(8), 0, 30), []);
    assert_eq!(rig.passes(ms(3)).hears(ip(9), 0, 20), [], "a better one");
    assert_eq!(rig.passes(ms(3)).hears(ip(8), 0, 30), [], "the farewell of the first");
    assert_eq!(rig.passes(ms(120)).hears(ip(8), 0, 30), [], "which is not the successor");
    let expected = [Release, state(State::Active, State::Init, Cause::Stop)];
    assert_eq!(rig.hears(ip(9), 0, 20), expected);
}

#[test]
fn a_farewell_is_not_the_successors_second_advert() {
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.hears(ip(8), 1, 200), []);
    assert_eq!(rig.passes(ms(2)).hears(ip(8), 1, 200), []);
    assert_eq!(rig.phase(), Some(Phase::Leaving));
}

#[test]
fn the_handover_ends_200_ms_after_the_successors_first_advert() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.passes(ms(20)).input(Input::Timeout);
    rig.passes(ms(30)).hears(ip(9), 1, 200);
    assert_eq!(rig.wait(), ms(200));
    assert_eq!(rig.times_out(), [Release, to_backup(Cause::Yield)]);

    let mut rig = Setup { handover: Some(ms(100)), ..native() }.rig().leaving(Input::Yield);
    rig.passes(ms(50)).hears(ip(9), 1, 200);
    rig.input(Input::Timeout);
    assert_eq!(rig.wait(), ms(50), "never later than the window");
}

#[test]
fn an_unanswered_yield_is_taken_back() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.times_out();
    let unanswered = Effect::Event(Event::YieldUnanswered);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire, unanswered]);
    assert_eq!((rig.phase(), rig.held()), (Some(Phase::Serving), false));
    assert_eq!(rig.input(Input::Acquired), []);
    assert!(rig.runs(secs(2)).contains(&(secs(1), Announce)));
}

#[test]
fn an_unanswered_yield_without_addresses_is_a_fault() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.times_out();
    rig.times_out();
    assert_eq!(rig.input(FAILED_TO_ACQUIRE), [Resign, Release, to_backup(Cause::Fault)]);
}

#[test]
fn a_router_that_slept_through_its_handover_has_left() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.passes(secs(30));
    assert_eq!(rig.input(Input::Timeout), [Release, to_backup(Cause::Yield)]);
    let mut rig = native().rig().leaving(Input::Stop);
    rig.passes(secs(30));
    let stopped = state(State::Active, State::Init, Cause::Stop);
    assert_eq!(rig.input(Input::Timeout), [Release, stopped]);
}

#[test]
fn stop_ends_every_state() {
    let stopped = |from| state(from, State::Init, Cause::Stop);
    let prepares = Setup { prepare: Some(secs(5)), ..native() };
    let cases: [(Rig, Vec<Effect>); 5] = [
        (native().rig(), vec![]),
        (native().rig().backup(), vec![stopped(State::Backup)]),
        (prepares.rig().preparing(), vec![Resign, Release, stopped(State::Backup)]),
        (native().rig().acquiring(), vec![Resign, Release, stopped(State::Backup)]),
        (native().rig().serving(), vec![Resign]),
    ];
    for (mut rig, expected) in cases {
        assert_eq!(rig.input(Input::Stop), expected);
        rig.runs(secs(5));
        assert_eq!((rig.state(), rig.router.poll_timeout()), (State::Init, None));
        assert_eq!(rig.link_up(), [], "it stays stopped");
        assert_eq!(rig.input(Input::Stop), []);
    }
}

#[test]
fn a_router_that_was_stopped_starts_again() {
    let mut rig = native().rig().backup();
    rig.input(Input::Stop);
    assert_eq!(rig.input(Input::Start), [state(State::Init, State::Backup, Cause::Start)]);

    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.input(Input::Start), []);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::Yield)]);
}

#[test]
fn a_stop_while_yielding_stops() {
    let mut rig = native().rig().leaving(Input::Yield);
    assert_eq!(rig.input(Input::Stop), []);
    let stopped = state(State::Active, State::Init, Cause::Stop);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, stopped]);
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.input(Input::Yield), [], "not the other way round");
    rig.runs(secs(5));
    assert_eq!(rig.state(), State::Init);
}

#[test]
fn a_yield_before_the_addresses_are_there_withdraws() {
    let mut rig = native().rig().acquiring();
    assert_eq!(rig.input(Input::Yield), [Resign, Release, failed(Cause::Yield)]);
    assert!(rig.held());
    for mut rig in [native().rig(), native().rig().backup()] {
        assert_eq!(rig.input(Input::Yield), [], "there is nothing to yield");
    }
}

// Holding.

/// A preempting router that has yielded to 10.99.0.9.
fn yielded() -> Rig {
    let mut rig = Setup { preempt: true, ..native() }.rig().leaving(Input::Yield);
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::Yield)]);
    rig
}

#[test]
fn a_router_that_yielded_does_not_preempt_for_a_minute() {
    let mut rig = yielded();
    for _ in 0..59 {
        assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), []);
    }
    assert!(rig.held());
    assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_router_that_yielded_takes_over_when_the_successor_dies_or_resigns() {
    let mut rig = yielded();
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.wait(), (secs(1) + SKEW_UNIT * 200) * 3);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
    let mut rig = yielded();
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);
    assert!(!rig.held());
}

#[test]
fn a_yield_to_a_slow_successor_lasts_too() {
    let mut rig = Setup { preempt: true, ..native() }.rig().leaving(Input::Yield);
    rig.hears(ip(9), 10, 0);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.wait(), secs(30), "from the first advert on");
    assert_eq!(rig.passes(secs(10)).hears(ip(9), 10, 0), []);
    assert_eq!(rig.wait(), secs(30));
}

#[test]
fn a_yield_outlasts_a_replugged_cable_and_a_fault_does_not() {
    let mut rig = yielded();
    for _ in 0..2 {
        rig.input(Input::Link(LinkState::Down));
        rig.link_up();
        assert!(rig.held());
    }
    assert_eq!(rig.hears(ip(9), 1, 200), []);
    let mut rig = yielded();
    rig.input(Input::Stop);
    rig.input(Input::Start);
    assert!(!rig.held());

    let mut rig = Setup { preempt: true, ..native() }.rig().acquiring();
    rig.input(FAILED_TO_ACQUIRE);
    assert_eq!(rig.hears(ip(9), 1, 200), [], "after a fault too");
    rig.input(Input::Link(LinkState::Down));
    rig.link_up();
    assert_eq!(rig.hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
}

// Short intervals, and what the configuration refuses.

#[test]
fn an_interval_of_zero_is_one_256th_of_a_second() {
    for dialect in [Dialect::Native, Dialect::OpenBsd] {
        let mut rig = Setup { advbase: 0, advskew: 0, ..with(dialect) }.rig().backup();
        assert_eq!(rig.wait(), SKEW_UNIT * 3);
        rig.times_out();
        rig.input(Input::Acquired);
        assert_eq!(rig.wait(), SKEW_UNIT);
        let mut rig = Setup { advskew: 254, ..with(dialect) }.rig().serving();
        rig.hears(ip(9), 0, 0);
        rig.input(Input::AnnouncementHeard);
        assert_eq!(rig.state(), State::Backup, "{dialect}");
    }
}

#[test]
fn dialects_without_a_meaning_for_advbase_zero_refuse_it() {
    use carp_proto::{AdvBase, AdvSkew, ConfigError, IntervalError, Reject};
    let zero = |dialect, skew| {
        let base = AdvBase::new(0).unwrap();
        Setup::new().config().with_interval(dialect, base, AdvSkew::new(skew).unwrap())
    };
    for dialect in [Dialect::FreeBsd, Dialect::Ucarp] {
        for skew in [0, 20] {
            let error = zero(dialect, skew).unwrap_err();
            assert_eq!(error, ConfigError::Interval(IntervalError::Zero), "{dialect}");
        }
        let mut rig = with(dialect).rig().backup();
        let bytes = support::advert(0, 0, 0, 1);
        let outcome = rig.hears_bytes(&support::meta(ip(9)), &bytes);
        assert_eq!(outcome, Err(Reject::BadInterval), "{dialect}");
    }
    assert!(zero(Dialect::Native, 0).is_ok() && zero(Dialect::OpenBsd, 20).is_ok());
}

// Counters.

#[test]
fn the_group_shares_one_counter_except_in_the_openbsd_dialect() {
    use bytes::BytesMut;
    use carp_proto::Action;
    let counter = |rig: &mut Rig| {
        let mut scratch = BytesMut::new();
        rig.router.handle(rig.now, demoted(1));
        rig.router.handle(rig.now, demoted(0));
        let mut counters = Vec::new();
        while let Some(action) = rig.router.poll_action(&mut scratch) {
            if let Action::Send(transmit) = action {
                let parsed = carp_proto::wire::carp::parse(transmit.payload).unwrap();
                counters.push(parsed.advert.counter);
            }
        }
        counters
    };
    for dialect in [Dialect::Native, Dialect::FreeBsd, Dialect::Ucarp] {
        let mut rig = with(dialect).rig().serving();
        assert_eq!(counter(&mut rig), [9, 10], "{dialect}: the seed of 7, and one advert before");
        rig.hears_bytes(&support::meta(ip(9)), &support::advert(1, 200, 0, u64::MAX)).unwrap();
        assert_eq!(counter(&mut rig), [0, 1], "{dialect}: on from the peer's, with a wrap");
    }
    let mut rig = with(Dialect::OpenBsd).rig().serving();
    rig.hears_bytes(&support::meta(ip(9)), &support::advert(1, 200, 0, 99)).unwrap();
    assert_eq!(counter(&mut rig), [7, 7]);
}

#[test]
fn an_echo_of_the_own_cookie_is_a_loop_in_the_openbsd_dialect_alone() {
    use carp_proto::Reject;
    for dialect in Dialect::ALL {
        let mut rig = with(dialect).rig().backup();
        let outcome = rig.hears_bytes(&support::meta(ip(9)), &support::advert(1, 0, 0, 7));
        let expected = if dialect == Dialect::OpenBsd { Err(Reject::OwnLoop) } else { Ok(()) };
        assert_eq!(outcome, expected, "{dialect}");
    }
}

#[test]
fn own_adverts_that_come_back_change_nothing_in_any_state() {
    use carp_proto::Reject;
    let rigs = [
        native().rig().backup(),
        native().rig().acquiring(),
        native().rig().serving(),
        native().rig().leaving(Input::Yield),
    ];
    for mut rig in rigs {
        let mut undisturbed = rig.clone();
        // Better than we are, equal, and a resignation: whatever we may have said.
        for (base, skew) in [(1, 0), (1, 100), (255, 255)] {
            let own = support::advert(base, skew, 0, 5);
            assert_eq!(rig.hears_bytes(&support::meta(ip(5)), &own), Err(Reject::OwnLoop));
        }
        assert_eq!(rig.router.snapshot(rig.now).peers, [None; carp_proto::MAX_PEERS]);
        assert_eq!(rig.runs(secs(10)), undisturbed.runs(secs(10)), "as if nothing had come");
    }
}

#[test]
fn without_a_link_no_source_is_our_own() {
    let mut rig = native().rig();
    let unspecified = support::meta("0.0.0.0".parse().unwrap());
    assert_eq!(rig.hears_bytes(&unspecified, &support::advert(1, 0, 0, 1)), Ok(()));
}

#[test]
fn the_last_advert_of_the_one_taken_over_from_is_no_news() {
    let mut rig = native().rig().acquiring();
    assert_eq!(rig.hears(ip(9), 1, 200), [], "it announces when it has the addresses");
    rig.input(Input::Acquired);
    assert_eq!(rig.router.snapshot(rig.now).conflict, None);
}

#[test]
fn a_worse_router_that_stays_active_is_a_conflict() {
    let mut rig = native().rig().serving();
    rig.runs(secs(10));
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.router.snapshot(rig.now).conflict, Some(ip(9)));
    rig.runs(secs(10));
    assert_eq!(rig.router.snapshot(rig.now).conflict, None, "it has gone");
}
