//! The lease: addresses that the kernel drops when nobody renews them.
//!
//! A kernel counts the lifetime of an address down by itself (`IFA_CACHEINFO`). So an address that is
//! added with one is gone soon after everybody has died who would have removed it. Renewing takes what is
//! there and ours, and nothing else: the kernel would add an address that is missing, in silence. So it is
//! known what is there: by a list, or because nothing has changed since there was one.

use std::io;
use std::time::Duration;

use carp_proto::{Instant, VirtualAddress};
use thiserror::Error;

use super::patience::each_patiently;
use super::{
    AddressFault, AddressKeeper, Place, dependents, find, interface_fault, is_gone, system_fault,
};
use crate::backend::{AddressTable, Announcer, Edition, InstalledAddress, NewAddress};

/// How long the kernel keeps an address after it was added or renewed: whole seconds, 1 to 3600.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lease(u16);

impl Lease {
    /// The shortest.
    pub const SHORTEST: Self = Self(1);

    /// The longest.
    pub const LONGEST: Self = Self(3600);

    /// By how much the kernel may be late: it looks about once a second.
    const LATE: Duration = Duration::from_secs(1);

    /// By how much it may be early: it rounds to the next quarter of a second.
    const EARLY: Duration = Duration::from_millis(250);

    /// A lease of this time.
    ///
    /// # Errors
    /// [`LeaseError`] unless it is a whole number of seconds, 1 to 3600.
    pub fn new(time: Duration) -> Result<Self, LeaseError> {
        let seconds = u16::try_from(time.as_secs()).ok().filter(|_| time.subsec_nanos() == 0);
        let lease = seconds.map(Self).ok_or(LeaseError)?;
        if (Self::SHORTEST..=Self::LONGEST).contains(&lease) { Ok(lease) } else { Err(LeaseError) }
    }

    /// The longest lease that is over before a successor takes over by silence, who waits for this long:
    /// one second less than it has whole ones. At least a second, which is then too long.
    #[must_use]
    pub fn auto(active_down: Duration) -> Self {
        let seconds = u16::try_from(active_down.as_secs().saturating_sub(1)).unwrap_or(u16::MAX);
        Self(seconds).clamp(Self::SHORTEST, Self::LONGEST)
    }

    /// The time.
    #[must_use]
    pub fn time(self) -> Duration {
        Duration::from_secs(self.0.into())
    }

    /// When it is to be renewed: after a third, with the next advert. If that will come after a half, with the one
    /// before it.
    #[must_use]
    pub fn renewal(self) -> Duration {
        self.time() / 3
    }

    /// When it is renewed without an advert: after a half.
    #[must_use]
    pub fn patience(self) -> Duration {
        self.time() / 2
    }

    /// Whether it is only ever renewed together with an advert, where these come so often.
    #[must_use]
    pub fn keeps_step(self, interval: Duration) -> bool {
        interval <= self.patience()
    }

    /// The longest time for which an address stays where nobody renews it.
    #[must_use]
    pub fn longest(self) -> Duration {
        self.time().saturating_add(Self::LATE)
    }

    /// The time from which on an address that was not renewed may be gone.
    #[must_use]
    pub fn earliest(self) -> Duration {
        self.time().saturating_sub(Self::EARLY)
    }

    /// For how long an address may be on two hosts at the most, of which one has died without removing it,
    /// and the other waits this long for its adverts.
    ///
    /// Both times begin with the last advert, if the lease [keeps step](Self::keeps_step) with them.
    /// Otherwise it may have been renewed up to an interval later. A router that is demoted and stays active has a longer
    /// interval for as long.
    #[must_use]
    pub fn overlap(self, interval: Duration, active_down: Duration) -> Duration {
        let later = if self.keeps_step(interval) { Duration::ZERO } else { interval };
        (self.longest() + later).saturating_sub(active_down)
    }

    pub(crate) fn seconds(self) -> u32 {
        self.0.into()
    }
}

/// A time that no lease has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a lease is a whole number of seconds, 1s to 3600s")]
pub struct LeaseError;

/// Why addresses have no lifetime although their place has a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unleased {
    /// The kernel refuses lifetimes there.
    #[error(
        "the kernel gives addresses there no lifetime: if the daemon and its guard die together they \
         stay, until `carp cleanup` or the next start"
    )]
    Refused,
    /// Addresses of others would go with them.
    #[error(
        "addresses of others hang on them as secondary ones and would go with them, so they have no \
         lifetime: if the daemon and its guard die together they stay, until `carp cleanup` or the next \
         start; handing over and back mends that"
    )]
    CarriesOthers,
}

/// What a renewal found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// Whether an address is missing. It has not been added.
    pub missing: bool,
    /// Why some of the addresses have no lifetime now.
    pub unleased: Option<Unleased>,
}

/// A renewal that may be done again as it was, while nothing has changed.
#[derive(Debug)]
pub(super) struct Standing {
    place: Place,
    addresses: Vec<VirtualAddress>,
    /// How the addresses of the interface were when they were listed.
    edition: Edition,
    renewed: Vec<NewAddress>,
    unleased: Option<Unleased>,
}

impl<T: AddressTable, A: Announcer> AddressKeeper<T, A> {
    /// Renews those of these addresses that are there and ours. Foreign ones never get a lifetime, and
    /// neither do those of an owner.
    ///
    /// They are listed first, unless nothing has changed on the interface since they were. One that is
    /// removed between that and its renewal is missing too, although the kernel has added it again: nobody
    /// was told.
    ///
    /// # Errors
    /// [`AddressFault`]. An interface that is gone has nothing to renew.
    pub fn renew(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<Renewal, AddressFault> {
        if place.owned {
            return Ok(Renewal::default());
        }
        let before = self.edition(&place.interface);
        if let Some(renewal) = self.renew_again(place, addresses, before) {
            return Ok(renewal);
        }
        self.forget(addresses);
        self.renew_listed(place, addresses, before)
    }

    /// Renews as the last time, if nothing has changed. If that fails, or nothing is known, somebody has to
    /// look.
    fn renew_again(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
        before: Option<Edition>,
    ) -> Option<Renewal> {
        let known = |standing: &&Standing| {
            Some(standing.edition) == before
                && standing.addresses == addresses
                && standing.place == *place
        };
        let standing = self.standing.iter().find(known)?;
        let results = self.table.renew(&place.interface, &standing.renewed).ok()?;
        if !results.iter().all(Result::is_ok) {
            return None;
        }
        let missing = was_removed(&mut self.table, place, &standing.renewed);
        Some(Renewal { missing, unleased: standing.unleased })
    }

    fn renew_listed(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
        before: Option<Edition>,
    ) -> Result<Renewal, AddressFault> {
        let interface = &place.interface;
        let Some(installed) = self.list_if_there(interface)? else {
            return Ok(Renewal::default());
        };
        let missing = addresses.iter().any(|address| find(&installed, address.ip()).is_none());
        let mut ours: Vec<_> =
            addresses.iter().filter_map(|it| self.renewable(place, &installed, *it)).collect();
        let carries = place.lease.is_some() && ours.iter().any(|new| new.lifetime.is_none());
        self.extend(interface, &mut ours)?;
        let unleased = if place.lease.is_some() && self.refuses_lifetimes(interface) {
            Some(Unleased::Refused)
        } else {
            carries.then_some(Unleased::CarriesOthers)
        };
        let missing = missing || was_removed(&mut self.table, place, &ours);
        if let Some(edition) = before.filter(|_| !missing) {
            let (place, addresses) = (place.clone(), addresses.to_vec());
            self.standing.push(Standing { place, addresses, edition, renewed: ours, unleased });
        }
        Ok(Renewal { missing, unleased })
    }

    /// How the addresses of an interface are now. What was removed before that is seen in a list.
    fn edition(&mut self, interface: &str) -> Option<Edition> {
        self.table.changes(interface).ok()?.edition
    }

    /// Forgets how these addresses were renewed.
    pub(super) fn forget(&mut self, addresses: &[VirtualAddress]) {
        self.standing.retain(|standing| standing.addresses != addresses);
    }

    /// Whether a renewal that was asked for then is not to be done any more: who asked may have died
    /// meanwhile, and if not, the next one is due.
    pub(super) fn is_too_late_to_renew(&self, place: &Place, asked_at: Instant) -> bool {
        let renewal = place.lease.map(Lease::renewal).unwrap_or_default();
        self.table.now().saturating_since(asked_at) > renewal
    }

    /// An address as it is to be from now on, if it is there and ours.
    fn renewable(
        &self,
        place: &Place,
        installed: &[InstalledAddress],
        address: VirtualAddress,
    ) -> Option<NewAddress> {
        let found = find(installed, address.ip())?;
        let ours =
            found.prefix_len == address.prefix_len() && self.is_ours(&place.interface, found);
        let carries = || !dependents(installed, &[address]).is_empty();
        let lifetime = self.lifetime(place).filter(|_| address.is_host() || !carries());
        let (protocol, label) = (found.protocol, found.label.clone());
        ours.then_some(NewAddress { address, protocol, label, lifetime })
    }

    fn extend(&mut self, interface: &str, new: &mut [NewAddress]) -> Result<(), AddressFault> {
        let mut results = self.renew_all(interface, new)?;
        if new.iter().zip(&results).any(is_refused) {
            new.iter_mut().for_each(|new| new.lifetime = None);
            results = self.renew_all(interface, new)?;
            if results.iter().all(Result::is_ok) {
                self.refusing.insert(interface.to_owned());
            }
        }
        for (NewAddress { address, .. }, result) in new.iter().zip(results) {
            match result {
                Err(source) if !is_gone(&source) => {
                    return Err(system_fault("cannot renew", *address, interface, source));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    fn renew_all(
        &mut self,
        interface: &str,
        new: &[NewAddress],
    ) -> Result<Vec<io::Result<()>>, AddressFault> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let renewed = self.table.renew(interface, new);
        renewed
            .map_err(|source| interface_fault("cannot renew the addresses of", interface, source))
    }

    /// Adds addresses; where the kernel refuses their lifetime, without one.
    pub(super) fn put(
        &mut self,
        interface: &str,
        new: &mut [NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let mut results = each_patiently(new, |new| self.table.add(interface, new))?;
        for (new, result) in new.iter_mut().zip(&mut results) {
            if is_refused((new, result)) {
                new.lifetime = None;
                let new = std::slice::from_ref(new);
                let again = each_patiently(new, |new| self.table.add(interface, new))?.pop();
                *result = again.unwrap_or_else(|| Err(io::ErrorKind::InvalidData.into()));
                if result.is_ok() {
                    self.refusing.insert(interface.to_owned());
                }
            }
        }
        Ok(results)
    }

    /// The lifetime that addresses of a place get.
    pub(super) fn lifetime(&self, place: &Place) -> Option<Lease> {
        place.lease.filter(|_| !self.refuses_lifetimes(&place.interface))
    }

    fn refuses_lifetimes(&self, interface: &str) -> bool {
        self.refusing.contains(interface)
    }
}

/// Whether one of these was removed since it was asked last.
fn was_removed<T: AddressTable>(table: &mut T, place: &Place, new: &[NewAddress]) -> bool {
    // Where the kernel does not say it, the next list does.
    let removed = table.changes(&place.interface).unwrap_or_default().removed;
    removed.iter().any(|ip| new.iter().any(|new| new.address.ip() == *ip))
}

/// Whether an address was refused in a way that its lifetime may be the reason for.
fn is_refused((new, result): (&NewAddress, &io::Result<()>)) -> bool {
    let code = result.as_ref().err().and_then(io::Error::raw_os_error);
    new.lifetime.is_some() && matches!(code, Some(libc::EINVAL | libc::EOPNOTSUPP))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addresses::Record;
    use crate::backend::memory::Lan;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_lease_is_whole_seconds() {
        for (millis, lease) in [(1_000, Some(1)), (5_000, Some(5)), (3_600_000, Some(3600))] {
            assert_eq!(Lease::new(ms(millis)).ok(), lease.map(Lease));
        }
        for millis in [0, 999, 1_500, 3_601_000, u64::MAX / 1_000_000] {
            assert_eq!(Lease::new(ms(millis)), Err(LeaseError), "{millis}");
        }
    }

    #[test]
    fn by_itself_it_ends_before_a_successor_comes_where_seconds_can_tell() {
        for (interval, active_down, seconds, overlap) in [
            (1_000, 3_609, 2, 0),
            (1_000, 3_000, 2, 0),
            (1_390, 3_390, 2, 1_000),
            (500, 2_000, 1, 0),
            (800, 2_888, 1, 0),
            (700, 2_100, 1, 600),
            (250, 902, 1, 1_098),
            (10, 30, 1, 1_970),
            (10_000, 36_093, 35, 0),
            (1_000, 9_999_999_999, 3600, 0),
        ] {
            let lease = Lease::auto(ms(active_down));
            assert_eq!(lease, Lease(seconds), "{active_down}");
            let both = lease.overlap(ms(interval), ms(active_down));
            assert_eq!(both, ms(overlap), "{interval} {active_down}");
        }
    }

    #[test]
    fn one_that_is_renewed_between_adverts_may_outlast_them() {
        let (lease, second) = (Lease(1), ms(1_000));
        assert!(!lease.keeps_step(second) && Lease(2).keeps_step(second));
        assert_eq!(lease.overlap(second, ms(2_500)), ms(500));
    }

    #[test]
    fn a_renewal_that_comes_after_the_next_one_was_due_is_not_done() {
        let lan = Lan::default();
        let host = lan.host("eth0", [192, 0, 2, 1].into());
        let keeper = AddressKeeper::new(host.clone(), host, Record::in_memory());
        let place = Place { lease: Some(Lease(3)), ..Place::on("eth0") };
        let asked_at = lan.now();
        lan.advance_to(asked_at + ms(1_000));
        assert!(!keeper.is_too_late_to_renew(&place, asked_at));
        lan.advance_to(asked_at + ms(1_001));
        assert!(keeper.is_too_late_to_renew(&place, asked_at));
    }

    #[test]
    fn it_is_renewed_every_third() {
        assert_eq!(Lease(3).renewal(), ms(1_000));
        assert_eq!((Lease(1).renewal().as_millis(), Lease(1).patience().as_millis()), (333, 500));
        assert_eq!((Lease(2).earliest(), Lease(2).longest()), (ms(1_750), ms(3_000)));
    }
}
