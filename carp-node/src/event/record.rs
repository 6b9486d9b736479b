//! An event as it is kept, shown and sent: the schema `carp.event/1`.

use std::borrow::Cow;
use std::net::IpAddr;

use carp_proto::election::{self, State};
use serde::{Deserialize, Serialize};

use crate::control::units::{Millis, WallTime};

/// The schema of an event.
pub const SCHEMA: &str = "carp.event/1";

/// One event as `carp events --json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventRecord {
    /// [`SCHEMA`].
    pub schema: Cow<'static, str>,
    /// Its number: 1 for the first event of a daemon, then one more each.
    pub seq: u64,
    /// When it happened.
    pub time: WallTime,
    /// The router that it is about; `None` for the daemon itself.
    pub router: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened. The name of the variant is the key `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// The state changed.
    State {
        /// The state before.
        from: Cow<'static, str>,
        /// The state now.
        to: Cow<'static, str>,
        /// The label of the cause.
        cause: Cow<'static, str>,
        /// What it rests on.
        #[serde(default)]
        evidence: EvidenceRecord,
    },
    /// Another active router of worse rank was heard.
    Rival {
        /// Its address.
        source: IpAddr,
    },
    /// A valid advert of another router is odd: other addresses, another interval. It counts all the same;
    /// somebody should compare the configurations.
    Remark {
        /// Its address.
        source: IpAddr,
        /// What is odd, in words.
        text: String,
    },
    /// Another host has one of the addresses.
    Duplicate {
        /// The address.
        address: IpAddr,
        /// Where it is, too.
        mac: String,
        /// The router that it is, if it is one that we know.
        peer: Option<IpAddr>,
        /// What that means, in words.
        text: String,
    },
    /// Somebody answers to what comes from the addresses, or nobody does.
    Confirmation {
        /// Whether somebody does.
        confirmed: bool,
        /// Who, or what to look at, in words.
        text: String,
    },
    /// Another program removed an address; it is being taken again.
    AddressLost {
        /// The address, if the kernel named it.
        #[serde(default)]
        address: Option<IpAddr>,
        /// Who did it, if the kernel said so.
        #[serde(default)]
        by: Option<String>,
        /// What to do, if that is known.
        #[serde(default)]
        hint: Option<String>,
    },
    /// The kernel dropped an address because its lease was not renewed in time; it is being taken again.
    AddressExpired,
    /// Nobody took over after a request to yield; the router serves on.
    YieldUnanswered,
    /// Datagrams were not acted on. Whoever reports these reports the first one and then sums.
    Reject {
        /// The label.
        label: Cow<'static, str>,
        /// Who sent the last one.
        source: Option<IpAddr>,
        /// Why, in words.
        text: String,
        /// How many since the last such event.
        count: u64,
    },
    /// The protocol task was late by more than an advert interval.
    Late {
        /// How late.
        late_by_ms: Millis,
        /// For how long of that the machine slept: `CLOCK_BOOTTIME` went on and `CLOCK_MONOTONIC` did not.
        /// For the rest the process did not run.
        slept_ms: Millis,
        /// How often since the last such event.
        count: u64,
    },
    /// A program has ended that runs on events.
    Hook {
        /// Which of the hooks.
        on: Cow<'static, str>,
        /// The program.
        program: String,
        /// Whether it exited with 0.
        ok: bool,
        /// What became of it, in words.
        outcome: String,
        /// Its exit code, if it exited.
        exit_code: Option<i32>,
        /// How long it ran.
        duration_ms: Millis,
    },
    /// Something does not work.
    Fault {
        /// What, and what to do.
        text: String,
    },
    /// Something worth a line, and nothing more.
    Log {
        /// The line.
        text: String,
    },
    /// A kind that a newer daemon knows.
    #[serde(other)]
    Unknown,
}

/// What a transition rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EvidenceRecord {
    /// The other router that the cause is about.
    pub peer: Option<IpAddr>,
    /// How long no advert of it was heard.
    pub silent_for_ms: Option<Millis>,
    /// What failed.
    pub fault: Option<String>,
    /// How late the router itself ran.
    pub late_by_ms: Option<Millis>,
}

impl EventKind {
    /// The states, if this is a transition: before, now, and the cause's label.
    #[must_use]
    pub fn transition(&self) -> Option<(State, State, &str)> {
        let Self::State { from, to, cause, .. } = self else { return None };
        Some((state_named(from)?, state_named(to)?, cause))
    }
}

fn state_named(name: &str) -> Option<State> {
    [State::Init, State::Backup, State::Active].into_iter().find(|state| state.name() == name)
}

impl From<election::Event> for EventKind {
    fn from(event: election::Event) -> Self {
        match event {
            election::Event::State { from, to, cause, evidence } => Self::State {
                from: from.name().into(),
                to: to.name().into(),
                cause: cause.name().into(),
                evidence: evidence.into(),
            },
            election::Event::Rival { source } => Self::Rival { source },
            election::Event::AddressLost => {
                Self::AddressLost { address: None, by: None, hint: None }
            }
            election::Event::AddressExpired => Self::AddressExpired,
            election::Event::YieldUnanswered => Self::YieldUnanswered,
        }
    }
}

impl From<election::Evidence> for EvidenceRecord {
    fn from(evidence: election::Evidence) -> Self {
        Self {
            peer: evidence.peer,
            silent_for_ms: evidence.silent_for.map(Millis),
            fault: evidence.fault.map(|fault| fault.to_string()),
            late_by_ms: evidence.late_by.map(Millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::tests::takeover;
    use super::*;

    #[test]
    fn a_takeover_has_the_keys_of_the_contract() {
        let record = EventRecord {
            schema: SCHEMA.into(),
            seq: 3,
            time: SystemTime::UNIX_EPOCH.into(),
            router: Some("web".into()),
            kind: takeover().into(),
        };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(
            json,
            r#"{"schema":"carp.event/1","seq":3,"time":"1970-01-01T00:00:00.000Z","router":"web","kind":"state","from":"backup","to":"active","cause":"active-down","evidence":{"peer":"192.168.130.50","silent_for_ms":3390.625,"fault":null,"late_by_ms":null}}"#
        );
        assert_eq!(serde_json::from_str::<EventRecord>(&json).unwrap(), record);
    }

    #[test]
    fn a_kind_of_a_newer_daemon_is_readable() {
        let json = r#"{"schema":"carp.event/1","seq":1,"time":"2026-07-01T12:00:00Z","router":null,"kind":"sync","share":"www"}"#;
        let record: EventRecord = serde_json::from_str(json).unwrap();
        assert_eq!(record.kind, EventKind::Unknown);
    }
}
