//! What an election needs to know.

use core::time::Duration;

use super::policy::{DemotionEffect, Policy};
use super::rank::Rank;
use super::standing::Standing;
use crate::id::Demotion;

/// The part of a router's configuration that the election reads.
#[derive(Clone, Debug)]
pub(crate) struct ElectionConfig {
    pub(crate) policy: &'static Policy,
    pub(crate) standing: Standing,
    pub(crate) preempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) handover: Duration,
    pub(crate) prepare_limit: Option<Duration>,
    pub(crate) acquire_limit: Duration,
    pub(crate) announce: AnnouncePlan,
    /// What the jitter of refreshes is drawn from.
    pub(crate) seed: u64,
}

/// A backup learns an interval of up to this many times its own.
const LEARNED_FACTOR: u32 = 4;

/// A backup learns an interval of up to this long, however short its own is: four times the default.
const LEARNED_ALWAYS: Duration = Duration::from_secs(4);

impl ElectionConfig {
    /// What the adverts say at this demotion.
    pub(crate) fn advertised(&self, demotion: Demotion) -> Standing {
        match self.policy.demotion {
            DemotionEffect::Byte => self.standing,
            DemotionEffect::Skew | DemotionEffect::Priority => self.standing.lowered(demotion),
        }
    }

    /// The demotion byte of the adverts at this demotion.
    pub(crate) const fn demotion_byte(&self, demotion: Demotion) -> Demotion {
        match self.policy.demotion {
            DemotionEffect::Byte => demotion,
            DemotionEffect::Skew | DemotionEffect::Priority => Demotion::NONE,
        }
    }

    /// The own rank at this demotion.
    pub(crate) fn rank(&self, demotion: Demotion) -> Rank {
        self.advertised(demotion).rank(self.demotion_byte(demotion))
    }

    /// Whether the router takes over from a healthy active router of worse rank. An owner does, however
    /// it is configured (RFC 9568 section 6.1).
    pub(crate) const fn preempts(&self) -> bool {
        self.preempt || self.standing.is_owner()
    }

    /// The interval that a backup reckons with, of the one that the active router says. What is out of
    /// all proportion to the own interval is cut: one advert must not make a backup wait for minutes.
    pub(crate) fn learned(&self, interval: Duration) -> Duration {
        if self.policy.learns_interval {
            interval.min((self.standing.interval() * LEARNED_FACTOR).max(LEARNED_ALWAYS))
        } else {
            self.standing.interval()
        }
    }

    /// How long a backup waits for an advert of an active router with this interval, as
    /// [learned](Self::learned).
    ///
    /// In CARP demotion has no part in it, as on the BSDs. In VRRP it has, so that of several backups
    /// the one that is best now is the first.
    pub(crate) fn active_down(&self, demotion: Demotion, learned: Duration) -> Duration {
        match self.standing {
            Standing::Carp(interval) => interval.active_down(self.policy.dead_factor),
            Standing::Vrrp { .. } => {
                learned * self.policy.dead_factor + self.skew_time(demotion, learned)
            }
        }
    }

    /// How long a backup waits for another one after a resignation, where it does not take over at once.
    pub(crate) fn skew_time(&self, demotion: Demotion, learned: Duration) -> Duration {
        self.advertised(demotion).skew_time(self.policy.skew, learned)
    }
}

/// How an active router tells its link where the addresses are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnnouncePlan {
    /// Announcements of each address at once, whenever there is a reason to announce. At least 1.
    pub burst: u8,
    /// When to announce again after a takeover, and after another active router was heard: times
    /// since then, ascending.
    pub repeat: [Option<Duration>; 4],
    /// How often to announce without any reason, give or take 10 %, so that routers that started
    /// together do not announce together; `None` for never. Under a second counts as one.
    pub refresh: Option<Duration>,
}

impl Default for AnnouncePlan {
    /// Five at once, again after 1 s and 5 s, and every minute.
    fn default() -> Self {
        Self {
            burst: 5,
            repeat: [Some(Duration::from_secs(1)), Some(Duration::from_secs(5)), None, None],
            refresh: Some(Duration::from_secs(60)),
        }
    }
}
