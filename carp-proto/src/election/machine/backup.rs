//! Waiting for the active router to fall silent.

use core::net::IpAddr;
use core::time::Duration;

use super::{Machine, Stage};
use crate::election::output::{Cause, Evidence};
use crate::election::policy::{DemotionEffect, Preemption};
use crate::election::rank::Claim;
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActivePeer {
    pub(super) source: IpAddr,
    pub(super) interval: Duration,
    pub(super) heard_at: Instant,
}

impl Machine {
    pub(super) fn backup_hears(&mut self, now: Instant, claim: Claim) {
        if claim.resigning {
            // Only the active router can resign; of two that fought, the loser's goodbye changes nothing.
            if self.active_peer.is_none_or(|peer| peer.source == claim.source) {
                self.take_over(now, Cause::Resigned, self.peer_evidence(now, claim.source));
            }
            return;
        }
        let held = self.held(now);
        if !held && self.outranks(&claim) {
            return self.take_over(now, Cause::WorsePeer, self.peer_evidence(now, claim.source));
        }
        let preempts = !held && self.config.preempt && self.rank() > claim.rank;
        match (preempts, self.config.policy.preemption) {
            (true, Preemption::AtOnce) => {
                self.take_over(now, Cause::WorsePeer, self.peer_evidence(now, claim.source));
            }
            (true, Preemption::BySilence) => {}
            (false, Preemption::AtOnce | Preemption::BySilence) => self.follow(now, claim),
        }
    }

    /// Whether a backup takes over from this active router even where it does not preempt.
    fn outranks(&self, claim: &Claim) -> bool {
        let policy = self.config.policy;
        // A worse router would have to give the addresses back at the slow one's next advert.
        let too_slow = policy.takes_over_slow
            && self.active_down() < claim.interval
            && self.rank() > claim.rank;
        let demoted = policy.demotion == DemotionEffect::Byte && claim.demotion > self.demotion;
        too_slow || demoted
    }

    pub(super) fn follow(&mut self, now: Instant, claim: Claim) {
        self.active_peer =
            Some(ActivePeer { source: claim.source, interval: claim.interval, heard_at: now });
        self.stage = Stage::Backup { down_at: now + self.patience(now) };
    }

    /// How long to wait for the next advert.
    ///
    /// A peer that a held or a worse router may not replace is not dead between two adverts, however
    /// much shorter the own active-down interval is.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let own = self.active_down();
        match self.active_peer {
            Some(peer) if self.held(now) || peer.interval >= own => {
                own.max(peer.interval * self.config.policy.dead_factor)
            }
            Some(_) | None => own,
        }
    }

    pub(super) fn backup_timeout(&mut self, now: Instant, down_at: Instant) {
        if now < down_at {
            return;
        }
        let late_by = now.saturating_since(down_at);
        if late_by > self.advert_interval() {
            // We slept: the silence may be ours. One interval, awake, tells.
            let theirs = self.active_peer.map_or(Duration::ZERO, |peer| peer.interval);
            self.stage = Stage::Backup { down_at: now + self.advert_interval().max(theirs) };
            return;
        }
        let peer = self.active_peer;
        let evidence = Evidence {
            peer: peer.map(|peer| peer.source),
            silent_for: Some(now.saturating_since(peer.map_or(self.since, |peer| peer.heard_at))),
            ..Evidence::default()
        };
        self.take_over(now, Cause::ActiveDown, evidence);
    }

    fn peer_evidence(&self, now: Instant, source: IpAddr) -> Evidence {
        let known = self.active_peer.filter(|peer| peer.source == source);
        Evidence {
            peer: Some(source),
            silent_for: known.map(|peer| now.saturating_since(peer.heard_at)),
            ..Evidence::default()
        }
    }
}
