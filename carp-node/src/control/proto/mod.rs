//! The values that cross the control socket.
//!
//! Keys may be added to any of these without a new version; nothing else changes without one.

mod status;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub(crate) use self::status::is_called;
pub use self::status::{
    ConfirmationStatus, CounterStatus, DuplicateStatus, GatewayStatus, PeerStatus, RankStatus,
    RejectStatus, RemovalStatus, RouterIdentity, RouterStatus, STATUS_SCHEMA, StatusReport,
    TimerStatus,
};
use crate::event::EventRecord;
use crate::sync::engine::Order;

/// The version of the protocol: what `version` says on every line.
pub const VERSION: u32 = 1;

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// The question.
    #[serde(flatten)]
    pub verb: Verb,
}

impl Request {
    /// A request of this version.
    #[must_use]
    pub const fn new(verb: Verb) -> Self {
        Self { version: VERSION, verb }
    }
}

/// The questions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Verb {
    /// What is. Answered by one [`Answer::Status`].
    Status {
        /// Only this router.
        #[serde(default)]
        router: Option<String>,
    },
    /// What was, and what happens. Answered by [`Answer::Event`]s and [`Answer::Missed`], and by
    /// [`Answer::Done`] at the end, which does not come while following.
    Events {
        /// Go on with what happens.
        #[serde(default)]
        follow: bool,
    },
    /// Hand this router over. Answered by [`Answer::Done`] when the router has begun to.
    Yield {
        /// The router.
        router: String,
    },
    /// Do something with a share. Answered by [`Answer::Data`].
    Sync {
        /// The share; without, the only one.
        #[serde(default)]
        share: Option<String>,
        /// What.
        #[serde(flatten)]
        order: Order,
    },
}

impl Verb {
    /// The names of all verbs.
    pub const NAMES: [&'static str; 4] = ["status", "events", "yield", "sync"];

    /// Whether it changes something, which takes root or the daemon's own user.
    #[must_use]
    pub const fn changes(&self) -> bool {
        match self {
            Self::Status { .. } | Self::Events { .. } => false,
            Self::Yield { .. } => true,
            Self::Sync { order, .. } => order.changes(),
        }
    }
}

/// What the daemon answers: one line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// [`VERSION`].
    pub version: u32,
    /// The answer.
    #[serde(flatten)]
    pub answer: Answer,
}

impl Response {
    /// A response of this version.
    #[must_use]
    pub const fn new(answer: Answer) -> Self {
        Self { version: VERSION, answer }
    }
}

/// The answers. The name of the variant is the key that stands beside `version`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Answer {
    /// The status.
    Status(Box<StatusReport>),
    /// An event.
    Event(Box<EventRecord>),
    /// So many events were missed here, because the client read slowly.
    Missed(u64),
    /// It is done, or there is no more. The value is always `true`.
    Done(bool),
    /// What came of it.
    Data(serde_json::Value),
    /// It was not done.
    Error(ControlError),
}

/// Why the daemon did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[error("{message}")]
pub struct ControlError {
    /// The kind.
    pub code: ErrorCode,
    /// What is wrong and what to do, for people.
    pub message: String,
}

impl ControlError {
    /// An error of a kind.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// There is no router of this name; these are there.
    #[must_use]
    pub fn unknown_router<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        let known: Vec<_> = known.into_iter().collect();
        let message = match known.as_slice() {
            [] => format!("no router {name:?}: this daemon has none"),
            known => format!("no router {name:?}: this daemon has {}", known.join(", ")),
        };
        Self::new(ErrorCode::UnknownRouter, message)
    }
}

/// The kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ErrorCode {
    /// The request cannot be read, is too long, or came too slowly.
    BadRequest,
    /// The daemon speaks another version of the protocol.
    Version,
    /// The daemon does not know the verb yet.
    Unsupported,
    /// There is no such router.
    UnknownRouter,
    /// The caller may not do this.
    NotAllowed,
    /// The daemon's policy forbids it in the present state.
    Refused,
    /// Too many clients.
    Busy,
    /// The daemon could not do it.
    Failed,
    /// A kind that a newer daemon knows.
    #[serde(other)]
    Unknown,
}
