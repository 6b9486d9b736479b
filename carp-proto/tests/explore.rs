//! Every order of what can happen to two and three routers, to a depth.

use carp_proto::election::Dialect;
use carp_proto::sim::explore::{Budget, Model, Report, explore};
use carp_proto::sim::{Bug, Invariant};

const SOME: Budget = Budget { losses: 1, slow: 1, crashes: 1, cuts: 1, orders: 1 };

/// Two or three routers in every protocol, the first one the best.
fn models(routers: usize, depth: u32) -> Vec<(String, Model)> {
    let skews = &[0, 100, 200][..routers];
    let priorities = &[200, 150, 100][..routers];
    let mut models: Vec<(String, Model)> = [Dialect::Native, Dialect::OpenBsd]
        .map(|dialect| (format!("CARP {dialect}"), Model::carp(dialect, skews, depth)))
        .to_vec();
    models.push(("VRRPv2".into(), Model::vrrp2(priorities, depth)));
    models.push(("VRRPv3".into(), Model::vrrp3(priorities, depth)));
    models
}

/// The routers of a model, of which these preempt.
fn preempting(model: &Model, preempt: &[bool]) -> Model {
    let routers = model.routers.iter().zip(preempt);
    let routers = routers.map(|(router, preempt)| router.clone().with_preempt(*preempt)).collect();
    Model { routers, ..model.clone() }
}

/// Who of two routers preempts, where not both do. The first one is the better one.
const NOT_BOTH: [[bool; 2]; 3] = [[false, false], [true, false], [false, true]];

/// Two routers in every protocol and in every dialect.
fn pairs(depth: u32) -> Vec<(String, Model)> {
    let others = [Dialect::FreeBsd, Dialect::Ucarp];
    let others = others.map(|it| (format!("CARP {it}"), Model::carp(it, &[0, 100], depth)));
    models(2, depth).into_iter().chain(others).collect()
}

fn explored(name: &str, model: &Model) -> Report {
    let report = explore(model);
    let routers = model.routers.len();
    println!("{name}, {routers} routers: {report}");
    assert_eq!(report.violation, None, "{name}, {routers} routers");
    report
}

/// The same to the full depth, or to where there is no more, and not until memory ends.
fn explored_whole(name: &str, model: &Model) {
    let report = explored(name, &Model { most_states: 3_000_000, ..model.clone() });
    assert!(report.depth == model.depth || report.complete, "{name}: {report}");
}

#[test]
fn two_routers_are_safe_and_converge_whatever_happens() {
    for (name, model) in models(2, 7) {
        let model = Model { budget: SOME, converge_one_in: 8, ..model };
        assert!(explored(&name, &model).states > 100);
    }
}

/// The dialects differ from the others in how ties end, and in a last advert; two routers show what is different.
#[test]
fn two_routers_of_the_other_dialects_are_safe_and_converge_whatever_happens() {
    for dialect in [Dialect::FreeBsd, Dialect::Ucarp] {
        let model = Model::carp(dialect, &[0, 100], 7);
        let model = Model { budget: SOME, converge_one_in: 8, ..model };
        assert!(explored(&format!("CARP {dialect}"), &model).states > 100);
    }
}

/// Without preemption, CARP's default, the worse one goes on when the better one comes back.
#[test]
fn two_routers_of_which_not_both_preempt_are_safe_and_converge_whatever_happens() {
    for preempt in NOT_BOTH {
        for (name, model) in pairs(5) {
            let model = preempting(&model, &preempt);
            let model = Model { budget: SOME, converge_one_in: 8, ..model };
            let settled = Model { settled: true, ..model.clone() };
            for model in [model, settled] {
                assert!(explored(&format!("{name}, preempt {preempt:?}"), &model).states > 100);
            }
        }
    }
}

#[test]
fn three_routers_are_safe_and_converge_whatever_happens() {
    let budget = Budget { losses: 1, crashes: 1, ..Budget::NONE };
    for (name, model) in models(3, 8) {
        let model = Model { budget, converge_one_in: 1, ..model };
        assert!(explored(&name, &model).states > 100);
    }
    // From where one serves: a stop or a yield, and whatever is overtaken by it.
    let budget = Budget { orders: 1, slow: 1, ..Budget::NONE };
    for (name, model) in models(3, 6) {
        let model = Model { budget, settled: true, converge_one_in: 16, ..model };
        assert!(explored(&name, &model).states > 500);
    }
    let budget = Budget { losses: 1, crashes: 1, ..Budget::NONE };
    // A cut, which may heal, multiplies the states: `make explore` goes deeper.
    let budget = Budget { cuts: 1, ..budget };
    for (name, model) in models(3, 6) {
        let model = Model { budget, converge_one_in: 4, ..model };
        assert!(explored(&name, &model).states > 1000);
    }
}

/// From every state of what is small, where the tests above look at a part of the states of what is larger.
#[test]
fn from_every_state_of_small_models_one_router_serves_in_time_and_stays() {
    let others = [Dialect::FreeBsd, Dialect::Ucarp];
    let others = others.map(|it| (format!("CARP {it}"), Model::carp(it, &[0, 100], 4)));
    for (name, model) in models(2, 4).into_iter().chain(others) {
        let report = explored(&name, &Model { budget: SOME, converge_one_in: 1, ..model });
        assert_eq!(report.converged, u64::try_from(report.states).unwrap(), "{name}");
    }
    let budget = Budget { orders: 1, slow: 1, ..Budget::NONE };
    for (name, model) in models(3, 4) {
        let model = Model { budget, settled: true, converge_one_in: 1, ..model };
        let report = explored(&name, &model);
        assert_eq!(report.converged, u64::try_from(report.states).unwrap(), "{name}");
    }
}

#[test]
fn a_state_is_known_again_at_another_time() {
    // Without faults there is an end: the adverts of a router that nothing happens to are all the same.
    for (name, model) in models(2, 60) {
        let report = explored(&name, &Model { converge_one_in: 1, ..model });
        assert!(report.complete, "{name}");
    }
}

/// How many states there are where not both of two routers preempt, from where one serves.
const STATES: [[usize; 6]; 3] = [
    [1798, 1797, 1528, 1528, 1797, 1798],
    [1805, 1804, 1528, 1528, 1804, 1805],
    [1798, 1797, 1528, 1528, 1797, 1798],
];

/// What tells states apart forgets nothing: a change of the election that makes other states writes the new numbers
/// here. A number that falls by itself says that two states have been taken for one.
#[test]
fn the_states_of_these_models_are_as_many_as_they_were() {
    let states = |models: Vec<(String, Model)>, budget| -> Vec<usize> {
        let model = |model| Model { budget, converge_one_in: 0, ..model };
        models.into_iter().map(|(name, each)| explored(&name, &model(each)).states).collect()
    };
    assert_eq!(states(models(2, 5), SOME), [2002, 1988, 1943, 1981]);
    let budget = Budget { losses: 1, crashes: 1, ..Budget::NONE };
    assert_eq!(states(models(3, 7), budget), [392; 4]);
    for (preempt, expected) in NOT_BOTH.into_iter().zip(STATES) {
        let pairs = pairs(5).into_iter();
        let pairs = pairs
            .map(|(name, model)| (name, Model { settled: true, ..preempting(&model, &preempt) }));
        assert_eq!(states(pairs.collect(), SOME), expected, "preempt {preempt:?}");
    }
}

/// Each on a shortest path, whose length is given. Only the two that do no harm in any one state are looked for in what
/// becomes of the states.
#[test]
fn planted_bugs_are_found_as_what_they_are_on_a_shortest_path() {
    for planted in [
        (Bug::KeepsAddresses, &[0][..], 6, Invariant::Agreement),
        (Bug::IgnoresBetter, &[1], 15, Invariant::BoundedDual),
        (Bug::ForgetsToReport, &[0, 1], 0, Invariant::Convergence),
        (Bug::NeverWakes, &[0, 1], 0, Invariant::Convergence),
        (Bug::TakesAddressesAtOnce, &[0], 0, Invariant::Agreement),
        (Bug::LeavesInSilence, &[0], 2, Invariant::Goodbye),
    ] {
        let model = Model::carp(Dialect::Native, &[0, 100], 40);
        let budget = Budget { orders: 1, crashes: 1, ..Budget::NONE };
        finds(planted, Model { budget, ..model });
    }
}

/// Two successors rise together, and the worse one keeps its addresses when it goes again: that takes three.
#[test]
fn a_bug_that_shows_between_the_successors_of_a_router_is_found_among_three() {
    let planted = (Bug::KeepsAddresses, &[2][..], 7, Invariant::Agreement);
    let model = Model::carp(Dialect::OpenBsd, &[0, 100, 200], 10);
    let budget = Budget { orders: 1, ..Budget::NONE };
    finds(planted, Model { budget, settled: true, ..model });
}

#[test]
fn planted_bugs_are_found_in_vrrp_too() {
    let crash = Budget { crashes: 1, ..Budget::NONE };
    let planted = (Bug::KeepsAddresses, &[1][..], 10, Invariant::Agreement);
    finds(planted, Model { budget: crash, settled: true, ..Model::vrrp3(&[200, 100], 20) });
    // With none of what may go wrong.
    let planted = (Bug::IgnoresBetter, &[1][..], 24, Invariant::BoundedDual);
    finds(planted, Model::vrrp3(&[200, 150, 100], 30));
}

/// A bug of some routers, what finds it, and after how many moves.
type Planted = (Bug, &'static [usize], usize, Invariant);

fn finds((bug, hosts, length, invariant): Planted, model: Model) {
    let bugs = hosts.iter().map(|host| (*host, bug)).collect();
    let converge_one_in = u64::from(invariant == Invariant::Convergence);
    let report = explore(&Model { bugs, converge_one_in, ..model });
    let (violation, path) = report.violation.unwrap_or_else(|| panic!("{bug:?} was not found"));
    println!("{bug:?}: {violation} by {path:?}");
    assert_eq!(violation.invariant, invariant, "{bug:?}: {violation}");
    assert_eq!(path.len(), length, "{bug:?}: {path:?}");
}

/// `make explore`: minutes, in release.
#[test]
#[ignore = "minutes of a processor: make explore"]
fn deeper() {
    for (name, model) in models(2, 16) {
        explored_whole(&name, &Model { budget: SOME, converge_one_in: 16, ..model });
    }
    let budget = Budget { losses: 1, crashes: 1, cuts: 1, ..Budget::NONE };
    for (name, model) in models(3, 12) {
        explored_whole(&name, &Model { budget, converge_one_in: 64, ..model });
    }
    let budget = Budget { orders: 1, slow: 1, losses: 1, crashes: 1, ..Budget::NONE };
    for (name, model) in models(3, 10) {
        explored_whole(&name, &Model { budget, settled: true, converge_one_in: 64, ..model });
    }
    for preempt in NOT_BOTH {
        for (name, model) in pairs(9) {
            let model = preempting(&model, &preempt);
            let model = Model { budget: SOME, converge_one_in: 16, ..model };
            let settled = Model { settled: true, depth: 8, ..model.clone() };
            let name = format!("{name}, preempt {preempt:?}");
            [model, settled].iter().for_each(|model| explored_whole(&name, model));
        }
    }
    for (name, model) in models(3, 7) {
        let model = preempting(&model, &[false; 3]);
        let model = Model { budget, settled: true, converge_one_in: 64, ..model };
        explored_whole(&format!("{name}, without preemption"), &model);
    }
}
