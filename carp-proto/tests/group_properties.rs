//! What holds for groups on several hosts, whatever goes wrong.

mod support;

use std::time::Duration;

use carp_proto::election::{Fault, Input};
use proptest::prelude::*;
use support::lan::{Weather, slowest};
use support::site::Site;
use support::vrrp::Version;
use support::{Setup, ms, secs};

const HOLD: Duration = Duration::from_secs(60);

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
    site.lans.iter_mut().for_each(|lan| lan.weather.loss = 0);
    for node in 0..site.nodes() {
        revive(site, node);
        site.input_all(node, Input::Start);
        (0..site.members()).for_each(|member| site.plug_in(node, member));
    }
}

/// By when one host has everything: a handover, and one collision.
fn settled(site: &Site) -> Duration {
    let slowest: Vec<_> = site.lans.iter().map(slowest).collect();
    let down = slowest.iter().map(|(down, _)| *down).max().unwrap_or_default();
    let interval = slowest.iter().map(|(_, interval)| *interval).max().unwrap_or_default();
    let window = down + interval + secs(1);
    window + (down + interval * 2) * 2
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// That no host ever has a half of its group active, and that no event causes more than two
    /// inputs for each router, is seen to by `Site` after every single event.
    #[test]
    fn when_all_is_well_again_one_host_has_the_whole_group_soon_and_keeps_it(
        members in any_members(),
        troubles in prop::collection::vec(any_trouble(), 0..40),
        loss in prop_oneof![2 => Just(0), 1 => 1..50_u64],
        seed: u64,
    ) {
        let mut site = Site::new(&members, Weather { loss, ..Weather::FAIR }, seed);
        for trouble in &troubles {
            meet(&mut site, trouble);
        }
        all_is_well_again(&mut site);
        site.run(settled(&site));
        prop_assert!(site.holder().is_some(), "{:?} are active", site.active());
        // Who was held may preempt now.
        site.run(HOLD + settled(&site));
        let (holder, changes) = (site.holder(), site.transitions());
        prop_assert!(holder.is_some(), "{:?} are active", site.active());
        site.run(secs(300));
        prop_assert_eq!((site.holder(), site.transitions()), (holder, changes));
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
            site.lans.into_iter().map(|lan| (lan.events, lan.holders)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }
}
