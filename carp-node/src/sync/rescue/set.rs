//! Beginning a set, ending it, and finding those that are there.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::kept::{Listed, each_kept};
use super::late::{Late, write_late};
use super::name::SetName;
use super::report::{Awaited, Kind, REPORT_SCHEMA, Report, Summary};
use crate::control::units::WallTime;
use crate::sync::decide::Rescue;
use crate::sync::guards::marker::MARKER;
use crate::sync::lineage::Epoch;
use crate::sync::pattern::Patterns;
use crate::sync::tree::{Go, at};

const FILES: &str = "files";
const LATE: &str = "late";
const REPORT: &str = "report.json";
const ACKNOWLEDGED: &str = "acknowledged.json";
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
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        sets.extend(RescueSet::at(&entry.path()).filter(|_| is_directory));
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
    for report in list(directory)?.iter().filter_map(|set| set.summary().ok().flatten()) {
        if report.is_awaited() {
            awaited.sets += 1;
            awaited.orphans += report.orphans;
        }
    }
    Ok(awaited)
}

impl RescueSet {
    /// The set in this directory; `None` if it has not the name of one.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.parse().ok()?;
        Some(Self { name, path: path.to_owned() })
    }

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
    pub fn finish(&self, complete: bool, now: WallTime) -> io::Result<Option<Summary>> {
        let Some(pull) = self.pull()? else {
            // It was cut off before the pass could begin.
            return self.remove_if_empty();
        };
        let late = Late::read(&self.path.join(LATE))?;
        let (mut orphans, mut superseded, mut all) = (0, 0, 0);
        each_kept(&self.files(), &late, |_, kind, bytes| {
            all += bytes;
            match kind {
                Kind::Orphan => orphans += 1,
                Kind::Superseded => superseded += 1,
            }
            Go::On
        })?;
        if orphans + superseded == 0 {
            return self.remove_if_empty();
        }
        let report = Report {
            schema: REPORT_SCHEMA.to_owned(),
            share: pull.share,
            began: pull.began,
            ended: now,
            from: pull.from,
            to: pull.to,
            complete,
            orphans,
            superseded,
            bytes: all,
            entries: Listed { files: &self.files(), late: &late },
            acknowledged: None,
        };
        self.write(&report)?;
        self.summary()
    }

    /// The report; `None` while the pass runs, or after a crash until [`finish`](Self::finish).
    ///
    /// # Errors
    /// What the system said, or that it is not a report.
    pub fn report(&self) -> io::Result<Option<Report>> {
        self.read()
    }

    /// The same without its entries.
    ///
    /// # Errors
    /// As for [`report`](Self::report).
    pub fn summary(&self) -> io::Result<Option<Summary>> {
        self.read()
    }

    fn read<Entries: DeserializeOwned>(&self) -> io::Result<Option<Report<Entries>>> {
        let file = match File::open(self.path.join(REPORT)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            outcome => BufReader::new(outcome?),
        };
        let mut report: Report<Entries> = serde_json::from_reader(file)?;
        if report.schema != REPORT_SCHEMA {
            let what = format!("{} is of another schema: {}", self.name, report.schema);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        // A report may be large, and is written once: the operator's word lies beside it.
        match fs::read(self.path.join(ACKNOWLEDGED)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => report.acknowledged = serde_json::from_slice(&read?)?,
        }
        Ok(Some(report))
    }

    /// Says that the orphans are of no more use: the set may be pruned.
    ///
    /// # Errors
    /// What the system said; [`io::ErrorKind::InvalidInput`] if its pass has not ended.
    pub fn acknowledge(&self, now: WallTime) -> io::Result<Summary> {
        let report = self.summary()?.ok_or_else(|| {
            let what = format!("the pass of {} has not ended", self.name);
            io::Error::new(io::ErrorKind::InvalidInput, what)
        })?;
        let acknowledged = Some(now);
        self.replace(ACKNOWLEDGED, &acknowledged)?;
        Ok(Report { acknowledged, ..report })
    }

    /// Replaces the report: whole, or as it was.
    pub(super) fn write<Entries: Serialize>(&self, report: &Report<Entries>) -> io::Result<()> {
        self.replace(REPORT, report)
    }

    fn replace(&self, name: &str, content: &impl Serialize) -> io::Result<()> {
        let temporary = self.path.join(format!("{name}.new"));
        remove_if_there(&temporary)?;
        write_new(&temporary, |file| {
            serde_json::to_writer_pretty(file, content).map_err(io::Error::from)
        })?;
        fs::rename(&temporary, self.path.join(name))?;
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
    fn remove_if_empty(&self) -> io::Result<Option<Summary>> {
        // Of a tree that was given up, the pass keeps the marker as well.
        remove_if_there(&self.files().join(MARKER))?;
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

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
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
