//! The faults that a server has to live with, one by one, in private network namespaces: what it does
//! about each is listed in docs/faults.md.
//!
//! Verdicts come from outside the daemons: the kernels say who has the address and from when to when,
//! taps hear who advertises, and a client says who answers. See [`scene`].

mod addresses;
mod duplicates;
#[path = "../support/embed.rs"]
mod embed;
mod links;
mod packets;
mod process;
#[path = "../../../carp-proto/tests/support/mod.rs"]
mod proto;
mod restart;
mod scene;
#[path = "../support/supervisor.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod supervisor;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;
mod time;

use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(status) = embed::init() {
        return status;
    }
    support::main(&[
        process::TESTS,
        restart::TESTS,
        links::TESTS,
        packets::TESTS,
        addresses::TESTS,
        duplicates::TESTS,
        time::TESTS,
    ])
}
