//! What happens to a pair, and what has to be seen of it.

use std::time::{Duration, Instant};

use carp_node::lab::{Lab, wait_until};
use libtest_mimic::Failed;

use crate::cell::{Cell, Scenario};
use crate::speaker::Seat;
use crate::stage::Stage;
use crate::support::{LIMIT, ensure};

/// What was seen of a cell that went well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// Who has the address in the end.
    pub(crate) owner: Seat,
    /// From the cause to its effect, as [`Scenario::meaning`] says.
    pub(crate) time: Option<Duration>,
}

/// Plays a cell on a stage of its own.
pub(crate) fn play(lab: &Lab, cell: Cell) -> Result<Seen, Failed> {
    let mut stage = Stage::new(lab, cell)?;
    match cell.scenario {
        Scenario::Election => elect(&mut stage),
        Scenario::Kill => kill(&mut stage),
        Scenario::Resign => resign(&mut stage),
        Scenario::Preempt => preempt(&mut stage),
        Scenario::NoPreempt => no_preempt(&mut stage),
        Scenario::Tie => tie(&mut stage),
        Scenario::Heal => heal(&mut stage),
    }
}

fn elect(stage: &mut Stage) -> Result<Seen, Failed> {
    let start = stage.first.start()?;
    stage.second.start()?;
    let owner = stage.first.node.seat;
    stage.wait_for_owner(owner, "the better one to be active")?;
    stage.check_sources(owner, start)?;
    stage.second.daemon()?.wait_until_listening()?;
    Ok(Seen { owner, time: since(start, stage.first.first_advert(start)) })
}

fn kill(stage: &mut Stage) -> Result<Seen, Failed> {
    elect(stage)?;
    let death = stage.first.die()?;
    let owner = stage.second.node.seat;
    stage.wait_for_owner(owner, "the other one to take over from a dead machine")?;
    Ok(Seen { owner, time: since(death, stage.second.first_advert(death)) })
}

fn resign(stage: &mut Stage) -> Result<Seen, Failed> {
    elect(stage)?;
    let (owner, resigns) = (stage.second.node.seat, stage.first.kind.resigns());
    let stop = Instant::now();
    stage.first.daemon()?.stop()?;
    stage.wait_for_owner(owner, "the other one to take over from one that stopped")?;
    let takeover = stage.second.first_advert(stop).ok_or("the other one did not advertise")?;
    ensure(
        stage.first.has_resigned(stop) == resigns,
        format!("{} says goodbye: {resigns} was expected", stage.first.kind.name()),
    )?;
    if resigns {
        let last = stage.first.last_advert(takeover).ok_or("the first one never advertised")?;
        let (waited, down) = (takeover - last, stage.variant.active_down(stage.second.node.rank));
        ensure(waited < down, format!("{waited:?} is no faster than waiting, {down:?}"))?;
    }
    Ok(Seen { owner, time: Some(takeover - stop) })
}

fn preempt(stage: &mut Stage) -> Result<Seen, Failed> {
    kill(stage)?;
    stage.first.boot()?;
    let start = stage.first.start()?;
    let owner = stage.first.node.seat;
    stage.wait_for_owner(owner, "the better one to preempt")?;
    Ok(Seen { owner, time: since(start, stage.first.first_advert(start)) })
}

fn no_preempt(stage: &mut Stage) -> Result<Seen, Failed> {
    kill(stage)?;
    stage.first.node.preempt = false;
    stage.first.boot()?;
    let start = stage.first.start()?;
    stage.first.daemon()?.wait_until_listening()?;
    let listening = Instant::now();
    // Five intervals between them: an active-down interval is under four.
    let enough = 6;
    wait_until(LIMIT, "adverts for longer than the active-down interval", || {
        stage.second.adverts(listening) >= enough
    })?;
    let owner = stage.second.node.seat;
    stage.wait_for_owner(owner, "the other one to stay active")?;
    ensure(stage.first.first_advert(start).is_none(), "the one that came back has advertised")?;
    Ok(Seen { owner, time: None })
}

fn tie(stage: &mut Stage) -> Result<Seen, Failed> {
    stage.first.start()?;
    stage.second.start()?;
    stage.wait_for_any_owner("one of equal rank to be active")?;
    let joined = split_and_join(stage)?;
    let higher = stage.variant.higher_address_wins();
    let (winner, loser) =
        if higher { (&stage.first, &stage.second) } else { (&stage.second, &stage.first) };
    let owner = winner.node.seat;
    stage.wait_for_owner(owner, "the one to stay that the protocol names")?;
    Ok(Seen {
        owner,
        time: loser.last_advert(Instant::now()).map(|last| last.max(joined) - joined),
    })
}

fn heal(stage: &mut Stage) -> Result<Seen, Failed> {
    elect(stage)?;
    let joined = split_and_join(stage)?;
    let owner = stage.first.node.seat;
    stage.wait_for_owner(owner, "the better one to stay")?;
    let last = stage.second.last_advert(Instant::now()).ok_or("the other one never advertised")?;
    let doubled = last.max(joined) - joined;
    // Each hears the other within an interval. Whoever is slow to listen has as long as it would have
    // taken to notice a death.
    let bound = stage.variant.active_down(stage.second.node.rank);
    ensure(doubled <= bound, format!("two were active for {doubled:?} after the joining"))?;
    Ok(Seen { owner, time: Some(doubled) })
}

/// Cuts the second off until both are active, and joins it again: when.
fn split_and_join(stage: &Stage) -> Result<Instant, Failed> {
    stage.second.host.cut()?;
    stage.wait_for_both("both to be active while they are cut off from each other")?;
    let joined = Instant::now();
    stage.second.host.plug()?;
    Ok(joined)
}

fn since(cause: Instant, effect: Option<Instant>) -> Option<Duration> {
    effect.map(|effect| effect.saturating_duration_since(cause))
}
