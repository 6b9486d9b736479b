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

/// What makes a router worse than it is configured to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Handicap {
    /// The sum of all present faults.
    pub(crate) demotion: Demotion,
    /// Whether its data are behind: see [`Input::Held`](super::Input::Held).
    pub(crate) held: bool,
}

impl Handicap {
    /// As configured.
    pub(crate) const NONE: Self = Self { demotion: Demotion::NONE, held: false };
}

impl ElectionConfig {
    /// What the adverts say with this handicap.
    ///
    /// A demotion byte would not tell routers of other dialects that this one is held, and of routers
    /// with faults of their own the wrong one would be better: a held router lowers what all compare.
    pub(crate) fn advertised(&self, handicap: Handicap) -> Standing {
        let standing = if handicap.held { self.standing.held() } else { self.standing };
        match self.policy.demotion {
            DemotionEffect::Byte => standing,
            DemotionEffect::Skew | DemotionEffect::Priority => standing.lowered(handicap.demotion),
        }
    }

    /// The demotion byte of the adverts with this handicap.
    pub(crate) const fn demotion_byte(&self, handicap: Handicap) -> Demotion {
        match self.policy.demotion {
            DemotionEffect::Byte => handicap.demotion,
            DemotionEffect::Skew | DemotionEffect::Priority => Demotion::NONE,
        }
    }

    /// The own rank with this handicap.
    pub(crate) fn rank(&self, handicap: Handicap) -> Rank {
        self.advertised(handicap).rank(self.demotion_byte(handicap))
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
    /// the one that is best now is the first. A held router waits longer than the others in both; in CARP
    /// by the same time for all, so that of several held ones the best is still the first.
    pub(crate) fn active_down(&self, handicap: Handicap, learned: Duration) -> Duration {
        match self.standing {
            Standing::Carp(interval) => {
                let longer = match handicap.held {
                    true => self.standing.held().skew_time(self.policy.skew, learned),
                    false => Duration::ZERO,
                };
                interval.active_down(self.policy.dead_factor) + longer
            }
            Standing::Vrrp { .. } => {
                learned * self.policy.dead_factor + self.skew_time(handicap, learned)
            }
        }
    }

    /// How long a backup waits for another one after a resignation, where it does not take over at once.
    pub(crate) fn skew_time(&self, handicap: Handicap, learned: Duration) -> Duration {
        self.advertised(handicap).skew_time(self.policy.skew, learned)
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
