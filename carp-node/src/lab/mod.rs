//! Private network namespaces with a switch, hosts and faults: for tests, benches and `carp demo`.
//!
//! The lab is a small model of a rack: a [`Switch`], [`Host`]s plugged into it, real processes that
//! run on them, a [`Client`] or a
//! [`Prober`] that asks all the time, and the faults that machines and cables have.
//! Nothing in it touches the network of the machine that it runs on, and nothing of it remains when
//! the program ends, however it ends: see [`enter`].
//!
//! A program that uses the lab starts like this, before it has a second thread:
//!
//! ```no_run
//! use carp_node::lab::{self, Entered};
//! use std::process::ExitCode;
//!
//! fn main() -> ExitCode {
//!     lab::init(); // this program is also the lab's servers and the first process of its hosts
//!     match lab::enter() {
//!         Ok(Entered::Inside(lab)) => inside(&lab),
//!         Ok(Entered::Ended(status)) => status, // the program ran inside and has ended
//!         Err(error) => {
//!             eprintln!("{error}");
//!             ExitCode::from(7)
//!         }
//!     }
//! }
//!
//! fn inside(lab: &lab::Lab) -> ExitCode {
//!     let switch = lab::Switch::new(lab).expect("a switch");
//!     let host = switch.host("primary", lab::mac(0x50), &["192.168.130.50/24"]).expect("a host");
//!     let _web = host.serve_web().expect("a web server");
//!     ExitCode::SUCCESS
//! }
//! ```
//!
//! The calls block, and some need a tokio runtime of their own: they are not for asynchronous code.

mod client;
mod clock;
mod echo;
mod enter;
mod error;
mod flood;
mod holding;
mod host;
mod link;
mod machine;
mod net;
mod prober;
mod process;
mod shell;
mod switch;
mod sys;
mod tap;
mod wait;
mod web;

pub use client::{Client, Gap, Outcome, Request, largest_gap};
pub use enter::{EnterError, Entered, Lab, Step, enter, is_inside};
pub use error::LabError;
pub use flood::{Flood, Flooded};
pub use holding::{AddressChange, AddressWatch, Holding};
pub use host::{Direction, Host, HostAddress};
pub use prober::{Answer, Probe, Prober};
pub use process::{Line, Process, Stream};
pub use rustix::process::Signal;
pub use switch::{Switch, mac};
pub use tap::{Frame, Tap};
pub use wait::wait_until;

/// Turns this process into a part of the lab if it was started as one; otherwise does nothing.
///
/// The first process of every host and the lab's servers are the very program that uses the lab,
/// executed again under another name. Call this first in `main`.
pub fn init() {
    let mut arguments = std::env::args_os();
    let Some(name) = arguments.next() else { return };
    if name == machine::PROGRAM {
        machine::main();
    } else if name == web::PROGRAM {
        web::main(arguments.next());
    } else if name == echo::PROGRAM {
        echo::main(arguments.next(), arguments.next());
    } else if name == shell::PROGRAM {
        shell::serve(arguments.collect());
    } else if std::path::Path::new(&name).file_name().is_some_and(|name| name == shell::CLIENT) {
        shell::connect(arguments.next());
    }
}
