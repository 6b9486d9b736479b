//! placeholder
pub mod backend;
pub mod clock;
pub mod config;
pub mod control;
pub mod event;
pub mod hooks;
#[cfg(feature = "lab")]
pub mod lab;
pub mod runner;
