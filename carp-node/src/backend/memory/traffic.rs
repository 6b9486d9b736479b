//! A host in memory as a backend: what it sends, hears and says to its neighbours.

use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};

use bytes::BytesMut;
use carp_proto::wire::ip::{TTL, emit_ipv4};
use carp_proto::{MacAddr, RxMeta, Transmit};

use super::{Arrival, MemoryClock, MemoryHost};
use crate::backend::{
    Announcer, Backend, LinkChange, LinkWatch, Neighbour, PacketIo, Port, Received, Saying,
};

impl Backend for MemoryHost {
    type Packets = Self;
    type Addresses = Self;
    type Announcer = Self;
    type Links = Self;
    type Clock = MemoryClock;

    fn open(&mut self, _: &Port) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn addresses(&mut self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn announcer(&mut self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn watch(&mut self, _: &[String]) -> io::Result<Self> {
        self.set_running(true);
        Ok(self.clone())
    }

    fn clock(&mut self) -> io::Result<MemoryClock> {
        Ok(MemoryClock { host: self.clone() })
    }
}

impl PacketIo for MemoryHost {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        self.with(|host| match host.take() {
            Some(Arrival::Ipv4(_, packet)) => {
                buffer[..packet.len()].copy_from_slice(&packet);
                Poll::Ready(Ok(Received::Ipv4 { len: packet.len(), ttl: None }))
            }
            Some(Arrival::Ipv6(meta, payload)) => {
                buffer[..payload.len()].copy_from_slice(&payload);
                Poll::Ready(Ok(Received::Ipv6 { len: payload.len(), meta }))
            }
            Some(Arrival::Neighbour(said)) => Poll::Ready(Ok(Received::Neighbour(said))),
            None => {
                host.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn send(&mut self, advert: &Transmit<'_>, _: Option<MacAddr>) -> io::Result<()> {
        let (destination, payload) = (advert.destination, advert.payload.to_vec());
        if let (IpAddr::V4(source), IpAddr::V4(to)) = (advert.source, destination) {
            let mut packet = BytesMut::new();
            emit_ipv4(source, to, payload.len(), &mut packet);
            packet.extend_from_slice(&payload);
            self.lan.spread(self.index, || Arrival::Ipv4(destination, packet.to_vec()));
        } else {
            let meta = RxMeta { source: advert.source, destination, ttl: TTL };
            self.lan.spread(self.index, || Arrival::Ipv6(meta, payload.clone()));
        }
        Ok(())
    }

    fn kernel_dropped(&self) -> u64 {
        0
    }
}

impl Announcer for MemoryHost {
    fn prepare(&mut self, _interface: &str) -> io::Result<()> {
        Ok(())
    }

    fn announce(
        &mut self,
        _: &str,
        mac: Option<MacAddr>,
        addresses: &[IpAddr],
        burst: u8,
    ) -> io::Result<()> {
        let mac = mac.or(Some(self.mac()));
        for _ in 0..burst {
            for &address in addresses {
                self.with(|host| host.announced.push(address));
                let said = Neighbour { address, mac, saying: Saying::Announced };
                self.lan.spread(self.index, || Arrival::Neighbour(said));
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        _: &str,
        from: Option<(IpAddr, Option<MacAddr>)>,
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        for address in addresses {
            self.lan.ask(self.index, from.map(|(ip, _)| ip), *address);
        }
        Ok(())
    }
}

impl LinkWatch for MemoryHost {
    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<LinkChange> {
        self.with(|host| match host.links.pop_front() {
            Some(change) => Poll::Ready(change),
            None => {
                host.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        })
    }
}
