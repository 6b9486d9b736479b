//! The system calls that have no safe form elsewhere: the lab's only unsafe code.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use socket2::Socket;

use crate::backend::linux;
use crate::bpf::{JUMP_EQUAL, LOAD_WORD_ABSOLUTE, RETURN};

/// Gives the calling thread namespaces of its own. `flags` are of the kind `CLONE_NEW…`.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let flags = flags.difference(UnshareFlags::FILES);
    // SAFETY: the danger is CLONE_FILES, a table of file descriptors of the thread's own; it is
    // taken out above.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
}

/// From now on `setgroups` does nothing and says that it has, in this process and in those that it starts.
pub(super) fn let_groups_be() -> io::Result<()> {
    let setgroups = u32::try_from(libc::SYS_setgroups).map_err(io::Error::other)?;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut steps = [
        // The number of the call comes first in what a filter sees.
        step(LOAD_WORD_ABSOLUTE, 0, 0, 0),
        step(JUMP_EQUAL, 0, 1, setgroups),
        // No call is made, and the error is none.
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: 4, filter: steps.as_mut_ptr() };
    // SAFETY: the program has as many steps as it says, and lives until the call is over; the kernel copies it.
    let result = unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Has the command killed when the calling thread ends, even if that is before its first instruction.
/// `parent` is a pidfd of the calling process.
pub(super) fn end_with_parent(command: &mut Command, parent: OwnedFd) {
    let hook = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // A parent that ended before the line above sends no signal any more.
        let mut ended = [PollFd::new(&parent, PollFlags::IN)];
        match poll(&mut ended, Some(&Timespec::default()))? {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: between fork and exec the hook makes two system calls, on values made before the fork;
    // it allocates nothing and takes no lock.
    unsafe { command.pre_exec(hook) };
}

/// Lets the kernel bury this process's children, also those that it inherits.
pub(super) fn ignore_children() -> io::Result<()> {
    // SAFETY: SIG_IGN is a constant and no function that could be called at a bad moment.
    match unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) } {
        libc::SIG_ERR => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Gives the calling thread real-time priority: the lowest, which is above all that is not real-time.
pub(super) fn be_realtime() -> io::Result<()> {
    // SAFETY: `sched_param` is plain data, for which zeroes are a value.
    let mut parameters: libc::sched_param = unsafe { mem::zeroed() };
    parameters.sched_priority = 1;
    // SAFETY: the thread is the calling one, and the parameters are a live value of the right type.
    let result = unsafe {
        libc::pthread_setschedparam(libc::pthread_self(), libc::SCHED_FIFO, &raw const parameters)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) }
}

/// Asks the kernel to tell when it received each packet.
pub(super) fn enable_timestamps(socket: &Socket) -> io::Result<()> {
    linux::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)
}

/// Receives one packet into `buffer`, without waiting: its length, cut to the buffer's, and the kernel's
/// time for it.
pub(super) fn receive_stamped(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SystemTime)> {
    let mut stamp = None;
    let length = linux::receive(socket, buffer, 0, |level, kind, data| {
        stamp = linux::timestamp(level, kind, data).or(stamp);
    })?;
    let time = stamp.and_then(|(seconds, nanos)| {
        let (seconds, nanos) = (u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
        Some(UNIX_EPOCH + Duration::new(seconds, nanos))
    });
    Ok((length, time.unwrap_or_else(SystemTime::now)))
}

/// Sends frames in one system call; returns how many of them the kernel took.
pub(super) fn send_many(socket: BorrowedFd<'_>, frames: &[&[u8]]) -> io::Result<usize> {
    let mut slices: Vec<_> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let header = |slice: &mut libc::iovec| {
        // SAFETY: mmsghdr is a plain C structure for which all-zero is a value.
        let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
        header.msg_hdr.msg_iov = slice;
        header.msg_hdr.msg_iovlen = 1;
        header
    };
    let mut headers: Vec<_> = slices.iter_mut().map(header).collect();
    let count = u32::try_from(headers.len()).map_err(io::Error::other)?;
    // SAFETY: there are that many headers, each points to one slice, and each of those to a frame; all of
    // them live until the call is over, and sendmmsg writes to nothing but the headers.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}
