//! What an election is told.

use core::fmt;
use core::net::IpAddr;

use crate::id::Demotion;

/// Something that happened, other than the arrival of an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Take part. A router does nothing before. Said while a [`Stop`](Self::Stop) still hands over, it
    /// turns the stop into a [`Yield`](Self::Yield).
    Start,
    /// Hand over and stop. The router is done when its state is [`State::Init`](super::State::Init)
    /// again.
    Stop,
    /// The [deadline](super::Deadline) may have passed. Early and repeated calls do nothing.
    Timeout,
    /// The operator wants another router to take over.
    Yield,
    /// Whether the router may become active, which it may until it is told otherwise. One that may not
    /// waits as a [willing](super::Posture::Willing) backup, and takes over when it may.
    ///
    /// A [`Group`](crate::Group) says this, so that its routers become active together.
    Permit(bool),
    /// Another router of its [`Group`](crate::Group) is no longer active: hand over as for a
    /// [`Yield`](Self::Yield), with [`Cause::Group`](super::Cause::Group).
    StepDown,
    /// The sum of all present faults has become this.
    Demotion(Demotion),
    /// Whether this router's data are behind those of others, or may be, so that it should be active only
    /// if nobody else is. A router is not held until it is told so.
    ///
    /// One that is held does not preempt, not even as an owner, and waits longer for silence than the
    /// others do. If nobody else is there, it becomes active, and its adverts say that every other router
    /// is better: advskew 240 in CARP, priority 1 in VRRP, but for an owner's 255.
    Held(bool),
    /// Whether this router waits for the active one to hand over to it, because its data are complete only
    /// then. It does not wait for that until it is told so.
    ///
    /// One that waits does not preempt, as one that is held. Otherwise it is as good as any: it takes over from
    /// silence and from a resignation as soon as the others would, and its adverts say what is configured.
    /// `false` says that the handover is ready: who may preempt does so now, without waiting for the next advert
    /// of the router that it follows.
    AwaitsHandover(bool),
    /// What something outside of the election forbids a backup at present. Nothing, until it is told.
    ///
    /// A takeover that is forbidden is put off, which is told once, with [`Fault::Barred`]. It comes when
    /// it is allowed, unless an advert came meanwhile. A router that is active stays so.
    Bar(Bar),
    /// The link has become this.
    Link(LinkState),
    /// [`Action::Prepare`](crate::Action::Prepare) succeeded.
    Prepared,
    /// [`Action::Prepare`](crate::Action::Prepare) failed: something vetoes the takeover.
    Refused,
    /// [`Action::Acquire`](crate::Action::Acquire) is done: the addresses are there and announced.
    Acquired,
    /// Somebody removed one of our addresses.
    AddressLost,
    /// One of our addresses is gone because its lifetime was not renewed in time: nobody removed it.
    AddressExpired,
    /// A neighbour announced one of our addresses as its own.
    AnnouncementHeard,
    /// Another host, which is no router of this id, answers for one of our addresses, and is to keep it:
    /// the takeover that a backup waits for is put off by an active-down interval. Say it again in the next
    /// one, or the router takes over at its end. It does not concern an owner, nor a router that is active.
    AddressInUse,
    /// An effect failed.
    Fault(Fault),
}

/// What a backup may not do at present, for reasons that the election does not know. The later one includes
/// the earlier ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bar {
    /// It may do everything.
    #[default]
    Nothing,
    /// Take over from silence: the active router is known to live, although its adverts do not arrive.
    Silence,
    /// Take over at all: its data are so old that nobody shall see them.
    Takeover,
}

/// Whether a router can send and receive on its link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It can, with this source address.
    Up {
        /// The interface's primary address, which adverts come from and ties are decided by.
        source: IpAddr,
    },
    /// No carrier, or switched off, or no such interface.
    Down,
    /// The interface has no address of its own to send from.
    NoAddress,
}

/// An effect that failed. The code is the operating system's error number, 0 if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The addresses could not be taken.
    Acquire {
        /// `errno`.
        code: i32,
    },
    /// Taking the addresses, or announcing them, took too long.
    AcquireTimeout,
    /// The addresses could not be given back.
    Release {
        /// `errno`.
        code: i32,
    },
    /// Other programs keep removing the addresses.
    AddressLost,
    /// A takeover was vetoed.
    Refused,
    /// What must come before a takeover took too long.
    PrepareTimeout,
    /// Another host has one of the addresses, and is let keep it.
    AddressInUse,
    /// A takeover was forbidden: see [`Input::Bar`].
    Barred,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acquire { code } => {
                write!(f, "the addresses could not be installed (os error {code})")
            }
            Self::AcquireTimeout => f.write_str("the addresses could not be installed in time"),
            Self::Release { code } => {
                write!(f, "the addresses could not be removed (os error {code})")
            }
            Self::AddressLost => f.write_str("another program keeps removing the addresses"),
            Self::Refused => f.write_str("the takeover was refused by what comes before it"),
            Self::PrepareTimeout => f.write_str("before_active did not end in time"),
            Self::AddressInUse => f.write_str("another host answers for an address"),
            Self::Barred => f.write_str("the takeover is put off: it is not allowed at present"),
        }
    }
}
