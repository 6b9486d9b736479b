//! Events with wall-clock time: what `carp events` shows and what hooks are numbered by.
//!
//! The protocol task tells what happened through an [`EventSource`], which stamps the time at that
//! moment and never blocks. A service thread [receives](EventInbox::recv) it and
//! [records](EventLog::record) it: that gives it its number, keeps it, and passes it on to everybody
//! who [follows](EventLog::subscribe).

mod log;
mod record;
mod text;
mod way;

pub use self::log::{EventLog, Followed, KEPT, Subscription};
pub use self::record::{EventKind, EventRecord, EvidenceRecord, SCHEMA};
pub use self::way::{EventInbox, EventSource, Happening, channel};

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carp_proto::election::{Cause, Event, Evidence, State};

    pub(super) fn takeover() -> Event {
        Event::State {
            from: State::Backup,
            to: State::Active,
            cause: Cause::ActiveDown,
            evidence: Evidence {
                peer: Some("192.168.130.50".parse().unwrap()),
                silent_for: Some(Duration::from_nanos(3_390_625_000)),
                ..Evidence::default()
            },
        }
    }
}
