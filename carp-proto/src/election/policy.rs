//! Where implementations differ: one table, a row each.
//!
//! The election has no `if openbsd`. What a row says is in `docs/election.md` with its sources.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use super::rank::TieBreak;

/// How one protocol dialect elects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What decides between equal ranks.
    pub tie: TieBreak,
    /// Missed adverts after which an active router counts as dead: the factor of advbase in the
    /// active-down interval.
    pub dead_factor: u32,
    /// What demotion changes in the own rank.
    pub demotion: DemotionEffect,
    /// What an active router does that yields to a strictly better one. Never done on a tie.
    pub farewell: Farewell,
    /// What an active router does that hears a worse one.
    pub worse_while_active: WorseWhileActive,
    /// What a backup does that hears a worse active one and may preempt.
    pub preemption: Preemption,
    /// Whether a backup takes over from an active router whose adverts come less often than the
    /// backup would wait for one.
    pub takes_over_slow: bool,
    /// How adverts are counted.
    pub counter: CounterRule,
    /// Whether an advbase of zero has a meaning.
    pub zero_base: bool,
}

/// What a [`Demotion`](crate::Demotion) changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemotionEffect {
    /// It is added to advskew, up to 240. A configured advskew above 240 stays as it is.
    Skew,
    /// It is sent as the demotion byte, which counts before the interval.
    Byte,
}

/// Whether an active router that yields sends one last advert of its own rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// It does: the one that stays hears a worse router and announces its addresses again.
    Advert,
    /// It falls silent.
    Silent,
}

/// What an active router does that hears a worse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorseWhileActive {
    /// Announces the addresses again, because clients may have learnt the other's.
    Announce,
    /// Advertises at once (RFC 9568 section 6.4.3), and announces.
    AdvertiseAndAnnounce,
}

/// How a backup that may preempt takes over from a worse active router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// When it hears an advert of the worse one.
    AtOnce,
    /// It does not count such adverts, so that its active-down timer runs out
    /// (RFC 9568 section 6.4.2).
    BySilence,
}

/// What the 64-bit counter of CARP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterRule {
    /// Starts at random, grows by one an advert, and follows the counter of valid peers, so that the
    /// group shares it (ucarp, FreeBSD).
    Shared,
    /// One random value for ever; an advert that carries our own is an echo (OpenBSD).
    Cookie,
}

/// A row of the table, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Ours: ties have exactly one winner. Elects with all the others as long as no two routers have
    /// equal ranks.
    #[default]
    Native,
    /// OpenBSD's `ip_carp.c`.
    OpenBsd,
    /// FreeBSD's `ip_carp.c`.
    FreeBsd,
    /// ucarp 1.5.2.
    Ucarp,
}

const NATIVE: Policy = Policy {
    tie: TieBreak::LowerAddressStays,
    dead_factor: 3,
    demotion: DemotionEffect::Skew,
    farewell: Farewell::Advert,
    worse_while_active: WorseWhileActive::Announce,
    preemption: Preemption::AtOnce,
    takes_over_slow: true,
    counter: CounterRule::Shared,
    zero_base: true,
};

const OPENBSD: Policy = Policy {
    tie: TieBreak::HearerYields,
    demotion: DemotionEffect::Byte,
    farewell: Farewell::Silent,
    counter: CounterRule::Cookie,
    ..NATIVE
};

const FREEBSD: Policy =
    Policy { tie: TieBreak::HearerYields, farewell: Farewell::Silent, zero_base: false, ..NATIVE };

const UCARP: Policy = Policy { tie: TieBreak::UcarpAddressStays, zero_base: false, ..NATIVE };

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 4] = [Self::Native, Self::OpenBsd, Self::FreeBsd, Self::Ucarp];

    /// The row.
    #[must_use]
    pub const fn policy(self) -> &'static Policy {
        match self {
            Self::Native => &NATIVE,
            Self::OpenBsd => &OPENBSD,
            Self::FreeBsd => &FREEBSD,
            Self::Ucarp => &UCARP,
        }
    }

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::OpenBsd => "openbsd",
            Self::FreeBsd => "freebsd",
            Self::Ucarp => "ucarp",
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;

    fn from_str(name: &str) -> Result<Self, UnknownDialect> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name).ok_or(UnknownDialect)
    }
}

/// A name that is no dialect's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a dialect: it is one of native, openbsd, freebsd, ucarp")]
pub struct UnknownDialect;
