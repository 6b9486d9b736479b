//! `carp demo`: the whole system on one machine.
//!
//! Three hosts on a switch, in private namespaces: two servers, each with a web server and a real
//! `carp run`, and a client that asks through the virtual address all the time. The primary's machine
//! dies, comes back, and is stopped as planned; what the client saw is the result.

mod report;
mod script;
mod stage;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use carp_node::lab::{self, Entered};

use self::stage::Timers;
use crate::args::DemoProtocol;
use crate::exit::{Exit, Failure};

/// Runs the demo; returns its exit code.
pub(crate) fn run(
    json: bool,
    plot: Option<&Path>,
    protocol: DemoProtocol,
    interval: Duration,
) -> Result<ExitCode, Failure> {
    if plot.is_some() {
        return Err(Failure::not_supported("carp demo --plot"));
    }
    match protocol {
        DemoProtocol::Carp => {}
        DemoProtocol::Vrrp2 => return Err(Failure::not_supported("carp demo --protocol vrrp2")),
        DemoProtocol::Vrrp3 => return Err(Failure::not_supported("carp demo --protocol vrrp3")),
    }
    let timers = Timers::from_interval(interval).ok_or_else(|| {
        Failure::new(Exit::Usage, "CARP cannot advertise at this interval").with_help(
            "choose 1s to 10s in whole seconds, or below one second a multiple of 125ms, such as 250ms",
        )
    })?;
    let inside = match lab::enter() {
        Ok(Entered::Inside(inside)) => inside,
        // The demo ran in its namespaces and has ended.
        Ok(Entered::Ended(status)) => return Ok(status),
        Err(error) => return Err(Failure::missing(error.to_string())),
    };
    let failed = |error: lab::LabError| Failure::failed(error.to_string());
    let outcome = script::play(&inside, timers, !json).map_err(failed)?;
    if json {
        crate::output::print(&format!("{}\n", outcome.json()))?;
    } else {
        crate::output::print(&outcome.table())?;
    }
    Ok(ExitCode::from(if outcome.ok() { 0 } else { Exit::Failed.code() }))
}
