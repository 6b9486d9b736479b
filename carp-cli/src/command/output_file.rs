//! The file that a figure or a recording goes to.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags, open, openat, renameat, unlinkat};

use crate::exit::Failure;

/// A file that can be written.
///
/// Its directory is held open: the demo mounts directories of its own over some of the machine's, and
/// the file belongs where its path pointed to before.
#[derive(Debug)]
pub(in crate::command) struct OutputFile {
    path: PathBuf,
    directory: OwnedFd,
    name: OsString,
}

impl OutputFile {
    /// Finds out whether the file can be written, and leaves no trace of that.
    pub(in crate::command) fn prepare(path: &Path) -> Result<Self, Failure> {
        let prepare = || {
            let (directory, name) = place(path)?;
            let file = Self { path: path.to_owned(), directory, name };
            file.create()?;
            file.remove()?;
            Ok(file)
        };
        prepare().map_err(|error| failure(path, &error))
    }

    /// Writes the file, all of it or nothing.
    pub(in crate::command) fn write(&self, text: &str) -> Result<(), Failure> {
        let write = || {
            self.create()?.write_all(text.as_bytes())?;
            Ok(renameat(&self.directory, self.beside(), &self.directory, &self.name)?)
        };
        write().map_err(|error| {
            // What was written is of no use, and there may be nothing to remove.
            let _ = self.remove();
            failure(&self.path, &error)
        })
    }

    /// A new file beside the one that is meant, also where a demo that was killed has left one.
    fn create(&self) -> io::Result<File> {
        let _ = self.remove();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH;
        Ok(openat(&self.directory, self.beside(), flags, mode)?.into())
    }

    fn remove(&self) -> io::Result<()> {
        Ok(unlinkat(&self.directory, self.beside(), AtFlags::empty())?)
    }

    fn beside(&self) -> OsString {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(".part");
        name
    }
}

/// The directory and the name of a file: of that behind a link, if it is one.
fn place(path: &Path) -> io::Result<(OwnedFd, OsString)> {
    let path = match fs::metadata(path) {
        Ok(found) if found.is_file() => fs::canonicalize(path)?,
        Ok(_) => return Err(io::Error::other("it is there, and no regular file")),
        Err(_) => path.to_owned(),
    };
    let name = path.file_name().map(OsStr::to_owned);
    let name = name.ok_or_else(|| io::Error::other("it has no file name"))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::RDONLY;
    let directory = open(parent.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    Ok((directory, name))
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", path.display()))
        .with_help("name a file in a directory that you may write to")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<OsString> {
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    }

    #[test]
    fn preparing_leaves_no_trace_and_writing_one_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.svg");
        let file = OutputFile::prepare(&path).unwrap();
        assert_eq!(names(directory.path()), Vec::<OsString>::new());
        file.write("first").unwrap();
        file.write("second").unwrap();
        assert_eq!(names(directory.path()), ["a.svg"]);
        assert_eq!(fs::read_to_string(path).unwrap(), "second");
    }

    #[test]
    fn a_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (link, target) =
            (directory.path().join("link.svg"), directory.path().join("target.svg"));
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        OutputFile::prepare(&link).unwrap().write("new").unwrap();
        assert_eq!(fs::read_to_string(target).unwrap(), "new");
        assert!(fs::symlink_metadata(link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        for path in ["/dev/null", "/no/such/directory/a.svg", "/", "/proc/a.svg"] {
            let failure = OutputFile::prepare(Path::new(path)).unwrap_err();
            assert!(failure.message.contains(path), "{}", failure.message);
        }
    }
}
