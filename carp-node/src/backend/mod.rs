//! Where the node meets an operating system: five small traits.
//!
//! [`linux`] is the real thing; [`memory`] is a link and a host that exist in memory only, with a
//! clock that somebody else turns; [`wrap`] puts something between a node and its backend (a capture
//! file, a trace, faults). What runs above is the same in all cases.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use carp_proto::wire::arp::Announcement;
use carp_proto::{Instant, MacAddr, Transmit, VirtualAddress, VirtualId};

pub mod linux;
pub mod memory;
pub mod wrap;

/// Opens what a node needs of its host.
pub trait Backend {
    /// Sends and receives on one interface.
    type Packets: PacketIo;
    /// Installs and removes addresses.
    type Addresses: AddressTable;
    /// Tells the neighbours.
    type Announcer: Announcer;
    /// Watches interfaces.
    type Links: LinkWatch;
    /// Tells the time and wakes.
    type Clock: Clock;

    /// Opens an interface for the adverts of some routers.
    ///
    /// # Errors
    /// What the operating system says, for example that the interface is gone or a privilege missing.
    fn open(&mut self, port: &Port) -> io::Result<Self::Packets>;

    /// The address table. Asked for once; used on a thread of its own.
    ///
    /// # Errors
    /// What the operating system says.
    fn addresses(&mut self) -> io::Result<Self::Addresses>;

    /// The announcer. Asked for once; used on the thread of the address table.
    ///
    /// # Errors
    /// What the operating system says.
    fn announcer(&mut self) -> io::Result<Self::Announcer>;

    /// Starts to watch interfaces. The first change of each is what is.
    ///
    /// # Errors
    /// What the operating system says.
    fn watch(&mut self, interfaces: &[String]) -> io::Result<Self::Links>;

    /// The clock.
    ///
    /// # Errors
    /// What the operating system says.
    fn clock(&mut self) -> io::Result<Self::Clock>;
}

/// What to open.
#[derive(Clone, Debug)]
pub struct Port {
    /// The name of the interface.
    pub interface: String,
    /// Its index.
    pub index: u32,
    /// The ids whose adverts are wanted; others may be dropped unseen.
    pub ids: Vec<VirtualId>,
}

/// Sends and receives adverts on one interface.
pub trait PacketIo {
    /// Receives what has arrived, or registers to be woken when something does.
    ///
    /// # Errors
    /// What the operating system says. The caller goes on: an error must not repeat for ever without
    /// anything having arrived.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>>;

    /// Sends one advert to the group, from this link-layer address if one is given.
    ///
    /// # Errors
    /// What the operating system says.
    fn send(&mut self, advert: &Transmit<'_>, source_mac: Option<MacAddr>) -> io::Result<()>;

    /// How many datagrams the kernel dropped because we did not read them in time.
    fn kernel_dropped(&self) -> u64;
}

/// What arrived on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// A whole IPv4 packet with IP protocol 112; this many bytes of the buffer.
    Ipv4 {
        /// The bytes.
        len: usize,
        /// The TTL as ancillary data says it; `None` if only the header does.
        ttl: Option<u8>,
    },
    /// A neighbour announced an address.
    Announcement(Announcement),
}

/// The addresses of a host's interfaces.
pub trait AddressTable: Send + 'static {
    /// The addresses of an interface.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::NotFound`] if there is no such interface.
    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>>;

    /// Adds addresses in one batch, exclusively: one that exists is an error of kind
    /// [`io::ErrorKind::AlreadyExists`]. One result an address, in order.
    ///
    /// # Errors
    /// If nothing could be tried.
    fn add(&mut self, interface: &str, addresses: &[NewAddress])
    -> io::Result<Vec<io::Result<()>>>;

    /// Removes addresses in one batch. One result an address, in order.
    ///
    /// # Errors
    /// If nothing could be tried.
    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>>;

    /// Sees to it that removing a primary address leaves the secondary ones of its subnet in place
    /// (`promote_secondaries`). Returns what the setting was before.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_promote_secondaries(&mut self, interface: &str, promote: bool) -> io::Result<bool>;
}

/// An address that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAddress {
    /// The address. One with a host prefix gets a preferred lifetime of 0, so that no outgoing
    /// connection picks it as its source.
    pub address: VirtualAddress,
    /// Who put it there: `IFA_PROTO`. `None` leaves it unset.
    pub protocol: Option<u8>,
    /// A label, for kernels that do not keep `IFA_PROTO`.
    pub label: Option<String>,
}

/// An address that is on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledAddress {
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length.
    pub prefix_len: u8,
    /// Who put it there: `IFA_PROTO`, if the kernel keeps it and somebody set it.
    pub protocol: Option<u8>,
    /// The label, of IPv4 addresses.
    pub label: Option<String>,
    /// Whether it hangs on another address of its subnet, and may go when that goes.
    pub secondary: bool,
}

/// Tells the neighbours where an address is.
pub trait Announcer: Send + 'static {
    /// Makes ready what announcing on an interface needs, so that nothing but sending is left to do.
    ///
    /// # Errors
    /// What the operating system says. Announcing says it again.
    fn prepare(&mut self, interface: &str) -> io::Result<()>;

    /// Announces each address `burst` times: gratuitous ARP, requests and replies in turn.
    ///
    /// # Errors
    /// What the operating system says.
    fn announce(&mut self, interface: &str, addresses: &[IpAddr], burst: u8) -> io::Result<()>;
}

/// Watches interfaces.
pub trait LinkWatch {
    /// The next change, or registers to be woken by it.
    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<LinkChange>;
}

/// What an interface has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChange {
    /// The name.
    pub name: String,
    /// What is there under that name now; `None` if nothing is.
    pub interface: Option<Interface>,
}

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The index, which differs after an interface was deleted and made again.
    pub index: u32,
    /// Whether it is switched on and has carrier.
    pub running: bool,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<InstalledAddress>,
}

/// Tells the time and wakes.
pub trait Clock {
    /// Now.
    fn now(&self) -> Instant;

    /// Is ready once `at` has come; registers to be woken then. `None` never comes.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()>;
}
