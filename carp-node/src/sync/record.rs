//! What a node knows of a share, and what it tells its peer.
//!
//! [`Memory`] outlasts the process: one file a share, replaced as a whole and checked by
//! [`StateFile`]. [`NodeRecord`] is what the peer reads: rewritten at least each second, so that it
//! shows that its writer lives, and never read back by that one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use carp_proto::Instant;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::lineage::{Epoch, History, LineageError, NodeId, Origin, Stamp, Start};
use crate::state::{StateError, StateFile};

/// The schema of a [`Memory`].
pub const MEMORY_SCHEMA: &str = "carp.sync-memory/1";

/// The schema of a [`NodeRecord`].
pub const RECORD_SCHEMA: &str = "carp.sync-record/1";

/// A record that has not changed for so long says nothing about the present: its writer is dead, hung,
/// or cannot be reached. Records are rewritten each second and read every one or two.
pub const RECORD_FRESH: Duration = Duration::from_secs(10);

/// The longest record that is parsed, in bytes.
pub const RECORD_LEN: usize = 1 << 20;

/// The highest number of an epoch that is believed of a peer. The next own one is above it, and is to have room
/// there: a number that does not rise makes a history that is none.
pub const NUMBER_MOST: u64 = u64::MAX / 2;

/// What a node remembers of a share. Written before what it allows is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What the marker file in the root of the share says, on both nodes.
    pub share_id: Option<String>,
    /// What the tree descends from.
    pub history: History,
    /// The last complete pass; `None` before the first.
    pub as_of: Option<AsOf>,
    /// The highest number of an epoch ever seen, here or at the peer.
    pub seen: u64,
    /// It was active, and nobody is known to have all of what was written.
    pub dirty: bool,
    /// It became active although its copy was old.
    pub stale: bool,
    /// The peer's epoch that counts for nothing any more: its node may copy this tree.
    pub supersedes: Option<Epoch>,
    /// The operator's word: a tree that contains this epoch may be copied, whatever this one's tip is. It
    /// ends with the next complete pass, or when this node becomes active.
    pub accepts: Option<Epoch>,
    /// The operator's word: this tree counts, and one of this tip may be replaced by it.
    pub keeps: Option<Epoch>,
    /// The operator's word, given while the peer's state was not known: this tree may be served, however old it is.
    /// It ends when that is known, or when this node becomes active.
    #[serde(default)]
    pub may_serve_old: bool,
    /// What the first walk through the tree found since the node was last active; `None` if nobody
    /// has looked.
    pub walked: Option<Walk>,
    /// How many files the last complete pass counted.
    pub files: Option<u64>,
    /// The operator holds this share, and why.
    pub hold: Option<String>,
    /// What was wrong with the memory that this one replaces. Until the operator has said which tree
    /// counts, nothing is copied.
    pub damage: Option<String>,
}

/// Which tree counts, in the operator's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// This node's.
    Local,
    /// The peer's.
    Peer,
}

/// What a walk through a tree found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// There is nothing in it but what carp itself puts there.
    pub empty: bool,
    /// The newest change of any entry in it, the root included (`st_ctime`).
    pub newest: Stamp,
}

/// How complete a copy is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsOf {
    /// The epoch of the source.
    pub tip: Epoch,
    /// Everything of it up to here, by the source's clock, read before the pass.
    pub source: Stamp,
    /// The same moment by this node's clock: how old the copy is.
    pub local: Stamp,
}

impl Memory {
    /// What a complete pass over `source` makes of it. To be written after `syncfs`.
    ///
    /// # Errors
    /// [`LineageError`]: what was decided when the pass began is no longer so; the pass counts for nothing.
    pub fn after_pass(&self, pass: &CompletePass<'_>) -> Result<Self, LineageError> {
        let history = self.history.following(&pass.source.history, pass.given_up)?;
        let tip = history.tip().cloned().ok_or(LineageError::Lower)?;
        Ok(Self {
            share_id: pass.source.share_id.clone().or_else(|| self.share_id.clone()),
            seen: self.seen.max(tip.number),
            history,
            as_of: Some(AsOf { tip, source: pass.source_clock, local: pass.local_clock }),
            dirty: false,
            stale: false,
            supersedes: None,
            accepts: None,
            keeps: None,
            may_serve_old: false,
            walked: None,
            files: Some(pass.files),
            hold: self.hold.clone(),
            damage: None,
        })
    }

    /// What becoming active makes of it. To be written before the address is taken.
    ///
    /// `stale`: the copy is older than `max_lag`, and nobody better is there.
    #[must_use]
    pub fn after_promotion(&self, node: &NodeId, now: Stamp, nonce: u64, stale: bool) -> Self {
        let start = Start {
            node: node.clone(),
            nonce,
            seen: self.seen,
            origin: self.origin(node, now),
            now,
        };
        let history = self.history.promoted(start);
        let seen = history.tip().map_or(self.seen, |tip| tip.number);
        // Whoever said that this tree counts has looked at it.
        let damage = self.damage.clone().filter(|_| self.keeps.is_none());
        // Whoever serves does not follow, whatever was said before.
        let (accepts, walked) = (None, None);
        let may_serve_old = false;
        Self {
            history,
            seen,
            dirty: true,
            stale,
            walked,
            damage,
            accepts,
            may_serve_old,
            ..self.clone()
        }
    }

    /// The same after a walk through the tree. Only the first since the node was last active counts:
    /// a later one sees what passes did.
    #[must_use]
    pub fn after_scan(&self, walk: Walk) -> Self {
        Self { walked: self.walked.or(Some(walk)), ..self.clone() }
    }

    /// What a renewal makes of it, while active: see [`Renewal`](super::decide::Renewal).
    #[must_use]
    pub fn after_renewal(
        &self,
        node: &NodeId,
        now: Stamp,
        nonce: u64,
        renewal: &super::decide::Renewal,
    ) -> Self {
        let seen = self.seen.max(renewal.above);
        let supersedes = renewal.supersedes.clone().or_else(|| self.supersedes.clone());
        Self { seen, supersedes, ..self.clone() }.after_promotion(node, now, nonce, self.stale)
    }

    /// The same after a look at the peer's record.
    #[must_use]
    pub fn after_seeing(&self, peer: &ShareRecord) -> Self {
        let highest = peer.history.tip().map_or(0, |tip| tip.number);
        // The word has been heard when the peer has a copy of this tree.
        let followed = self.history.tip().is_some_and(|mine| peer.history.tip() == Some(mine));
        let keeps = self.keeps.clone().filter(|_| !followed);
        let may_serve_old = self.may_serve_old && peer.history.tip().is_none();
        Self { seen: self.seen.max(highest), keeps, may_serve_old, ..self.clone() }
    }

    /// The same after `carp sync resolve --keep peer` or `--keep local`: `tip` is the peer's, as the
    /// operator saw it.
    #[must_use]
    pub fn after_resolve(&self, keep: Keep, tip: Epoch) -> Self {
        let (accepts, keeps) = match keep {
            Keep::Peer => (Some(tip), None),
            Keep::Local => (None, Some(tip)),
        };
        Self { accepts, keeps, may_serve_old: false, ..self.clone() }
    }

    /// The same after `carp sync resolve --keep local` while the peer's state is not known.
    #[must_use]
    pub fn after_allowing_old(&self) -> Self {
        Self { may_serve_old: true, ..self.clone() }
    }

    /// Whether the operator said that the peer's tree counts.
    #[must_use]
    pub fn accepts_tree_of(&self, source: &ShareRecord) -> bool {
        self.accepts.as_ref().is_some_and(|epoch| source.history.contains(epoch))
    }

    /// What the next epoch of this node starts from.
    fn origin(&self, node: &NodeId, now: Stamp) -> Option<Origin> {
        let tip = self.history.tip()?.clone();
        // Its own tree is complete, by its own clock.
        let own = (tip.node == *node).then_some(now);
        let copied = self.as_of.as_ref().filter(|as_of| as_of.tip == tip).map(|as_of| as_of.source);
        // A tip of another that was never copied completely is only in a damaged record: nothing is known.
        Some(Origin { as_of: own.or(copied).unwrap_or_default(), tip })
    }

    /// The file of a share in the state directory.
    #[must_use]
    pub fn file(state_dir: &Path, share: &str) -> StateFile {
        StateFile::lasting(&state_dir.join("sync"), &format!("{share}.share"))
    }

    /// What was remembered. What cannot be believed becomes a memory that holds, never a guess.
    #[must_use]
    pub fn load(file: &StateFile) -> Self {
        let damaged = |what: String| Self { damage: Some(what), ..Self::default() };
        match file.read() {
            Ok(None) => Self::default(),
            Ok(Some(text)) => Self::parse(&text).unwrap_or_else(|error| damaged(error.to_string())),
            Err(error) => damaged(error.to_string()),
        }
    }

    /// Makes it last: it is on the disk when this returns.
    ///
    /// # Errors
    /// [`StateError`]: what was there before is still there.
    pub fn store(&self, file: &StateFile) -> Result<(), StateError> {
        file.write(&self.emit())
    }

    /// The memory as JSON.
    #[must_use]
    pub fn emit(&self) -> String {
        let with = Tagged { schema: MEMORY_SCHEMA.to_owned(), content: self.clone() };
        // Maps with text keys and integers: this cannot fail.
        serde_json::to_string(&with).unwrap_or_default()
    }

    /// Reads a memory.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        parse_tagged(text.as_bytes(), MEMORY_SCHEMA)
    }
}

/// A pass that ended well.
#[derive(Clone, Copy, Debug)]
pub struct CompletePass<'a> {
    /// What the source's record said before it began.
    pub source: &'a ShareRecord,
    /// The source's clock, read before it began ([`NodeRecord::now`]).
    pub source_clock: Stamp,
    /// This node's clock when that was read.
    pub local_clock: Stamp,
    /// Whether the tip was given up: [`Pull::given_up`](super::decide::Pull::given_up).
    pub given_up: bool,
    /// How many files it counted.
    pub files: u64,
}

/// Where a node's router stands, as far as data is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Not taking part.
    Init,
    /// Another one serves.
    Backup,
    /// It serves: from the moment it begins to take over, until its addresses are down again.
    Active,
}

/// What a node tells of a share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareRecord {
    /// Where its router stands.
    pub role: Role,
    /// The addresses from which that router sends its adverts.
    pub speaks_from: Vec<IpAddr>,
    /// [`Memory::share_id`].
    pub share_id: Option<String>,
    /// [`Memory::history`].
    pub history: History,
    /// [`Memory::as_of`].
    pub as_of: Option<AsOf>,
    /// [`Memory::dirty`].
    pub dirty: bool,
    /// [`Memory::supersedes`].
    pub supersedes: Option<Epoch>,
    /// [`Memory::accepts`].
    pub accepts: Option<Epoch>,
    /// [`Memory::keeps`].
    pub keeps: Option<Epoch>,
    /// Nothing in the tree has changed since its own tip began (see
    /// [`untouched`](super::decide::untouched)).
    pub untouched: bool,
    /// Its copy is good enough to take over.
    pub in_sync: bool,
    /// Nothing is copied until somebody has looked.
    pub held: bool,
    /// A request to take over.
    pub want: Option<Want>,
    /// The request for which writers stand still.
    pub quiesced: Option<Want>,
    /// Counts changes of the tree, as far as they were noticed: a hint.
    pub changes: u64,
    /// It serves the tree, and when this was written the marker in the root was that of
    /// [`share_id`](Self::share_id). Records of versions that do not say so say no.
    #[serde(default)]
    pub marked: bool,
    /// What it knows of databases in the tree, while it serves it.
    #[serde(default)]
    pub databases: Databases,
}

/// What the node that serves a tree knows of databases in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Databases {
    /// It has not looked yet: nothing may be copied. A record that does not say is one of these.
    #[default]
    Unknown,
    /// It has looked through the whole tree, and found none.
    Absent,
    /// It has found one: which, and where.
    Found(String),
}

/// A request to take over: a number that is not used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Want(pub u64);

/// What a node tells its peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Who.
    pub node: NodeId,
    /// Goes up whenever this is written: it shows that the writer lives.
    pub beat: u64,
    /// Which process: random, of each start of the daemon, since the beat begins anew.
    pub process: u64,
    /// The clock.
    pub now: Stamp,
    /// Its shares.
    pub shares: BTreeMap<String, ShareRecord>,
}

impl NodeRecord {
    /// The record as JSON.
    #[must_use]
    pub fn emit(&self) -> String {
        let with = Tagged { schema: RECORD_SCHEMA.to_owned(), content: self.clone() };
        // Maps with text keys and integers: this cannot fail.
        serde_json::to_string(&with).unwrap_or_default()
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        let record: Self = parse_tagged(bytes, RECORD_SCHEMA)?;
        let tips = record.shares.values().filter_map(|share| share.history.tip());
        match tips.map(|tip| tip.number).find(|number| *number > NUMBER_MOST) {
            Some(number) => {
                Err(RecordError::Malformed(format!("epoch {number}, to which nobody has counted")))
            }
            None => Ok(record),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Tagged<T> {
    schema: String,
    #[serde(flatten)]
    content: T,
}

fn parse_tagged<T: for<'de> Deserialize<'de>>(
    bytes: &[u8],
    schema: &'static str,
) -> Result<T, RecordError> {
    #[derive(Deserialize)]
    struct Schema {
        schema: String,
    }
    if bytes.len() > RECORD_LEN {
        return Err(RecordError::Long(bytes.len()));
    }
    let not_json = |error: serde_json::Error| RecordError::Malformed(error.to_string());
    let found: Schema = serde_json::from_slice(bytes).map_err(not_json)?;
    if found.schema != schema {
        return Err(RecordError::Schema { found: found.schema, expected: schema });
    }
    serde_json::from_slice::<Tagged<T>>(bytes).map(|tagged| tagged.content).map_err(not_json)
}

/// The last record of the peer that was read, and when it last moved.
///
/// A file can be read long after its writer has died. What shows life is that it changes.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What it said.
    pub record: NodeRecord,
    /// When it was first seen to say so, by this node's steady clock.
    pub moved: Instant,
    /// At least two different ones were read: the writer lived while this node watched.
    pub alive: bool,
    /// Its process has counted back: the machine was set back to a snapshot while it ran. What it serves may be
    /// older than what was copied from it, and its epoch does not show that.
    pub rewound: bool,
}

impl Peer {
    /// The first record of a peer.
    #[must_use]
    pub const fn new(record: NodeRecord, now: Instant) -> Self {
        Self { record, moved: now, alive: false, rewound: false }
    }

    /// Takes a record that was read now. The same one again proves nothing.
    pub fn update(&mut self, record: NodeRecord, now: Instant) {
        let before = self.record.beat;
        let same = record.process == self.record.process && record.node == self.record.node;
        if !same || record.beat != before {
            let rewound = same && (self.rewound || record.beat < before);
            *self = Self { record, moved: now, alive: true, rewound };
        }
    }

    /// Whether it was seen to live not longer ago than that.
    #[must_use]
    pub fn is_fresh(&self, now: Instant, within: Duration) -> bool {
        self.alive && now.saturating_since(self.moved) <= within
    }

    /// How long ago something was by the peer's clock: the durations of both clocks, added.
    #[must_use]
    pub fn age_of(&self, stamp: Stamp, now: Instant) -> Duration {
        self.record.now.since(stamp).saturating_add(now.saturating_since(self.moved))
    }

    /// What it said about a share.
    #[must_use]
    pub fn share(&self, name: &str) -> Option<&ShareRecord> {
        self.record.shares.get(name)
    }
}

/// Why something is not a record.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Not JSON of this form.
    #[error("it is not a record: {0}")]
    Malformed(String),
    /// Of another version.
    #[error("it is of schema {found}, and this version of carp reads {expected}")]
    Schema {
        /// What it says.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Too long.
    #[error("it has {0} bytes, and a record has at most {RECORD_LEN}")]
    Long(usize),
}

#[cfg(test)]
pub(super) mod tests;
