//! How the engine comes about: its directories, its peers, its routers and its thread.

use std::io;
use std::path::PathBuf;
use std::thread::JoinHandle;

use carp_proto::Instant;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::alarm::{Alarm, Rescues};
use super::handle::{Seat, Setup, SyncHandle};
use super::peer::{PeerState, now};
use super::router::RouterState;
use super::share::Share;
use super::wall::WallClock;
use super::{Done, Engine, exchange};
use crate::config::SyncSpec;
use crate::control::proto::{RankStatus, is_called};
use crate::event::{EventSource, Subscription};
use crate::node::Handle;
use crate::runner::RunnerHandle;
use crate::state::Durability;
use crate::sync::files;
use crate::sync::handover::{Requester, Server};
use crate::sync::lineage::NodeId;
use crate::sync::pace::Pace;
use crate::sync::record::{Memory, Role};
use crate::sync::rsync::ssh::Destination;

/// Starts the thread.
///
/// # Errors
/// What the system says to a new thread, or to the directory for memories.
pub fn start(
    setup: Setup,
    runner: RunnerHandle,
    node: Handle,
    events: EventSource,
    log: Subscription,
) -> io::Result<(SyncHandle, JoinHandle<()>)> {
    let (requests, inbox) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, done) = mpsc::unbounded_channel();
    let engine = Engine::begin(setup, runner, node, events, sender)?;
    let thread = std::thread::Builder::new().name("carp-sync".into()).spawn(move || {
        LocalSet::new().block_on(&runtime, engine.build().run(inbox, done, log));
    })?;
    Ok((SyncHandle { requests }, thread))
}

/// What can cross to the thread.
struct Parts {
    node_id: NodeId,
    process: u64,
    directory: PathBuf,
    runner: RunnerHandle,
    node: Handle,
    events: EventSource,
    peers: Vec<PeerState>,
    routers: Vec<RouterState>,
    shares: Vec<SyncSpec>,
    places: Vec<(usize, usize)>,
    state_dir: PathBuf,
    done: mpsc::UnboundedSender<Done>,
}

impl Engine {
    fn begin(
        setup: Setup,
        runner: RunnerHandle,
        node: Handle,
        events: EventSource,
        done: mpsc::UnboundedSender<Done>,
    ) -> io::Result<Parts> {
        let directory = setup.state_dir.join("sync");
        exchange::make_directories(&directory)?;
        let mut peers: Vec<PeerState> = Vec::new();
        let mut known: Vec<(&Destination, &Option<Vec<String>>)> = Vec::new();
        let mut routers: Vec<RouterState> = Vec::new();
        let mut places = Vec::new();
        for share in &setup.shares {
            let key = (&share.peer, &share.rsh);
            let peer = match known.iter().position(|known| *known == key) {
                Some(peer) => peer,
                None => {
                    known.push(key);
                    peers.push(PeerState::new(share, peers.len(), &directory)?);
                    peers.len() - 1
                }
            };
            let router = match routers.iter().position(|router| router.name == share.router) {
                Some(router) => router,
                None => {
                    routers.push(router_state(share, &setup.seats));
                    routers.len() - 1
                }
            };
            places.push((peer, router));
        }
        files::offer(&directory, &setup.shares, Durability::Quick)?;
        let node_id = NodeId::try_from(setup.node).map_err(io::Error::other)?;
        Ok(Parts {
            node_id,
            process: random()?,
            directory,
            runner,
            node,
            events,
            peers,
            routers,
            shares: setup.shares,
            places,
            state_dir: setup.state_dir,
            done,
        })
    }
}

impl Parts {
    fn build(self) -> Engine {
        let share = |(spec, (peer, router)): (SyncSpec, (usize, usize))| {
            let file = Memory::file(&self.state_dir, &spec.name);
            Share {
                memory: Memory::load(&file),
                file,
                peer,
                router,
                pace: Pace::new(spec.every),
                pass: None,
                decision: None,
                standing: None,
                idle: false,
                watching: None,
                marked: false,
                walking: false,
                walk_at: None,
                tidying: false,
                guard: None,
                approved: false,
                wanted: false,
                untidy: true,
                ended: Instant::ZERO,
                failing: None,
                last: None,
                purging: false,
                lingers: None,
                unwritten: None,
                held_before: None,
                clock_set: None,
                own_fault: None,
                told: None,
                alarm: Alarm::default(),
                rescues: Rescues::default(),
                spec,
            }
        };
        Engine {
            node_id: self.node_id,
            process: self.process,
            beat: 0,
            directory: self.directory,
            runner: self.runner,
            node: self.node,
            events: self.events,
            rsync: super::version::Program::default(),
            peers: self.peers,
            routers: self.routers,
            shares: self.shares.into_iter().zip(self.places).map(share).collect(),
            done: self.done,
            started: now(),
            wall: WallClock::read(),
            tidied: now(),
            exported: exchange::Exported::default(),
            shutting_down: None,
        }
    }
}

fn router_state(share: &SyncSpec, seats: &[Seat]) -> RouterState {
    let mine = seats.iter().enumerate().filter(|(_, seat)| is_called(&seat.name, &share.router));
    let mine: Vec<_> = mine.collect();
    let first = mine.first().map(|(_, seat)| (*seat).clone());
    RouterState {
        name: share.router.clone(),
        seats: mine.iter().map(|(number, _)| *number).collect(),
        preempts: first.as_ref().is_some_and(|seat| seat.preempts),
        rank: first.map_or(RankStatus::Vrrp { priority: 0 }, |seat| seat.rank),
        role: Role::Init,
        speaks_from: Vec::new(),
        heard: None,
        heard_rank: None,
        heard_at: now(),
        promoting: None,
        leaving: None,
        requester: Requester::new(share.policy.handover_timeout),
        asked: None,
        server: Server::new(share.policy.handover_timeout),
        hooks: None,
        told: None,
        freeze: None,
        answered: None,
    }
}

pub(super) fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
}
