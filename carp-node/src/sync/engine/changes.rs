//! On the active node: counts what changes in a share, so that the standby pulls sooner, and looks for databases in it,
//! of which nothing is to be copied.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinHandle, spawn_blocking, spawn_local};

use super::{Engine, Role};
use crate::sync::guards::{database, place};
use crate::sync::pattern::Patterns;
use crate::sync::record::Databases;
use crate::sync::watch::{Covers, Noticed, Watch};

/// Events are gathered for so long before they are counted: the record is not written more often.
const GATHER: Duration = Duration::from_millis(250);

/// Watching a tree anew may take a quarter of the time, and is not done more often than this.
const REST_LEAST: Duration = Duration::from_secs(2);

/// How often a tree is looked through of which only a part is watched.
const RELOOK: Duration = Duration::from_secs(300);

/// How long to wait before a tree that cannot be watched is tried again.
const RETRY: Duration = Duration::from_secs(30);

/// A share that is watched, until this is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    task: JoinHandle<()>,
    shown: Rc<Shown>,
}

/// What the others see of it.
#[derive(Debug, Default)]
struct Shown {
    changes: Cell<u64>,
    covers: Cell<Option<Covers>>,
    databases: RefCell<Databases>,
    unseen: RefCell<Option<String>>,
}

impl Watching {
    fn begin(path: PathBuf, exclude: Patterns) -> Self {
        let shown = Rc::new(Shown::default());
        let task = spawn_local(watch(path, exclude, shown.clone()));
        Self { task, shown }
    }

    /// Counts up with each change, as far as changes are noticed.
    pub(super) fn changes(&self) -> u64 {
        self.shown.changes.get()
    }

    /// What is known of databases in the tree.
    pub(super) fn databases(&self) -> Databases {
        self.shown.databases.borrow().clone()
    }

    /// Why a part of the tree could not be looked at, if so: there may be a database.
    pub(super) fn unseen(&self) -> Option<String> {
        self.shown.unseen.borrow().clone()
    }

    /// How much of the tree is watched; `None` if nothing is.
    pub(super) fn covers(&self) -> Option<Covers> {
        self.shown.covers.get()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Engine {
    /// A share is watched as long as this node serves it.
    pub(super) fn watch(&mut self, number: usize) {
        let share = &mut self.shares[number];
        let serves = self.routers[share.router].role == Role::Active;
        match (serves, &share.watching) {
            (true, None) => {
                let patterns = Patterns::of(&share.spec.exclude);
                share.watching = Some(Watching::begin(share.spec.path.clone(), patterns));
            }
            (false, Some(_)) => share.watching = None,
            (true, Some(_)) | (false, None) => {}
        }
    }
}

async fn watch(path: PathBuf, exclude: Patterns, shown: Rc<Shown>) {
    let exclude = Arc::new(exclude);
    loop {
        let began = Instant::now();
        let (root, patterns) = (path.clone(), exclude.clone());
        let looked = spawn_blocking(move || look(&root, &patterns)).await;
        let (watch, databases, unseen) =
            looked.unwrap_or_else(|end| (Err(end.into()), Databases::Unknown, None));
        shown.databases.replace(databases);
        shown.unseen.replace(unseen);
        let rest = (began.elapsed() * crate::sync::pace::REST).max(REST_LEAST);
        let walked = Instant::now();
        // Whatever changed before it was watched is a change too.
        shown.changes.update(|changes| changes + 1);
        match watch {
            Ok(watch) => {
                shown.covers.set(Some(watch.covers()));
                let following = follow(&watch, &exclude, &shown);
                if watch.covers().whole {
                    following.await;
                } else {
                    // Where nothing is noticed, a database may have come; or what could not be looked at can be now.
                    let relook = if watch.unseen().is_some() { RETRY } else { RELOOK };
                    let _ = tokio::time::timeout(relook.max(rest), following).await;
                }
                // What comes after a quiet time is looked at immediately.
                tokio::time::sleep(rest.saturating_sub(walked.elapsed())).await;
            }
            Err(_) => {
                shown.covers.set(None);
                tokio::time::sleep(RETRY.max(rest)).await;
            }
        }
    }
}

/// Watches a tree, and looks for databases in it on the way. Also why a part of it could not be looked at.
fn look(path: &Path, exclude: &Patterns) -> (io::Result<Watch>, Databases, Option<String>) {
    let root = match place::real_root(path) {
        Ok(root) => root,
        // There is nothing, and so no database; its marker will be missed.
        Err(hold) => return (Err(io::Error::other(hold.message)), Databases::Absent, None),
    };
    let mut found = None;
    let watch = Watch::over(&root, exclude, |entry| {
        if found.is_none() {
            found = database::of_entry(entry);
        }
    });
    let unseen = match &watch {
        Ok(watch) => watch.unseen().map(str::to_owned),
        // Nobody looked.
        Err(_) => match database::find(&root, exclude) {
            Ok(database) => {
                found = database;
                None
            }
            Err(error) => Some(error.to_string()),
        },
    };
    let databases = match (found, &unseen) {
        (Some(database), _) => Databases::Found(database.to_string()),
        (None, Some(_)) => Databases::Unknown,
        (None, None) => Databases::Absent,
    };
    (watch, databases, unseen)
}

/// Counts until the tree has to be watched anew. The kernel gathers events meanwhile; more than it can are an
/// overflow, which says as much.
async fn follow(watch: &Watch, exclude: &Patterns, shown: &Shown) {
    loop {
        tokio::time::sleep(GATHER).await;
        let Ok(Noticed { changed, anew }) = watch.take(exclude) else { return };
        shown.changes.update(|changes| changes + u64::from(changed));
        if anew {
            return;
        }
    }
}
