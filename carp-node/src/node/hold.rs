//! Waiting before a router takes part: after the machine has booted, and after its link came up.

use std::time::Duration;

use carp_proto::Instant;

use crate::backend::Interface;
use crate::config::format_duration;

/// For how long a router waits. Meanwhile its link counts as down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Until this long after the boot of the machine. The clock of elections begins with the boot.
    pub boot: Duration,
    /// Until the link has been up for this long, without a break.
    pub link_up: Duration,
}

impl Hold {
    /// Until when a router waits whose link has been up since then.
    pub(super) fn until(self, up_since: Instant) -> Instant {
        (Instant::ZERO + self.boot).max(up_since + self.link_up)
    }

    /// What a router waits for, in words.
    pub(super) fn words(self, now: Instant, up_since: Instant) -> String {
        let until = self.until(up_since);
        let left = format_duration(whole_seconds(until.saturating_since(now)));
        let (key, of, what) = if until > up_since + self.link_up {
            ("boot", self.boot, "the boot of the machine")
        } else {
            ("link_up", self.link_up, "the link came up")
        };
        let of = format_duration(of);
        format!("waits for another {left}: it takes part {of} after {what} (hold.{key})")
    }
}

/// Rounded up.
fn whole_seconds(time: Duration) -> Duration {
    let begun = u64::from(time.subsec_nanos() > 0);
    Duration::from_secs(time.as_secs() + begun)
}

/// Since when an interface has been up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Uptime {
    /// Whether it was ever looked at.
    seen: bool,
    index: u32,
    carrier_changes: u32,
    since: Option<Instant>,
}

impl Uptime {
    /// Takes note of what an interface is now. One that is up when it is seen first counts as up
    /// since the boot: a daemon that is started again does not wait for it.
    pub(super) fn note(&mut self, now: Instant, interface: Option<&Interface>) {
        let before = *self;
        self.seen = true;
        self.since = None;
        let Some(interface) = interface.filter(|interface| interface.running) else { return };
        (self.index, self.carrier_changes) = (interface.index, interface.carrier_changes);
        let unbroken = (before.index, before.carrier_changes) == (self.index, self.carrier_changes);
        self.since = match before.since.filter(|_| unbroken) {
            Some(since) => Some(since),
            None if before.seen => Some(now),
            None => Some(Instant::ZERO),
        };
    }

    /// Since when it is up; `None` if it is not.
    pub(super) const fn since(self) -> Option<Instant> {
        self.since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Instant {
        Instant::ZERO + SECOND * seconds
    }

    fn interface(running: bool, carrier_changes: u32) -> Interface {
        Interface { index: 2, running, carrier_changes, ..Interface::default() }
    }

    #[test]
    fn a_link_that_was_up_at_the_start_has_been_up_since_the_boot() {
        let mut uptime = Uptime::default();
        uptime.note(at(100), Some(&interface(true, 1)));
        assert_eq!(uptime.since(), Some(Instant::ZERO));
        uptime.note(at(101), Some(&interface(true, 1)));
        assert_eq!(uptime.since(), Some(Instant::ZERO));
    }

    #[test]
    fn every_break_counts_also_one_that_nobody_saw() {
        let mut uptime = Uptime::default();
        uptime.note(at(1), Some(&interface(true, 1)));
        uptime.note(at(2), Some(&interface(false, 2)));
        assert_eq!(uptime.since(), None);
        uptime.note(at(3), Some(&interface(true, 3)));
        assert_eq!(uptime.since(), Some(at(3)));
        uptime.note(at(4), Some(&interface(true, 5)));
        assert_eq!(uptime.since(), Some(at(4)));
        let other = Interface { index: 7, ..interface(true, 5) };
        uptime.note(at(5), Some(&other));
        assert_eq!(uptime.since(), Some(at(5)));
        uptime.note(at(6), None);
        assert_eq!(uptime.since(), None);
    }

    #[test]
    fn an_interface_that_came_later_counts_from_then() {
        let mut uptime = Uptime::default();
        uptime.note(at(1), None);
        uptime.note(at(9), Some(&interface(true, 1)));
        assert_eq!(uptime.since(), Some(at(9)));
    }

    #[test]
    fn the_later_of_both_waits_counts_and_is_named() {
        let hold = Hold { boot: SECOND * 60, link_up: SECOND * 10 };
        assert_eq!(hold.until(at(20)), at(60));
        let text = hold.words(at(30), at(20));
        assert!(text.contains("another 30s") && text.contains("60s after the boot"), "{text}");
        assert_eq!(hold.until(at(55)), at(65));
        let text = hold.words(Instant::ZERO + Duration::from_millis(60_500), at(55));
        assert!(text.contains("another 5s") && text.contains("hold.link_up"), "{text}");
        assert_eq!(Hold::default().until(at(20)), at(20));
    }
}
