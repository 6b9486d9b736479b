//! Renewing leases: only a protocol task that runs keeps addresses alive.
//!
//! The kernel drops an address that nobody renews. So the protocol task itself says that it still wants
//! its addresses, from when they are asked for until they are given back: with the first advert when a third
//! of the lease has passed, or before that with the last one until a half has. A successor counts its patience
//! from that advert too, so that the address is not renewed for longer than the silence was. Where no advert
//! comes until a half has passed (they are rare, or the router leaves), it is renewed without, and then every
//! third.
//!
//! What the address thread finds missing then comes back as an input.

use std::time::Duration;

use carp_proto::Instant;

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
    due: Option<Due>,
    /// When the addresses were last asked for.
    asked_at: Instant,
    /// When the latest one that worked was asked for, or the first of the addresses.
    renewed_at: Instant,
    /// Why some addresses have no lifetime.
    unleased: Option<Unleased>,
    /// Whether the latest one failed.
    failing: bool,
}

/// When a lease is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    /// From then on with the next advert.
    with_advert: Instant,
    /// By then without.
    latest: Instant,
}

impl Renewals {
    pub(crate) fn new(place: &Place) -> Self {
        Self {
            lease: place.lease.filter(|_| !place.owned),
            due: None,
            asked_at: Instant::ZERO,
            renewed_at: Instant::ZERO,
            unleased: None,
            failing: false,
        }
    }

    /// The lease, if all addresses have it.
    pub(super) fn in_force(&self) -> Option<Lease> {
        self.lease.filter(|_| self.unleased.is_none())
    }

    /// The addresses are asked for. That renews none that is there: where one is taken again, the renewals of
    /// the others go on as before.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.asked_at = now;
        if self.due.is_none() {
            self.renewed_at = now;
            self.due = self.lease.map(|lease| after_an_advert(now, lease));
        }
    }

    /// The addresses are given back.
    pub(crate) fn end(&mut self) {
        self.due = None;
    }

    /// When they are due without an advert.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due.map(|due| due.latest)
    }

    /// An advert was sent, and the next one is due after `interval`: the renewal to ask for, if it is time, or
    /// will be before that one.
    pub(crate) fn with_advert(&mut self, now: Instant, interval: Duration) -> Option<Task> {
        let (lease, due) = (self.lease?, self.due?);
        let next = after_an_advert(now, lease);
        // An advert goes to several destinations: each family, each peer.
        let is_due = due.with_advert <= now || due.latest < now + interval;
        if due == next || !is_due {
            return None;
        }
        self.due = Some(next);
        Some(Task::Renew { asked_at: now })
    }

    /// No advert was sent for long: the renewal to ask for, if it is time.
    fn without_advert(&mut self, now: Instant) -> Option<Task> {
        let (lease, _) = (self.lease?, self.due.filter(|due| due.latest <= now)?);
        let next = now + lease.renewal();
        self.due = Some(Due { with_advert: next, latest: next });
        Some(Task::Renew { asked_at: now })
    }

    /// Whether the kernel may have dropped addresses by itself.
    fn may_have_expired(&self, now: Instant) -> bool {
        let lease = self.lease.filter(|_| self.unleased != Some(Unleased::Refused));
        lease.is_some_and(|lease| now.saturating_since(self.renewed_at) >= lease.earliest())
    }
}

fn after_an_advert(now: Instant, lease: Lease) -> Due {
    Due { with_advert: now + lease.renewal(), latest: now + lease.patience() }
}

impl<B: Backend> Node<B> {
    pub(super) fn renew_leases(&mut self, now: Instant) {
        for (router, member) in self.members.iter_mut().enumerate() {
            if let Some(task) = member.renewals.without_advert(now) {
                // If the thread is that busy, the next one may find a place.
                let _ = self.addresses.jobs.try_send(member.job(router, task, 0));
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
        }
        if let Some(text) = news {
            self.events.tell(Some(&member.name), EventKind::Fault { text });
        }
        // An older renewal says nothing of addresses that were given back since, or asked for anew.
        if missing && member.renewals.due.is_some() && asked_at > member.renewals.asked_at {
            self.missed(router);
        }
        // Why one is missing was told by what was renewed before. Those that are there last anew.
        if let (Ok(_), Some(member)) = (&report.outcome, self.members.get_mut(router)) {
            let renewals = &mut member.renewals;
            renewals.renewed_at = renewals.renewed_at.max(asked_at);
        }
    }

    /// Whether the kernel may have dropped addresses of a router by itself.
    pub(super) fn may_have_expired(&self, router: usize) -> bool {
        let now = self.clock.now();
        self.members.get(router).is_some_and(|it| it.renewals.may_have_expired(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// A router that advertises and renews until it dies with its guard: its last advert and its last renewal, by
    /// its own clock.
    fn last_of(lease: Lease, born: Instant, interval: Duration, dies: Instant) -> [Instant; 2] {
        let mut renewals = Renewals::new(&Place { lease: Some(lease), ..Place::on("eth0") });
        // The first advert comes before the addresses.
        renewals.begin(born);
        let (mut advert, mut renewed) = (born, born);
        loop {
            let (next, due) = (advert + interval, renewals.due_at().unwrap());
            let now = next.min(due);
            if now > dies {
                return [advert, renewed];
            }
            let task = if now == next {
                advert = now;
                renewals.with_advert(now, interval)
            } else {
                renewals.without_advert(now)
            };
            if task.is_some() {
                renewed = now;
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_096))]

        /// That no two nodes have the addresses at a time, as far as the lease can see to it: where daemon and guard die
        /// together, the kernel has dropped the addresses when a successor takes them. Where seconds are too coarse
        /// for that, for no longer than [`Lease::overlap`] says. Each counts from the same advert by its own clock, of
        /// which only differences count; that of the dead one starts anywhere.
        #[test]
        fn a_successor_shares_the_addresses_with_the_dead_for_no_longer_than_is_told(
            interval in prop_oneof![10..1_000_u64, 1_000..40_000_u64],
            skew in 0.0..=1.0,
            seconds in proptest::option::of(1..150_u64),
            born in any::<u32>(),
            lived in 0.0..30.0,
            travel in 0..1_000_u64,
        ) {
            let interval = Duration::from_millis(interval);
            let active_down = interval * 3 + interval.mul_f64(skew);
            let given = seconds.map(|it| Lease::new(Duration::from_secs(it)).unwrap());
            let lease = given.unwrap_or(Lease::auto(active_down));
            let born = at(born.into());
            let [advert, renewed] = last_of(lease, born, interval, born + interval.mul_f64(lived));
            // When it is gone by the kernel that had it, and when the successor has heard nothing for long enough.
            let gone = renewed.saturating_since(advert) + lease.longest();
            let taken = Duration::from_millis(travel) + active_down;
            let overlap = gone.saturating_sub(taken);
            let told = lease.overlap(interval, active_down);
            prop_assert!(overlap <= told, "{overlap:?} for {told:?} with {lease:?}");
            let as_it_may_be = given.is_none_or(|given| given <= Lease::auto(active_down));
            if as_it_may_be && lease.keeps_step(interval) && active_down >= SECOND * 2 {
                prop_assert_eq!(overlap, Duration::ZERO);
            }
        }
    }

    /// A router that took its addresses at 0, and when it renews them in the seconds that follow, with
    /// adverts every so many milliseconds.
    fn renewals(seconds: u64, interval: u64) -> Vec<u64> {
        let lease = Lease::new(Duration::from_secs(seconds)).unwrap();
        let place = Place { lease: Some(lease), ..Place::on("eth0") };
        let mut renewals = Renewals::new(&place);
        renewals.begin(at(0));
        let mut renewed = Vec::new();
        for millis in 1..=6_000 {
            let advert = interval != 0 && millis % interval == 0;
            let gap = Duration::from_millis(interval);
            let with = if advert { renewals.with_advert(at(millis), gap) } else { None };
            if with.or_else(|| renewals.without_advert(at(millis))).is_some() {
                renewed.push(millis);
            }
        }
        renewed
    }

    #[test]
    fn a_lease_is_renewed_with_the_first_advert_after_a_third() {
        assert_eq!(renewals(2, 1_000), [1_000, 2_000, 3_000, 4_000, 5_000, 6_000]);
        assert_eq!(renewals(3, 300), [1_200, 2_400, 3_600, 4_800, 6_000]);
        assert_eq!(renewals(9, 1_000), [3_000, 6_000]);
    }

    #[test]
    fn where_the_next_one_would_come_after_a_half_it_is_renewed_before_a_third() {
        assert_eq!(renewals(10, 3_000), [3_000, 6_000]);
        assert_eq!(renewals(9, 2_500), [2_500, 5_000]);
        assert_eq!(renewals(9, 2_250), [4_500], "that one comes just in time");
    }

    #[test]
    fn an_advert_to_several_destinations_renews_once() {
        let place = Place { lease: Lease::new(SECOND * 2).ok(), ..Place::on("eth0") };
        let mut renewals = Renewals::new(&place);
        renewals.begin(at(0));
        // CARP's, with an advskew of 100: rarer than half of the lease.
        let interval = Duration::from_micros(1_390_625);
        assert!(renewals.with_advert(at(0), interval).is_none(), "it was asked for just now");
        let third = at(0) + interval;
        assert!(renewals.with_advert(third, interval).is_some());
        assert!(renewals.with_advert(third, interval).is_none(), "to the second one");
    }

    #[test]
    fn where_adverts_are_rare_it_is_renewed_without() {
        assert_eq!(renewals(3, 0), [1_500, 2_500, 3_500, 4_500, 5_500]);
        assert_eq!(
            renewals(3, 2_500),
            [1_500, 2_500, 4_000, 5_000],
            "with the adverts at 2.5 s and 5 s"
        );
        assert_eq!(renewals(1, 1_000)[..5], [500, 834, 1_000, 1_500, 1_834][..]);
    }

    #[test]
    fn an_address_that_is_taken_again_does_not_delay_the_renewal_of_the_others() {
        let place = Place { lease: Lease::new(Duration::from_secs(2)).ok(), ..Place::on("eth0") };
        let mut renewals = Renewals::new(&place);
        renewals.begin(at(0));
        renewals.begin(at(900));
        assert_eq!(renewals.due_at(), Some(at(1_000)));
        assert!(renewals.with_advert(at(1_000), Duration::ZERO).is_some());
        renewals.renewed_at = at(1_000);
        renewals.begin(at(2_500));
        assert!(renewals.may_have_expired(at(2_750)), "those that were not taken again");
        renewals.end();
        renewals.begin(at(2_600));
        assert!(!renewals.may_have_expired(at(2_750)), "all are new");
    }

    #[test]
    fn nothing_is_renewed_that_is_not_held_or_has_no_lease() {
        let lease = Lease::new(Duration::from_secs(2)).ok();
        let leased = Place { lease, ..Place::on("eth0") };
        let owned = Place { owned: true, ..leased.clone() };
        for place in [Place::on("eth0"), owned] {
            let mut renewals = Renewals::new(&place);
            renewals.begin(at(0));
            assert!(
                renewals.due_at().is_none() && renewals.with_advert(at(9_000), SECOND).is_none()
            );
        }
        let mut renewals = Renewals::new(&leased);
        assert!(renewals.with_advert(at(9_000), SECOND).is_none());
        renewals.begin(at(9_000));
        renewals.end();
        assert!(renewals.due_at().is_none() && renewals.with_advert(at(20_000), SECOND).is_none());
    }
}
