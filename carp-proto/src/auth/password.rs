//! RFC 2338's simple password, which keeps out mistakes and nobody else.

use core::fmt;

use thiserror::Error;
use zeroize::Zeroizing;

/// The simple password of VRRP version 2: 1 to 8 bytes, padded with NULs (RFC 2338 section 5.3.6.2).
///
/// It stands in every advert, so whoever hears one knows it. The memory is wiped when the password is
/// dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Password(Zeroizing<[u8; Self::MAX_LEN]>);

impl Password {
    /// The length of the field.
    pub const MAX_LEN: usize = 8;

    /// A password from its bytes.
    ///
    /// # Errors
    /// [`PasswordError`] if there is none, if there are more than [`Password::MAX_LEN`], which
    /// keepalived would cut silently, or if one of them is NUL, which is the padding.
    pub fn new(bytes: &[u8]) -> Result<Self, PasswordError> {
        if bytes.is_empty() {
            return Err(PasswordError::Empty);
        }
        if bytes.contains(&0) {
            return Err(PasswordError::Nul);
        }
        let mut padded = Zeroizing::new([0; Self::MAX_LEN]);
        let field =
            padded.get_mut(..bytes.len()).ok_or(PasswordError::TooLong { found: bytes.len() })?;
        field.copy_from_slice(bytes);
        Ok(Self(padded))
    }

    /// Whether this is the password in an advert. The time that it takes does not depend on where the
    /// two differ: all eight bytes are compared as one number.
    #[must_use]
    pub fn matches(&self, auth_data: &[u8; Self::MAX_LEN]) -> bool {
        let difference = u64::from_ne_bytes(*self.0) ^ u64::from_ne_bytes(*auth_data);
        core::hint::black_box(difference) == 0
    }

    /// Whether two passwords are the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.matches(other.as_wire())
    }

    pub(crate) fn as_wire(&self) -> &[u8; Self::MAX_LEN] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Why bytes cannot be a password of VRRP version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PasswordError {
    /// No bytes at all.
    #[error("the password is empty: it has 1 to 8 bytes")]
    Empty,
    /// More bytes than the field has.
    #[error("the password has {found} bytes: at most 8 fit (keepalived cuts longer ones to 8)")]
    TooLong {
        /// The bytes given.
        found: usize,
    },
    /// A NUL byte, which pads shorter passwords.
    #[error("the password has a NUL byte, which pads passwords on the wire: leave it out")]
    Nul,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_padded_with_nuls() {
        let password = Password::new(b"s3cr3t").unwrap();
        assert!(password.matches(b"s3cr3t\0\0"));
        for bit in 0..64 {
            let mut other = *b"s3cr3t\0\0";
            other[bit / 8] ^= 0x80 >> (bit % 8);
            assert!(!password.matches(&other), "bit {bit}");
        }
        assert!(password.is_same(&Password::new(b"s3cr3t").unwrap()));
        assert!(!password.is_same(&Password::new(b"s3cr3").unwrap()));
    }

    #[test]
    fn a_password_has_1_to_8_bytes_that_are_not_nul() {
        assert!(Password::new(b"12345678").unwrap().matches(b"12345678"));
        let error = |bytes| Password::new(bytes).unwrap_err();
        assert_eq!(error(b""), PasswordError::Empty);
        assert_eq!(error(b"123456789"), PasswordError::TooLong { found: 9 });
        assert_eq!(error(b"a\0b"), PasswordError::Nul);
    }

    #[test]
    fn debug_does_not_show_it() {
        let shown = std::format!("{:?}", Password::new(b"love").unwrap());
        assert_eq!(shown, "Password(..)");
    }
}
