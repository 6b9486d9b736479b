//! The system calls for which there is no safe wrapper, and nothing else.

use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::from_mut;
use std::slice::from_raw_parts;

use carp_proto::MacAddr;
use socket2::{SockAddr, SockAddrStorage};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the tokio runtime of the calling thread.
pub(crate) fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register_for(fd, Interest::READABLE | Interest::WRITABLE)
}

/// The same for one that is only waited for to be read. To be told after every advert that another
/// could be sent would be a wake-up for nothing.
pub(crate) fn register_for_reading(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register_for(fd, Interest::READABLE)
}

/// The same for one whose errors are waited for too: a packet socket has one when its interface goes
/// down.
pub(crate) fn register_for_reading_and_errors(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    register_for(fd, Interest::READABLE | Interest::ERROR)
}

fn register_for(fd: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, refers to one open file description as long as it lives, and always
    // gives the same number; the AsyncFd owns it.
    unsafe { AsyncFd::register_with_interest(fd, interest) }.map_err(io::Error::from)
}

/// The address of an interface for a packet socket: bound to it, the socket receives what has this
/// `EtherType` (0: nothing) and sends there.
pub(crate) fn link_address(index: u32, ethertype: u16) -> io::Result<SockAddr> {
    let sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as u16,
        sll_protocol: ethertype.to_be(),
        sll_ifindex,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: sockaddr_storage is as large and as aligned as every sockaddr, sockaddr_ll among them.
    unsafe { *storage.view_as::<libc::sockaddr_ll>() = address };
    let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the storage holds an initialized sockaddr_ll of this length.
    Ok(unsafe { SockAddr::new(storage, len) })
}

/// The link-layer address of the interface that a packet socket is bound to, as it is now; `None` if
/// it has none of six bytes (loopback has, tunnels may not).
pub(super) fn bound_mac(socket: BorrowedFd<'_>) -> io::Result<Option<MacAddr>> {
    let address = bound_address(socket)?;
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    Ok((address.sll_halen == 6).then_some(MacAddr([a, b, c, d, e, f])))
}

/// What a packet socket is bound to, as it is now.
pub(crate) fn bound_address(socket: BorrowedFd<'_>) -> io::Result<libc::sockaddr_ll> {
    // SAFETY: sockaddr_ll is a plain C structure for which all-zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointers are to live, writable values; len says how much may be written.
    let result = unsafe {
        libc::getsockname(socket.as_raw_fd(), from_mut(&mut address).cast(), &raw mut len)
    };
    if result == 0 { Ok(address) } else { Err(io::Error::last_os_error()) }
}

/// Sets an integer socket option.
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: i32,
    name: i32,
    value: i32,
) -> io::Result<()> {
    let len = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer is to a live i32, and len is its size.
    let result = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), len)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sets the interface and the source address of multicast that a socket sends.
pub(super) fn set_multicast_source(
    socket: BorrowedFd<'_>,
    index: u32,
    source: std::net::Ipv4Addr,
) -> io::Result<()> {
    let value = libc::ip_mreqn {
        imr_multiaddr: libc::in_addr { s_addr: 0 },
        imr_address: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
        imr_ifindex: i32::try_from(index).map_err(io::Error::other)?,
    };
    let len = size_of::<libc::ip_mreqn>() as libc::socklen_t;
    // SAFETY: the pointer is to a live ip_mreqn, and len is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const value).cast(),
            len,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// How many packets the kernel dropped because the socket's queue was full (`SO_MEMINFO`).
pub(crate) fn dropped(socket: BorrowedFd<'_>) -> io::Result<u64> {
    const SO_MEMINFO: i32 = 55;
    const SK_MEMINFO_DROPS: usize = 8;
    let mut values = [0_u32; SK_MEMINFO_DROPS + 1];
    let mut len = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the pointers are to live, writable values; len says how much may be written.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    if result == 0 { Ok(values[SK_MEMINFO_DROPS].into()) } else { Err(io::Error::last_os_error()) }
}

/// Receives one datagram, with the TTL that `IP_RECVTTL` adds to it.
pub(super) fn receive_with_ttl(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<u8>)> {
    let mut ttl = None;
    let len = receive(socket, buffer, 0, |level, kind, data| {
        if let ((libc::IPPROTO_IP, libc::IP_TTL), Some(&value)) =
            ((level, kind), data.first_chunk())
        {
            ttl = u8::try_from(i32::from_ne_bytes(value)).ok();
        }
    })?;
    Ok((len, ttl))
}

/// Receives one datagram without waiting. Shows level, type and data of every control message to a
/// function.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
    mut each: impl FnMut(i32, i32, &[u8]),
) -> io::Result<usize> {
    // Room for a few control messages; an array of u64 is aligned as they have to be.
    let mut control = [0_u64; 16];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is a plain C structure for which all-zero is a value.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: everything that the header points to lives until the call is over, with these lengths.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has filled in the control messages and their total length.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a header inside the control buffer.
        let (level, kind, whole) =
            unsafe { ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len as usize) };
        // SAFETY: CMSG_LEN only computes, and header is one of this message's.
        let (start, data) = unsafe { (libc::CMSG_LEN(0) as usize, libc::CMSG_DATA(header)) };
        // SAFETY: the kernel has written that many bytes behind the header, in the control buffer,
        // which is initialized and is not written to while the slice lives.
        each(level, kind, unsafe { from_raw_parts(data, whole.saturating_sub(start)) });
        // SAFETY: header is one of this message's.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(len)
}

/// The time in a control message of `SO_TIMESTAMPNS`, if it is one: seconds and nanoseconds since the
/// Unix epoch.
pub(crate) fn timestamp(level: i32, kind: i32, data: &[u8]) -> Option<(i64, i64)> {
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
        return None;
    }
    // SAFETY: every pattern of bits is a timespec.
    let time = unsafe { read::<libc::timespec>(data) }?;
    Some((time.tv_sec, time.tv_nsec))
}

/// A C structure from its bytes, if they are all there.
///
/// # Safety
/// Every pattern of bits has to be a value of the type.
pub(crate) unsafe fn read<T>(bytes: &[u8]) -> Option<T> {
    // SAFETY: that many bytes are there, the read does not ask for their alignment, and whatever they
    // are is a value: the caller says so.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}
