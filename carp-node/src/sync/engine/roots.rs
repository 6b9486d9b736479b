//! The folder of a share on this node: its marker, and a walk through it.

use std::io;
use std::time::Duration;

use carp_proto::Instant;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::task::{spawn_blocking, spawn_local};

use super::{Done, Engine};
use crate::remedy::Told;
use crate::sync::guards::{marker, place};
use crate::sync::hold::Hold;
use crate::sync::pattern::Patterns;
use crate::sync::record::{Databases, Memory, Walk};
use crate::sync::tree;

/// How long a tree is left alone that could not be walked through.
const WALK_AGAIN: Duration = Duration::from_secs(2);

/// Why a tree was not walked through.
pub(super) enum Unwalked {
    /// It is not there, or is not the share.
    Held(Hold),
    /// It could not be read.
    Failed(io::Error),
}

impl From<Hold> for Unwalked {
    fn from(hold: Hold) -> Self {
        Self::Held(hold)
    }
}

impl From<io::Error> for Unwalked {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

impl Engine {
    /// Sees to the root of a share that is served: its marker, and what must not be in it.
    pub(super) fn see_to_root(&mut self, number: usize) {
        self.mark(number);
        let share = &mut self.shares[number];
        let Some(watching) = share.watching.as_ref().filter(|_| share.own_fault.is_none()) else {
            return;
        };
        if let Databases::Found(database) = watching.databases() {
            let hold = Hold::of_database(format_args!("{database}, and is not copied"));
            share.own_fault = Some(hold.message);
        } else if let Some(why) = watching.unseen() {
            share.own_fault = Some(format!(
                "nobody can say that there is no database in {}, so it is not copied: {why}; exclude that directory, \
                 or let this node read it",
                share.spec.path.display()
            ));
        }
    }

    /// Sees to its marker.
    fn mark(&mut self, number: usize) {
        let share = &mut self.shares[number];
        share.marked = false;
        let root = match place::real_root(&share.spec.path) {
            Ok(root) => root,
            Err(hold) => {
                self.shares[number].own_fault = Some(hold.message);
                return;
            }
        };
        let found = marker::read(&root);
        let id = match (found, &share.memory.share_id) {
            (Ok(Some(found)), None) => found,
            (Ok(None), None) => {
                let mut bytes = [0; 16];
                if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
                    return;
                }
                let id = marker::ShareId::from_random(bytes);
                if let Err(error) = marker::create(&root, &id) {
                    let text = format!(
                        "cannot make {} in {}: {}",
                        marker::MARKER,
                        root.display(),
                        Told(&error)
                    );
                    self.shares[number].own_fault = Some(text);
                    return;
                }
                id
            }
            (Ok(found), Some(known)) => {
                let fault = marker::check_served(known, found.as_ref(), &root);
                let share = &mut self.shares[number];
                share.marked = fault.is_none();
                share.own_fault = fault;
                return;
            }
            (Err(error), _) => {
                let marker = root.join(marker::MARKER);
                self.shares[number].own_fault =
                    Some(format!("{}: {}", marker.display(), Told(&error)));
                return;
            }
        };
        let memory = &self.shares[number].memory;
        let memory = Memory { share_id: Some(id.to_string()), ..memory.clone() };
        self.remember(number, memory);
    }

    /// Walks through the tree of a share, if it is there and is the share: what an empty mount point says counts for
    /// nothing.
    pub(super) fn walk(&mut self, number: usize, now: Instant) {
        let share = &mut self.shares[number];
        if share.walking || share.walk_at.is_some_and(|at| now < at) {
            return;
        }
        share.walking = true;
        let (path, patterns) = (share.spec.path.clone(), Patterns::of(&share.spec.exclude));
        // Whoever said that the peer's tree counts has lost this one, or its marker.
        let id = share.memory.share_id.clone().filter(|_| share.memory.accepts.is_none());
        let done = self.done.clone();
        spawn_local(async move {
            let walk = spawn_blocking(move || {
                let root = place::real_root(&path)?;
                let marker = marker::read(&root)?;
                if let Some(hold) = marker::check_own(id.as_deref(), marker.as_ref(), &root) {
                    return Err(hold.into());
                }
                Ok(tree::scan(&root, &patterns)?)
            });
            let walk = walk.await.unwrap_or_else(|error| Err(io::Error::other(error).into()));
            let _ = done.send(Done::Walked { share: number, walk });
        });
    }

    pub(super) fn walked(&mut self, number: usize, walk: Result<Walk, Unwalked>, now: Instant) {
        let share = &mut self.shares[number];
        share.walking = false;
        share.walk_at = Some(now + WALK_AGAIN);
        match walk {
            Ok(walk) => {
                (share.walk_at, share.guard) = (None, None);
                let memory = share.memory.after_scan(walk);
                self.remember(number, memory);
            }
            Err(Unwalked::Failed(error)) => {
                share.own_fault = Some(format!(
                    "its tree cannot be looked through: {}; or exclude that directory",
                    Told(&error)
                ));
            }
            Err(Unwalked::Held(hold)) => share.guard = Some(hold),
        }
    }
}
