//! A router in a loop of one thread over plain UDP sockets. The other socket stands for the link, and what a router
//! would do is printed. In two terminals, with `127.0.0.1:7001 127.0.0.2:7001 200`, and the other way round with 100:
//!
//!     cargo run -p carp-proto --example udp -- OWN-SOCKET PEER-SOCKET PRIORITY

#![expect(clippy::disallowed_types, reason = "who drives a router has a clock")]

use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant as SystemInstant};

use bytes::BytesMut;
use carp_proto::election::{Event, Input, LinkState};
use carp_proto::wire::ip::GROUP_IPV4;
use carp_proto::{Action, Instant, RouterConfig, RxMeta, VirtualRouter, Vrrp3};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [own, peer, priority] = &arguments[..] else { Err("OWN-SOCKET PEER-SOCKET PRIORITY")? };
    run(own.parse()?, peer.parse()?, priority.parse()?, |event| println!("{event:?}"))
}

pub(crate) fn run(
    own: SocketAddr,
    peer: SocketAddr,
    priority: i64,
    tell: impl Fn(Event),
) -> Result<(), Box<dyn Error>> {
    let settings = Vrrp3 { priority: priority.try_into()?, ..Vrrp3::default() };
    let config = RouterConfig::vrrp3(1.try_into()?, vec!["192.0.2.100".parse()?], settings)?;
    let mut router = VirtualRouter::new(config);
    let (mut scratch, mut buffer) = (BytesMut::new(), [0; 1500]);
    let (socket, began) = (UdpSocket::bind(own)?, SystemInstant::now());
    let now = || Instant::ZERO + began.elapsed();

    router.handle(now(), Input::Start);
    router.handle(now(), Input::Link(LinkState::Up { source: own.ip() }));
    loop {
        let mut answer = None;
        while let Some(action) = router.poll_action(&mut scratch) {
            match action {
                // That nobody is there to hear it is no reason to stop.
                Action::Send(advert) => drop(socket.send_to(advert.payload, peer)),
                // Here a router takes the addresses, and tells its neighbours.
                Action::Acquire(_) => answer = Some(Input::Acquired),
                Action::Announce(_) | Action::Release(_) | Action::Prepare => {}
                Action::Event(event) => tell(event),
            }
        }
        if let Some(input) = answer {
            router.handle(now(), input);
            continue;
        }
        let wait = router.poll_timeout().map(|deadline| deadline.at.saturating_since(now()));
        socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_micros(1))))?;
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => {
                // UDP tells neither. They are never made up where a raw socket does: 255 keeps strangers out.
                let meta = RxMeta { source: from.ip(), destination: GROUP_IPV4.into(), ttl: 255 };
                if let Err(reject) = router.handle_datagram(now(), &meta, &buffer[..len]) {
                    eprintln!("from {from}: {reject}");
                }
            }
            Err(_) => router.handle(now(), Input::Timeout),
        }
    }
}
