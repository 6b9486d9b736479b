//! Hosts, and the backend opened on them.

use std::error::Error;
use std::future::poll_fn;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

use carp_node::backend::linux::LinuxPackets;
use carp_node::backend::{Families, Listening, PacketIo, Port, Received, Wanted};
use carp_node::lab::{Host, Lab, Switch, mac, wait_until};
use carp_proto::election::Advertisement;
use carp_proto::{MacAddr, Transmit, VirtualId};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketType, socket};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// How long anything may take: long, because the machine may be busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How long an answer may take before the question is asked again.
pub(crate) const PATIENCE: Duration = Duration::from_millis(200);

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

pub(crate) type Test = fn(&Lab) -> Result;

pub(crate) const ONE: &str = "192.168.130.50";
pub(crate) const ONE_IPV6: &str = "2001:db8::50";
pub(crate) const ONE_LOCAL: &str = "fe80::50";
pub(crate) const TWO: &str = "192.168.130.10";
pub(crate) const TWO_IPV6: &str = "2001:db8::10";
pub(crate) const TWO_LOCAL: &str = "fe80::10";

/// The addresses of the routers of a [`Station`].
pub(crate) const VIRTUAL: &str = "192.168.130.100";
pub(crate) const VIRTUAL_IPV6: &str = "2001:db8::100";

pub(crate) const IPV4: Families = Families { ipv4: true, ipv6: false };
pub(crate) const IPV6: Families = Families { ipv4: false, ipv6: true };
pub(crate) const BOTH: Families = Families { ipv4: true, ipv6: true };

pub(crate) fn pair(lab: &Lab) -> Result<(Switch, Host, Host)> {
    let switch = Switch::new(lab)?;
    let one = ["192.168.130.50/24", "2001:db8::50/64", "fe80::50/64"];
    let two = ["192.168.130.10/24", "2001:db8::10/64", "fe80::10/64"];
    let (one, two) = (switch.host("one", mac(0x50), &one)?, switch.host("two", mac(0x10), &two)?);
    for (host, addresses) in [(&one, [ONE_IPV6, ONE_LOCAL]), (&two, [TWO_IPV6, TWO_LOCAL])] {
        wait_until(LIMIT, "the kernel to take what comes for IPv6 addresses", || {
            let taken = run(host, "ip -6 route show table local").unwrap_or_default();
            addresses.iter().all(|address| taken.contains(&format!("local {address} ")))
        })?;
    }
    Ok((switch, one, two))
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn id(number: u8) -> VirtualId {
    VirtualId::new(number).unwrap()
}

/// Runs a program on a host to its end, and returns what it said; an error if it failed.
pub(crate) fn run(host: &Host, line: &str) -> Result<String> {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1; {line}")]);
    let output = host.run_inside(|| command.output())??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(said) } else { Err(format!("{line}: {said}").into()) }
}

/// A setting of an interface of a host, such as `ipv4`, `arp_ignore`.
pub(crate) fn setting(host: &Host, family: &str, interface: &str, name: &str) -> Result<String> {
    let path = format!("/proc/sys/net/{family}/conf/{interface}/{name}");
    Ok(host.run_inside(|| std::fs::read_to_string(path))??.trim().to_owned())
}

/// Asks an echo server, again and again if need be, and returns its answer.
pub(crate) fn ask(server: &str) -> io::Result<Vec<u8>> {
    let socket = client(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let end = Instant::now() + LIMIT;
    let mut answer = vec![0; 64];
    loop {
        socket.send(b"question ")?;
        match socket.recv(&mut answer) {
            Ok(len) => {
                answer.truncate(len);
                return Ok(answer);
            }
            Err(error) if Instant::now() >= end => return Err(error),
            // It was lost, or nobody is at that port yet.
            Err(_) => {}
        }
    }
}

/// A socket that asks an echo server, and hears that one only.
pub(crate) fn client(server: &str) -> io::Result<UdpSocket> {
    let server = SocketAddr::new(ip(server), 7);
    let any = if server.is_ipv4() { "0.0.0.0" } else { "::" };
    let socket = UdpSocket::bind((ip(any), 0))?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.connect(server)?;
    Ok(socket)
}

/// The sockets of a host's interface, and the runtime that drives them.
pub(crate) struct Station {
    runtime: Runtime,
    packets: LinuxPackets,
}

impl Station {
    pub(crate) fn open(host: &Host, interface: &str, families: Families) -> Result<Self> {
        Self::open_for(host, interface, families, &[], vec![ip(VIRTUAL), ip(VIRTUAL_IPV6)])
    }

    /// For routers with these addresses, where no other adverts than these are wanted when there is too much.
    pub(crate) fn open_for(
        host: &Host,
        interface: &str,
        families: Families,
        wanted: &[Wanted],
        addresses: Vec<IpAddr>,
    ) -> Result<Self> {
        let open = || -> io::Result<Self> {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let index = index_of(interface)?;
            let interface = interface.to_owned();
            let (ids, wanted) = (vec![id(1), id(2)], wanted.to_vec());
            let port = Port { interface, index, ids, wanted, addresses, families };
            let packets = {
                let _inside = runtime.enter();
                LinuxPackets::open(&port)?
            };
            Ok(Self { runtime, packets })
        };
        Ok(host.run_inside(open)??)
    }

    pub(crate) fn listen(&mut self, for_answers: bool, for_use: bool) -> Result {
        Ok(self.packets.listen(Listening { for_answers, for_use })?)
    }

    pub(crate) fn send(&mut self, source: &str, to: IpAddr, payload: &[u8]) -> Result {
        self.send_as(None, source, to, payload)
    }

    pub(crate) fn send_as(
        &mut self,
        mac: Option<MacAddr>,
        source: &str,
        destination: IpAddr,
        payload: &[u8],
    ) -> Result {
        let source = source.parse()?;
        let advert = Transmit { source, destination, payload, advertisement: Advertisement::Claim };
        Ok(self.packets.send(&advert, mac)?)
    }

    /// How many packets the kernel has dropped because the queue was full.
    pub(crate) fn kernel_dropped(&self) -> u64 {
        self.packets.kernel_dropped()
    }

    /// What arrives next and is of use: what it is, and its bytes.
    pub(crate) fn receive(&mut self) -> Result<(Received, Vec<u8>)> {
        loop {
            let (received, bytes) = self.receive_anything()?;
            if received != Received::Useless {
                return Ok((received, bytes));
            }
        }
    }

    /// What arrives next, of use or not.
    pub(crate) fn receive_anything(&mut self) -> Result<(Received, Vec<u8>)> {
        let mut buffer = [0; 4608];
        let packets = &mut self.packets;
        let next =
            async { timeout(LIMIT, poll_fn(|cx| packets.poll_receive(cx, &mut buffer))).await };
        let received = self.runtime.block_on(next).map_err(|_| "nothing arrived")??;
        let len = match received {
            Received::Ipv4 { len, .. } | Received::Ipv6 { len, .. } => len,
            Received::Neighbour(_) | Received::Useless => 0,
        };
        Ok((received, buffer[..len].to_vec()))
    }
}

pub(crate) fn index_of(interface: &str) -> io::Result<u32> {
    Ok(name_to_index(socket(AddressFamily::UNIX, SocketType::DGRAM, None)?, interface)?)
}

/// Sees every frame that a host sends or receives, on all its interfaces.
pub(crate) struct Observer {
    socket: Socket,
}

impl Observer {
    pub(crate) fn open(host: &Host) -> Result<Self> {
        // A packet socket that is not bound hears every interface.
        let everything = Protocol::from(i32::from((libc::ETH_P_ALL as u16).to_be()));
        let open = || Socket::new(Domain::PACKET, Type::RAW, Some(everything));
        let socket = host.run_inside(open)??;
        socket.set_recv_buffer_size(4 << 20)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Shows every frame that has not been seen yet, in order, until the function has seen enough.
    pub(crate) fn wait(&self, what: &str, mut enough: impl FnMut(&[u8]) -> bool) -> Result {
        let mut done = false;
        wait_until(LIMIT, what, || {
            self.drain(|frame| done = done || enough(frame));
            done
        })?;
        Ok(())
    }

    /// Shows every frame that has not been seen yet, in order.
    pub(crate) fn drain(&self, mut see: impl FnMut(&[u8])) {
        let mut frame = [0; 2048];
        while let Ok(len) = (&self.socket).read(&mut frame) {
            see(&frame[..len]);
        }
    }
}
