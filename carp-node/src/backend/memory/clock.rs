//! The clock of a host in memory.

use std::task::{Context, Poll};
use std::time::Duration;

use carp_proto::Instant;

use super::MemoryHost;
use crate::backend::Clock;

/// The clock of a [`MemoryHost`].
#[derive(Clone, Debug)]
pub struct MemoryClock {
    pub(super) host: MemoryHost,
}

impl Clock for MemoryClock {
    fn now(&self) -> Instant {
        let now = self.host.lan.now();
        self.host.with(|host| host.now(now))
    }

    /// The time of the [`Lan`], as if that had begun with the epoch, unless it was
    /// [stepped](MemoryHost::step_wall_clock).
    fn time_of_day(&self) -> Duration {
        let steps = self.host.with(|host| host.wall);
        let by = Duration::from_secs(steps.unsigned_abs());
        let time = Duration::from_nanos(self.host.lan.now().as_nanos());
        if steps < 0 { time.saturating_sub(by) } else { time.saturating_add(by) }
    }

    fn time_asleep(&self) -> Duration {
        self.host.with(|host| host.asleep)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        let mut shared = self.host.lan.lock();
        let now = shared.now;
        let host = &mut shared.hosts[self.host.index];
        if host.halted.is_some() {
            host.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        let at = at + host.behind;
        if at <= now {
            return Poll::Ready(());
        }
        shared.timers.retain(|(_, waker)| !waker.will_wake(cx.waker()));
        shared.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}
