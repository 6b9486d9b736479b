//! A disk that never answers: whoever looks at it hangs inside the kernel, and no signal ends it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A request's header: its length, what it is, its number, and what does not matter here.
const HEADER: usize = 40;
const INIT: u32 = 26;

/// The largest request that a kernel may send.
const LARGEST: usize = 1 << 20;

/// A file system of FUSE that is there, and whose server answers nothing but the first greeting.
pub(crate) struct StuckDisk {
    path: PathBuf,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl StuckDisk {
    /// Mounts it there; `None` if this kernel has no FUSE, or does not let whoever runs this use it.
    pub(crate) fn mount(path: &Path) -> io::Result<Option<Self>> {
        let device = match File::options().read(true).write(true).open("/dev/fuse") {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied
                ) =>
            {
                return Ok(None);
            }
            device => device?,
        };
        fs::create_dir_all(path)?;
        let options =
            format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_fd().as_raw_fd());
        let options = CString::new(options)?;
        mount("stuck", path, "fuse", MountFlags::empty(), options.as_c_str())?;
        let ended = Arc::new(AtomicBool::new(false));
        let server = thread::spawn({
            let ended = ended.clone();
            move || serve(device, &ended)
        });
        Ok(Some(Self { path: path.to_owned(), ended, server: Some(server) }))
    }
}

impl Drop for StuckDisk {
    /// It is pulled out: all who hang get an error.
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(Err(error)) = self.server.take().and_then(|server| server.join().ok()) {
            eprintln!("the stuck disk: {error}");
        }
        if let Err(error) = unmount(&self.path, UnmountFlags::DETACH) {
            eprintln!("the stuck disk stays mounted: {error}");
        }
    }
}

/// Requests have to be read: those that wait in the queue can be taken back by a signal.
fn serve(mut device: File, ended: &AtomicBool) -> io::Result<()> {
    let mut request = vec![0; LARGEST];
    let patience = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
    while !ended.load(Ordering::Relaxed) {
        if poll(&mut [PollFd::new(&device, PollFlags::IN)], Some(&patience))? == 0 {
            continue;
        }
        let length = match device.read(&mut request) {
            Ok(length) => length,
            // It was taken back between the two.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let word = |at: usize| request[at..at + 4].try_into().map(u32::from_ne_bytes);
        if length < HEADER || word(4).is_ok_and(|code| code != INIT) {
            continue;
        }
        // Protocol 7.31, and the largest write; the rest may be nothing.
        let mut answer = Vec::from(80_u32.to_ne_bytes());
        answer.extend(0_i32.to_ne_bytes());
        answer.extend(&request[8..16]);
        for word in [7, 31, 0, 0, 0, 4096] {
            answer.extend(u32::to_ne_bytes(word));
        }
        answer.resize(80, 0);
        device.write_all(&answer)?;
    }
    Ok(())
}
