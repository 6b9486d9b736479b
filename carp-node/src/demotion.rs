//! Why a router is demoted: named contributions, summed up anew at every change.

use carp_proto::Demotion;

/// What consecutive send errors demote by (`CARP_MAXSKEW` of the BSDs).
const SEND_ERRORS: u32 = 240;

/// Errors in a row that demote, and successes in a row that end it, as on the BSDs and in ucarp.
const IN_A_ROW: u8 = 3;

/// The contributions of one router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contributions {
    send: SendHealth,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct SendHealth {
    failing: bool,
    /// Results in a row that speak against `failing`.
    streak: u8,
}

impl Contributions {
    /// Notes whether an advert could be sent. True if the sum has changed.
    pub(crate) fn note_send(&mut self, ok: bool) -> bool {
        let SendHealth { failing, streak } = &mut self.send;
        if ok != *failing {
            *streak = 0;
            return false;
        }
        *streak = streak.saturating_add(1);
        let turned = *streak >= IN_A_ROW;
        if turned {
            (*failing, *streak) = (!*failing, 0);
        }
        turned
    }

    /// The sum, clamped to what a demotion can be.
    #[must_use]
    pub(crate) fn sum(&self) -> Demotion {
        Demotion::clamped(if self.send.failing { SEND_ERRORS } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_errors_in_a_row_demote_and_three_successes_end_it() {
        let mut contributions = Contributions::default();
        for ok in [false, false, true, false, false] {
            assert!(!contributions.note_send(ok));
        }
        assert_eq!(contributions.sum(), Demotion::NONE);
        assert!(contributions.note_send(false));
        assert_eq!(contributions.sum().get(), 240);
        assert!(!contributions.note_send(false));
        for ok in [true, true, false, true, true] {
            assert!(!contributions.note_send(ok));
        }
        assert!(contributions.note_send(true));
        assert_eq!(contributions.sum(), Demotion::NONE);
    }
}
