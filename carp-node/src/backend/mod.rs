//! Where the node meets an operating system: five small traits.
//!
//! [`linux`] is the real thing; [`memory`] is a link and a host that exist in memory only, with a
//! clock that somebody else turns; [`wrap`] puts something between a node and its backend (a capture
//! file, a trace, faults). What runs above is the same in all cases.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use carp_proto::{
    Family, Instant, MacAddr, Protocol, RouterConfig, RxMeta, Transmit, VirtualAddress, VirtualId,
};

pub use self::removal::{Program, Removal, Removals, Remover};
use crate::addresses::Lease;
use crate::guard::Post;

pub mod around;
pub mod linux;
pub mod memory;
mod neighbour;
mod removal;
pub mod wrap;

pub use self::neighbour::{Listening, Neighbour, Saying};

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

    /// Starts to tell who removes addresses, where the operating system says it. Asked for once.
    ///
    /// # Errors
    /// What the operating system says. Without it, what is gone is found by [watching](Self::watch).
    fn removals(&mut self) -> io::Result<Removals> {
        Ok(Removals::none())
    }

    /// What tells the names of the programs that run here, if anything does. It reads files, and is called
    /// on a thread of its own.
    fn programs(&self) -> Option<fn() -> Vec<String>> {
        None
    }

    /// Where to tell the guard that the node lives, if there is one. Asked for once.
    fn guard(&mut self) -> Option<Post> {
        None
    }
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
    /// What those adverts are like. When more comes than can be handled, anything else may be dropped
    /// unseen, too; if there is nothing here, only other ids are.
    pub wanted: Vec<Wanted>,
    /// The addresses of their routers.
    pub addresses: Vec<IpAddr>,
    /// The families in which adverts are sent and heard.
    pub families: Families,
}

/// What every advert is like that a router may accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The id of the router.
    pub id: VirtualId,
    /// Its protocol.
    pub protocol: Protocol,
    /// The least TTL or hop limit that it accepts.
    pub min_ttl: u8,
    /// The only sources that it hears, of whatever family; empty if it hears everybody.
    pub sources: Vec<IpAddr>,
}

impl Wanted {
    /// What a router wants to hear.
    #[must_use]
    pub fn by(config: &RouterConfig) -> Self {
        Self {
            id: config.id(),
            protocol: config.protocol(),
            min_ttl: config.min_ttl(),
            sources: config.heard().to_vec(),
        }
    }
}

/// Which address families something is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Families {
    /// IPv4.
    pub ipv4: bool,
    /// IPv6.
    pub ipv6: bool,
}

impl Families {
    /// Whether a family is among them.
    #[must_use]
    pub const fn include(self, family: Family) -> bool {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

impl Extend<Family> for Families {
    fn extend<T: IntoIterator<Item = Family>>(&mut self, families: T) {
        for family in families {
            match family {
                Family::Ipv4 => self.ipv4 = true,
                Family::Ipv6 => self.ipv6 = true,
            }
        }
    }
}

/// Sends and receives adverts on one interface.
pub trait PacketIo {
    /// Receives what has arrived, or registers to be woken when something does. One call receives one thing,
    /// or a bounded number of system calls' worth of it: what is of no use is [told](Received::Useless)
    /// instead of looking for something better, of which there may be no end.
    ///
    /// # Errors
    /// What the operating system says. The caller goes on: an error must not repeat for ever without
    /// anything having arrived.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>>;

    /// Sends one advert to its destination, the group or a peer. To the group it comes from this
    /// link-layer address, if one is given; a peer is always reached from the interface's own.
    ///
    /// # Errors
    /// What the operating system says.
    fn send(&mut self, advert: &Transmit<'_>, source_mac: Option<MacAddr>) -> io::Result<()>;

    /// Says what of that which neighbours say is of use now. At first it is [`Listening::default`]. What is
    /// of no use may still be received.
    ///
    /// # Errors
    /// What the operating system says. Then all is as before.
    fn listen(&mut self, listening: Listening) -> io::Result<()> {
        let _ = listening;
        Ok(())
    }

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
    /// What followed the headers of an IPv6 packet with next header 112; this many bytes of the buffer.
    /// Linux keeps the headers for itself and tells what they said.
    Ipv6 {
        /// The bytes.
        len: usize,
        /// What the headers said.
        meta: RxMeta,
    },
    /// A neighbour said where an address is.
    Neighbour(Neighbour),
    /// Something of no use. It took time all the same: who receives without end has to know.
    Useless,
}

/// The addresses of a host's interfaces.
pub trait AddressTable: Send + 'static {
    /// What a [`Remover::port`] is if this table is the remover.
    fn port(&self) -> Option<u32> {
        None
    }

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

    /// Gives addresses that are there the lifetimes that these have, from now on, in one batch. One result
    /// an address, in order. One that is not there may be added by it: ask before.
    ///
    /// # Errors
    /// If nothing could be tried.
    fn renew(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>>;

    /// What has happened to the addresses of an interface since this was asked last, renewals of leases
    /// aside. Whoever finds the same edition again need not [list](Self::list) them. Where the operating
    /// system does not tell, there is no edition.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::NotFound`] if there is no such interface.
    fn changes(&mut self, interface: &str) -> io::Result<Changes> {
        let _ = interface;
        Ok(Changes::default())
    }

    /// Removes addresses in one batch. One result an address, in order.
    ///
    /// # Errors
    /// If nothing could be tried.
    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>>;

    /// Removes those of these addresses that this table added to an interface of this name, where that
    /// interface is called otherwise now: they went with it. What is not as it was added, another program
    /// has put there, and it stays. Returns which were removed. Where interfaces keep their names there are
    /// none.
    ///
    /// # Errors
    /// What the operating system says. That an interface or an address is gone is none.
    fn remove_strays(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<VirtualAddress>> {
        let _ = (interface, addresses);
        Ok(Vec::new())
    }

    /// Sees to it that removing a primary address leaves the secondary ones of its subnet in place
    /// (`promote_secondaries`). Returns what the setting was before.
    ///
    /// # Errors
    /// What the operating system says.
    fn set_promote_secondaries(&mut self, interface: &str, promote: bool) -> io::Result<bool>;

    /// The default gateway of a family, if it is reached through this interface.
    ///
    /// # Errors
    /// What the operating system says.
    fn gateway(&mut self, interface: &str, family: Family) -> io::Result<Option<IpAddr>> {
        let _ = (interface, family);
        Ok(None)
    }

    /// Makes a device, switched off, so that it answers for nothing but its own addresses, and sees to
    /// it that its parent does not answer for them. One that is there and ours is made so again.
    ///
    /// # Errors
    /// What the operating system says, or which of its settings stands in the way: then there is no
    /// device. [`io::ErrorKind::AlreadyExists`] if there is another interface of that name, which is left
    /// alone.
    fn make_device(&mut self, device: &VirtualDevice) -> io::Result<()>;

    /// Switches a device on that this table has made, or any off that is ours.
    ///
    /// # Errors
    /// What the operating system says; [`io::ErrorKind::NotFound`] if there is no such device.
    fn switch_device(&mut self, device: &VirtualDevice, on: bool) -> io::Result<()>;

    /// Removes a device, and takes back what making it changed elsewhere if it was the last one there.
    /// Returns whether it was there.
    ///
    /// # Errors
    /// What the operating system says.
    fn remove_device(&mut self, device: &VirtualDevice) -> io::Result<bool>;

    /// Now, by the [clock](Clock) of the backend.
    fn now(&self) -> Instant;
}

/// What has happened to the addresses of an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How they are now; `None` if that is not known.
    pub edition: Option<Edition>,
    /// Those that were removed since that was asked last, whether they are back or not.
    pub removed: Vec<IpAddr>,
}

/// The addresses of an interface as they are for some time: another one after each change, and where another
/// interface has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The index of the interface.
    pub interface: u32,
    /// A number that changes with its addresses.
    pub number: u64,
}

/// An interface that is made for the virtual link-layer address of a router, above another one: on
/// Linux a macvlan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VirtualDevice {
    /// Its name.
    pub name: String,
    /// The interface that carries its frames.
    pub parent: String,
    /// Its link-layer address.
    pub mac: MacAddr,
}

impl VirtualDevice {
    /// The longest name of an interface.
    const NAME_MAX: usize = 15;

    /// The device for a virtual link-layer address on an interface. The name follows from both:
    /// `eth0.v4-1` for `00:00:5e:00:01:01`, `eth0.v6-1` for `00:00:5e:00:02:01`. Where that is too long,
    /// a number stands for the interface.
    #[must_use]
    pub fn new(parent: &str, mac: MacAddr) -> Self {
        let [.., group, id] = mac.0;
        let end = format!("v{}-{id}", if group == 2 { 6 } else { 4 });
        let mut name = format!("{parent}.{end}");
        if name.len() > Self::NAME_MAX {
            // FNV-1a: the same in every run and version.
            let step = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            let number = parent.bytes().fold(0x811c_9dc5, step) & 0x00ff_ffff;
            name = format!("{number:06x}.{end}");
        }
        Self { name, parent: parent.to_owned(), mac }
    }
}

/// An address that is to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAddress {
    /// The address. One with a host prefix gets a preferred lifetime of 0, so that no outgoing
    /// connection picks it as its source. One of IPv6 is used at once, without looking for duplicates:
    /// the election has done that.
    pub address: VirtualAddress,
    /// Who put it there: `IFA_PROTO`. `None` leaves it unset.
    pub protocol: Option<u8>,
    /// A label, for kernels that do not keep `IFA_PROTO`.
    pub label: Option<String>,
    /// How long it stays when nobody renews it; `None` for ever.
    pub lifetime: Option<Lease>,
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
    /// Whether nothing can be sent from it: the kernel still looks for duplicates, or has found one.
    pub tentative: bool,
}

/// Whether two addresses are in one subnet of this prefix length.
pub(crate) fn same_subnet(a: IpAddr, b: IpAddr, prefix_len: u8) -> bool {
    let common = match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
    };
    common >= u32::from(prefix_len)
}

/// Tells the neighbours where an address is.
pub trait Announcer: Send + 'static {
    /// Makes ready what announcing on an interface needs, so that nothing but sending is left to do.
    ///
    /// # Errors
    /// What the operating system says. Announcing says it again.
    fn prepare(&mut self, interface: &str) -> io::Result<()>;

    /// Announces each address `burst` times: in IPv4 by gratuitous ARP, requests and replies in turn, in
    /// IPv6 by unsolicited neighbour advertisements. They are at this link-layer address if one is given,
    /// else at that of the interface. On one that has none, such as loopback, there is nobody to tell.
    ///
    /// # Errors
    /// What the operating system says.
    fn announce(
        &mut self,
        interface: &str,
        mac: Option<MacAddr>,
        addresses: &[IpAddr],
        burst: u8,
    ) -> io::Result<()>;

    /// Asks once who has each of these addresses. From an address of ours, which neighbours learn from it
    /// as from an announcement: then only for addresses of its family, and with this link-layer address
    /// if one is given. Without one it is asked so that nobody learns anything (RFC 5227 section 2.1.1,
    /// RFC 4862 section 5.4.2). By default nobody is asked.
    ///
    /// # Errors
    /// What the operating system says.
    fn ask(
        &mut self,
        interface: &str,
        from: Option<(IpAddr, Option<MacAddr>)>,
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        let _ = (interface, from, addresses);
        Ok(())
    }
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
    /// What the interface is called now that had the name before, if nothing has that name now.
    pub renamed: Option<String>,
    /// The families in which the host has ceased to belong to the group of adverts on this interface, and
    /// no socket was told.
    pub forgotten: Families,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The index, which differs after an interface was deleted and made again.
    pub index: u32,
    /// Whether it is switched on and has carrier.
    pub running: bool,
    /// Its addresses, in the kernel's order.
    pub addresses: Vec<InstalledAddress>,
    /// Its link-layer address, if it has one of Ethernet.
    pub mac: Option<MacAddr>,
    /// The longest packet that it sends, headers of IP included, if the system says so.
    pub mtu: Option<u32>,
    /// How often its carrier came or went: a flap that nobody saw shows here.
    pub carrier_changes: u32,
}

/// Tells the time and wakes.
pub trait Clock {
    /// Now.
    fn now(&self) -> Instant;

    /// The time of day, as the time since the Unix epoch (UTC). Signatures carry it; no timer rests on
    /// it.
    fn time_of_day(&self) -> Duration;

    /// How long the machine has been asleep since an arbitrary time: it grows by what a suspend takes, and
    /// else does not change. For messages; no timer rests on it.
    fn time_asleep(&self) -> Duration;

    /// Is ready once `at` has come; registers to be woken then. `None` never comes.
    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_device_follows_from_its_parent_and_address() {
        let id = VirtualId::new(255).unwrap();
        let name = |parent, mac| VirtualDevice::new(parent, mac).name;
        assert_eq!(name("eth0", MacAddr::virtual_router(id)), "eth0.v4-255");
        assert_eq!(name("eth0", MacAddr::virtual_router_ipv6(id)), "eth0.v6-255");
        let long =
            ["enp130s0f0np0", "enp130s0f1np1"].map(|it| name(it, MacAddr::virtual_router(id)));
        assert!(long.iter().all(|name| name.len() == 13 && name.ends_with(".v4-255")), "{long:?}");
        assert_ne!(long[0], long[1]);
    }
}
