//! The side of the control socket that asks. Blocking, without a runtime.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use thiserror::Error;

use super::proto::{
    Answer, ControlError, ErrorCode, Request, Response, StatusReport, VERSION, Verb,
};
use crate::event::EventRecord;
use crate::sync::engine::Order;

/// How long a daemon may take to answer. Its own limit for the protocol task is shorter.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// How long a handover may take; the daemon gives up sooner, and says so.
const HANDOVER_LIMIT: Duration = Duration::from_secs(660);

/// Why a question was not answered.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens.
    #[error(
        "no daemon at {}: start one with `carp run -c FILE`, or name its socket with --socket",
        .path.display()
    )]
    NoDaemon {
        /// The socket.
        path: PathBuf,
    },
    /// The socket is not for us.
    #[error("may not open {}: use sudo, or join the group that the socket belongs to", .path.display())]
    PermissionDenied {
        /// The socket.
        path: PathBuf,
    },
    /// The daemon is of another version.
    #[error(
        "the daemon speaks version {daemon} of the control protocol, this command {VERSION}: restart \
         the daemon, or use the carp command of its version"
    )]
    Version {
        /// What the daemon speaks.
        daemon: u64,
    },
    /// The daemon did not do it, and says why.
    #[error(transparent)]
    Refused(ControlError),
    /// The daemon does not answer.
    #[error("the daemon at {} does not answer: it hangs, or is overrun with clients", .path.display())]
    Silent {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke, or what came is not an answer.
    #[error("the daemon at {} {what}", .path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What happened.
        what: String,
    },
}

impl ClientError {
    /// The kind of error that the daemon answered, if it was the daemon.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused(error) => Some(error.code),
            Self::Version { .. } => Some(ErrorCode::Version),
            Self::NoDaemon { .. }
            | Self::PermissionDenied { .. }
            | Self::Silent { .. }
            | Self::Broken { .. } => None,
        }
    }
}

/// A connection to a daemon, good for one question.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`], [`ClientError::PermissionDenied`], [`ClientError::Silent`] if the
    /// daemon does not accept, or what else the system said.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let stream = super::connect(path).map_err(|error| connect_error(path, &error))?;
        let limits = stream
            .set_read_timeout(Some(ANSWER_LIMIT))
            .and_then(|()| stream.set_write_timeout(Some(ANSWER_LIMIT)));
        limits.map_err(|error| connect_error(path, &error))?;
        Ok(Self { stream: BufReader::new(stream), path: path.to_owned() })
    }

    /// The status of one router, or of all.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn status(mut self, router: Option<&str>) -> Result<StatusReport, ClientError> {
        self.ask(Verb::Status { router: router.map(str::to_owned) });
        match self.answer()? {
            Some(Answer::Status(status)) => Ok(*status),
            other => Err(self.unexpected(other)),
        }
    }

    /// Makes a router yield, and waits until it has, which may take an interval.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn yield_router(mut self, router: &str) -> Result<(), ClientError> {
        let set = self.stream.get_ref().set_read_timeout(Some(HANDOVER_LIMIT));
        set.map_err(|error| connect_error(&self.path, &error))?;
        self.ask(Verb::Yield { router: router.to_owned() });
        match self.answer()? {
            Some(Answer::Done(_)) => Ok(()),
            other => Err(self.unexpected(other)),
        }
    }

    /// Has something done with a share, and says what came of it. Comparing trees takes its time.
    ///
    /// # Errors
    /// Any [`ClientError`].
    pub fn sync(
        mut self,
        share: Option<String>,
        order: Order,
    ) -> Result<serde_json::Value, ClientError> {
        let set = self.stream.get_ref().set_read_timeout(Some(HANDOVER_LIMIT));
        set.map_err(|error| connect_error(&self.path, &error))?;
        self.ask(Verb::Sync { share, order });
        match self.answer()? {
            Some(Answer::Data(data)) => Ok(data),
            other => Err(self.unexpected(other)),
        }
    }

    /// The events that the daemon keeps, and with `follow` all that come: then a silence has no
    /// limit.
    ///
    /// # Errors
    /// What the system says to a read without a time limit. What the daemon says comes as an item.
    pub fn events(mut self, follow: bool) -> Result<Events, ClientError> {
        let limit = if follow { None } else { Some(ANSWER_LIMIT) };
        let set = self.stream.get_ref().set_read_timeout(limit);
        set.map_err(|error| connect_error(&self.path, &error))?;
        self.ask(Verb::Events { follow });
        Ok(Events { client: self, ended: false })
    }

    /// Sends the request. An error is left to the answer: a daemon that turns a client away answers
    /// before it has read anything.
    fn ask(&mut self, verb: Verb) {
        let line = serde_json::to_string(&Request::new(verb)).unwrap_or_default() + "\n";
        self.stream.get_mut().write_all(line.as_bytes()).ok();
    }

    /// One line of the daemon; `None` at the end.
    fn answer(&mut self) -> Result<Option<Answer>, ClientError> {
        let mut line = Vec::new();
        match self.stream.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {
                return Err(ClientError::Silent { path: self.path.clone() });
            }
            Err(error) => return Err(self.broken(format!("broke the connection: {error}"))),
        }
        let version: VersionOnly = serde_json::from_slice(&line)
            .map_err(|error| self.broken(format!("answers something else: {error}")))?;
        if version.version != u64::from(VERSION) {
            return Err(ClientError::Version { daemon: version.version });
        }
        let response: Response = serde_json::from_slice(&line)
            .map_err(|error| self.broken(format!("answers something else: {error}")))?;
        Ok(Some(response.answer))
    }

    fn unexpected(&self, answer: Option<Answer>) -> ClientError {
        match answer {
            Some(Answer::Error(error)) => ClientError::Refused(error),
            Some(
                Answer::Status(_)
                | Answer::Event(_)
                | Answer::Missed(_)
                | Answer::Done(_)
                | Answer::Data(_),
            ) => self.broken("answers another question".into()),
            None => self.broken("closed the connection without an answer".into()),
        }
    }

    fn broken(&self, what: String) -> ClientError {
        ClientError::Broken { path: self.path.clone(), what }
    }
}

/// What can be read of every version.
#[derive(Deserialize)]
struct VersionOnly {
    version: u64,
}

fn connect_error(path: &Path, error: &io::Error) -> ClientError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NoDaemon { path }
        }
        io::ErrorKind::PermissionDenied => ClientError::PermissionDenied { path },
        io::ErrorKind::WouldBlock => ClientError::Silent { path },
        _ => ClientError::Broken { path, what: format!("cannot be reached: {error}") },
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// One thing that a follower is given.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventLine {
    /// An event.
    Event(Box<EventRecord>),
    /// So many were missed here, because this side read slowly.
    Missed(u64),
}

/// The events of a daemon. Following, it ends only with the daemon or with an error.
#[derive(Debug)]
pub struct Events {
    client: Client,
    ended: bool,
}

impl Iterator for Events {
    type Item = Result<EventLine, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = match self.client.answer() {
            Ok(Some(Answer::Event(event))) => return Some(Ok(EventLine::Event(event))),
            Ok(Some(Answer::Missed(missed))) => return Some(Ok(EventLine::Missed(missed))),
            Ok(Some(Answer::Done(_))) => None,
            Ok(other) => Some(Err(self.client.unexpected(other))),
            Err(error) => Some(Err(error)),
        };
        self.ended = true;
        next
    }
}
