//! Something between a node and its backend: a capture, a trace, a fault.
//!
//! [`Wrapped`] is a backend around another one that shows every advert to a [`Tap`] on its way. A tap
//! may keep it ([`Capture`], [`Trace`]) or stop it ([`Loss`]).

use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use carp_proto::wire::ip::{emit_ipv4, emit_ipv6};
use carp_proto::{MacAddr, Protocol, Transmit};

use super::around::{Around, Layer};
use super::{Backend, Listening, PacketIo, Port, Received};
use crate::capture::{Timestamp, Writer};
use crate::clock::wall_time;
use crate::dissect::LinkType;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Received.
    In,
    /// Sent.
    Out,
}

/// Sees every advert.
pub trait Tap: Clone + 'static {
    /// Sees a whole IP packet. One of IPv6 that was received has a header written anew, with what is
    /// known of the real one.
    ///
    /// # Errors
    /// An error stops the packet: one that is sent fails with it, one that was received is lost.
    fn see(&mut self, direction: Direction, interface: &str, packet: &[u8]) -> io::Result<()>;
}

/// A backend whose adverts pass a tap.
pub type Wrapped<B, T> = Around<B, Tapping<T>>;

/// The layer that shows adverts to a tap.
#[derive(Clone, Debug)]
pub struct Tapping<T>(T);

impl<B: Backend, T: Tap> Wrapped<B, T> {
    /// Puts a tap between a node and `inner`.
    pub fn new(inner: B, tap: T) -> Self {
        Self::with(inner, Tapping(tap))
    }
}

impl<B: Backend, T: Tap> Layer<B> for Tapping<T> {
    type Packets = WrappedPackets<B::Packets, T>;
    type Addresses = B::Addresses;

    fn open(&mut self, inner: &mut B, port: &Port) -> io::Result<Self::Packets> {
        let inner = inner.open(port)?;
        let (interface, packet) = (port.interface.clone(), BytesMut::new());
        Ok(WrappedPackets { inner, tap: self.0.clone(), interface, packet })
    }

    fn addresses(&mut self, inner: &mut B) -> io::Result<Self::Addresses> {
        inner.addresses()
    }
}

/// The packets of a [`Wrapped`] backend.
#[derive(Debug)]
pub struct WrappedPackets<P, T> {
    inner: P,
    tap: T,
    interface: String,
    packet: BytesMut,
}

impl<P: PacketIo, T: Tap> PacketIo for WrappedPackets<P, T> {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        let received = ready!(self.inner.poll_receive(cx, buffer))?;
        let packet = match received {
            Received::Ipv4 { len, .. } => &buffer[..len],
            Received::Ipv6 { len, meta } => {
                self.write(meta.source, meta.destination, &buffer[..len]);
                // The hop limit is the eighth byte.
                self.packet[7] = meta.ttl;
                &self.packet[..]
            }
            Received::Neighbour(_) | Received::Useless => return Poll::Ready(Ok(received)),
        };
        let seen = self.tap.see(Direction::In, &self.interface, packet);
        Poll::Ready(Ok(seen.map_or(Received::Useless, |()| received)))
    }

    fn send(&mut self, advert: &Transmit<'_>, source_mac: Option<MacAddr>) -> io::Result<()> {
        self.write(advert.source, advert.destination, advert.payload);
        self.tap.see(Direction::Out, &self.interface, &self.packet)?;
        self.inner.send(advert, source_mac)
    }

    fn listen(&mut self, listening: Listening) -> io::Result<()> {
        self.inner.listen(listening)
    }

    fn kernel_dropped(&self) -> u64 {
        self.inner.kernel_dropped()
    }
}

impl<P, T> WrappedPackets<P, T> {
    /// Writes the packet that has these ends and this payload.
    fn write(&mut self, source: IpAddr, destination: IpAddr, payload: &[u8]) {
        self.packet.clear();
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                emit_ipv4(source, destination, payload.len(), &mut self.packet);
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                emit_ipv6(source, destination, Protocol::IP_PROTOCOL, len, &mut self.packet);
            }
            // Both ends of a packet are of one family.
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
        }
        self.packet.extend_from_slice(payload);
    }
}

/// Writes every advert to a capture in pcap format (raw IP), stamped with the wall clock.
#[derive(Debug)]
pub struct Capture<W>(Arc<Mutex<Writer<W>>>);

impl<W> Clone for Capture<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Write> Capture<W> {
    /// Starts a capture.
    ///
    /// # Errors
    /// What the writer says to the 24 bytes of the file header.
    pub fn new(writer: W) -> io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(Writer::new(writer, LinkType::Raw)?))))
    }
}

impl<W: Write + 'static> Tap for Capture<W> {
    fn see(&mut self, _: Direction, _: &str, packet: &[u8]) -> io::Result<()> {
        let mut writer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        writer.write(Timestamp::at(wall_time()), packet, packet.len())
    }
}

/// Shows every advert to a function.
#[derive(Clone, Debug)]
pub struct Trace<F>(pub F);

impl<F: FnMut(Direction, &str, &[u8]) + Clone + 'static> Tap for Trace<F> {
    fn see(&mut self, direction: Direction, interface: &str, packet: &[u8]) -> io::Result<()> {
        (self.0)(direction, interface, packet);
        Ok(())
    }
}

/// Loses what a function says is to be lost: what is sent fails with its error.
#[derive(Clone, Debug)]
pub struct Loss<F>(pub F);

impl<F> Tap for Loss<F>
where
    F: FnMut(Direction, &[u8]) -> io::Result<()> + Clone + 'static,
{
    fn see(&mut self, direction: Direction, _: &str, packet: &[u8]) -> io::Result<()> {
        (self.0)(direction, packet)
    }
}
