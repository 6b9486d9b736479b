//! A backend around another one.

use std::io;

use super::{AddressTable, Backend, PacketIo, Port, Removals};
use crate::guard::Post;

/// What stands between a node and a backend. It has a hand in packets and addresses; the rest passes it
/// by.
pub trait Layer<B: Backend> {
    /// What becomes of the backend's packets.
    type Packets: PacketIo;
    /// What becomes of the backend's address table.
    type Addresses: AddressTable;

    /// See [`Backend::open`].
    ///
    /// # Errors
    /// What the inner backend says.
    fn open(&mut self, inner: &mut B, port: &Port) -> io::Result<Self::Packets>;

    /// See [`Backend::addresses`].
    ///
    /// # Errors
    /// What the inner backend says, or the layer.
    fn addresses(&mut self, inner: &mut B) -> io::Result<Self::Addresses>;

    /// See [`Backend::guard`].
    fn guard(&mut self, inner: &mut B) -> Option<Post> {
        inner.guard()
    }
}

/// A backend and the layer around it.
#[derive(Clone, Debug)]
pub struct Around<B, L> {
    inner: B,
    layer: L,
}

impl<B: Backend, L: Layer<B>> Around<B, L> {
    /// A backend with a layer around it.
    pub const fn with(inner: B, layer: L) -> Self {
        Self { inner, layer }
    }
}

impl<B: Backend, L: Layer<B>> Backend for Around<B, L> {
    type Packets = L::Packets;
    type Addresses = L::Addresses;
    type Announcer = B::Announcer;
    type Links = B::Links;
    type Clock = B::Clock;

    fn open(&mut self, port: &Port) -> io::Result<Self::Packets> {
        self.layer.open(&mut self.inner, port)
    }

    fn addresses(&mut self) -> io::Result<Self::Addresses> {
        self.layer.addresses(&mut self.inner)
    }

    fn announcer(&mut self) -> io::Result<Self::Announcer> {
        self.inner.announcer()
    }

    fn watch(&mut self, interfaces: &[String]) -> io::Result<Self::Links> {
        self.inner.watch(interfaces)
    }

    fn clock(&mut self) -> io::Result<Self::Clock> {
        self.inner.clock()
    }

    fn removals(&mut self) -> io::Result<Removals> {
        self.inner.removals()
    }

    fn programs(&self) -> Option<fn() -> Vec<String>> {
        self.inner.programs()
    }

    fn guard(&mut self) -> Option<Post> {
        self.layer.guard(&mut self.inner)
    }
}
