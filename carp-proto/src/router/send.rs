//! From an advertisement to its datagrams: one for each destination.

use core::net::IpAddr;

use bytes::BytesMut;

use super::speech::{Carp, Speech};
use super::{ChecksumMode, Transmit, VirtualRouter};
use crate::election::{Advertisement, CounterRule, LinkState, Standing};
use crate::id::{Family, Priority};
use crate::interval::CarpInterval;
use crate::wire::carp::{self, Advert};
use crate::wire::vrrp::v3::{self, Carrier};
use crate::wire::vrrp::{ChecksumForm, Trailer, v2};

/// An advert on its way out.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub(super) advertisement: Advertisement,
    /// Which destination is next.
    next: usize,
    /// What it says.
    standing: Standing,
    /// CARP's counter in it.
    counter: u64,
    /// Its signature: copies of one advert carry the same.
    trailer: Option<Trailer>,
}

impl VirtualRouter {
    /// Begins an advert, of which [`write_next`](Self::write_next) writes the datagrams.
    pub(super) fn begin_advert(&mut self, advertisement: Advertisement) {
        let sending = self.draft(advertisement);
        self.counter = sending.counter;
        self.sending = Some(sending);
    }

    /// The next advert as it would be.
    fn draft(&self, advertisement: Advertisement) -> Sending {
        let standing = match (advertisement, self.machine.advertised()) {
            (Advertisement::Claim, standing) => standing,
            (Advertisement::Resign, Standing::Carp(_)) => Standing::Carp(CarpInterval::RESIGN),
            (Advertisement::Resign, Standing::Vrrp { interval, .. }) => {
                Standing::Vrrp { priority: Priority::RESIGN, interval }
            }
        };
        let counter = match self.config.policy().counter {
            CounterRule::Shared => self.counter.wrapping_add(1),
            CounterRule::Cookie | CounterRule::None => self.counter,
        };
        Sending { advertisement, next: 0, standing, counter, trailer: None }
    }

    /// Writes the resignation that would be sent now, for somebody who is to send it should this router
    /// die: the datagram to number `index` of its
    /// [destinations](super::RouterConfig::destinations). `None` if there is no such destination, or
    /// nothing can be sent there at present.
    ///
    /// This changes nothing, so it may be called at any time, and what comes out is good only until
    /// the router sends or hears the next advert: CARP's counter in it is the one that the next advert
    /// will have, and a signature counts as a repetition once a later one was heard. Signatures are of
    /// the [time of day](Self::set_time_of_day) that is known, so they also grow old by themselves.
    pub fn write_resignation<'a>(
        &self,
        index: usize,
        scratch: &'a mut BytesMut,
    ) -> Option<Transmit<'a>> {
        let &destination = self.config.destinations.get(index)?;
        let source = self.source(Family::of(destination))?;
        let advertisement = Advertisement::Resign;
        scratch.clear();
        self.write(&mut self.draft(advertisement), source, destination, scratch)?;
        Some(Transmit { source, destination, payload: scratch, advertisement })
    }

    /// Writes the next datagram of the advert that was begun: what it says, and the ends of its path.
    /// `None` if that was all.
    pub(super) fn write_next(
        &mut self,
        scratch: &mut BytesMut,
    ) -> Option<(Advertisement, IpAddr, IpAddr)> {
        let mut sending = self.sending.take()?;
        while let Some(&destination) = self.config.destinations.get(sending.next) {
            sending.next = sending.next.saturating_add(1);
            let Some(source) = self.source(Family::of(destination)) else { continue };
            scratch.clear();
            if self.write(&mut sending, source, destination, scratch).is_some() {
                if let (Some(hmac), Some(trailer)) = (&mut self.hmac, &sending.trailer) {
                    hmac.note_signed(trailer.sequence);
                }
                self.counters.adverts_sent = self.counters.adverts_sent.saturating_add(1);
                let advertisement = sending.advertisement;
                self.sending = Some(sending);
                return Some((advertisement, source, destination));
            }
        }
        None
    }

    /// The source of adverts in a family, if the router can send in it.
    fn source(&self, family: Family) -> Option<IpAddr> {
        let primary = match self.machine.link() {
            LinkState::Up { source } => Some(source),
            LinkState::Down | LinkState::NoAddress => return None,
        };
        let mut sources = [primary, self.other_source].into_iter().flatten();
        sources.find(|source| Family::of(*source) == family)
    }

    /// Appends the message; `None` if there is none for such a path.
    fn write(
        &self,
        sending: &mut Sending,
        source: IpAddr,
        destination: IpAddr,
        scratch: &mut BytesMut,
    ) -> Option<()> {
        let id = self.config.id;
        match (&self.config.speech, sending.standing) {
            (Speech::Carp(carp), Standing::Carp(interval)) => {
                carp::emit(&self.carp_advert(carp, interval, sending.counter), scratch);
            }
            (Speech::Vrrp2 { list, settings }, Standing::Vrrp { priority, .. }) => {
                let authentication = settings.authentication();
                let interval = settings.interval;
                let advert =
                    v2::Outgoing { id, priority, interval, addresses: list, authentication };
                v2::emit(&advert, scratch);
            }
            (Speech::Vrrp3 { list, settings }, Standing::Vrrp { priority, .. }) => {
                let form = self.checksum_form(settings.checksum);
                let carrier = Carrier::new(list, source, destination, form)?;
                let advert = v3::Outgoing { id, priority, interval: settings.interval, carrier };
                if let Some(hmac) = &self.hmac
                    && sending.trailer.is_none()
                {
                    sending.trailer = hmac.draft(self.time_of_day.at(self.now), &advert);
                }
                match &sending.trailer {
                    Some(trailer) => v3::emit_signed(&advert, trailer, scratch),
                    None => v3::emit(&advert, scratch),
                }
            }
            // A router's standing is one of its own protocol.
            (Speech::Carp(_), Standing::Vrrp { .. })
            | (Speech::Vrrp2 { .. } | Speech::Vrrp3 { .. }, Standing::Carp(_)) => return None,
        }
        Some(())
    }

    fn carp_advert(&self, carp: &Carp, interval: CarpInterval, counter: u64) -> Advert {
        Advert {
            vhid: self.config.id.get(),
            interval,
            demotion: self.machine.demotion_byte().get(),
            counter,
            digest: carp.authenticator.digest(counter),
        }
    }

    /// The form of the checksum over IPv4.
    pub(super) fn checksum_form(&self, mode: ChecksumMode) -> ChecksumForm {
        match mode {
            ChecksumMode::Auto => self.heard_checksum.unwrap_or(ChecksumForm::PseudoHeader),
            ChecksumMode::Always(form) => form,
        }
    }
}
