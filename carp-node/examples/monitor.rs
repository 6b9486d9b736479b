//! A passive monitor: reads a capture, or listens on an interface, and tells who is active for which virtual router,
//! and when that changes. It sends nothing.
//!
//! ```sh
//! cargo run -p carp-node --example monitor -- carp-proto/tests/vectors/ucarp-two-elect-sigterm.pcap
//! sudo target/debug/examples/monitor eth0
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::net::IpAddr;
use std::path::Path;

use carp_node::capture::Reader;
use carp_node::dissect::{Layer, Message, dissect};
use carp_node::sniff::{Seen, Sniffer};

fn main() -> Result<(), Box<dyn Error>> {
    let source = std::env::args().nth(1).ok_or("usage: monitor CAPTURE|INTERFACE")?;
    if Path::new(&source).exists() {
        return read(File::open(source)?, |line| println!("{line}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(listen(&source))
}

/// Tells of a capture.
pub(crate) fn read(
    capture: impl std::io::Read,
    mut tell: impl FnMut(String),
) -> Result<(), Box<dyn Error>> {
    let (mut reader, mut monitor) = (Reader::new(capture)?, Monitor::default());
    while let Some(frame) = reader.next_frame()? {
        if let Some(line) = monitor.see(frame.bytes, Layer::Link(frame.link), frame.cut) {
            tell(format!("frame {}: {line}", frame.number));
        }
    }
    Ok(())
}

/// Tells of a link, for ever.
async fn listen(interface: &str) -> Result<(), Box<dyn Error>> {
    let (mut sniffer, mut monitor) = (Sniffer::open(interface)?, Monitor::default());
    loop {
        match sniffer.next().await? {
            Seen::Frame(frame) => {
                let line = monitor.see(frame.bytes, Layer::Link(Sniffer::LINK), frame.cut());
                line.into_iter().for_each(|line| println!("{line}"));
            }
            Seen::Down => println!("{interface} is down"),
            // Newer versions may see more.
            _ => {}
        }
    }
}

/// Who is active, by protocol and id.
#[derive(Default)]
struct Monitor(BTreeMap<(&'static str, u8), IpAddr>);

impl Monitor {
    /// What an advert changes.
    fn see(&mut self, frame: &[u8], layer: Layer, cut: bool) -> Option<String> {
        let found = dissect(frame, layer, cut)?;
        let (protocol, id) = match &found.message {
            Message::Carp(parsed) => ("carp", parsed.advert.vhid),
            Message::Vrrp2(parsed) => ("vrrp2", parsed.advert.vrid),
            Message::Vrrp3(read) => ("vrrp3", read.advert.vrid),
            Message::Unreadable { .. } => return None,
        };
        let (standing, source) = (found.message.standing()?, found.meta?.source);
        let router = (protocol, id);
        if standing.is_resignation() {
            let active = self.0.remove(&router)?;
            return Some(format!("{protocol} {id}: {active} resigned"));
        }
        match self.0.insert(router, source) {
            Some(before) if before == source => None,
            Some(before) => Some(format!("{protocol} {id}: {source} instead of {before}")),
            None => Some(format!("{protocol} {id}: {source} is active with {standing}")),
        }
    }
}
