//! The Ethernet II header, where we write frames ourselves.
//!
//! ```text
//!  0             6             12    14
//! +-------------+-------------+-----+----
//! | destination | source      | type| payload
//! +-------------+-------------+-----+----
//! ```

use bytes::BufMut;

use crate::id::MacAddr;

/// The length of the header in bytes.
pub const HEADER_LEN: usize = 14;

/// The `EtherType` of IPv4.
pub const TYPE_IPV4: u16 = 0x0800;

/// The `EtherType` of IPv6.
pub const TYPE_IPV6: u16 = 0x86dd;

/// The `EtherType` of ARP.
pub const TYPE_ARP: u16 = 0x0806;

/// Appends a header.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`HEADER_LEN`] bytes.
pub fn emit(buffer: &mut impl BufMut, destination: MacAddr, source: MacAddr, ethertype: u16) {
    buffer.put_slice(&destination.0);
    buffer.put_slice(&source.0);
    buffer.put_u16(ethertype);
}
