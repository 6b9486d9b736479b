//! Hosts: machines with one interface, plugged into a switch, and the faults that befall them.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::process::Command;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use carp_proto::MacAddr;

use super::error::Doing;
use super::link::Cable;
use super::machine::Machine;
use super::net::{Netlink, Port};
use super::process::{Shared, lock};
use super::switch::Backplane;
use super::{AddressWatch, Flood, LabError, Process, Switch, Tap, echo, shell, wait_until, web};

/// The name of a host's interface.
const INTERFACE: &str = "eth0";

/// How long the kernel may take to bring a link up.
const LINK_LIMIT: Duration = Duration::from_secs(10);

/// A machine: a network namespace, a PID namespace, an interface `eth0`, and a cable to the switch.
#[derive(Debug)]
pub struct Host {
    name: String,
    mac: MacAddr,
    addresses: Vec<(IpAddr, u8)>,
    switch: Arc<Backplane>,
    power: Option<Power>,
}

/// What a host is while it is switched on.
#[derive(Debug)]
pub(super) struct Power {
    pub(super) machine: Machine,
    pub(super) netlink: Netlink,
    pub(super) cable: Cable,
    processes: Mutex<Vec<Weak<Shared>>>,
}

/// An address on a host's interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix in bits.
    pub prefix: u8,
    /// `IFA_PROTO`, who has added it: 0 if nobody said so, or the kernel is older than 5.18.
    pub protocol: u8,
}

/// A direction of traffic, as the host sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the host sends.
    Out,
    /// What the host would receive.
    In,
}

impl Host {
    pub(super) fn new(
        switch: &Switch,
        name: &str,
        mac: MacAddr,
        addresses: Vec<(IpAddr, u8)>,
    ) -> Result<Self, LabError> {
        let switch = Arc::clone(&switch.backplane);
        let mut host = Self { name: name.to_owned(), mac, addresses, switch, power: None };
        host.boot()?;
        Ok(host)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The link-layer address that its interface was made with.
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Starts a process on it, in its network and PID namespaces.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the program cannot be executed.
    pub fn spawn(&self, command: Command) -> Result<Process, LabError> {
        let power = self.power()?;
        let process = Process::start(&power.machine, &self.name, command)?;
        let mut processes = lock(&power.processes);
        processes.retain(|process| process.strong_count() > 0);
        processes.push(Arc::downgrade(process.shared()));
        Ok(process)
    }

    /// Starts the web server: port 80 of every address answers with the host's name.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn); [`LabError::Ended`] if it cannot listen.
    pub fn serve_web(&self) -> Result<Process, LabError> {
        let server = self.spawn(web::command(&self.name))?;
        server.wait_for_line(LINK_LIMIT, web::LISTENING)?;
        Ok(server)
    }

    /// Starts the echo server: it returns every datagram that comes to port 7 of `address`, with the
    /// host's name behind it. The host need not have the address yet.
    ///
    /// # Errors
    /// As [`serve_web`](Self::serve_web).
    pub fn serve_echo(&self, address: IpAddr) -> Result<Process, LabError> {
        let server = self.spawn(echo::command(address, &self.name))?;
        server.wait_for_line(LINK_LIMIT, echo::LISTENING)?;
        Ok(server)
    }

    /// Lets others in: whoever uses the lab's [remote shell](super::Lab::remote_shell) with an address of this
    /// host gets the input and the output of this command.
    ///
    /// # Errors
    /// As [`serve_web`](Self::serve_web).
    pub fn serve_shell(&self, argv: &[OsString]) -> Result<Process, LabError> {
        let server = self.spawn(shell::command(argv))?;
        server.wait_for_line(LINK_LIMIT, shell::LISTENING)?;
        Ok(server)
    }

    /// Runs `work` on a thread in its network namespace: sockets that it opens are the host's.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn run_inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        self.power()?.machine.namespace.run(work).doing(|| self.on("run a thread"))
    }

    /// The addresses of its interface, as the kernel has them now.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn addresses(&self) -> Result<Vec<HostAddress>, LabError> {
        let power = self.power()?;
        power.netlink.addresses(power.interface()).doing(|| self.on("list addresses"))
    }

    /// Whether its interface has an address now.
    ///
    /// # Errors
    /// As [`addresses`](Self::addresses).
    pub fn has_address(&self, ip: IpAddr) -> Result<bool, LabError> {
        Ok(self.addresses()?.iter().any(|address| address.ip == ip))
    }

    /// Whether it has an address now on any of its interfaces that is up and has a carrier. A daemon may
    /// keep an address on an interface of its own, and take it out of service by that interface's state.
    ///
    /// # Errors
    /// As [`addresses`](Self::addresses).
    pub fn holds(&self, ip: IpAddr) -> Result<bool, LabError> {
        let netlink = &self.power()?.netlink;
        let held = || -> io::Result<bool> {
            for index in netlink.running_links()? {
                if netlink.addresses(index)?.iter().any(|address| address.ip == ip) {
                    return Ok(true);
                }
            }
            Ok(false)
        };
        held().doing(|| self.on("list the addresses of all interfaces"))
    }

    /// Watches which addresses come and leave, on all of its interfaces. What is there already is not
    /// told.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn watch_addresses(&self) -> Result<AddressWatch, LabError> {
        AddressWatch::open(&self.power()?.machine.namespace)
    }

    /// Adds an interface with a link-layer address of its own on top of `eth0`: a macvlan in bridge mode,
    /// which is up. IPv6 addresses work at once. It does not survive [`boot`](Self::boot).
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn add_macvlan(
        &self,
        name: &str,
        mac: MacAddr,
        addresses: &[(IpAddr, u8)],
    ) -> Result<(), LabError> {
        let power = self.power()?;
        let add = || -> io::Result<()> {
            let index = power.netlink.add_macvlan(name, power.interface(), mac)?;
            addresses
                .iter()
                .try_for_each(|&(ip, prefix)| power.netlink.add_address(index, ip, prefix))
        };
        add().doing(|| self.on(&format!("add the macvlan {name}")))
    }

    /// Adds an address, as an administrator would. It does not survive [`boot`](Self::boot).
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn add_address(&self, ip: IpAddr, prefix: u8) -> Result<(), LabError> {
        let power = self.power()?;
        let result = power.netlink.add_address(power.interface(), ip, prefix);
        result.doing(|| self.on(&format!("add {ip}/{prefix}")))
    }

    /// Removes an address.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn remove_address(&self, ip: IpAddr, prefix: u8) -> Result<(), LabError> {
        let power = self.power()?;
        let result = power.netlink.remove_address(power.interface(), ip, prefix);
        result.doing(|| self.on(&format!("remove {ip}/{prefix}")))
    }

    /// Sets its interface up or down, as an administrator would.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn set_link(&self, up: bool) -> Result<(), LabError> {
        let power = self.power()?;
        power.netlink.set_up(power.interface(), up).doing(|| self.on("set the link"))
    }

    /// Its switch forwards nothing from it or to it any more, and nobody is told: links stay up.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn cut(&self) -> Result<(), LabError> {
        let (switch, port) = (&self.switch.netlink, self.power()?.port());
        let cut = switch.silence(port).and_then(|()| switch.detach(port));
        cut.doing(|| self.on("cut the port"))
    }

    /// Pulls its cable: both ends lose their carrier.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn unplug(&self) -> Result<(), LabError> {
        let port = self.power()?.port();
        self.switch.netlink.set_up(port, false).doing(|| self.on("unplug the port"))
    }

    /// Its switch sends back to it what it floods of its frames, as a loop between two cables does.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn set_reflected(&self, reflected: bool) -> Result<(), LabError> {
        let port = self.power()?.port();
        let set = self.switch.netlink.set_hairpin(port, reflected);
        set.doing(|| self.on("reflect at the port"))
    }

    /// Undoes [`cut`](Self::cut) and [`unplug`](Self::unplug); returns when the switch forwards.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses; [`LabError::TimedOut`] if the
    /// host's own interface is down.
    pub fn plug(&self) -> Result<(), LabError> {
        let power = self.power()?;
        let (switch, port) = (&self.switch.netlink, power.port());
        switch.set_up(port, true).doing(|| self.on("plug the port"))?;
        switch.attach(port, self.switch.bridge).doing(|| self.on("connect the port"))?;
        let yes = |answer: io::Result<bool>| answer.unwrap_or(false);
        wait_until(LINK_LIMIT, &format!("the link of {}", self.name), || {
            yes(switch.is_forwarding(port)) && yes(power.netlink.is_running(power.interface()))
        })
    }

    /// Stops all its processes where they stand, as a hypervisor does with a machine.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn pause(&mut self) -> Result<(), LabError> {
        self.set_paused(true)
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// As [`pause`](Self::pause).
    pub fn resume(&mut self) -> Result<(), LabError> {
        self.set_paused(false)
    }

    fn set_paused(&mut self, paused: bool) -> Result<(), LabError> {
        let name = &self.name;
        let off = || LabError::Off { host: name.clone() };
        let power = self.power.as_mut().ok_or_else(off)?;
        power.machine.set_paused(paused).doing(|| format!("pause or resume {name}"))
    }

    /// The machine dies: the switch forwards nothing more from it, and then all its processes are
    /// killed. In that order, because sockets of killed processes say goodbye and dead machines do
    /// not. Returns when the switch was told and the processes were killed: the moment of death.
    ///
    /// # Errors
    /// [`LabError::Off`] if it was off already; [`LabError::System`] if the kernel refuses.
    pub fn power_off(&mut self) -> Result<Instant, LabError> {
        let port = self.power()?.port();
        self.switch.netlink.silence(port).doing(|| self.on("cut the port"))?;
        let death = Instant::now();
        let power = self.power.as_mut().ok_or_else(|| LabError::Off { host: self.name.clone() })?;
        power.machine.kill().doing(|| format!("kill the processes of {}", self.name))?;
        power.bury().doing(|| format!("bury the processes of {}", self.name))?;
        let gone = self.switch.netlink.remove_link(port);
        gone.doing(|| format!("remove the port of {}", self.name))?;
        self.power = None;
        Ok(death)
    }

    /// Switches it on, after a [`power_off`](Self::power_off) if need be: the same link-layer address,
    /// the addresses that it was made with, and nothing else: no process, no other address, no
    /// neighbour cache.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refuses.
    pub fn boot(&mut self) -> Result<(), LabError> {
        if self.power.is_some() {
            self.power_off()?;
        }
        let machine = Machine::start().doing(|| self.on("start the first process"))?;
        let netlink = Netlink::open(&machine.namespace)?;
        let loopback = netlink.index_of("lo").doing(|| self.on("find lo"))?;
        netlink.start_link(loopback).doing(|| self.on("set lo up"))?;
        let cable = self.lay_cable(&machine, &netlink)?;
        self.power = Some(Power { machine, netlink, cable, processes: Mutex::default() });
        self.plug()?;
        self.add_own_addresses()
    }

    /// Adds an interface, which is up, and a port of the switch.
    pub(super) fn lay_cable(
        &self,
        machine: &Machine,
        netlink: &Netlink,
    ) -> Result<Cable, LabError> {
        let port = Port {
            name: &self.name,
            bridge: self.switch.bridge,
            peer: INTERFACE,
            address: self.mac,
            namespace: &machine.namespace,
        };
        let port = self.switch.netlink.add_port(&port).doing(|| self.on("lay a cable"))?;
        let interface = netlink.index_of(INTERFACE).doing(|| self.on("find the interface"))?;
        netlink.start_link(interface).doing(|| self.on("set the link up"))?;
        Ok(Cable::new(interface, port))
    }

    /// The addresses that it was made with, on its interface.
    pub(super) fn add_own_addresses(&self) -> Result<(), LabError> {
        self.addresses.iter().try_for_each(|&(ip, prefix)| self.add_address(ip, prefix))
    }

    /// Drops all frames in one direction, until [`pass`](Self::pass). Needs `nft`.
    ///
    /// # Errors
    /// [`LabError::Nft`] if it is not installed or refuses.
    pub fn drop_frames(&self, direction: Direction) -> Result<(), LabError> {
        let (hook, key) = match direction {
            Direction::Out => ("prerouting", "iifname"),
            Direction::In => ("postrouting", "oifname"),
        };
        let chain = self.chain(direction);
        self.nft(&format!(
            "add table bridge lab\n\
             add chain bridge lab {chain} {{ type filter hook {hook} priority 0; }}\n\
             flush chain bridge lab {chain}\n\
             add rule bridge lab {chain} {key} \"{}\" drop\n",
            self.name
        ))
    }

    /// Lets the frames of a direction pass again.
    ///
    /// # Errors
    /// [`LabError::Nft`] if they were not dropped, or if nft refuses.
    pub fn pass(&self, direction: Direction) -> Result<(), LabError> {
        self.nft(&format!("flush chain bridge lab {}\n", self.chain(direction)))
    }

    fn chain(&self, direction: Direction) -> String {
        let end = match direction {
            Direction::Out => "out",
            Direction::In => "in",
        };
        format!("{}-{end}", self.name)
    }

    /// Gives commands to nft in the switch's namespace.
    fn nft(&self, script: &str) -> Result<(), LabError> {
        let mut command = Command::new("nft");
        command.arg(script);
        let output = self.switch.namespace.run(|| command.output()).and_then(|result| result);
        let said = match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            Err(error) => error.to_string(),
        };
        Err(LabError::Nft { said })
    }

    /// Sends these frames from its interface, one after the other and again from the first: `rate` a
    /// second, for `time`.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn flood(
        &self,
        frames: Vec<Vec<u8>>,
        rate: u32,
        time: Duration,
    ) -> Result<Flood, LabError> {
        let interface = self.power()?.interface();
        self.run_inside(|| Flood::start(&self.name, interface, frames, rate, time))?
    }

    /// Listens to all that passes its port: also what it sends while it is cut.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn tap(&self) -> Result<Tap, LabError> {
        Tap::open(&self.switch.namespace, self.power()?.port())
    }

    /// Listens to what it sends, and only that: also while it is cut.
    ///
    /// # Errors
    /// As [`tap`](Self::tap).
    pub fn tap_sent(&self) -> Result<Tap, LabError> {
        Tap::open_received(&self.switch.namespace, self.power()?.port())
    }

    /// Asks the [echo server](Self::serve_echo) of an address once, as somebody who has never talked to
    /// that address: the neighbour is looked up again. The name of the host that answered, if one did
    /// within `patience`.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn ask(&self, address: IpAddr, patience: Duration) -> Result<Option<String>, LabError> {
        let power = self.power()?;
        let forgotten = power.netlink.forget_neighbour(power.interface(), address);
        forgotten.doing(|| self.on("forget a neighbour"))?;
        self.run_inside(|| echo::ask(address, patience))?
            .doing(|| self.on(&format!("ask {address}")))
    }

    pub(super) fn power(&self) -> Result<&Power, LabError> {
        self.power.as_ref().ok_or_else(|| LabError::Off { host: self.name.clone() })
    }

    pub(super) fn on(&self, doing: &str) -> String {
        format!("{doing} on {}", self.name)
    }
}

impl Power {
    /// The index of its interface.
    pub(super) fn interface(&self) -> u32 {
        self.cable.interface()
    }

    /// The index of its port on the switch.
    pub(super) fn port(&self) -> u32 {
        self.cable.port()
    }

    /// Waits until all processes are gone, those first that are this program's children.
    fn bury(&mut self) -> io::Result<()> {
        for process in lock(&self.processes).drain(..).filter_map(|process| process.upgrade()) {
            process.bury()?;
        }
        self.machine.bury()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the lab's end undoes everything anyway.
        let _ = self.power_off();
    }
}
