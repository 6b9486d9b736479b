//! Whether anybody answers to what comes from an address that was just taken.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::{Family, Instant};

/// When to ask again, counted from the takeover: once an answer is overdue, and when the addresses are
/// announced again by default.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(5)];

/// After that, every so often.
const EVERY: Duration = Duration::from_secs(5);

/// The questions from the addresses of one family, from the moment that they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Confirmation {
    pub(super) family: Family,
    /// The address that is asked from.
    pub(super) from: IpAddr,
    began_at: Instant,
    rounds: usize,
    /// When the next round is due; `None` when no more is asked.
    pub(super) next_at: Option<Instant>,
    /// Whether somebody is asked who should answer.
    pub(super) expected: bool,
    pub(super) answered_by: Option<IpAddr>,
}

/// What to do when a round is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// Ask for the first time.
    First,
    /// Nobody answers. Tell it if this is the first time; announce again, and ask again.
    Unanswered {
        /// Whether this is the first time.
        news: bool,
    },
    /// There is nobody to ask.
    Nobody,
}

impl Confirmation {
    pub(super) fn begin(now: Instant, from: IpAddr, expected: bool) -> Self {
        Self {
            family: Family::of(from),
            from,
            began_at: now,
            rounds: 0,
            next_at: Some(now),
            expected,
            answered_by: None,
        }
    }

    /// Whether an answer is overdue.
    pub(super) fn is_unanswered(&self) -> bool {
        self.expected && self.answered_by.is_none() && self.rounds > 1
    }

    /// The round that is due, if one is.
    pub(super) fn next_round(&mut self, now: Instant) -> Option<Round> {
        self.next_at.filter(|at| *at <= now)?;
        let done = self.rounds;
        if done > 0 && !self.expected {
            self.next_at = None;
            return Some(Round::Nobody);
        }
        self.rounds += 1;
        let again = AGAIN.get(done).map(|after| self.began_at + *after);
        // One that is late is not made up for.
        self.next_at = Some(again.filter(|at| *at > now).unwrap_or(now + EVERY));
        Some(if done == 0 { Round::First } else { Round::Unanswered { news: done == 1 } })
    }

    /// The way to us is known to be good: no answer is expected any more. Returns whether it was told that
    /// there is none.
    pub(super) fn excuse(&mut self) -> bool {
        let unanswered = self.is_unanswered();
        (self.expected, self.next_at) = (false, None);
        unanswered
    }

    /// Notes an answer. Returns whether it is the first one, after it was told that there is none.
    pub(super) fn answered(&mut self, by: IpAddr) -> bool {
        let after_all = self.is_unanswered();
        self.answered_by = Some(by);
        self.next_at = None;
        after_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn begun(expected: bool) -> Confirmation {
        Confirmation::begin(Instant::ZERO, "192.0.2.100".parse().unwrap(), expected)
    }

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn it_is_asked_again_with_the_announcements_and_then_every_5_s() {
        let mut confirmation = begun(true);
        assert_eq!(confirmation.next_round(at(0)), Some(Round::First));
        assert_eq!(confirmation.next_round(at(499)), None);
        assert!(!confirmation.is_unanswered());
        let mut times = Vec::new();
        while let Some(next) = confirmation.next_at.filter(|next| *next < at(16_000)) {
            let news = times.is_empty();
            assert_eq!(confirmation.next_round(next), Some(Round::Unanswered { news }));
            assert!(confirmation.is_unanswered());
            times.push(next.as_nanos() / 1_000_000);
        }
        assert_eq!(times, [500, 1000, 5000, 10_000, 15_000]);
    }

    #[test]
    fn the_first_answer_ends_it() {
        let gateway = "192.0.2.1".parse().unwrap();
        let mut early = begun(true);
        early.next_round(at(0));
        assert!(!early.answered(gateway), "nobody was told that there is none");
        assert_eq!((early.next_at, early.answered_by), (None, Some(gateway)));
        let mut late = begun(true);
        late.next_round(at(0));
        late.next_round(at(500));
        assert!(late.answered(gateway));
        assert!(!late.is_unanswered());
        assert!(!late.answered(gateway), "that is no news");
    }

    #[test]
    fn one_that_is_excused_is_not_asked_any_more() {
        let mut confirmation = begun(true);
        confirmation.next_round(at(0));
        assert!(!confirmation.excuse());
        assert_eq!((confirmation.next_at, confirmation.is_unanswered()), (None, false));
        let mut late = begun(true);
        late.next_round(at(0));
        late.next_round(at(500));
        assert!(late.excuse() && !late.excuse());
    }

    #[test]
    fn silence_says_nothing_where_nobody_is() {
        let mut confirmation = begun(false);
        confirmation.next_round(at(0));
        assert_eq!(confirmation.next_round(at(500)), Some(Round::Nobody));
        assert_eq!((confirmation.next_at, confirmation.is_unanswered()), (None, false));
    }

    #[test]
    fn a_round_that_is_late_is_not_made_up_for() {
        let mut confirmation = begun(true);
        confirmation.next_round(at(0));
        confirmation.next_round(at(7000));
        assert_eq!(confirmation.next_at, Some(at(7000) + SECOND * 5));
    }
}
