//! Bytes, lengths and checksums: parsing and emitting, without state and without time.
//!
//! Every `parse` is total: for each sequence of bytes it returns a value or a [`WireError`] that says
//! what was found and what was expected. Every `emit` appends to a buffer, whatever is in it already.
//!
//! | item | reads and writes |
//! |---|---|
//! | [`classify`] | tells CARP and the two versions of VRRP apart |
//! | [`carp`] | CARP adverts |
//! | [`vrrp`] | VRRP adverts, version 2 and 3, and the order in which they are checked |
//! | [`ip`], [`ah`] | the headers around them: IPv4, IPv6 and its extensions, IP authentication |
//! | [`arp`], [`ndp`] | announcements of addresses: gratuitous ARP, neighbour advertisements |
//! | [`ethernet`], [`checksum`] | what those need |

pub mod ah;
pub mod arp;
pub mod carp;
pub mod checksum;
mod error;
pub mod ethernet;
pub mod ip;
mod kind;
pub mod ndp;
pub mod vrrp;

pub use error::WireError;
pub use kind::{Kind, classify, classify_start};
