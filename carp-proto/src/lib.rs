#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::as_conversions)]
//! placeholder

extern crate alloc;
#[cfg(test)]
extern crate std;

mod address;
mod auth;
pub mod election;
mod id;
mod interval;
mod reject;
mod time;
pub mod wire;

pub use address::{AddressError, VirtualAddress};
pub use auth::{Authenticator, Key, KeyError};
pub use id::{
    Demotion, Family, IdError, MacAddr, Protocol, UnknownProtocol, VirtualId,
};
pub use interval::{AdvBase, AdvSkew, CarpInterval, IntervalError};
pub use reject::{Reject, RejectCounters};
pub use time::Instant;
pub use wire::ip::RxMeta;
