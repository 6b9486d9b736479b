//! A backend of one's own: a node that elects as ever, on a link in memory, and only tells which addresses it would
//! take. Put [`Linux`](carp_node::backend::linux::Linux) in the place of the host in memory, and it is a dry run of
//! a real router, beside the real ones.
//!
//! ```sh
//! cargo run -p carp-node --example custom_backend
//! ```

use std::error::Error;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender};

use carp_node::addresses::Record;
use carp_node::backend::around::{Around, Layer};
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::backend::{
    AddressTable, Backend, InstalledAddress, NewAddress, Port, VirtualDevice,
};
use carp_node::event;
use carp_node::node::{Extras, Node, RouterSetup};
use carp_proto::{Instant, Key, RouterConfig, VirtualAddress, VirtualId};
use tokio::task::LocalSet;

/// Has a hand in the address table alone: everything else is the inner backend's.
struct DryRun {
    told: Sender<String>,
}

impl<B: Backend> Layer<B> for DryRun {
    type Packets = B::Packets;
    type Addresses = Told<B::Addresses>;

    fn open(&mut self, inner: &mut B, port: &Port) -> io::Result<Self::Packets> {
        inner.open(port)
    }

    fn addresses(&mut self, inner: &mut B) -> io::Result<Self::Addresses> {
        let inner = inner.addresses()?;
        Ok(Told { inner, told: self.told.clone(), pretended: Vec::new() })
    }
}

/// An address table that changes nothing, tells what it would, and pretends that it had.
struct Told<A> {
    inner: A,
    told: Sender<String>,
    pretended: Vec<(String, NewAddress)>,
}

impl<A> Told<A> {
    fn tell(&self, what: &str, interface: &str, addresses: impl Iterator<Item = VirtualAddress>) {
        // Nobody may be there to be told any more.
        addresses.for_each(|it| drop(self.told.send(format!("{what} {} on {interface}", it.ip()))));
    }
}

impl<A: AddressTable> AddressTable for Told<A> {
    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        let mut all = self.inner.list(interface)?;
        let here = self.pretended.iter().filter(|(at, _)| at == interface);
        all.extend(here.map(|(_, new)| InstalledAddress {
            ip: new.address.ip(),
            prefix_len: new.address.prefix_len(),
            protocol: new.protocol,
            label: new.label.clone(),
            secondary: false,
            tentative: false,
        }));
        Ok(all)
    }

    fn add(&mut self, interface: &str, new: &[NewAddress]) -> io::Result<Vec<io::Result<()>>> {
        self.tell("add", interface, new.iter().map(|it| it.address));
        self.pretended.extend(new.iter().map(|it| (interface.to_owned(), it.clone())));
        Ok(new.iter().map(|_| Ok(())).collect())
    }

    fn renew(&mut self, _: &str, kept: &[NewAddress]) -> io::Result<Vec<io::Result<()>>> {
        Ok(kept.iter().map(|_| Ok(())).collect())
    }

    fn remove(
        &mut self,
        interface: &str,
        old: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        self.tell("remove", interface, old.iter().copied());
        self.pretended.retain(|(at, it)| at != interface || !old.contains(&it.address));
        Ok(old.iter().map(|_| Ok(())).collect())
    }

    fn set_promote_secondaries(&mut self, _: &str, _: bool) -> io::Result<bool> {
        Ok(true)
    }

    fn make_device(&mut self, _: &VirtualDevice) -> io::Result<()> {
        Ok(())
    }

    fn switch_device(&mut self, _: &VirtualDevice, _: bool) -> io::Result<()> {
        Ok(())
    }

    fn remove_device(&mut self, _: &VirtualDevice) -> io::Result<bool> {
        Ok(true)
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    run()?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

/// Lets a router alone on its link become active and stop: what it did with its addresses.
pub(crate) fn run() -> Result<Vec<String>, Box<dyn Error>> {
    let (told, lines): (_, Receiver<String>) = mpsc::channel();
    let lan = Lan::default();
    let host: MemoryHost = lan.host("eth0", [192, 0, 2, 1].into());
    let addresses = vec!["192.0.2.100".parse()?];
    let config = RouterConfig::carp(VirtualId::new(1)?, &Key::new(b"secret")?, addresses, 7)?;
    let mut setup = RouterSetup::new("web", "eth0", config);
    setup.place.lease = None;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let (events, _inbox) = event::channel();
        let extras = Extras { events, record: Record::in_memory(), prepare: None };
        let backend = Around::with(host, DryRun { told });
        let (node, handle) = Node::new(backend, vec![setup], extras)?;
        let running = tokio::task::spawn_local(node.run());
        // Time passes only when we say so.
        handle.settled().await;
        while lan.now() < Instant::from_nanos(5_000_000_000) {
            let Some(next) = lan.next_deadline() else { break };
            lan.advance_to(next);
            handle.settled().await;
        }
        let stopping = tokio::task::spawn_local(async move { handle.stop().await });
        while !running.is_finished() {
            if let Some(next) = lan.next_deadline() {
                lan.advance_to(next);
            }
            tokio::task::yield_now().await;
        }
        stopping.await?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    Ok(lines.iter().collect())
}
