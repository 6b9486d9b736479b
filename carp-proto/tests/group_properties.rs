//! What holds for groups on several hosts, whatever goes wrong.

mod support;

use std::time::Duration;

use carp_proto::Reject;
use carp_proto::election::{Fault, Input};
use carp_proto::sim;
use proptest::prelude::*;
use support::lan::{Weather, slowest};
use support::site::Site;
use support::vrrp::Version;
use support::wrong::Wrong;
use support::{Setup, cases, ms, secs};

/// How long a group is held at the most.
fn hold(site: &Site) -> Duration {
    let intervals = (0..site.members()).map(|member| slowest(&site.sim, member).1);
    secs(60) + secs(30).max(intervals.max().unwrap_or_default() * 8)
}

/// Something that goes wrong, or is done. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Trouble {
    Time(Duration),
    Unplug(usize, usize),
    PlugIn(usize, usize),
    Cut { member: usize, from: usize, to: usize },
    Heal,
    Kill(usize),
    Restart(usize),
    Input(usize, usize, Input),
    InputAll(usize, Input),
}

fn any_order() -> impl Strategy<Value = Input> {
    prop::sample::select(vec![Input::Yield, Input::Stop, Input::Start])
}

fn any_trouble() -> impl Strategy<Value = Trouble> {
    let fault = Input::Fault(Fault::AcquireTimeout);
    let some = 0..3_usize;
    let place = (some.clone(), some.clone());
    prop_oneof![
        6 => (0..6000_u64).prop_map(|time| Trouble::Time(ms(time))),
        1 => place.clone().prop_map(|(node, member)| Trouble::Unplug(node, member)),
        1 => place.clone().prop_map(|(node, member)| Trouble::PlugIn(node, member)),
        2 => (some.clone(), place.clone())
            .prop_map(|(member, (from, to))| Trouble::Cut { member, from, to }),
        1 => Just(Trouble::Heal),
        1 => some.clone().prop_map(Trouble::Kill),
        2 => some.clone().prop_map(Trouble::Restart),
        2 => (place.clone(), any_order())
            .prop_map(|((node, member), input)| Trouble::Input(node, member, input)),
        1 => place.prop_map(move |(node, member)| Trouble::Input(node, member, fault)),
        1 => (some, any_order()).prop_map(|(node, input)| Trouble::InputAll(node, input)),
    ]
}

/// Two or three hosts, with two or three routers each, of any protocols and ranks.
fn any_members() -> impl Strategy<Value = Vec<Vec<Setup>>> {
    let vrrp = prop_oneof![Just(None), prop::sample::select(&Version::ALL[..]).prop_map(Some),];
    (2..4_usize, 2..4_usize, any::<bool>()).prop_flat_map(move |(nodes, members, preempt)| {
        let skews: Vec<u8> = (1..12).map(|step| step * 20).collect();
        let member = (vrrp.clone(), prop::sample::subsequence(skews, nodes).prop_shuffle())
            .prop_map(move |(vrrp, skews)| {
                let setup = Setup { vrrp, preempt, ..Setup::new() };
                skews.into_iter().map(|advskew| Setup { advskew, ..setup }).collect()
            });
        prop::collection::vec(member, members)
    })
}

fn meet(site: &mut Site, trouble: &Trouble) {
    let (nodes, members) = (site.nodes(), site.members());
    match *trouble {
        Trouble::Time(time) => site.run(time),
        Trouble::Unplug(node, member) => site.unplug(node % nodes, member % members),
        Trouble::PlugIn(node, member) => site.plug_in(node % nodes, member % members),
        Trouble::Cut { member, from, to } => site.cut(member % members, from % nodes, to % nodes),
        Trouble::Heal => site.heal(),
        Trouble::Kill(node) => site.kill(node % nodes),
        Trouble::Restart(node) => revive(site, node % nodes),
        Trouble::Input(node, member, input) => site.input(node % nodes, member % members, input),
        Trouble::InputAll(node, input) => site.input_all(node % nodes, input),
    }
}

fn revive(site: &mut Site, node: usize) {
    if !site.is_alive(node) {
        site.restart(node);
    }
}

fn all_is_well_again(site: &mut Site) {
    site.heal();
    site.sim.apply(sim::Fault::Weather(Weather::FAIR.link()));
    for node in 0..site.nodes() {
        revive(site, node);
        site.input_all(node, Input::Start);
        (0..site.members()).for_each(|member| site.plug_in(node, member));
    }
}

/// A mistake that every router of the LAN rejects. Its own source is not the one that these have.
fn any_wrong() -> impl Strategy<Value = Wrong> {
    let wrong = Wrong::ALL.into_iter().filter(|wrong| {
        ![Wrong::OwnSource, Wrong::OwnOtherSource, Wrong::OwnCookie].contains(wrong)
    });
    prop::sample::select(wrong.collect::<Vec<_>>())
}

/// Lets a router hear something bad, which it has to reject. Whether there was anything to hear.
fn reject(
    site: &mut Site,
    (node, member): (usize, usize),
    setup: Setup,
    wrong: Wrong,
    resigns: bool,
) -> bool {
    let now = site.sim.now();
    let Some(label) = wrong.label(setup) else { return false };
    let (meta, message) =
        if resigns { wrong.resignation(setup, now) } else { wrong.datagram(setup, now) };
    let rejected = site.sim.hear_from_outside(node, member, &meta, &message);
    let rejected = rejected.map_err(Reject::label);
    assert_eq!(rejected, Err(label), "{wrong:?}");
    true
}

/// By when one host has everything: a handover, and one collision.
fn settled(site: &Site) -> Duration {
    let slowest: Vec<_> = (0..site.members()).map(|member| slowest(&site.sim, member)).collect();
    let down = slowest.iter().map(|(down, _)| *down).max().unwrap_or_default();
    let interval = slowest.iter().map(|(_, interval)| *interval).max().unwrap_or_default();
    let window = down + interval + secs(1);
    window + (down + interval * 2) * 2
}

proptest! {
    #![proptest_config(cases(128))]

    /// That no host ever has a half of its group active, and that no event causes more than two
    /// inputs for each router, is seen to by the simulator after every single event.
    #[test]
    fn when_all_is_well_again_one_host_has_the_whole_group_soon_and_keeps_it(
        members in any_members(),
        troubles in prop::collection::vec(any_trouble(), 0..40),
        loss in prop_oneof![2 => Just(0), 1 => 1..50_u32],
        seed: u64,
    ) {
        let mut site = Site::new(&members, Weather { loss, ..Weather::FAIR }, seed);
        for trouble in &troubles {
            meet(&mut site, trouble);
        }
        all_is_well_again(&mut site);
        site.run(settled(&site));
        prop_assert!(site.holder().is_some(), "{:?} are active", site.active());
        // Who was held may preempt now. Where ranks contradict each other, the first to try may find that it
        // must not have the whole group, and is held once more.
        site.run((hold(&site) + settled(&site)) * 2);
        let (holder, changes) = (site.holder(), site.transitions());
        prop_assert!(holder.is_some(), "{:?} are active", site.active());
        site.run(secs(300));
        prop_assert_eq!((site.holder(), site.transitions()), (holder, changes));
    }

    /// What a router rejects, its group does not learn of either.
    #[test]
    fn rejected_packets_change_nothing_for_a_group(
        members in any_members(),
        troubles in prop::collection::vec(any_trouble(), 0..20),
        bad in prop::collection::vec((0..3_usize, 0..3_usize, any_wrong(), any::<bool>()), 1..8),
        seed: u64,
    ) {
        let run = |bad: &[(usize, usize, Wrong, bool)]| {
            let mut site = Site::new(&members, Weather { loss: 20, ..Weather::FAIR }, seed);
            let mut rejected = 0;
            for trouble in &troubles {
                meet(&mut site, trouble);
                for &(node, member, wrong, resigns) in bad {
                    let (node, member) = (node % site.nodes(), member % site.members());
                    let setup = members[member][node];
                    rejected += u32::from(reject(&mut site, (node, member), setup, wrong, resigns));
                }
            }
            (rejected, (site.sim.next_in(), site.sim.trace().hash()))
        };
        let ((none, quiet), (_, flooded)) = (run(&[]), run(&bad));
        prop_assert_eq!(none, 0);
        prop_assert_eq!(quiet, flooded);
    }

    #[test]
    fn the_same_seed_gives_the_same_run(
        members in any_members(),
        troubles in prop::collection::vec(any_trouble(), 0..20),
        seed: u64,
    ) {
        let run = || {
            let mut site = Site::new(&members, Weather { loss: 20, ..Weather::FAIR }, seed);
            troubles.iter().for_each(|trouble| meet(&mut site, trouble));
            site.sim.trace().hash()
        };
        prop_assert_eq!(run(), run());
    }
}
