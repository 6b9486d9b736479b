//! What a router says in its protocol, and what it understands: the parts of its configuration that
//! differ by protocol.

use alloc::vec::Vec;
use core::time::Duration;

use super::config::{Vrrp2, Vrrp3};
use crate::auth::{Authenticator, HmacMode};
use crate::election::{Dialect, Policy, Standing};
use crate::id::Protocol;
use crate::interval::CarpInterval;
use crate::wire::vrrp::{AddressList, Ipv4List};

/// A protocol and its settings.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a router has exactly one")]
pub(super) enum Speech {
    Carp(Carp),
    Vrrp2 { list: Ipv4List, settings: Vrrp2 },
    Vrrp3 { list: AddressList, settings: Vrrp3 },
}

/// What CARP needs.
#[derive(Clone, Debug)]
pub(super) struct Carp {
    pub(super) authenticator: Authenticator,
    /// Those of before a change, and for how long they are accepted.
    pub(super) previous: Vec<(Authenticator, Duration)>,
    pub(super) dialect: Dialect,
    pub(super) interval: CarpInterval,
    pub(super) counter_seed: u64,
}

impl Speech {
    pub(super) const fn protocol(&self) -> Protocol {
        match self {
            Self::Carp(_) => Protocol::Carp,
            Self::Vrrp2 { .. } => Protocol::Vrrp2,
            Self::Vrrp3 { .. } => Protocol::Vrrp3,
        }
    }

    pub(super) const fn policy(&self) -> &'static Policy {
        match self {
            Self::Carp(carp) => carp.dialect.policy(),
            Self::Vrrp2 { .. } => Policy::VRRP2,
            Self::Vrrp3 { .. } => Policy::VRRP3,
        }
    }

    pub(super) fn standing(&self) -> Standing {
        match self {
            Self::Carp(carp) => Standing::Carp(carp.interval),
            Self::Vrrp2 { settings, .. } => {
                Standing::Vrrp { priority: settings.priority, interval: settings.interval.advert() }
            }
            Self::Vrrp3 { settings, .. } => {
                Standing::Vrrp { priority: settings.priority, interval: settings.interval.advert() }
            }
        }
    }

    /// Whether adverts carry a signature.
    pub(super) const fn is_signed(&self) -> bool {
        match self {
            Self::Carp(_) | Self::Vrrp2 { .. } => false,
            Self::Vrrp3 { settings, .. } => settings.hmac.is_some(),
        }
    }

    /// Whether only the holders of a key are heard.
    pub(super) fn is_authenticated(&self) -> bool {
        match self {
            Self::Carp(_) => true,
            // Everybody who has heard one advert knows the password.
            Self::Vrrp2 { .. } => false,
            Self::Vrrp3 { settings, .. } => {
                settings.hmac.as_ref().is_some_and(|hmac| hmac.mode() == HmacMode::Enforce)
            }
        }
    }
}
