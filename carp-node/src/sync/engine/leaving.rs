//! Leaving as planned, a stop or a yield: the writers stand still first, and the peer has everything.

use std::time::Duration;

use carp_proto::Instant;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::router::Leaving;
use super::{Engine, Role, now};
use crate::event::EventKind;
use crate::sync::lineage::Stamp;
use crate::sync::record::AsOf;

/// How long a router may take to leave once its data are with the peer.
const HAND_OVER_LIMIT: Duration = Duration::from_secs(120);

impl Engine {
    pub(super) fn leave(&mut self, router: Option<&str>, reply: oneshot::Sender<()>) {
        let now = now();
        let named = |name: &str| router.is_none_or(|router| router == name);
        let mut waits = Vec::new();
        for number in 0..self.routers.len() {
            let timeout = self.timeout_of(number);
            let router = &mut self.routers[number];
            if router.role != Role::Active || !named(&router.name) {
                continue;
            }
            let (ready, gone) = oneshot::channel();
            match &mut router.leaving {
                Some(leaving) if leaving.gone => {}
                Some(leaving) => {
                    leaving.replies.push(ready);
                    waits.push(gone);
                }
                None => {
                    waits.push(gone);
                    router.leaving = Some(Leaving {
                        want: Self::fresh_want(),
                        since: now,
                        until: now + timeout,
                        stops_since: None,
                        followed: Vec::new(),
                        quiet_since: None,
                        replies: vec![ready],
                        gone: false,
                    });
                }
            }
        }
        spawn_local(async move {
            for gone in waits {
                // An engine that ends lets everybody go.
                let _ = gone.await;
            }
            let _ = reply.send(());
        });
    }

    pub(super) fn stay(&mut self, router: &str) {
        for number in 0..self.routers.len() {
            let gone = self.routers[number].leaving.as_ref().is_some_and(|leaving| leaving.gone);
            if self.routers[number].name == router && gone {
                self.routers[number].leaving = None;
                self.run_hooks(number, false);
            }
        }
    }

    pub(super) fn timeout_of(&self, number: usize) -> Duration {
        let mine = self.mine(number).into_iter();
        let timeouts = mine.map(|share| self.shares[share].spec.policy.handover_timeout);
        timeouts.max().unwrap_or_default()
    }

    /// Whether there is anybody to wait for. What the peer said before somebody wanted to leave may be a second
    /// old, so it is asked once more first.
    fn look_for_successor(&mut self, number: usize, leaving_since: Instant, late: bool) {
        let now = now();
        let mine = self.mine(number);
        let awaited = mine.iter().any(|share| {
            let peer = &self.peers[self.shares[*share].peer];
            peer.fresh(now).is_some() && peer.answered < leaving_since
        });
        if awaited && !late {
            return;
        }
        let followed: Vec<usize> =
            mine.into_iter().filter(|share| self.has_follower(*share, now)).collect();
        if !followed.is_empty() {
            if let Some(leaving) = &mut self.routers[number].leaving {
                leaving.stops_since = Some(now);
                leaving.followed = followed;
            }
            return self.run_hooks(number, true);
        }
        let Some(leaving) = self.routers[number].leaving.take() else { return };
        for reply in leaving.replies {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
    }

    /// It is not active any more: writers go on.
    pub(super) fn has_left(&mut self, number: usize, now: Instant) {
        let Some(leaving) = self.routers[number].leaving.take() else { return };
        for reply in leaving.replies {
            // Whoever asked may have gone.
            let _ = reply.send(());
        }
        if let Some(since) = leaving.stops_since {
            let kind = self.froze(number, "leaving", now.saturating_since(since));
            self.tell(number, kind);
            self.run_hooks(number, false);
        }
    }

    /// Whether somebody copies what is served here, and had a copy before: else nothing is gained by waiting.
    fn has_follower(&self, share: usize, now: Instant) -> bool {
        let share = &self.shares[share];
        self.peers[share.peer]
            .fresh(now)
            .and_then(|peer| peer.share(&share.spec.name))
            .is_some_and(|it| it.role == Role::Backup && !it.held && it.as_of.is_some())
    }

    /// Lets it go when the peer has everything that was written before the writers stood still.
    pub(super) fn see_to_leaving(&mut self, number: usize, now: Instant) {
        let Some(leaving) = &self.routers[number].leaving else { return };
        let late = now >= leaving.until;
        if leaving.stops_since.is_none() {
            return self.look_for_successor(number, leaving.since, late);
        }
        let has = |since| leaving.followed.iter().all(|share| self.peer_has(*share, since));
        let ready = leaving.quiet_since.is_some_and(has);
        if !ready && !late {
            return;
        }
        let Some(leaving) = &mut self.routers[number].leaving else { return };
        if !leaving.gone {
            leaving.gone = true;
            // From now on it may take until the router has handed over.
            leaving.until = now + HAND_OVER_LIMIT;
            for reply in leaving.replies.drain(..) {
                let _ = reply.send(());
            }
            if !ready {
                let text = "the peer did not have everything in time; this router leaves all the same, and \
                            what the peer lacks is kept when this node copies it again";
                self.tell(number, EventKind::Fault { text: text.into() });
            }
            return;
        }
        // It did not leave after all: nobody took over.
        if late {
            self.routers[number].leaving = None;
            self.run_hooks(number, false);
        }
    }

    /// Whether the peer has everything, or is not to have it: somebody said that its own tree counts.
    fn peer_has(&self, share: usize, since: Stamp) -> bool {
        let share = &self.shares[share];
        let tip = share.memory.history.tip();
        let theirs = self.peers[share.peer].peer().and_then(|peer| peer.share(&share.spec.name));
        theirs.zip(tip).is_some_and(|(theirs, tip)| {
            let has = |as_of: &AsOf| as_of.tip == *tip && as_of.source >= since;
            theirs.keeps.as_ref() == Some(tip) || theirs.as_of.as_ref().is_some_and(has)
        })
    }
}
