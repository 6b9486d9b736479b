//! Sync groups: which routers of the node become active and step down together.

use std::collections::BTreeMap;

use carp_proto::Group;

use super::{Node, RouterSetup};
use crate::backend::Backend;

/// A sync group, and which routers of the node are in it.
#[derive(Debug)]
pub(super) struct SyncGroup {
    group: Group,
    members: Vec<usize>,
}

/// The groups of these routers.
pub(super) fn groups(setups: &[RouterSetup]) -> Vec<SyncGroup> {
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, setup) in setups.iter().enumerate() {
        if let Some(group) = setup.group {
            groups.entry(group).or_default().push(index);
        }
    }
    let sync_group = |members: Vec<usize>| SyncGroup { group: Group::new(members.len()), members };
    groups.into_values().map(sync_group).collect()
}

impl<B: Backend> Node<B> {
    /// Tells a router's group what has become of it.
    pub(super) fn note_in_group(&mut self, index: usize) {
        let posture = self.members[index].router.posture();
        for SyncGroup { group, members } in &mut self.groups {
            if let Some(number) = members.iter().position(|member| *member == index) {
                group.note(number, posture);
            }
        }
    }

    /// Does what groups want of their routers. This comes after everything that happened at once.
    pub(super) fn settle_groups(&mut self) {
        for place in 0..self.groups.len() {
            while let Some((number, input)) = self.groups[place].group.poll_input() {
                let index = self.groups[place].members[number];
                self.input(index, input);
            }
        }
    }
}
