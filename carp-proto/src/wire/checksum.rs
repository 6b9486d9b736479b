//! The Internet checksum (RFC 1071), and the pseudo-header that some protocols put under it.

/// The checksum of `bytes`: the complement of the ones' complement sum of its 16-bit words. An odd
/// last byte counts as the high half of a word.
///
/// Over a message that contains its own, correct checksum the result is 0.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    Sum::default().add(bytes).checksum()
}

/// A ones' complement sum over bytes that do not lie together, such as a message and the
/// pseudo-header that is nowhere on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds a part. Only the last part may have an odd length.
    ///
    /// Words are taken by two: in a ones' complement sum of 16 bits the higher one counts as much.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (pairs, rest) = bytes.as_chunks();
        let sum: u64 = pairs.iter().map(|pair| u64::from(u32::from_be_bytes(*pair))).sum();
        let last = match rest {
            [a, b, c] => [*a, *b, *c, 0],
            [a, b] => [*a, *b, 0, 0],
            [a] => [*a, 0, 0, 0],
            _ => [0; 4],
        };
        self.join(Self(sum)).join(Self(u32::from_be_bytes(last).into()))
    }

    /// Adds what was summed elsewhere.
    pub(super) fn join(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The complement of the sum: what goes into the checksum field, and 0 over all that a right
    /// checksum covers.
    pub(super) fn checksum(self) -> u16 {
        !fold(self.0)
    }
}

/// The sum of the pseudo-header that RFC 8200 section 8.1 (IPv6) and RFC 9293 section 3.1 (IPv4) put
/// before a message: the octets of both addresses, the message's length, and its protocol number.
pub(super) fn pseudo_header(source: &[u8], destination: &[u8], len: usize, next: u8) -> Sum {
    // However many bytes a `usize` has, its words sum to the same.
    Sum::default().add(source).add(destination).add(&len.to_be_bytes()).add(&[0, next])
}

/// Adds the carries back in until 16 bits remain.
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum >> 16).saturating_add(sum & 0xffff),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_sums_to_ddf2() {
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }

    #[test]
    fn an_odd_last_byte_is_the_high_half_of_a_word() {
        assert_eq!(checksum(&[0x12, 0x34, 0x56]), checksum(&[0x12, 0x34, 0x56, 0x00]));
        assert_eq!(checksum(&[]), 0xffff);
    }

    #[test]
    fn long_inputs_fold_every_carry() {
        assert_eq!(checksum(&[0xff; 65_536]), 0);
    }

    #[test]
    fn parts_sum_to_the_same_as_the_whole() {
        let bytes: std::vec::Vec<u8> = (0..=254).collect();
        for cut in (0..bytes.len()).step_by(2) {
            let (head, tail) = bytes.split_at(cut);
            assert_eq!(Sum::default().add(head).add(tail).checksum(), checksum(&bytes), "{cut}");
        }
    }

    #[test]
    fn a_pseudo_header_sums_like_its_twelve_bytes() {
        let sum = pseudo_header(&[10, 0, 0, 1], &[224, 0, 0, 18], 0x0102, 112);
        assert_eq!(sum.checksum(), checksum(&[10, 0, 0, 1, 224, 0, 0, 18, 0, 112, 1, 2]));
    }
}
