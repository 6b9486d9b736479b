//! What the operator wants.

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::{Answer, Engine, now};
use crate::clock::wall_time;
use crate::control::proto::{ControlError, ErrorCode};
use crate::control::units::WallTime;
use crate::remedy::Told;
use crate::sync::decide::{Decision, Pull};
use crate::sync::guards::place;
use crate::sync::lineage::Epoch;
use crate::sync::record::{Keep, Role};
use crate::sync::rescue::{self, Pruning, RescueSet};

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "kebab-case")]
pub enum Order {
    /// Begin a pass now.
    Now,
    /// Have the peer hand over to this node.
    Failback,
    /// Pull nothing any more, for this reason.
    Hold {
        /// The reason.
        reason: String,
    },
    /// Undo that.
    Release,
    /// What a pass would change.
    Diff,
    /// Which tree counts, where both sides wrote.
    Resolve {
        /// Whether it is the one here.
        local: bool,
    },
    /// Let one pass delete as much as it will.
    Approve,
    /// The rescue sets.
    RescueList,
    /// Where one of them is.
    RescueShow {
        /// Its name.
        set: String,
    },
    /// Move an entry of a set back into the share.
    RescueRestore {
        /// Its name.
        set: String,
        /// The path in the share, as the report has it.
        path: String,
        /// Where to, if not there.
        to: Option<String>,
    },
    /// The orphans of a set are of no more use.
    RescueAck {
        /// Its name.
        set: String,
    },
    /// Remove what may go.
    RescuePrune {
        /// All that nobody waits for, however young and small they are.
        all: bool,
    },
}

impl Order {
    /// Whether it changes something, which takes root or the daemon's own user. What is in the tree and
    /// in rescue sets is for them as well.
    #[must_use]
    pub const fn changes(&self) -> bool {
        true
    }
}

pub(super) fn refused(message: impl Into<String>) -> ControlError {
    ControlError::new(ErrorCode::Refused, message)
}

fn failed(error: &io::Error) -> ControlError {
    ControlError::new(ErrorCode::Failed, Told(error).to_string())
}

impl Engine {
    pub(super) fn order(&mut self, share: Option<&str>, order: Order, reply: Answer) {
        let number = match self.meant(share, &order) {
            Ok(number) => number,
            Err(error) => {
                // Whoever asked may have gone.
                let _ = reply.send(Err(error));
                return;
            }
        };
        if order == Order::Diff {
            return self.diff(number, reply);
        }
        if order == Order::Failback {
            return self.fail_back(number, reply);
        }
        let answer = match order {
            Order::Now => self.pull_now(number),
            Order::Hold { reason } => self.set_hold(number, Some(reason)),
            Order::Release => self.set_hold(number, None),
            Order::Resolve { local } => self.resolve(number, local),
            Order::Approve => self.approve(number),
            Order::RescueList => self.rescue_list(number),
            // Its report may be long: whoever asked reads it.
            Order::RescueShow { set } => {
                self.set(number, &set).map(|set| json!({ "path": set.path() }))
            }
            Order::RescueRestore { set, path, to } => {
                self.restore(number, &set, &path, to.as_deref())
            }
            Order::RescueAck { set } => self.set(number, &set).and_then(|set| {
                let report = set.acknowledge(WallTime(wall_time())).map_err(|it| failed(&it))?;
                self.shares[number].rescues.changed = true;
                Ok(json!({ "set": set.name().to_string(), "orphans": report.orphans }))
            }),
            Order::RescuePrune { all } => self.prune(number, all),
            Order::Diff | Order::Failback => return,
        };
        let _ = reply.send(answer);
    }

    /// The share of this name; without one, the only share that can be meant.
    fn meant(&self, name: Option<&str>, order: &Order) -> Result<usize, ControlError> {
        let known: Vec<&str> = self.shares.iter().map(|share| share.spec.name.as_str()).collect();
        let mut asked = (0..known.len()).filter(|share| self.waits_for(*share, order));
        match (name, known.as_slice()) {
            (None, [_]) => Ok(0),
            (None, _) if let (Some(share), None) = (asked.next(), asked.next()) => Ok(share),
            (None, _) => {
                let message = format!("name one of the shares: {}", known.join(", "));
                Err(ControlError::new(ErrorCode::UnknownRouter, message))
            }
            (Some(name), known) => known.iter().position(|it| *it == name).ok_or_else(|| {
                let message = format!("no share {name:?}: this daemon has {}", known.join(", "));
                ControlError::new(ErrorCode::UnknownRouter, message)
            }),
        }
    }

    /// Whether this is what the share waits for, so that who says it need not say of which: the remedy of a hold
    /// works as it is printed.
    fn waits_for(&self, number: usize, order: &Order) -> bool {
        let share = &self.shares[number];
        match order {
            Order::Approve => share.probes(),
            Order::Release => share.memory.hold.is_some(),
            Order::Resolve { .. } | Order::Diff => share.hold().is_some(),
            Order::RescueShow { set }
            | Order::RescueRestore { set, .. }
            | Order::RescueAck { set } => self.set(number, set).is_ok(),
            Order::Now
            | Order::Hold { .. }
            | Order::Failback
            | Order::RescueList
            | Order::RescuePrune { .. } => false,
        }
    }

    fn pull_now(&mut self, number: usize) -> Result<Value, ControlError> {
        let share = &mut self.shares[number];
        match &share.decision {
            Some(Decision::Pull(_)) => {
                share.wanted = true;
                Ok(json!({ "text": "a pass begins now" }))
            }
            Some(Decision::Serve(_)) => {
                Err(refused("this node is active: nothing is pulled here; ask on the other node"))
            }
            Some(Decision::Keep) => Err(refused(
                "this tree counts, as you said: the peer copies it when this node serves",
            )),
            Some(Decision::Hold(hold)) => Err(refused(hold.message.clone())),
            Some(Decision::Wait(wait)) => Err(refused(wait.message())),
            Some(Decision::Scan) | None => {
                Err(refused("the tree is being looked at; a pass follows by itself"))
            }
        }
    }

    fn set_hold(&mut self, number: usize, reason: Option<String>) -> Result<Value, ControlError> {
        let memory = self.shares[number].memory.clone();
        let serves = self.routers[self.shares[number].router].role == Role::Active;
        let text = match (&reason, serves) {
            (Some(_), false) => "nothing is pulled until `carp sync hold --release`",
            (Some(_), true) => {
                "this node serves, and pulls nothing in any case; when it does not serve any more, nothing is pulled until \
                 `carp sync hold --release`"
            }
            (None, _) => "released",
        };
        let memory = crate::sync::record::Memory { hold: reason, ..memory };
        self.store_order(number, memory)?;
        Ok(json!({ "text": text }))
    }

    fn store_order(
        &mut self,
        number: usize,
        memory: crate::sync::record::Memory,
    ) -> Result<(), ControlError> {
        if self.remember(number, memory) {
            // The operator's word lifts what it is about, and what stays is decided anew.
            self.shares[number].held_before = None;
            return Ok(());
        }
        let why = self.shares[number].unwritten.as_ref().map(|it| it.why.clone());
        Err(ControlError::new(ErrorCode::Failed, why.unwrap_or_default()))
    }

    fn resolve(&mut self, number: usize, local: bool) -> Result<Value, ControlError> {
        let share = &self.shares[number];
        let active = self.routers[share.router].role == Role::Active;
        let peer = self.peers[share.peer].peer().and_then(|peer| peer.share(&share.spec.name));
        let Some(tip) = peer.and_then(|theirs| theirs.history.tip()).cloned() else {
            if active || !local {
                return Err(refused(format!(
                    "what the peer has is not known: it has to be reachable, and to have served once; \
                     `carp sync check {}` says what is in the way",
                    share.spec.name
                )));
            }
            let memory = share.memory.after_allowing_old();
            self.store_order(number, memory)?;
            let text = "what the peer has is not known: until it is, this node may serve its copy, however old \
                        that is";
            return Ok(json!({ "text": text }));
        };
        let keep = if local { Keep::Local } else { Keep::Peer };
        if active && !local {
            let router = &self.routers[share.router].name;
            return Err(refused(format!(
                "this node serves: yield first (`carp yield {router}`), or resolve on the other node"
            )));
        }
        let memory = share.memory.after_resolve(keep, tip);
        self.store_order(number, memory)?;
        let text = match (local, active) {
            (true, true) => {
                "the peer copies this tree; what it replaces is kept there in a rescue set"
                    .to_owned()
            }
            (true, false) => format!(
                "this tree counts: when this node serves, the peer copies it, and keeps what it replaces; \
                 unless this node takes over by itself, `carp yield {}` on the peer lets it",
                self.routers[self.shares[number].router].name
            ),
            (false, _) => {
                "the peer's tree is copied; what it replaces is kept here in a rescue set"
                    .to_owned()
            }
        };
        self.shares[number].wanted = true;
        Ok(json!({ "text": text }))
    }

    fn approve(&mut self, number: usize) -> Result<Value, ControlError> {
        let share = &mut self.shares[number];
        if !share.probes() {
            return Err(refused(
                "nothing waits for approval: no pass would delete more than the limit",
            ));
        }
        share.approved = true;
        share.wanted = true;
        Ok(json!({ "text": "one pass may delete as much as it will" }))
    }

    /// What the peer has, if it can be compared with what is here; or why not.
    fn comparable(&self, number: usize) -> Result<Epoch, &'static str> {
        let share = &self.shares[number];
        if share.lingers.is_some() {
            return Err(
                "a process of the last pass hangs inside the kernel: `carp sync status` says which",
            );
        }
        if share.pass.is_some() {
            return Err("a pass runs: ask again when it is over");
        }
        if self.rsync.usable().is_none() {
            return Err("rsync cannot be used here: `carp sync status` says why");
        }
        let peer = self.peers[share.peer].peer().and_then(|peer| peer.share(&share.spec.name));
        let tip = peer.and_then(|theirs| theirs.history.tip());
        tip.cloned()
            .ok_or("what the peer has is not known: `carp sync check` says what is in the way")
    }

    /// A dry run, whatever holds the share: nothing is changed by it.
    fn diff(&mut self, number: usize, reply: Answer) {
        let tip = match self.comparable(number) {
            Ok(tip) => tip,
            Err(refusal) => {
                // Whoever asked may have gone.
                let _ = reply.send(Err(refused(refusal)));
                return;
            }
        };
        let (sender, end) = oneshot::channel();
        // It is a comparison with the peer as it is.
        let pull = Pull { tip, rescue: None, given_up: true };
        let name = self.shares[number].spec.name.clone();
        self.start_pass(number, pull, Some(sender), now());
        spawn_local(async move {
            let Ok(end) = end.await else { return };
            let answer = match (end.hold, end.trouble) {
                (Some(hold), _) => Err(refused(hold.message)),
                (None, Some(trouble)) => Err(ControlError::new(ErrorCode::Failed, trouble)),
                (None, None) => Ok(json!({
                    "schema": "carp.sync-diff/1",
                    "share": name,
                    "changed": end.figures.changed,
                    "deleted": end.figures.deleted,
                    "bytes": end.figures.bytes,
                    "differences": end.figures.listed,
                })),
            };
            let _ = reply.send(answer);
        });
    }
}

/// Rescue sets.
impl Engine {
    fn rescue_directory(&self, number: usize) -> Result<(PathBuf, PathBuf), ControlError> {
        let spec = &self.shares[number].spec;
        place::with_rescue(&spec.path, &spec.name).map_err(|hold| refused(hold.message))
    }

    fn rescue_list(&self, number: usize) -> Result<Value, ControlError> {
        let (_, directory) = self.rescue_directory(number)?;
        let sets = rescue::list(&directory).map_err(|error| failed(&error))?;
        let sets: Vec<Value> = sets
            .iter()
            .map(|set| {
                let report = set.summary().ok().flatten();
                json!({
                    "set": set.name().to_string(),
                    "path": set.path().display().to_string(),
                    "ended": report.is_some(),
                    "orphans": report.as_ref().map(|it| it.orphans),
                    "superseded": report.as_ref().map(|it| it.superseded),
                    "bytes": report.as_ref().map(|it| it.bytes),
                    "acknowledged": report.as_ref().is_some_and(|it| it.acknowledged.is_some()),
                })
            })
            .collect();
        let share = &self.shares[number].spec.name;
        Ok(json!({ "schema": "carp.sync-rescue/1", "share": share, "sets": sets }))
    }

    fn set(&self, number: usize, name: &str) -> Result<RescueSet, ControlError> {
        let (_, directory) = self.rescue_directory(number)?;
        let sets = rescue::list(&directory).map_err(|error| failed(&error))?;
        sets.into_iter().find(|set| set.name().to_string() == name).ok_or_else(|| {
            refused(format!("there is no rescue set {name:?}: see `carp sync rescue list`"))
        })
    }

    fn restore(
        &self,
        number: usize,
        set: &str,
        path: &str,
        to: Option<&str>,
    ) -> Result<Value, ControlError> {
        if self.routers[self.shares[number].router].role != Role::Active {
            let message = "this node is backup: the next pass would delete it again; copy the file to the \
                           node that serves, or let this one serve first";
            return Err(refused(message));
        }
        let set = self.set(number, set)?;
        let (root, _) = self.rescue_directory(number)?;
        let read = |text: &str| {
            rescue::path::from_text(text).ok_or_else(|| refused(format!("{text:?} is no path")))
        };
        let from = read(path)?;
        let to = to.map_or_else(|| Ok(from.clone()), read)?;
        rescue::restore(&set, &from, &root, &to).map_err(|error| refused(error.to_string()))?;
        Ok(json!({ "text": format!("restored {}", root.join(to).display()) }))
    }

    fn prune(&mut self, number: usize, all: bool) -> Result<Value, ControlError> {
        let (_, directory) = self.rescue_directory(number)?;
        self.shares[number].rescues.changed = true;
        let keep = if all { Pruning::NOTHING } else { Pruning::default() };
        let removed = rescue::prune(&directory, keep, WallTime(wall_time()))
            .map_err(|error| failed(&error))?;
        let removed: Vec<String> = removed.iter().map(ToString::to_string).collect();
        Ok(json!({ "removed": removed }))
    }
}
