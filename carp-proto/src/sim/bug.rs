//! Faults of a program, planted so that a test shows that they are found.

/// Something that a host does wrong. An oracle that does not see it is worth nothing, so
/// every one of these is planted by a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Bug {
    /// Giving addresses back does nothing.
    KeepsAddresses,
    /// The addresses are taken, but the router is never told.
    ForgetsToReport,
    /// The addresses are there from the start of the daemon on.
    TakesAddressesAtOnce,
    /// The router never hears an advert of a better one.
    IgnoresBetter,
    /// A router that has been active for about a minute, which is when a hold ends, hears no advert of a better one for
    /// some seconds.
    IgnoresBetterAfterAMinute,
    /// Taking the addresses lasts more than half a second longer than it should.
    TakesAddressesLate,
    /// A backup says that it is active whenever it hears an advert.
    SpeaksAsBackup,
    /// Deadlines pass, and nobody tells the router.
    NeverWakes,
    /// The router's clock stands still while it does not run.
    StoppedClock,
    /// The kernel never drops an address whose lease is over.
    EndlessLease,
    /// A resignation is never sent.
    LeavesInSilence,
    /// The second router of a group is not told what the group wants of it.
    HalfAGroup,
    /// A rejected datagram is taken for an advert.
    BelievesEverything,
    /// Adverts come half as often as they should.
    SkipsAdverts,
    /// A router that leaves resigns whenever it hears or does something.
    NeverStopsResigning,
    /// The router never hears a resignation.
    IgnoresResignations,
    /// A deadline is put off by nothing: it comes again and again.
    SpinsOnDeadlines,
    /// A backup takes its link for replugged with every advert, and begins anew.
    Rejoins,
    /// The daemon runs without preemption, whatever is configured.
    NeverPreempts,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::KeepsAddresses,
        Self::ForgetsToReport,
        Self::TakesAddressesAtOnce,
        Self::IgnoresBetter,
        Self::IgnoresBetterAfterAMinute,
        Self::TakesAddressesLate,
        Self::SpeaksAsBackup,
        Self::NeverWakes,
        Self::StoppedClock,
        Self::EndlessLease,
        Self::LeavesInSilence,
        Self::HalfAGroup,
        Self::BelievesEverything,
        Self::SkipsAdverts,
        Self::NeverStopsResigning,
        Self::IgnoresResignations,
        Self::SpinsOnDeadlines,
        Self::Rejoins,
        Self::NeverPreempts,
    ];
}
