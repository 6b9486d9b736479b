//! The system calls of packet sockets for which there is no safe wrapper, and nothing else.

use std::io;
use std::mem::{MaybeUninit, size_of, size_of_val};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::from_mut;

use carp_proto::MacAddr;

/// What the kernel tells of a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Received {
    /// How long the frame is, also beyond the buffer.
    pub(super) len: usize,
    /// Seconds and nanoseconds since the Unix epoch.
    pub(super) time: Option<(i64, i64)>,
    /// The VLAN tag that the kernel has taken off: its `EtherType` and its 16 bits.
    pub(super) tag: Option<(u16, u16)>,
}

/// What a packet socket is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    /// The interface; `None` once it has gone.
    pub(super) index: Option<u32>,
    /// Its kind: `ARPHRD_…`.
    pub(super) hardware: u16,
}

/// Receives one frame, without waiting.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    // Room for both control messages and more; an array of u64 is aligned as they have to be.
    let mut control = [0_u64; 32];
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: msghdr is a plain C structure for which all-zero is a value.
    let mut message: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    message.msg_iov = &raw mut slice;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: everything that the header points to lives until the call is over, with these lengths.
    let len = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let len = usize::try_from(len).map_err(|_| io::Error::last_os_error())?;
    let mut received = Received { len, ..Received::default() };
    // SAFETY: the kernel has filled in the control messages and their total length.
    let mut header = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !header.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR return null or a header inside the control buffer.
        let (level, kind) = unsafe { ((*header).cmsg_level, (*header).cmsg_type) };
        // SAFETY: header is one of this message's.
        let data = unsafe { libc::CMSG_DATA(header) };
        if (level, kind) == (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) {
            // SAFETY: the data of this message is a timespec; the read does not ask for its alignment.
            let time = unsafe { data.cast::<libc::timespec>().read_unaligned() };
            received.time = Some((time.tv_sec, time.tv_nsec));
        } else if (level, kind) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            // SAFETY: the data of this message is a tpacket_auxdata; the read does not ask for its
            // alignment.
            received.tag = tag(unsafe { data.cast::<libc::tpacket_auxdata>().read_unaligned() });
        }
        // SAFETY: header is one of this message's.
        header = unsafe { libc::CMSG_NXTHDR(&raw const message, header) };
    }
    Ok(received)
}

/// The tag that was taken off. Kernels before 3.14 do not tell its `EtherType`, and have only 802.1Q.
const fn tag(aux: libc::tpacket_auxdata) -> Option<(u16, u16)> {
    const TYPE_8021Q: u16 = 0x8100;
    if aux.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let known = aux.tp_status & libc::TP_STATUS_VLAN_TPID_VALID != 0;
    Some((if known { aux.tp_vlan_tpid } else { TYPE_8021Q }, aux.tp_vlan_tci))
}

/// What a packet socket is bound to now.
pub(super) fn bound(socket: BorrowedFd<'_>) -> io::Result<Bound> {
    // SAFETY: sockaddr_ll is a plain C structure for which all-zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { MaybeUninit::zeroed().assume_init() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: the pointers are to live, writable values; len says how much may be written.
    let result = unsafe {
        libc::getsockname(socket.as_raw_fd(), from_mut(&mut address).cast(), &raw mut len)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let index = u32::try_from(address.sll_ifindex).ok().filter(|index| *index != 0);
    Ok(Bound { index, hardware: address.sll_hatype })
}

/// What else an interface is to receive for the sake of a packet socket.
#[derive(Clone, Copy, Debug)]
pub(super) enum Membership {
    /// Everything.
    Promiscuous,
    /// What is sent to this multicast address.
    Multicast(MacAddr),
}

/// Has an interface receive more, as long as the socket is open. Nothing is sent for it.
pub(super) fn join(socket: BorrowedFd<'_>, index: u32, what: Membership) -> io::Result<()> {
    let (kind, len, address) = match what {
        Membership::Promiscuous => (libc::PACKET_MR_PROMISC, 0, [0; 8]),
        Membership::Multicast(MacAddr([a, b, c, d, e, f])) => {
            (libc::PACKET_MR_MULTICAST, 6, [a, b, c, d, e, f, 0, 0])
        }
    };
    let request = libc::packet_mreq {
        mr_ifindex: i32::try_from(index).map_err(io::Error::other)?,
        mr_type: kind as u16,
        mr_alen: len,
        mr_address: address,
    };
    // SAFETY: the pointer is to a live packet_mreq, and the length is its size.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            size_of::<libc::packet_mreq>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
