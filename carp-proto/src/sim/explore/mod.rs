//! All that can happen to a few routers, in every order: exhaustive exploration of a bounded model.
//!
//! A random run follows one path. Here every choice is made in every way: which datagram arrives next, or is
//! lost; which of two deadlines that are close together is met first; when a host dies, comes back, is told
//! to stop or to yield, or does not hear another one any more. States that are the same but for the time
//! are visited once: what is compared is everything that the future depends on, relative to now.
//!
//! In every state the routers' books have to be right, addresses have to be where a router is active, and no two
//! routers that hear each other may both be active for longer than an interval. And from every state, or
//! from a part of them, all is made well, and then one router has to be active in time and stay so.
//!
//! ```
//! use carp_proto::sim::explore::{Budget, Model, explore};
//!
//! let model = Model::vrrp3(&[200, 100], 8);
//! let report = explore(&Model { budget: Budget { crashes: 1, ..Budget::NONE }, ..model });
//! assert_eq!(report.violation, None);
//! assert!(report.states > 10);
//! ```

mod world;

use alloc::collections::BTreeSet;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use self::world::World;
pub use self::world::{Budget, Move};
use super::bug::Bug;
use super::oracle::Violation;
use super::spec::{Spec, SpecSpeech};
use crate::election::{AnnouncePlan, Dialect};
use crate::id::Priority;
use crate::interval::{AdvBase, AdvSkew, Centiseconds, Seconds};
use crate::router::RouterConfig;

/// What to explore, and how far.
#[derive(Clone, Debug)]
pub struct Model {
    /// A router for each host.
    pub routers: Vec<RouterConfig>,
    /// How much may go wrong on one path.
    pub budget: Budget,
    /// How many choices are made, one after the other.
    pub depth: u32,
    /// Whether the first choice comes when one router serves and the others wait, and not when all have just been
    /// started.
    pub settled: bool,
    /// From how many of the states all is made well, to see what becomes of it: from each one for 1, from one
    /// in ten for 10, from none for 0.
    pub converge_one_in: u64,
    /// Ends when there are so many states.
    pub most_states: usize,
    /// Bugs that are planted.
    pub bugs: Vec<(usize, Bug)>,
}

impl Model {
    /// Routers of CARP in a dialect with these values of advskew and advbase 1, which preempt.
    ///
    /// # Panics
    /// For an advskew of 255.
    #[must_use]
    pub fn carp(dialect: Dialect, advskews: &[u8], depth: u32) -> Self {
        let speech = |advskew: &u8| SpecSpeech::Carp {
            dialect,
            advbase: AdvBase::new(1).expect("1 is an advbase"),
            advskew: AdvSkew::new((*advskew).into()).expect("an advskew is at most 254"),
        };
        Self::new(advskews.iter().map(speech), depth)
    }

    /// Routers of VRRP version 2 with these priorities, an advert a second, which preempt.
    ///
    /// # Panics
    /// For a priority of 0.
    #[must_use]
    pub fn vrrp2(priorities: &[u8], depth: u32) -> Self {
        let speech = |priority: &u8| SpecSpeech::Vrrp2 {
            priority: Priority::from_wire(*priority),
            interval: Seconds::DEFAULT,
        };
        Self::new(priorities.iter().map(speech), depth)
    }

    /// The same for version 3.
    ///
    /// # Panics
    /// For a priority of 0.
    #[must_use]
    pub fn vrrp3(priorities: &[u8], depth: u32) -> Self {
        let speech = |priority: &u8| SpecSpeech::Vrrp3 {
            priority: Priority::from_wire(*priority),
            interval: Centiseconds::DEFAULT,
            signed: false,
        };
        Self::new(priorities.iter().map(speech), depth)
    }

    fn new(speeches: impl Iterator<Item = SpecSpeech>, depth: u32) -> Self {
        let announce = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None };
        let addresses = vec!["192.0.2.100".parse().expect("an address")];
        let config = |(speech, seed): (SpecSpeech, u64)| {
            let spec = Spec { preempt: true, announce, ..Spec::new(speech, addresses.clone()) };
            // Cookies of OpenBSD's dialect have to differ.
            spec.config(seed << 32).expect("a valid router")
        };
        Self {
            routers: speeches.zip(1..).map(config).collect(),
            budget: Budget::NONE,
            depth,
            settled: false,
            converge_one_in: 1,
            most_states: usize::MAX,
            bugs: Vec::new(),
        }
    }
}

/// What an exploration saw.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Different states.
    pub states: usize,
    /// Choices that were made.
    pub moves: u64,
    /// The depth that was reached.
    pub depth: u32,
    /// Whether every state that the budget allows was visited, so that a greater depth has no more.
    pub complete: bool,
    /// From how many states all was made well.
    pub converged: u64,
    /// What was violated first, and the choices that lead there.
    pub violation: Option<(Violation, Vec<Move>)>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, moves, depth, complete, converged, violation } = self;
        write!(f, "{states} states, {moves} moves, depth {depth}")?;
        f.write_str(if *complete { " (all there are)" } else { "" })?;
        write!(f, ", {converged} times to convergence")?;
        let Some((violation, path)) = violation else { return Ok(()) };
        write!(f, "; {violation}, by")?;
        path.iter().try_for_each(|step| write!(f, " {step:?}"))
    }
}

/// Explores a model, breadth first: what it finds, it finds on a shortest path.
#[must_use]
pub fn explore(model: &Model) -> Report {
    let mut search = Search {
        model,
        known: BTreeSet::new(),
        origins: Vec::new(),
        report: Report {
            states: 0,
            moves: 0,
            depth: 0,
            complete: false,
            converged: 0,
            violation: None,
        },
    };
    search.run();
    search.report.states = search.known.len();
    search.report
}

struct Search<'a> {
    model: &'a Model,
    known: BTreeSet<u128>,
    /// For each state that was found, the one before it and the choice.
    origins: Vec<Option<(usize, Move)>>,
    report: Report,
}

impl Search<'_> {
    fn run(&mut self) {
        let mut layer = Vec::new();
        self.visit(World::new(self.model), None, &mut layer);
        for depth in 1..=self.model.depth {
            if layer.is_empty() || self.is_over() {
                break;
            }
            let mut next = Vec::new();
            for (number, world) in layer {
                for step in world.moves() {
                    let mut after = world.clone();
                    after.make(step);
                    self.report.moves += 1;
                    self.visit(after, Some((number, step)), &mut next);
                    if self.is_over() {
                        return;
                    }
                }
            }
            self.report.depth = depth;
            layer = next;
        }
        self.report.complete = layer.is_empty();
    }

    fn is_over(&self) -> bool {
        self.report.violation.is_some() || self.known.len() >= self.model.most_states
    }

    fn visit(
        &mut self,
        mut world: World,
        origin: Option<(usize, Move)>,
        layer: &mut Vec<(usize, World)>,
    ) {
        let key = world.key().number();
        if !self.known.insert(key) {
            return;
        }
        let number = self.origins.len();
        self.origins.push(origin);
        world.check();
        let mut violation = world.take_violation();
        let one_in = u128::from(self.model.converge_one_in);
        if violation.is_none() && one_in > 0 && key.is_multiple_of(one_in) {
            self.report.converged += 1;
            violation = world.clone().converge();
        }
        match violation {
            Some(violation) => self.report.violation = Some((violation, self.path(number))),
            None => layer.push((number, world)),
        }
    }

    /// The choices that lead to a state.
    fn path(&self, mut number: usize) -> Vec<Move> {
        let mut path = Vec::new();
        while let Some((before, step)) = self.origins[number] {
            path.push(step);
            number = before;
        }
        path.reverse();
        path
    }
}
