//! Elections in virtual time: hosts, links, faults, and somebody who watches. Feature `sim`.
//!
//! | part | is |
//! |---|---|
//! | [`Lan`] | hosts on links; seeded, exact, and quick: it jumps from one thing that happens to the next |
//! | [`HostModel`] | how a host works: how late it is, how it takes addresses, lease and guard |
//! | [`Fault`], [`Weather`] | what can go wrong, or is done on purpose |
//! | [`Trace`], [`Transcript`] | a fingerprint of a run, and a text that people read |
//! | [`Record`] | who had the addresses when, and what the routers were at |
//! | [`Scenario`], [`Spec`] | a run to be, as a value and as a text |
//! | [`judge`], [`Invariant`] | whether a run fulfils what every run has to fulfil |
//! | [`Ledger`] | whether one router fulfils what it can by itself, whoever drives it |
//! | [`minimise`] | from a scenario that fails to a small one |
//! | [`random_scenario`], [`scenario_of`] | scenarios by the million, from seeds or from a fuzzer's bytes |
//! | [`explore`] | all that can happen to a few routers, in every order |
//! | [`Bug`] | what a program may do wrong, planted to test all of the above |
//!
//! What is simulated is the very [`VirtualRouter`](crate::VirtualRouter) that carp-node drives: datagrams are
//! written, carried, read and verified byte by byte.

mod bug;
mod choices;
pub mod explore;
mod fault;
mod generate;
mod host;
mod judge;
mod lan;
mod ledger;
mod minimise;
mod oracle;
mod random;
mod record;
mod scenario;
mod spec;
mod trace;

pub use bug::Bug;
pub use fault::{Described, Fault, Weather};
pub use generate::{random_scenario, scenario_of};
pub use host::{HostModel, HostPlan, LeaseModel, View};
pub use judge::{Verdict, judge, judge_on};
pub use lan::Lan;
pub use ledger::Ledger;
pub use minimise::minimise;
pub use oracle::{Bounds, HOLD, Invariant, SUCCESSOR_SETTLES, Violation};
pub use random::{Chance, Random};
pub use record::{Change, Claim, Holders, Record, Span};
pub use scenario::{HostSpec, ReadError, Scenario, ScenarioError, Step};
pub use spec::{Spec, SpecSpeech};
pub(crate) use trace::Mixer;
pub use trace::{Entry, Trace, TraceHash, Transcript, What};
