//! Which tree descends from which: epochs, and the history that every copy carries with it.
//!
//! An *epoch* is one tenure: it begins when a node becomes active, and it has a number, the node and a
//! random nonce, so that two epochs are never taken for one, not even after a disk was restored. A
//! *history* is the list of epochs that a tree went through, newest last; its last one is the *tip*.
//! Whoever copies a tree completely takes over its history. So a tree descends from mine exactly if its
//! history contains my tip, and no clock has to be believed for it.
//!
//! The idea is that of DRBD's generation identifiers, Raft's terms and PostgreSQL's timelines.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many epochs a history keeps: the newest.
pub const HISTORY_LEN: usize = 32;

/// The longest name of a node, in bytes.
pub const NODE_NAME_LEN: usize = 64;

/// The name of a node: 1 to 64 bytes, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeId(String);

impl NodeId {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for NodeId {
    type Error = LineageError;

    fn try_from(name: String) -> Result<Self, LineageError> {
        let good = (1..=NODE_NAME_LEN).contains(&name.len()) && !name.chars().any(char::is_control);
        if good { Ok(Self(name)) } else { Err(LineageError::Name) }
    }
}

impl From<NodeId> for String {
    fn from(node: NodeId) -> Self {
        node.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reading of one node's wall clock: nanoseconds since 1970.
///
/// It is compared with other readings of the *same* node's clock only, and with the change times of files
/// on that node. Between nodes only durations are carried over.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stamp(pub u64);

impl Stamp {
    /// How long before this the other one was read; nothing if the clock was set back in between.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// How far two readings are apart, whichever is the later one.
    #[must_use]
    pub const fn apart(self, other: Self) -> Duration {
        Duration::from_nanos(self.0.abs_diff(other.0))
    }

    /// The reading so much earlier.
    #[must_use]
    pub fn before(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by)))
    }

    /// The reading so much later.
    #[must_use]
    pub fn after(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by)))
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// One tenure of one node.
///
/// Ordered by number; of equal numbers, which only two nodes that did not see each other can make, by
/// node and nonce, so that the order is total.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// Higher than every number that the node had seen when it began.
    pub number: u64,
    /// Who was active.
    pub node: NodeId,
    /// Random: a node whose disk was restored and that promotes itself again makes another epoch.
    pub nonce: u64,
}

/// `e7 (web1)`.
impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{} ({})", self.number, self.node)
    }
}

/// What an epoch started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The epoch of which the node had a copy.
    pub tip: Epoch,
    /// Up to when, by the clock of the *tip's* node: what that node wrote later is an orphan.
    pub as_of: Stamp,
}

/// An epoch in a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The epoch.
    pub epoch: Epoch,
    /// What it started from; `None` for the first one ever of a share.
    pub origin: Option<Origin>,
    /// When it began, by the clock of its node.
    pub began: Stamp,
}

/// The epochs of a tree, oldest first: at most [`HISTORY_LEN`], of strictly rising numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Entry>", into = "Vec<Entry>")]
pub struct History(Vec<Entry>);

impl History {
    /// The newest epoch; `None` if the share was never served from this tree or one that it copies.
    #[must_use]
    pub fn tip(&self) -> Option<&Epoch> {
        self.0.last().map(|entry| &entry.epoch)
    }

    /// The newest entry.
    #[must_use]
    pub fn newest(&self) -> Option<&Entry> {
        self.0.last()
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }

    /// Whether a tree of this history descends from one whose tip is that epoch.
    #[must_use]
    pub fn contains(&self, epoch: &Epoch) -> bool {
        self.0.iter().any(|entry| entry.epoch == *epoch)
    }

    /// The entry that started from that epoch.
    #[must_use]
    pub fn successor_of(&self, epoch: &Epoch) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.origin.as_ref().is_some_and(|from| from.tip == *epoch))
    }

    /// Whether epochs as old as that number may have been dropped from it.
    #[must_use]
    pub fn may_have_dropped(&self, number: u64) -> bool {
        self.0.len() == HISTORY_LEN && self.0.first().is_some_and(|e| e.epoch.number > number)
    }

    /// Whether `theirs` knows an epoch of `node` that this history, which comes from `node`, does not
    /// know: then `node` has forgotten what it did, because its disk was restored or replaced.
    #[must_use]
    pub fn has_forgotten(&self, node: &NodeId, theirs: &Self) -> bool {
        theirs.0.iter().map(|entry| &entry.epoch).any(|epoch| {
            epoch.node == *node && !self.contains(epoch) && !self.may_have_dropped(epoch.number)
        })
    }

    /// This history with one more epoch, which begins now. `seen` is the highest number that the node
    /// has ever seen anywhere; the new number is above it and above all in the history.
    #[must_use]
    pub fn promoted(&self, start: Start) -> Self {
        let highest = self.tip().map_or(0, |tip| tip.number).max(start.seen);
        let epoch = Epoch {
            // Nobody counts so far, and no peer is believed who says so: see `record::NUMBER_MOST`.
            number: highest.saturating_add(1),
            node: start.node,
            nonce: start.nonce,
        };
        let mut entries = self.0.clone();
        entries.push(Entry { epoch, origin: start.origin, began: start.now });
        let superfluous = entries.len().saturating_sub(HISTORY_LEN);
        entries.drain(..superfluous);
        Self(entries)
    }

    /// The history after a complete copy of a tree with the history `source`. The tip is never lowered,
    /// and only a descendant is followed, unless the tip was given up (`given_up`).
    ///
    /// # Errors
    /// [`LineageError::NotADescendant`], [`LineageError::Lower`].
    pub fn following(&self, source: &Self, given_up: bool) -> Result<Self, LineageError> {
        match (self.tip(), source.tip()) {
            (Some(_), None) => Err(LineageError::Lower),
            (Some(mine), Some(_)) if !source.contains(mine) && !given_up => {
                Err(LineageError::NotADescendant)
            }
            (Some(mine), Some(theirs)) if theirs.number < mine.number => Err(LineageError::Lower),
            (Some(_) | None, _) => Ok(source.clone()),
        }
    }
}

impl TryFrom<Vec<Entry>> for History {
    type Error = LineageError;

    fn try_from(entries: Vec<Entry>) -> Result<Self, LineageError> {
        let rising = entries.windows(2).all(|two| match two {
            [a, b] => a.epoch.number < b.epoch.number,
            _ => true,
        });
        if entries.len() > HISTORY_LEN || !rising {
            return Err(LineageError::NotAHistory);
        }
        Ok(Self(entries))
    }
}

impl From<History> for Vec<Entry> {
    fn from(history: History) -> Self {
        history.0
    }
}

/// How an epoch begins.
#[derive(Clone, Debug)]
pub struct Start {
    /// Who becomes active.
    pub node: NodeId,
    /// Random bits.
    pub nonce: u64,
    /// The highest number that the node has ever seen.
    pub seen: u64,
    /// What its tree is a copy of.
    pub origin: Option<Origin>,
    /// Its clock.
    pub now: Stamp,
}

/// What is wrong with a history, or with following one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineageError {
    /// A node's name.
    #[error("the name of a node has 1 to {NODE_NAME_LEN} bytes and no control characters")]
    Name,
    /// A list of epochs that no node wrote.
    #[error("a history has at most {HISTORY_LEN} epochs, and their numbers rise")]
    NotAHistory,
    /// The source does not have the tip.
    #[error("the source does not descend from this tree")]
    NotADescendant,
    /// The source's tip has a lower number.
    #[error("the source is of an older epoch than this tree")]
    Lower,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start(node: &str, nonce: u64, seen: u64) -> Start {
        let node = NodeId::try_from(node.to_owned()).unwrap();
        Start { node, nonce, seen, origin: None, now: Stamp(nonce) }
    }

    fn numbers(history: &History) -> Vec<u64> {
        history.entries().iter().map(|entry| entry.epoch.number).collect()
    }

    #[test]
    fn a_promotion_is_above_everything_that_was_seen() {
        let first = History::default().promoted(start("a", 1, 0));
        assert_eq!(numbers(&first), [1]);
        assert_eq!(numbers(&first.promoted(start("b", 2, 0))), [1, 2]);
        assert_eq!(numbers(&first.promoted(start("b", 2, 7))), [1, 8]);
    }

    #[test]
    fn the_same_number_of_two_nodes_is_two_epochs() {
        let common = History::default().promoted(start("a", 1, 0));
        let (a, b) = (common.promoted(start("a", 2, 0)), common.promoted(start("b", 3, 0)));
        assert!(!a.contains(b.tip().unwrap()) && !b.contains(a.tip().unwrap()));
        assert!(a.contains(common.tip().unwrap()) && b.contains(common.tip().unwrap()));
        assert_eq!(a.following(&b, false), Err(LineageError::NotADescendant));
        assert_eq!(a.following(&b, true).as_ref(), Ok(&b));
    }

    #[test]
    fn following_never_lowers_the_tip() {
        let old = History::default().promoted(start("a", 1, 0));
        let new = old.promoted(start("b", 2, 0));
        assert_eq!(old.following(&new, false).as_ref(), Ok(&new));
        for given_up in [false, true] {
            assert!(new.following(&old, given_up).is_err(), "{given_up}");
            assert!(new.following(&History::default(), given_up).is_err(), "{given_up}");
        }
        assert_eq!(History::default().following(&new, false).as_ref(), Ok(&new));
    }

    #[test]
    fn a_node_that_forgot_its_own_epoch_is_told_from_one_that_never_heard_of_mine() {
        let common = History::default().promoted(start("a", 1, 0));
        let a2 = common.promoted(start("a", 2, 0));
        let b3 = a2.promoted(start("b", 3, 0));
        let a = NodeId::try_from("a".to_owned()).unwrap();
        // a did not copy b's epoch, but remembers its own.
        assert!(!a2.has_forgotten(&a, &b3));
        // a was restored to its first epoch, and served again.
        assert!(common.has_forgotten(&a, &b3));
        assert!(common.promoted(start("a", 9, 0)).has_forgotten(&a, &b3));
    }

    #[test]
    fn a_list_that_does_not_rise_is_not_a_history() {
        let history = History::default().promoted(start("a", 1, 0)).promoted(start("b", 2, 0));
        let json = serde_json::to_string(&history).unwrap();
        assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
        let mut entries = Vec::from(history);
        entries.reverse();
        let json = serde_json::to_string(&entries).unwrap();
        let error = serde_json::from_str::<History>(&json).unwrap_err().to_string();
        assert!(error.contains("their numbers rise"), "{error}");
    }

    proptest! {
        #[test]
        fn a_history_stays_short_rises_and_knows_its_newest(
            seen in proptest::collection::vec(0_u64..100, 1..100),
        ) {
            let mut history = History::default();
            for (nonce, seen) in (0..).zip(seen) {
                let tip = history.tip().cloned();
                history = history.promoted(start("n", nonce, seen));
                prop_assert!(tip.is_none_or(|tip| history.contains(&tip)));
                prop_assert!(history.tip().is_some_and(|tip| tip.number > seen));
                prop_assert!(History::try_from(Vec::from(history.clone())).is_ok());
            }
        }
    }
}
