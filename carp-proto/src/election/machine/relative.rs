//! A machine without its clock: what two machines have in common that will do the same from now on.
//!
//! The exploration of all runs ([`crate::sim::explore`]) needs it, to know a state again at another time.

use core::net::IpAddr;
use core::time::Duration;

use super::active::{Reacquiring, Serving, Step, TakingOver};
use super::announce::AnnounceTimer;
use super::backup::{ActivePeer, Grounds, Waiting};
use super::leaving::Leaving;
use super::{Machine, Stage};
use crate::election::config::Handicap;
use crate::election::input::{Bar, LinkState};
use crate::sim::Mixer;
use crate::time::Instant;

/// Mixes times as seen from now.
struct Relative<'a> {
    now: Instant,
    mixer: &'a mut Mixer,
}

impl Relative<'_> {
    fn tag(&mut self, tag: u64) {
        self.mixer.word(tag);
    }

    /// A time whose distance counts, before or after now.
    fn exact(&mut self, at: Instant) {
        self.mixer.time(at.saturating_since(self.now));
        self.mixer.time(self.now.saturating_since(at));
    }

    fn maybe(&mut self, at: Option<Instant>) {
        self.tag(u64::from(at.is_some()));
        at.into_iter().for_each(|at| self.exact(at));
    }

    /// Something that counts only until then.
    fn until(&mut self, at: Option<Instant>) {
        self.maybe(at.filter(|at| self.now < *at));
    }

    /// Something that counts only for so long.
    fn recent(&mut self, at: Option<Instant>, limit: Duration) {
        self.maybe(at.filter(|at| self.now.saturating_since(*at) <= limit));
    }

    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(ip) => {
                self.tag(4);
                self.mixer.bytes(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.tag(6);
                self.mixer.bytes(&ip.octets());
            }
        }
    }
}

impl Machine {
    /// Mixes in everything that what the machine does from `now` on depends on, and nothing else. Two
    /// machines of one configuration that mix equally do the same from then on. That a field is forgotten
    /// here is ruled out by the patterns, which name them all.
    pub(crate) fn mix_relative(&self, now: Instant, mixer: &mut Mixer) {
        let Self {
            config,
            running,
            link,
            handicap: Handicap { demotion, held },
            permitted,
            awaits_handover,
            bar,
            stage,
            reported,
            since,
            cause,
            transitions,
            active_peer,
            hold_until,
            listens_until,
            resigned,
            rival,
            answered_at,
            losses,
            fault,
            outputs,
        } = self;
        let mut relative = Relative { now, mixer };
        let flags = [*running, *permitted, *held, *awaits_handover];
        flags.iter().for_each(|flag| relative.tag(u64::from(*flag)));
        relative.tag(match bar {
            Bar::Nothing => 0,
            Bar::Silence => 1,
            Bar::Takeover => 2,
        });
        match link {
            LinkState::Up { source } => {
                relative.tag(0);
                relative.ip(*source);
            }
            LinkState::Down => relative.tag(1),
            LinkState::NoAddress => relative.tag(2),
        }
        relative.tag(demotion.get().into());
        relative.mixer.bytes(reported.name().as_bytes());
        relative.mixer.bytes(cause.name().as_bytes());
        // The first start has another cause than later ones.
        relative.tag(u64::from(*transitions == 0));
        let exact = matches!(stage, Stage::Leaving(_));
        relative.tag(u64::from(active_peer.is_some()));
        if let Some(ActivePeer { source, rank, interval, heard_at }) = *active_peer {
            relative.ip(source);
            relative.mixer.bytes(alloc::format!("{rank:?}").as_bytes());
            relative.mixer.time(interval);
            relative.recent(Some(heard_at), if exact { Duration::MAX } else { interval });
        }
        relative.until(*hold_until);
        relative.until(*listens_until);
        let overtakes = |at: &Instant| now.saturating_since(*at) <= super::backup::OVERTAKEN;
        if let Some((source, at)) = resigned.filter(|(_, at)| overtakes(at)) {
            relative.tag(1);
            relative.ip(source);
            relative.exact(at);
        } else if let Some((source, _)) = resigned.filter(|(_, at)| at >= since) {
            // An active router takes notice of it once.
            relative.tag(2);
            relative.ip(source);
        } else {
            relative.tag(0);
        }
        let rival = rival.filter(|(_, at)| now.saturating_since(*at) <= self.active_down());
        relative.tag(u64::from(rival.is_some()));
        if let Some((source, at)) = rival {
            relative.ip(source);
            relative.exact(at);
        }
        relative.recent(*answered_at, self.advert_interval());
        losses.times().into_iter().for_each(|at| relative.recent(at, super::HOLD));
        relative.mixer.bytes(alloc::format!("{fault:?}").as_bytes());
        relative.mixer.number(outputs.len());
        match stage {
            Stage::Init => relative.tag(1),
            Stage::Backup(waiting) => relative.waiting(waiting),
            Stage::TakingOver(takeover) => relative.taking_over(takeover),
            Stage::Serving(Serving { advert_at, announce, reacquiring }) => {
                relative.tag(4);
                relative.exact(*advert_at);
                let due = announce.due_at(&config.announce, config.seed);
                let repeats = config.announce.repeat.get(announce.next).copied().flatten();
                relative.announce(announce, due, repeats.is_some());
                relative.recent(Some(announce.last_at), self.advert_interval());
                relative.tag(u64::from(reacquiring.is_some()));
                if let Some(Reacquiring { limit_at, lost, offers }) = *reacquiring {
                    relative.exact(limit_at);
                    relative.tag(u64::from(lost));
                    relative.tag(u64::from(offers));
                }
            }
            Stage::Leaving(leaving) => relative.leaving(leaving),
        }
    }
}

impl Relative<'_> {
    fn waiting(&mut self, waiting: &Waiting) {
        let Waiting { down_at, grounds, worse_since, in_use, barred } = *waiting;
        self.tag(2);
        self.maybe(down_at);
        self.maybe(worse_since);
        self.tag(u64::from(in_use));
        self.tag(u64::from(barred));
        match grounds {
            Grounds::Silence => self.tag(1),
            Grounds::Resigned(source) => {
                self.tag(2);
                self.ip(source);
            }
            Grounds::Worse(source) => {
                self.tag(3);
                self.ip(source);
            }
            Grounds::Owner(cause) => {
                self.tag(4);
                self.mixer.bytes(cause.name().as_bytes());
            }
        }
    }

    fn taking_over(&mut self, takeover: &TakingOver) {
        let TakingOver { advert_at, step, limit_at, lost, cause, evidence: _ } = *takeover;
        self.tag(3);
        self.exact(advert_at);
        self.exact(limit_at);
        let acquiring = match step {
            Step::Preparing => false,
            Step::Acquiring => true,
        };
        self.tag(u64::from(acquiring));
        self.tag(u64::from(lost));
        self.mixer.bytes(cause.name().as_bytes());
    }

    fn announce(&mut self, timer: &AnnounceTimer, due: Option<Instant>, repeats: bool) {
        self.maybe(due);
        self.mixer.number(timer.next);
        self.maybe(repeats.then_some(timer.reason_at));
    }

    fn leaving(&mut self, leaving: &Leaving) {
        let Leaving { goal, resign_again_at, release_at, window_ends, successor } = *leaving;
        self.tag(5);
        self.mixer.bytes(alloc::format!("{goal:?}").as_bytes());
        self.maybe(resign_again_at);
        self.maybe(release_at);
        self.exact(window_ends);
        self.tag(u64::from(successor.is_some()));
        if let Some((source, rank, heard_at)) = successor.map(super::leaving::Successor::parts) {
            self.ip(source);
            self.mixer.bytes(alloc::format!("{rank:?}").as_bytes());
            self.exact(heard_at);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::leaving::Goal;
    use super::*;
    use crate::id::{Demotion, VirtualId};
    use crate::router::{RouterConfig, Vrrp3};
    use crate::sim::TraceHash;

    const NOW: Instant = Instant::from_nanos(100_000_000_000);

    fn after(seconds: u64) -> Instant {
        NOW + Duration::from_secs(seconds)
    }

    fn mixed(change: impl FnOnce(&mut Machine)) -> TraceHash {
        let address = "192.0.2.100/24".parse().unwrap();
        let id = VirtualId::new(7).unwrap();
        let router = RouterConfig::vrrp3(id, alloc::vec![address], Vrrp3::default()).unwrap();
        let mut machine = Machine::new(router.election());
        change(&mut machine);
        let mut mixer = Mixer::new();
        machine.mix_relative(NOW, &mut mixer);
        mixer.finish()
    }

    #[test]
    fn what_counts_until_then_is_the_same_from_then_on() {
        let held = |at| mixed(|machine| machine.hold_until = at);
        let past = Instant::from_nanos(NOW.as_nanos() - 1);
        assert_eq!(held(None), held(Some(past)));
        assert_eq!(held(None), held(Some(NOW)));
        assert_ne!(held(None), held(Some(after(5))));
        assert_ne!(held(Some(after(6))), held(Some(after(5))));
    }

    #[test]
    fn machines_that_will_do_something_else_are_told_apart() {
        let link = |last| {
            let source = IpAddr::from([192, 0, 2, last]);
            mixed(|machine| machine.link = LinkState::Up { source })
        };
        let serving = |next, advert| {
            let mut announce = AnnounceTimer::new(NOW);
            announce.next = next;
            let serving = Serving { advert_at: after(advert), announce, reacquiring: None };
            mixed(|machine| machine.stage = Stage::Serving(serving))
        };
        let leaving = |release_at, window| {
            let leaving = Leaving {
                goal: Goal::Stop,
                resign_again_at: None,
                release_at,
                window_ends: after(window),
                successor: None,
            };
            mixed(|machine| machine.stage = Stage::Leaving(leaving))
        };
        let mut known = BTreeMap::new();
        for (what, hash) in [
            ("new", mixed(|_| {})),
            ("running", mixed(|machine| machine.running = true)),
            ("not permitted", mixed(|machine| machine.permitted = false)),
            ("awaits a handover", mixed(|machine| machine.awaits_handover = true)),
            ("held", mixed(|machine| machine.handicap.held = true)),
            ("demoted", mixed(|machine| machine.handicap.demotion = Demotion::clamped(1))),
            ("barred while the peer is heard", mixed(|machine| machine.bar = Bar::Silence)),
            ("barred", mixed(|machine| machine.bar = Bar::Takeover)),
            ("link", link(1)),
            ("another source", link(2)),
            ("serves", serving(0, 1)),
            ("announces next", serving(1, 1)),
            ("adverts later", serving(0, 2)),
            ("leaves", leaving(None, 1)),
            ("leaves until then", leaving(Some(after(1)), 1)),
            ("leaves until later", leaving(Some(after(2)), 1)),
            ("waits longer for a successor", leaving(None, 2)),
        ] {
            if let Some(same) = known.insert(hash, what) {
                panic!("{what} is mixed as {same} is");
            }
        }
    }
}
