//! One file a verb.

pub(crate) mod check;
pub(crate) mod cleanup;
mod client;
pub(crate) mod decode;
pub(crate) mod demo;
mod digest;
pub(crate) mod events;
pub(crate) mod keygen;
mod listen;
mod output_file;
mod packet;
mod plot;
pub(crate) mod replay;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod simulate;
pub(crate) mod sniff;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod r#yield;
