//! What must never happen, told from the truth of the model and not from epochs.

use carp_node::sync::decide::CONCURRENT_MARGIN;
use carp_node::sync::policy::AutoResolve;

use crate::world::{Cell, Violation, World};

impl World<'_> {
    /// Every value that nobody replaced is in a tree or in a rescue set.
    pub(crate) fn check_nothing_lost(&self) -> Result<(), Violation> {
        let exists = self.existing();
        match self.required.iter().find(|value| !exists.contains(value)) {
            Some(value) => Err(format!("value {value} is in no tree and in no rescue set")),
            None => Ok(()),
        }
    }

    /// What only one node ever had is an orphan when it goes into a rescue set, so that it is not pruned
    /// before somebody has seen it.
    pub(crate) fn check_called_by_its_name(
        &self,
        n: usize,
        cell: Cell,
        orphan: bool,
    ) -> Result<(), Violation> {
        let needed = self.required.contains(&cell.value);
        if orphan || !needed || self.clocks_set || self.was_on_both(cell.value) {
            return Ok(());
        }
        Err(format!(
            "value {} of node {n} is called superseded, and nobody else had it",
            cell.value
        ))
    }

    /// A tree is replaced by one that descends from it, or after it was given up, or if nothing was done
    /// with it; and not if clients wrote on it while the other one was served.
    pub(crate) fn check_may_be_replaced(&self, n: usize) -> Result<(), Violation> {
        let (mine, theirs) = (&self.nodes[n].disk, &self.nodes[1 - n].disk);
        let asked = mine.truth.given_up
            || theirs.truth.counts
            || self.policy.auto_resolve == AutoResolve::Elected;
        if asked {
            return Ok(());
        }
        let Some(&last) = mine.truth.tenures.last() else {
            return match mine.tree.is_empty() || mine.memory.walked.is_some_and(|walk| walk.empty) {
                true => Ok(()),
                false => Err(format!("node {n} adopts a tree over its own, and nobody said so")),
            };
        };
        let position = theirs.truth.tenures.iter().position(|&tenure| tenure == last);
        let Some(position) = position else { return self.check_idle(n, last) };
        let next = theirs.truth.tenures.get(position + 1).map(|&tenure| self.tenure(tenure));
        let (Some(next), Some(wrote)) = (next, mine.truth.wrote) else { return Ok(()) };
        // One second for each reading of a record.
        let late = wrote.saturating_since(next.began) > CONCURRENT_MARGIN * 2;
        if late && !self.clocks_set && self.tenure(last).node == n && next.node != n {
            return Err(format!(
                "node {n} was written while the other one served, and is overwritten"
            ));
        }
        Ok(())
    }

    /// A tenure that the other one does not have counts for nothing if nobody wrote in it, and if the
    /// other one has what it began with.
    fn check_idle(&self, n: usize, last: usize) -> Result<(), Violation> {
        let (mine, theirs) = (&self.nodes[n].disk.truth, &self.nodes[1 - n].disk.truth);
        let before = mine.tenures.iter().rev().nth(1);
        let known = before.is_some_and(|before| theirs.tenures.contains(before));
        let idle = self.tenure(last).node == n && mine.wrote.is_none() && known;
        // A clock that was set back hides what was written since.
        if idle || self.clocks_set {
            return Ok(());
        }
        Err(format!("node {n} is overwritten by a tree that does not descend from its own"))
    }
}
