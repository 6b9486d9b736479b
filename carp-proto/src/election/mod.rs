//! placeholder
mod config;
mod input;
mod output;
mod policy;
mod rank;

pub use config::{AnnouncePlan, ElectionConfig};
pub use input::{Fault, Input, LinkState};
pub use output::{
    Advertisement, Cause, Deadline, Event, Evidence, Output, Phase, State, Wait,
};
pub use policy::{
    CounterRule, DemotionEffect, Dialect, Farewell, Policy, Preemption, UnknownDialect,
    WorseWhileActive,
};
pub use rank::{Claim, Rank, TieBreak};
