//! Whether this node may copy the peer's tree now: pure functions of what both know.
//!
//! | own role | the peer's role | lineage | decision |
//! |---|---|---|---|
//! | active | any | any | [`Decision::Serve`]: never a pull |
//! | backup | active | it has my tip, and I copied its tip completely before | [`Decision::Pull`] |
//! | backup | active | it has my tip | pull with rescue |
//! | backup | active | it has my tip, but I wrote while it served | [`Decision::Hold`] |
//! | backup | active | it lacks my tip, and I gave that up, or it supersedes it | pull with rescue |
//! | backup | active | it lacks my tip | [`Decision::Hold`] |
//! | backup | active, but somebody else's adverts are heard | any | [`Decision::Hold`] |
//! | backup | active, and found a database in its tree | any | [`Decision::Hold`] |
//! | backup | not active, or silent | any | [`Decision::Wait`] |
//!
//! A pass without rescue overwrites what is here. It is only ever taken from the very tenure of which
//! this tree is already a complete copy: whatever it overwrites came from there, and was replaced there by
//! the one node that may. Every other pass keeps what it overwrites. So nothing is lost even if a decision
//! is wrong; the holds are there so that nobody has to look for it.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::Instant;

use super::hold::{Hold, HoldReason};
use super::lineage::{Entry, Epoch, History, NodeId, Stamp};
use super::policy::{AutoResolve, Policy};
use super::record::{Databases, Memory, Peer, RECORD_FRESH, Role, ShareRecord};

/// Changes that are not later than this after the other one's beginning are not called writing on both
/// sides: a handover without a pause of writers overlaps, and clocks are read one after the other. They
/// are kept as orphans all the same.
pub const CONCURRENT_MARGIN: Duration = Duration::from_secs(5);

/// What was copied from a node shortly before that node crashed may be missing there afterwards: a kernel
/// writes back for half a minute. Copies that are younger than this when it comes back are orphans.
pub const WRITEBACK_MARGIN: Duration = Duration::from_secs(120);

/// A pass without rescue wants a source that was seen to live not longer ago than this. A machine that crashed
/// may have lost what it had written, and can be reached again before anybody there says so; but no machine
/// is back so soon.
pub const SOURCE_FRESH: Duration = Duration::from_secs(4);

/// What this node knows of a share.
#[derive(Clone, Copy, Debug)]
pub struct Me<'a> {
    /// Who it is.
    pub node: &'a NodeId,
    /// The name of the share.
    pub share: &'a str,
    /// Where its router stands.
    pub role: Role,
    /// What it remembers.
    pub memory: &'a Memory,
    /// Its wall clock.
    pub clock: Stamp,
}

/// What to do with a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Serve. Nothing is pulled; a pull that runs is killed and reaped first.
    Serve(Option<Renewal>),
    /// Pull now, or when the pace says so.
    Pull(Pull),
    /// Walk through the tree, put what was found into the memory ([`Memory::after_scan`]), make it last,
    /// and ask again. Only the first walk since the node was last active counts, because a pass changes
    /// what a walk finds.
    Scan,
    /// The operator said that this tree counts: pull nothing, and take over by a handover without a last
    /// pull. The peer copies this tree then.
    Keep,
    /// Pull nothing until somebody has looked.
    Hold(Hold),
    /// Pull nothing for now. The lag grows.
    Wait(Wait),
}

/// A pass that is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// The epoch of the source. A pass counts only if it is still that one at the end.
    pub tip: Epoch,
    /// What has to be kept; `None`: nothing can be lost.
    pub rescue: Option<Rescue>,
    /// The source lacks this tree's tip, and that was given up.
    pub given_up: bool,
}

/// What a pass with rescue knows about what it will keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescue {
    /// Entries changed at or after this, by the own clock, are orphans: nobody else ever had them.
    /// `None`: it is not known, so all are.
    pub orphans_since: Option<Stamp>,
}

/// A new epoch while active: the peer has one that this tree does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// The new number is above this.
    pub above: u64,
    /// The peer's epoch, if it counts for nothing any more.
    pub supersedes: Option<Epoch>,
}

/// Why there is nothing to do for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The own router does not take part.
    NotElected,
    /// The peer cannot be heard over the second path, or says nothing new.
    PeerSilent,
    /// The peer does not have this share.
    PeerWithoutShare,
    /// Nobody serves, or not the peer.
    PeerNotActive,
    /// The peer serves, and its epoch is not written yet.
    PeerWithoutEpoch,
    /// The peer has not yet looked for databases in its tree.
    PeerLooks,
    /// The peer has to begin a new epoch first, and will when it reads this node's record.
    PeerToRenew,
}

impl Wait {
    /// What people read.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotElected => {
                "the router of the share does not take part in the election: `carp status` says why"
            }
            Self::PeerSilent => {
                "the peer's record cannot be read, or does not change: `carp sync check` says what is in the way"
            }
            Self::PeerWithoutShare => {
                "the peer does not have this share in its configuration: give both nodes the same names under [sync]"
            }
            Self::PeerNotActive => "the peer does not serve: `carp status` on both nodes says why",
            Self::PeerWithoutEpoch => "the peer is about to begin its epoch: wait a moment",
            Self::PeerLooks => {
                "the peer looks for databases in its tree, or cannot: its status says which"
            }
            Self::PeerToRenew => {
                "the peer is about to supersede what was begun here: wait a moment"
            }
        }
    }

    /// Whether a hold for this reason is told on meanwhile: a peer that is silent lifts nothing, and one that was
    /// restarted serves nothing for a moment.
    #[must_use]
    pub const fn keeps(self, hold: HoldReason) -> bool {
        match self {
            Self::PeerSilent => true,
            Self::PeerNotActive | Self::PeerWithoutEpoch | Self::PeerLooks | Self::PeerToRenew => {
                hold.is_of_trees()
            }
            Self::NotElected | Self::PeerWithoutShare => false,
        }
    }
}

/// What to do now. `heard` is who the adverts of the active router come from, at present.
#[must_use]
pub fn decide(
    me: &Me<'_>,
    peer: Option<&Peer>,
    heard: Option<IpAddr>,
    policy: &Policy,
    now: Instant,
) -> Decision {
    match me.role {
        Role::Active => return Decision::Serve(renewal(me, peer, policy)),
        Role::Init => return Decision::Wait(Wait::NotElected),
        Role::Backup => {}
    }
    if let Some(hold) = held_by_memory(me) {
        return Decision::Hold(hold);
    }
    match source(me, peer, heard, now) {
        Ok(source) => lineage(me, &source, policy, now),
        Err(other) => other,
    }
}

/// A peer that may be copied, if the lineage is right.
struct Source<'a> {
    peer: &'a Peer,
    share: &'a ShareRecord,
    tip: &'a Epoch,
}

fn held_by_memory(me: &Me<'_>) -> Option<Hold> {
    let memory = me.memory;
    if let Some(why) = &memory.hold {
        return Some(Hold::new(HoldReason::Operator, format_args!("held by the operator: {why}")));
    }
    let asked = memory.accepts.is_some() || memory.keeps.is_some();
    let damage = memory.damage.as_ref().filter(|_| !asked)?;
    Some(Hold::new(
        HoldReason::StateDamaged,
        format_args!("what was known of share {} cannot be believed: {damage}", me.share),
    ))
}

fn source<'a>(
    me: &Me<'_>,
    peer: Option<&'a Peer>,
    heard: Option<IpAddr>,
    now: Instant,
) -> Result<Source<'a>, Decision> {
    let peer = peer.ok_or(Decision::Wait(Wait::PeerSilent))?;
    if peer.record.node == *me.node {
        let what = format_args!("the peer's name is {} too", me.node);
        return Err(Decision::Hold(Hold::new(HoldReason::SameName, what)));
    }
    if !peer.is_fresh(now, RECORD_FRESH) {
        return Err(Decision::Wait(Wait::PeerSilent));
    }
    let share = peer.share(me.share).ok_or(Decision::Wait(Wait::PeerWithoutShare))?;
    if share.role != Role::Active {
        return Err(Decision::Wait(Wait::PeerNotActive));
    }
    if let Some(address) = heard.filter(|address| !share.speaks_from.contains(address)) {
        let what = format_args!(
            "{} says that it serves, but the adverts come from {address}, which is not its",
            peer.record.node
        );
        return Err(Decision::Hold(Hold::new(HoldReason::ThirdRouter, what)));
    }
    other_share(me, peer, share)?;
    let tip = share.history.tip().filter(|tip| tip.node == peer.record.node);
    let tip = tip.ok_or(Decision::Wait(Wait::PeerWithoutEpoch))?;
    Ok(Source { peer, share, tip })
}

fn other_share(me: &Me<'_>, peer: &Peer, share: &ShareRecord) -> Result<(), Decision> {
    match (&me.memory.share_id, &share.share_id) {
        (Some(mine), Some(theirs)) if mine != theirs && !resolved(me, share) => {
            let what = format_args!(
                "share {} is {theirs} on {} and {mine} here",
                me.share, peer.record.node
            );
            Err(Decision::Hold(Hold::new(HoldReason::OtherShare, what)))
        }
        (_, _) => Ok(()),
    }
}

/// Whether somebody has said already which of the two trees counts.
fn resolved(me: &Me<'_>, source: &ShareRecord) -> bool {
    accepted(me, source) || kept(me, source) || superseded(me, source)
}

/// Whether the operator said that the peer's tree counts.
fn accepted(me: &Me<'_>, source: &ShareRecord) -> bool {
    me.memory.accepts_tree_of(source)
}

/// Whether the operator said that this tree counts. The word is about the peer's tip at that time: what
/// the peer began later, nobody has looked at.
fn kept(me: &Me<'_>, peer: &ShareRecord) -> bool {
    me.memory.keeps.is_some() && me.memory.keeps.as_ref() == peer.history.tip()
}

/// Whether the peer may be followed although it lacks this tree's tip.
fn superseded(me: &Me<'_>, source: &ShareRecord) -> bool {
    let mine = me.memory.history.tip();
    mine.is_some() && source.supersedes.as_ref() == mine
}

fn lineage(me: &Me<'_>, source: &Source<'_>, policy: &Policy, now: Instant) -> Decision {
    if kept(me, source.share) {
        return Decision::Keep;
    }
    match &source.share.databases {
        Databases::Absent => {}
        Databases::Unknown => return Decision::Wait(Wait::PeerLooks),
        Databases::Found(database) => {
            let peer = &source.peer.record.node;
            return Decision::Hold(Hold::of_database(format_args!("{database}, on {peer}")));
        }
    }
    if source.peer.rewound && me.memory.as_of.is_some() {
        return rewound(me, source);
    }
    let Some(mine) = me.memory.history.tip() else { return adoption(me, source) };
    if source.share.history.contains(mine) {
        return descendant(me, source, mine, policy, now);
    }
    if accepted(me, source.share) || superseded(me, source.share) {
        return given_up(source, mine);
    }
    stranger(me, source, mine)
}

/// The source runs on an older disk than before, in the same epoch.
fn rewound(me: &Me<'_>, source: &Source<'_>) -> Decision {
    if accepted(me, source.share) {
        return pull(source, Some(Rescue { orphans_since: None }), false);
    }
    let what = format_args!(
        "{} was set back to a snapshot while it served {}",
        source.peer.record.node, source.tip
    );
    Decision::Hold(Hold::new(HoldReason::RolledBackSource, what))
}

/// The first copy ever: without asking only into an empty tree.
fn adoption(me: &Me<'_>, source: &Source<'_>) -> Decision {
    let adopt = pull(source, Some(Rescue { orphans_since: None }), false);
    if accepted(me, source.share) {
        return adopt;
    }
    match me.memory.walked {
        None => Decision::Scan,
        Some(walk) if walk.empty => adopt,
        Some(_) => Decision::Hold(Hold::new(
            HoldReason::NotAdopted,
            format_args!(
                "share {} is not empty here, and was never in step with that of {}",
                me.share, source.peer.record.node
            ),
        )),
    }
}

/// The source has this tree's tip.
fn descendant(
    me: &Me<'_>,
    source: &Source<'_>,
    mine: &Epoch,
    policy: &Policy,
    now: Instant,
) -> Decision {
    let copied = me.memory.as_of.as_ref().filter(|as_of| as_of.tip == *mine);
    let lives = source.peer.is_fresh(now, SOURCE_FRESH);
    // Whoever had to say that the peer's tree counts has lost this one, or what it was: then all is kept.
    if mine == source.tip && copied.is_some() && lives && !accepted(me, source.share) {
        return pull(source, None, false);
    }
    if mine.node != *me.node {
        let since = copied.map(|as_of| as_of.local.before(WRITEBACK_MARGIN));
        return pull(source, Some(Rescue { orphans_since: since }), false);
    }
    let origin = source.share.history.successor_of(mine).and_then(|next| next.origin.as_ref());
    let rescue = Rescue { orphans_since: origin.map(|origin| origin.as_of) };
    let asked = accepted(me, source.share)
        || superseded(me, source.share)
        || policy.auto_resolve == AutoResolve::Elected;
    match me.memory.walked {
        None => Decision::Scan,
        Some(walk) if !asked && wrote_meanwhile(me, source, mine, walk.newest, now) => {
            Decision::Hold(diverged(me, source, mine))
        }
        Some(_) => pull(source, Some(rescue), false),
    }
}

/// Whether this tree changed after somebody else had begun to serve another one that started from it.
fn wrote_meanwhile(
    me: &Me<'_>,
    source: &Source<'_>,
    mine: &Epoch,
    newest: Stamp,
    now: Instant,
) -> bool {
    // Only the serving node can say when it began, by its own clock: the first of its epochs since mine.
    let next = source.share.history.successor_of(mine);
    let Some(next) = next.filter(|next| next.epoch.node == source.peer.record.node) else {
        return false;
    };
    let began = me.clock.before(source.peer.age_of(next.began, now));
    newest > began.after(CONCURRENT_MARGIN)
}

/// The source lacks this tree's tip, and may replace it.
fn given_up(source: &Source<'_>, mine: &Epoch) -> Decision {
    if source.tip.number < mine.number {
        return Decision::Wait(Wait::PeerToRenew);
    }
    pull(source, Some(Rescue { orphans_since: None }), true)
}

/// The source lacks this tree's tip, and nobody said that it may replace it.
fn stranger(me: &Me<'_>, source: &Source<'_>, mine: &Epoch) -> Decision {
    let (history, node) = (&source.share.history, &source.peer.record.node);
    if history.has_forgotten(node, &me.memory.history) {
        let what = format_args!(
            "{node} serves {}, and has forgotten that it served newer data: its disk was restored or replaced",
            source.tip
        );
        return Decision::Hold(Hold::new(HoldReason::RolledBackSource, what));
    }
    if history.may_have_dropped(mine.number) {
        let what = format_args!(
            "this tree is of {mine}, which is older than all that {node} remembers of its own"
        );
        return Decision::Hold(Hold::new(HoldReason::HistoryTooShort, what));
    }
    if mine.node == *me.node {
        if me.memory.walked.is_none() {
            return Decision::Scan;
        }
        if untouched(me.node, me.memory) && started_from(me.memory.history.newest(), history) {
            return Decision::Wait(Wait::PeerToRenew);
        }
    }
    Decision::Hold(diverged(me, source, mine))
}

fn diverged(me: &Me<'_>, source: &Source<'_>, mine: &Epoch) -> Hold {
    let node = &source.peer.record.node;
    let what = format_args!(
        "share {} was written on both sides: {mine} here, {} on {node}",
        me.share, source.tip
    );
    Hold::new(HoldReason::Diverged, what)
}

fn pull(source: &Source<'_>, rescue: Option<Rescue>, given_up: bool) -> Decision {
    Decision::Pull(Pull { tip: source.tip.clone(), rescue, given_up })
}

/// Whether an epoch began with a copy of something that is in that history.
fn started_from(entry: Option<&Entry>, history: &History) -> bool {
    entry.and_then(|entry| entry.origin.as_ref()).is_some_and(|from| history.contains(&from.tip))
}

/// Whether nothing in the tree of a node has changed since its own tip began: that epoch has nothing
/// of its own.
#[must_use]
pub fn untouched(node: &NodeId, memory: &Memory) -> bool {
    let own = memory.history.newest().filter(|entry| entry.epoch.node == *node);
    match (own, memory.walked) {
        (Some(own), Some(walk)) => walk.newest < own.began,
        (Some(_) | None, _) => false,
    }
}

/// What an active node does about an epoch of its peer that its tree does not have.
///
/// It begins a new epoch above the other one, so that the numbers with which the share is served do not
/// go down. If the other one has nothing of its own, and came from this tree, it is superseded.
fn renewal(me: &Me<'_>, peer: Option<&Peer>, policy: &Policy) -> Option<Renewal> {
    let peer = peer.filter(|peer| peer.record.node != *me.node)?;
    let share = peer.share(me.share).filter(|share| share.role == Role::Backup)?;
    let (mine, theirs) = (me.memory.history.tip()?, share.history.tip()?);
    if me.memory.history.contains(theirs) && (mine == theirs || !kept(me, share)) {
        return None;
    }
    let known = me.memory.supersedes.as_ref() == Some(theirs);
    let supersede = !known && counts_for_nothing(me, share, policy);
    let renew = supersede || theirs.number >= mine.number;
    renew.then(|| Renewal { above: theirs.number, supersedes: supersede.then(|| theirs.clone()) })
}

fn counts_for_nothing(me: &Me<'_>, peer: &ShareRecord, policy: &Policy) -> bool {
    if kept(me, peer) {
        return true;
    }
    if me.memory.share_id != peer.share_id {
        return false;
    }
    let forgotten = me.memory.history.has_forgotten(me.node, &peer.history);
    let idle = peer.untouched && started_from(peer.history.newest(), &me.memory.history);
    !forgotten && (idle || policy.auto_resolve == AutoResolve::Elected)
}

#[cfg(test)]
mod tests;
