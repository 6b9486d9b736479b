//! Who may take part: what the protocols do to tell a member from a stranger.
//!
//! | protocol | proof | module |
//! |---|---|---|
//! | CARP | HMAC-SHA-1 over id, addresses and a counter | [`Key`], [`Authenticator`] |
//! | VRRP version 2 | a password that everybody on the link can read (RFC 2338) | [`Password`] |
//! | VRRP version 3 | none in RFC 9568; keepalived's HMAC-SHA-256 trailer | [`HmacKey`], [`HmacAuthenticator`] |

mod carp;
mod hmac;
mod hmac_key;
mod password;
mod replay;

pub use carp::{Authenticator, Key, KeyError};
pub use hmac::{HmacAuthenticator, HmacError, HmacMode, Verdict};
pub use hmac_key::{HmacKey, HmacKeyError};
pub use password::{Password, PasswordError};
pub use replay::{AntiReplay, Window, WindowError};
