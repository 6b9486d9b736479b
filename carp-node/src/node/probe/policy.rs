//! What to do about an address that somebody else has.

use std::fmt;

/// What to do if another host, which is no router of the id, has one of the addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Duplicate {
    /// Say so, and take over all the same.
    #[default]
    Report,
    /// Say so, and let it keep them: the router does not take over from silence while the host answers.
    Veto,
}

impl Duplicate {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Report, Self::Veto];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Veto => "veto",
        }
    }
}

impl fmt::Display for Duplicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
