//! Renewing leases: only a protocol task that runs keeps addresses alive.
//!
//! The kernel drops an address that nobody renews. So the protocol task itself says, every third of the
//! lease, that it still wants its addresses, from when they are asked for until they are given back. What
//! the address thread finds missing then comes back as an input.

use carp_proto::Instant;
use carp_proto::election::Input;

use super::Node;
use crate::addresses::lease::{Lease, Unleased};
use crate::addresses::{Place, Report, Task};
use crate::backend::{Backend, Clock};
use crate::event::EventKind;

/// The renewals of one router's lease.
#[derive(Debug)]
pub(crate) struct Renewals {
    /// `None` if there is none.
    lease: Option<Lease>,
    /// When the next one is due, while addresses are held.
    due_at: Option<Instant>,
    /// When the latest one that worked was asked for.
    renewed_at: Instant,
    /// Why some addresses have no lifetime.
    unleased: Option<Unleased>,
    /// Whether the latest one failed.
    failing: bool,
}

impl Renewals {
    pub(crate) fn new(place: &Place) -> Self {
        Self {
            lease: place.lease.filter(|_| !place.owned),
            due_at: None,
            renewed_at: Instant::ZERO,
            unleased: None,
            failing: false,
        }
    }

    /// The lease that holds.
    pub(super) fn in_force(&self) -> Option<Lease> {
        self.lease.filter(|_| self.unleased.is_none())
    }

    /// The addresses are asked for.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.renewed_at = now;
        self.due_at = self.lease.map(|lease| now + lease.renewal());
    }

    /// The addresses are given back.
    pub(crate) fn end(&mut self) {
        self.due_at = None;
    }

    pub(super) const fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Whether the kernel may have dropped addresses by itself.
    fn may_have_expired(&self, now: Instant) -> bool {
        let over = |lease: Lease| now.saturating_since(self.renewed_at) >= lease.earliest();
        self.in_force().is_some_and(over)
    }
}

impl<B: Backend> Node<B> {
    pub(super) fn renew_leases(&mut self, now: Instant) {
        for (router, member) in self.members.iter_mut().enumerate() {
            let Renewals { lease: Some(lease), due_at: Some(due_at), .. } = member.renewals else {
                continue;
            };
            if due_at <= now {
                member.renewals.due_at = Some(now + lease.renewal());
                let job = member.job(router, Task::Renew { asked_at: now }, 0);
                // If the thread is that busy, the next one may find a place.
                let _ = self.addresses.jobs.try_send(job);
            }
        }
    }

    /// Takes in what became of a renewal. A failure is told once; the next renewal may work, and if none
    /// does, the address is missing in the end.
    pub(super) fn lease_renewed(&mut self, router: usize, asked_at: Instant, report: &Report) {
        let Some(member) = self.members.get_mut(router) else { return };
        let renewals = &mut member.renewals;
        let news = match &report.outcome {
            Err(fault) => (!renewals.failing).then(|| fault.to_string()),
            Ok(_) if renewals.unleased == report.unleased => None,
            Ok(_) => report.unleased.map(|why| format!("{}: {why}", member.place.interface)),
        };
        renewals.failing = report.outcome.is_err();
        let missing = *report.outcome.as_ref().unwrap_or(&false);
        if report.outcome.is_ok() {
            renewals.unleased = report.unleased;
            if !missing {
                renewals.renewed_at = renewals.renewed_at.max(asked_at);
            }
        }
        if let Some(text) = news {
            self.events.tell(Some(&member.name), EventKind::Fault { text });
        }
        // An older renewal says nothing of addresses that were given back since, or asked for anew.
        if missing && member.renewals.due_at.is_some() && asked_at >= member.renewals.renewed_at {
            let input = self.loss(router);
            self.input(router, input);
        }
    }

    /// What a router is told of an address that is missing.
    pub(super) fn loss(&self, router: usize) -> Input {
        let now = self.clock.now();
        let expired = self.members.get(router).is_some_and(|it| it.renewals.may_have_expired(now));
        if expired { Input::AddressExpired } else { Input::AddressLost }
    }
}
