//! Every rule of the election, through the public API, one router at a time: how it starts, becomes active and is
//! backup, and what it counts. The rest is in `serving.rs`, `lost_addresses.rs`, `demotion.rs` and `leaving.rs`.

mod support;

use carp_proto::election::{Cause, Dialect, Event, Fault, Input, LinkState, Phase, State, Wait};
use support::Effect::{Acquire, Claim, Prepare, Release, Resign};
use support::words::{FAILED_TO_ACQUIRE, demoted, failed, native, state, with};
use support::{Rig, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs};

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
