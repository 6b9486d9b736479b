//! Chance, from a seed.

use core::fmt;
use core::time::Duration;

/// How likely something is: parts of a million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chance(u32);

impl Chance {
    /// It never happens.
    pub const NEVER: Self = Self(0);

    /// It happens every time.
    pub const ALWAYS: Self = Self(1_000_000);

    /// So many parts of a million; more than a million counts as that.
    #[must_use]
    pub const fn per_million(parts: u32) -> Self {
        if parts > Self::ALWAYS.0 { Self::ALWAYS } else { Self(parts) }
    }

    /// So many parts of a hundred; more than a hundred counts as that.
    #[must_use]
    pub const fn percent(parts: u32) -> Self {
        Self::per_million(parts.saturating_mul(10_000))
    }

    /// The parts of a million.
    #[must_use]
    pub const fn parts(self) -> u32 {
        self.0
    }
}

/// In percent, as `12.5%`.
impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 10_000, self.0 % 10_000);
        if part == 0 {
            return write!(f, "{whole}%");
        }
        let mut digits = 4;
        let mut part = part;
        while part.is_multiple_of(10) {
            part /= 10;
            digits -= 1;
        }
        write!(f, "{whole}.{part:0digits$}%")
    }
}

/// Numbers that look random and depend on nothing but the seed: `SplitMix64`.
///
/// The same on every machine, and for ever: recordings rest on it.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to one less than `limit`; 0 if that is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(limit);
        u64::try_from(product >> u64::BITS).unwrap_or(0)
    }

    /// Whether something of this chance happens.
    pub fn happens(&mut self, chance: Chance) -> bool {
        match chance {
            Chance::NEVER => false,
            Chance::ALWAYS => true,
            Chance(parts) => self.below(Chance::ALWAYS.0.into()) < parts.into(),
        }
    }

    /// A time of up to `most`, in nanoseconds.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn the_numbers_of_a_seed_never_change() {
        let mut random = Random::new(0);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        // The published first outputs of SplitMix64.
        assert_eq!(numbers, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    #[test]
    fn chances_are_met_and_print_as_percent() {
        let mut random = Random::new(1);
        let met = (0..100_000).filter(|_| random.happens(Chance::percent(20))).count();
        assert!((19_500..20_500).contains(&met), "{met}");
        let text = [(200_000, "20%"), (125_000, "12.5%"), (1, "0.0001%"), (10, "0.001%")];
        for (parts, percent) in text {
            assert_eq!(Chance::per_million(parts).to_string(), percent);
        }
    }

    #[test]
    fn numbers_stay_in_their_range() {
        let mut random = Random::new(2);
        assert_eq!(random.below(0), 0);
        for _ in 0..1000 {
            assert!(random.up_to(Duration::from_nanos(2)) <= Duration::from_nanos(2));
        }
    }
}
