//! Addresses that somebody removes.

use std::fmt;
use std::net::IpAddr;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

/// An address that somebody has just removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The index of the interface that had it.
    pub index: u32,
    /// The address.
    pub ip: IpAddr,
    /// Its prefix length. There may be the same address with another one.
    pub prefix_len: u8,
    /// Who did it.
    pub by: Remover,
}

/// Who removed an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remover {
    /// Where the operating system sends its answers to.
    pub port: u32,
    /// The program, if it still runs and can be told by the port.
    pub program: Option<Program>,
}

/// A program that runs, or ran a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its process id.
    pub pid: u32,
    /// Its name, as `ps` shows it.
    pub name: String,
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {})", self.name, self.pid)
    }
}

/// Where removals are told.
#[derive(Debug)]
pub struct Removals {
    receiver: Option<mpsc::Receiver<Removal>>,
    /// What tells them, until it is dropped.
    _source: Box<dyn fmt::Debug + Send>,
}

impl Removals {
    /// Nobody tells any.
    #[must_use]
    pub fn none() -> Self {
        Self { receiver: None, _source: Box::new(()) }
    }

    /// Those that are sent here, until `source` is dropped.
    pub fn new(
        receiver: mpsc::Receiver<Removal>,
        source: impl fmt::Debug + Send + 'static,
    ) -> Self {
        Self { receiver: Some(receiver), _source: Box::new(source) }
    }

    /// The next one, or registers to be woken by it.
    pub fn poll_removal(&mut self, cx: &mut Context<'_>) -> Poll<Removal> {
        let Some(receiver) = &mut self.receiver else { return Poll::Pending };
        match receiver.poll_recv(cx) {
            Poll::Ready(Some(removal)) => Poll::Ready(removal),
            // Nobody tells any more.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}
