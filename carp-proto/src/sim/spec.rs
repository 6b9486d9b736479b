//! A router in words that a file can hold: everything that an election depends on, and no secret.

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use crate::address::VirtualAddress;
use crate::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Key, Window};
use crate::election::{AnnouncePlan, Dialect};
use crate::id::{Priority, VirtualId};
use crate::interval::{AdvBase, AdvSkew, Centiseconds, Seconds};
use crate::router::{ConfigError, RouterConfig, Vrrp2, Vrrp3};

/// The secrets of all simulated routers: they protect nothing.
const KEY: &[u8] = b"simulation";
const HMAC_KEY: [u8; 32] = [7; 32];
const HMAC_KEY_ID: u8 = 1;
const HMAC_WINDOW: i64 = 5;

/// A router to simulate. A [`RouterConfig`] is made of it, with a key of the simulator's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The id.
    pub id: VirtualId,
    /// The protocol, and how good the router is in it.
    pub speech: SpecSpeech,
    /// The addresses.
    pub addresses: Vec<VirtualAddress>,
    /// Whether it preempts.
    pub preempt: bool,
    /// How long a worse active router has to be heard before that.
    pub preempt_delay: Duration,
    /// The handover window; `None` for the default.
    pub handover: Option<Duration>,
    /// Whom its adverts go to and who is heard; if there are none, the group.
    pub peers: Vec<IpAddr>,
    /// When it announces.
    pub announce: AnnouncePlan,
}

/// A protocol, and a standing in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecSpeech {
    /// CARP.
    Carp {
        /// The dialect.
        dialect: Dialect,
        /// Whole seconds.
        advbase: AdvBase,
        /// 1/256 s.
        advskew: AdvSkew,
    },
    /// VRRP version 2.
    Vrrp2 {
        /// 1 to 255.
        priority: Priority,
        /// Whole seconds.
        interval: Seconds,
    },
    /// VRRP version 3.
    Vrrp3 {
        /// 1 to 255.
        priority: Priority,
        /// 10 ms and more.
        interval: Centiseconds,
        /// Whether adverts carry keepalived's signature, and others are refused.
        signed: bool,
    },
}

impl Spec {
    /// A router with this speech: id 1, no preemption in CARP and preemption in VRRP, everything else as by
    /// default.
    #[must_use]
    pub fn new(speech: SpecSpeech, addresses: Vec<VirtualAddress>) -> Self {
        let preempt = match speech {
            SpecSpeech::Carp { .. } => false,
            SpecSpeech::Vrrp2 { .. } | SpecSpeech::Vrrp3 { .. } => true,
        };
        Self {
            id: VirtualId::new(1).expect("1 is an id"),
            speech,
            addresses,
            preempt,
            preempt_delay: Duration::ZERO,
            handover: None,
            peers: Vec::new(),
            announce: AnnouncePlan::default(),
        }
    }

    /// The configuration. `seed` is the first CARP counter, and what jitter is drawn from.
    ///
    /// # Errors
    /// [`ConfigError`] if the parts do not fit together.
    pub fn config(&self, seed: u64) -> Result<RouterConfig, ConfigError> {
        let addresses = self.addresses.clone();
        let config = match self.speech {
            SpecSpeech::Carp { dialect, advbase, advskew } => {
                let key = Key::new(KEY).expect("ten bytes are a key");
                RouterConfig::carp(self.id, &key, addresses, seed)?
                    .with_interval(dialect, advbase, advskew)?
            }
            SpecSpeech::Vrrp2 { priority, interval } => {
                let settings = Vrrp2 { priority, interval, password: None };
                RouterConfig::vrrp2(self.id, addresses, settings)?
            }
            SpecSpeech::Vrrp3 { priority, interval, signed } => {
                let hmac = signed.then(signer);
                let settings = Vrrp3 { priority, interval, hmac, ..Vrrp3::default() };
                RouterConfig::vrrp3(self.id, addresses, settings)?
            }
        };
        let config = config
            .with_preempt(self.preempt)
            .with_preempt_delay(self.preempt_delay)
            .with_announce(self.announce)
            .with_seed(seed);
        let config = match self.handover {
            Some(window) => config.with_handover(window),
            None => config,
        };
        if self.peers.is_empty() { Ok(config) } else { config.with_peers(self.peers.clone()) }
    }
}

fn signer() -> HmacAuthenticator {
    let key = HmacKey::new(HMAC_KEY_ID, &HMAC_KEY).expect("32 bytes are a key");
    let window = AntiReplay::Time(Window::new(HMAC_WINDOW).expect("five seconds are a window"));
    HmacAuthenticator::new(vec![key], HMAC_KEY_ID, HmacMode::Enforce, window)
        .expect("the only key is the active one")
}
