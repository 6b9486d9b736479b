//! `carp demo`: the whole system on one machine.
//!
//! Three hosts on a switch, in private namespaces: two servers, each with a web server, pages and a real
//! `carp run`, and a client that asks through the virtual address all the time. The primary's machine
//! dies, comes back, and is stopped as planned, and meanwhile pages are edited on whichever server is active.
//! What the client saw, and what is on both servers at the end, is the result.
//!
//! The `script` plays on the `stage`. What happens there is seen by the `watch`, which keeps it in a
//! `model`; the `terminal` shows that while it grows, and the `plot` draws it at the end.

mod model;
mod pages;
mod plot;
mod report;
mod rsync;
mod script;
mod stage;
mod terminal;
mod timers;
mod watch;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use carp_node::lab::{self, Entered, Lab, LabError};

use self::stage::Stage;
use self::terminal::{Form, Guard, Screen};
use self::timers::Timers;
use self::watch::Watch;
use crate::args::DemoProtocol;
use crate::command::output_file::OutputFile;
use crate::exit::{Exit, Failure};
use crate::output::{Output, print};

/// Turns this process into the demo's helper if it was started as one. Call it first in `main`.
pub(crate) fn init() {
    terminal::init();
}

/// Runs the demo; returns its exit code.
pub(crate) fn run(
    json: bool,
    plot: Option<&Path>,
    protocol: DemoProtocol,
    interval: Duration,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let timers = Timers::new(protocol, interval).map_err(|help| {
        let message = format!("the demo cannot show {protocol} at this interval");
        Failure::new(Exit::Usage, message).with_help(help)
    })?;
    if !lab::is_inside() {
        rsync::expect()?;
    }
    // Before anything is mounted over the directory that it lies in.
    let plot = plot.map(OutputFile::prepare).transpose()?;
    let form = if json { Form::Silent } else { Form::of(output.canvas()) };
    let guard = guard(form)?;
    let entered = lab::enter();
    finish(guard)?;
    match entered {
        Ok(Entered::Inside(inside)) => show(&inside, timers, form, plot.as_ref()),
        // The demo ran in its namespaces and has ended.
        Ok(Entered::Ended(status)) => Ok(status),
        Err(error) => Err(Failure::missing(error.to_string())),
    }
}

/// The demo itself, inside its namespaces.
fn show(
    inside: &Lab,
    timers: Timers,
    form: Form,
    plot: Option<&OutputFile>,
) -> Result<ExitCode, Failure> {
    let failed = |error: LabError| Failure::failed(error.to_string());
    let stage = Stage::build(inside, timers).map_err(failed)?;
    let watch = Watch::new(script::setting(timers));
    let screen = Screen::start(form, &watch).map_err(failed)?;
    let played = script::play(stage, timers, &watch);
    screen.finish();
    // Also of a play that broke off: then it shows how far it came.
    let drawn = plot.map_or(Ok(()), |file| file.write(&draw(&watch)));
    let outcome = played.map_err(failed)?;
    match form {
        Form::Silent => print(&format!("{}\n", outcome.json()))?,
        Form::Plain | Form::Still | Form::Live => print(&outcome.table())?,
    }
    drawn?;
    Ok(ExitCode::from(if outcome.ok() { 0 } else { Exit::Failed.code() }))
}

/// The figure of what was seen.
fn draw(watch: &Watch) -> String {
    let today = carp_node::clock::wall_time().strftime("%Y-%m-%d").to_string();
    watch.look(|model, now| plot::figure(model, now, &today))
}

/// Outside, somebody who gives the terminal back if the demo is killed while it draws.
fn guard(form: Form) -> Result<Option<Guard>, Failure> {
    if form != Form::Live || lab::is_inside() {
        return Ok(None);
    }
    let failed = |error| Failure::failed(format!("cannot start a helper process: {error}"));
    Guard::start().map(Some).map_err(failed)
}

fn finish(guard: Option<Guard>) -> Result<(), Failure> {
    let failed = |error| Failure::failed(format!("cannot wait for a helper process: {error}"));
    guard.map_or(Ok(()), Guard::finish).map_err(failed)
}
