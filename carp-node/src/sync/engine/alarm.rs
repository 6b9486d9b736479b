//! The alarm of a copy that is too old, and the rescue sets that wait for somebody.

use std::time::Duration;

use carp_proto::Instant;
use tokio::task::{spawn_blocking, spawn_local};

use super::{Done, Engine, wall_stamp};
use crate::config::format_duration;
use crate::event::EventKind;
use crate::sync::guards::place;
use crate::sync::lag::Lag;
use crate::sync::record::Role;
use crate::sync::rescue::{self, Awaited};

/// How often rescue sets are counted when nothing of this node's doing has changed them.
const COUNT_EVERY: Duration = Duration::from_secs(60);

/// Whether the copy is older than `max_lag`.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    /// Since when it is not known how old it is.
    unknown: Option<Instant>,
    pub(super) raised: bool,
}

impl Alarm {
    /// What is not known is no better than what is too old, but not at once: each start and each change of roles
    /// begins like that. Whether that is news.
    fn note(&mut self, lag: Lag, limit: Duration, now: Instant) -> bool {
        let known = !lag.exceeds(Duration::MAX);
        let raised = if known {
            self.unknown = None;
            lag.exceeds(limit)
        } else {
            let since = *self.unknown.get_or_insert(now);
            self.raised || now.saturating_since(since) > limit
        };
        std::mem::replace(&mut self.raised, raised) != raised
    }
}

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Rescues {
    pub(super) awaited: Awaited,
    counting: bool,
    counted: Option<Instant>,
    /// They were changed.
    pub(super) changed: bool,
}

impl Engine {
    /// How far behind the standby is, as this node sees it.
    pub(super) fn lag(&self, number: usize, now: Instant) -> Lag {
        let share = &self.shares[number];
        let state = &self.peers[share.peer];
        let (name, clock) = (&share.spec.name, wall_stamp());
        match self.routers[share.router].role {
            Role::Active => {
                Lag::of_active(share.memory.history.tip(), state.peer(), name, clock, now)
            }
            Role::Backup | Role::Init => {
                let theirs = state.fresh(now).and_then(|peer| peer.share(name));
                Lag::of_standby(share.memory.as_of.as_ref(), theirs, clock)
            }
        }
    }

    /// Tells when the alarm begins and when it ends.
    pub(super) fn watch_lag(&mut self, number: usize, now: Instant) {
        let lag = self.lag(number, now);
        let share = &mut self.shares[number];
        let limit = share.spec.policy.max_lag;
        if !share.alarm.note(lag, limit, now) {
            return;
        }
        let (name, limit) = (&share.spec.name, format_duration(limit));
        let kind = if share.alarm.raised {
            let text = format!("share {name}: {lag}; that is more than max_lag ({limit})");
            EventKind::Fault { text }
        } else {
            EventKind::Log {
                text: format!("share {name}: less than max_lag ({limit}) again: {lag}"),
            }
        };
        let router = share.router;
        self.tell(router, kind);
    }

    /// Counts the rescue sets that wait for somebody, beside the loop, if it is time to.
    pub(super) fn count_rescues(&mut self, number: usize, now: Instant) {
        let share = &mut self.shares[number];
        let Rescues { counting, counted, changed, .. } = &mut share.rescues;
        let due = counted.is_none_or(|at| now.saturating_since(at) >= COUNT_EVERY);
        if *counting || !(due || *changed) {
            return;
        }
        (*counting, *counted, *changed) = (true, Some(now), false);
        let (path, name) = (share.spec.path.clone(), share.spec.name.clone());
        let done = self.done.clone();
        spawn_local(async move {
            let awaited = spawn_blocking(move || {
                let (_, directory) = place::with_rescue(&path, &name).ok()?;
                rescue::awaited(&directory).ok()
            });
            let awaited = awaited.await.ok().flatten();
            let _ = done.send(Done::Rescues { share: number, awaited });
        });
    }

    pub(super) fn rescues_counted(&mut self, number: usize, awaited: Option<Awaited>) {
        let rescues = &mut self.shares[number].rescues;
        rescues.counting = false;
        // What cannot be counted, because its disk is away, is as many as before.
        if let Some(awaited) = awaited {
            rescues.awaited = awaited;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_nanos(0) + Duration::from_secs(seconds)
    }

    fn behind(seconds: u64) -> Lag {
        Lag::Behind(Duration::from_secs(seconds))
    }

    #[test]
    fn the_alarm_begins_and_ends_once() {
        let (mut alarm, limit) = (Alarm::default(), Duration::from_secs(300));
        assert!(!alarm.note(behind(300), limit, at(0)));
        assert!(alarm.note(behind(301), limit, at(1)) && alarm.raised);
        assert!(!alarm.note(behind(302), limit, at(2)) && alarm.raised);
        assert!(!alarm.note(Lag::Unknown, limit, at(3)) && alarm.raised, "that is no better");
        assert!(alarm.note(behind(1), limit, at(4)) && !alarm.raised);
    }

    #[test]
    fn what_is_not_known_for_long_is_as_bad() {
        let (mut alarm, limit) = (Alarm::default(), Duration::from_secs(300));
        assert!(!alarm.note(Lag::Unknown, limit, at(10)));
        assert!(!alarm.note(Lag::NoCopy, limit, at(310)));
        assert!(alarm.note(Lag::NoCopy, limit, at(311)) && alarm.raised);
        assert!(alarm.note(behind(0), limit, at(312)) && !alarm.raised);
        assert!(!alarm.note(Lag::Unknown, limit, at(313)), "it begins anew");
    }
}
