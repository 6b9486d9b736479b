//! Runs CARP virtual routers on Linux.
//!
//! A node takes the decisions of [`carp_proto`] to the network: it sends and receives adverts, takes
//! addresses and gives them back, tells neighbours, follows interfaces as they come and go, runs
//! hooks, and answers questions over a control socket.
//!
//! It needs `CAP_NET_RAW` and `CAP_NET_ADMIN` in its network namespace, and nothing else.
//!
//! # A whole daemon
//!
//! ```no_run
//! use carp_node::config::Config;
//! use carp_node::daemon::Daemon;
//!
//! carp_node::guard::init(); // first of all: this program is also its own helper processes
//! carp_node::runner::init();
//! let loaded = Config::load("/etc/carp/carp.toml".as_ref())?;
//! let daemon = Daemon::prepare(loaded.config, "/run/carp/control.sock".into())?;
//! daemon.run(|event| eprintln!("{event}"), |handle| async move {
//!     // For example: wait for a signal, and then
//!     handle.stop().await;
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Rooms
//!
//! | room | does |
//! |---|---|
//! | [`node`] | the loop that owns the routers; its [`Handle`](node::Handle) |
//! | `driver` | carries out what routers want, and turns what fails into inputs |
//! | [`addresses`] | the rules of taking addresses and giving them back, and their thread |
//! | [`backend`] | the operating system behind five traits: [Linux](backend::linux), [memory](backend::memory), [wrappers](backend::wrap) |
//! | [`clock`] | the only clock reads |
//! | [`guard`] | the second process, which takes the addresses down when this one dies or hangs |
//! | [`service`] | the thread for what may wait: events, hooks, control |
//! | [`event`], [`hooks`], [`runner`], [`control`] | the parts of it |
//! | [`config`] | the configuration file |
//! | [`lock`] | one daemon a router |
//! | [`state`] | files that outlast the process |
//! | [`sync`] | the standby's copy of the data: decisions, rescue sets, rsync |
//! | [`notify`] | telling the service manager: ready, status, watchdog |
//! | [`capture`], [`dissect`] | capture files; from a frame to the message in it |
//! | [`sniff`], [`census`] | listening on a link; who speaks there |
//! | [`daemon`] | all of it together |

pub mod addresses;
pub mod backend;
mod bpf;
pub mod capture;
pub mod census;
pub mod clock;
pub mod config;
pub mod control;
pub mod daemon;
mod demotion;
pub mod dissect;
mod driver;
pub mod event;
pub mod guard;
mod helper;
pub mod hooks;
#[cfg(feature = "lab")]
pub mod lab;
pub mod lock;
pub mod node;
pub mod notify;
mod remedy;
pub mod runner;
pub mod service;
pub mod sniff;
pub mod state;
pub mod sync;

/// The code of `docs/embedding.md`, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../docs/embedding.md")]
struct Embedding;
