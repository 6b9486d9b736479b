//! What can happen to one router.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Datagram, OWN_HOST, Peers, Said, Setup};
use crate::election::{Input, LinkState};
use crate::reject::Reject;
use crate::router::VirtualRouter;
use crate::time::Instant;
use crate::wire::ip::RxMeta;

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passes, and the router's deadlines are not met.
    Sleep(Duration),
    /// Time passes up to the next deadline and this much over it, which is then met.
    Deadline(Duration),
    /// An input, with IPv4 or IPv6 addresses whatever the router's are.
    Input(Input),
    /// The link is up, and the router has the address of this host.
    LinkUp(u8),
    /// A valid advert of a peer comes.
    Hear {
        /// The peer, by its last octet.
        source: u8,
        /// What it says.
        said: Said,
    },
    /// The same, but one of its bits has changed on the way.
    Damaged {
        /// The peer, by its last octet.
        source: u8,
        /// What it says.
        said: Said,
        /// Which bit, modulo the length.
        bit: u16,
    },
    /// Any bytes come.
    Raw {
        /// From whom, by the last octet.
        source: u8,
        /// Whether to where the router's adverts are sent to; otherwise to the router itself.
        to_group: bool,
        /// With this TTL.
        ttl: u8,
        /// The message.
        message: Vec<u8>,
        /// Whether checksum and digest were [made right](Peers::mend) for it.
        mended: bool,
    },
}

/// A router to which steps happen. The actions are for you to [take out](VirtualRouter::poll_action).
#[derive(Clone, Debug)]
pub struct Drill {
    /// The router.
    pub router: VirtualRouter,
    /// The present.
    pub now: Instant,
    /// Its parameters.
    pub setup: Setup,
    /// Those that it hears.
    pub peers: Peers,
    /// The latest datagram that it has accepted.
    pub last_heard: Option<Datagram>,
}

impl Drill {
    /// A router that has not been started, at this time.
    ///
    /// # Panics
    /// As [`Setup::config`].
    #[must_use]
    pub fn new(setup: Setup, origin: Instant) -> Self {
        let (router, peers) = (setup.router(), Peers::new(setup));
        Self { router, now: origin, setup, peers, last_heard: None }
    }

    /// When a step will have been taken.
    #[must_use]
    pub fn ends(&self, step: &Step) -> Instant {
        match step {
            Step::Sleep(time) => self.now + *time,
            Step::Deadline(over) => {
                let deadline = self.router.poll_timeout();
                deadline.map_or(self.now, |deadline| self.now.max(deadline.at) + *over)
            }
            Step::Input(_)
            | Step::LinkUp(_)
            | Step::Hear { .. }
            | Step::Damaged { .. }
            | Step::Raw { .. } => self.now,
        }
    }

    /// Lets a step happen. The verdict, if it was a datagram.
    pub fn take(&mut self, step: &Step) -> Option<Result<(), Reject>> {
        let input = self.input(step);
        self.now = self.ends(step);
        if let Some(input) = input {
            self.router.handle(self.now, input);
        }
        let datagram = self.datagram(step)?;
        let verdict = self.router.handle_datagram(self.now, &datagram.0, &datagram.1);
        if verdict.is_ok() {
            self.last_heard = Some(datagram);
        }
        Some(verdict)
    }

    /// What the router is told in a step, if it is. Before a step is taken, since a deadline is told only if there
    /// is one.
    #[must_use]
    pub fn input(&self, step: &Step) -> Option<Input> {
        match step {
            Step::Deadline(_) => self.router.poll_timeout().map(|_| Input::Timeout),
            Step::Input(input) => Some(*input),
            Step::LinkUp(host) => {
                Some(Input::Link(LinkState::Up { source: self.setup.host(*host) }))
            }
            Step::Sleep(_) | Step::Hear { .. } | Step::Damaged { .. } | Step::Raw { .. } => None,
        }
    }

    /// The datagram that comes in a step, if one does. The peers have then sent it.
    pub fn datagram(&mut self, step: &Step) -> Option<Datagram> {
        match step {
            Step::Sleep(_) | Step::Deadline(_) | Step::Input(_) | Step::LinkUp(_) => None,
            Step::Hear { source, said } => Some(self.peers.advert(self.now, *source, *said)),
            Step::Damaged { source, said, bit } => {
                let (meta, mut message) = self.peers.advert(self.now, *source, *said);
                let bit = usize::from(*bit) % (8 * message.len());
                message[bit / 8] ^= 0x80 >> (bit % 8);
                Some((meta, message))
            }
            Step::Raw { source, to_group, ttl, message, mended } => {
                let (source, mut message) = (self.setup.host(*source), message.clone());
                let destination = if *to_group {
                    self.setup.meta(source).destination
                } else {
                    self.setup.host(OWN_HOST)
                };
                let meta = RxMeta { source, destination, ttl: *ttl };
                if *mended {
                    self.peers.mend(&meta, &mut message);
                }
                Some((meta, message))
            }
        }
    }
}
