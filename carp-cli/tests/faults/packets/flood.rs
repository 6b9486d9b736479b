//! 50 000 packets a second (F46).

use std::time::Duration;

use carp_node::lab::mac;
use carp_proto::wire::{arp, ndp};
use carp_proto::{Instant, MacAddr};

use super::pair::{Pair, frame};
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

/// What is sent.
struct Kind {
    text: &'static str,
    frame: Vec<u8>,
    /// Whether an active router may answer it, by one advert an interval.
    answered: bool,
}

/// One router after the other: a flood is enough for the machine.
pub(super) fn no_address_moves(rack: &Rack) -> Tested {
    for vrrp in [None, Some(Version::V3), Some(Version::V3Ipv6)] {
        let pair = Pair::start(rack, Setup { vrrp, ..Setup::new() }, true)?;
        for kind in kinds(pair.setup) {
            flooded(&pair, kind)?;
        }
    }
    Ok(())
}

/// Both routers hear it, the active one and the backup.
fn flooded(pair: &Pair, kind: Kind) -> Tested {
    let since = pair.mark()?;
    let begin = std::time::Instant::now();
    let flooded = pair.attacker.flood(vec![kind.frame], RATE, TIME)?.wait()?;
    let intervals = TIME.div_duration_f64(pair.interval()).ceil() as usize + 1;
    pair.expect_calm(&since, if kind.answered { intervals } else { 0 })?;
    let (active, backup) = pair.active_and_backup()?;
    let announced = active.announcements(begin) / ANNOUNCED_AT_ONCE;
    ensure(announced <= intervals, format!("{announced} announcements in {intervals} intervals"))?;
    let late = pair.lateness(begin)?.into_iter().max().unwrap_or_default();
    println!(
        "{}, {}: {:.0} a second; the latest advert {late:?} late; dropped for want of room: {} and {}",
        pair.name,
        kind.text,
        flooded.rate(),
        active.kernel_dropped(),
        backup.kernel_dropped(),
    );
    Ok(())
}

fn kinds(setup: Setup) -> Vec<Kind> {
    let group = if setup.family() == Version::V3Ipv6 {
        MacAddr::ADVERTISEMENT_IPV6
    } else {
        MacAddr::ADVERTISEMENT_IPV4
    };
    let advert =
        |text, advert: &Datagram, answered| Kind { text, frame: frame(group, advert), answered };
    let bad = |text, wrong: Wrong| advert(text, &wrong.datagram(setup, Instant::ZERO), false);
    match setup.vrrp {
        None => vec![
            bad("bad digests", Wrong::Key),
            bad("other ids", Wrong::Id),
            advert("valid adverts of a worse router", &worse(setup), true),
        ],
        Some(Version::V2 | Version::V3) => {
            vec![bad("bad checksums", Wrong::Checksum), announcement(&arp_announcement())]
        }
        Some(Version::V3Ipv6) => {
            vec![bad("bad checksums", Wrong::Checksum), announcement(&neighbour_advertisement())]
        }
    }
}

/// A valid advert of a router that is worse than both.
fn worse(setup: Setup) -> Datagram {
    let said = Said { advbase: 1, advskew: 250, demotion: 0 };
    Peers::new(setup).advert(Instant::ZERO, 9, said)
}

fn announcement(frame: &[u8]) -> Kind {
    Kind { text: "announcements of another address", frame: frame.to_vec(), answered: false }
}

fn arp_announcement() -> Vec<u8> {
    let mut frame = Vec::new();
    let said = arp::Announcement { mac: mac(0x66), address: [10, 99, 0, 66].into() };
    arp::emit_frame(said, arp::Form::Request, &mut frame);
    frame
}

fn neighbour_advertisement() -> Vec<u8> {
    let mut frame = Vec::new();
    let address = [0xfe80, 0, 0, 0, 0, 0, 0, 0x66].into();
    let said = ndp::Announcement { mac: mac(0x66), address, router: false, overrides: true };
    ndp::emit_frame(said, &mut frame);
    frame
}
