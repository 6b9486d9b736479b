//! The calls that have no safe wrapper: memory that two processes share, signals, inherited files.

use std::io;
use std::mem;
use std::ops::Deref;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::slice::from_raw_parts;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::helper::NOT_FOR_HELPERS;

/// Memory that is shared with whoever else maps the same file.
///
/// It is words that are read and written as wholes, so there is no way to read one that is half
/// written, and no data race whatever the other process does.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread, and all that it gives out are shared
// references to atomic words.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps this many words of a file, which must have them and never shrink (`F_SEAL_SHRINK`).
    pub(super) fn new(file: BorrowedFd<'_>, words: usize) -> io::Result<Self> {
        let len = words * size_of::<AtomicU64>();
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let start = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, words })
    }
}

impl Deref for Mapping {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has that many words as long as this value lives, it is aligned to a page,
        // every pattern of bits is a word, and nobody accesses it but through atomic words.
        unsafe { from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no reference outlives this value.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), self.words * size_of::<u64>()) };
        // A failure could only mean that it was not mapped.
        let _ = unmapped;
    }
}

/// Makes this process deaf to what is not meant for it. It executes nothing that could inherit that.
pub(super) fn ignore_signals() {
    for signal in NOT_FOR_HELPERS {
        // SAFETY: sigaction is plain data for which zeroes are valid (no flags, an empty mask), and no
        // handler is installed. The numbers are those of signals that can be ignored.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = libc::SIG_IGN;
            libc::sigaction(signal, &raw const action, ptr::null_mut());
        }
    }
}

/// Closes every descriptor from this number on. Kernels before 5.9 cannot, and then what the daemon's
/// parent left open stays open here as it does there.
pub(super) fn close_from(first: libc::c_uint) {
    // SAFETY: nobody in this process owns a descriptor of such a number yet: it has just been executed,
    // and has opened nothing.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0);
    }
}
