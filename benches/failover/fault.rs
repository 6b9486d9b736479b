//! What happens when a daemon dies, hangs, or is cut off while its machine lives, or when somebody takes
//! its address away.

use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::stats::millis;
use carp_node::lab::{AddressWatch, Holding, Lab, Prober};
use rustix::process::{Pid, Signal, kill_process};

use crate::contender::{Candidate, Contender, Role};
use crate::cost::family;
use crate::rack::{Rack, Server, VIP, look_for, wait_for};
use crate::round::{ASKS_EVERY, LAST_ANSWERS, largest_gap, settle, steady};

/// For how long it is watched what becomes of the address and of the client. Every timer is over by then.
pub(crate) const WATCHED: Duration = Duration::from_secs(8);

/// For how long it is watched after the address has left one server and the other one serves: nothing more is
/// to come.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What one round has shown.
#[derive(Clone, Debug)]
pub(crate) struct FaultRound {
    pub(crate) contender: Contender,
    pub(crate) number: usize,
    /// The process that advertises is killed.
    pub(crate) killed: Loss,
    /// It is stopped.
    pub(crate) stopped: Loss,
    /// All processes of the daemon are killed at once.
    pub(crate) all_killed: Loss,
    pub(crate) heal: Heal,
    /// How long the address was away, in milliseconds, after somebody had removed it; `None` if it did not
    /// come back in the time that was watched.
    pub(crate) deleted: Option<f64>,
}

/// A daemon is lost, and its machine is not. Times are in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    /// When the address had left the server; `None` if it did not in the time that was watched.
    pub(crate) gone: Option<f64>,
    /// When the other server answered for the first time; `None` if it did not in that time.
    pub(crate) served: Option<f64>,
    /// The longest time without an answer, by whichever server.
    pub(crate) unserved: f64,
    /// For how long both servers had the address, of that time.
    pub(crate) both: f64,
}

/// The servers see each other again, and are watched until the primary alone has served for a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heal {
    /// The longest time without an answer, in milliseconds.
    pub(crate) unserved: f64,
    /// Questions that nobody answered.
    pub(crate) lost: usize,
    /// For how long both servers had the address, from then on.
    pub(crate) both: f64,
}

/// Plays one round: every fault on a rack of its own.
pub(crate) fn play(lab: &Lab, candidate: &Candidate, number: usize) -> Result<FaultRound> {
    let scene = |fault: &str| {
        let name = format!("{}-{}-{fault}", candidate.contender.name(), candidate.protocol());
        Scene::set(lab, candidate, &format!("{name}-{number}"))
    };
    Ok(FaultRound {
        contender: candidate.contender,
        number,
        killed: scene("kill")?.lose(Signal::KILL, &[])?,
        stopped: scene("stop")?.lose(Signal::STOP, &[])?,
        all_killed: scene("kill-all")?.lose_all()?,
        heal: scene("heal")?.heal()?,
        deleted: scene("delete")?.delete()?,
    })
}

/// A pair at work, and who watches it.
struct Scene<'a> {
    rack: Rack<'a>,
    prober: Prober,
    primary: AddressWatch,
    secondary: AddressWatch,
}

impl<'a> Scene<'a> {
    fn set(lab: &Lab, candidate: &'a Candidate, name: &str) -> Result<Self> {
        let mut rack = Rack::new(lab, candidate, name)?;
        let watch = |server: &Server<'_>| server.host.watch_addresses();
        let (primary, secondary) = (watch(&rack.primary)?, watch(&rack.secondary)?);
        rack.start()?;
        let prober = Prober::start(&rack.client, VIP, ASKS_EVERY)?;
        settle(&prober, Role::Primary)?;
        Ok(Self { rack, prober, primary, secondary })
    }

    /// All processes of the primary's daemon.
    fn processes(&self) -> Result<Vec<u32>> {
        family(self.rack.primary.daemon()?.id())
    }

    /// The process that advertises: of keepalived, the child of the one that was started.
    fn speaker(&self) -> Result<u32> {
        let processes = self.processes()?;
        let place = usize::from(self.rack.primary.contender() == Contender::Keepalived);
        Ok(*processes.get(place).ok_or("the daemon has no process that advertises")?)
    }

    /// The daemon is lost: a signal to the process that advertises, or to these.
    fn lose(&self, signal: Signal, others: &[u32]) -> Result<Loss> {
        let speaker = [self.speaker()?];
        let processes = if others.is_empty() { &speaker[..] } else { others };
        let since = Instant::now();
        for process in processes {
            send(*process, signal)?;
        }
        self.watch_loss(since)
    }

    /// None of them sees another one die.
    fn lose_all(&self) -> Result<Loss> {
        let processes = self.processes()?;
        for process in &processes {
            send(*process, Signal::STOP)?;
        }
        self.lose(Signal::KILL, &processes)
    }

    fn watch_loss(&self, since: Instant) -> Result<Loss> {
        let served = || self.prober.first_answer(since, Role::Secondary.name());
        let all_over = || Ok(self.primary.left(VIP, since).zip(served()).map(drop));
        if look_for(WATCHED, all_over)?.is_some() {
            std::thread::sleep(AFTERWARDS);
        }
        let until = Instant::now();
        std::thread::sleep(LAST_ANSWERS);
        let after = |at: Option<Instant>| at.filter(|at| *at <= until).map(|at| millis(at - since));
        Ok(Loss {
            gone: after(self.primary.left(VIP, since)),
            served: after(served()),
            unserved: millis(largest_gap(&self.prober, since, until)?),
            both: millis(self.both_held(since, until)),
        })
    }

    fn heal(&self) -> Result<Heal> {
        self.rack.primary.host.cut()?;
        wait_for("both to be active", || {
            let held = |server: &Server<'_>| server.host.has_address(VIP);
            Ok((held(&self.rack.primary)? && held(&self.rack.secondary)?).then_some(()))
        })?;
        settle(&self.prober, Role::Secondary)?;
        self.rack.primary.host.plug()?;
        let since = Instant::now();
        look_for(WATCHED, steady(&self.prober, Role::Primary))?;
        let until = Instant::now();
        std::thread::sleep(LAST_ANSWERS);
        let asked = self.prober.probes(since);
        let unanswered =
            |probe: &&carp_node::lab::Probe| probe.sent < until && probe.answer.is_none();
        Ok(Heal {
            unserved: millis(largest_gap(&self.prober, since, until)?),
            lost: asked.iter().filter(unanswered).count(),
            both: millis(self.both_held(since, until)),
        })
    }

    fn delete(&self) -> Result<Option<f64>> {
        let since = Instant::now();
        self.rack.primary.host.remove_address(VIP, 32)?;
        look_for(WATCHED, || {
            let left = self.primary.left(VIP, since);
            let back = left.and_then(|left| Some(self.primary.came(VIP, left)? - left));
            Ok(back.map(millis))
        })
    }

    fn both_held(&self, since: Instant, until: Instant) -> Duration {
        let (one, other) = (self.primary.holdings(VIP), self.secondary.holdings(VIP));
        let pairs = one.iter().flat_map(|one| other.iter().map(move |other| (one, other)));
        pairs.map(|(one, other)| overlap(one, other, since, until)).sum()
    }
}

fn overlap(one: &Holding, other: &Holding, since: Instant, until: Instant) -> Duration {
    let end = |holding: &Holding| holding.to.unwrap_or(until);
    let from = one.from.max(other.from).max(since);
    end(one).min(end(other)).min(until).saturating_duration_since(from)
}

fn send(process: u32, signal: Signal) -> Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).ok_or("no process id")?;
    Ok(kill_process(pid, signal)?)
}
