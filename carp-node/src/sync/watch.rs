//! Notices changes in a tree, with inotify: a hint, and nothing more.
//!
//! What is noticed brings a pass forward. What is not noticed is found by the pass that the interval brings, so
//! everything here may fail: a limit of the kernel, a directory that cannot be read, a queue that overflows.
//! Every pass is a full one, so after an overflow nothing is missing either.
//!
//! Nothing is remembered of the directories: no path is kept, however large the tree is. When a directory comes
//! or goes, the whole tree is walked through and watched anew, and that counts as a change.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::guards::database;
use super::pattern::Patterns;
use super::tree::{Go, Visit, visit};

/// At most so many directories are watched. The kernel keeps about 1 KiB for each, and has a limit for all
/// programs of a user (`fs.inotify.max_user_watches`), of which one program should not take everything.
pub const DIRECTORIES_MOST: u32 = 16_384;

/// A file that is written to and kept open counts, and one whose attributes change.
const MASK: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MOVE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// A tree that is watched.
#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    root: i32,
    covers: Covers,
    unseen: Option<String>,
}

/// How much of a tree is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covers {
    /// So many directories.
    pub directories: u32,
    /// Those are all.
    pub whole: bool,
}

/// What was noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Noticed {
    /// Something that belongs to the share has changed.
    pub changed: bool,
    /// The tree has to be watched anew: a directory came or went, or a file by which databases are known, or events
    /// were lost.
    pub anew: bool,
}

impl Watch {
    /// Watches the directories of a share, but for those that are excluded. `look` is shown every entry, also where not
    /// all directories can be watched.
    ///
    /// # Errors
    /// What the system said to the root, or to inotify itself.
    pub fn over(
        root: &Path,
        exclude: &Patterns,
        mut look: impl FnMut(&Visit<'_>),
    ) -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let descriptor = inotify::add_watch(&inotify, root, MASK)?;
        let mut covers = Covers { directories: 1, whole: true };
        let mut watches = true;
        let walked = visit(root, exclude, |found| {
            look(found);
            if !found.metadata.is_dir() {
                return Go::On;
            }
            watches &= covers.directories < DIRECTORIES_MOST;
            covers.whole &= watches;
            if !watches {
                return Go::On;
            }
            match inotify::add_watch(&inotify, found.path, MASK) {
                Ok(_) => covers.directories += 1,
                // It vanished meanwhile, which was noticed.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(Errno::NOSPC | Errno::NOMEM) => (watches, covers.whole) = (false, false),
                Err(_) => covers.whole = false,
            }
            Go::On
        });
        covers.whole &= walked.is_ok();
        let unseen = walked.err().map(|error| error.to_string());
        Ok(Self { inotify, root: descriptor, covers, unseen })
    }

    /// Why `look` was not shown every entry; `None` if it was.
    #[must_use]
    pub fn unseen(&self) -> Option<&str> {
        self.unseen.as_deref()
    }

    /// How much of the tree it watches.
    #[must_use]
    pub const fn covers(&self) -> Covers {
        self.covers
    }

    /// Takes everything that was noticed so far. Never blocks.
    ///
    /// # Errors
    /// What the system said to reading.
    pub fn take(&self, exclude: &Patterns) -> io::Result<Noticed> {
        let mut noticed = Noticed::default();
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = inotify::Reader::new(&self.inotify, &mut buffer);
        loop {
            let event = match events.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(noticed),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let what = event.events();
            let is_directory = what.contains(ReadFlags::ISDIR);
            let name = event.file_name().map_or(&[][..], |name| name.to_bytes());
            if !name.is_empty() && exclude.covers_name(name, is_directory) {
                continue;
            }
            let moved = ReadFlags::CREATE | ReadFlags::MOVED_FROM | ReadFlags::MOVED_TO;
            let gone = ReadFlags::DELETE_SELF
                | ReadFlags::MOVE_SELF
                | ReadFlags::UNMOUNT
                | ReadFlags::IGNORED;
            noticed.changed |= !what.contains(ReadFlags::IGNORED);
            noticed.anew |= what.contains(ReadFlags::QUEUE_OVERFLOW)
                || (what.intersects(moved) && (is_directory || database::is_sign(name)))
                || (what.contains(ReadFlags::DELETE) && database::is_sign(name))
                || (event.wd() == self.root && what.intersects(gone));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn patterns(list: &[&str]) -> Patterns {
        Patterns::new(list.iter().map(|text| text.as_bytes().to_vec()))
    }

    #[test]
    fn every_kind_of_change_is_noticed_and_a_look_is_none() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/file"), "1").unwrap();
        let none = Patterns::default();
        let watch = Watch::over(root.path(), &none, |_| ()).unwrap();
        assert_eq!(watch.covers(), Covers { directories: 3, whole: true });
        assert_eq!(watch.take(&none).unwrap(), Noticed::default());
        let file = root.path().join("a/b/file");
        fs::read(&file).unwrap();
        fs::read_dir(root.path().join("a")).unwrap().for_each(drop);
        assert_eq!(watch.take(&none).unwrap(), Noticed::default(), "nothing has changed");
        let changes: [(&str, &dyn Fn()); 5] = [
            ("a write", &|| fs::write(&file, "2").unwrap()),
            ("attributes", &|| {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                fs::set_permissions(&file, mode).unwrap();
            }),
            ("a rename", &|| fs::rename(&file, root.path().join("a/x")).unwrap()),
            ("a new file", &|| fs::write(root.path().join("y"), "1").unwrap()),
            ("a deletion", &|| fs::remove_file(root.path().join("a/x")).unwrap()),
        ];
        for (what, change) in changes {
            change();
            assert_eq!(
                watch.take(&none).unwrap(),
                Noticed { changed: true, anew: false },
                "{what}"
            );
        }
    }

    #[test]
    fn the_tree_is_watched_anew_when_a_directory_comes_or_goes_or_the_root_is_another() {
        let base = tempfile::tempdir().unwrap();
        let (root, none) = (base.path().join("root"), Patterns::default());
        fs::create_dir(&root).unwrap();
        let changes: [&dyn Fn(); 3] = [
            &|| fs::create_dir(root.join("a")).unwrap(),
            &|| fs::rename(root.join("a"), base.path().join("b")).unwrap(),
            &|| {
                fs::rename(&root, base.path().join("other")).unwrap();
                fs::create_dir(&root).unwrap();
            },
        ];
        for change in changes {
            let watch = Watch::over(&root, &none, |_| ()).unwrap();
            change();
            assert_eq!(watch.take(&none).unwrap(), Noticed { changed: true, anew: true });
        }
        assert!(Watch::over(&base.path().join("gone"), &none, |_| ()).is_err());
    }

    #[test]
    fn the_tree_is_watched_anew_when_a_file_of_a_database_comes_or_goes() {
        let (root, none) = (tempfile::tempdir().unwrap(), Patterns::default());
        let file = root.path().join("site.db-wal");
        let watch = Watch::over(root.path(), &none, |_| ()).unwrap();
        let changes: [&dyn Fn(); 2] =
            [&|| fs::write(&file, "").unwrap(), &|| fs::remove_file(&file).unwrap()];
        for change in changes {
            change();
            assert_eq!(watch.take(&none).unwrap(), Noticed { changed: true, anew: true });
        }
        fs::write(root.path().join("page"), "").unwrap();
        assert_eq!(watch.take(&none).unwrap(), Noticed { changed: true, anew: false });
    }

    #[test]
    fn what_is_excluded_is_not_noticed() {
        let root = tempfile::tempdir().unwrap();
        let exclude = patterns(&["*.log", "/cache/"]);
        fs::create_dir(root.path().join("cache")).unwrap();
        let watch = Watch::over(root.path(), &exclude, |_| ()).unwrap();
        assert_eq!(watch.covers().directories, 1);
        fs::write(root.path().join("cache/x"), "1").unwrap();
        fs::write(root.path().join("x.log"), "1").unwrap();
        assert_eq!(watch.take(&exclude).unwrap(), Noticed::default());
    }

    #[test]
    fn an_overflow_is_a_change_and_the_tree_is_watched_anew() {
        let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
        let queue: u32 = queue.trim().parse().unwrap();
        if queue > 100_000 {
            println!("the queue of this system has {queue} places: too many to fill");
            return;
        }
        let (root, none) = (tempfile::tempdir().unwrap(), Patterns::default());
        let watch = Watch::over(root.path(), &none, |_| ()).unwrap();
        // A creation and a deletion each, so that no two that follow are alike.
        for _ in 0..=queue / 2 {
            let file = root.path().join("x");
            fs::write(&file, "").unwrap();
            fs::remove_file(&file).unwrap();
        }
        assert_eq!(watch.take(&none).unwrap(), Noticed { changed: true, anew: true });
        assert_eq!(watch.take(&none).unwrap(), Noticed::default());
    }
}
