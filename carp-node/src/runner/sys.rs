//! The calls that have no safe wrapper: what a program inherits must be reset by hand.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::{mem, ptr};

use rustix::io::{Errno, FdFlags};
use rustix::process::Signal;

use crate::helper::NOT_FOR_HELPERS;

/// The highest signal number of Linux on every architecture that Rust knows, but MIPS.
const LAST_SIGNAL: libc::c_int = 64;

/// Makes the runner deaf to the signals that are not meant for it, and lets what it executes begin
/// with default dispositions and an empty mask.
///
/// The deafness is a handler that does nothing, because `execve` resets handlers, while it would
/// pass "ignored" on to every program.
pub(super) fn settle_signals() {
    for signal in 1..=LAST_SIGNAL {
        if NOT_FOR_HELPERS.contains(&signal) {
            set_handler(signal, on_signal as *const () as libc::sighandler_t);
        } else if is_ignored(signal) {
            set_handler(signal, libc::SIG_DFL);
        }
    }
    // SAFETY: the set is initialised by sigemptyset before it is read; both pointers are valid for
    // the calls, and the old mask is not asked for.
    unsafe {
        let mut none: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

extern "C" fn on_signal(_: libc::c_int) {}

/// KILL and STOP cannot be changed, and the C library keeps 32 and 33 to itself: those calls fail,
/// and nothing is lost.
fn set_handler(signal: libc::c_int, handler: libc::sighandler_t) {
    // SAFETY: sigaction is plain data for which zeroes are valid (no flags, an empty mask); the
    // handler does nothing at all, so it is async-signal-safe.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &raw const action, ptr::null_mut());
    }
}

fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: as above; with a null action, sigaction only writes the present one.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

/// Marks every descriptor but the standard ones close-on-exec: what the daemon's own parent left
/// open (a terminal's, a supervisor's) is none of the programs' business.
pub(super) fn close_inherited_on_exec() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok())
        else {
            continue;
        };
        if fd <= libc::STDERR_FILENO {
            continue;
        }
        // SAFETY: the number was just listed, this process has one thread, and nothing is closed
        // before the borrow ends (the listing's own descriptor lives as long as the loop).
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC)?;
    }
    Ok(())
}

/// Lets the kernel kill the program when the runner dies without having stopped it.
///
/// The kernel binds this to the thread that starts the program, which therefore waits for it.
pub(super) fn die_with_runner(command: &mut Command) {
    let runner = rustix::process::getpid();
    let arrange = move || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        if rustix::process::getppid() == Some(runner) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: between fork and exec the closure makes two plain system calls; it allocates nothing,
    // takes no lock and touches no memory of the parent.
    unsafe {
        command.pre_exec(arrange);
    }
}
