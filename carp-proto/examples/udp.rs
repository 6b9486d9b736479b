//! A router in a loop of one thread over plain UDP, with nothing but the standard library.
//!
//! Real routers send IP protocol 112 to a group, from a raw socket, and then take addresses. Here the messages go to
//! one other socket, which stands for the link; hosts on it are called 192.0.2 and the last byte of their port; and
//! what a router would do is printed. In two terminals:
//!
//! ```sh
//! cargo run -p carp-proto --example udp -- 127.0.0.1:7001 127.0.0.1:7002 0
//! cargo run -p carp-proto --example udp -- 127.0.0.1:7002 127.0.0.1:7001 100
//! ```

#![expect(clippy::disallowed_types, reason = "who drives a router has a clock")]

use std::error::Error;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant as SystemInstant};

use bytes::BytesMut;
use carp_proto::election::{Dialect, Event, Input, LinkState};
use carp_proto::wire::ip::GROUP_IPV4;
use carp_proto::{
    Action, AdvBase, AdvSkew, Instant, Key, RouterConfig, RxMeta, VirtualId, VirtualRouter,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, own, peer, advskew] = &arguments[..] else {
        return Err("usage: udp OWN-SOCKET PEER-SOCKET ADVSKEW".into());
    };
    run(own.parse()?, peer.parse()?, advskew.parse()?, &mut |event| {
        println!("{event:?}");
        true
    })
}

/// Elects until `tell` has heard enough.
pub(crate) fn run(
    own: SocketAddr,
    peer: SocketAddr,
    advskew: i64,
    tell: &mut dyn FnMut(Event) -> bool,
) -> Result<(), Box<dyn Error>> {
    let config = RouterConfig::carp(
        VirtualId::new(1)?,
        &Key::new(b"secret")?,
        vec!["192.0.2.100".parse()?],
        u64::from(std::process::id()), // it should be random
    )?
    .with_interval(Dialect::Native, AdvBase::new(1)?, AdvSkew::new(advskew)?)?;

    let (socket, began) = (UdpSocket::bind(own)?, SystemInstant::now());
    let now = || Instant::ZERO + began.elapsed();
    let (mut router, mut scratch, mut buffer) =
        (VirtualRouter::new(config), BytesMut::new(), [0; 1500]);
    router.handle(now(), Input::Start);
    router.handle(now(), Input::Link(LinkState::Up { source: host(own) }));
    loop {
        // What has to be answered is answered when all is taken out.
        let mut acquired = false;
        while let Some(action) = router.poll_action(&mut scratch) {
            match action {
                Action::Send(advert) => {
                    // That nobody is there to hear it is no reason to stop.
                    let _ = socket.send_to(advert.payload, peer);
                }
                // Here a router takes the addresses, and tells its neighbours.
                Action::Acquire(_) => acquired = true,
                Action::Announce(_) | Action::Release(_) | Action::Prepare => {}
                Action::Event(event) if tell(event) => {}
                Action::Event(_) => return Ok(()),
            }
        }
        if acquired {
            router.handle(now(), Input::Acquired);
            continue;
        }
        let wait = router.poll_timeout().map(|deadline| deadline.at.saturating_since(now()));
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_micros(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                // UDP does not tell the TTL. A raw socket does, and it has to be 255.
                let (source, destination) = (host(from), GROUP_IPV4.into());
                let meta = RxMeta { source, destination, ttl: 255 };
                if let Err(reject) = router.handle_datagram(now(), &meta, &buffer[..len]) {
                    eprintln!("from {from}: {reject}");
                }
            }
            Err(_) => router.handle(now(), Input::Timeout),
        }
    }
}

/// The address that a host has on the made-up link.
fn host(socket: SocketAddr) -> IpAddr {
    let [_, last] = socket.port().to_be_bytes();
    IpAddr::from([192, 0, 2, last])
}
