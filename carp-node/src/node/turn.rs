//! Whose turn it is: what arrives, what is due, or what others ask for.
//!
//! What has arrived comes before what is due: a node that was stalled must not take over from a router
//! whose adverts wait in its queue. But packets may come faster than they are handled, for ever. So after
//! a few of them everything else has a turn, and a router that is active advertises. What rests on silence
//! waits for longer: see [`hearing`](super::hearing).

/// Datagrams after which everything else has a turn: a fraction of a millisecond.
const BATCH: u32 = 64;

/// What was handled since others had their turn.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Datagrams since the last turn of everything else.
    received: u32,
    /// The port that is asked first, so that a flood on one does not silence the others.
    port: usize,
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
}
