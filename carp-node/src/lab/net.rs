//! Network namespaces and what is in them: links, ports and addresses, through rtnetlink.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread;

use carp_proto::MacAddr;
use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressHeaderFlags};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, BridgePortState, BridgeStpState, In6AddrGenMode, InfoBridgePort,
    InfoData, InfoPortData, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
    State,
};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use rtnetlink::{
    LinkBridge, LinkBridgePort, LinkMacVlan, LinkMessageBuilder, LinkUnspec, LinkVeth,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};
use tokio::runtime::{Builder, Runtime};

use super::error::Doing;
use super::host::HostAddress;
use super::{LabError, sys};

/// A network namespace without a name: it lives as long as this, or a process in it, does.
#[derive(Debug)]
pub(super) struct NetNs {
    fd: OwnedFd,
}

impl NetNs {
    /// An empty namespace.
    pub(super) fn new() -> io::Result<Self> {
        on_thread(|| {
            sys::unshare(UnshareFlags::NEWNET)?;
            Self::of_this_thread()
        })?
    }

    /// The namespace that the calling thread is in.
    pub(super) fn of_this_thread() -> io::Result<Self> {
        Ok(Self { fd: File::open("/proc/thread-self/ns/net")?.into() })
    }

    /// Runs `work` on a thread of its own, inside.
    pub(super) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        on_thread(|| {
            self.enter()?;
            Ok(work())
        })?
    }

    /// Moves the calling thread inside, for good.
    pub(super) fn enter(&self) -> io::Result<()> {
        Ok(move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))?)
    }
}

/// Runs `work` on a thread that ends with it, so that what it does to its namespaces ends too.
pub(super) fn on_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("lab".into()).spawn_scoped(scope, work)?;
        Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// A netlink socket in some namespace, and the runtime that drives it.
pub(super) struct Netlink {
    runtime: Runtime,
    handle: rtnetlink::Handle,
}

impl Netlink {
    /// Opens a socket in `namespace`. The socket stays there, whoever uses it.
    pub(super) fn open(namespace: &NetNs) -> Result<Self, LabError> {
        namespace.run(Self::open_here).and_then(|result| result).doing(|| "open netlink".into())
    }

    /// Opens a socket in the calling thread's namespace.
    pub(super) fn open_here() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_io().build()?;
        let handle = {
            let _inside = runtime.enter();
            let (connection, handle, _) = rtnetlink::new_connection()?;
            runtime.spawn(connection);
            handle
        };
        Ok(Self { runtime, handle })
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, rtnetlink::Error>>) -> io::Result<T> {
        self.runtime.block_on(request).map_err(into_io)
    }

    /// `ip link show dev NAME`: its index.
    pub(super) fn index_of(&self, name: &str) -> io::Result<u32> {
        self.link(self.handle.link().get().match_name(name.to_owned()))
            .map(|link| link.header.index)
    }

    /// `ip link set dev INDEX up` or `down`.
    pub(super) fn set_up(&self, index: u32, up: bool) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index);
        let link = if up { link.up() } else { link.down() };
        self.wait(self.handle.link().set(link.build()).execute())
    }

    /// `ip link set dev INDEX name NAME`.
    pub(super) fn rename(&self, index: u32, name: &str) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index).name(name).build();
        self.wait(self.handle.link().set(link).execute())
    }

    /// `ip link set dev INDEX address MAC`.
    pub(super) fn set_mac(&self, index: u32, mac: MacAddr) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index).address(mac.0.to_vec()).build();
        self.wait(self.handle.link().set(link).execute())
    }

    /// `ip link set dev INDEX mtu BYTES`.
    pub(super) fn set_mtu(&self, index: u32, mtu: u32) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index).mtu(mtu).build();
        self.wait(self.handle.link().set(link).execute())
    }

    /// `ip link set dev INDEX netns NAMESPACE`.
    pub(super) fn move_link(&self, index: u32, namespace: &NetNs) -> io::Result<()> {
        let link = LinkUnspec::new_with_index(index).setns_by_fd(namespace.fd.as_raw_fd()).build();
        self.wait(self.handle.link().set(link).execute())
    }

    /// `ip link add NAME type veth peer name PEER`: an interface that leads nowhere. Returns its index.
    pub(super) fn add_pair(&self, name: &str, peer: &str) -> io::Result<u32> {
        self.wait(self.handle.link().add(LinkVeth::new(name, peer).build()).execute())?;
        self.start_link(self.index_of(peer)?)?;
        let index = self.index_of(name)?;
        self.start_link(index)?;
        Ok(index)
    }

    /// `ip link set dev INDEX addrgenmode none up`: no link-local address, and no router
    /// solicitations, that nobody asked for.
    pub(super) fn start_link(&self, index: u32) -> io::Result<()> {
        let quiet =
            LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(
                In6AddrGenMode::None,
            )])]);
        let link = LinkUnspec::new_with_index(index).append_extra_attribute(quiet).build();
        match self.wait(self.handle.link().set(link).execute()) {
            // A kernel without IPv6 is quiet already.
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            result => result?,
        }
        self.set_up(index, true)
    }

    /// `ip link del dev INDEX`.
    pub(super) fn remove_link(&self, index: u32) -> io::Result<()> {
        self.wait(self.handle.link().del(index).execute())
    }

    /// `ip link add NAME type bridge mcast_snooping 0 stp_state 0 forward_delay 0` and its like: a
    /// switch that floods and forwards from the first moment, and shows all to whoever listens on it.
    pub(super) fn add_bridge(&self, name: &str, address: MacAddr) -> io::Result<u32> {
        let bridge = LinkBridge::new(name)
            .address(address.0.to_vec())
            .mcast_snooping(false)
            .stp_state(BridgeStpState::Disabled)
            .forward_delay(0)
            .promiscuous(true);
        self.wait(self.handle.link().add(bridge.build()).execute())?;
        let index = self.index_of(name)?;
        self.start_link(index)?;
        Ok(index)
    }

    /// `ip link add NAME type veth peer name PEER netns NAMESPACE`, with NAME in the bridge and up.
    /// The peer is down. Returns the index of NAME.
    pub(super) fn add_port(&self, port: &Port<'_>) -> io::Result<u32> {
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(port.peer)
            .address(port.address.0.to_vec())
            .setns_by_fd(port.namespace.fd.as_raw_fd())
            .build();
        let veth = LinkVeth::new(port.name, port.peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .controller(port.bridge);
        self.wait(self.handle.link().add(veth.build()).execute())?;
        let index = self.index_of(port.name)?;
        self.start_link(index)?;
        Ok(index)
    }

    /// `ip link add NAME link PARENT type macvlan mode bridge`, with a link-layer address, and up.
    /// Returns its index.
    pub(super) fn add_macvlan(&self, name: &str, parent: u32, address: MacAddr) -> io::Result<u32> {
        let link = LinkMacVlan::new(name, parent, MacVlanMode::Bridge).address(address.0.to_vec());
        self.wait(self.handle.link().add(link.build()).execute())?;
        let index = self.index_of(name)?;
        self.start_link(index)?;
        Ok(index)
    }

    /// `ip link set dev PORT type bridge_slave state 0`: silent at once, until the next link event.
    pub(super) fn silence(&self, port: u32) -> io::Result<()> {
        let disabled = LinkBridgePort::new(port).state(BridgePortState::Disabled).build();
        match self.wait(self.handle.link().set_port(disabled).execute()) {
            // It is no bridge's port any more.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => Ok(()),
            result => result,
        }
    }

    /// `ip link set dev PORT type bridge_slave hairpin on`.
    pub(super) fn set_hairpin(&self, port: u32, on: bool) -> io::Result<()> {
        let hairpin = LinkBridgePort::new(port).hairpin(on).build();
        self.wait(self.handle.link().set_port(hairpin).execute())
    }

    /// `ip link set dev PORT nomaster`: takes longer than silence, and lasts.
    pub(super) fn detach(&self, port: u32) -> io::Result<()> {
        let free = LinkUnspec::new_with_index(port).nocontroller().build();
        self.wait(self.handle.link().set(free).execute())
    }

    /// `ip link set dev PORT master BRIDGE`.
    pub(super) fn attach(&self, port: u32, bridge: u32) -> io::Result<()> {
        let message = LinkUnspec::new_with_index(port).controller(bridge).build();
        self.wait(self.handle.link().set(message).execute())
    }

    /// Whether a bridge port forwards.
    pub(super) fn is_forwarding(&self, index: u32) -> io::Result<bool> {
        let link = self.link(self.handle.link().get().match_index(index))?;
        Ok(port_states(&link).any(|state| state == BridgePortState::Forwarding))
    }

    /// Whether a link is up and has a carrier.
    pub(super) fn is_running(&self, index: u32) -> io::Result<bool> {
        let link = self.link(self.handle.link().get().match_index(index))?;
        Ok(link.attributes.contains(&LinkAttribute::OperState(State::Up)))
    }

    /// `ip link show up`: the indices of those that have a carrier too.
    pub(super) fn running_links(&self) -> io::Result<Vec<u32>> {
        let links: Vec<_> = self.wait(self.handle.link().get().execute().try_collect())?;
        let running = LinkFlags::Up | LinkFlags::Running;
        let running = links.iter().filter(|link| link.header.flags.contains(running));
        Ok(running.map(|link| link.header.index).collect())
    }

    fn link(&self, request: rtnetlink::LinkGetRequest) -> io::Result<LinkMessage> {
        let mut links = Box::pin(request.execute());
        let first = self.runtime.block_on(links.next());
        first.transpose().map_err(into_io)?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// `ip address add ADDRESS/PREFIX dev INDEX`, for IPv6 without duplicate address detection.
    pub(super) fn add_address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let mut request = self.handle.address().add(index, address, prefix);
        request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        self.wait(request.execute())
    }

    /// `ip address del ADDRESS/PREFIX dev INDEX`.
    pub(super) fn remove_address(&self, index: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        let message = self.handle.address().add(index, address, prefix).message_mut().clone();
        self.wait(self.handle.address().del(message).execute())
    }

    /// `ip neighbour del ADDRESS dev INDEX`; that it is not there is as good.
    pub(super) fn forget_neighbour(&self, index: u32, address: IpAddr) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family =
            if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        message.header.ifindex = index;
        message.attributes.push(NeighbourAttribute::Destination(address.into()));
        match self.wait(self.handle.neighbours().del(message).execute()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }

    /// `ip address show dev INDEX`.
    pub(super) fn addresses(&self, index: u32) -> io::Result<Vec<HostAddress>> {
        let request = self.handle.address().get().set_link_index_filter(index);
        let messages: Vec<_> = self.wait(request.execute().try_collect())?;
        let address = |message: &netlink_packet_route::address::AddressMessage| {
            let mut found = HostAddress {
                ip: attribute_ip(&message.attributes)?,
                prefix: message.header.prefix_len,
                protocol: 0,
            };
            for attribute in &message.attributes {
                if let AddressAttribute::Protocol(protocol) = attribute {
                    found.protocol = (*protocol).into();
                }
            }
            Some(found)
        };
        Ok(messages.iter().filter_map(address).collect())
    }
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netlink").finish_non_exhaustive()
    }
}

/// A cable from a bridge into a namespace.
#[derive(Debug)]
pub(super) struct Port<'a> {
    /// The bridge's end.
    pub(super) name: &'a str,
    /// The index of the bridge.
    pub(super) bridge: u32,
    /// The other end.
    pub(super) peer: &'a str,
    /// The link-layer address of the other end.
    pub(super) address: MacAddr,
    /// Where the other end is.
    pub(super) namespace: &'a NetNs,
}

fn port_states(link: &LinkMessage) -> impl Iterator<Item = BridgePortState> + '_ {
    let infos = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let ports = infos.flatten().filter_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(port)) => Some(port),
        _ => None,
    });
    ports.flatten().filter_map(|info| match info {
        InfoBridgePort::State(state) => Some(*state),
        _ => None,
    })
}

/// The address itself: IPv4 says it as "local", where "address" may be a peer's; IPv6 as "address".
pub(super) fn attribute_ip(attributes: &[AddressAttribute]) -> Option<IpAddr> {
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
