//! What passes leave: rescue sets whose pass a crash cut off get their report, those that may go do, and so do the parts
//! of files in a tree that is served.

use std::io;
use std::path::Path;
use std::time::Duration;

use carp_proto::Instant;
use tokio::task::spawn_local;

use super::disk::on_disk;
use super::{Done, Engine};
use crate::clock::wall_time;
use crate::control::units::WallTime;
use crate::remedy::Told;
use crate::sync::guards::place;
use crate::sync::rescue::{self, Pruning};
use crate::sync::tree::empty_partial;

/// How often sets are looked through that may have grown too old.
const PRUNE_EVERY: Duration = Duration::from_secs(86_400);

/// What was done with the sets of a share.
#[derive(Debug, Default)]
pub(super) struct Tidied {
    /// Sets that were left without a report, and have one now.
    finished: Vec<String>,
    /// Sets for which that could not be done, and why.
    failed: Vec<String>,
    /// Sets that are gone.
    pruned: Vec<String>,
}

impl Engine {
    /// Begins with what the last process left. Nothing is pulled before that is done: a set without a report is one
    /// whose pass runs, from then on.
    pub(super) fn tidy_at_start(&mut self) {
        for number in 0..self.shares.len() {
            self.tidy(number, true);
        }
    }

    /// Looks once a day whether sets have grown too old.
    pub(super) fn tidy_daily(&mut self, now: Instant) {
        if now.saturating_since(self.tidied) < PRUNE_EVERY {
            return;
        }
        self.tidied = now;
        for number in 0..self.shares.len() {
            self.tidy(number, false);
        }
    }

    fn tidy(&mut self, number: usize, finishes: bool) {
        let share = &mut self.shares[number];
        share.tidying = finishes;
        let (path, name) = (share.spec.path.clone(), share.spec.name.clone());
        let done = self.done.clone();
        spawn_local(async move {
            let tidied = on_disk(move || tidied(&path, &name, finishes)).await;
            let _ = done.send(Done::Tidied { share: number, tidied });
        });
    }

    /// Removes what cut-off passes have left in a tree that this node begins to serve: others can see it. Nothing is
    /// pulled before that is done.
    pub(super) fn purge(&mut self, number: usize) {
        let share = &mut self.shares[number];
        if !share.untidy {
            return;
        }
        share.purging = true;
        let (path, done) = (share.spec.path.clone(), self.done.clone());
        spawn_local(async move {
            let purged = on_disk(move || match place::real_root(&path) {
                Ok(root) => empty_partial(&root),
                // What is wrong with it is told where its marker is looked for.
                Err(_) => Ok(0),
            });
            let _ = done.send(Done::Purged { share: number, purged: purged.await });
        });
    }

    pub(super) fn purged(&mut self, number: usize, purged: io::Result<u64>) {
        let share = &mut self.shares[number];
        share.purging = false;
        if let Err(error) = purged {
            self.tell_fault(
                number,
                format_args!(
                    "parts of files that passes have left cannot be removed: {}",
                    Told(&error)
                ),
            );
        }
    }

    pub(super) fn tidied(&mut self, number: usize, tidied: io::Result<Tidied>) {
        let share = &mut self.shares[number];
        share.tidying = false;
        share.rescues.changed = true;
        let fault = |what: &dyn std::fmt::Display| {
            self.tell_fault(number, format_args!("its rescue sets: {what}"));
        };
        let told = |text: &str, sets: &[String]| {
            if !sets.is_empty() {
                self.tell_log(number, format_args!("{text} {}", sets.join(", ")));
            }
        };
        match tidied {
            Ok(Tidied { finished, failed, pruned }) => {
                told("a pass was cut off with the daemon; what it had replaced is in", &finished);
                told("rescue sets that nobody waits for were removed:", &pruned);
                failed.iter().for_each(|failed| fault(failed));
            }
            Err(error) => fault(&error),
        }
    }
}

fn tidied(path: &Path, name: &str, finishes: bool) -> io::Result<Tidied> {
    let mut tidied = Tidied::default();
    // Without a root, or a place for sets, there are none; whoever pulls or serves says what is wrong.
    let Ok((_, directory)) = place::with_rescue(path, name) else { return Ok(tidied) };
    let now = WallTime(wall_time());
    if finishes {
        for set in rescue::list(&directory)? {
            // One whose report cannot be read stays as it is.
            if !matches!(set.summary(), Ok(None)) {
                continue;
            }
            match set.finish(false, now) {
                Ok(Some(_)) => tidied.finished.push(set.name().to_string()),
                Ok(None) => {}
                Err(error) => tidied.failed.push(format!("{}: {error}", set.name())),
            }
        }
    }
    let pruned = rescue::prune(&directory, Pruning::default(), now)?;
    tidied.pruned = pruned.iter().map(ToString::to_string).collect();
    Ok(tidied)
}
