//! What is odd about the adverts of others, and yet no reason to reject them.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::election::LearnedInterval;
use carp_proto::{Instant, Peer, Protocol, Remarks, RouterConfig};

use crate::config::format_duration;

/// The same thing about the same router is told this often at most.
const AGAIN: Duration = Duration::from_secs(3600);

/// What was told last of the adverts that one router hears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    last: Option<(Oddity, Instant)>,
}

/// All that can be odd about an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Oddity {
    source: IpAddr,
    remarks: Remarks,
    /// Its interval, if that is not ours.
    interval: Option<Duration>,
    /// What we reckon with instead, if it is out of proportion.
    reckoned: Option<Duration>,
}

impl Told {
    /// What to tell of the advert that was just heard, unless that has been told.
    pub(crate) fn news(
        &mut self,
        now: Instant,
        config: &RouterConfig,
        peer: &Peer,
        learned: Option<LearnedInterval>,
    ) -> Option<String> {
        let oddity = Oddity::of(config, peer, learned);
        if oddity.is_none() {
            return None;
        }
        let known =
            |&(last, at): &(Oddity, Instant)| last == oddity && now.saturating_since(at) < AGAIN;
        if self.last.as_ref().is_some_and(known) {
            return None;
        }
        self.last = Some((oddity, now));
        Some(oddity.words(config))
    }
}

impl Oddity {
    fn of(config: &RouterConfig, peer: &Peer, learned: Option<LearnedInterval>) -> Self {
        // In CARP the interval is the rank, and in VRRP version 2 another one is rejected.
        let learns = config.protocol() == Protocol::Vrrp3 && !peer.advertised.is_resignation();
        let differs = learns && peer.advertised.interval() != config.standing().interval();
        let absurd = learned.filter(|it| it.is_absurd());
        Self {
            source: peer.source,
            remarks: peer.remarks,
            interval: differs.then(|| peer.advertised.interval()),
            reckoned: absurd.map(|it| it.reckoned),
        }
    }

    fn is_none(self) -> bool {
        self.remarks == Remarks::default() && self.interval.is_none()
    }

    fn words(self, config: &RouterConfig) -> String {
        let mut words = Vec::new();
        if self.remarks.other_addresses {
            words.push("lists other addresses than we have".to_owned());
        }
        if self.remarks.lacks_link_local {
            words.push("lists no link-local address first (RFC 9568 section 5.2.9)".to_owned());
        }
        if let Some(interval) = self.interval {
            let (theirs, ours) = (interval, config.standing().interval());
            let [theirs, ours] = [theirs, ours].map(format_duration);
            words.push(match self.reckoned {
                None => format!("advertises every {theirs}, we are configured for {ours}"),
                Some(reckoned) => format!(
                    "says that it advertises every {theirs}, out of all proportion to our {ours}: we \
                     reckon with {}",
                    format_duration(reckoned)
                ),
            });
        }
        format!("{}; compare the configurations", words.join(", and "))
    }
}

#[cfg(test)]
mod tests {
    use carp_proto::election::Standing;
    use carp_proto::{Priority, VirtualAddress, VirtualId, Vrrp3};

    use super::*;

    fn config() -> RouterConfig {
        let addresses: Vec<VirtualAddress> = vec!["192.0.2.100".parse().unwrap()];
        RouterConfig::vrrp3(VirtualId::new(1).unwrap(), addresses, Vrrp3::default()).unwrap()
    }

    fn peer(interval: Duration, remarks: Remarks) -> Peer {
        Peer {
            source: "192.0.2.1".parse().unwrap(),
            heard_at: Instant::ZERO,
            advertised: Standing::Vrrp { priority: Priority::DEFAULT, interval },
            checksum: None,
            remarks,
        }
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_as_it_should_be_is_not_told() {
        let mut told = Told::default();
        let peer = peer(SECOND, Remarks::default());
        assert_eq!(told.news(Instant::ZERO, &config(), &peer, None), None);
    }

    #[test]
    fn an_oddity_is_told_once_an_hour_and_another_one_at_once() {
        let mut told = Told::default();
        let other = Remarks { other_addresses: true, ..Remarks::default() };
        let mut news = |seconds, peer| {
            let now = Instant::ZERO + SECOND * seconds;
            told.news(now, &config(), &peer, None)
        };
        let first = news(1, peer(SECOND, other)).unwrap();
        assert_eq!(first, "lists other addresses than we have; compare the configurations");
        assert_eq!(news(2, peer(SECOND, other)), None);
        let second = news(3, peer(SECOND * 2, other)).unwrap();
        assert!(second.contains("and advertises every 2s, we are configured for 1s"), "{second}");
        assert_eq!(news(3602, peer(SECOND * 2, other)), None);
        assert!(news(3604, peer(SECOND * 2, other)).is_some());
    }

    #[test]
    fn an_absurd_interval_is_named_with_what_we_make_of_it() {
        let learned = LearnedInterval { advertised: SECOND * 40, reckoned: SECOND * 4 };
        let peer = peer(SECOND * 40, Remarks::default());
        let text = Told::default().news(Instant::ZERO, &config(), &peer, Some(learned)).unwrap();
        assert!(text.contains("every 40s, out of all proportion to our 1s"), "{text}");
        assert!(text.contains("we reckon with 4s"), "{text}");
    }
}
