//! 50 000 adverts a second (F46).

use std::time::Duration;

use carp_proto::{Instant, MacAddr};

use super::pair::Pair;
use crate::proto::Setup;
use crate::proto::peers::{Datagram, Peers, Said};
use crate::proto::vrrp::Version;
use crate::proto::wrong::Wrong;
use crate::support::{Rack, Tested, ensure};

const RATE: u32 = 50_000;

/// Longer than the active-down interval.
const TIME: Duration = Duration::from_secs(4);

/// How often a daemon announces an address at a time: the default burst.
const ANNOUNCED_AT_ONCE: usize = 5;

/// What is sent, and how many adverts it may call forth, of which the text tells.
struct Kind {
    text: &'static str,
    adverts: Vec<Datagram>,
    answered: bool,
}

pub(super) fn no_address_moves(rack: &Rack) -> Tested {
    for vrrp in [None, Some(Version::V3)] {
        let setup = Setup { vrrp, ..Setup::new() };
        let pair = Pair::start(rack, setup, true)?;
        for kind in kinds(setup) {
            flooded(&pair, &kind)?;
        }
    }
    Ok(())
}

/// Both routers hear it, the active one and the backup.
fn flooded(pair: &Pair, kind: &Kind) -> Tested {
    let since = pair.mark()?;
    let begin = std::time::Instant::now();
    let flooded = pair.attack(&kind.adverts, MacAddr::ADVERTISEMENT_IPV4, RATE, TIME)?.wait()?;
    let intervals = TIME.div_duration_f64(pair.interval()).ceil() as usize + 1;
    pair.expect_calm(&since, if kind.answered { intervals } else { 0 })?;
    let (active, backup) = pair.active_and_backup()?;
    let announced = active.announcements(begin) / ANNOUNCED_AT_ONCE;
    ensure(announced <= intervals, format!("{announced} announcements in {intervals} intervals"))?;
    let late = pair.lateness(begin)?.into_iter().max().unwrap_or_default();
    println!(
        "{}, {}: {:.0} a second, the latest advert {late:?} late; dropped by the kernel: active {}, backup {}",
        pair.name,
        kind.text,
        flooded.rate(),
        active.kernel_dropped(),
        backup.kernel_dropped(),
    );
    Ok(())
}

fn kinds(setup: Setup) -> Vec<Kind> {
    let bad = |text, wrong: Wrong| Kind {
        text,
        adverts: vec![wrong.datagram(setup, Instant::ZERO)],
        answered: false,
    };
    let mut kinds = vec![
        bad("bad checksums", Wrong::Checksum),
        bad("other ids", Wrong::Id),
        Kind { text: "valid adverts of a worse router", adverts: worse(setup), answered: true },
    ];
    if setup.vrrp.is_none() {
        kinds.push(bad("bad digests", Wrong::Key));
    }
    kinds
}

/// Valid adverts of a router that is worse than both.
fn worse(setup: Setup) -> Vec<Datagram> {
    let said = Said { advbase: 1, advskew: 250, demotion: 0 };
    vec![Peers::new(setup).advert(Instant::ZERO, 9, said)]
}
