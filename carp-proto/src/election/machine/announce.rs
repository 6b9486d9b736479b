//! When a serving router announces its addresses again.

use core::time::Duration;

use crate::election::config::AnnouncePlan;
use crate::time::Instant;

/// A refresh more often than this would be a flood, and one without a pause a loop.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// When the addresses are announced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnnounceTimer {
    /// What the repetitions count from.
    pub(super) reason_at: Instant,
    /// Which repetition is next.
    pub(super) next: usize,
    pub(super) last_at: Instant,
}

impl AnnounceTimer {
    pub(super) const fn new(now: Instant) -> Self {
        Self { reason_at: now, next: 0, last_at: now }
    }

    pub(super) fn due_at(&self, plan: &AnnouncePlan) -> Option<Instant> {
        let repeat = plan.repeat.get(self.next).copied().flatten();
        let repeat_at = repeat.map(|after| self.reason_at + after);
        let refresh_at = plan.refresh.map(|every| self.last_at + every.max(LEAST_REFRESH));
        [repeat_at, refresh_at].into_iter().flatten().min()
    }

    /// Notes an announcement at `now`, which stands for every repetition that is due.
    pub(super) fn announced(&mut self, now: Instant, plan: &AnnouncePlan) {
        self.last_at = now;
        while let Some(&Some(after)) = plan.repeat.get(self.next) {
            if self.reason_at + after > now {
                return;
            }
            self.next = self.next.saturating_add(1);
        }
    }
}
