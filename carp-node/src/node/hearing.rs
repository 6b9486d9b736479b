//! What waits in the sockets is heard before silence is believed.
//!
//! A process that was stopped wakes with timers that have run out and with sockets that are full. The loop
//! reads sockets first. But it reads in batches, and it knows of a datagram only when the system has told
//! it: a timer may be handled on what was known before the stop. So when the time has come to judge that
//! somebody is silent, everything else that is due is done, the sockets are looked at once more, and the
//! judgement waits until they are empty.

use carp_proto::election::Wait;

/// The judgement waits for no more datagrams than this for each port: more than the queues of its sockets
/// have room for, one family and the other. A flood must not keep a dead router's addresses for ever.
const MOST: u32 = 8192;

/// Whether silence can be believed.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// How many datagrams were read since a judgement was put off; `None` while none is.
    read: Option<u32>,
    look: bool,
}

impl Hearing {
    /// Whether a judgement that is due has something to do now, although there is more to be read: it has not
    /// been put off yet, or for long enough.
    pub(super) fn has_its_turn(&self, ports: usize) -> bool {
        self.read.is_none_or(|read| read >= most(ports))
    }

    /// Whether a deadline is for a judgement that rests on silence.
    pub(super) const fn is_about_silence(why: Wait) -> bool {
        match why {
            Wait::ActiveDown | Wait::Handover => true,
            Wait::Advert | Wait::Takeover | Wait::Announce | Wait::Resignation => false,
        }
    }

    /// A datagram was read.
    pub(super) const fn reads(&mut self) {
        if let Some(read) = &mut self.read {
            *read = read.saturating_add(1);
        }
    }

    /// It is time to judge. `empty` says that there was nothing left to read. If the answer is false, the
    /// judgement is put off.
    pub(super) fn may_judge(&mut self, empty: bool, ports: usize) -> bool {
        let may = self.read.is_some_and(|read| empty || read >= most(ports));
        (self.read, self.look) = match (may, self.read) {
            (true, _) => (None, false),
            (false, read) => (read.or(Some(0)), true),
        };
        may
    }

    /// There is nothing to judge any more.
    pub(super) const fn rests(&mut self) {
        self.read = None;
    }

    /// Whether the system is to be asked what has arrived before anything else is done; once.
    pub(super) const fn takes_a_look(&mut self) -> bool {
        std::mem::replace(&mut self.look, false)
    }
}

fn most(ports: usize) -> u32 {
    MOST.saturating_mul(u32::try_from(ports).unwrap_or(u32::MAX).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_believed_at_the_second_look() {
        let mut hearing = Hearing::default();
        assert!(!hearing.may_judge(true, 1));
        assert!(hearing.takes_a_look() && !hearing.takes_a_look());
        assert!(hearing.may_judge(true, 1));
        assert!(!hearing.may_judge(true, 1), "and the next one at its own");
    }

    #[test]
    fn all_that_waits_is_read_first_but_a_flood_is_not_read_for_ever() {
        let mut hearing = Hearing::default();
        (0..MOST).for_each(|_| hearing.reads());
        assert!(!hearing.may_judge(false, 1), "only what is read since then counts");
        for read in 1..MOST {
            hearing.reads();
            assert!(!hearing.may_judge(false, 1), "{read}");
        }
        assert!(!hearing.has_its_turn(1));
        hearing.reads();
        assert!(hearing.has_its_turn(1) && !hearing.has_its_turn(2), "two ports have more queues");
        assert!(hearing.may_judge(false, 1));
        assert!(hearing.has_its_turn(1), "the next one");
    }

    #[test]
    fn what_need_not_be_judged_any_more_is_forgotten() {
        let mut hearing = Hearing::default();
        assert!(!hearing.may_judge(true, 1));
        hearing.rests();
        assert!(!hearing.may_judge(true, 1));
    }
}
