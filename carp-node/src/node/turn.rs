//! Whose turn it is: what arrives, what is due, or what others ask for.
//!
//! What has arrived comes before what is due: a node that was stalled must not take over from a router
//! whose adverts wait in its queue. But packets may come faster than they are handled, for ever. So after
//! a few of them everything else has a turn, and a router that is active advertises. Only the deadlines of
//! routers that are not active wait until all that had arrived before them has been handled, which is at
//! most what the queues hold.

use carp_proto::election::State;

use super::Node;
use crate::backend::{Backend, Clock};
use crate::driver::Member;

/// Datagrams after which everything else has a turn: a fraction of a millisecond.
const BATCH: u32 = 64;

/// More datagrams than the queue of a port's sockets has room for, one family and the other.
const QUEUE: u32 = 8192;

/// What was handled since others had their turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Datagrams since the last turn of everything else.
    received: u32,
    /// Datagrams since a deadline has come that waits for the queues.
    drained: u32,
    /// The port that is asked first, so that a flood on one does not silence the others.
    port: usize,
}

/// Whose deadlines are met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// All but those that wait for the queues.
    Urgent,
    /// All.
    All,
}

impl Due {
    /// Whether a router has its turn.
    pub(super) fn includes(self, member: &Member) -> bool {
        match self {
            Self::Urgent => member.router.state() == State::Active,
            Self::All => true,
        }
    }
}

impl Turns {
    /// The ports, in the order in which they are asked.
    pub(super) fn ports(&self, count: usize) -> impl Iterator<Item = usize> + use<> {
        let first = if self.port < count { self.port } else { 0 };
        (first..count).chain(0..first)
    }

    /// A port had something.
    pub(super) fn note_received(&mut self, port: usize) {
        self.port = port + 1;
        self.received += 1;
    }

    /// Whether everything else has its turn now. Asking takes it.
    pub(super) fn is_over(&mut self) -> bool {
        let over = self.received >= BATCH;
        if over {
            self.received = 0;
        }
        over
    }

    /// Nothing is left to be received.
    pub(super) fn note_empty(&mut self) {
        self.received = 0;
    }

    /// A batch was handled while deadlines of routers that are not active had or had not come: whether
    /// those have waited for long enough.
    fn has_drained(&mut self, waiting: bool, ports: usize) -> bool {
        self.drained = if waiting { self.drained + BATCH } else { 0 };
        let queues = QUEUE.saturating_mul(u32::try_from(ports).unwrap_or(u32::MAX));
        let done = self.drained >= queues.max(QUEUE);
        if done {
            self.drained = 0;
        }
        done
    }
}

impl<B: Backend> Node<B> {
    /// What is due after a batch of datagrams, although there may be more of them.
    pub(super) fn due_after_batch(&mut self) -> Option<Due> {
        let now = self.clock.now();
        let waiting = self.members.iter().any(|member| {
            let due = member.router.poll_timeout().is_some_and(|deadline| deadline.at <= now);
            due && !Due::Urgent.includes(member)
        });
        if self.turns.has_drained(waiting, self.ports.len()) {
            return Some(Due::All);
        }
        self.deadline(Due::Urgent).filter(|at| *at <= now).map(|_| Due::Urgent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_has_a_turn_after_a_batch() {
        let mut turns = Turns::default();
        for _ in 1..BATCH {
            turns.note_received(0);
            assert!(!turns.is_over());
        }
        turns.note_received(0);
        assert!(turns.is_over() && !turns.is_over());
    }

    #[test]
    fn ports_are_asked_in_turn() {
        let mut turns = Turns::default();
        assert_eq!(turns.ports(3).collect::<Vec<_>>(), [0, 1, 2]);
        turns.note_received(1);
        assert_eq!(turns.ports(3).collect::<Vec<_>>(), [2, 0, 1]);
        turns.note_received(2);
        assert_eq!(turns.ports(3).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(turns.ports(0).count(), 0);
    }

    #[test]
    fn a_deadline_waits_for_what_the_queues_hold_and_no_longer() {
        let mut turns = Turns::default();
        let batches = |turns: &mut Turns, ports| {
            1 + (0..).take_while(|_| !turns.has_drained(true, ports)).count()
        };
        let one = usize::try_from(QUEUE / BATCH).unwrap();
        assert_eq!(batches(&mut turns, 1), one);
        assert_eq!(batches(&mut turns, 2), 2 * one, "it waits again");
        assert!(!turns.has_drained(true, 1));
        assert!(!turns.has_drained(false, 1));
        assert_eq!(batches(&mut turns, 1), one, "another deadline");
    }
}
