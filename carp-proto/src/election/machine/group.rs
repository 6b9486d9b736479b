//! What a router of a sync group does because of the others.

use core::net::IpAddr;
use core::time::Duration;

use super::backup::Waiting;
use super::leaving::{Goal, Leaving};
use super::{HOLD, Machine, Stage};
use crate::election::output::{Cause, Event, Output};
use crate::time::Instant;

/// 2^16 times the golden ratio's part after the point: multiples of it lie far apart in 16 bits.
const SPREAD: u16 = 0x9e37;

/// The holds of a group's routers end within this many intervals, or half a hold where that is longer.
const HOLD_SPREAD: u32 = 8;

impl Machine {
    /// May become active from now on, or may not. What it is stays as it is, but for a router that waits
    /// for this word.
    pub(super) fn permit(&mut self, now: Instant, permitted: bool) {
        self.permitted = permitted;
        if !permitted {
            return;
        }
        match self.stage {
            Stage::Backup(Waiting { down_at: None, grounds, .. }) => {
                self.take_over_on(now, grounds);
            }
            Stage::Leaving(Leaving { release_at: None, goal, .. }) => self.take_back(now, goal),
            Stage::Init
            | Stage::Backup(Waiting { down_at: Some(_), .. })
            | Stage::TakingOver(_)
            | Stage::Serving(_)
            | Stage::Leaving(Leaving { release_at: Some(_), .. }) => {}
        }
    }

    /// Another router of the group is not active any more.
    pub(super) fn step_down_with_group(&mut self, now: Instant) {
        match self.stage {
            Stage::TakingOver(_) => self.withdraw(now, Goal::Group),
            Stage::Serving(_) => self.leave(now, Goal::Group),
            // The others will not be active again: there is nothing left to wait for.
            Stage::Leaving(leaving @ Leaving { release_at: None, .. }) => {
                self.handed_over(now, leaving);
            }
            Stage::Init
            | Stage::Backup(_)
            | Stage::Leaving(Leaving { release_at: Some(_), .. }) => {}
        }
    }

    /// Serves on after nobody has taken over, if it may, or else waits for the word of its group.
    pub(super) fn be_unanswered(&mut self, now: Instant, leaving: Leaving) {
        if self.permitted {
            return self.take_back(now, leaving.goal);
        }
        self.stage = Stage::Leaving(Leaving {
            resign_again_at: None,
            release_at: None,
            successor: None,
            ..leaving
        });
    }

    fn take_back(&mut self, now: Instant, goal: Goal) {
        self.serve_on(now);
        match goal {
            Goal::Yield | Goal::Contest => self.push(Output::Event(Event::YieldUnanswered)),
            // Nobody has asked how it ended.
            Goal::Group | Goal::Follow | Goal::Stop => {}
        }
    }

    /// How much longer than others a backup waits that has stepped down for its group and is held.
    ///
    /// Two groups that took over from each other at the same moment, each better in one of its routers,
    /// have both stepped down, and would take over at the same moment again. This is more than any skew
    /// time, and different for different addresses, so that one of them is the first.
    pub(super) fn reluctance(&self, now: Instant) -> Duration {
        if !self.is_held_for_its_group(now) {
            return Duration::ZERO;
        }
        let interval = self.config.standing.interval();
        interval + self.spread_over(interval)
    }

    /// Whether it has stepped down with its group, and is held since.
    pub(super) fn is_held_for_its_group(&self, now: Instant) -> bool {
        self.cause == Cause::Group && self.held_for_a_time(now)
    }

    /// How long a router that steps down with its group is held.
    ///
    /// Two that are each better than the one that serves then would preempt it at the same advert, meet and step
    /// down together, again and again. Their holds end many adverts apart, so that the first one serves by the time
    /// the second one may.
    pub(super) fn group_hold(&self) -> Duration {
        let interval = self.config.standing.interval();
        HOLD + self.spread_over((HOLD / 2).max(interval * HOLD_SPREAD))
    }

    /// A part of this time that is the router's own, by its address: less than all of it.
    fn spread_over(&self, time: Duration) -> Duration {
        let [high, low] = match self.source() {
            IpAddr::V4(source) => {
                let [.., high, low] = source.octets();
                [high, low]
            }
            IpAddr::V6(source) => {
                let [.., high, low] = source.octets();
                [high, low]
            }
        };
        let part = u16::from_be_bytes([high, low]).wrapping_mul(SPREAD);
        time * u32::from(part) / (1 << u16::BITS)
    }
}
