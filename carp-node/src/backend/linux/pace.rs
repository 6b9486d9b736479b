//! How often what is there is asked for, however often it changes.

use std::time::Duration;

use tokio::time::Instant;

/// The least time from the end of one look to the beginning of the next.
const LEAST: Duration = Duration::from_millis(5);

/// The most: a link that is lost meanwhile must not wait for longer.
const MOST: Duration = Duration::from_millis(50);

/// When to look again although nothing was told, after a change: what we do on it, such as joining a group,
/// makes no event. Then after twice that time, and so on,
const SOON: Duration = Duration::from_secs(1);

/// up to this: what has been overlooked is found then.
const SELDOM: Duration = Duration::from_secs(60);

/// Keeps looks apart.
#[derive(Debug)]
pub(super) struct Pace {
    began: Instant,
    /// No look before this.
    not_before: Instant,
    /// How long to wait before a look that nothing gave a reason for.
    patience: Duration,
    /// When that is.
    anyway_at: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, not_before: now, patience: SOON, anyway_at: now }
    }

    /// A look begins.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// A look has ended, and something was new or not. The pause that follows is as long as the look was.
    pub(super) fn end(&mut self, now: Instant, news: bool) {
        let took = now.saturating_duration_since(self.began);
        self.not_before = now + took.clamp(LEAST, MOST);
        self.patience = if news { SOON } else { (self.patience * 2).min(SELDOM) };
        self.anyway_at = now + self.patience;
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
        for (took, pause) in [(0, 5), (1, 5), (10, 10), (50, 50), (3000, 50)] {
            let end = start + Duration::from_millis(took);
            pace.begin(start);
            pace.end(end, false);
            assert_eq!(pace.not_before() - end, Duration::from_millis(pause), "{took} ms");
        }
    }

    #[test]
    fn looks_without_a_reason_become_rarer_until_something_changes() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let mut seconds = |news| {
            pace.end(start, news);
            (pace.anyway_at() - start).as_secs()
        };
        assert_eq!(seconds(true), 1);
        assert_eq!([false; 7].map(&mut seconds), [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(seconds(true), 1);
    }
}
