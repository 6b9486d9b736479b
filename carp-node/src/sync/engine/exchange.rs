//! What the two nodes tell each other: the own record, written each second, and the peer's, read as often.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;

use carp_proto::Instant;
use tokio::task::spawn_local;

use super::changes::Watching;
use super::peer::{self, Heard, Trouble, now, wall_stamp};
use super::{Done, Engine, READ_EVERY, READ_OFTEN};
use crate::event::EventKind;
use crate::state::{Durability, replace_with_mode};
use crate::sync::decide::untouched;
use crate::sync::files;
use crate::sync::record::{Databases, NodeRecord, Role, ShareRecord};
use crate::sync::rsync::exit::Outcome;
use crate::sync::rsync::ssh::{self, RECORD_FILE};

/// How often the own record is written when nothing in it changes.
const EXPORT_EVERY: Duration = Duration::from_secs(1);

/// How long closing a kept connection may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// What was exported last.
#[derive(Debug, Default)]
pub(super) struct Exported {
    at: Option<Instant>,
    shares: BTreeMap<String, ShareRecord>,
    /// Whether it could not be written, and that was told.
    failed: bool,
}

/// Makes the directory for what is ours alone.
pub(super) fn make_directories(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory.join("tmp"))
}

/// Telling.
impl Engine {
    /// Writes the record if it changed, or if it is time to show life.
    pub(super) fn export(&mut self, now: Instant) {
        let shares = self.records();
        let due = self.exported.at.is_none_or(|at| now.saturating_since(at) >= EXPORT_EVERY);
        if due || shares != self.exported.shares {
            self.write_record(shares, now);
        }
    }

    /// Writes it in any case.
    pub(super) fn export_now(&mut self, now: Instant) {
        let shares = self.records();
        self.write_record(shares, now);
    }

    fn records(&self) -> BTreeMap<String, ShareRecord> {
        let record = |number: usize| {
            let share = &self.shares[number];
            (share.spec.name.clone(), self.record(number))
        };
        (0..self.shares.len()).map(record).collect()
    }

    /// What is told of a share.
    pub(super) fn record(&self, number: usize) -> ShareRecord {
        let share = &self.shares[number];
        let router = &self.routers[share.router];
        let memory = &share.memory;
        let leaving = router.leaving.as_ref().filter(|leaving| leaving.quiet_since.is_some());
        ShareRecord {
            role: if router.promoting.is_some() { Role::Active } else { router.role },
            speaks_from: router.speaks_from.clone(),
            share_id: memory.share_id.clone(),
            history: memory.history.clone(),
            as_of: memory.as_of.clone(),
            dirty: memory.dirty,
            supersedes: memory.supersedes.clone(),
            accepts: memory.accepts.clone(),
            keeps: memory.keeps.clone(),
            untouched: untouched(&self.node_id, memory),
            in_sync: share.standing.as_ref().is_some_and(|standing| standing.in_sync),
            held: share.hold().is_some(),
            want: router.requester.want(),
            quiesced: leaving.map(|leaving| leaving.want).or_else(|| router.server.quiesced()),
            changes: share.watching.as_ref().map_or(0, Watching::changes),
            marked: router.role == Role::Active && share.marked,
            databases: share.watching.as_ref().map_or(Databases::Unknown, Watching::databases),
        }
    }

    fn write_record(&mut self, shares: BTreeMap<String, ShareRecord>, now: Instant) {
        self.beat = self.beat.wrapping_add(1);
        let record = NodeRecord {
            node: self.node_id.clone(),
            beat: self.beat,
            process: self.process,
            now: wall_stamp(),
            shares,
        };
        let path = self.directory.join("export").join(RECORD_FILE);
        let mode = files::record_mode(self.shares.iter().map(|share| &share.spec));
        let written = replace_with_mode(&path, record.emit().as_bytes(), Durability::Quick, mode);
        self.exported.at = Some(now);
        self.exported.shares = record.shares;
        if let Err(error) = &written
            && !self.exported.failed
        {
            let text = format!(
                "{}: {error}; the peer cannot see that this node lives, until it can be written",
                path.display()
            );
            self.events.tell(None, EventKind::Fault { text });
        }
        self.exported.failed = written.is_err();
    }
}

/// Listening.
impl Engine {
    pub(super) fn read_peers(&mut self, now: Instant) {
        for number in 0..self.peers.len() {
            let hurries = self.hurries(number);
            let peer = &mut self.peers[number];
            let every = if hurries { READ_OFTEN } else { READ_EVERY };
            if peer.reading || now.saturating_since(peer.asked_at) < every {
                continue;
            }
            peer.reading = true;
            peer.asked_at = now;
            let (runner, remote) = (self.runner.clone(), peer.remote.clone());
            let to = self.directory.join("tmp").join(format!("peer-{number}"));
            let done = self.done.clone();
            spawn_local(async move {
                let heard = peer::read(&runner, &remote, to).await;
                let _ = done.send(Done::Peer { peer: number, heard });
            });
        }
    }

    /// Whether a change of the active node is under way with this peer.
    fn hurries(&self, peer: usize) -> bool {
        let mut routers = self.shares.iter().filter(|share| share.peer == peer);
        routers.any(|share| {
            let router = &self.routers[share.router];
            router.requester.want().is_some()
                || router.server.deadline().is_some()
                || router.leaving.is_some()
        })
    }

    pub(super) fn peer_read(&mut self, number: usize, heard: Result<Heard, Trouble>) {
        let now = now();
        let peer = &mut self.peers[number];
        peer.reading = false;
        peer.answered = peer.asked_at;
        let closes = heard.as_ref().err().and_then(|trouble| trouble.outcome);
        let before = peer.trouble.clone();
        peer.note(heard, now);
        let news = peer.trouble.clone();
        if news != before {
            let kind = match &news {
                Some(trouble) => {
                    EventKind::Fault { text: format!("the peer's record: {}", trouble.text) }
                }
                None => EventKind::Log { text: "the peer's record can be read again".into() },
            };
            self.events.tell(None, kind);
        }
        if closes.is_some_and(Outcome::closes_connections) {
            self.close_connections();
        }
        // What is read lies in the state directory for a moment, and so does what is remembered: whether an epoch could
        // begin here is to be known before the peer dies.
        let full = matches!(closes, Some(Outcome::DiskFull | Outcome::Disk));
        for share in 0..self.shares.len() {
            if self.shares[share].peer != number {
                continue;
            }
            if full {
                self.shares[share].write_anew(now);
            }
            let said = self.peers[number]
                .peer()
                .and_then(|peer| peer.share(&self.shares[share].spec.name));
            if let Some(said) = said {
                let memory = self.shares[share].memory.after_seeing(said);
                self.remember(share, memory);
            }
        }
    }

    /// Ends the connections that ssh keeps open: after a change they fail for some seconds more.
    pub(super) fn close_connections(&self) {
        for peer in &self.peers {
            let Some(config) = &peer.ssh_config else { continue };
            let argv = ssh::close(config, &peer.remote.host);
            if let Ok(job) = peer::job(argv, CLOSE_LIMIT) {
                // That none was open is no news.
                spawn_local(self.runner.run(job));
            }
        }
    }
}
