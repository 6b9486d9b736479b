//! The system calls that have no safe form elsewhere: the lab's only unsafe code.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::UnshareFlags;
use socket2::{SockAddr, Socket};

/// Gives the calling thread namespaces of its own. `flags` are of the kind `CLONE_NEW…`.
pub(super) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    let flags = flags.difference(UnshareFlags::FILES);
    // SAFETY: the danger is CLONE_FILES, a table of file descriptors of the thread's own; it is
    // taken out above.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(Into::into)
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

/// Binds an `AF_PACKET` socket to an interface: all protocols, both directions.
pub(super) fn bind_packet(socket: &Socket, index: u32) -> io::Result<()> {
    let index = c_int::try_from(index).map_err(io::Error::other)?;
    // SAFETY: the storage is zeroed, large enough and aligned for every kind of address;
    // `sockaddr_ll` is plain data, and the length is that of what was written.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, length| {
            let link = storage.cast::<libc::sockaddr_ll>();
            (*link).sll_family = libc::AF_PACKET as libc::sa_family_t;
            (*link).sll_protocol = (libc::ETH_P_ALL as u16).to_be();
            (*link).sll_ifindex = index;
            *length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            Ok(())
        })
    }?;
    socket.bind(&address)
}

/// Asks the kernel to tell when it received each packet.
pub(super) fn enable_timestamps(socket: &Socket) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: the option takes an int; the pointer and the length are those of one that lives.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_TIMESTAMPNS,
            (&raw const on).cast::<c_void>(),
            size_of::<c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one packet into `buffer`: its length, cut to the buffer's, and the kernel's time for it.
pub(super) fn receive_stamped(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, SystemTime)> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control([0; CONTROL_LEN]);
    // SAFETY: `msghdr` is plain data, for which zeroes mean "nothing".
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.0.as_mut_ptr().cast();
    message.msg_controllen = CONTROL_LEN as _; // size_t in glibc, socklen_t in musl
    // SAFETY: the message points to `buffer` and `control`, which live on, with their true lengths.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, 0) };
    let length = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    Ok((length, timestamp(&message).unwrap_or_else(SystemTime::now)))
}

/// The kernel's time stamp among the control messages that `recvmsg` has filled in.
fn timestamp(message: &libc::msghdr) -> Option<SystemTime> {
    // SAFETY: the kernel has written well-formed control messages and their total length, and the
    // buffer behind them is alive in the only caller.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
    while !header.is_null() {
        // SAFETY: not null, so CMSG_FIRSTHDR or CMSG_NXTHDR has checked that it is whole.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            // SAFETY: a message of this type carries a timespec; it may be unaligned.
            let time = unsafe { libc::CMSG_DATA(header).cast::<libc::timespec>().read_unaligned() };
            let seconds = u64::try_from(time.tv_sec).ok()?;
            return Some(UNIX_EPOCH + Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?));
        }
        // SAFETY: as for CMSG_FIRSTHDR.
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
    None
}

/// Room for a time stamp and more, aligned as control messages have to be.
#[repr(align(8))]
struct Control([u8; CONTROL_LEN]);

const CONTROL_LEN: usize = 128;
