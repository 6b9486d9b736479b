//! The Internet checksum (RFC 1071).

/// The checksum of `bytes`: the complement of the ones' complement sum of its 16-bit words. An odd
/// last byte counts as the high half of a word.
///
/// Over a message that contains its own, correct checksum the result is 0.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut words = bytes.chunks_exact(2);
    let mut sum: u64 =
        words.by_ref().map(|word| u64::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    if let [last] = words.remainder() {
        sum = sum.saturating_add(u64::from(u16::from_be_bytes([*last, 0])));
    }
    !fold(sum)
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
}
