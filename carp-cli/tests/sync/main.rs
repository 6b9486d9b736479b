//! Data that follow the active router: two real daemons, real rsync, in private network namespaces. The
//! letters are those of the sequences that the design lists.
//!
//! Without root no sshd lets anybody in, so the remote shell is a script here that runs the rsync daemon of
//! the other node, as the forced command of a key does. What only sshd can show is in `ssh.rs`, which needs root.

mod check;
mod clocks;
mod database;
mod door;
mod failback;
mod failover;
mod faults;
mod guards;
mod holds;
mod hooks;
mod kills;
#[path = "../guide/machine.rs"]
#[expect(dead_code, reason = "the guide uses more of it")]
mod machine;
mod memory;
mod misuse;
mod overflow;
mod renaming;
mod rescue;
mod roots;
mod routers;
mod scale;
mod scene;
mod settings;
mod split;
mod ssh;
mod steady;
mod stuck;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;
mod takeover;
mod trees;
mod web;

use std::process::ExitCode;

fn main() -> ExitCode {
    support::main(&[
        steady::TESTS,
        overflow::TESTS,
        failover::TESTS,
        web::TESTS,
        failback::TESTS,
        routers::TESTS,
        split::TESTS,
        roots::TESTS,
        guards::TESTS,
        memory::TESTS,
        holds::TESTS,
        database::TESTS,
        hooks::TESTS,
        rescue::TESTS,
        faults::TESTS,
        kills::TESTS,
        clocks::TESTS,
        renaming::TESTS,
        settings::TESTS,
        takeover::TESTS,
        scale::TESTS,
        check::TESTS,
        misuse::TESTS,
        ssh::TESTS,
    ])
}
