//! Looks at the root of a share, beside the loop: one that does not answer delays nothing but its own share.

use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::Instant;
use tokio::task::spawn_local;

use super::disk::on_disk;
use super::peer::now;
use super::{Done, Engine, LOOK_ROUND};
use crate::remedy::Told;
use crate::sync::guards::marker::{self, ShareId};
use crate::sync::guards::place;

/// How long a root may take to answer before it counts as one that is not there. A takeover may take 10 s for all that
/// comes before its addresses, and this is a part of it.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// What is found at the root of a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// Where it really is.
    pub(super) path: PathBuf,
    pub(super) marker: Option<ShareId>,
}

/// That, or what is wrong with the root.
pub(super) type Found = Result<Root, String>;

/// The looks at one root, of which one runs at most: one that hangs keeps its thread.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// When the last one began.
    began: Option<Instant>,
    runs: bool,
    found: Option<Found>,
}

impl Looks {
    /// Whether one may begin, which then it has.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        if self.runs {
            return false;
        }
        (self.began, self.runs) = (Some(now), true);
        true
    }

    pub(super) fn end(&mut self, found: Found) {
        (self.runs, self.found) = (false, Some(found));
    }

    /// What was found before says nothing any more.
    pub(super) fn forget(&mut self) {
        self.found = None;
    }

    /// Whether it is time for the next one, of a root that is looked at all the time.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        !self.runs && self.began.is_none_or(|began| now.saturating_since(began) >= LOOK_ROUND)
    }

    /// Whether one runs that may still answer in time.
    pub(super) fn is_awaited(&self, now: Instant) -> bool {
        self.runs && !self.is_late(now)
    }

    /// What the last one has found at this path; `None` if there was none.
    pub(super) fn found(&self, path: &Path, now: Instant) -> Option<Result<&Root, String>> {
        if self.is_late(now) {
            return Some(Err(format!(
                "{} has not answered for {} s; look at its disk, or at the server of its network file system",
                path.display(),
                ANSWER_LIMIT.as_secs()
            )));
        }
        self.found.as_ref().map(|found| found.as_ref().map_err(Clone::clone))
    }

    fn is_late(&self, now: Instant) -> bool {
        let over = |began| now.saturating_since(began) >= ANSWER_LIMIT;
        self.runs && self.began.is_some_and(over)
    }
}

impl Engine {
    /// Looks at the root of a share, unless a look at it runs. `fresh` becomes its marker if it has none.
    pub(super) fn look(&mut self, number: usize, fresh: Option<ShareId>) {
        let share = &mut self.shares[number];
        if !share.looks.begin(now()) {
            return;
        }
        let (path, done) = (share.spec.path.clone(), self.done.clone());
        spawn_local(async move {
            let found = on_disk(move || Ok(look_at(&path, fresh))).await;
            let found = found.map_err(|error| error.to_string()).flatten();
            let _ = done.send(Done::Looked { share: number, found });
        });
    }

    pub(super) fn looked(&mut self, number: usize, found: Found) {
        self.shares[number].looks.end(found);
        // A takeover that waits for this does not wait for the next turn.
        self.promote_if_ready(self.shares[number].router);
    }
}

fn look_at(path: &Path, fresh: Option<ShareId>) -> Found {
    let path = place::real_root(path).map_err(|hold| hold.message)?;
    let found = marker::read(&path)
        .map_err(|error| format!("{}: {}", path.join(marker::MARKER).display(), Told(&error)))?;
    if let (None, Some(fresh)) = (&found, &fresh) {
        marker::create(&path, fresh).map_err(|error| {
            format!("cannot make {} in {}: {}", marker::MARKER, path.display(), Told(&error))
        })?;
    }
    Ok(Root { path, marker: found.or(fresh) })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    fn root() -> Root {
        Root { path: "/srv/www".into(), marker: None }
    }

    #[test]
    fn a_look_is_awaited_for_a_while_and_then_the_root_is_as_good_as_gone() {
        let (mut looks, path) = (Looks::default(), Path::new("/srv/www"));
        assert_eq!(looks.found(path, at(0)), None);
        assert!(looks.begin(at(0)) && looks.is_awaited(at(2999)) && !looks.is_awaited(at(3000)));
        assert_eq!(looks.found(path, at(2999)), None);
        let told = looks.found(path, at(3000)).unwrap().unwrap_err();
        assert!(told.starts_with("/srv/www has not answered for 3 s; "), "{told}");
        assert_eq!(looks.found(path, at(60_000)), Some(Err(told)), "and it is told once");
        looks.end(Ok(root()));
        assert_eq!(looks.found(path, at(60_000)), Some(Ok(&root())), "it is there again");
        looks.forget();
        assert_eq!(looks.found(path, at(60_000)), None);
    }

    #[test]
    fn a_root_that_hangs_is_not_looked_at_twice() {
        let (mut looks, path) = (Looks::default(), Path::new("/srv/www"));
        assert!(looks.are_due(at(0)) && looks.begin(at(0)));
        looks.end(Ok(root()));
        assert!(!looks.are_due(at(249)) && looks.are_due(at(250)));
        assert!(looks.begin(at(249)), "a takeover does not wait until it is due");
        assert_eq!(looks.found(path, at(1000)), Some(Ok(&root())), "until there is another answer");
        assert!(!looks.are_due(at(60_000)) && !looks.begin(at(60_000)));
        assert!(looks.found(path, at(60_000)).unwrap().is_err() && !looks.is_awaited(at(60_000)));
    }

    #[test]
    fn a_marker_is_made_where_there_is_none_and_never_without_a_word() {
        let directory = tempfile::tempdir().unwrap();
        let path = fs::canonicalize(directory.path()).unwrap();
        let [one, two] = [1, 2].map(|byte| ShareId::from_random([byte; 16]));
        let found = |marker: Option<&ShareId>| Root { path: path.clone(), marker: marker.cloned() };
        assert_eq!(look_at(&path, None), Ok(found(None)));
        assert_eq!(look_at(&path, Some(one.clone())), Ok(found(Some(&one))));
        assert_eq!(look_at(&path, Some(two)), Ok(found(Some(&one))), "it has one");
        assert_eq!(look_at(&path, None), Ok(found(Some(&one))));
        let gone = look_at(&path.join("gone"), None).unwrap_err();
        assert!(gone.contains("No such file"), "{gone}");
    }
}
