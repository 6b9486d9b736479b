//! What decides in the model: the real code, or the real code with a fault planted in it.

use std::fmt::Debug;
use std::net::IpAddr;

use carp_node::sync::decide::{Decision, Me, Pull, Renewal, Rescue, decide};
use carp_node::sync::hold::HoldReason;
use carp_node::sync::lineage::{NodeId, Stamp};
use carp_node::sync::policy::Policy;
use carp_node::sync::record::{Memory, Peer, Role};
use carp_proto::Instant;

/// Decides.
pub(crate) trait Brain: Debug {
    fn decide(
        &self,
        me: &Me<'_>,
        peer: Option<&Peer>,
        heard: Option<IpAddr>,
        policy: &Policy,
        now: Instant,
    ) -> Decision {
        decide(me, peer, heard, policy, now)
    }

    fn promoted(
        &self,
        memory: &Memory,
        node: &NodeId,
        now: Stamp,
        nonce: u64,
        stale: bool,
    ) -> Memory {
        memory.after_promotion(node, now, nonce, stale)
    }
}

/// The real code.
#[derive(Debug)]
pub(crate) struct Real;

impl Brain for Real {}

/// A fault, planted into the real code's answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Planted {
    /// Whoever is active is copied, whatever the lineage; with rescue.
    IgnoresLineage,
    /// A restored source is as good as any.
    TrustsRestoredSources,
    /// Writing on both sides is not noticed.
    IgnoresWritesMeanwhile,
    /// The first copy ever goes over whatever is there.
    AdoptsOverEverything,
    /// Nothing is ever kept.
    ForgetsRescue,
    /// What is overwritten is kept only if it was given up.
    RescuesOnlyStrangers,
    /// Nothing is an orphan.
    CallsNothingAnOrphan,
    /// A pass goes on after the node became active.
    PullsWhileActive,
    /// Epochs are counted from the own tip only.
    CountsFromItsOwnTip,
    /// Whatever the peer has of its own counts for nothing.
    SupersedesEverything,
}

impl Planted {
    pub(crate) const ALL: [Self; 10] = [
        Self::IgnoresLineage,
        Self::TrustsRestoredSources,
        Self::IgnoresWritesMeanwhile,
        Self::AdoptsOverEverything,
        Self::ForgetsRescue,
        Self::RescuesOnlyStrangers,
        Self::CallsNothingAnOrphan,
        Self::PullsWhileActive,
        Self::CountsFromItsOwnTip,
        Self::SupersedesEverything,
    ];

    /// What the oracle says about it: one of these.
    pub(crate) const fn found_as(self) -> &'static [&'static str] {
        match self {
            Self::IgnoresLineage | Self::TrustsRestoredSources | Self::SupersedesEverything => {
                &["does not descend from its own"]
            }
            Self::IgnoresWritesMeanwhile => &["was written while the other one served"],
            // Of a tree whose memory was damaged, the model still knows what it descends from.
            Self::AdoptsOverEverything => {
                &["adopts a tree over its own", "does not descend from its own"]
            }
            Self::ForgetsRescue | Self::RescuesOnlyStrangers => {
                &["is in no tree and in no rescue set"]
            }
            Self::CallsNothingAnOrphan => &["is called superseded"],
            Self::PullsWhileActive => &["pulls while it is active"],
            Self::CountsFromItsOwnTip => &["after it had seen"],
        }
    }

    fn overrides(self, me: &Me<'_>, decision: Decision, peer: Option<&Peer>) -> Decision {
        let tip = peer.and_then(|peer| peer.share(me.share)).and_then(|share| share.history.tip());
        let Some(tip) = tip.cloned() else { return decision };
        let given_up = me.memory.history.tip().is_some_and(|mine| {
            let share = peer.and_then(|peer| peer.share(me.share));
            share.is_some_and(|share| !share.history.contains(mine))
        });
        let anyway = || {
            let rescue = Some(Rescue { orphans_since: None });
            Decision::Pull(Pull { tip: tip.clone(), rescue, given_up })
        };
        match (self, decision) {
            (Self::IgnoresLineage, Decision::Hold(_)) => anyway(),
            (Self::TrustsRestoredSources, Decision::Hold(hold))
                if hold.reason == HoldReason::RolledBackSource =>
            {
                anyway()
            }
            (Self::IgnoresWritesMeanwhile, Decision::Hold(hold))
                if hold.reason == HoldReason::Diverged && !given_up =>
            {
                anyway()
            }
            (Self::AdoptsOverEverything, Decision::Hold(hold))
                if hold.reason == HoldReason::NotAdopted =>
            {
                anyway()
            }
            (Self::ForgetsRescue, Decision::Pull(pull)) => {
                Decision::Pull(Pull { rescue: None, ..pull })
            }
            (Self::RescuesOnlyStrangers, Decision::Pull(pull)) if !pull.given_up => {
                Decision::Pull(Pull { rescue: None, ..pull })
            }
            (Self::CallsNothingAnOrphan, Decision::Pull(pull)) => {
                let never = Rescue { orphans_since: Some(Stamp(u64::MAX)) };
                Decision::Pull(Pull { rescue: pull.rescue.map(|_| never), ..pull })
            }
            (Self::PullsWhileActive, Decision::Serve(None)) if me.memory.as_of.is_some() => {
                anyway()
            }
            (Self::SupersedesEverything, Decision::Serve(_))
                if me.memory.supersedes.as_ref() != Some(&tip)
                    && !me.memory.history.contains(&tip) =>
            {
                let renewal = Renewal { above: tip.number, supersedes: Some(tip) };
                Decision::Serve(Some(renewal))
            }
            // What this fault does not touch.
            (_, decision) => decision,
        }
    }
}

impl Brain for Planted {
    fn decide(
        &self,
        me: &Me<'_>,
        peer: Option<&Peer>,
        heard: Option<IpAddr>,
        policy: &Policy,
        now: Instant,
    ) -> Decision {
        debug_assert!(me.role != Role::Init);
        self.overrides(me, decide(me, peer, heard, policy, now), peer)
    }

    fn promoted(
        &self,
        memory: &Memory,
        node: &NodeId,
        now: Stamp,
        nonce: u64,
        stale: bool,
    ) -> Memory {
        match self {
            Self::CountsFromItsOwnTip => {
                Memory { seen: 0, ..memory.clone() }.after_promotion(node, now, nonce, stale)
            }
            _ => memory.after_promotion(node, now, nonce, stale),
        }
    }
}
