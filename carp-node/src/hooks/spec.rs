//! What is configured to run, and what it runs for.

use std::fmt;
use std::time::Duration;

use carp_proto::election::State;
use serde::{Deserialize, Serialize};

use crate::runner::Account;

/// The programs of one router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    /// Run when the router has become active: the addresses are there.
    pub active: Option<Vec<String>>,
    /// Run when it has become backup.
    pub backup: Option<Vec<String>>,
    /// Run when it takes no part any more.
    pub init: Option<Vec<String>>,
    /// Run before it takes the addresses. It vetoes the takeover by any exit code but 0.
    pub before_active: Option<Vec<String>>,
    /// How long each of them may run.
    pub timeout: Duration,
    /// Whom they run as; `None` for whoever started the daemon.
    pub account: Option<Account>,
}

impl HookSpec {
    /// The time limit unless another is configured.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// The program for a hook.
    #[must_use]
    pub fn argv(&self, on: HookOn) -> Option<&Vec<String>> {
        match on {
            HookOn::Active => self.active.as_ref(),
            HookOn::Backup => self.backup.as_ref(),
            HookOn::Init => self.init.as_ref(),
            HookOn::BeforeActive => self.before_active.as_ref(),
        }
    }
}

impl Default for HookSpec {
    fn default() -> Self {
        Self {
            active: None,
            backup: None,
            init: None,
            before_active: None,
            timeout: Self::TIMEOUT,
            account: None,
        }
    }
}

/// Which of a router's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOn {
    /// `on.active`
    Active,
    /// `on.backup`
    Backup,
    /// `on.init`
    Init,
    /// `on.before_active`
    BeforeActive,
}

impl HookOn {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Backup, Self::Init, Self::BeforeActive];

    /// The key in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Backup => "backup",
            Self::Init => "init",
            Self::BeforeActive => "before_active",
        }
    }

    /// The hook that a transition to this state runs.
    #[must_use]
    pub const fn state(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Backup => Self::Backup,
            State::Init => Self::Init,
        }
    }

    /// `CARP_STATE`: the state that the router has, or is about to have.
    pub(super) const fn carp_state(self) -> State {
        match self {
            Self::Active | Self::BeforeActive => State::Active,
            Self::Backup => State::Backup,
            Self::Init => State::Init,
        }
    }
}

impl fmt::Display for HookOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A router as its hooks know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRouter {
    /// `CARP_ROUTER`: the name in the configuration.
    pub name: String,
    /// `CARP_INTERFACE`
    pub interface: String,
    /// `CARP_ADDRESSES`, as configured: with their prefix lengths if those were written.
    pub addresses: Vec<String>,
    /// Its programs.
    pub spec: HookSpec,
}

/// Something that hooks run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEvent {
    /// The router's name.
    pub router: String,
    /// Which hook.
    pub on: HookOn,
    /// `CARP_PREVIOUS`
    pub previous: State,
    /// `CARP_CAUSE`: the label of the cause.
    pub cause: String,
    /// `CARP_SEQ`: the number of the event in `carp events`.
    pub seq: u64,
}
