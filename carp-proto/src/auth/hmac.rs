//! keepalived's `auth_hmac` for VRRP version 3: who signs, what is verified, and what is accepted.
//!
//! ```text
//! tag = first 16 bytes of HMAC-SHA-256(key, P | M)
//! P   = family (4 or 6) | version | vrid | 0 | source address, zero-padded to 16 bytes
//! M   = VRRP message, its checksum as zero | trailer, its tag as zero
//! ```
//!
//! The tag covers priority, interval, addresses, the sender and the time. It covers neither the
//! destination, nor the checksum, which a kernel may fill in after the signature. The order of checks
//! is: shape, key, window, tag, repetition. The window comes before the tag because it is cheap, and it
//! can only refuse. Nothing is remembered of an advert whose tag is wrong.
//!
//! The bytes are those of keepalived since 2.4.2; the tests have two tags that were computed by others.
//! Two things are ours, because neither changes a byte: how many senders have a mark, and that a mark
//! belongs to a source address also where peers are configured. Nothing is stored: after a restart
//! the sender's clock has to be ahead of where it was.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use thiserror::Error;

use super::hmac_key::{HmacKey, Parts};
use super::replay::{AntiReplay, Marks};
use crate::reject::Reject;
#[cfg(any(feature = "proptest", feature = "arbitrary"))]
use crate::wire::vrrp::trailer;
use crate::wire::vrrp::trailer::{EXTENSION_SHA256, TAG_LEN};
use crate::wire::vrrp::v3::Outgoing;
use crate::wire::vrrp::{Sequence, Signed, Trailer};

/// What a router does with signatures. The first two lead, node by node, to the third, without an
/// advert lost on the way: first all can verify, then all sign, then all insist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacMode {
    /// Sends unsigned adverts, and accepts them; keepalived calls it `receive-only`.
    Receive,
    /// Signs, and accepts unsigned adverts.
    Permissive,
    /// Signs, and accepts nothing else.
    Enforce,
}

impl HmacMode {
    /// Whether our own adverts are signed.
    #[must_use]
    pub const fn signs(self) -> bool {
        match self {
            Self::Receive => false,
            Self::Permissive | Self::Enforce => true,
        }
    }

    /// Whether an advert may be acted on. In no mode is a signature that is there and not good.
    ///
    /// # Errors
    /// [`Reject::BadAuthentication`] if it may not.
    pub const fn decide(self, verdict: Verdict) -> Result<(), Reject> {
        match (self, verdict) {
            (_, Verdict::Verified) | (Self::Receive | Self::Permissive, Verdict::Unsigned) => {
                Ok(())
            }
            (Self::Enforce, Verdict::Unsigned)
            | (
                Self::Receive | Self::Permissive | Self::Enforce,
                Verdict::Malformed
                | Verdict::UnknownKey { .. }
                | Verdict::Stale { .. }
                | Verdict::Forged
                | Verdict::Repeated,
            ) => Err(Reject::BadAuthentication),
        }
    }
}

/// What a signature is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Verdict {
    /// A holder of the key signed this advert for this router, and it is a new one.
    #[error("the signature is good")]
    Verified,
    /// There is none.
    #[error("the advert is not signed")]
    Unsigned,
    /// Another extension, or reserved bits that are not zero.
    #[error("the trailer is not one of HMAC-SHA-256")]
    Malformed,
    /// A key that we do not have.
    #[error("we have no key {found}")]
    UnknownKey {
        /// The key's number.
        found: u8,
    },
    /// Too old or too new. This says nothing about who signed it: the clocks may differ.
    #[error("it was signed {seconds} s away from our time: an old advert, or a wrong clock")]
    Stale {
        /// How far its time is from ours.
        seconds: u64,
    },
    /// The tag is wrong: another key under this number, or somebody without one.
    #[error("the signature is wrong: another key under the same number, or a forgery")]
    Forged,
    /// Not after what this sender signed before.
    #[error("the sender has signed this or a later advert before: a repetition")]
    Repeated,
}

/// Signs and verifies the adverts of one virtual router.
///
/// Time is passed in, as the time since the Unix epoch (UTC): unlike elections, signatures have to do
/// with the time of day.
#[derive(Clone)]
pub struct HmacAuthenticator {
    keys: Vec<HmacKey>,
    /// The index of the key that signs.
    active: usize,
    mode: HmacMode,
    anti_replay: AntiReplay,
    last: Option<Sequence>,
    marks: Marks,
}

impl HmacAuthenticator {
    /// An authenticator that verifies with each of `keys`, by its number, and signs with the one that
    /// `active` names.
    ///
    /// A key is replaced in three rounds over all members: add the new one, make it the active one,
    /// remove the old one.
    ///
    /// # Errors
    /// [`HmacError`] if two keys have the same number, or none has the number `active`.
    pub fn new(
        keys: Vec<HmacKey>,
        active: u8,
        mode: HmacMode,
        anti_replay: AntiReplay,
    ) -> Result<Self, HmacError> {
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|earlier| earlier.id() == key.id()) {
                return Err(HmacError::Duplicate { id: key.id() });
            }
        }
        let position = keys.iter().position(|key| key.id() == active);
        let active = position.ok_or(HmacError::NoActive { id: active })?;
        Ok(Self { keys, active, mode, anti_replay, last: None, marks: Marks::default() })
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> HmacMode {
        self.mode
    }

    /// The trailer of an advert that is sent at `since_epoch`; `None` in [`HmacMode::Receive`].
    ///
    /// Copies of one advert to several peers carry the same trailer.
    pub fn sign(&mut self, since_epoch: Duration, advert: &Outgoing<'_>) -> Option<Trailer> {
        let trailer = self.draft(since_epoch, advert)?;
        self.note_signed(trailer.sequence);
        Some(trailer)
    }

    /// The trailer that [`sign`](Self::sign) would make.
    pub(crate) fn draft(&self, since_epoch: Duration, advert: &Outgoing<'_>) -> Option<Trailer> {
        if !self.mode.signs() {
            return None;
        }
        let key = self.keys.get(self.active)?;
        let sequence = self.anti_replay.next(Sequence::at(since_epoch), self.last);
        let mut trailer = Trailer {
            extension: EXTENSION_SHA256,
            key_id: key.id(),
            reserved: 0,
            sequence,
            tag: [0; TAG_LEN],
        };
        let parts = Parts {
            header: &advert.header(),
            addresses: advert.carrier.addresses().as_bytes(),
            prefix: &trailer.prefix(),
        };
        trailer.tag = key.tag(advert.carrier.source(), &parts);
        Some(trailer)
    }

    /// Makes the tag of a signed message right, whatever else is in it, if it is long enough to be one.
    #[cfg(any(feature = "proptest", feature = "arbitrary"))]
    pub(crate) fn sign_again(&self, source: IpAddr, message: &mut [u8]) {
        let Some(key) = self.keys.get(self.active) else { return };
        let Some((signed, tag)) = message.split_last_chunk_mut::<TAG_LEN>() else { return };
        let Some((message, prefix)) = signed.split_last_chunk::<{ trailer::LEN - TAG_LEN }>()
        else {
            return;
        };
        let Some((header, addresses)) = message.split_first_chunk() else { return };
        *tag = key.tag(source, &Parts { header, addresses, prefix });
    }

    /// Notes what was sent, so that the next sequence is a later one.
    pub(crate) fn note_signed(&mut self, sequence: Sequence) {
        self.last = Some(sequence);
    }

    /// What the signature of an advert from `source`, received at `since_epoch`, is worth.
    ///
    /// What is verified is remembered, so that it is [`Verdict::Repeated`] the next time; nothing else
    /// changes anything. To act on the verdict, ask [`HmacMode::decide`].
    pub fn verify(
        &mut self,
        since_epoch: Duration,
        source: IpAddr,
        signed: Option<&Signed<'_>>,
    ) -> Verdict {
        let Some(Signed { message, trailer }) = signed else { return Verdict::Unsigned };
        let Some((header, addresses)) = message.split_first_chunk() else {
            return Verdict::Malformed;
        };
        if trailer.extension != EXTENSION_SHA256 || trailer.reserved != 0 {
            return Verdict::Malformed;
        }
        let Some(key) = self.keys.iter().find(|key| key.id() == trailer.key_id) else {
            return Verdict::UnknownKey { found: trailer.key_id };
        };
        let now = Sequence::at(since_epoch);
        if self.anti_replay.is_stale(now, trailer.sequence) {
            return Verdict::Stale { seconds: now.seconds_apart(trailer.sequence) };
        }
        let parts = Parts { header, addresses, prefix: &trailer.prefix() };
        if !key.verify(source, &parts, &trailer.tag) {
            return Verdict::Forged;
        }
        if self.marks.advance(self.anti_replay, now, source, trailer.sequence) {
            Verdict::Verified
        } else {
            Verdict::Repeated
        }
    }
}

impl fmt::Debug for HmacAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacAuthenticator")
            .field("keys", &self.keys)
            .field("mode", &self.mode)
            .field("anti_replay", &self.anti_replay)
            .finish_non_exhaustive()
    }
}

/// Why keys do not make an authenticator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HmacError {
    /// Two keys with the same number.
    #[error("there are two keys {id}: every key needs a number of its own")]
    Duplicate {
        /// The number.
        id: u8,
    },
    /// No key to sign with.
    #[error("there is no key {id} to sign with: give it, or name another one as active")]
    NoActive {
        /// The number of the active key.
        id: u8,
    },
}
