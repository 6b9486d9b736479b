//! `carp sniff`: the adverts on a link as they pass.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use carp_node::capture::Writer;
use carp_node::dissect::{Layer, dissect};
use carp_node::sniff::Sniffer;

use super::digest;
use super::listen::Listener;
use super::packet::{Printer, Record, Stop, Style, outcome};
use crate::args::Sniff;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::privilege;

/// Shows, and writes, until it is told to end.
pub(crate) fn run(arguments: &Sniff, output: &Output) -> Result<(), Failure> {
    let verifier = digest::verifier(&arguments.digest)?;
    let mut listener = Listener::open(&arguments.interface)?;
    let mut file = arguments.write.as_deref().map(create).transpose()?;
    privilege::keep_nothing()?;

    let mut printer = Printer::new(Style::of(arguments.json, output), verifier);
    let done = listener.listen(arguments.time, |frame| {
        let Some(found) = dissect(frame.bytes, Layer::Link(Sniffer::LINK), frame.cut()) else {
            return Ok(ControlFlow::Continue(()));
        };
        if let Some((path, writer)) = &mut file {
            let written = writer.write(frame.time, frame.bytes, frame.len);
            written.map_err(|error| Stop::Failed(not_written(path, &error)))?;
        }
        let number = printer.shown() + 1;
        printer.print(&Record { frame: number, time: frame.time, layer: None, found })?;
        let enough = arguments.count == Some(printer.shown());
        Ok(if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    let shown = printer.shown();
    let packets = if shown == 1 { "packet" } else { "packets" };
    eprintln!("carp: {shown} {packets}, {} dropped by the kernel", listener.dropped());
    outcome(done.map(|_| ()))
}

fn create(path: &Path) -> Result<(&Path, Writer<File>), Failure> {
    if path == Path::new("-") {
        return Err(Failure::new(Exit::Usage, "the packets cannot be written to stdout")
            .with_help("give -w a file"));
    }
    let writer = File::create(path).and_then(|file| Writer::new(file, Sniffer::LINK));
    Ok((path, writer.map_err(|error| not_written(path, &error))?))
}

fn not_written(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("{} cannot be written: {error}", path.display()))
}
