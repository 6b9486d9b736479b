//! The daemon's side of the board.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{emit_ipv4, emit_ipv6};
use carp_proto::{
    Instant, MacAddr, Protocol, RouterConfig, Transmit, VirtualAddress, VirtualRouter,
};
use futures_util::FutureExt;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::fcntl_dupfd_cloexec;
use tokio::sync::Notify;

use super::board::{self, Board, Kind, Order, Shape};
use super::{judge, sys};
use crate::node::RouterSetup;

/// A number that no other descriptor gets before a thousand are open; the usual limit is 1024.
const HIGH_NUMBER: RawFd = 1000;

/// Room for headers, and for what a message has beside its addresses.
const PACKET_BASE: usize = 128;

/// What the daemon tells the guard. Clones share it.
///
/// The protocol task [beats](Self::beat) and keeps resignations ready; the address thread, through
/// [`GuardedTable`](super::GuardedTable), notes what is held.
#[derive(Clone, Debug)]
pub struct Post {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    memory: sys::Mapping,
    /// The file of the memory, for the next guard.
    file: OwnedFd,
    wake: OwnedFd,
    /// Another descriptor of the present guard's socket: see [`Post::hold_line`].
    line: Mutex<Option<OwnedFd>>,
    members: Vec<Member>,
    /// When the next beat is due, in nanoseconds; only the protocol task uses it.
    next_beat: AtomicU64,
    /// Since when the protocol task has beaten in time with an address held; only it uses this.
    awake_since: AtomicU64,
    /// Told when the guard seems to hang.
    hung: Notify,
}

/// What the board does not say of a router.
#[derive(Debug)]
pub(super) struct Member {
    /// The interface of its addresses.
    pub(super) interface: String,
    pub(super) addresses: Vec<VirtualAddress>,
    limit: Duration,
    /// Where the board tells of it.
    start: usize,
}

impl Post {
    pub(super) fn new(setups: &[RouterSetup]) -> io::Result<Self> {
        let shapes: Vec<Shape> = setups.iter().map(|setup| shape(&setup.config)).collect();
        let words = board::words(&shapes);
        let file = memfd_create("carp-guard", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let len = words * size_of::<AtomicU64>();
        ftruncate(&file, u64::try_from(len).map_err(io::Error::other)?)?;
        // What is mapped is there for good.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let memory = sys::Mapping::new(file.as_fd(), words)?;
        let starts = board::lay_out(&memory, &shapes);
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let members = setups.iter().zip(starts).map(member).collect();
        let shared = Shared {
            memory,
            file,
            wake,
            line: Mutex::new(None),
            members,
            next_beat: AtomicU64::new(0),
            awake_since: AtomicU64::new(0),
            hung: Notify::new(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(super) fn file(&self) -> &OwnedFd {
        &self.shared.file
    }

    pub(super) fn wake_file(&self) -> &OwnedFd {
        &self.shared.wake
    }

    /// Holds the line to a guard, for as long as a part of the node is left.
    ///
    /// When a process dies, the kernel closes what was opened last first. With a number higher than those
    /// of the sockets, the guard sees the end of the line before they are closed, and need not wait for
    /// that. Without, it sees it later.
    pub(super) fn hold_line(&self, socket: &OwnedFd) {
        let line = fcntl_dupfd_cloexec(socket, HIGH_NUMBER).ok();
        *self.shared.line.lock().unwrap_or_else(PoisonError::into_inner) = line;
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.shared.members
    }

    /// The board; there is one as soon as there is a post.
    pub(super) fn board(&self) -> Option<Board<'_>> {
        Board::new(&self.shared.memory)
    }

    /// The order to remove an address, and the address.
    pub(super) fn addresses_on(
        &self,
        interface: &str,
    ) -> impl Iterator<Item = (VirtualAddress, Order<'_>)> {
        let routers = self.board().into_iter().flat_map(Board::routers);
        let members = self.members().iter().zip(routers);
        let here = members.filter(move |(member, _)| member.interface == interface);
        here.flat_map(|(member, router)| member.addresses.iter().copied().zip(router.addresses()))
    }

    /// Works out how long the protocol task may be silent now, and tells the guard if it has to look
    /// sooner than it would.
    pub(super) fn review(&self) {
        let Some(board) = self.board() else { return };
        let held = self.members().iter().zip(board.routers()).filter(|(_, router)| router.holds());
        let limit = held.map(|(member, _)| member.limit).min();
        let before = board.limit();
        board.set_limit(limit);
        if limit.is_some_and(|limit| before.is_none_or(|before| limit < before)) {
            self.wake();
        }
    }

    pub(super) fn wake(&self) {
        // A counter that is full wakes as well.
        let _ = rustix::io::write(&self.shared.wake, &1_u64.to_ne_bytes());
    }

    /// Says that the protocol task lives: to be called by it, whenever it turns. It costs no system
    /// call.
    pub fn beat(&self, now: Instant) {
        let Some(board) = self.board() else { return };
        let due = self.next_beat();
        board.set_beat(now);
        let limit = board.limit();
        let next = limit.map_or(0, |limit| (now + judge::pause(limit)).as_nanos());
        self.shared.next_beat.store(next, Ordering::Relaxed);
        let in_time = due.zip(limit).is_some_and(|(due, limit)| now <= due + judge::pause(limit));
        if in_time { self.watch_guard(board, now) } else { self.begin_watching_guard(now) }
    }

    fn begin_watching_guard(&self, now: Instant) {
        self.shared.awake_since.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Who watches is watched: a guard that is stopped or starved does not guard.
    fn watch_guard(&self, board: Board<'_>, now: Instant) {
        let since = Instant::from_nanos(self.shared.awake_since.load(Ordering::Relaxed));
        if now.saturating_since(board.looked().max(since)) > judge::UNSEEN {
            self.begin_watching_guard(now);
            self.shared.hung.notify_one();
        }
    }

    /// Another guard watches from now on. It does not answer for its predecessor: neither for when that one
    /// last looked, nor for what was told of it.
    pub(super) fn begin_watch(&self, now: Instant) {
        if let Some(board) = self.board() {
            board.set_looked(now);
        }
        let _ = self.shared.hung.notified().now_or_never();
    }

    /// Waits until the guard seems to hang.
    pub(super) async fn guard_hangs(&self) {
        let is_unseen =
            |board: Board<'_>| board.beat().saturating_since(board.looked()) > judge::UNSEEN;
        loop {
            self.shared.hung.notified().await;
            // It may have been told in the moment in which another guard began.
            if self.board().is_some_and(is_unseen) {
                return;
            }
        }
    }

    /// When the protocol task has to turn again, as of its last beat; `None` while no address is held.
    #[must_use]
    pub fn next_beat(&self) -> Option<Instant> {
        Some(self.shared.next_beat.load(Ordering::Relaxed))
            .filter(|nanos| *nanos != 0)
            .map(Instant::from_nanos)
    }

    /// Keeps the resignation of router number `index` ready, as it would be sent now on the interface
    /// of this index, from this link-layer address if one is given.
    pub fn keep_resignation(
        &self,
        index: usize,
        router: &VirtualRouter,
        interface: u32,
        source_mac: Option<MacAddr>,
        scratch: &mut BytesMut,
    ) {
        let start = self.members().get(index).map(|member| member.start);
        let place = self.board().zip(start).and_then(|(board, start)| board.router_at(start));
        let Some(place) = place else { return };
        place.write_resignation(|writer| {
            for destination in 0..router.config().destinations().len() {
                let Some(advert) = router.write_resignation(destination, scratch) else { continue };
                let (packet, len) = packet(&advert, source_mac);
                let kind = if source_mac.is_some() { Kind::Frame } else { Kind::Packet };
                // Every router has the room for its own.
                writer.append(kind, interface, packet.get(..len).unwrap_or(&[]));
            }
        });
    }
}

fn shape(config: &RouterConfig) -> Shape {
    Shape {
        addresses: config.addresses().len(),
        packets: config.destinations().len(),
        packet_bytes: (PACKET_BASE + 16 * config.addresses().len()).min(board::PACKET_BYTES),
    }
}

fn member((setup, start): (&RouterSetup, usize)) -> Member {
    Member {
        interface: setup.place.interface.clone(),
        addresses: setup.config.addresses().to_vec(),
        limit: judge::limit(setup.config.standing().interval()),
        start,
    }
}

/// A whole packet, or a whole frame if it has a source of its own, and its length.
fn packet(
    advert: &Transmit<'_>,
    source_mac: Option<MacAddr>,
) -> ([u8; board::PACKET_BYTES], usize) {
    let mut bytes = [0; board::PACKET_BYTES];
    let mut rest = &mut bytes[..];
    let (group, ethertype) = match advert.destination {
        IpAddr::V4(_) => (MacAddr::ADVERTISEMENT_IPV4, ethernet::TYPE_IPV4),
        IpAddr::V6(_) => (MacAddr::ADVERTISEMENT_IPV6, ethernet::TYPE_IPV6),
    };
    if let Some(mac) = source_mac {
        ethernet::emit(&mut rest, group, mac, ethertype);
    }
    let len = advert.payload.len();
    match (advert.source, advert.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            emit_ipv4(source, destination, len, &mut rest);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let len = u16::try_from(len).unwrap_or(u16::MAX);
            emit_ipv6(source, destination, Protocol::IP_PROTOCOL, len, &mut rest);
        }
        // Both ends of an advert are of one family.
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return (bytes, 0),
    }
    let Some((place, unused)) = rest.split_at_mut_checked(len) else { return (bytes, 0) };
    place.copy_from_slice(advert.payload);
    let len = board::PACKET_BYTES - unused.len();
    (bytes, len)
}

#[cfg(test)]
mod tests {
    use carp_proto::{Key, VirtualId};

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// A post of a router whose address is held.
    fn holding() -> Post {
        let key = Key::new(b"secret").unwrap();
        let addresses = vec!["192.0.2.100".parse().unwrap()];
        let config = RouterConfig::carp(VirtualId::new(1).unwrap(), &key, addresses, 7).unwrap();
        let post = Post::new(&[RouterSetup::new("web", "lo", config)]).unwrap();
        post.addresses_on("lo").for_each(|(_, order)| order.give(b"remove it"));
        post.review();
        post
    }

    /// The protocol task lives from then to then.
    fn beat_through(post: &Post, millis: std::ops::Range<u64>) {
        millis.step_by(300).for_each(|millis| post.beat(at(millis)));
    }

    fn hangs(post: &Post) -> bool {
        post.guard_hangs().now_or_never().is_some()
    }

    #[test]
    fn a_guard_that_does_not_look_for_three_seconds_hangs() {
        let post = holding();
        beat_through(&post, 10_000..13_000);
        assert!(!hangs(&post));
        beat_through(&post, 13_000..13_900);
        assert!(hangs(&post) && !hangs(&post), "once");
    }

    #[test]
    fn a_guard_does_not_answer_for_its_predecessor() {
        let post = holding();
        // The first one has died, and none can be started for ten seconds.
        beat_through(&post, 10_000..20_000);
        post.begin_watch(at(20_000));
        assert!(!hangs(&post));
        beat_through(&post, 20_000..22_900);
        assert!(!hangs(&post));
        beat_through(&post, 22_900..23_800);
        assert!(hangs(&post), "but for itself it does");
    }

    #[test]
    fn what_is_told_of_a_guard_while_another_one_begins_is_not_believed() {
        let post = holding();
        post.begin_watch(at(10_000));
        beat_through(&post, 10_000..11_000);
        post.shared.hung.notify_one();
        assert!(!hangs(&post));
    }
}
