//! What a scenario is chosen by: chance, or bytes.

use super::random::Random;

/// A source of choices.
pub(super) trait Choices {
    /// Any number.
    fn next(&mut self) -> u64;

    /// A number from 0 to one less than `limit`; 0 if that is 0.
    fn below(&mut self, limit: u64) -> u64;

    /// A number of a range, both ends included.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// One of them; `None` of none.
    fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let number = self.below(u64::try_from(choices.len()).unwrap_or(u64::MAX));
        choices.get(usize::try_from(number).ok()?)
    }
}

impl Choices for Random {
    fn next(&mut self) -> u64 {
        Self::next(self)
    }

    fn below(&mut self, limit: u64) -> u64 {
        Self::below(self, limit)
    }
}

/// Bytes, of which each choice takes as many as its limit needs; behind their end are zeros.
///
/// So a fuzzer that changes a byte changes a choice, and a property test that takes bytes away makes choices
/// simpler.
#[derive(Clone, Debug)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn byte(&mut self) -> u64 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        (*first).into()
    }
}

impl Choices for Bytes<'_> {
    fn next(&mut self) -> u64 {
        (0..8).fold(0, |number, _| number << 8 | self.byte())
    }

    fn below(&mut self, limit: u64) -> u64 {
        let (mut number, mut most) = (0, limit.saturating_sub(1));
        while most > 0 {
            number = number << 8 | self.byte();
            most >>= 8;
        }
        number.checked_rem(limit).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_stay_in_their_range() {
        let mut random = Random::new(2);
        for _ in 0..1000 {
            assert!((3..=5).contains(&random.between(3, 5)));
        }
        assert_eq!(random.pick::<u8>(&[]), None);
    }

    #[test]
    fn each_choice_takes_as_many_bytes_as_its_limit_needs() {
        let mut bytes = Bytes::new(&[7, 1, 2, 250, 9]);
        assert_eq!(bytes.below(1), 0, "nothing to choose");
        assert_eq!(bytes.below(0), 0);
        assert_eq!(bytes.below(256), 7);
        assert_eq!(bytes.below(257), 1, "258 of 257");
        assert_eq!(bytes.between(10, 19), 10, "250 of 10");
        assert_eq!(bytes.next(), 9 << 56);
        assert_eq!(bytes.below(100), 0, "they are at their end");
    }
}
