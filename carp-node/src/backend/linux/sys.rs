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

use super::batch::{SLOTS, Slot};

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

/// Receives what an IPv6 packet carried, and what its headers said as far as `IPV6_RECVPKTINFO` and
/// `IPV6_RECVHOPLIMIT` add it.
pub(super) fn receive_ipv6(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> io::Result<(usize, RxMeta)> {
    let mut slot = [Slot::default()];
    let slot_len = buffer.len();
    receive_many(socket, buffer, slot_len, &mut slot)?;
    let [slot] = slot;
    Ok((slot.len, slot.meta_ipv6()?))
}

/// Receives one datagram without waiting. Shows level, type and data of every control message to a
/// function.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    flags: i32,
    each: impl FnMut(i32, i32, &[u8]),
) -> io::Result<usize> {
    // Room for a few control messages; an array of u64 is aligned as they have to be.
    let mut control = [0_u64; 16];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is a plain C structure for which all-zero is a value.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: everything that the header points to lives until the call is over, with these lengths.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the call has succeeded, and the control buffer lives until the end of the function.
    unsafe { each_control(&message, each) };
    Ok(len)
}

/// Shows level, type and data of every control message that a call has filled in.
///
/// # Safety
/// The control messages of the header are those that the kernel has written, their total length is what it
/// said, and the buffer they are in is live and initialized.
unsafe fn each_control(message: &libc::msghdr, mut each: impl FnMut(i32, i32, &[u8])) {
    // SAFETY: the caller says that the kernel has filled in the control messages and their total length.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(message) };
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
        header = unsafe { libc::CMSG_NXTHDR(message, header) };
    }
}

/// Receives as many datagrams as there are slots and the queue has, without waiting. Each has `slot_len`
/// bytes of the buffer. Returns how many there were.
pub(super) fn receive_many(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    slot_len: usize,
    slots: &mut [Slot],
) -> io::Result<usize> {
    let count = slots.len().min(SLOTS).min(buffer.len() / slot_len.max(1));
    // SAFETY: these are plain C structures for which all-zero is a value.
    let mut senders: [libc::sockaddr_in6; SLOTS] = unsafe { zeroed() };
    // SAFETY: the same.
    let mut slices: [libc::iovec; SLOTS] = unsafe { zeroed() };
    // SAFETY: the same.
    let mut messages: [libc::mmsghdr; SLOTS] = unsafe { zeroed() };
    // Room for two control messages each; an array of u64 is aligned as they have to be.
    let mut control = [[0_u64; 12]; SLOTS];
    let rooms = buffer.chunks_exact_mut(slot_len.max(1)).take(count);
    let parts = senders.iter_mut().zip(&mut slices).zip(&mut control);
    for ((message, ((sender, slice), control)), room) in messages.iter_mut().zip(parts).zip(rooms) {
        *slice = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        let header = &mut message.msg_hdr;
        header.msg_name = from_mut(sender).cast();
        header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        header.msg_iov = slice;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of_val(control) as _;
    }
    // SAFETY: everything that the first `count` headers point to lives until the end of the function, with
    // these lengths. No time limit is given.
    let received = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            messages.as_mut_ptr(),
            count as u32,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for ((slot, message), sender) in slots.iter_mut().zip(&messages).zip(&senders).take(received) {
        *slot = Slot { len: message.msg_len as usize, ..Slot::default() };
        if i32::from(sender.sin6_family) == libc::AF_INET6 {
            slot.source = Some(Ipv6Addr::from(sender.sin6_addr.s6_addr));
        }
        // SAFETY: the kernel has filled in the header of every message that it says it has received, and
        // the control buffers live until the end of the function.
        unsafe {
            each_control(&message.msg_hdr, |level, kind, data| note(slot, level, kind, data));
        };
    }
    Ok(received)
}

/// Notes what a control message says.
fn note(slot: &mut Slot, level: i32, kind: i32, data: &[u8]) {
    match (level, kind) {
        (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
            let value = data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
            slot.ttl = value.and_then(|value| u8::try_from(value).ok());
        }
        (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
            // SAFETY: every pattern of bits is an in6_pktinfo.
            let info = unsafe { read::<libc::in6_pktinfo>(data) };
            slot.destination = info.map(|info| Ipv6Addr::from(info.ipi6_addr.s6_addr));
        }
        _ => {}
    }
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
