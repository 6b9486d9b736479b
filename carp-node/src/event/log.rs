//! The newest events, and those who follow them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;

use super::{EventRecord, Happening, SCHEMA};

/// How many events the log keeps for those who ask later.
pub const KEPT: usize = 512;

/// How far a follower may fall behind before it misses events.
const FOLLOWER_LAG: usize = 256;

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
    use super::*;
    use crate::event::EventKind;

    fn log_line(text: &str) -> Happening {
        Happening::now(None, EventKind::Log { text: text.into() })
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
}
