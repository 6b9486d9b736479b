//! Routers that run late: what they must not do, whatever else happens.

mod support;

use std::time::Duration;

use carp_proto::Instant;
use carp_proto::election::{Cause, Input, LinkState, State, Wait};
use carp_proto::testing::Step;
use carp_proto::testing::strategy::{any_setup, any_steps};
use proptest::prelude::*;
use support::peers::Extra;
use support::steps::{ORIGIN, Run};
use support::vrrp::{Version, VrrpSetup};
use support::{Effect, ip, ms, secs};

/// Whether an effect is an advert that claims the addresses.
fn claims(effect: &Effect) -> bool {
    matches!(effect, Effect::Claim(..) | Effect::Priority(_))
}

/// If the router is active and its advert will be overdue at `now` by more than its active-down interval:
/// until when it listens then.
fn listens_until(run: &Run, now: Instant) -> Option<Instant> {
    let deadline = run.router.poll_timeout()?;
    let snapshot = run.router.snapshot(run.now);
    let late_by = now.saturating_since(deadline.at);
    let paused = snapshot.state == State::Active
        && deadline.why == Wait::Advert
        && late_by > snapshot.active_down;
    paused.then(|| now + snapshot.interval / 4)
}

/// Steps with pauses of up to half a minute between them.
fn any_pauses() -> impl Strategy<Value = Vec<(Duration, Step)>> {
    let pause = prop_oneof![3 => Just(0), 1 => 0..2_000_u64, 1 => 0..30_000_u64];
    (any_steps(), prop::collection::vec(pause, 64)).prop_map(|(steps, pauses)| {
        steps.into_iter().zip(pauses).map(|(step, pause)| (ms(pause), step)).collect()
    })
}

proptest! {
    /// Invariant: a node that is late by more than its active-down interval hears the network first.
    #[test]
    fn who_was_late_by_more_than_its_active_down_interval_listens_first(
        setup in any_setup(),
        pauses in any_pauses(),
    ) {
        let mut run = Run::new(setup, ORIGIN);
        let mut until = ORIGIN;
        for (pause, step) in pauses {
            run.now += pause;
            // A router that is asleep notices nothing.
            let ends = Some(run.ends(&step)).filter(|_| !matches!(step, Step::Sleep(_)));
            let listens = ends.and_then(|now| listens_until(&run, now));
            until = until.max(listens.unwrap_or(ORIGIN));
            let effects = run.take(&step).effects;
            let speaks = effects.iter().any(claims);
            prop_assert!(!speaks || run.now >= until, "{step:?}: {effects:?}");
        }
    }

    /// Adverts come late, and never two of them close together for that.
    #[test]
    fn lateness_makes_no_burst(
        setup in any_setup(),
        late in prop::collection::vec(prop_oneof![0..20_u64, 0..5_000_u64, 0..60_000_u64], 1..60),
    ) {
        let mut run = Run::new(setup, ORIGIN);
        for input in [Input::Start, Input::Link(LinkState::Up { source: ip(5) })] {
            run.take(&Step::Input(input));
        }
        let mut last: Option<Instant> = None;
        for late in late {
            let outcome = run.take(&Step::Deadline(ms(late)));
            let interval = run.router.snapshot(run.now).interval;
            let spaced = interval - ms(10).min(interval / 10);
            let copies = outcome.effects.iter().filter(|effect| claims(effect)).count();
            if copies > 0 {
                // One advert goes to the group, or to every peer, or in both families.
                prop_assert!(copies <= run.router.config().destinations().len());
                let since = last.replace(run.now).map(|last| run.now.saturating_since(last));
                prop_assert!(since.is_none_or(|since| since >= spaced), "{since:?}, {interval:?}");
            }
            // Whatever it has asked for, it gets.
            for input in [Input::Prepared, Input::Acquired] {
                run.take(&Step::Input(input));
            }
        }
    }

    /// The time of day is for signatures: no timer and no decision rests on it.
    #[test]
    fn the_time_of_day_decides_nothing(
        setup in any_setup(),
        steps in any_steps(),
        times in prop::collection::vec(any::<u64>(), 64),
    ) {
        // Peers that sign have to agree on it.
        prop_assume!(setup.extra != Extra::Signatures);
        let mut runs = [Run::new(setup, ORIGIN), Run::new(setup, ORIGIN)];
        for (step, time) in steps.iter().zip(times) {
            let now = runs[1].now;
            runs[1].router.set_time_of_day(now, Duration::from_millis(time));
            let [one, other] = &mut runs;
            prop_assert_eq!(one.take(step), other.take(step));
        }
    }
}

/// The cable that is put in again is no reason to hear the network less.
#[test]
fn an_owner_that_has_paused_listens_although_its_link_comes_back_meanwhile() {
    let owner = VrrpSetup { priority: 255, ..VrrpSetup::new(Version::V3) };
    let mut rig = owner.rig().started().0;
    rig.input(Input::Acquired);
    rig.passes(secs(60)).input(Input::Timeout);
    assert_eq!(rig.state(), State::Backup);
    rig.passes(ms(10)).input(Input::Link(LinkState::Down));
    assert_eq!(rig.link_up(), [Effect::State(State::Init, State::Backup, Cause::Link)]);
    assert_eq!(rig.wait(), ms(240), "a quarter of the interval, from the end of the pause");
    assert!(rig.times_out().contains(&Effect::Acquire));
    // When it has listened, its link is as anybody's.
    let mut rig = owner.rig().started().0;
    rig.input(Input::Acquired);
    rig.passes(secs(60)).input(Input::Timeout);
    rig.input(Input::Link(LinkState::Down));
    rig.passes(ms(251));
    assert_eq!(rig.link_up(), [Effect::Priority(255), Effect::Acquire]);
}
