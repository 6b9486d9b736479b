//! Paths as text, since JSON and terminals have no bytes.
//!
//! What is UTF-8 stands for itself, except for control characters and the backslash; every other byte is
//! `\x` and two hexadecimal digits.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A path as text, without loss.
#[must_use]
pub fn to_text(path: &Path) -> String {
    let mut text = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\x5c"),
                c if c.is_control() => c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\\x{byte:02x}");
                }),
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            // Writing to a string does not fail.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The path of a text; `None` if there is a backslash that begins no byte.
#[must_use]
pub fn from_text(text: &str) -> Option<PathBuf> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut left = text.as_bytes();
    while let Some((&first, more)) = left.split_first() {
        left = more;
        if first != b'\\' {
            bytes.push(first);
            continue;
        }
        let (digits, more) = left.strip_prefix(b"x")?.split_at_checked(2)?;
        let value = |digit: &u8| char::from(*digit).to_digit(16).and_then(|v| u8::try_from(v).ok());
        let [high, low] = digits else { return None };
        bytes.push(value(high)? << 4 | value(low)?);
        left = more;
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}
