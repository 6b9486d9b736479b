//! What keeps an old advert from being sent again: a window of time, and a mark for every sender.

use core::net::IpAddr;
use core::time::Duration;

use thiserror::Error;

use crate::wire::vrrp::Sequence;

/// How many senders have a mark at a time.
///
/// Two routers send for one id only while they settle who is active, so a few are enough. keepalived
/// keeps four.
const SENDERS: usize = 16;

/// How far an advert's time may be from ours: 1 to 300 seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window(u64);

impl Window {
    const MAX: u64 = 300;

    /// keepalived's lower bound for a window that nobody has set.
    const FLOOR: u64 = 5;

    /// A window of some seconds.
    ///
    /// # Errors
    /// [`WindowError`] for anything but 1 to 300.
    pub fn new(seconds: i64) -> Result<Self, WindowError> {
        let window =
            u64::try_from(seconds).ok().filter(|seconds| (1..=Self::MAX).contains(seconds));
        window.map(Self).ok_or(WindowError { found: seconds })
    }

    /// keepalived's default: three advert intervals, whole seconds of each, and at least five seconds.
    #[must_use]
    pub fn for_interval(advert: Duration) -> Self {
        Self(advert.as_secs().saturating_mul(3).clamp(Self::FLOOR, Self::MAX))
    }

    /// The seconds.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    fn holds(self, now: Sequence, sequence: Sequence) -> bool {
        now.seconds_apart(sequence) <= self.0
    }
}

/// A number of seconds that cannot be a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a window of {found} s is out of range: it is 1 to 300 seconds")]
#[non_exhaustive]
pub struct WindowError {
    /// The number that was given.
    pub found: i64,
}

/// How an old advert is told from a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiReplay {
    /// By its time, which must not be further from ours than this, and by growth. All members need
    /// the same time (UTC), within the window. This is keepalived's default.
    Time(Window),
    /// By growth alone. No member needs the right time, but nothing tells the first advert of a sender
    /// from an old one, and a sender whose clock went back over a restart is not heard until it has
    /// caught up.
    Monotonic,
}

impl AntiReplay {
    /// Whether a sequence is too old or too new, whoever sent it.
    pub(super) fn is_stale(self, now: Sequence, sequence: Sequence) -> bool {
        match self {
            Self::Time(window) => !window.holds(now, sequence),
            Self::Monotonic => false,
        }
    }

    /// The sequence of the next advert: the present time, or one more than the last.
    ///
    /// If the clock was set back by more than the window, nobody would accept the last one plus one;
    /// then the present time it is. Without a window it always grows.
    pub(super) fn next(self, now: Sequence, last: Option<Sequence>) -> Sequence {
        match last {
            Some(last) if !now.is_after(last) && !self.is_stale(now, last) => last.next(),
            Some(_) | None => now,
        }
    }
}

/// The highest sequence of every sender that was heard, the one heard last first.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks([Option<Mark>; SENDERS]);

#[derive(Clone, Copy, Debug)]
struct Mark {
    source: IpAddr,
    sequence: Sequence,
}

impl Marks {
    /// Marks an advert **that was verified**; false, and no change, if it is a repetition.
    ///
    /// A mark outside of the window is forgotten: the window refuses all that it would refuse, except
    /// from a sender whose clock, or ours, was set back. When there are more senders than places, the
    /// one not heard for the longest time is forgotten.
    pub(super) fn advance(
        &mut self,
        anti_replay: AntiReplay,
        now: Sequence,
        source: IpAddr,
        sequence: Sequence,
    ) -> bool {
        let is_source = |mark: &Option<Mark>| mark.is_some_and(|mark| mark.source == source);
        let place = self.0.iter().position(is_source);
        let mark = place
            .and_then(|place| self.0[place])
            .filter(|mark| !anti_replay.is_stale(now, mark.sequence));
        if mark.is_some_and(|mark| !sequence.is_after(mark.sequence)) {
            return false;
        }
        self.0[..=place.unwrap_or(SENDERS - 1)].rotate_right(1);
        self.0[0] = Some(Mark { source, sequence });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: AntiReplay = AntiReplay::Time(Window(5));

    fn at(seconds: u64) -> Sequence {
        Sequence::at(Duration::from_secs(seconds))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_window_has_1_to_300_seconds() {
        for found in [i64::MIN, 0, 301] {
            assert_eq!(Window::new(found), Err(WindowError { found }));
        }
        assert_eq!(Window::new(300).map(Window::get), Ok(300));
        let default = |millis| Window::for_interval(Duration::from_millis(millis)).get();
        assert_eq!([default(10), default(1_990), default(2_000), default(200_000)], [5, 5, 6, 300]);
    }

    #[test]
    fn the_window_reaches_both_ways() {
        for (other, stale) in [(95, false), (105, false), (94, true), (106, true)] {
            assert_eq!(TIME.is_stale(at(100), at(other)), stale, "{other}");
            assert!(!AntiReplay::Monotonic.is_stale(at(100), at(other)));
        }
    }

    #[test]
    fn the_sequence_grows_even_when_the_clock_does_not() {
        let mut last = None;
        for (now, expected) in [
            (at(100), at(100)),
            (at(100), at(100).next()),
            (at(98), at(100).next().next()),
            (at(101), at(101)),
        ] {
            let next = TIME.next(now, last);
            assert_eq!(next, expected);
            last = Some(next);
        }
    }

    #[test]
    fn a_sender_whose_clock_went_far_back_starts_again_if_there_is_a_window() {
        let stranded = Some(at(4_000));
        assert_eq!(TIME.next(at(400), stranded), at(400));
        assert_eq!(AntiReplay::Monotonic.next(at(400), stranded), at(4_000).next());
    }

    #[test]
    fn every_sender_has_a_mark_of_its_own() {
        let mut marks = Marks::default();
        let mut advance = |source, sequence| marks.advance(TIME, at(100), source, sequence);
        assert!(advance(ip(1), at(100)));
        assert!(!advance(ip(1), at(100)), "the same again");
        assert!(!advance(ip(1), at(99)), "an older one");
        assert!(advance(ip(2), at(99)));
        assert!(advance(ip(1), at(100).next()));
    }

    #[test]
    fn a_mark_that_the_clock_left_behind_expires_if_there_is_a_window() {
        for (anti_replay, heard) in [(TIME, true), (AntiReplay::Monotonic, false)] {
            let mut marks = Marks::default();
            assert!(marks.advance(anti_replay, at(4_000), ip(1), at(4_000)));
            assert_eq!(marks.advance(anti_replay, at(400), ip(1), at(400)), heard);
        }
    }

    #[test]
    fn the_sender_that_was_silent_longest_is_forgotten() {
        let mut marks = Marks::default();
        let heard = AntiReplay::Monotonic;
        for last in 0..=16 {
            assert!(marks.advance(heard, at(1), ip(last), at(100)));
        }
        for last in 1..=16 {
            assert!(!marks.advance(heard, at(1), ip(last), at(100)), "{last} has its mark");
        }
        assert!(marks.advance(heard, at(1), ip(0), at(100)));
    }
}
