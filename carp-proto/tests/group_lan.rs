//! Groups of routers on several hosts, in virtual time.

mod support;

use std::time::Duration;

use carp_proto::election::{Cause, Event, Fault, Input, Posture, State};
use support::lan::Weather;
use support::site::Site;
use support::vrrp::Version;
use support::{Setup, ms, secs};

/// The protocols of a group of two: alike, or mixed.
const PAIRS: [[Option<Version>; 2]; 6] = [
    [None, None],
    [Some(Version::V2), Some(Version::V2)],
    [Some(Version::V3), Some(Version::V3Ipv6)],
    [None, Some(Version::V2)],
    [None, Some(Version::V3)],
    [Some(Version::V3), None],
];

/// Longer than the active-down interval and the skew time of any router of these tests.
const SETTLED: Duration = Duration::from_secs(6);

/// How long a router that stepped down with its group is held at the least, and at the most.
const HOLD: Duration = Duration::from_secs(60);
const HOLD_ENDS: Duration = Duration::from_secs(90);

/// Nothing is left to chance, so that what happened once at the same moment does so again.
const STILL: Weather = Weather {
    delay: Duration::ZERO,
    loss: 0,
    lateness: Duration::ZERO,
    acquiring: Duration::from_millis(5),
};

/// The first node is the better one in both.
fn setups(protocols: [Option<Version>; 2], setup: Setup) -> Vec<Vec<Setup>> {
    let nodes = |vrrp| [20, 100].map(|advskew| Setup { vrrp, advskew, ..setup });
    protocols.map(|vrrp| nodes(vrrp).to_vec()).to_vec()
}

fn preempting() -> Setup {
    Setup { preempt: true, ..Setup::new() }
}

/// Both nodes have run for a while, and the first one is active.
fn settled(members: &[Vec<Setup>]) -> Site {
    let mut site = Site::new(members, Weather::FAIR, 1);
    site.run(SETTLED);
    assert_eq!(site.holder(), Some(0));
    site
}

fn site(protocols: [Option<Version>; 2]) -> Site {
    settled(&setups(protocols, Setup::new()))
}

/// The first node is the better one in the first member, the second in the second.
fn contradictory(protocols: [Option<Version>; 2], setup: Setup) -> Vec<Vec<Setup>> {
    let mut members = setups(protocols, setup);
    members[1].reverse();
    members
}

fn stays_as_it_is(site: &mut Site) {
    let changes = site.transitions();
    site.run(secs(300));
    assert_eq!(site.transitions(), changes);
}

#[test]
fn the_better_host_is_active_with_all_of_its_routers() {
    for protocols in PAIRS {
        stays_as_it_is(&mut site(protocols));
    }
}

#[test]
fn the_other_host_takes_over_all_when_one_crashes_and_tells_who_was_silent() {
    for protocols in PAIRS {
        let mut site = site(protocols);
        site.kill(0);
        site.run(SETTLED);
        assert_eq!(site.holder(), Some(1), "{protocols:?}");
        for member in 0..2 {
            let (from, to, cause, evidence) = site.last_change(1, member);
            assert_eq!((from, to, cause), (State::Backup, State::Active, Cause::ActiveDown));
            assert_eq!(evidence.peer, Some(site.source(0, member)));
            assert!(evidence.silent_for >= Some(secs(3)), "{evidence:?}");
        }
    }
}

#[test]
fn the_last_of_a_group_to_miss_its_peer_starts_the_takeover_of_all() {
    let slow = Setup { advbase: 3, ..Setup::new() };
    let mut members = setups([None, None], Setup::new());
    members[1] = setups([None, None], slow).remove(0);
    let mut site = Site::new(&members, Weather::FAIR, 1);
    site.run(secs(15));
    site.kill(0);
    site.run(secs(5));
    assert_eq!(site.postures(1), [Posture::Willing, Posture::Backup]);
    site.run(secs(5));
    assert_eq!(site.holder(), Some(1));
    let silent = |member| site.last_change(1, member).3.silent_for;
    assert!(silent(0) > Some(secs(6)), "not only until it was willing: {:?}", silent(0));
    assert!(silent(1) < Some(secs(10)));
}

#[test]
fn a_lost_link_moves_the_whole_group_and_the_other_addresses_have_a_host_throughout() {
    for protocols in PAIRS {
        for member in 0..2 {
            let mut site = site(protocols);
            let began = site.elapsed();
            site.unplug(0, member);
            site.run(SETTLED);
            assert_eq!(site.holder(), Some(1), "{protocols:?}");
            let other = 1 - member;
            let gap = site.gap(other, began);
            assert_eq!(gap, ms(0), "{protocols:?}");
            assert_eq!(site.last_cause(0, member), Cause::Link);
            assert_eq!(site.last_cause(0, other), Cause::Group);
            assert_eq!(site.last_cause(1, other), Cause::Resigned);
            assert_eq!(site.last_cause(1, member), Cause::ActiveDown);
            site.plug_in(0, member);
            stays_as_it_is(&mut site);
        }
    }
}

#[test]
fn with_preemption_a_group_returns_as_a_whole_when_the_hold_is_over() {
    for protocols in PAIRS {
        let mut site = settled(&setups(protocols, preempting()));
        site.unplug(0, 0);
        site.run(secs(10));
        site.plug_in(0, 0);
        let back = site.elapsed();
        site.run(HOLD - secs(12));
        assert_eq!(site.holder(), Some(1), "{protocols:?}: the second router is held");
        site.run(HOLD_ENDS - HOLD + secs(12));
        assert_eq!(site.holder(), Some(0), "{protocols:?}");
        assert_eq!(site.longest_gap(back), ms(0), "{protocols:?}");
        for member in 0..2 {
            assert_eq!(site.last_cause(0, member), Cause::WorsePeer);
        }
        stays_as_it_is(&mut site);
    }
}

#[test]
fn without_another_host_the_rest_of_a_group_goes_with_the_link_and_comes_back_with_it() {
    for protocols in PAIRS {
        let mut site = site(protocols);
        site.kill(1);
        site.unplug(0, 0);
        site.run(secs(4));
        assert_eq!(site.postures(0), [Posture::Init, Posture::Leaving], "{protocols:?}");
        site.run(secs(4));
        assert_eq!(site.posture(0, 0), Posture::Init, "{protocols:?}");
        assert!(!site.sim.holds(0, 1), "{protocols:?}");
        site.run(secs(20));
        assert_eq!(site.postures(0), [Posture::Init, Posture::Willing], "{protocols:?}");
        site.plug_in(0, 0);
        site.run(SETTLED);
        assert_eq!(site.holder(), Some(0), "{protocols:?}");
    }
}

#[test]
fn a_link_that_is_deaf_one_way_tears_no_group_apart() {
    for protocols in PAIRS {
        for member in 0..2 {
            let mut site = site(protocols);
            let changes = site.transitions();
            site.cut(member, 0, 1);
            site.run(secs(100));
            assert_eq!(site.transitions(), changes, "{protocols:?}");
            assert_eq!(site.posture(1, member), Posture::Willing);
            assert_eq!(site.posture(1, 1 - member), Posture::Backup);
            site.heal();
            site.run(secs(2));
            assert_eq!(site.postures(1), [Posture::Backup; 2]);
            assert_eq!(site.transitions(), changes, "{protocols:?}");
        }
    }
}

#[test]
fn a_yield_moves_a_group_away_from_a_network_that_is_cut_for_one_router() {
    for protocols in PAIRS {
        for cuts in [&[(0, 1)][..], &[(0, 1), (1, 0)]] {
            let mut site = site(protocols);
            cuts.iter().for_each(|(from, to)| site.cut(0, *from, *to));
            site.run(SETTLED);
            assert_eq!(site.holder(), Some(0));
            let began = site.elapsed();
            site.input(0, 1, Input::Yield);
            site.run(SETTLED * 2);
            assert_eq!(site.holder(), Some(1), "{protocols:?}");
            assert_eq!(site.longest_gap(began), ms(0), "{protocols:?}");
            stays_as_it_is(&mut site);
        }
    }
}

#[test]
fn two_parts_of_a_network_have_a_whole_group_each_and_one_when_it_is_healed() {
    for protocols in PAIRS {
        let mut site = site(protocols);
        for member in 0..2 {
            site.cut(member, 0, 1);
            site.cut(member, 1, 0);
        }
        site.run(secs(20));
        assert_eq!(site.active(), [0, 1], "{protocols:?}");
        site.heal();
        let healed = site.elapsed();
        site.run(secs(3));
        assert_eq!(site.holder(), Some(0), "{protocols:?}");
        assert_eq!(site.longest_gap(healed), ms(0));
        stays_as_it_is(&mut site);
    }
}

#[test]
fn a_yield_or_a_stop_hands_the_whole_group_over_without_a_gap() {
    for protocols in PAIRS {
        for input in [Input::Yield, Input::Stop] {
            let mut site = site(protocols);
            let began = site.elapsed();
            site.input_all(0, input);
            site.run(SETTLED);
            assert_eq!(site.holder(), Some(1), "{protocols:?} {input:?}");
            assert_eq!(site.longest_gap(began), ms(0), "{protocols:?} {input:?}");
            let cause = if input == Input::Stop { Cause::Stop } else { Cause::Yield };
            assert_eq!([0, 1].map(|member| site.last_cause(0, member)), [cause; 2]);
            assert_eq!([0, 1].map(|member| site.last_cause(1, member)), [Cause::Resigned; 2]);
            stays_as_it_is(&mut site);
        }
    }
}

#[test]
fn one_router_that_yields_or_stops_takes_its_group_along() {
    for protocols in PAIRS {
        for (member, input) in [(0, Input::Yield), (1, Input::Yield), (0, Input::Stop)] {
            let mut site = site(protocols);
            let began = site.elapsed();
            site.input(0, member, input);
            site.run(SETTLED);
            assert_eq!(site.holder(), Some(1), "{protocols:?} {input:?}");
            assert_eq!(site.longest_gap(began), ms(0), "{protocols:?} {input:?}");
            assert_eq!(site.last_cause(0, 1 - member), Cause::Group);
        }
    }
}

#[test]
fn a_stopped_router_keeps_its_group_backup_until_it_is_started() {
    let mut site = site([None, None]);
    site.input(0, 0, Input::Stop);
    site.run(SETTLED);
    site.kill(1);
    site.run(secs(100));
    assert_eq!(site.postures(0), [Posture::Init, Posture::Willing]);
    site.input(0, 0, Input::Start);
    site.run(SETTLED);
    assert_eq!(site.holder(), Some(0));
}

#[test]
fn a_yield_that_nobody_answers_is_taken_back_by_all_together() {
    for protocols in PAIRS {
        for all in [false, true] {
            let mut site = site(protocols);
            site.kill(1);
            let (began, changes) = (site.elapsed(), site.transitions());
            if all {
                site.input_all(0, Input::Yield);
            } else {
                site.input(0, 0, Input::Yield);
            }
            site.run(secs(10));
            assert_eq!(site.holder(), Some(0), "{protocols:?}");
            assert_eq!(site.transitions(), changes, "{protocols:?}");
            assert_eq!(site.longest_gap(began), ms(0));
            let told = |member: usize| {
                let events = site.events(member);
                events.iter().filter(|(_, event)| *event == Event::YieldUnanswered).count()
            };
            assert_eq!([told(0), told(1)], [1, usize::from(all)], "{protocols:?}");
            stays_as_it_is(&mut site);
        }
    }
}

#[test]
fn of_a_yield_with_different_windows_the_first_waits_for_the_last() {
    let slow = Setup { advbase: 4, ..Setup::new() };
    let mut members = setups([None, None], Setup::new());
    members[1] = setups([None, None], slow).remove(0);
    let mut site = Site::new(&members, Weather::FAIR, 1);
    site.run(secs(20));
    assert_eq!(site.holder(), Some(0));
    site.kill(1);
    let (began, changes) = (site.elapsed(), site.transitions());
    site.input_all(0, Input::Yield);
    site.run(secs(3));
    assert_eq!(site.postures(0), [Posture::Unanswered, Posture::Leaving]);
    site.run(secs(4));
    assert_eq!(site.postures(0), [Posture::Active; 2]);
    assert_eq!((site.transitions(), site.longest_gap(began)), (changes, ms(0)));
}

#[test]
fn a_host_that_comes_back_takes_the_whole_group_if_it_preempts() {
    for protocols in PAIRS {
        for preempt_delay in [secs(0), secs(20)] {
            let mut site = settled(&setups(protocols, Setup { preempt_delay, ..preempting() }));
            site.kill(0);
            site.run(SETTLED);
            let back = site.elapsed();
            site.restart(0);
            site.run(preempt_delay);
            assert_eq!(site.holder(), Some(1), "{protocols:?}");
            site.run(SETTLED);
            assert_eq!(site.holder(), Some(0), "{protocols:?}");
            assert_eq!(site.longest_gap(back), ms(0), "{protocols:?}");
            stays_as_it_is(&mut site);
        }
    }
}

#[test]
fn after_a_failback_the_loser_takes_over_as_fast_as_ever() {
    for protocols in PAIRS {
        let mut site = settled(&setups(protocols, preempting()));
        site.kill(0);
        site.run(SETTLED);
        site.restart(0);
        site.run(SETTLED);
        assert_eq!(site.holder(), Some(0));
        for member in 0..2 {
            let cause = site.last_cause(1, member);
            assert!([Cause::BetterPeer, Cause::Group].contains(&cause), "{cause}");
        }
        site.kill(0);
        let slowest = [0, 1]
            .map(|member| site.sim.router(1, member).snapshot(site.sim.now()).active_down)
            .into_iter()
            .max();
        site.run(slowest.unwrap() + ms(10));
        assert_eq!(site.holder(), Some(1), "{protocols:?}");
    }
}

#[test]
fn only_one_router_that_preempts_does_not_move_a_group() {
    let mut members = setups([None, None], Setup::new());
    members[0] = setups([None, None], preempting()).remove(0);
    let mut site = settled(&members);
    site.kill(0);
    site.run(SETTLED);
    site.restart(0);
    site.run(secs(100));
    assert_eq!(site.holder(), Some(1));
    assert_eq!(site.postures(0), [Posture::Willing, Posture::Backup]);
    let changes = site.transitions();
    site.kill(1);
    site.run(SETTLED);
    assert_eq!(site.holder(), Some(0));
    assert_eq!(site.transitions(), changes + 2);
    // The one that was willing for long has heard the other until the end.
    let (.., cause, evidence) = site.last_change(0, 0);
    assert_eq!(cause, Cause::WorsePeer);
    assert!(evidence.silent_for < Some(SETTLED), "{evidence:?}");
}

#[test]
fn the_owner_of_an_address_waits_for_its_group_and_then_has_all() {
    for version in Version::ALL {
        let owner = |vrrp| [0, 100].map(|advskew| Setup { vrrp, advskew, ..preempting() }).to_vec();
        let mut site = Site::new(
            &[owner(Some(version)), setups([None, None], preempting()).remove(0)],
            Weather::FAIR,
            1,
        );
        assert_eq!(site.postures(0), [Posture::Willing, Posture::Backup]);
        site.run(SETTLED);
        assert_eq!(site.holder(), Some(0), "{version:?}");
        assert_eq!(site.last_cause(0, 0), Cause::Start);
        site.unplug(0, 1);
        site.run(SETTLED);
        assert_eq!(site.holder(), Some(1), "{version:?}: the owner has gone with the link");
        assert_eq!(site.last_cause(0, 0), Cause::Group);
        site.plug_in(0, 1);
        site.run(HOLD_ENDS + SETTLED);
        assert_eq!(site.holder(), Some(0), "{version:?}");
        stays_as_it_is(&mut site);
    }
}

#[test]
fn a_fault_of_one_router_moves_the_group() {
    for protocols in PAIRS {
        let mut site = settled(&setups(protocols, preempting()));
        let began = site.elapsed();
        site.input(0, 0, Input::AddressLost);
        site.input(0, 0, Input::Fault(Fault::Acquire { code: 1 }));
        site.run(SETTLED);
        assert_eq!(site.holder(), Some(1), "{protocols:?}");
        assert_eq!(site.last_cause(0, 0), Cause::Fault);
        assert_eq!(site.last_cause(0, 1), Cause::Group);
        let gap = site.gap(1, began);
        assert_eq!(gap, ms(0), "{protocols:?}");
        site.run(HOLD - SETTLED - secs(1));
        assert_eq!(site.holder(), Some(1), "{protocols:?}: held");
        site.run(HOLD_ENDS - HOLD + SETTLED * 2);
        assert_eq!(site.holder(), Some(0), "{protocols:?}");
    }
}

#[test]
fn hosts_that_are_each_better_in_one_router_collide_once_at_most() {
    let (mut runs, mut collisions) = (0, 0);
    for protocols in PAIRS {
        for (setup, seed) in (0..50).flat_map(|seed| [(Setup::new(), seed), (preempting(), seed)]) {
            let weather = Weather { lateness: ms(seed % 2), ..Weather::FAIR };
            let mut site = Site::new(&contradictory(protocols, setup), weather, seed);
            site.run(secs(20));
            let (holder, changes) = (site.holder(), site.transitions());
            assert!(holder.is_some(), "{protocols:?}, seed {seed}: {:?}", site.active());
            site.run(secs(100));
            assert_eq!((site.holder(), site.transitions()), (holder, changes), "seed {seed}");
            let stepped_down = |node| {
                let told = |(teller, event): &&(usize, Event)| {
                    let lost = [Cause::Group, Cause::BetterPeer];
                    let is_loss =
                        matches!(event, Event::State { cause, .. } if lost.contains(cause));
                    *teller == node && is_loss
                };
                site.events(0).iter().filter(told).count()
            };
            let times = [stepped_down(0), stepped_down(1)];
            // One alone, if it hears that the other has given up before it hears that that one is better.
            assert!(times.iter().all(|times| *times <= 1), "{protocols:?}, seed {seed}: {times:?}");
            runs += 1;
            collisions += times[0].max(times[1]);
        }
    }
    assert!(collisions > runs / 4, "of {runs} runs only {collisions} show what this is about");
}

#[test]
fn hosts_whose_holds_began_together_do_not_preempt_a_third_together() {
    for protocols in PAIRS {
        let ranks = [[200, 20, 100], [200, 100, 20]];
        let members: Vec<Vec<Setup>> = (protocols.iter().zip(ranks))
            .map(|(vrrp, ranks)| {
                let setup = |advskew| Setup { vrrp: *vrrp, advskew, ..preempting() };
                ranks.map(setup).to_vec()
            })
            .collect();
        for seed in 0..50 {
            let mut site = Site::new(&members, Weather::FAIR, seed);
            // Both serve, and lose a switch that they share.
            (0..2).for_each(|member| site.cut(member, 1, 2));
            (0..2).for_each(|member| site.cut(member, 2, 1));
            site.run(secs(30));
            assert_eq!(site.active(), [1, 2], "{protocols:?}, seed {seed}");
            [1, 2].into_iter().for_each(|node| site.unplug(node, 1));
            site.heal();
            site.run(secs(20));
            assert_eq!(site.holder(), Some(0), "{protocols:?}, seed {seed}");
            [1, 2].into_iter().for_each(|node| site.plug_in(node, 1));
            let began = site.elapsed();
            site.run(HOLD * 4);
            let gap = site.longest_gap(began);
            assert!(
                gap < ms(100),
                "{protocols:?}, seed {seed}: no more than on any preemption: {gap:?}"
            );
            assert!([Some(1), Some(2)].contains(&site.holder()), "{protocols:?}, seed {seed}");
        }
    }
}

#[test]
fn owners_of_one_address_each_settle_and_stay() {
    for version in Version::ALL {
        let owners = |advskew: [u8; 2]| {
            advskew.map(|advskew| Setup { vrrp: Some(version), advskew, ..preempting() }).to_vec()
        };
        let mut site = Site::new(&[owners([0, 100]), owners([100, 0])], Weather::FAIR, 1);
        site.run(secs(20));
        assert!(site.holder().is_some(), "{version:?}: {:?}", site.active());
        stays_as_it_is(&mut site);
    }
}

#[test]
fn hosts_that_are_each_better_in_one_router_take_over_from_each_other_without_flapping() {
    for protocols in PAIRS {
        let members = contradictory(protocols, preempting());
        let mut site = Site::new(&members, Weather::FAIR, 3);
        site.run(secs(20));
        for _ in 0..3 {
            let holder = site.holder().expect("a holder");
            let began = site.elapsed();
            site.input_all(holder, Input::Yield);
            site.run(SETTLED);
            assert_eq!(site.holder(), Some(1 - holder), "{protocols:?}");
            assert_eq!(site.longest_gap(began), ms(0), "{protocols:?}");
            stays_as_it_is(&mut site);
        }
    }
}

#[test]
fn three_hosts_hand_three_routers_on_until_nobody_is_left() {
    let protocols = [None, Some(Version::V2), Some(Version::V3Ipv6)];
    let members = protocols
        .map(|vrrp| [20, 100, 180].map(|advskew| Setup { vrrp, advskew, ..preempting() }).to_vec());
    let mut site = settled(&members);
    let began = site.elapsed();
    site.input_all(0, Input::Stop);
    site.run(SETTLED);
    assert_eq!(site.holder(), Some(1));
    assert_eq!(site.longest_gap(began), ms(0));
    site.kill(1);
    site.run(SETTLED);
    assert_eq!(site.holder(), Some(2));
    site.unplug(2, 1);
    site.run(secs(10));
    assert_eq!(site.holder(), None);
    assert!((0..3).all(|member| site.sim.holding(member) == 0));
    site.restart(1);
    site.run(SETTLED);
    assert_eq!(site.holder(), Some(1));
}

#[test]
fn a_group_of_one_is_as_a_router_alone() {
    for vrrp in [None, Some(Version::V2), Some(Version::V3), Some(Version::V3Ipv6)] {
        let setups = [20, 100].map(|advskew| Setup { vrrp, advskew, ..preempting() });
        let mut site = Site::new(&[setups.to_vec()], STILL, 1);
        let mut lan = support::lan::Lan::new(&setups, STILL, 1);
        for round in 0..4 {
            let input = [Input::Yield, Input::Stop, Input::AddressLost, Input::Start][round];
            site.run(secs(20));
            lan.run(secs(20));
            site.input(round % 2, 0, input);
            lan.input(round % 2, input);
        }
        let record = lan.sim.record();
        assert_eq!(site.sim.record().changes, record.changes, "{vrrp:?}");
        assert_eq!(site.sim.record().holders, record.holders, "{vrrp:?}");
        assert!(record.changes.len() > 6);
    }
}
