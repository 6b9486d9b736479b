//! CARP and VRRP as a sans-I/O library: packets, authentication and the election of the active router.
//!
//! A *virtual router* is one or more addresses that move together between the hosts of a link. The
//! hosts elect who is *active*; the others are *backup* and take over when it falls silent. This
//! crate reads and writes the packets and decides. It opens no socket, reads no clock, starts no
//! thread, has no randomness and needs no operating system (`no_std` with `alloc`); `carp-node` binds
//! it to Linux.
//!
//! # A router, driven by hand
//!
//! ```
//! use bytes::BytesMut;
//! use carp_proto::election::{Input, LinkState, State};
//! use carp_proto::{Action, Instant, Key, RouterConfig, VirtualId, VirtualRouter};
//!
//! let key = Key::new(b"secret")?;
//! let addresses = vec!["192.168.130.100".parse()?];
//! let config = RouterConfig::carp(VirtualId::new(1)?, &key, addresses, 0x5eed)?;
//! let mut router = VirtualRouter::new(config);
//!
//! let mut now = Instant::ZERO;
//! router.handle(now, Input::Start);
//! router.handle(now, Input::Link(LinkState::Up { source: "192.168.130.50".parse()? }));
//!
//! let mut scratch = BytesMut::new();
//! while router.state() != State::Active {
//!     // A real loop waits for the deadline, and puts in datagrams that come meanwhile.
//!     now = router.poll_timeout().expect("a backup has a deadline").at;
//!     router.handle(now, Input::Timeout);
//!     while let Some(action) = router.poll_action(&mut scratch) {
//!         if let Action::Send(advert) = action {
//!             assert_eq!(advert.payload.len(), 36);
//!         }
//!     }
//! }
//! assert_eq!(now, Instant::from_nanos(3_000_000_000)); // three times advbase
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For VRRP the configuration is another, and nothing else: [`RouterConfig::vrrp2`] and
//! [`RouterConfig::vrrp3`].
//!
//! # Where to look
//!
//! | room | knows | does not know |
//! |---|---|---|
//! | [`wire`] | bytes, lengths, checksums | state, time |
//! | [`auth`] | keys, digests, repetition | sockets, clocks |
//! | [`election`] | claims, ranks, deadlines | bytes |
//! | [`VirtualRouter`] | both | I/O, clocks |
//! | [`Group`] | which routers are active together | all of the above |

#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::as_conversions, clippy::wildcard_enum_match_arm)]

extern crate alloc;
#[cfg(any(test, feature = "proptest", feature = "arbitrary"))]
extern crate std;

mod address;
pub mod auth;
pub mod election;
mod group;
mod id;
mod interval;
mod reject;
mod router;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
#[cfg(any(feature = "proptest", feature = "arbitrary"))]
pub mod testing;
mod time;
pub mod wire;

pub use address::{AddressError, VirtualAddress};
pub use auth::{Authenticator, Key, KeyError};
pub use group::Group;
pub use id::{
    Demotion, Family, IdError, MacAddr, Priority, PriorityError, Protocol, UnknownProtocol,
    VirtualId,
};
pub use interval::{AdvBase, AdvSkew, CarpInterval, Centiseconds, IntervalError, Seconds};
pub use reject::{Reject, RejectCounters};
pub use router::{
    Action, Announce, ChecksumMode, ConfigError, RouterConfig, Transmit, VirtualRouter, Vrrp2,
    Vrrp3,
};
pub use snapshot::{Counters, LastReject, MAX_PEERS, Peer, Remarks, Snapshot};
pub use time::Instant;
pub use wire::ip::RxMeta;
