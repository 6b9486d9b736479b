//! `carp decode`: the adverts in a capture, or in hex.

mod hex;
mod json;
mod source;
mod text;

use std::io::{self, Read, Write};

use carp_node::capture::{CaptureError, Reader, Timestamp};
use carp_node::config::{KeyFileError, read_key_file};
use carp_node::dissect::{Dissected, Layer, LinkType, Message, Verifier, dissect, guess};

use self::hex::Dump;
use self::source::Source;
use crate::args::Decode;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Decodes what was named.
pub(crate) fn run(arguments: &Decode, output: &Output) -> Result<(), Failure> {
    let verifier = verifier(arguments)?;
    let source = Source::open(&arguments.input)?;
    let style =
        if arguments.json { Style::Json } else { Style::Text { color: output.color_on_stdout() } };
    let mut printer = Printer { style, verifier, shown: 0, out: io::stdout().lock() };
    let done = match source {
        Source::Capture { name, stream } => capture(&name, stream, &mut printer),
        Source::Text { name, stream } => dump(&name, stream, &mut printer),
        Source::Hex(bytes) => printer
            .hex(1, &bytes)
            .map(|()| remark(&printer, "the hex", 1, "packet"))
            .map_err(Stop::from),
    };
    match done {
        // The reader of stdout has gone, as `head` does.
        Ok(()) | Err(Stop::Unread) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// What checks digests, if a key and addresses were given.
fn verifier(arguments: &Decode) -> Result<Option<Verifier>, Failure> {
    let usage = |message: &str| Err(Failure::new(Exit::Usage, message));
    let path = match (&arguments.key_file, arguments.addresses.is_empty()) {
        (None, true) => return Ok(None),
        (Some(path), false) => path,
        (Some(_), true) => {
            return usage("--key-file needs --address: the digest covers the virtual addresses");
        }
        (None, false) => {
            return usage("--address needs --key-file: there is no digest without a key");
        }
    };
    let file = read_key_file(path).map_err(|error| {
        let help = match error {
            KeyFileError::Exposed { .. } | KeyFileError::Foreign { .. } | KeyFileError::Denied => {
                error.remedy(path)
            }
            KeyFileError::Missing
            | KeyFileError::Unreadable(_)
            | KeyFileError::NotAFile
            | KeyFileError::Key(_) => "give the key file that the router itself reads".to_owned(),
        };
        Failure::failed(format!("the key file {}: {error}", path.display())).with_help(help)
    })?;
    if file.ends_with_space {
        eprintln!(
            "carp: warning: the key in {} ends with white space, which is part of it",
            path.display()
        );
    }
    Ok(Some(Verifier::new(file.key, arguments.addresses.clone())))
}

/// Why decoding ends before the input does.
enum Stop {
    /// Nobody reads what is printed.
    Unread,
    Failed(Failure),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Unread,
            _ => Self::Failed(Failure::failed(format!("cannot write to stdout: {error}"))),
        }
    }
}

fn capture(name: &str, stream: impl Read, printer: &mut Printer<'_>) -> Result<(), Stop> {
    let failed = |error: CaptureError| {
        let failure = Failure::failed(format!("{name}: {error}"));
        Stop::Failed(match error {
            CaptureError::LinkType(_) => failure.with_help(known_link_types()),
            CaptureError::Truncated { .. } => failure.with_help(
                "what came before was decoded; a capture ends like this when its writer is killed",
            ),
            _ => failure,
        })
    };
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

/// Frames of a pcapng file whose link type is not understood. The others are decoded.
#[derive(Default)]
struct PassedOver {
    first: Option<(LinkType, u64)>,
    count: u64,
}

impl PassedOver {
    fn look_at(&mut self, link: LinkType, number: u64) {
        if let LinkType::Other(_) = link {
            self.first.get_or_insert((link, number));
            self.count += 1;
        }
    }

    fn failure(&self, name: &str) -> Option<Failure> {
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
        printer.hex(packets, &bytes)?;
    }
    remark(printer, name, packets, "packet");
    Ok(())
}

/// Says it if there was nothing to show.
fn remark(printer: &Printer<'_>, name: &str, count: u64, what: &str) {
    match (printer.shown, count) {
        (0, 0) => eprintln!("carp: {name}: there is no {what} in it"),
        (0, 1) => eprintln!("carp: {name}: the only {what} in it is not of IP protocol 112"),
        (0, _) => eprintln!("carp: {name}: no {what} of the {count} in it is of IP protocol 112"),
        (_, _) => {}
    }
}

/// What is known of one packet.
struct Record<'a> {
    frame: u64,
    time: Option<Timestamp>,
    /// What hex was taken for.
    layer: Option<Layer>,
    found: Dissected<'a>,
}

/// What the digest of an advert came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authentication {
    Ok,
    Bad,
    Unchecked,
}

impl Authentication {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Unchecked => "unchecked",
        }
    }
}

#[derive(Clone, Copy)]
enum Style {
    Json,
    Text { color: bool },
}

/// Writes a line for each packet, as soon as it is there: the input can be a live capture.
struct Printer<'a> {
    style: Style,
    verifier: Option<Verifier>,
    shown: u64,
    out: io::StdoutLock<'a>,
}

impl Printer<'_> {
    fn hex(&mut self, number: u64, bytes: &[u8]) -> io::Result<()> {
        let layer = guess(bytes);
        // How long the packet was nobody says: what its header promises and is not here was cut.
        match dissect(bytes, layer, true) {
            Some(found) => {
                self.print(&Record { frame: number, time: None, layer: Some(layer), found })
            }
            None => Ok(()),
        }
    }

    fn print(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.shown += 1;
        let authentication = self.authentication(&record.found.message);
        let line = match self.style {
            Style::Json => json::line(record, authentication)?,
            Style::Text { color } => text::line(record, authentication, color),
        };
        self.out.write_all(line.as_bytes())
    }

    fn authentication(&mut self, message: &Message) -> Authentication {
        let (Message::Carp(parsed), Some(verifier)) = (message, &mut self.verifier) else {
            return Authentication::Unchecked;
        };
        if verifier.verify(&parsed.advert) { Authentication::Ok } else { Authentication::Bad }
    }
}

#[cfg(test)]
mod tests;
