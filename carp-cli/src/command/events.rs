//! `carp events`: what was, and with `-f` what comes.

use std::io::Write;
use std::path::Path;

use carp_node::control::client::EventLine;

use super::client;
use crate::exit::Failure;

/// Prints the events that the daemon keeps, and follows if asked.
pub(crate) fn run(socket: &Path, follow: bool, json: bool) -> Result<(), Failure> {
    let events =
        client::connect(socket)?.events(follow).map_err(|error| client::failure(&error))?;
    let mut out = std::io::stdout().lock();
    for line in events {
        let written = match line.map_err(|error| client::failure(&error))? {
            EventLine::Event(event) if json => {
                let text = serde_json::to_string(&event)
                    .map_err(|error| Failure::failed(error.to_string()))?;
                writeln!(out, "{text}")
            }
            EventLine::Event(event) => writeln!(out, "{} {event}", event.time),
            EventLine::Missed(missed) => {
                eprintln!(
                    "carp: {missed} events were missed: they came faster than they were read"
                );
                Ok(())
            }
            _ => Ok(()),
        };
        if written.and_then(|()| out.flush()).is_err() {
            // The reader has gone, as `head` does.
            return Ok(());
        }
    }
    Ok(())
}
