//! Events as lines for people.

use std::fmt;

use carp_proto::election::Cause;

use super::{EventKind, EventRecord, EvidenceRecord};
use crate::control::units::Millis;

/// One line for people, without the time:
/// `web: backup -> active: no advert from 192.168.130.50 for 3391 ms (active-down)`.
impl fmt::Display for EventRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(router) = &self.router {
            write!(f, "{router}: ")?;
        }
        self.kind.fmt(f)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State { from, to, cause, evidence } => {
                write!(f, "{from} -> {to}")?;
                if let Some(reason) = evidence.reason(cause) {
                    write!(f, ": {reason}")?;
                }
                write!(f, " ({cause})")
            }
            Self::Remark { source, text } => write!(f, "{source} {text}"),
            Self::Rival { source } => {
                write!(f, "{source} is active too, with a worse rank: announcing again")
            }
            Self::AddressLost { address, by, hint } => {
                f.write_str(by.as_deref().unwrap_or("another program"))?;
                match address {
                    Some(address) => write!(f, " removed {address}: taking it again")?,
                    None => f.write_str(" removed an address: taking it again")?,
                }
                hint.as_ref().map_or(Ok(()), |hint| write!(f, "; {hint}"))
            }
            Self::AddressExpired => f.write_str(
                "the kernel dropped an address whose lease was not renewed in time: taking it again",
            ),
            Self::YieldUnanswered => f.write_str("nobody took over: serving on"),
            Self::Reject { label, source, text, count } => {
                write!(f, "{count} rejected ({label})")?;
                if let Some(source) = source {
                    write!(f, " from {source}")?;
                }
                write!(f, ": {text}")
            }
            Self::Late { late_by_ms, slept_ms, count } => {
                write!(f, "ran {} ms late: ", late_by_ms.rounded())?;
                match slept_ms.rounded() {
                    0 => f.write_str("this process did not run")?,
                    slept => write!(f, "the machine slept for {slept} ms")?,
                }
                if *count > 1 {
                    write!(f, "; {count} times since this was last told")?;
                }
                Ok(())
            }
            Self::Hook { on, program, outcome, duration_ms, .. } => {
                write!(f, "on.{on}: {program}: {outcome} after {} ms", duration_ms.rounded())
            }
            Self::Fault { text } => write!(f, "fault: {text}"),
            Self::Duplicate { text, .. } | Self::Confirmation { text, .. } | Self::Log { text } => {
                f.write_str(text)
            }
            Self::Unknown => f.write_str("an event of a kind that this version does not know"),
        }
    }
}

impl EvidenceRecord {
    /// The evidence as a sentence, if it adds to the label.
    fn reason(&self, cause: &str) -> Option<String> {
        let known = CAUSES.into_iter().find(|known| known.name() == cause)?;
        let peer = self.peer.map_or_else(|| "another router".into(), |peer| peer.to_string());
        match known {
            Cause::ActiveDown => {
                let from = self.peer.map(|peer| format!(" from {peer}")).unwrap_or_default();
                let silence = self.silent_for_ms.map(Millis::rounded);
                let during = silence.map(|ms| format!(" for {ms} ms")).unwrap_or_default();
                Some(format!("no advert{from}{during}"))
            }
            Cause::Resigned => Some(format!("{peer} resigned")),
            Cause::BetterPeer => Some(format!("{peer} has the better rank")),
            Cause::WorsePeer => Some(format!("{peer} has a worse rank")),
            Cause::Link => Some("the link changed".into()),
            Cause::Fault => self.fault.clone(),
            Cause::Group => Some("another router of its group is not active".into()),
            Cause::Paused => {
                let pause = self.late_by_ms?.rounded();
                Some(format!("this machine did not run for {pause} ms"))
            }
            // The label says what there is to say.
            _ => None,
        }
    }
}

/// Every cause, to read labels back.
const CAUSES: [Cause; 11] = [
    Cause::Start,
    Cause::Stop,
    Cause::ActiveDown,
    Cause::Resigned,
    Cause::BetterPeer,
    Cause::WorsePeer,
    Cause::Yield,
    Cause::Link,
    Cause::Fault,
    Cause::Group,
    Cause::Paused,
];

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carp_proto::election::{Event, Evidence, Fault, State};

    use super::super::tests::takeover;
    use super::*;
    use crate::event::{EventLog, Happening};

    #[test]
    fn a_takeover_reads_as_one_line() {
        let log = EventLog::new();
        let record = log.record(Happening::now(Some("web".into()), takeover().into()));
        assert_eq!(
            record.to_string(),
            "web: backup -> active: no advert from 192.168.130.50 for 3391 ms (active-down)"
        );
    }

    #[test]
    fn a_fault_and_a_pause_say_what_happened() {
        let evidence = Evidence {
            fault: Some(Fault::Refused),
            late_by: Some(Duration::from_secs(4)),
            ..Evidence::default()
        };
        let event = |cause| {
            let (from, to) = (State::Active, State::Backup);
            EventKind::from(Event::State { from, to, cause, evidence }).to_string()
        };
        assert_eq!(
            event(Cause::Fault),
            "active -> backup: the takeover was refused by what comes before it (fault)"
        );
        assert_eq!(
            event(Cause::Paused),
            "active -> backup: this machine did not run for 4000 ms (paused)"
        );
        assert_eq!(event(Cause::Stop), "active -> backup (stop)");
    }

    #[test]
    fn a_loss_says_who_did_it_if_that_is_known() {
        let unknown: EventKind = serde_json::from_str(r#"{"kind":"address-lost"}"#).unwrap();
        assert_eq!(unknown.to_string(), "another program removed an address: taking it again");
        let known = EventKind::AddressLost {
            address: Some("192.168.130.100".parse().unwrap()),
            by: Some("ip (process 42)".into()),
            hint: Some("let it be".into()),
        };
        let text = "ip (process 42) removed 192.168.130.100: taking it again; let it be";
        assert_eq!(known.to_string(), text);
        let json = serde_json::to_string(&known).unwrap();
        assert_eq!(serde_json::from_str::<EventKind>(&json).unwrap(), known);
    }
}
