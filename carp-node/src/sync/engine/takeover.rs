//! Takeovers: what is done before an address is taken, and what the election is told.

use std::time::Duration;

use carp_proto::election::Bar;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::build::random;
use super::handle::Verdict;
use super::peer::{now, wall_stamp};
use super::router::Promoting;
use super::share::Share;
use super::{Engine, Role};
use crate::node::Restraint;
use crate::remedy::Told;
use crate::sync::TICK;
use crate::sync::decide::{Decision, Me, Wait};
use crate::sync::guards::{marker, place};
use crate::sync::handover::{RequesterInput, RequesterOutput};
use crate::sync::policy::Policy;
use crate::sync::standing::{Delay, Held, Moments, Takeover, standing};

impl Engine {
    pub(super) fn prepare(&mut self, seat: usize, reply: oneshot::Sender<Verdict>) {
        let router = self.routers.iter().position(|router| router.seats.contains(&seat));
        let Some(number) = router else {
            // No share follows it.
            let _ = reply.send(Ok(()));
            return;
        };
        if let Some(older) = self.routers[number].promoting.replace(Promoting { reply }) {
            // Of two elections of one router, both wait for the same.
            let newer = self.routers[number].promoting.take();
            let (one, two) = (older.reply, newer.map(|it| it.reply));
            let (both, verdict) = oneshot::channel::<Verdict>();
            spawn_local(async move {
                let verdict = verdict.await.unwrap_or_else(|_| Err("it was given up".into()));
                let _ = one.send(verdict.clone());
                let _ = two.map(|two| two.send(verdict));
            });
            self.routers[number].promoting = Some(Promoting { reply: both });
        }
        for share in self.mine(number) {
            self.shares[share].stop_pass();
        }
        self.promote_if_ready(number);
    }

    /// Takes over or refuses, once nothing is pulled any more.
    pub(super) fn promote_if_ready(&mut self, number: usize) {
        if self.routers[number].promoting.is_none() {
            return;
        }
        let mine = self.mine(number);
        if mine.iter().any(|share| self.shares[*share].pass.is_some()) {
            return;
        }
        let verdict = self.promote(number, &mine);
        let Some(promoting) = self.routers[number].promoting.take() else { return };
        if verdict.is_ok() {
            let before = std::mem::replace(&mut self.routers[number].role, Role::Active);
            // To the second one of two elections of a router it is nothing new.
            if before != Role::Active {
                self.role_changed(number, before, now());
            }
            for share in mine {
                self.purge(share);
            }
            self.export_now(now());
        }
        // The node may have ended.
        let _ = promoting.reply.send(verdict);
    }

    /// Begins the epochs of a router's shares. All are asked before the first one begins: an epoch without a takeover
    /// is one that nobody has served.
    fn promote(&mut self, number: usize, shares: &[usize]) -> Verdict {
        let stale =
            shares.iter().map(|share| self.may_begin(*share)).collect::<Result<Vec<_>, _>>()?;
        // A disk may have been slow: of a handover that is over, the peer's writers go on.
        let output = self.routers[number].requester.handle(now(), RequesterInput::Tick);
        if let Some(RequesterOutput::GivenUp(_)) = output {
            self.requester_says(number, output);
            return Err(
                "the handover was over before this node could serve: look at its disks".to_owned()
            );
        }
        shares.iter().zip(stale).try_for_each(|(share, stale)| self.begin_epoch(*share, stale))
    }

    /// Whether the epoch of a share may begin, and whether its copy is an old one.
    fn may_begin(&self, number: usize) -> Result<bool, String> {
        let share = &self.shares[number];
        let refused = |why: String| format!("share {}: {why}", share.spec.name);
        if share.bars_takeover() {
            return Err(refused(share.fault().unwrap_or_default()));
        }
        let stale = self.takeover_of(number)?;
        absent(share).map_or(Ok(stale), |why| Err(refused(why)))
    }

    fn begin_epoch(&mut self, number: usize, stale: bool) -> Verdict {
        // What the last pass changed is older than the epoch, and whatever is written from now on is not.
        let rest = TICK.saturating_sub(now().saturating_since(self.shares[number].ended));
        std::thread::sleep(rest);
        let name = self.shares[number].spec.name.clone();
        let nonce = random().map_err(|error| format!("share {name}: {error}"))?;
        let memory =
            self.shares[number].memory.after_promotion(&self.node_id, wall_stamp(), nonce, stale);
        if self.remember(number, memory) {
            return Ok(());
        }
        Err(format!("share {name}: {}", self.shares[number].fault().unwrap_or_default()))
    }

    /// Whether the share may be served, and whether its copy is an old one.
    fn takeover_of(&self, number: usize) -> Result<bool, String> {
        let share = &self.shares[number];
        let router = &self.routers[share.router];
        let me = Me {
            node: &self.node_id,
            share: &share.spec.name,
            role: Role::Backup,
            memory: &share.memory,
            clock: wall_stamp(),
        };
        // The election has seen to it that silence alone is no reason while the peer serves.
        let policy = Policy { peer_alive_veto: false, ..share.spec.policy.clone() };
        let peer = self.peers[share.peer].peer();
        let decision = Decision::Wait(Wait::PeerSilent);
        let moments = Moments { started: self.started, heard: router.heard_at };
        match standing(&me, peer, &decision, Duration::ZERO, &policy, moments, now()).takeover {
            Takeover::Now { stale } => Ok(stale),
            Takeover::NotBefore(_, why) => {
                Err(format!("share {}: {}", share.spec.name, delay_words(why)))
            }
            Takeover::Never => Err(format!("share {}: {}", share.spec.name, NEVER)),
        }
    }

    /// Tells the election what the shares of a router mean for it.
    pub(super) async fn tell_election(&mut self, number: usize) {
        let mine = || self.shares.iter().filter(|share| share.router == number);
        let standings: Vec<_> = mine().filter_map(|share| share.standing.as_ref()).collect();
        let barred = mine().any(Share::bars_takeover);
        let router = &mut self.routers[number];
        let holds = !router.requester.may_take_over();
        let is_held =
            |how: fn(Held) -> bool| holds && standings.iter().any(|it| it.held.is_some_and(how));
        let restraint = Restraint {
            behind: is_held(|held| held != Held::AwaitsHandover),
            awaits_handover: is_held(|held| held == Held::AwaitsHandover),
            bar: if barred {
                Bar::Takeover
            } else {
                standings.iter().map(|it| bar_of(it.takeover)).max().unwrap_or_default()
            },
        };
        if router.told == Some(restraint) {
            return;
        }
        router.told = Some(restraint);
        for seat in &router.seats {
            self.node.hold_back(*seat, restraint).await;
        }
    }
}

/// Why the tree cannot be served that the router waits for: its disk is not mounted.
fn absent(share: &Share) -> Option<String> {
    let expected = share.memory.share_id.as_deref().filter(|_| share.spec.policy.require)?;
    let root = match place::real_root(&share.spec.path) {
        Ok(root) => root,
        Err(hold) => return Some(format!("{}; the address is not taken over", hold.message)),
    };
    match marker::read(&root) {
        Ok(found) => marker::check_promoted(expected, found.as_ref(), &root),
        Err(error) => Some(format!("{}: {}", root.join(marker::MARKER).display(), Told(&error))),
    }
}

/// What a takeover of a share waits for, beside silence: of that, a standby is always waiting.
pub(super) fn put_off(share: &Share) -> Option<&'static str> {
    if share.bars_takeover() {
        return Some("something is wrong with the share on this node, and has to be mended first");
    }
    match share.standing.as_ref()?.takeover {
        Takeover::Now { .. } | Takeover::NotBefore(_, Delay::PeerServes) => None,
        Takeover::NotBefore(_, why) => Some(delay_words(why)),
        Takeover::Never => Some(NEVER),
    }
}

const NEVER: &str = "its copy is old, and stale_takeover is \"never\": `carp sync resolve --keep local` \
                     lets it be served";

const fn bar_of(takeover: Takeover) -> Bar {
    match takeover {
        Takeover::Now { .. } => Bar::Nothing,
        Takeover::NotBefore(_, Delay::PeerServes) => Bar::Silence,
        Takeover::NotBefore(_, Delay::PeerIsAhead | Delay::ColdStart | Delay::StaleCopy)
        | Takeover::Never => Bar::Takeover,
    }
}

const fn delay_words(why: Delay) -> &'static str {
    match why {
        Delay::PeerServes => "the peer says that it serves: the path of the adverts is broken",
        Delay::PeerIsAhead => "the peer has newer data, and lives: it should serve",
        Delay::ColdStart => "the peer may have newer data, and is waited for (cold_start_wait)",
        Delay::StaleCopy => "the copy is old, and the better one is waited for (stale_takeover)",
    }
}
