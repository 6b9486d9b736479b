//! Events with wall-clock time: what `carp events` shows and what hooks are numbered by.
//!
//! The protocol task tells what happened through an [`EventSource`], which stamps the time at that
//! moment and never blocks. A service thread [receives](EventInbox::recv) it and
//! [records](EventLog::record) it: that gives it its number, keeps it, and passes it on to everybody
//! who [follows](EventLog::subscribe).

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use carp_proto::election::{self, Cause, State};
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc};

use crate::control::units::{Millis, WallTime};

/// How many events the log keeps for those who ask later.
pub const KEPT: usize = 512;

/// How far a follower may fall behind before it misses events.
const FOLLOWER_LAG: usize = 256;

/// How many events may wait between the protocol task and the log.
const WAITING: usize = 1024;

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
            Cause::Start | Cause::Stop | Cause::Yield => None,
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

/// An event on its way to the log: it has its time, but no number yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When it happened.
    pub at: SystemTime,
    /// The router that it is about; `None` for the daemon itself.
    pub router: Option<Arc<str>>,
    /// What happened.
    pub kind: EventKind,
}

impl Happening {
    /// What happens right now.
    #[must_use]
    pub fn now(router: Option<Arc<str>>, kind: EventKind) -> Self {
        Self { at: SystemTime::now(), router, kind }
    }
}

fn state_named(name: &str) -> Option<State> {
    [State::Init, State::Backup, State::Active].into_iter().find(|state| state.name() == name)
}

/// Makes the way from the protocol task to the log.
#[must_use]
pub fn channel() -> (EventSource, EventInbox) {
    let (sender, receiver) = mpsc::channel(WAITING);
    let lost = Arc::new(AtomicU64::new(0));
    let source = EventSource { sender, lost: Arc::clone(&lost) };
    (source, EventInbox { receiver, lost })
}

/// Where events are told. Clones share the way.
#[derive(Clone, Debug)]
pub struct EventSource {
    sender: mpsc::Sender<Happening>,
    lost: Arc<AtomicU64>,
}

impl EventSource {
    /// Tells an event that happens right now. Never blocks: when 1024 wait already, the event is
    /// lost, and the log says how many were.
    pub fn tell(&self, router: Option<&Arc<str>>, kind: impl Into<EventKind>) {
        let happening = Happening::now(router.cloned(), kind.into());
        if self.sender.try_send(happening).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Where events arrive, in the order in which they were told.
#[derive(Debug)]
pub struct EventInbox {
    receiver: mpsc::Receiver<Happening>,
    lost: Arc<AtomicU64>,
}

impl EventInbox {
    /// The next event; `None` when every source is gone. Cancelling this loses nothing.
    pub async fn recv(&mut self) -> Option<Happening> {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let text = format!("{lost} events were lost: they came faster than they were recorded");
            return Some(Happening::now(None, EventKind::Log { text }));
        }
        self.receiver.recv().await
    }
}

/// The newest events, and those who follow them. Clones share it.
#[derive(Clone, Debug)]
pub struct EventLog {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    last: u64,
    kept: VecDeque<Arc<EventRecord>>,
    followers: broadcast::Sender<Arc<EventRecord>>,
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

impl EventLog {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        let (followers, _) = broadcast::channel(FOLLOWER_LAG);
        let shared = Shared { last: 0, kept: VecDeque::with_capacity(KEPT), followers };
        Self { shared: Arc::new(Mutex::new(shared)) }
    }

    /// Numbers an event, keeps it, and passes it on.
    pub fn record(&self, happening: Happening) -> Arc<EventRecord> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.last += 1;
        let record = Arc::new(EventRecord {
            schema: SCHEMA.into(),
            seq: shared.last,
            time: happening.at.into(),
            router: happening.router.map(|router| router.as_ref().to_owned()),
            kind: happening.kind,
        });
        if shared.kept.len() == KEPT {
            shared.kept.pop_front();
        }
        shared.kept.push_back(Arc::clone(&record));
        // An error means that nobody follows.
        shared.followers.send(Arc::clone(&record)).ok();
        record
    }

    /// What is kept, and everything from now on, without a gap between the two.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        Subscription { kept: shared.kept.clone(), live: shared.followers.subscribe() }
    }
}

/// What a follower is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// The next event.
    Event(Arc<EventRecord>),
    /// So many events were missed here, because the follower was slow.
    Missed(u64),
}

/// Somebody's view of the log: first what is kept, then what happens.
#[derive(Debug)]
pub struct Subscription {
    kept: VecDeque<Arc<EventRecord>>,
    live: broadcast::Receiver<Arc<EventRecord>>,
}

impl Subscription {
    /// What was kept when the subscription began, oldest first. It is not given again by
    /// [`Subscription::next`].
    pub fn take_kept(&mut self) -> impl Iterator<Item = Arc<EventRecord>> + use<> {
        std::mem::take(&mut self.kept).into_iter()
    }

    /// The next one; `None` when the log is gone. Cancelling this loses nothing.
    pub async fn next(&mut self) -> Option<Followed> {
        if let Some(record) = self.kept.pop_front() {
            return Some(Followed::Event(record));
        }
        match self.live.recv().await {
            Ok(record) => Some(Followed::Event(record)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Followed::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use carp_proto::election::{Event, Evidence, Fault};

    use super::*;

    fn takeover() -> Event {
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

    fn log_line(text: &str) -> Happening {
        Happening::now(None, EventKind::Log { text: text.into() })
    }

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
            "active -> backup: the takeover was refused by before_active (fault)"
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

    #[test]
    fn a_kind_of_a_newer_daemon_is_readable() {
        let json = r#"{"schema":"carp.event/1","seq":1,"time":"2026-07-01T12:00:00Z","router":null,"kind":"sync","share":"www"}"#;
        let record: EventRecord = serde_json::from_str(json).unwrap();
        assert_eq!(record.kind, EventKind::Unknown);
    }

    #[tokio::test]
    async fn a_subscriber_gets_the_newest_512_and_then_the_rest_without_a_gap() {
        let log = EventLog::new();
        for line in 1..=KEPT + 10 {
            log.record(log_line(&line.to_string()));
        }
        let mut subscription = log.subscribe();
        log.record(log_line("live"));
        for expected in 11..=523 {
            let Some(Followed::Event(record)) = subscription.next().await else {
                panic!("nothing at {expected}");
            };
            assert_eq!(record.seq, expected);
        }
    }

    #[tokio::test]
    async fn a_slow_follower_is_told_how_many_it_missed() {
        let log = EventLog::new();
        let mut subscription = log.subscribe();
        for line in 0..FOLLOWER_LAG + 7 {
            log.record(log_line(&line.to_string()));
        }
        assert_eq!(subscription.next().await, Some(Followed::Missed(7)));
        let Some(Followed::Event(record)) = subscription.next().await else { panic!("nothing") };
        assert_eq!(record.seq, 8);
    }

    #[tokio::test]
    async fn an_overflow_between_protocol_and_log_is_counted_and_told() {
        let (source, mut inbox) = channel();
        for _ in 0..WAITING + 3 {
            source.tell(None, EventKind::YieldUnanswered);
        }
        let first = inbox.recv().await.unwrap();
        let EventKind::Log { text } = first.kind else { panic!("{first:?}") };
        assert!(text.starts_with("3 events were lost"), "{text}");
        assert_eq!(inbox.recv().await.unwrap().kind, EventKind::YieldUnanswered);
    }

    #[tokio::test]
    async fn the_time_is_that_of_the_telling() {
        let (source, mut inbox) = channel();
        let before = SystemTime::now();
        source.tell(Some(&"web".into()), takeover());
        let after = SystemTime::now();
        let happening = inbox.recv().await.unwrap();
        assert!(before <= happening.at && happening.at <= after);
        let (from, to, cause) = happening.kind.transition().unwrap();
        assert_eq!((from, to, cause), (State::Backup, State::Active, "active-down"));
    }
}
