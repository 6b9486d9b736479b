//! The control socket: what the command line and other programs ask a running daemon.
pub mod units;
