//! The clock of elections, and the only place where it is read.
//!
//! Elections run on `CLOCK_BOOTTIME`: it never goes back, nobody can set it, and it counts while the
//! machine sleeps, so that a suspend shows as what it is, a router that was late. It wakes through a
//! timerfd: the timeout of `epoll_wait` may come 0.1 % late, and tokio's timer counts milliseconds.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use carp_proto::Instant;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::backend::Clock;
use crate::backend::linux::register_for_reading;

/// Two clocks cannot be read at once, and the process may have to wait between them. Within this time it has
/// not.
const AT_ONCE: Duration = Duration::from_micros(100);

/// How often the two are read at the most.
const READINGS: usize = 3;

/// The time since boot, and a timer on it.
#[derive(Debug)]
pub struct BootClock {
    timer: AsyncFd<OwnedFd>,
    armed_for: Option<Instant>,
}

impl BootClock {
    /// A clock. Must be called inside a tokio runtime, which will drive the timer.
    ///
    /// # Errors
    /// What the kernel says to a new timerfd.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = register_for_reading(timerfd_create(TimerfdClockId::Boottime, flags)?)?;
        Ok(Self { timer, armed_for: None })
    }

    fn arm(&mut self, at: Instant) -> io::Result<()> {
        // A value of zero would disarm the timer.
        let since_boot = Duration::from_nanos(at.as_nanos().max(1));
        let it_value = Timespec::try_from(since_boot).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once)?;
        self.armed_for = Some(at);
        Ok(())
    }
}

impl Clock for BootClock {
    fn now(&self) -> Instant {
        boot_time()
    }

    fn time_of_day(&self) -> Duration {
        let since_epoch = wall_time().duration_since(jiff::Timestamp::UNIX_EPOCH);
        Duration::try_from(since_epoch).unwrap_or_default()
    }

    fn time_asleep(&self) -> Duration {
        let mut apart = Duration::ZERO;
        for _ in 0..READINGS {
            let (before, monotonic, after) = (boot_time(), monotonic_time(), boot_time());
            apart = before.saturating_since(monotonic);
            if after.saturating_since(before) < AT_ONCE {
                break;
            }
        }
        apart
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        if self.armed_for != Some(at) && self.arm(at).is_err() {
            // Nothing but a time beyond the range of the kernel gets here; it does not come.
            return Poll::Pending;
        }
        loop {
            match ready!(self.timer.poll_read_ready(cx)) {
                // The count of expirations is not read: to arm the timer sets it to zero, and the next one
                // is told anew.
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => return Poll::Pending,
            }
            // It may have been told of an expiration of before the timer was armed again.
            if self.now() >= at {
                self.armed_for = None;
                return Poll::Ready(());
            }
        }
    }
}

/// The present time of [`BootClock`].
#[must_use]
pub fn boot_time() -> Instant {
    read(ClockId::Boottime)
}

/// The time since boot for which the machine was awake.
fn monotonic_time() -> Instant {
    read(ClockId::Monotonic)
}

fn read(clock: ClockId) -> Instant {
    let time = clock_gettime(clock);
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    let nanos = Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or(0));
    Instant::ZERO + seconds + nanos
}

/// The wall clock, for people and signatures. No timer rests on it.
#[must_use]
pub fn wall_time() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn it_wakes_at_every_deadline_and_not_before() {
        let mut clock = BootClock::new().unwrap();
        for millis in [3, 0, 5, 1] {
            let at = clock.now() + Duration::from_millis(millis);
            poll_fn(|cx| clock.poll_deadline(cx, Some(at))).await;
            assert!(clock.now() >= at);
        }
    }

    #[tokio::test]
    async fn a_deadline_that_was_put_off_does_not_wake() {
        let mut clock = BootClock::new().unwrap();
        let early = clock.now() + Duration::from_millis(2);
        let late = early + Duration::from_millis(30);
        let mut asked = 0;
        poll_fn(|cx| {
            asked += 1;
            // The first deadline passes before the second is asked for.
            let at = if asked == 1 { early } else { late };
            let polled = clock.poll_deadline(cx, Some(at));
            if asked == 1 {
                while clock.now() <= early {}
                cx.waker().wake_by_ref();
            }
            polled
        })
        .await;
        assert!(clock.now() >= late);
    }
}
