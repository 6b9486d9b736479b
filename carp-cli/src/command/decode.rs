//! `carp decode`: the adverts in a capture, or in hex.

mod source;

use std::io::Read;

use carp_node::capture::hex::Dump;
use carp_node::capture::{CaptureError, Reader};
use carp_node::dissect::{Layer, LinkType, dissect, guess};

use self::source::Source;
use super::digest;
use super::packet::{Printer, Record, Stop, Style, outcome};
use crate::args::Decode;
use crate::exit::Failure;
use crate::output::Output;

/// Decodes what was named.
pub(crate) fn run(arguments: &Decode, output: &Output) -> Result<(), Failure> {
    let verifier = digest::verifier(&arguments.digest)?;
    let source = Source::open(&arguments.input)?;
    let mut printer = Printer::new(Style::of(arguments.json, output), verifier);
    outcome(match source {
        Source::Capture { name, stream } => capture(&name, stream, &mut printer),
        Source::Text { name, stream } => dump(&name, stream, &mut printer),
        Source::Hex(bytes) => {
            hex(1, &bytes, &mut printer).map(|()| remark(&printer, "the hex", 1, "packet"))
        }
    })
}

fn capture(name: &str, stream: impl Read, printer: &mut Printer<'_>) -> Result<(), Stop> {
    let failed = |error| Stop::Failed(capture_failure(name, &error));
    let mut reader = Reader::new(stream).map_err(failed)?;
    let mut passed_over = PassedOver::default();
    while let Some(frame) = reader.next_frame().map_err(failed)? {
        passed_over.look_at(frame.link, frame.number);
        if let Some(found) = dissect(frame.bytes, Layer::Link(frame.link), frame.cut) {
            printer.print(&Record { frame: frame.number, time: frame.time, layer: None, found })?;
        }
    }
    if let Some(failure) = passed_over.failure(name) {
        return Err(Stop::Failed(failure));
    }
    remark(printer, name, reader.frames(), "frame");
    Ok(())
}

/// Why a capture cannot be read, or not to its end.
pub(super) fn capture_failure(name: &str, error: &CaptureError) -> Failure {
    let failure = Failure::failed(format!("{name}: {error}"));
    match error {
        CaptureError::LinkType(_) => failure.with_help(known_link_types()),
        CaptureError::Truncated { .. } => failure.with_help(
            "what comes before was read; a capture ends like this when its writer is killed",
        ),
        _ => failure,
    }
}

/// Frames of a pcapng file whose link type is not understood. The others are read.
#[derive(Default)]
pub(super) struct PassedOver {
    first: Option<(LinkType, u64)>,
    count: u64,
}

impl PassedOver {
    pub(super) fn look_at(&mut self, link: LinkType, number: u64) {
        if let LinkType::Other(_) = link {
            self.first.get_or_insert((link, number));
            self.count += 1;
        }
    }

    pub(super) fn failure(&self, name: &str) -> Option<Failure> {
        let (link, number) = self.first?;
        let message = format!(
            "{name}: frames passed over because their link type is not understood: {}, the first is \
             frame {number} of link type {link}",
            self.count
        );
        Some(Failure::failed(message).with_help(known_link_types()))
    }
}

fn known_link_types() -> String {
    let known: Vec<String> = LinkType::KNOWN.iter().map(LinkType::to_string).collect();
    format!("understood are {}", known.join(", "))
}

fn dump(name: &str, stream: impl Read, printer: &mut Printer<'_>) -> Result<(), Stop> {
    let mut dump = Dump::new(stream);
    let mut packets = 0;
    loop {
        let packet = dump
            .next_packet()
            .map_err(|error| Stop::Failed(Failure::failed(format!("{name}: {error}"))))?;
        let Some(bytes) = packet else { break };
        packets += 1;
        hex(packets, &bytes, printer)?;
    }
    remark(printer, name, packets, "packet");
    Ok(())
}

/// Says it if there was nothing to show.
fn remark(printer: &Printer<'_>, name: &str, count: u64, what: &str) {
    match (printer.shown(), count) {
        (0, 0) => eprintln!("carp: {name}: there is no {what} in it"),
        (0, 1) => eprintln!("carp: {name}: the only {what} in it is not of IP protocol 112"),
        (0, _) => eprintln!("carp: {name}: no {what} of the {count} in it is of IP protocol 112"),
        (_, _) => {}
    }
}

fn hex(number: u64, bytes: &[u8], printer: &mut Printer<'_>) -> Result<(), Stop> {
    let layer = guess(bytes);
    // How long the packet was nobody says: what its header promises and is not here was cut.
    match dissect(bytes, layer, true) {
        Some(found) => {
            printer.print(&Record { frame: number, time: None, layer: Some(layer), found })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
