//! What people are told of all that.

use std::net::IpAddr;

use carp_proto::Instant;
use carp_proto::election::Fault;

use super::confirm::Confirmation;
use super::{Duplicate, Other, Probe, RECENT};
use crate::control::proto::{ConfirmationStatus, DuplicateStatus, RouterStatus};

impl Probe {
    /// What to say of a fault, if it is the one that comes from here.
    pub(crate) fn words_for(&self, fault: Option<Fault>) -> Option<&str> {
        self.words.as_deref().filter(|_| fault == Some(Fault::AddressInUse))
    }

    /// Adds to the status of the router what is known here.
    pub(in crate::node) fn show(&self, now: Instant, status: &mut RouterStatus) {
        let age = |other: &Other| now.saturating_since(other.heard_at);
        let other = self.other.filter(|other| age(other) <= RECENT);
        status.duplicate = other.map(|other| DuplicateStatus {
            address: other.address,
            mac: other.mac.to_string(),
            peer: other.peer,
            age_ms: age(&other).into(),
        });
        if self.serving
            && let Some(other) = other
        {
            status.conflict = true;
            status.conflict_with = status.conflict_with.or(other.peer);
        }
        status.confirmation = self.serving.then(|| self.confirmation_status());
        status.unconfirmed = self.asked_from().any(Confirmation::is_unanswered);
    }

    /// What is said of another host that has an address.
    pub(super) fn words_of(&self, other: &Other) -> String {
        let Other { address, mac, peer, .. } = other;
        if let Some(peer) = peer {
            return format!(
                "the router {peer} ({mac}) still has {address}, but its adverts do not arrive: look at \
                 what filters IP protocol 112 between us"
            );
        }
        let stranger = format!("{address} is at {mac}, which is no router that we know");
        match (self.serving, self.policy) {
            (true, Duplicate::Report | Duplicate::Veto) => {
                format!("{stranger}, and here: take it away there")
            }
            (false, Duplicate::Report) => format!("{stranger}: if nobody advertises, we take over"),
            (false, Duplicate::Veto) => format!("{stranger}: not taking over while it answers"),
        }
    }

    fn asked_from(&self) -> impl Iterator<Item = &Confirmation> {
        self.confirmations.iter().flatten()
    }

    fn confirmation_status(&self) -> ConfirmationStatus {
        let status =
            |state: &'static str, by, text| ConfirmationStatus { state: state.into(), by, text };
        if let Some(why) = self.silent_because {
            return status("off", None, format!("nobody is asked: {why}"));
        }
        if let Some(silent) = self.asked_from().find(|it| it.is_unanswered()) {
            return status("unconfirmed", None, unanswered(silent.from));
        }
        if let Some(pending) = self.asked_from().find(|it| it.next_at.is_some()) {
            return status("asking", None, format!("waiting for an answer to {}", pending.from));
        }
        match self.asked_from().find_map(|it| it.answered_by.map(|by| (by, it.from))) {
            Some((by, from)) => status("confirmed", Some(by), format!("{by} answers to {from}")),
            None => {
                let text = "there is nobody to ask: no default gateway on the interface, and no other \
                            router that is known to live";
                status("nobody-to-ask", None, text.to_owned())
            }
        }
    }
}

/// What is said of an address from which nobody was reached.
pub(super) fn unanswered(from: IpAddr) -> String {
    format!("nobody answers a question from {from}: is the switch port right? Announcing again")
}
