//! What an election needs to know.

use core::time::Duration;

use super::policy::{DemotionEffect, Policy};
use super::rank::Rank;
use crate::id::Demotion;
use crate::interval::CarpInterval;

/// The part of a router's configuration that the election reads.
#[derive(Clone, Debug)]
pub(crate) struct ElectionConfig {
    pub(crate) policy: &'static Policy,
    pub(crate) interval: CarpInterval,
    pub(crate) preempt: bool,
    pub(crate) handover: Duration,
    pub(crate) prepare_limit: Option<Duration>,
    pub(crate) acquire_limit: Duration,
    pub(crate) announce: AnnouncePlan,
}

/// The most that demotion raises advskew to (`CARP_MAXSKEW` of the BSDs, ucarp's value after errors).
const DEMOTED_SKEW: u8 = 240;

impl ElectionConfig {
    /// Base and skew of the adverts at this demotion.
    pub(crate) fn advertised(&self, demotion: Demotion) -> CarpInterval {
        match self.policy.demotion {
            DemotionEffect::Byte => self.interval,
            DemotionEffect::Skew => {
                let configured = self.interval.advskew;
                let demoted = configured.saturating_add(demotion.get()).min(DEMOTED_SKEW);
                CarpInterval { advskew: demoted.max(configured), ..self.interval }
            }
        }
    }

    /// The demotion byte of the adverts at this demotion.
    pub(crate) const fn demotion_byte(&self, demotion: Demotion) -> Demotion {
        match self.policy.demotion {
            DemotionEffect::Byte => demotion,
            DemotionEffect::Skew => Demotion::NONE,
        }
    }

    /// The own rank at this demotion.
    pub(crate) fn rank(&self, demotion: Demotion) -> Rank {
        Rank::carp(self.demotion_byte(demotion), self.advertised(demotion))
    }

    /// How long a backup waits for an advert. Demotion has no part in it, as on the BSDs.
    pub(crate) fn active_down(&self) -> Duration {
        self.interval.active_down(self.policy.dead_factor)
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
    /// How often to announce without any reason; `None` for never. Under a second counts as one.
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
