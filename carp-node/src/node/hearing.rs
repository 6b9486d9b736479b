//! What waits in the sockets is heard before silence is believed.
//!
//! A process that was stopped wakes with timers that have run out and with sockets that are full. The loop
//! reads sockets first. But it reads in batches, and it knows of a datagram only when the system has told
//! it: a timer may be handled on what was known before the stop. So when the time has come to judge that
//! somebody is silent, everything else that is due is done, the sockets are looked at once more, and the
//! judgement waits until they are empty.

use carp_proto::election::Wait;

/// The judgement waits for no more than this from one port: more than the queues of its sockets have room for,
/// one family and the other. A flood must not keep a dead router's addresses for ever. Ports are read in turn,
/// so what waited on the others has been read by then too: how many there are does not matter.
const MOST: u32 = 8192;

/// Whether silence can be believed.
#[derive(Debug)]
pub(super) struct Hearing {
    /// Whether a judgement is put off.
    waits: bool,
    /// What was read on each port since then.
    read: Box<[u32]>,
    /// The most of that.
    most: u32,
    look: bool,
}

impl Hearing {
    /// For so many ports.
    pub(super) fn new(ports: usize) -> Self {
        Self { waits: false, read: vec![0; ports].into(), most: 0, look: false }
    }

    /// Whether a judgement that is due has something to do now, although there is more to be read: it has not
    /// been put off yet, or for long enough.
    pub(super) const fn has_its_turn(&self) -> bool {
        !self.waits || self.most >= MOST
    }

    /// Whether a deadline is for a judgement that rests on silence.
    pub(super) const fn is_about_silence(why: Wait) -> bool {
        match why {
            Wait::ActiveDown | Wait::Handover => true,
            Wait::Advert | Wait::Takeover | Wait::Announce | Wait::Resignation => false,
        }
    }

    /// Something was read on a port, of use or not.
    pub(super) fn reads(&mut self, port: usize) {
        if let Some(read) = self.read.get_mut(port).filter(|_| self.waits) {
            *read = read.saturating_add(1);
            self.most = self.most.max(*read);
        }
    }

    /// It is time to judge. `empty` says that there was nothing left to read. If the answer is false, the
    /// judgement is put off.
    pub(super) fn may_judge(&mut self, empty: bool) -> bool {
        let may = self.waits && (empty || self.most >= MOST);
        if !self.waits {
            self.read.fill(0);
            self.most = 0;
        }
        (self.waits, self.look) = (!may, !may);
        may
    }

    /// There is nothing to judge any more.
    pub(super) const fn rests(&mut self) {
        self.waits = false;
    }

    /// Whether the system is to be asked what has arrived before anything else is done; once.
    pub(super) const fn takes_a_look(&mut self) -> bool {
        std::mem::replace(&mut self.look, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_believed_at_the_second_look() {
        let mut hearing = Hearing::new(1);
        assert!(!hearing.may_judge(true));
        assert!(hearing.takes_a_look() && !hearing.takes_a_look());
        assert!(hearing.may_judge(true));
        assert!(!hearing.may_judge(true), "and the next one at its own");
    }

    #[test]
    fn all_that_waits_is_read_first_but_a_flood_is_not_read_for_ever() {
        let mut hearing = Hearing::new(1);
        (0..MOST).for_each(|_| hearing.reads(0));
        assert!(!hearing.may_judge(false), "only what is read since then counts");
        for read in 1..MOST {
            hearing.reads(0);
            assert!(!hearing.may_judge(false), "{read}");
        }
        assert!(!hearing.has_its_turn());
        hearing.reads(0);
        assert!(hearing.has_its_turn() && hearing.may_judge(false));
        assert!(hearing.has_its_turn(), "the next one");
        assert!(!hearing.may_judge(false));
    }

    #[test]
    fn what_need_not_be_judged_any_more_is_forgotten() {
        let mut hearing = Hearing::new(1);
        assert!(!hearing.may_judge(true));
        hearing.rests();
        assert!(!hearing.may_judge(true));
    }

    #[test]
    fn however_many_ports_there_are_a_flood_on_one_delays_no_more() {
        let mut hearing = Hearing::new(50);
        assert!(!hearing.may_judge(false));
        for _ in 0..MOST - 1 {
            (0..2).for_each(|port| hearing.reads(port));
        }
        assert!(!hearing.has_its_turn(), "what waited on these two has not been read yet");
        hearing.reads(1);
        assert!(hearing.may_judge(false));
    }
}
