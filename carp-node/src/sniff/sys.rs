//! The system calls of packet sockets for which there is no safe wrapper, and nothing else.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use carp_proto::MacAddr;

use crate::backend::linux;

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

/// Receives one frame, without waiting.
pub(super) fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    let mut received = Received::default();
    received.len = linux::receive(socket, buffer, libc::MSG_TRUNC, |level, kind, data| {
        received.time = linux::timestamp(level, kind, data).or(received.time);
        if (level, kind) == (libc::SOL_PACKET, libc::PACKET_AUXDATA) {
            // SAFETY: every pattern of bits is a tpacket_auxdata.
            received.tag = unsafe { linux::read(data) }.and_then(tag);
        }
    })?;
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
