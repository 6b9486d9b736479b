//! What the programs that measure have in common.

pub mod machine;
pub mod program;
pub mod stats;
pub mod strace;

/// What may go wrong is told, and ends the program.
pub type Failure = Box<dyn std::error::Error>;
/// The outcome of a part of a measurement.
pub type Result<T> = std::result::Result<T, Failure>;
