//! A few rejected adverts a second (F45): every kind, at routers of every kind.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use carp_node::lab::{mac, wait_until};
use carp_proto::election::Dialect;
use libtest_mimic::Failed;

use super::pair::{Pair, TARGET};
use crate::proto::Setup;
use crate::proto::peers::{Datagram, Extra};
use crate::proto::vrrp::Version;
use crate::proto::wrong::Wrong;
use crate::support::{LIMIT, Rack, Tested, ensure};

/// The rates, and for how long: together they send every kind.
const RATES: [(u32, Duration); 2] = [(2, Duration::from_secs(6)), (5, Duration::from_secs(6))];

/// What a loaded machine may add: an interval.
const MARGIN: Duration = Duration::from_secs(1);

/// The routers: between them they know every mistake but those of signatures.
fn setups() -> [Setup; 6] {
    let of = |vrrp, extra| Setup { vrrp, extra, ..Setup::new() };
    [
        Setup { dialect: Dialect::OpenBsd, ..Setup::new() },
        of(None, Extra::Chosen),
        of(Some(Version::V2), Extra::Password),
        of(Some(Version::V3), Extra::Nothing),
        of(Some(Version::V3), Extra::Chosen),
        of(Some(Version::V3Ipv6), Extra::Nothing),
    ]
}

/// All pairs at once: nothing of this needs much of the machine but time.
pub(super) fn no_router_is_late(rack: &Rack) -> Tested {
    let roles = setups().into_iter().flat_map(|setup| [(setup, true), (setup, false)]);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> =
            roles.map(|(setup, active)| scope.spawn(move || play(rack, setup, active))).collect();
        let ended = running.into_iter().map(|thread| match thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(failed)) => Some(failed.message().unwrap_or("no reason").to_owned()),
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ended.flatten().collect()
    });
    ensure(failures.is_empty(), failures.join("\n"))
}

fn play(rack: &Rack, setup: Setup, target_is_active: bool) -> Tested {
    let mut pair = Pair::start(rack, setup, target_is_active)?;
    let kinds = kinds(setup);
    let mut counts = BTreeMap::<&str, u64>::new();
    for (number, (rate, time)) in RATES.into_iter().enumerate() {
        // At the slow rate there is time for the one half, at the other for all.
        let mut kinds = kinds.clone();
        if number == 0 {
            kinds.reverse();
        }
        let since = pair.mark()?;
        let adverts: Vec<Datagram> = kinds.iter().map(|(_, advert)| advert.clone()).collect();
        let sent = pair.attack(&adverts, mac(TARGET), rate, time)?.wait()?.sent;
        for (label, _) in kinds.iter().cycle().take(usize::try_from(sent)?) {
            *counts.entry(label).or_default() += 1;
        }
        pair.expect_calm(&since, 0)?;
    }
    for (label, _) in &kinds {
        ensure(counts.contains_key(label), format!("{}: {label} was not sent", pair.name))?;
    }
    for (label, count) in counts {
        let what = format!("{}: {count} × {label}", pair.name);
        let rejected = || pair.target.daemon.rejected(label);
        let counted = wait_until(LIMIT, &what, || rejected() == count);
        counted.map_err(|error| Failed::from(format!("{error}; there are {}", rejected())))?;
    }
    if target_is_active { Ok(()) } else { takes_over_on_time(&mut pair, &kinds) }
}

/// The backup's timer runs, whoever else sends excellent adverts with a mistake.
fn takes_over_on_time(pair: &mut Pair, kinds: &[(&'static str, Datagram)]) -> Tested {
    let adverts: Vec<Datagram> = kinds.iter().map(|(_, advert)| advert.clone()).collect();
    let attack = pair.attack(&adverts, mac(TARGET), RATES[1].0, LIMIT)?;
    let since = Instant::now();
    let death = pair.peer.host.power_off()?;
    let down = pair.active_down();
    wait_until(LIMIT, &format!("{}: a takeover", pair.name), || {
        pair.target.took_over(pair.setup, since).is_some()
    })?;
    attack.stop()?;
    let taken = pair.target.took_over(pair.setup, since).ok_or("no takeover")?;
    let took = taken.saturating_duration_since(death);
    // The last advert may have come an interval before, and `down` has a second to spare.
    let earliest = down.saturating_sub(pair.interval() + Duration::from_secs(1) + MARGIN);
    ensure(took >= earliest, format!("{}: a takeover after {took:?} already", pair.name))?;
    let late = took.saturating_sub(down);
    ensure(late < MARGIN, format!("{}: a takeover {late:?} late", pair.name))
}

/// Every kind of advert that such a router rejects and that its kernel delivers, and the label.
fn kinds(setup: Setup) -> Vec<(&'static str, Datagram)> {
    let delivered = |wrong: &Wrong| match wrong {
        // No packet is of two families; nothing is open for the other one; another group was not
        // joined; the filter drops other ids; 9000 bytes do not fit in a frame.
        Wrong::TwoFamilies
        | Wrong::OtherFamily
        | Wrong::OtherGroup
        | Wrong::Id
        | Wrong::Huge
        // Without a second byte there is no id, and the filter drops it.
        | Wrong::Empty
        // The cookie of a daemon is random.
        | Wrong::OwnCookie => false,
        _ => true,
    };
    let bad = Wrong::ALL.into_iter().filter(delivered).filter_map(|wrong| {
        Some((wrong.label(setup)?, wrong.datagram(setup, carp_proto::Instant::ZERO)))
    });
    bad.collect()
}
