//! Whether the gateway answers: a node that has lost it is the wrong one to serve.
//!
//! The gateway is asked once a second who has its address, as RFC 5227 and RFC 4862 ask before an address is
//! used: every host answers that, and learns nothing from it. No I/O and no clock in here.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::Instant;
use carp_proto::election::Bar;

/// How often it is asked.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// After so many questions in a row without an answer it counts as lost.
const FALL: u32 = 3;

/// After so many with an answer it is there again.
const RISE: u32 = 2;

/// How long an active router waits before it gives way: another node that lost the gateway with it knows by then, and
/// does not take over.
const SETTLE: Duration = Duration::from_secs(2);

/// When it tries again, if there was nobody to give way to.
const AGAIN: Duration = Duration::from_secs(300);

/// What is known of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    address: IpAddr,
    /// When it is asked next.
    ask_at: Instant,
    /// Whether a question was asked and not answered yet.
    asked: bool,
    /// Questions in a row that speak against `lost`.
    streak: u32,
    lost: bool,
    /// When the router gives way, if it is active then.
    give_way_at: Option<Instant>,
}

/// What to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// Ask.
    pub(super) ask: bool,
    /// It is lost, or there again.
    pub(super) news: bool,
    /// Give way, if active.
    pub(super) give_way: bool,
}

impl Gateway {
    /// A gateway that nobody has asked yet: it counts as there.
    pub(super) const fn new(address: IpAddr) -> Self {
        Self {
            address,
            ask_at: Instant::ZERO,
            asked: false,
            streak: 0,
            lost: false,
            give_way_at: None,
        }
    }

    pub(super) const fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) const fn is_lost(&self) -> bool {
        self.lost
    }

    /// What the router may not do: a node without its gateway takes nothing over. It stays active if it is.
    pub(super) const fn bar(&self) -> Bar {
        if self.lost { Bar::Takeover } else { Bar::Nothing }
    }

    /// Whether an answer is awaited.
    pub(super) const fn awaits_answer(&self) -> bool {
        self.asked
    }

    pub(super) fn poll_timeout(&self) -> Instant {
        self.give_way_at.map_or(self.ask_at, |at| at.min(self.ask_at))
    }

    /// Somebody says that this is where he is. Whether that is news.
    pub(super) fn hear(&mut self, address: IpAddr) -> bool {
        if address != self.address || !self.asked {
            return false;
        }
        self.asked = false;
        self.note(true)
    }

    /// It is time. `running`: the link is up; without it, nothing is asked, since the link itself tells enough.
    pub(super) fn handle_timeout(&mut self, now: Instant, running: bool) -> Due {
        let mut due = Due::default();
        if self.ask_at <= now {
            // One that is late is not made up for: a process that slept has asked nothing meanwhile.
            self.ask_at = now + EVERY;
            due.news = running && self.asked && self.note(false);
            self.asked = running;
            due.ask = running;
            if due.news {
                self.give_way_at = Some(now + SETTLE);
            }
        }
        if self.give_way_at.is_some_and(|at| at <= now) {
            self.give_way_at = Some(now + AGAIN);
            due.give_way = true;
        }
        due
    }

    /// Counts an answer, or that there was none. Whether the state has changed.
    fn note(&mut self, answered: bool) -> bool {
        if answered != self.lost {
            self.streak = 0;
            return false;
        }
        self.streak += 1;
        let enough = if self.lost { RISE } else { FALL };
        let turned = self.streak >= enough;
        if turned {
            (self.lost, self.streak, self.give_way_at) = (!self.lost, 0, None);
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn gateway() -> Gateway {
        Gateway::new("192.0.2.1".parse().unwrap())
    }

    /// Asks at these seconds, and answers or not; when the state changed, and when it gives way.
    fn play(
        gateway: &mut Gateway,
        seconds: std::ops::Range<u32>,
        answers: bool,
    ) -> (Vec<u32>, Vec<u32>) {
        let (mut changes, mut gives_way) = (Vec::new(), Vec::new());
        for second in seconds {
            let now = Instant::ZERO + SECOND * second;
            let due = gateway.handle_timeout(now, true);
            if due.give_way {
                gives_way.push(second);
            }
            if due.news || (answers && gateway.hear(gateway.address())) {
                changes.push(second);
            }
        }
        (changes, gives_way)
    }

    #[test]
    fn three_questions_without_an_answer_are_a_loss_and_two_answers_end_it() {
        let mut gateway = gateway();
        assert_eq!(play(&mut gateway, 0..10, true), (vec![], vec![]));
        // Asked at 10, 11 and 12; the third one is missed at 13.
        assert_eq!(play(&mut gateway, 10..20, false), (vec![13], vec![15]));
        assert_eq!(gateway.bar(), Bar::Takeover);
        assert_eq!(play(&mut gateway, 20..30, true), (vec![21], vec![]));
        assert_eq!(gateway.bar(), Bar::Nothing);
    }

    #[test]
    fn an_answer_now_and_then_is_enough() {
        let mut gateway = gateway();
        for second in (0..30).step_by(3) {
            assert_eq!(play(&mut gateway, second..second + 2, false).0, [0; 0]);
            assert_eq!(play(&mut gateway, second + 2..second + 3, true).0, [0; 0]);
        }
    }

    #[test]
    fn who_finds_nobody_to_give_way_to_tries_again_much_later() {
        let mut gateway = gateway();
        let (_, gives_way) = play(&mut gateway, 0..400, false);
        assert_eq!(gives_way, [5, 305]);
    }

    #[test]
    fn without_a_link_nothing_is_asked_and_nothing_is_lost() {
        let mut gateway = gateway();
        for second in 0..20 {
            let due = gateway.handle_timeout(Instant::ZERO + SECOND * second, false);
            assert_eq!(due, Due::default());
        }
        assert!(!gateway.is_lost());
    }

    #[test]
    fn what_others_say_is_no_answer() {
        let mut gateway = gateway();
        gateway.handle_timeout(Instant::ZERO, true);
        assert!(gateway.awaits_answer());
        assert!(!gateway.hear("192.0.2.9".parse().unwrap()));
        assert!(gateway.awaits_answer());
        gateway.hear(gateway.address());
        assert!(!gateway.awaits_answer());
    }
}
