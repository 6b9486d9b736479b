//! Beginning a set, ending it, and finding those that are there.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::name::SetName;
use super::path;
use super::report::{Awaited, ENTRIES_LISTED, Entry, Kind, REPORT_SCHEMA, Report};
use crate::control::units::WallTime;
use crate::sync::decide::Rescue;
use crate::sync::lineage::Epoch;
use crate::sync::pattern::Patterns;
use crate::sync::tree::{Go, at, visit};

/// How many late entries are written down. If there are more, everything in the set is an orphan: that
/// errs on the side of keeping, and bounds the memory.
pub const LATE_MOST: usize = 50_000;

/// What stands in the file of late entries if all are.
const ALL: &[u8] = b"*";

const FILES: &str = "files";
const LATE: &str = "late";
const REPORT: &str = "report.json";
const PULL: &str = "pull.json";

/// What a pass with rescue is about.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pull {
    /// The share.
    pub share: String,
    /// When it began.
    pub began: WallTime,
    /// What this tree is of.
    pub from: Option<Epoch>,
    /// The epoch that is pulled.
    pub to: Epoch,
}

/// A set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RescueSet {
    name: SetName,
    path: PathBuf,
}

/// Begins a set in the rescue directory of a share
/// ([`rescue_directory`](crate::sync::guards::place::rescue_directory)), and writes down what is
/// late in the tree at `root`. The pass must not begin before this has returned.
///
/// # Errors
/// What the system said, with the path. If what was begun cannot be removed either, [`RescueSet::finish`] does it.
pub fn begin(
    directory: &Path,
    root: &Path,
    exclude: &Patterns,
    pull: &Pull,
    rescue: Rescue,
) -> io::Result<RescueSet> {
    let of_it = |error| at(directory, &error);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(of_it)?;
    let set = make(directory, pull).map_err(of_it)?;
    match fill(&set, root, exclude, pull, rescue) {
        Ok(()) => {
            File::open(directory).and_then(|it| it.sync_all()).map_err(of_it)?;
            Ok(set)
        }
        Err(error) => {
            // Nothing is kept in it yet, and the next attempt makes another one.
            let _ = set.remove_if_empty();
            Err(error)
        }
    }
}

fn fill(
    set: &RescueSet,
    root: &Path,
    exclude: &Patterns,
    pull: &Pull,
    rescue: Rescue,
) -> io::Result<()> {
    let of_it = |error| at(&set.path, &error);
    DirBuilder::new().mode(0o700).create(set.files()).map_err(of_it)?;
    let json = serde_json::to_vec(pull).map_err(io::Error::other)?;
    write_new(&set.path.join(PULL), |file| file.write_all(&json))?;
    write_new(&set.path.join(LATE), |file| write_late(file, root, exclude, rescue))?;
    File::open(&set.path).and_then(|it| it.sync_all()).map_err(of_it)
}

fn make(directory: &Path, pull: &Pull) -> io::Result<RescueSet> {
    let second = Timestamp::from_second(pull.began.0.as_second()).map_err(io::Error::other)?;
    let mut name = SetName { began: second, epoch: pull.to.number, nth: 0 };
    loop {
        let path = directory.join(name.to_string());
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(RescueSet { name, path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && name.nth < 1000 => {
                name.nth = name.nth.max(1) + 1;
            }
            Err(error) => return Err(error),
        }
    }
}

fn write_new(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // What went wrong elsewhere says so itself.
    let of_it = |error: io::Error| match error.raw_os_error() {
        Some(_) => at(path, &error),
        None => error,
    };
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).clone();
    let file = options.open(path).map_err(of_it)?;
    let mut buffered = BufWriter::new(&file);
    write(&mut buffered).map_err(of_it)?;
    buffered.flush().map_err(of_it)?;
    drop(buffered);
    file.sync_all().map_err(of_it)
}

/// The paths that are late, each with a NUL behind it; or that all are.
fn write_late(
    file: &mut dyn Write,
    root: &Path,
    exclude: &Patterns,
    rescue: Rescue,
) -> io::Result<()> {
    let Some(since) = rescue.orphans_since else { return file.write_all(ALL) };
    let (mut late, mut written) = (0, Ok(()));
    let all_seen = visit(root, exclude, |entry| {
        if !entry.metadata.is_dir() && entry.changed() >= since {
            late += 1;
            let path = entry.below.as_os_str().as_bytes();
            written = file.write_all(path).and_then(|()| file.write_all(&[0]));
        }
        if late > LATE_MOST || written.is_err() { Go::Stop } else { Go::On }
    })?;
    written?;
    // A list without its last NUL says that all are late.
    if all_seen { Ok(()) } else { file.write_all(ALL) }
}

/// The sets of a share, oldest first. What is not a set is not touched and not told.
///
/// # Errors
/// What the system said about the directory. That it is missing is no error.
pub fn list(directory: &Path) -> io::Result<Vec<RescueSet>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        outcome => outcome?,
    };
    let mut sets = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(name) = name.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            sets.push(RescueSet { name, path: entry.path() });
        }
    }
    sets.sort_by_key(|set| set.name);
    Ok(sets)
}

/// The sets of a share with orphans that nobody has acknowledged. A set whose report cannot be read is not among them.
///
/// # Errors
/// What the system said about the directory.
pub fn awaited(directory: &Path) -> io::Result<Awaited> {
    let mut awaited = Awaited::default();
    for report in list(directory)?.iter().filter_map(|set| set.report().ok().flatten()) {
        if report.is_awaited() {
            awaited.sets += 1;
            awaited.orphans += report.orphans;
        }
    }
    Ok(awaited)
}

impl RescueSet {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> SetName {
        self.name
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the pass moves what it replaces: rsync's `--backup-dir`.
    #[must_use]
    pub fn files(&self) -> PathBuf {
        self.path.join(FILES)
    }

    /// Writes the report after the pass has ended, or after a crash, and removes a set in which nothing is.
    ///
    /// # Errors
    /// What the system said. Nothing is lost, and it can be repeated.
    pub fn finish(&self, complete: bool, now: WallTime) -> io::Result<Option<Report>> {
        let Some(pull) = self.pull()? else {
            // It was cut off before the pass could begin.
            return self.remove_if_empty();
        };
        let late = Late::read(&self.path.join(LATE))?;
        let mut report = Report {
            schema: REPORT_SCHEMA.to_owned(),
            share: pull.share,
            began: pull.began,
            ended: now,
            from: pull.from,
            to: pull.to,
            complete,
            orphans: 0,
            superseded: 0,
            bytes: 0,
            entries: Vec::new(),
            acknowledged: None,
        };
        let mut superseded = Vec::new();
        visit(&self.files(), &Patterns::default(), |entry| {
            if entry.metadata.is_dir() {
                return Go::On;
            }
            let kind = late.kind(entry.below);
            let bytes = entry.metadata.len();
            report.bytes += bytes;
            let (count, listed) = match kind {
                Kind::Orphan => (&mut report.orphans, &mut report.entries),
                Kind::Superseded => (&mut report.superseded, &mut superseded),
            };
            *count += 1;
            if listed.len() < ENTRIES_LISTED {
                listed.push(Entry { path: path::to_text(entry.below), kind, bytes });
            }
            Go::On
        })?;
        report.entries.append(&mut superseded);
        report.entries.truncate(ENTRIES_LISTED);
        if report.orphans + report.superseded == 0 {
            return self.remove_if_empty();
        }
        self.write(&report)?;
        Ok(Some(report))
    }

    /// The report; `None` while the pass runs, or after a crash until [`finish`](Self::finish).
    ///
    /// # Errors
    /// What the system said, or that it is not a report.
    pub fn report(&self) -> io::Result<Option<Report>> {
        let file = match File::open(self.path.join(REPORT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => BufReader::new(outcome?),
        };
        let report: Report = serde_json::from_reader(file)?;
        if report.schema != REPORT_SCHEMA {
            let what = format!("{} is of another schema: {}", self.name, report.schema);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Some(report))
    }

    /// Says that the orphans are of no more use: the set may be pruned.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::InvalidInput`] if its pass has not ended.
    pub fn acknowledge(&self, now: WallTime) -> io::Result<Report> {
        let report = self.report()?.ok_or_else(|| {
            let what = format!("the pass of {} has not ended", self.name);
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        let report = Report { acknowledged: Some(now), ..report };
        self.write(&report)?;
        Ok(report)
    }

    /// Replaces the report: whole, or as it was.
    pub(super) fn write(&self, report: &Report) -> io::Result<()> {
        let temporary = self.path.join("report.new");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        write_new(&temporary, |file| {
            serde_json::to_writer_pretty(file, report).map_err(io::Error::from)
        })?;
        fs::rename(&temporary, self.path.join(REPORT))?;
        File::open(&self.path)?.sync_all()
    }

    fn pull(&self) -> io::Result<Option<Pull>> {
        match fs::read(self.path.join(PULL)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            outcome => Ok(serde_json::from_slice(&outcome?).ok()),
        }
    }

    /// Removes carp's own files, and then directories that are empty. What rsync or anybody put there
    /// keeps its directory, and that is no error.
    fn remove_if_empty(&self) -> io::Result<Option<Report>> {
        remove_empty(&self.files())?;
        if self.files().exists() {
            let what = format!("{} has files, and does not say of which pass", self.path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(None),
        }
    }
}

/// Removes a directory if there are only directories in it.
fn remove_empty(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        outcome => outcome?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_empty(&entry.path())?;
        }
    }
    match fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        outcome => outcome,
    }
}

/// What had changed after the cutoff. Of paths only a hash is kept: should two have the same, one that was replaced
/// counts as an orphan, which errs on the side of keeping.
enum Late {
    All,
    Hashes(HashSet<u64>),
}

impl Late {
    /// A list that is missing or was cut off says nothing: all are late.
    fn read(path: &Path) -> io::Result<Self> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::All),
            outcome => BufReader::new(outcome?),
        };
        let mut hashes = HashSet::new();
        let mut path = Vec::new();
        while file.read_until(0, &mut path)? > 0 {
            let Some(whole) = path.strip_suffix(&[0]) else { return Ok(Self::All) };
            hashes.insert(hash(whole));
            path.clear();
        }
        Ok(Self::Hashes(hashes))
    }

    fn kind(&self, below: &Path) -> Kind {
        match self {
            Self::All => Kind::Orphan,
            Self::Hashes(late) if late.contains(&hash(below.as_os_str().as_bytes())) => {
                Kind::Orphan
            }
            Self::Hashes(_) => Kind::Superseded,
        }
    }
}

fn hash(path: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(path);
    hasher.finish()
}
