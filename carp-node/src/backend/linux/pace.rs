//! How often what is there is asked for, however often it changes.

use std::time::Duration;

use tokio::time::Instant;

/// The least time from the end of one look to the beginning of the next.
const LEAST: Duration = Duration::from_millis(5);

/// The most: whatever happened is known this long after the last look at the latest.
const MOST: Duration = Duration::from_millis(400);

/// After a look, a pause of so many times what the look took: of a processor, looking takes no more than
/// a fifth.
const SHARE: u32 = 4;

/// When to look again on its own: what has been overlooked is found then.
const ANYWAY: Duration = Duration::from_secs(60);

/// The same soon after a change: what we do on it, such as joining a group, makes no event.
const SETTLED: Duration = Duration::from_secs(1);

/// Keeps looks apart.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// No look before this.
    not_before: Instant,
    /// A look at this time, if nothing happens before.
    anyway_at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, not_before: now, anyway_at: now }
    }

    /// A look begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// A look has ended, and something was new or not.
    pub(super) fn end(&mut self, now: Instant, news: bool) {
        let took = now.saturating_duration_since(self.began);
        self.not_before = now + took.saturating_mul(SHARE).clamp(LEAST, MOST);
        self.anyway_at = now + if news { SETTLED } else { ANYWAY };
    }

    /// The earliest time of the next look.
    pub(super) fn not_before(&self) -> Instant {
        self.not_before
    }

    /// When to look if nothing has happened.
    pub(super) fn anyway_at(&self) -> Instant {
        self.anyway_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_took_long_is_not_repeated_soon() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.not_before(), start, "the first is at once");
        for (took, pause) in [(0, 5), (1, 5), (10, 40), (90, 360), (3000, 400)] {
            let end = start + Duration::from_millis(took);
            pace.begin(start);
            pace.end(end, false);
            assert_eq!(pace.not_before() - end, Duration::from_millis(pause), "{took} ms");
        }
    }

    #[test]
    fn a_second_look_follows_a_change_and_a_quiet_minute() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.end(start, true);
        assert_eq!(pace.anyway_at() - start, SETTLED);
        pace.end(start, false);
        assert_eq!(pace.anyway_at() - start, ANYWAY);
    }
}
