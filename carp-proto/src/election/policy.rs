//! Where protocols and implementations differ: one table, a row each.
//!
//! The election has no `if openbsd` and no `if vrrp`. What a row says is in `docs/election.md` with its
//! sources.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use super::rank::TieBreak;

/// How one protocol, or one dialect of CARP, elects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// What decides between equal ranks.
    pub tie: TieBreak,
    /// Missed adverts after which an active router counts as dead: the factor of advbase, or of VRRP's
    /// interval, in the active-down interval.
    pub dead_factor: u32,
    /// What a backup waits for beyond that, and after VRRP's resignation.
    pub skew: SkewTime,
    /// Whether a backup reckons with the interval of the active router (RFC 9568 section 6.1) or with
    /// its own.
    pub learns_interval: bool,
    /// What a backup does that hears the active router resign.
    pub resignation: Resignation,
    /// What an active router does that hears another one resign.
    pub resigned_while_active: ResignedWhileActive,
    /// What an address owner does that hears another one.
    pub owner: OwnerRule,
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

/// What the skew time is, by which the best of several backups is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkewTime {
    /// advskew/256 s.
    Configured,
    /// (256 - priority)/256 s (RFC 3768 section 6.1).
    OfSecond,
    /// (256 - priority)/256 of the active router's interval (RFC 9568 section 6.1).
    OfInterval,
}

/// How a backup takes over from an active router that resigns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resignation {
    /// At once: each of several backups does, and the worse ones give up again.
    AtOnce,
    /// After its skew time, so that the best one is the first (RFC 9568 section 6.4.2).
    AfterSkew,
}

/// What an active router does that hears another one resign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResignedWhileActive {
    /// Nothing.
    Nothing,
    /// Advertises at once (RFC 9568 section 6.4.3), so that no backup takes over.
    Advertise,
}

/// What an address owner, whose priority is 255, does with the adverts of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OwnerRule {
    /// It elects like any other (RFC 9568 section 7.1 with erratum 8298), so that two owners settle.
    Elects,
    /// It does not act on adverts (RFC 3768 section 7.1): two owners stay, and each tells of the other.
    Stays,
}

/// What a [`Demotion`](crate::Demotion) changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DemotionEffect {
    /// It is added to advskew, up to 240. A configured advskew above 240 stays as it is.
    Skew,
    /// It is sent as the demotion byte, which counts before the interval.
    Byte,
    /// It is subtracted from the priority, down to 1. That of an owner stays.
    Priority,
}

/// Whether an active router that yields sends one last advert of its own rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Farewell {
    /// It does: the one that stays hears a worse router and announces its addresses again.
    Advert,
    /// It falls silent.
    Silent,
}

/// What an active router does that hears a worse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorseWhileActive {
    /// Announces the addresses again, because clients may have learnt the other's.
    Announce,
    /// Advertises at once (RFC 9568 section 6.4.3), and announces.
    AdvertiseAndAnnounce,
}

/// How a backup that may preempt takes over from a worse active router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preemption {
    /// When it hears an advert of the worse one.
    AtOnce,
    /// It does not count such adverts, so that its active-down timer runs out
    /// (RFC 9568 section 6.4.2).
    BySilence,
}

/// What the 64-bit counter of CARP is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CounterRule {
    /// Starts at random, grows by one an advert, and follows the counter of valid peers, so that the
    /// group shares it (ucarp, FreeBSD).
    Shared,
    /// One random value for ever; an advert that carries our own is an echo (OpenBSD).
    Cookie,
    /// There is none (VRRP).
    None,
}

/// A row of the table for CARP, by name.
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
    skew: SkewTime::Configured,
    learns_interval: false,
    resignation: Resignation::AtOnce,
    resigned_while_active: ResignedWhileActive::Nothing,
    owner: OwnerRule::Elects,
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

const VRRP2: Policy = Policy {
    tie: TieBreak::HigherAddressStays,
    skew: SkewTime::OfSecond,
    resignation: Resignation::AfterSkew,
    resigned_while_active: ResignedWhileActive::Advertise,
    owner: OwnerRule::Stays,
    demotion: DemotionEffect::Priority,
    preemption: Preemption::BySilence,
    takes_over_slow: false,
    counter: CounterRule::None,
    zero_base: false,
    ..NATIVE
};

const VRRP3: Policy = Policy {
    skew: SkewTime::OfInterval,
    learns_interval: true,
    owner: OwnerRule::Elects,
    worse_while_active: WorseWhileActive::AdvertiseAndAnnounce,
    ..VRRP2
};

impl Policy {
    /// VRRP version 2 (RFC 3768).
    pub const VRRP2: &'static Self = &VRRP2;

    /// VRRP version 3 (RFC 9568).
    pub const VRRP3: &'static Self = &VRRP3;
}

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
#[non_exhaustive]
pub struct UnknownDialect;
