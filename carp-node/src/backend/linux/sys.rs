//! The system calls for which there is no safe wrapper, and nothing else.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::from_mut;
use std::slice::from_raw_parts;

use carp_proto::{MacAddr, RxMeta};
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
/// it has no Ethernet address: tunnels may have none, and loopback's is all zero.
pub(super) fn bound_mac(socket: BorrowedFd<'_>) -> io::Result<Option<MacAddr>> {
    let address = bound_address(socket)?;
    let [a, b, c, d, e, f, ..] = address.sll_addr;
    let is_ethernet = address.sll_hatype == libc::ARPHRD_ETHER && address.sll_halen == 6;
    Ok(is_ethernet.then_some(MacAddr([a, b, c, d, e, f])))
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
    set_words(socket, level, name, &[value.cast_unsigned()])
}

/// Has a raw `ICMPv6` socket receive messages of one type only.
pub(super) fn receive_icmpv6_type(socket: BorrowedFd<'_>, kind: u8) -> io::Result<()> {
    const ICMPV6_FILTER: i32 = 1;
    // A bit that is set blocks its type.
    let mut blocked = [u32::MAX; 8];
    blocked[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    set_words(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
}

/// Sets a socket option that consists of 32-bit words.
fn set_words(socket: BorrowedFd<'_>, level: i32, name: i32, value: &[u32]) -> io::Result<()> {
    let len = size_of_val(value) as libc::socklen_t;
    // SAFETY: the pointer is to live words, and len is their size in bytes.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value.as_ptr().cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Sends one datagram from an address through an interface, without waiting.
pub(super) fn send_from_ipv4(
    socket: BorrowedFd<'_>,
    index: u32,
    source: Ipv4Addr,
    to: Ipv4Addr,
    payload: &[u8],
) -> io::Result<usize> {
    let info = libc::in_pktinfo {
        ipi_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(source.octets()) },
        ipi_addr: libc::in_addr { s_addr: 0 },
    };
    let to = SockAddr::from(SocketAddrV4::new(to, 0));
    send_with(socket, &to, (libc::IPPROTO_IP, libc::IP_PKTINFO), info, payload)
}

/// Sends one datagram from an address through an interface, without waiting.
pub(super) fn send_from_ipv6(
    socket: BorrowedFd<'_>,
    index: u32,
    source: Ipv6Addr,
    to: Ipv6Addr,
    payload: &[u8],
) -> io::Result<usize> {
    let info = libc::in6_pktinfo {
        ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
        ipi6_ifindex: index,
    };
    let to = SockAddr::from(SocketAddrV6::new(to, 0, 0, index));
    send_with(socket, &to, (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO), info, payload)
}

/// Sends one datagram with one control message of a level and a type.
fn send_with<C: Copy>(
    socket: BorrowedFd<'_>,
    to: &SockAddr,
    (level, kind): (i32, i32),
    value: C,
    payload: &[u8],
) -> io::Result<usize> {
    // Room for a header and a small structure; an array of u64 is aligned as they have to be.
    let mut control = [0_u64; 8];
    const { assert!(size_of::<libc::cmsghdr>() + size_of::<C>() <= size_of::<[u64; 7]>()) };
    let len = size_of::<C>() as u32;
    // SAFETY: CMSG_SPACE only computes.
    let space = unsafe { libc::CMSG_SPACE(len) };
    let mut slice =
        libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
    // SAFETY: msghdr is a plain C structure for which all-zero is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_name = to.as_ptr().cast_mut().cast();
    message.msg_namelen = to.len();
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = space as _;
    // SAFETY: the buffer holds the header, the value and what aligns it: the compiler has checked that.
    // The header is aligned, and the value is written without asking for alignment.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = level;
        (*header).cmsg_type = kind;
        (*header).cmsg_len = libc::CMSG_LEN(len) as _;
        libc::CMSG_DATA(header).cast::<C>().write_unaligned(value);
    }
    // SAFETY: everything that the message points to lives until the call is over, with these lengths,
    // and sendmsg writes to none of it.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
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

/// Receives what an IPv6 packet carried, and what its headers said as far as `IPV6_RECVPKTINFO` and
/// `IPV6_RECVHOPLIMIT` add it.
pub(super) fn receive_ipv6(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, RxMeta)> {
    // SAFETY: sockaddr_in6 is a plain C structure for which all-zero is a value.
    let mut sender: libc::sockaddr_in6 = unsafe { zeroed() };
    let (mut destination, mut ttl) = (None, None);
    let len = receive_message(socket, buffer, 0, Some(&mut sender), |level, kind, data| {
        match (level, kind) {
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: every pattern of bits is an in6_pktinfo.
                let info = unsafe { read::<libc::in6_pktinfo>(data) };
                destination = info.map(|info| Ipv6Addr::from(info.ipi6_addr.s6_addr));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                let value = data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
                ttl = value.and_then(|value| u8::try_from(value).ok());
            }
            _ => {}
        }
    })?;
    let source = Ipv6Addr::from(sender.sin6_addr.s6_addr).into();
    let (Some(destination), Some(ttl)) = (destination, ttl) else {
        return Err(io::Error::other("the kernel did not say what an IPv6 header said"));
    };
    Ok((len, RxMeta { source, destination: destination.into(), ttl }))
}

/// Receives one datagram without waiting. Shows level, type and data of every control message to a
/// function.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
    each: impl FnMut(i32, i32, &[u8]),
) -> io::Result<usize> {
    receive_message(socket, buffer, flags, None, each)
}

/// Receives one datagram, and the address of an IPv6 sender if there is a place for it.
fn receive_message(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
    sender: Option<&mut libc::sockaddr_in6>,
    mut each: impl FnMut(i32, i32, &[u8]),
) -> io::Result<usize> {
    // Room for a few control messages; an array of u64 is aligned as they have to be.
    let mut control = [0_u64; 16];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is a plain C structure for which all-zero is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    if let Some(sender) = sender {
        message.msg_name = from_mut(sender).cast();
        message.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    }
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
