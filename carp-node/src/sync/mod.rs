//! Role-aware data: the standby keeps a copy of what the active node serves, and nothing is lost when
//! they change places.
//!
//! # The three rules
//! 1. **Pull, never push.** Only the backup changes its own tree. A stale node that wakes up can
//!    therefore never overwrite a good one, and who is active never pulls.
//! 2. **Epochs decide, not clocks.** Each tenure of an active node is an epoch; each copy carries the
//!    history of epochs that it descends from. A tree is replaced by a descendant, and by another one
//!    only after somebody has given it up.
//! 3. **What may be lost is kept.** A pass that could overwrite anything that came from elsewhere keeps it
//!    in a rescue set, and reports what nobody else ever had.
//!
//! # The house
//!
//! ```text
//!             record (mine, on disk) ─┐
//! peer's record (read over ssh) ──────┼─► decide ─► Pull ─► guards ─► rsync ─► rescue, memory
//!             who is heard ───────────┤     ├─────► Hold, Wait, Scan, Serve
//!             policy ─────────────────┘     └─► standing ─► held, takeover ─► election
//! ```
//!
//! | file | knows | does not know |
//! |---|---|---|
//! | [`lineage`] | epochs, histories, what descends from what | shares, roles, time |
//! | [`record`] | what is remembered and told; how it is written | what follows from it |
//! | [`policy`] | what the operator chose | |
//! | [`decide`] | whether to pull now, and with what care | files, processes |
//! | [`standing`] | whether the copy is good enough to preempt or take over | files, processes |
//! | [`handover`] | the steps of a planned change, and their deadlines | files, processes |
//! | [`hold`] | why nothing is copied, and what to do about it | |
//! | [`pace`] | when the next pass begins | why |
//! | [`lag`] | the one line: how far behind, what a failover would lose | |
//! | [`rsync`] | command lines, output, exit codes, versions, ssh's texts | shares, roles |
//! | [`guards`] | markers, live databases, limits, places | roles, lineage |
//! | [`tree`], [`pattern`] | walks through a tree, and what they leave out | |
//! | [`watch`] | what changes in a tree, as a hint | what follows |
//! | [`rescue`] | sets of what was overwritten: made, told, restored, pruned | why a pass rescues |
//!
//! The decisions are pure functions and take the time as an argument: `tests/sync_histories/` drives
//! thousands of random histories through them.
//!
//! # What a driver does
//! It keeps one [`Memory`](record::Memory) a share, writes the [`NodeRecord`](record::NodeRecord) each
//! second, reads the peer's each one or two seconds into a [`Peer`](record::Peer), and asks
//! [`decide`](decide::decide). Before it takes an address it kills and reaps a running pass, and stores
//! [`after_promotion`](record::Memory::after_promotion). After a complete pass that moved anything, or that
//! follows one that did not count, it calls `syncfs`; then it checks that the peer's tip is
//! still the one of the decision, and stores [`after_pass`](record::Memory::after_pass). What is stored
//! is stored before what it allows is done.
//!
//! # The first time
//! A node that has no memory of a share knows nothing about the tree that it finds. If it becomes active, the
//! tree begins its history there. If the peer is active, an empty tree is filled; a tree with anything
//! in it is held until the operator says which one counts
//! ([`NotAdopted`](hold::HoldReason::NotAdopted)). Before it serves, it waits for the peer's word as long as
//! a node that crashed does: the peer may have what it lost. A memory that is damaged is never
//! guessed at: it is a memory of nothing, with a hold ([`StateDamaged`](hold::HoldReason::StateDamaged)).

pub mod check;
pub mod decide;
pub mod engine;
mod files;
pub mod guards;
pub mod handover;
pub mod hold;
pub mod lag;
pub mod lineage;
pub mod pace;
pub mod pair;
pub mod pattern;
pub mod policy;
pub mod record;
pub mod rescue;
pub mod rsync;
pub mod standing;
pub mod tree;
pub mod watch;

use std::time::Duration;

use self::lineage::Stamp;

/// The clock by which files change goes in steps of 1 to 10 ms, as the kernel was built, and on a busy machine a step may
/// come late: so much behind the true one it is at most.
const TICK: Duration = Duration::from_millis(20);

/// This node's wall clock, so much earlier that no file can show an older change afterwards.
fn wall_stamp() -> Stamp {
    let now = Stamp(u64::try_from(crate::clock::wall_time().as_nanosecond()).unwrap_or(0));
    now.before(TICK)
}
