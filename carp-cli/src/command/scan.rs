//! `carp scan`: who speaks on a link, and which ids are free.

mod report;

use std::fs::File;
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use carp_node::capture::{Reader, Timestamp};
use carp_node::census::Census;
use carp_node::sniff::Sniffer;

use self::report::Scanned;
use super::decode::{PassedOver, capture_failure};
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
    match (&arguments.interface, &arguments.read) {
        (Some(interface), _) => {
            let mut listener = Listener::open(interface)?;
            privilege::keep_nothing()?;
            let time = live(&mut listener, arguments.time, &mut census)?;
            let (interface, dropped) = (Some(&**interface), listener.dropped());
            let report = census.report();
            tell(&Scanned { interface, time, dropped, report: &report }, arguments.json, output)
        }
        (None, Some(path)) => {
            let (time, end) = file(path, &mut census)?;
            let report = census.report();
            let scanned = Scanned { interface: None, time, dropped: 0, report: &report };
            tell(&scanned, arguments.json, output).and(end)
        }
        (None, None) => Err(Failure::new(Exit::Usage, "give an interface or a capture")),
    }
}

fn tell(scanned: &Scanned<'_>, json: bool, output: &Output) -> Result<(), Failure> {
    if json {
        return print(&scanned.json()?);
    }
    if scanned.report.speakers.is_empty() {
        eprintln!("carp: nobody was heard{}", scanned.place());
    }
    if scanned.dropped > 0 {
        eprintln!("carp: warning: packets that the kernel dropped: {}", scanned.dropped);
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

/// Returns the time between the first frame and the last, and how the file ends: what comes before its
/// damage counts.
fn file(path: &Path, census: &mut Census) -> Result<(Duration, Result<(), Failure>), Failure> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let stream: Box<dyn Read> = if is_stdin {
        Box::new(io::stdin())
    } else {
        let unreadable = |error| Failure::failed(format!("{name} cannot be read: {error}"));
        Box::new(File::open(path).map_err(unreadable)?)
    };
    let mut reader = Reader::new(stream).map_err(|error| capture_failure(&name, &error))?;
    let mut passed_over = PassedOver::default();
    let mut span: Option<(Duration, Duration)> = None;
    let end = loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break passed_over.failure(&name).map_or(Ok(()), Err),
            Err(error) => break Err(capture_failure(&name, &error)),
        };
        passed_over.look_at(frame.link, frame.number);
        census.observe(frame.time, frame.link, frame.bytes, frame.cut);
        if let Some(time) = frame.time.map(Timestamp::since_epoch) {
            let (first, last) = span.unwrap_or((time, time));
            span = Some((first.min(time), last.max(time)));
        }
    };
    Ok((span.map_or(Duration::ZERO, |(first, last)| last - first), end))
}
