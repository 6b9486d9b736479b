//! What status says of a share.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::changes::Watching;
use super::share::Share;
use super::takeover::put_off;
use super::{Engine, now};
use crate::control::units::{Millis, WallTime};
use crate::sync::decide::Decision;
use crate::sync::hold::Hold;
use crate::sync::lag::Lag;
use crate::sync::record::Role;
use crate::sync::rescue::Awaited;
use crate::sync::rsync::exit::Outcome;
use crate::sync::standing::Held;
use crate::sync::watch::Covers;

/// One share in a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShareStatus {
    /// Its name.
    pub name: String,
    /// The router that it follows.
    pub router: String,
    /// The folder.
    pub path: PathBuf,
    /// The other node, as it is reached.
    pub peer: String,
    /// `init`, `backup` or `active`.
    pub role: Role,
    /// Whether this node's copy is good enough to take over.
    pub in_sync: bool,
    /// Why nothing is copied until somebody has looked, with what to do.
    pub held: Option<Hold>,
    /// The operator's hold, while this node serves: it counts as soon as it does not.
    #[serde(default)]
    pub held_later: Option<String>,
    /// Whether the standby's copy is held, as the node that serves reads in its record: its own status says why.
    #[serde(default)]
    pub standby_held: bool,
    /// Why its router takes over from nobody at present, and what to do, if that is more than that the peer serves.
    #[serde(default)]
    pub put_off: Option<String>,
    /// Why its router does not preempt.
    pub held_back: Option<Held>,
    /// The command that would bring the address here, if nothing but that word is missing.
    #[serde(default)]
    pub failback: Option<String>,
    /// How far the standby is behind, and what a failover would lose now.
    pub line: String,
    /// How far it is behind, if that is known.
    pub lag_ms: Option<Millis>,
    /// Whether that is more than `max_lag`, or was not known for so long.
    pub alarm: bool,
    /// The configured `max_lag`.
    pub max_lag_ms: Millis,
    /// What goes on, in words.
    pub doing: String,
    /// What this tree is of.
    pub epoch: Option<String>,
    /// Whether the peer lives, by its own word.
    pub peer_alive: bool,
    /// Why the peer's word cannot be read.
    pub peer_trouble: Option<String>,
    /// The same as a label, if rsync or ssh said it: `unreachable`, `host-key`, `refused` and so on.
    pub peer_outcome: Option<Outcome>,
    /// What is wrong on this node.
    pub fault: Option<String>,
    /// How much of the tree is watched for changes, on the node that serves; `null` if nothing is.
    pub watched: Option<WatchedStatus>,
    /// The pass that runs.
    pub progress: Option<ProgressStatus>,
    /// The last pass that ended.
    pub last_pass: Option<PassStatus>,
    /// The rescue sets with orphans that nobody has acknowledged.
    #[serde(default)]
    pub rescue: Awaited,
    /// How long writers stood still at the last handover.
    pub freeze_ms: Option<Millis>,
}

/// How much of a tree is watched for changes. What is not, the interval's pass finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchedStatus {
    /// So many directories.
    pub directories: u32,
    /// Those are all.
    pub whole: bool,
}

/// How far a pass is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressStatus {
    /// Since when it runs.
    pub running_ms: Millis,
    /// Bytes that are there.
    pub bytes: u64,
    /// Of all bytes, 0 to 100.
    pub percent: u8,
    /// Bytes a second.
    pub rate: u64,
    /// Time left.
    pub left_ms: Millis,
    /// Files received.
    pub files: Option<u64>,
    /// Files still to be looked at.
    pub to_check: Option<u64>,
}

/// A pass that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassStatus {
    /// When.
    pub ended: WallTime,
    /// How long it took.
    pub took_ms: Millis,
    /// How long it took until the copy was in its place and on the disk; what is left is the reading of the peer's
    /// record, which the pass saves the regular readings.
    #[serde(default)]
    pub copied_ms: Option<Millis>,
    /// What rsync's end means.
    pub outcome: Option<Outcome>,
    /// The same in words, with what to do.
    pub text: String,
    /// What rsync and ssh said on standard error: the last 4 KiB, one line each, empty if they said nothing.
    #[serde(default)]
    pub errors: String,
    /// Files in the share.
    pub files: u64,
    /// Entries that were changed or made.
    pub changed: u64,
    /// Entries that were deleted.
    pub deleted: u64,
    /// Bytes of the files that were received.
    pub bytes: u64,
    /// Bytes that crossed the network: less than that, if parts were here already.
    pub received: u64,
}

impl Engine {
    pub(super) fn status(&self) -> Vec<ShareStatus> {
        (0..self.shares.len()).map(|number| self.share_status(number)).collect()
    }

    fn share_status(&self, number: usize) -> ShareStatus {
        let share = &self.shares[number];
        let router = &self.routers[share.router];
        let state = &self.peers[share.peer];
        let now = now();
        let fresh = state.fresh(now);
        let lag = self.lag(number, now);
        ShareStatus {
            name: share.spec.name.clone(),
            router: router.name.clone(),
            path: share.spec.path.clone(),
            peer: format!("{}@{}", share.spec.peer.user, share.spec.peer.host),
            role: router.role,
            in_sync: share.standing.as_ref().is_some_and(|standing| standing.in_sync),
            held: share.hold().cloned(),
            held_later: share.memory.hold.clone().filter(|_| router.role == Role::Active),
            put_off: put_off(share).filter(|_| router.role != Role::Active).map(str::to_owned),
            standby_held: router.role == Role::Active
                && fresh.and_then(|peer| peer.share(&share.spec.name)).is_some_and(|it| it.held),
            held_back: share.standing.as_ref().and_then(|standing| standing.held),
            failback: self.brings_back(share),
            line: lag.to_string(),
            lag_ms: match lag {
                Lag::Behind(lag) => Some(Millis(lag)),
                Lag::NoCopy | Lag::Unknown => None,
            },
            alarm: share.alarm.raised,
            max_lag_ms: Millis(share.spec.policy.max_lag),
            doing: self.doing(share),
            epoch: share.memory.history.tip().map(ToString::to_string),
            peer_alive: fresh.is_some(),
            peer_trouble: state.trouble.as_ref().map(|trouble| trouble.text.clone()),
            peer_outcome: state.trouble.as_ref().and_then(|trouble| trouble.outcome),
            fault: share.fault().or_else(|| {
                // On the standby it is what holds the share.
                let hold = self.rsync.hold().filter(|hold| share.hold() != Some(*hold));
                hold.map(|hold| hold.message.clone())
            }),
            watched: share
                .watching
                .as_ref()
                .and_then(Watching::covers)
                .map(|Covers { directories, whole }| WatchedStatus { directories, whole }),
            progress: share.pass.as_ref().map(|pass| {
                let progress = pass.shown.borrow().unwrap_or_default();
                ProgressStatus {
                    running_ms: Millis(now.saturating_since(pass.began)),
                    bytes: progress.bytes,
                    percent: progress.percent,
                    rate: progress.rate,
                    left_ms: Millis(progress.time),
                    files: progress.files,
                    to_check: progress.to_check.map(|(left, _)| left),
                }
            }),
            last_pass: share.last.as_ref().map(|last| PassStatus {
                ended: last.ended,
                took_ms: Millis(last.took),
                copied_ms: last.copied.map(Millis),
                outcome: last.outcome,
                text: last.text.clone(),
                errors: last.errors.clone(),
                files: last.figures.files,
                changed: last.figures.changed,
                deleted: last.figures.deleted,
                bytes: last.figures.bytes,
                received: last.figures.received,
            }),
            rescue: share.rescues.awaited,
            freeze_ms: router.freeze.map(Millis),
        }
    }

    fn doing(&self, share: &Share) -> String {
        match (&share.decision, &share.pass) {
            (_, Some(pass)) if pass.stopping => "stops a pass".to_owned(),
            (_, Some(_)) => "pulls".to_owned(),
            (Some(Decision::Serve(_)), None) => "serves".to_owned(),
            (Some(Decision::Pull(_)), None) => "waits for the next pass".to_owned(),
            (Some(Decision::Scan), None) => "looks through the tree".to_owned(),
            (Some(Decision::Keep), None) => "waits to serve: this tree counts".to_owned(),
            (Some(Decision::Hold(_)), None) => "is held".to_owned(),
            (Some(Decision::Wait(wait)), None) => wait.message().to_owned(),
            (None, None) => "starts".to_owned(),
        }
    }
}
