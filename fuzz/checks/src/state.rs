//! Reading a file of the state directory is total: what is read has its checksum, and is written as it was.

use carp_node::state::{sealed, unsealed};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    if let Ok(content) = unsealed(input) {
        assert_eq!(sealed(content).as_bytes(), input);
    }
    // Half of all: what a fuzzer does not guess is the checksum.
    let Ok(content) = str::from_utf8(input) else { return };
    let file = sealed(content);
    match unsealed(file.as_bytes()) {
        Ok(read) => assert_eq!(read, content),
        Err(_) => assert!(file.len() > 1 << 20, "it is too long"),
    }
    // Any byte that is another one is noticed.
    let mut damaged = file.into_bytes();
    let place = input.first().map_or(0, |byte| usize::from(*byte) % damaged.len());
    damaged[place] ^= 1;
    assert!(unsealed(&damaged).is_err(), "byte {place}");
}
