//! Sync groups on two nodes.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Diagnostic, rank};
use crate::config::RouterSpec;

/// Compares the groups of two nodes. `matched` says which router of theirs each of ours is.
pub(super) fn compare(
    ours: &Config,
    theirs: &Config,
    matched: &BTreeMap<usize, usize>,
    found: &mut Vec<Diagnostic>,
) {
    let mut told = BTreeSet::new();
    let (our_groups, their_groups) = (ours.sync_groups(), theirs.sync_groups());
    for (&own, &other) in matched {
        let here: BTreeSet<_> =
            members(&our_groups, own).filter_map(|member| matched.get(&member).copied()).collect();
        let there: BTreeSet<_> = members(&their_groups, other)
            .filter(|it| matched.values().any(|own| own == it))
            .collect();
        if here != there && told.insert(here.union(&there).copied().collect::<Vec<_>>()) {
            let router = &ours.routers[own];
            found.push(other_members(ours, theirs, router, &theirs.routers[other]));
        }
    }
    for group in &ours.groups {
        let pairs =
            matched.iter().map(|(&own, &other)| (&ours.routers[own], &theirs.routers[other]));
        let pairs: Vec<_> = pairs.filter(|(own, _)| group.routers.contains(&own.name)).collect();
        let with = |order| pairs.iter().find(|(own, other)| rank(own, other) == order);
        if let (Some((better, _)), Some((worse, _))) =
            (with(Ordering::Greater), with(Ordering::Less))
        {
            let (better, worse) = (&better.name, &worse.name);
            let message =
                format!("this node is better in {better:?}, and the other one in {worse:?}");
            let help = "such a group cannot decide which node is better: rank its members alike";
            found.push(group.place.warning(message).with_help(help));
        }
    }
}

/// The routers of the same group; without one, the router alone.
fn members(groups: &[Option<usize>], router: usize) -> impl Iterator<Item = usize> {
    let own = groups.get(router).copied().flatten();
    let same = move |(index, group): (usize, &Option<usize>)| {
        (index == router || (own.is_some() && *group == own)).then_some(index)
    };
    groups.iter().enumerate().filter_map(same)
}

fn other_members(
    ours: &Config,
    theirs: &Config,
    router: &RouterSpec,
    other: &RouterSpec,
) -> Diagnostic {
    let group_of = |config: &Config, name: &String| {
        config.groups.iter().find(|group| group.routers.contains(name)).map(|it| it.place.clone())
    };
    let (here, there) = (group_of(ours, &router.name), group_of(theirs, &other.name));
    let there = there.unwrap_or_else(|| other.places.table.clone());
    let name = &router.name;
    let message = format!("router {name:?} does not move with the same routers as at {there}");
    let help = "give both nodes the same groups: else one of them takes over what the other keeps";
    here.unwrap_or_else(|| router.places.table.clone()).warning(message).with_help(help)
}
