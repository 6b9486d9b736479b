//! Bytes, lengths and checksums: parsing and emitting, without state and without time.
//!
//! Every `parse` is total: for each sequence of bytes it returns a value or a [`WireError`] that says
//! what was found and what was expected. Every `emit` appends to a buffer, whatever is in it already.

pub mod arp;
pub mod carp;
pub mod checksum;
mod error;
pub mod ethernet;
pub mod ip;

pub use error::WireError;
