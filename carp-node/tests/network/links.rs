//! Interfaces that change while they are watched, and addresses on those that are renamed.

use std::future::poll_fn;
use std::io;

use carp_node::addresses::{MARK, Record};
use carp_node::backend::linux::{Linux, NetlinkAddresses, NetlinkWatch};
use carp_node::backend::{
    AddressTable, Families, Interface, LinkChange, LinkWatch, NewAddress, VirtualDevice,
};
use carp_node::event;
use carp_node::lab::{Host, Lab, mac, wait_until};
use carp_node::node::{Extras, Node, RouterSetup};
use carp_proto::{Key, MacAddr, RouterConfig, VirtualAddress};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::support::{BOTH, IPV6, LIMIT, Result, Station, Test, id, ip, pair, run};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("what_an_interface_is_like_is_watched", properties),
    ("a_flap_that_is_over_is_seen", flap),
    ("the_new_name_of_an_interface_is_told", new_name),
    ("membership_in_the_groups_is_watched", membership),
    ("addresses_that_went_with_a_renamed_interface_are_removed_there", strays),
    ("what_another_program_has_put_on_a_renamed_interface_stays", stray_of_another),
    ("the_threads_of_a_node_that_is_dropped_end", threads_end),
    ("a_device_above_an_interface_that_was_renamed_is_made_again", device_of_another_parent),
];

/// Watches `eth0` of a host.
struct Watch {
    runtime: Runtime,
    watch: NetlinkWatch,
}

impl Watch {
    fn start(host: &Host) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let watch = host.run_inside(|| NetlinkWatch::start(&["eth0".to_owned()]))??;
        Ok(Self { runtime, watch })
    }

    /// Waits for a change that is as wanted.
    fn until(&mut self, wanted: impl Fn(&LinkChange) -> bool) -> Result<LinkChange> {
        let watch = &mut self.watch;
        let seen = async {
            loop {
                let change = poll_fn(|cx| watch.poll_change(cx)).await;
                if wanted(&change) {
                    return change;
                }
            }
        };
        Ok(self.runtime.block_on(async { timeout(LIMIT, seen).await })?)
    }

    /// Waits until the interface is as wanted.
    fn until_it(&mut self, wanted: impl Fn(&Interface) -> bool) -> Result<Interface> {
        let change = self.until(|change| change.interface.as_ref().is_some_and(&wanted))?;
        Ok(change.interface.ok_or("no interface")?)
    }
}

fn properties(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut watch = Watch::start(&one)?;
    let first = watch.until_it(|it| it.running)?;
    assert_eq!((first.mac, first.mtu), (Some(one.mac()), Some(1500)));
    one.set_mac(mac(0x77))?;
    watch.until_it(|it| it.mac == Some(mac(0x77)))?;
    one.set_mtu(1400)?;
    watch.until_it(|it| it.mtu == Some(1400))?;
    Ok(())
}

fn flap(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut watch = Watch::start(&one)?;
    let before = watch.until_it(|it| it.running)?.carrier_changes;
    one.unplug()?;
    one.plug()?;
    watch.until_it(|it| it.running && it.carrier_changes >= before + 2)?;
    Ok(())
}

fn new_name(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut watch = Watch::start(&one)?;
    let before = watch.until_it(|it| it.running)?.index;
    one.rename_interface("lan0")?;
    let change = watch.until(|change| change.interface.is_none())?;
    assert_eq!(change.renamed.as_deref(), Some("lan0"));
    one.add_dead_end("eth0")?;
    let other = watch.until_it(|it| it.running)?.index;
    assert_ne!(other, before);
    one.delete_interface()?;
    run(&one, "ip link delete eth0")?;
    let change = watch.until(|change| change.interface.is_none())?;
    assert_eq!(change.renamed, None, "it was deleted");
    Ok(())
}

fn membership(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut watch = Watch::start(&one)?;
    watch.until_it(|it| it.running)?;
    let _station = Station::open(&one, "eth0", BOTH)?;
    // To join makes no event: whatever makes one has it looked up.
    one.set_mtu(1400)?;
    watch.until_it(|it| it.mtu == Some(1400))?;
    one.set_mtu(1200)?;
    let change = watch.until(|change| change.forgotten != Families::default())?;
    assert_eq!(change.forgotten, IPV6);
    Ok(())
}

fn strays(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let address: VirtualAddress = "192.168.130.100".parse()?;
    let new = NewAddress { address, protocol: None, label: None, lifetime: None };
    table.add("eth0", &[new])?.into_iter().collect::<io::Result<Vec<_>>>()?;
    assert_eq!(table.remove_strays("eth0", &[address])?, [], "it is where it was added");
    one.rename_interface("lan0")?;
    one.add_dead_end("eth0")?;
    assert!(one.has_address(address.ip())?);
    assert_eq!(table.remove_strays("eth0", &[address])?, [address]);
    assert!(!one.has_address(address.ip())?);
    assert!(one.has_address(ip("192.168.130.50"))?, "what others added stays");
    assert_eq!(table.remove_strays("eth0", &[address])?, [], "once");
    Ok(())
}

fn stray_of_another(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let addresses: [VirtualAddress; 2] = ["192.168.130.100".parse()?, "192.168.130.101".parse()?];
    let new = addresses.map(|address| NewAddress {
        address,
        protocol: Some(MARK),
        label: None,
        lifetime: None,
    });
    table.add("eth0", &new)?.into_iter().collect::<io::Result<Vec<_>>>()?;
    one.rename_interface("lan0")?;
    // Somebody has taken one away, and has added the same one for himself.
    let line =
        "ip address del 192.168.130.100/32 dev lan0 && ip address add 192.168.130.100/32 dev lan0";
    run(&one, line)?;
    assert_eq!(table.remove_strays("eth0", &addresses)?, addresses[1..]);
    assert!(one.has_address(addresses[0].ip())? && !one.has_address(addresses[1].ip())?);
    Ok(())
}

/// A program that embeds nodes makes and drops as many as it likes.
fn threads_end(lab: &Lab) -> Result {
    /// More than all other tests have at a time.
    const NODES: usize = 24;
    let (_switch, one, _two) = pair(lab)?;
    one.run_inside(|| -> io::Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        for number in 0..NODES {
            runtime.block_on(async {
                let key = Key::new(b"secret").map_err(io::Error::other)?;
                let (id, vip) = (id(1), vec!["192.168.130.100".parse().map_err(io::Error::other)?]);
                let config = RouterConfig::carp(id, &key, vip, 7).map_err(io::Error::other)?;
                let setups = vec![RouterSetup::new("web", "eth0", config)];
                let (events, _inbox) = event::channel();
                let extras = Extras { events, record: Record::in_memory(), prepare: None };
                let (node, handle) = Node::new(Linux, setups, extras)?;
                if number % 2 == 0 {
                    // One that runs is dropped in the middle of it.
                    let run = tokio::spawn(node.run());
                    let _ = handle.status().await;
                    run.abort();
                }
                Ok::<_, io::Error>(())
            })?;
        }
        Ok(())
    })??;
    for name in ["carp-watch", "carp-removals", "carp-addresses"] {
        wait_until(LIMIT, name, || threads_called(name).is_ok_and(|count| count < NODES / 2))?;
    }
    Ok(())
}

/// How many threads of this process have a name, of which the kernel keeps 15 bytes.
fn threads_called(name: &str) -> io::Result<usize> {
    let tasks = std::fs::read_dir("/proc/self/task")?.flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    Ok(names.filter(|found| found.trim_end() == name).count())
}

fn device_of_another_parent(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let device = VirtualDevice::new("eth0", MacAddr::virtual_router(id(1)));
    // Devices are made in the namespace of the calling thread.
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    one.run_inside(|| table.make_device(&device))??;
    one.rename_interface("lan0")?;
    one.add_dead_end("eth0")?;
    one.run_inside(|| table.make_device(&device))??;
    let said = run(&one, "ip -o link show dev eth0.v4-1")?;
    assert!(said.contains("eth0.v4-1@eth0:"), "{said}");
    let quiet = run(&one, "cat /proc/sys/net/ipv4/conf/lan0/arp_ignore")?;
    assert_eq!(quiet.trim(), "0", "the other one answers again as before");
    Ok(())
}
