//! A daemon of the test program's own, which it is with `--embed`: one whose protocol task panics or hangs
//! when it is told to.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use bytes::BytesMut;
use carp_node::addresses::{MARK, Record};
use carp_node::backend::linux::Linux;
use carp_node::backend::wrap::{Direction, Trace, Wrapped};
use carp_node::backend::{AddressTable, Backend, NewAddress};
use carp_node::clock::boot_time;
use carp_node::guard::Guard;
use carp_node::lab::Process;
use carp_node::node::{Extras, Node, RouterSetup};
use carp_proto::election::{Input, LinkState};
use carp_proto::{Key, RouterConfig, VirtualAddress, VirtualId, VirtualRouter, Vrrp3};
use libtest_mimic::Failed;

use crate::support::{LIMIT, Rack, SECONDARY, VIP};

/// The kinds of embedded daemon.
pub(crate) const CARP: &str = "carp";
pub(crate) const UNICAST: &str = "unicast";
pub(crate) const VRRP_IPV6: &str = "vrrp-ipv6";

/// A virtual address of IPv6.
pub(crate) const VIP_IPV6: &str = "2001:db8::100";

/// Is the guard, or the daemon, if this process was started to be one. To be called first in `main`.
pub(crate) fn init() -> Option<ExitCode> {
    carp_node::guard::init();
    let arguments: Vec<String> = std::env::args().collect();
    let [_, word, kind, directory] = arguments.as_slice() else { return None };
    if word != "--embed" {
        return None;
    }
    Some(match embed(kind, Path::new(directory)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    })
}

/// Starts this program's own daemon; the directory is where it is told what to do.
pub(crate) fn start(rack: &Rack, kind: &str) -> Result<(Process, PathBuf), Failed> {
    let directory = rack.path("orders");
    fs::create_dir_all(&directory)?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--embed").arg(kind).arg(&directory);
    Ok((rack.primary.spawn(command)?, directory))
}

/// A daemon whose protocol task looks for orders at every advert that it sends.
fn embed(kind: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let address =
        |text: &str| -> Result<_, Box<dyn Error>> { Ok(VirtualAddress::new(text.parse()?, None)?) };
    let (id, key) = (VirtualId::new(1)?, Key::new(b"secret")?);
    let carp = RouterConfig::carp(id, &key, vec![address(VIP)?], 7)?;
    let config = match kind {
        VRRP_IPV6 => {
            let list = vec![address("fe80::100")?, address(VIP_IPV6)?];
            return hold_ipv6(RouterConfig::vrrp3(id, list, Vrrp3::default())?);
        }
        UNICAST => carp.with_peers(vec![SECONDARY.parse()?])?,
        _ => carp,
    };
    let setups = vec![RouterSetup::new("web", "eth0", config)];
    let guard = Guard::spawn(&setups)?;
    let directory = directory.to_owned();
    let look = move |_: Direction, _: &str, _: &[u8]| {
        assert!(!directory.join("panic").exists(), "as ordered");
        if directory.join("hang").exists() {
            eprintln!("hanging");
            std::thread::sleep(LIMIT * 10);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (events, _inbox) = carp_node::event::channel();
        let extras = Extras { events, record: Record::in_memory(), prepare: None };
        let backend = guard.around(Wrapped::new(Linux, Trace(look)));
        let (node, _handle) = Node::new(backend, setups, extras)?;
        node.run().await;
        Ok(())
    })
}

/// A daemon without a node: it takes the addresses, keeps the resignation ready, and lives.
fn hold_ipv6(config: RouterConfig) -> Result<(), Box<dyn Error>> {
    let setups = [RouterSetup::new("web6", "eth0", config.clone())];
    let guard = Guard::spawn(&setups)?;
    let mut backend = guard.around(Linux);
    let post = backend.guard().ok_or("no post")?;
    let mut router = VirtualRouter::new(config);
    let source = "fe80::50".parse()?;
    router.handle(boot_time(), Input::Link(LinkState::Up { source }));
    // "ADDRESS INDEX PREFIX SCOPE FLAGS NAME", in hexadecimal digits.
    let interfaces = fs::read_to_string("/proc/self/net/if_inet6")?;
    let eth0 = interfaces.lines().find(|line| line.ends_with(" eth0")).ok_or("no eth0")?;
    let index = u32::from_str_radix(eth0.split(' ').nth(1).ok_or("no index")?, 16)?;
    post.keep_resignation(0, &router, index, None, &mut BytesMut::new());
    let new = |address: &VirtualAddress| NewAddress {
        address: *address,
        protocol: Some(MARK),
        label: None,
        lifetime: None,
    };
    let new: Vec<_> = router.config().addresses().iter().map(new).collect();
    for outcome in backend.addresses()?.add("eth0", &new)? {
        outcome?;
    }
    loop {
        post.beat(boot_time());
        std::thread::sleep(Duration::from_millis(100));
    }
}
