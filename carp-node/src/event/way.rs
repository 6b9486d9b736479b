//! The way of an event from the protocol task to the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use tokio::sync::mpsc;

use super::EventKind;

/// How many events may wait between the protocol task and the log.
const WAITING: usize = 1024;

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

#[cfg(test)]
mod tests {
    use carp_proto::election::State;

    use super::super::tests::takeover;
    use super::*;

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
