//! The name that the daemon listens at: taken once, and given back.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode};
use thiserror::Error;

/// Why the control socket cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another daemon listens there.
    #[error(
        "{} is in use{}: stop that daemon, or choose another --socket",
        .path.display(), .pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    AddressInUse {
        /// The socket.
        path: PathBuf,
        /// Who listens, if the kernel tells.
        pid: Option<i32>,
    },
    /// Something else has that name.
    #[error("{} exists and is not a socket: remove it, or choose another --socket", .path.display())]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot listen at {}: {source}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A socket that listens, and whose name is removed when this is dropped.
#[derive(Debug)]
pub struct ControlSocket {
    pub(super) listener: UnixListener,
    pub(super) name: SocketName,
}

/// The name of a socket that was bound here. Another one that took its place is left alone.
#[derive(Debug)]
pub(super) struct SocketName {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl ControlSocket {
    /// Listens at `path`, with mode 0660. A missing parent directory is created with mode 0755. A
    /// socket that nobody accepts on any more is replaced.
    ///
    /// The mode comes from the umask, which this changes for a moment: call it before threads are
    /// started, and before privileges are dropped.
    ///
    /// # Errors
    /// [`BindError`]: somebody listens there, or something else stands in the way.
    pub fn bind(path: impl AsRef<Path>) -> Result<Self, BindError> {
        let path = path.as_ref();
        let io = |source| BindError::Io { path: path.to_owned(), source };
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        };
        with_umask(0o022, || DirBuilder::new().recursive(true).mode(0o755).create(parent))
            .map_err(io)?;
        // Two daemons that start together must not both find the same stale socket.
        let _turn = take_turn(parent).map_err(io)?;
        remove_stale(path)?;
        let listener = with_umask(0o117, || UnixListener::bind(path)).map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let metadata = fs::symlink_metadata(path).map_err(io)?;
        let name =
            SocketName { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
        Ok(Self { listener, name })
    }

    /// Where it listens.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.name.path
    }
}

impl Drop for SocketName {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        if ours {
            // What cannot be removed is stale, and the next daemon replaces it.
            fs::remove_file(&self.path).ok();
        }
    }
}

/// The umask belongs to the process, so changes of it must not interleave.
fn with_umask<T>(mask: u32, work: impl FnOnce() -> T) -> T {
    static UMASK: Mutex<()> = Mutex::new(());
    let _only = UMASK.lock().unwrap_or_else(PoisonError::into_inner);
    let before = rustix::process::umask(Mode::from_raw_mode(mask));
    let result = work();
    rustix::process::umask(before);
    result
}

/// Locks a directory against other daemons that bind there. In a directory that everybody can lock,
/// somebody else's lock is not waited for longer than a second.
fn take_turn(directory: &Path) -> io::Result<fs::File> {
    let directory = fs::File::open(directory)?;
    let deadline = Instant::now() + Duration::from_secs(1);
    while rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err()
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(directory)
}

/// Makes sure that nothing has the name, or says who has.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let io = |source| BindError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io(error)),
        Ok(found) if !found.file_type().is_socket() => {
            return Err(BindError::NotASocket { path: path.to_owned() });
        }
        Ok(_) => {}
    }
    match super::connect(path) {
        Ok(stream) => {
            let peer = rustix::net::sockopt::socket_peercred(&stream);
            let pid = peer.ok().map(|peer| peer.pid.as_raw_nonzero().get());
            Err(BindError::AddressInUse { path: path.to_owned(), pid })
        }
        // Somebody listens, who has so many callers that he does not get round to them.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            Err(BindError::AddressInUse { path: path.to_owned(), pid: None })
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(io)
        }
        Err(error) => Err(io(error)),
    }
}
