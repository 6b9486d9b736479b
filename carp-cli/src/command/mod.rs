//! One file a verb.

pub(crate) mod check;
pub(crate) mod cleanup;
mod client;
pub(crate) mod decode;
pub(crate) mod demo;
pub(crate) mod events;
pub(crate) mod keygen;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod r#yield;
