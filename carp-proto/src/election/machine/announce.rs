//! When a serving router announces its addresses again.

use core::time::Duration;

use crate::election::config::AnnouncePlan;
use crate::time::Instant;

/// A refresh more often than this would be a flood, and one without a pause a loop.
const LEAST_REFRESH: Duration = Duration::from_secs(1);

/// How far a refresh may be from its time, in either direction.
const JITTER_PERCENT: u32 = 10;

/// When the addresses are announced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnnounceTimer {
    /// What the repetitions count from.
    pub(super) reason_at: Instant,
    /// Which repetition is next.
    pub(super) next: usize,
    pub(super) last_at: Instant,
    /// How many there were since the addresses were taken.
    count: u64,
}

impl AnnounceTimer {
    pub(super) const fn new(now: Instant) -> Self {
        Self { reason_at: now, next: 0, last_at: now, count: 0 }
    }

    /// `seed` tells routers apart, so that they do not refresh all at once.
    pub(super) fn due_at(&self, plan: &AnnouncePlan, seed: u64) -> Option<Instant> {
        let repeat = plan.repeat.get(self.next).copied().flatten();
        let repeat_at = repeat.map(|after| self.reason_at + after);
        let every = plan.refresh.map(|every| every.max(LEAST_REFRESH));
        let refresh_at = every.map(|every| self.last_at + self.jittered(every, seed));
        [repeat_at, refresh_at].into_iter().flatten().min()
    }

    /// A time from 90 % to 110 % of this one: another after each announcement, and the same whenever it
    /// is asked for.
    fn jittered(&self, every: Duration, seed: u64) -> Duration {
        let bits = mix(seed ^ self.count);
        let part = u32::from(u16::from_le_bytes([bits.to_le_bytes()[0], bits.to_le_bytes()[1]]));
        let spread = every / (100 / (2 * JITTER_PERCENT));
        every.saturating_sub(spread / 2).saturating_add(spread / (1 << u16::BITS) * part)
    }

    /// Notes an announcement at `now`, which stands for every repetition that is due.
    pub(super) fn announced(&mut self, now: Instant, plan: &AnnouncePlan) {
        self.last_at = now;
        self.count = self.count.wrapping_add(1);
        while let Some(&Some(after)) = plan.repeat.get(self.next) {
            if self.reason_at + after > now {
                return;
            }
            self.next = self.next.saturating_add(1);
        }
    }
}

/// The finalizer of `SplitMix64`: every bit of the result depends on every bit of the input.
const fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mixing_is_that_of_split_mix_64() {
        // The first two numbers that it makes of the seed 0.
        let gamma: u64 = 0x9e37_79b9_7f4a_7c15;
        assert_eq!(mix(gamma), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(gamma.wrapping_mul(2)), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn each_refresh_comes_after_another_time() {
        let plan =
            AnnouncePlan { burst: 1, repeat: [None; 4], refresh: Some(Duration::from_secs(60)) };
        // Whatever bits the seed has.
        for seed in [0, u64::MAX] {
            let mut timer = AnnounceTimer::new(Instant::from_nanos(0));
            let mut times = [Duration::ZERO; 3].map(|_| {
                let due = timer.due_at(&plan, seed).unwrap();
                let time = due.saturating_since(timer.last_at);
                timer.announced(due, &plan);
                time
            });
            times.sort_unstable();
            assert!(times[0] < times[1] && times[1] < times[2], "{seed:x}: {times:?}");
        }
    }
}
