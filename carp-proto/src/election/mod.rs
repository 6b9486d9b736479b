//! Claims, ranks and deadlines: who is the active router. No bytes, no sockets, no clocks.
//!
//! ```text
//!                     start, link up
//!          ┌────── Init ───────────────► Backup ◄─────────────────────────┐
//!          │         ▲                   │    ▲                           │
//!          │         │ stop, link down   │    │ better peer, fault,       │
//!          │         └───────────────────┤    │ paused                    │
//!          │                             ▼    │                           │
//!          │   active-down, resigned,   Active: taking over ──► serving   │
//!          │   worse peer                                          │      │
//!          │                                            stop, yield▼      │
//!          └◄──────────────────────────────── stop ────────── leaving ────┘ yield
//! ```
//!
//! # The order of effects
//!
//! | on | outputs, in this order |
//! |---|---|
//! | becoming active | advertise; prepare, if something is registered, and wait; acquire, which announces; on `Acquired`: event |
//! | stepping down for a better router | one last advert (only if strictly better, see [`Farewell`]); release; event |
//! | stopping, yielding | advertise the resignation, again after 10 ms; serve on; release when the successor announces, or at a further advert of it from 100 ms on, or 200 ms after its first, or at the end of the handover window; event |
//! | nobody took over after a yield | advertise; acquire (and announce) again; event |
//! | stepping down with the group | as for a yield, with more time for a successor |
//! | a worse active router was heard | event, the first time; announce at once (at most once an interval, however many there are), after 1 s and after 5 s |
//! | an address was removed by others | event; acquire again, within a second; at the third time in 60 s as for a fault |
//! | the deadline of a backup, while another host has an address that it is to keep | event, the first time; nothing else for an active-down interval |
//! | a takeover that is barred | event, the first time; nothing else until it is allowed |
//! | a fault | advertise the resignation; release; event |
//! | a pause longer than the active-down interval | release; event; then as any backup, or stopped if that was its goal |
//! | link down | release; event |

mod config;
mod input;
mod machine;
mod output;
mod policy;
mod rank;
mod standing;

pub use config::AnnouncePlan;
pub(crate) use config::{ElectionConfig, Handicap};
pub use input::{Bar, Fault, Input, LinkState};
pub(crate) use machine::Machine;
pub(crate) use output::Output;
pub use output::{
    Advertisement, Cause, Deadline, Event, Evidence, LearnedInterval, Phase, Posture, State, Wait,
};
pub use policy::{
    CounterRule, DemotionEffect, Dialect, Farewell, OwnerRule, Policy, Preemption, Resignation,
    ResignedWhileActive, SkewTime, UnknownDialect, WorseWhileActive,
};
pub(crate) use rank::Claim;
pub use rank::{Rank, TieBreak};
pub use standing::Standing;
