//! For tests of what is built on this crate: made-up routers, what their peers say, and what happens to them.
//!
//! With the feature `proptest` there are [`strategy`] functions, which make such values and shrink them. With the
//! feature `arbitrary` the values implement [`Arbitrary`](https://docs.rs/arbitrary), for fuzzers. Neither changes
//! anything else: both only add. This crate's own tests and fuzz targets use what is here.
//!
//! - A [`Setup`] is the parameters of one router of a made-up virtual router: any protocol, dialect, rank, and one
//!   [`Extra`] of its protocol. [`Setup::config`] is its configuration.
//! - [`Peers`] write adverts as the other members of that virtual router do, with the right key and checksum.
//! - A [`Step`] is something that happens: time passes, an input, an advert of a peer, damaged or not, or any bytes.
//!   A [`Drill`] is a router to which steps happen; you take its actions out, as your own driver does.
//!
//! # Property tests
//!
//! What is to hold whatever happens, here that a router sends only while it is active:
//!
#![cfg_attr(feature = "proptest", doc = "```")]
#![cfg_attr(not(feature = "proptest"), doc = "```ignore")]
//! use bytes::BytesMut;
//! use carp_proto::election::State;
//! use carp_proto::testing::strategy::{any_setup, any_steps};
//! use carp_proto::testing::Drill;
//! use carp_proto::{Action, Instant};
//! use proptest::test_runner::TestRunner;
//!
//! let property = (any_setup(), any_steps());
//! TestRunner::deterministic().run(&property, |(setup, steps)| {
//!     let mut drill = Drill::new(setup, Instant::ZERO);
//!     let mut scratch = BytesMut::new();
//!     for step in &steps {
//!         let was_active = drill.router.state() == State::Active;
//!         drill.take(step);
//!         let is_active = drill.router.state() == State::Active;
//!         while let Some(action) = drill.router.poll_action(&mut scratch) {
//!             assert!(!matches!(action, Action::Send(_)) || was_active || is_active);
//!         }
//!     }
//!     Ok(())
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In a test of yours, `proptest! { … }` around the closure says the same in fewer words.
//!
//! # Fuzzing
//!
//! A fuzzer's bytes become a router and what happens to it:
//!
#![cfg_attr(feature = "arbitrary", doc = "```")]
#![cfg_attr(not(feature = "arbitrary"), doc = "```ignore")]
//! use arbitrary::{Arbitrary, Unstructured};
//! use carp_proto::testing::{Drill, Setup, Step};
//! use carp_proto::Instant;
//!
//! fn target(data: &[u8]) -> arbitrary::Result<()> {
//!     let mut bytes = Unstructured::new(data);
//!     let mut drill = Drill::new(Setup::arbitrary(&mut bytes)?, Instant::ZERO);
//!     for step in bytes.arbitrary_iter::<Step>()? {
//!         drill.take(&step?);
//!         // Take the actions out here, and look at them.
//!     }
//!     Ok(())
//! }
//! target(&[0x5a; 200])?;
//! # Ok::<(), arbitrary::Error>(())
//! ```

#[cfg(feature = "arbitrary")]
mod arbitrary;
mod peers;
mod setup;
mod step;
#[cfg(feature = "proptest")]
pub mod strategy;

use alloc::vec::Vec;

pub use self::peers::{Peers, Said, signer};
pub use self::setup::{
    EPOCH, Extra, HEARD, HMAC_KEY, ID, KEY, OWN_HOST, PASSWORD, SECOND_HMAC_KEY, Setup, Version,
    ipv4_host,
};
pub use self::step::{Drill, Step};
use crate::wire::ip::RxMeta;

/// A datagram without its IP header: what the header says, and the message.
pub type Datagram = (RxMeta, Vec<u8>);
