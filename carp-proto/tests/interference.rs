//! Non-interference: what is rejected changes nothing. Of two routers that are alike, one hears rejected
//! datagrams at any rate, and both do the same at the same times, to the last byte that they send.

mod support;

use carp_proto::Instant;
use carp_proto::auth::HmacMode;
use carp_proto::testing::strategy::{any_setup, any_steps};
use carp_proto::wire::vrrp::{trailer, v3};
use proptest::prelude::*;
use support::peers::{Datagram, Extra, Peers, Said};
use support::steps::{ORIGIN, Run};
use support::wire::flipped;
use support::wrong::Wrong;
use support::{Setup, written};

/// A datagram that no router accepts: most are an excellent advert but for one thing.
#[derive(Clone, Debug)]
enum Bad {
    Bytes(Vec<u8>),
    Flipped(prop::sample::Index),
    Cut(prop::sample::Index),
    Wrong(Wrong),
    /// The same with a resignation.
    Resignation(Wrong),
    /// The resignation that the router keeps ready for its guard, come back to it.
    Echo(prop::sample::Index),
    /// What was signed and heard before.
    Repeated,
}

fn any_bad() -> impl Strategy<Value = Bad> {
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(Bad::Bytes),
        2 => any::<prop::sample::Index>().prop_map(Bad::Flipped),
        1 => any::<prop::sample::Index>().prop_map(Bad::Cut),
        6 => prop::sample::select(&Wrong::ALL[..]).prop_map(Bad::Wrong),
        3 => prop::sample::select(&Wrong::ALL[..]).prop_map(Bad::Resignation),
        1 => any::<prop::sample::Index>().prop_map(Bad::Echo),
        1 => Just(Bad::Repeated),
    ]
}

impl Bad {
    /// The datagram; `None` if this router, at this point of its run, may accept it.
    fn datagram(&self, setup: Setup, run: &Run, now: Instant) -> Option<Datagram> {
        let good = || {
            let said = Said { advbase: 1, advskew: 1, demotion: 0 };
            Peers::new(setup).advert(now, 9, said)
        };
        match self {
            Self::Bytes(bytes) => Some((good().0, bytes.clone())),
            Self::Flipped(bit) => {
                let (meta, message) = good();
                let bit = bit.index(8 * message.len());
                Some((meta, flipped(&message, bit)))
            }
            Self::Cut(len) => {
                let (meta, mut message) = good();
                let len = len.index(message.len());
                // What the signature alone is missing from is as good as any unsigned advert.
                let unsigned = setup.extra == Extra::Signatures
                    && setup.hmac_mode != HmacMode::Enforce
                    && len + trailer::LEN == message.len();
                message.truncate(len);
                (!unsigned).then_some((meta, message))
            }
            Self::Wrong(wrong) => certain(*wrong, setup).then(|| wrong.datagram(setup, now)),
            Self::Resignation(wrong) => {
                certain(*wrong, setup).then(|| wrong.resignation(setup, now))
            }
            Self::Echo(which) => {
                let written = written(&run.router);
                (!written.is_empty()).then(|| which.get(&written).clone())
            }
            Self::Repeated => run.last_heard.clone().filter(|(meta, message)| {
                v3::parse(meta, message).is_ok_and(|read| read.signed.is_some())
            }),
        }
    }
}

/// Whether every router of this kind rejects it. What the own source is, the steps decide; the own cookie
/// is always the same.
fn certain(wrong: Wrong, setup: Setup) -> bool {
    let certain = |label: &str| label != "own-loop" || wrong == Wrong::OwnCookie;
    wrong.label(setup).is_some_and(certain)
}

proptest! {
    #[test]
    fn rejected_packets_at_any_rate_change_nothing(
        setup in any_setup(),
        steps in any_steps(),
        bad in prop::collection::vec(any_bad(), 1..6),
        rate in 1..4_u32,
    ) {
        let [mut quiet, mut run] = [(); 2].map(|()| Run::new(setup, ORIGIN));
        let mut rejected = 0;
        for step in &steps {
            // While the time of the step passes, also when a deadline has come that is not met yet.
            let pause = run.ends(step).saturating_since(run.now) / rate;
            for nth in 1..=rate {
                let now = run.now + pause * nth;
                let deadline = run.router.poll_timeout();
                let resignation = written(&run.router);
                let bad = bad.iter().filter_map(|bad| bad.datagram(setup, &run, now));
                for (meta, message) in bad.collect::<Vec<_>>() {
                    prop_assert!(!run.hear(now, &meta, &message), "{:?}: {:?}", meta, message);
                    rejected += 1;
                }
                let after = run.outcome();
                prop_assert_eq!((after.effects, after.sent), (vec![], vec![]));
                prop_assert_eq!(run.router.poll_timeout(), deadline);
                prop_assert_eq!(written(&run.router), resignation);
            }
            prop_assert_eq!(run.take(step), quiet.take(step));
            prop_assert_eq!(written(&run.router), written(&quiet.router));
        }
        let total = |run: &Run| run.router.snapshot(run.now).counters.rejected.total();
        prop_assert_eq!(total(&run), total(&quiet) + rejected);
    }
}
