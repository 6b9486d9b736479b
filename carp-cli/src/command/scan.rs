//! `carp scan`: who speaks on a link, and which ids are free.

mod report;

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use carp_node::capture::Reader;
use carp_node::census::Census;
use carp_node::sniff::Sniffer;

use self::report::Scanned;
use super::decode::capture_failure;
use super::digest;
use super::listen::Listener;
use super::packet::outcome;
use crate::args::Scan;
use crate::exit::{Exit, Failure};
use crate::output::{Output, print};
use crate::privilege;

/// Listens, or reads, and tells who was heard.
pub(crate) fn run(arguments: &Scan, output: &Output) -> Result<(), Failure> {
    let mut census = Census::new(digest::verifier(&arguments.digest)?);
    let (interface, time, dropped) = match (&arguments.interface, &arguments.read) {
        (Some(interface), _) => {
            let mut listener = Listener::open(interface)?;
            privilege::keep_nothing()?;
            let time = live(&mut listener, arguments.time, &mut census)?;
            (Some(&**interface), time, listener.dropped())
        }
        (None, Some(path)) => (None, file(path, &mut census)?, 0),
        (None, None) => return Err(Failure::new(Exit::Usage, "give an interface or a capture")),
    };
    let report = census.report();
    let scanned = Scanned { interface, time, dropped, report: &report };
    if arguments.json {
        return print(&scanned.json()?);
    }
    if report.speakers.is_empty() {
        eprintln!("carp: nobody was heard{}", scanned.place());
    }
    if dropped > 0 {
        eprintln!(
            "carp: warning: the kernel dropped {dropped} packets, so that some may be missing"
        );
    }
    print(&scanned.text(output.color_on_stdout()))
}

fn live(listener: &mut Listener, time: Duration, census: &mut Census) -> Result<Duration, Failure> {
    let mut listened = Duration::ZERO;
    let done = listener.listen(Some(time), |frame| {
        census.observe(frame.time, Sniffer::LINK, frame.bytes, frame.cut());
        Ok(ControlFlow::Continue(()))
    });
    outcome(done.map(|time| listened = time))?;
    Ok(listened)
}

/// Returns the time between the first frame and the last.
fn file(path: &Path, census: &mut Census) -> Result<Duration, Failure> {
    let name = if path == Path::new("-") { "stdin".into() } else { path.display().to_string() };
    let stream: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let opened = File::open(path);
        Box::new(
            opened.map_err(|error| Failure::failed(format!("{name} cannot be read: {error}")))?,
        )
    };
    let failed = |error| capture_failure(&name, &error);
    let mut reader = Reader::new(stream).map_err(failed)?;
    let mut span: Option<(Duration, Duration)> = None;
    while let Some(frame) = reader.next_frame().map_err(failed)? {
        census.observe(frame.time, frame.link, frame.bytes, frame.cut);
        if let Some(time) = frame.time.map(|time| time.since_epoch()) {
            let (first, last) = span.unwrap_or((time, time));
            span = Some((first.min(time), last.max(time)));
        }
    }
    Ok(span.map_or(Duration::ZERO, |(first, last)| last - first))
}
