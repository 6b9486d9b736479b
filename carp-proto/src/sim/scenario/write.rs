//! A scenario as a text.

use core::fmt;

use super::{HostSpec, Scenario};
use crate::sim::fault::{Exact, Weather};
use crate::sim::host::{HostModel, LeaseModel};
use crate::sim::random::Chance;
use crate::sim::spec::{Spec, SpecSpeech};

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "carp-scenario 1")?;
        writeln!(f, "seed {}", self.seed)?;
        writeln!(f, "until {}", Exact(self.until))?;
        if !self.settles {
            writeln!(f, "settles no")?;
        }
        if self.weather != Weather::FAIR {
            writeln!(f, "weather {}", self.weather)?;
        }
        if self.noise != Chance::NEVER {
            writeln!(f, "noise {}", self.noise)?;
        }
        for host in &self.hosts {
            write_host(f, host)?;
        }
        let names = self.names();
        for &(host, bug) in &self.bugs {
            writeln!(f, "bug {} {bug:?}", names.get(host).copied().unwrap_or("?"))?;
        }
        for step in &self.steps {
            writeln!(f, "at {} {}", Exact(step.at), step.fault.described(&names))?;
        }
        match self.hash {
            Some(hash) => writeln!(f, "hash {hash}"),
            None => Ok(()),
        }
    }
}

fn write_host(f: &mut fmt::Formatter<'_>, host: &HostSpec) -> fmt::Result {
    write!(f, "host {} {} {}", host.name, host.sources.0, host.sources.1)?;
    let HostModel { lateness, acquire, release, notice, lease, guard, restart } = host.model;
    let usual = HostModel::DEFAULT;
    for (name, value, default) in [
        ("lateness", lateness, usual.lateness),
        ("acquire", acquire, usual.acquire),
        ("release", release, usual.release),
        ("notice", notice, usual.notice),
    ] {
        if value != default {
            write!(f, " {name} {}", Exact(value))?;
        }
    }
    match lease {
        LeaseModel::Auto => {}
        LeaseModel::Off => f.write_str(" lease off")?,
        LeaseModel::Of(time) => write!(f, " lease {}", Exact(time))?,
    }
    if !guard {
        f.write_str(" guard no")?;
    }
    match restart {
        restart if restart == usual.restart => {}
        None => f.write_str(" restart off")?,
        Some(time) => write!(f, " restart {}", Exact(time))?,
    }
    f.write_str("\n")?;
    host.routers.iter().try_for_each(|spec| write_router(f, spec))
}

fn write_router(f: &mut fmt::Formatter<'_>, spec: &Spec) -> fmt::Result {
    let id = spec.id;
    match spec.speech {
        SpecSpeech::Carp { dialect, advbase, advskew } => {
            let (advbase, advskew) = (advbase.get(), advskew.get());
            write!(f, "router carp {dialect} id {id} advbase {advbase} advskew {advskew}")?;
        }
        SpecSpeech::Vrrp2 { priority, interval } => {
            write!(f, "router vrrp2 id {id} priority {priority} ")?;
            write!(f, "interval {}", Exact(interval.advert()))?;
        }
        SpecSpeech::Vrrp3 { priority, interval, signed } => {
            write!(f, "router vrrp3 id {id} priority {priority} ")?;
            write!(f, "interval {}", Exact(interval.advert()))?;
            if signed {
                f.write_str(" signed yes")?;
            }
        }
    }
    let usual = Spec::new(spec.speech, spec.addresses.clone());
    if spec.preempt != usual.preempt {
        write!(f, " preempt {}", if spec.preempt { "yes" } else { "no" })?;
    }
    if spec.preempt_delay != usual.preempt_delay {
        write!(f, " preempt-delay {}", Exact(spec.preempt_delay))?;
    }
    if let Some(window) = spec.handover {
        write!(f, " handover {}", Exact(window))?;
    }
    spec.peers.iter().try_for_each(|peer| write!(f, " peer {peer}"))?;
    if spec.announce != usual.announce {
        write!(f, " burst {}", spec.announce.burst)?;
        for after in spec.announce.repeat.into_iter().flatten() {
            write!(f, " repeat {}", Exact(after))?;
        }
        match spec.announce.refresh {
            Some(every) => write!(f, " refresh {}", Exact(every))?,
            None => f.write_str(" refresh off")?,
        }
    }
    f.write_str(" addresses")?;
    spec.addresses.iter().try_for_each(|address| write!(f, " {address}"))?;
    f.write_str("\n")
}
