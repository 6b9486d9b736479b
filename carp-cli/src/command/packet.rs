//! A line for each packet of IP protocol 112: what `carp decode` and `carp sniff` print.

mod json;
mod text;

use std::io::{self, Write};

use carp_node::capture::Timestamp;
use carp_node::dissect::{Dissected, Layer, Message, Verifier};
use carp_proto::wire::vrrp::v2::AuthType;

use crate::exit::Failure;
use crate::output::Output;

/// What is known of one packet.
pub(super) struct Record<'a> {
    /// Its number, from 1.
    pub(super) frame: u64,
    pub(super) time: Option<Timestamp>,
    /// What hex was taken for.
    pub(super) layer: Option<Layer>,
    pub(super) found: Dissected<'a>,
}

/// What the digest of an advert came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    Ok,
    Bad,
    Unchecked,
}

impl Authentication {
    /// Checks the digest of a CARP advert, if there is something to check it with.
    pub(super) fn of(message: &Message<'_>, verifier: Option<&mut Verifier>) -> Self {
        let (Message::Carp(parsed), Some(verifier)) = (message, verifier) else {
            return Self::Unchecked;
        };
        if verifier.verify(&parsed.advert) { Self::Ok } else { Self::Bad }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Bad => "bad",
            Self::Unchecked => "unchecked",
        }
    }
}

/// VRRP version 2's authentication, as the contract names it. A type that no RFC has is `unknown`.
pub(super) const fn auth_type_name(auth_type: AuthType) -> &'static str {
    match auth_type {
        AuthType::None => "none",
        AuthType::Password => "password",
        AuthType::Header => "ah",
        AuthType::Unknown(_) => "unknown",
    }
}

/// How to print.
#[derive(Clone, Copy)]
pub(super) enum Style {
    Json,
    Text { color: bool },
}

impl Style {
    /// Text, coloured as for stdout, unless JSON is asked for.
    pub(super) fn of(json: bool, output: &Output) -> Self {
        if json { Self::Json } else { Self::Text { color: output.color_on_stdout() } }
    }
}

/// Writes a line for each packet, as soon as it is there: the input can be a live capture.
pub(super) struct Printer<'a> {
    style: Style,
    verifier: Option<Verifier>,
    shown: u64,
    out: io::StdoutLock<'a>,
}

impl Printer<'_> {
    /// A printer to stdout.
    pub(super) fn new(style: Style, verifier: Option<Verifier>) -> Self {
        Self { style, verifier, shown: 0, out: io::stdout().lock() }
    }

    /// How many packets it has shown.
    pub(super) const fn shown(&self) -> u64 {
        self.shown
    }

    /// Shows a packet.
    pub(super) fn print(&mut self, record: &Record<'_>) -> Result<(), Stop> {
        self.shown += 1;
        let authentication = Authentication::of(&record.found.message, self.verifier.as_mut());
        let line = match self.style {
            Style::Json => json::line(record, authentication)?,
            Style::Text { color } => text::line(record, authentication, color),
        };
        Ok(self.out.write_all(line.as_bytes())?)
    }
}

/// Why a command ends before its input does.
pub(super) enum Stop {
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

/// What a command came to: a reader of stdout that has gone, as `head` does, is no failure.
pub(super) fn outcome(done: Result<(), Stop>) -> Result<(), Failure> {
    match done {
        Ok(()) | Err(Stop::Unread) => Ok(()),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

#[cfg(test)]
mod tests;
