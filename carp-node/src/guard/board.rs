//! What the daemon leaves for the guard to read: a page or two of shared memory.
//!
//! ```text
//! header   magic | beat | limit | dismissed | locked | routers | looked
//! router   area's length | addresses | room | which copy
//!          order to switch the device off
//!          order to remove, for each address
//!          resignation, copy 1
//!          resignation, copy 2
//! ```
//!
//! It is laid out once, for the routers that there are, and everything in it has a fixed place. An
//! *order* is a netlink request ready to be sent: its length in bytes, 0 for none, and the bytes. It
//! is written before its length is, and the length goes back to 0 before it is written anew. A
//! *resignation* is all packets of one, and there are two copies of which one is the current one: the
//! other one is written, and then made current. So whatever the moment in which the daemon dies, the guard
//! finds orders and resignations that are whole.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use carp_proto::Instant;

/// What the first word is: these bytes, and the version of the layout.
const MAGIC: u64 = u64::from_be_bytes(*b"carpgrd\x01");

/// The words of the header; some are spare.
const HEADER: usize = 8;
const BEAT: usize = 1;
const LIMIT: usize = 2;
const DISMISSED: usize = 3;
const LOCKED: usize = 4;
const ROUTERS: usize = 5;
const LOOKED: usize = 6;

/// The words at the beginning of a router's area.
const ROUTER: usize = 4;
const AREA: usize = 0;
const ADDRESSES: usize = 1;
const ROOM: usize = 2;
const COPY: usize = 3;

/// The longest order in bytes: to remove an address of IPv4, and to set `promote_secondaries` before it
/// and reset it after it.
pub(super) const ORDER_BYTES: usize = 192;

/// An order's words: its length and its bytes.
const ORDER: usize = 1 + ORDER_BYTES / WORD;

/// The words in front of every packet: its length and kind, and its interface.
const PACKET: usize = 2;

/// A word's bytes.
const WORD: usize = size_of::<u64>();

/// The longest packet that has a place: a VRRP advert with 255 addresses of IPv6 and a signature, its IP
/// header, and an Ethernet header.
pub(super) const PACKET_BYTES: usize = 4352;

/// The shape of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// How many addresses it has.
    pub(super) addresses: usize,
    /// How many packets its resignation is at the most.
    pub(super) packets: usize,
    /// The longest of them in bytes.
    pub(super) packet_bytes: usize,
}

impl Shape {
    /// The words of one copy of its resignation; a word of 0 ends it.
    const fn room(self) -> usize {
        self.packets * (PACKET + self.packet_bytes.div_ceil(WORD)) + 1
    }

    const fn area(self) -> usize {
        ROUTER + ORDER * (1 + self.addresses) + 2 * self.room()
    }
}

/// How many words a board for these routers has.
pub(super) fn words(shapes: &[Shape]) -> usize {
    HEADER + shapes.iter().map(|shape| shape.area()).sum::<usize>()
}

/// Writes where everything is into words that are all 0, as many as [`words`] says. Returns where the
/// routers begin, for [`Board::router_at`].
pub(super) fn lay_out(words: &[AtomicU64], shapes: &[Shape]) -> Vec<usize> {
    let mut rest = words.get(HEADER..).unwrap_or(&[]);
    let mut starts = Vec::with_capacity(shapes.len());
    for shape in shapes {
        let Some((area, next)) = rest.split_at_checked(shape.area()) else { break };
        starts.push(words.len() - rest.len());
        put(area, AREA, shape.area() as u64);
        put(area, ADDRESSES, shape.addresses as u64);
        put(area, ROOM, shape.room() as u64);
        rest = next;
    }
    put(words, ROUTERS, shapes.len() as u64);
    put(words, 0, MAGIC);
    starts
}

/// The board as both sides see it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Board<'a>(&'a [AtomicU64]);

impl<'a> Board<'a> {
    /// The board in these words, if there is one.
    pub(super) fn new(words: &'a [AtomicU64]) -> Option<Self> {
        (words.len() >= HEADER && get(words, 0) == MAGIC).then_some(Self(words))
    }

    /// When the protocol task was last seen alive.
    pub(super) fn beat(self) -> Instant {
        Instant::from_nanos(get(self.0, BEAT))
    }

    pub(super) fn set_beat(self, now: Instant) {
        put(self.0, BEAT, now.as_nanos());
    }

    /// When the guard last looked at the beat.
    pub(super) fn looked(self) -> Instant {
        Instant::from_nanos(get(self.0, LOOKED))
    }

    pub(super) fn set_looked(self, now: Instant) {
        put(self.0, LOOKED, now.as_nanos());
    }

    /// How long the protocol task may be silent; `None` while no address is held.
    pub(super) fn limit(self) -> Option<Duration> {
        Some(get(self.0, LIMIT)).filter(|nanos| *nanos != 0).map(Duration::from_nanos)
    }

    pub(super) fn set_limit(self, limit: Option<Duration>) {
        let nanos = limit.map_or(0, |limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX));
        put(self.0, LIMIT, nanos);
    }

    /// Whether the daemon needs no guard any more.
    pub(super) fn is_dismissed(self) -> bool {
        get(self.0, DISMISSED) != 0
    }

    pub(super) fn set_dismissed(self, dismissed: bool) {
        put(self.0, DISMISSED, dismissed.into());
    }

    /// Whether the guard has locked its memory.
    pub(super) fn is_locked(self) -> bool {
        get(self.0, LOCKED) != 0
    }

    pub(super) fn set_locked(self, locked: bool) {
        put(self.0, LOCKED, locked.into());
    }

    /// The routers, in their order.
    pub(super) fn routers(self) -> impl Iterator<Item = Router<'a>> {
        let mut rest = self.0.get(HEADER..).unwrap_or(&[]);
        let count = usize::try_from(get(self.0, ROUTERS)).unwrap_or(0);
        (0..count).map_while(move |_| {
            let area = usize::try_from(get(rest, AREA)).ok().filter(|area| *area >= ROUTER)?;
            let (area, next) = rest.split_at_checked(area)?;
            rest = next;
            Some(Router(area))
        })
    }

    /// The router that begins there.
    pub(super) fn router_at(self, start: usize) -> Option<Router<'a>> {
        let area = usize::try_from(get(self.0, start + AREA)).ok()?;
        self.0.get(start..start.checked_add(area)?).map(Router)
    }
}

/// What is known of a router.
#[derive(Clone, Copy, Debug)]
pub(super) struct Router<'a>(&'a [AtomicU64]);

impl<'a> Router<'a> {
    /// The order to switch the device of its addresses off.
    pub(super) fn device(self) -> Option<Order<'a>> {
        self.0.get(ROUTER..ROUTER + ORDER).map(Order)
    }

    /// The orders to remove its addresses.
    pub(super) fn addresses(self) -> impl Iterator<Item = Order<'a>> {
        let count = usize::try_from(get(self.0, ADDRESSES)).unwrap_or(0);
        let orders = self.0.get(ROUTER + ORDER..).unwrap_or(&[]);
        orders.chunks_exact(ORDER).take(count).map(Order)
    }

    /// Whether one of its addresses is here because we put it here.
    pub(super) fn holds(self) -> bool {
        self.addresses().any(Order::is_given)
    }

    /// The packets of its resignation, if one was ever written.
    pub(super) fn resignation(self) -> Packets<'a> {
        let words = match get(self.0, COPY) {
            0 => None,
            copy => usize::try_from(copy - 1).ok().and_then(|copy| self.copy(copy)),
        };
        Packets(words.unwrap_or(&[]))
    }

    /// Writes the packets of its resignation. Those that have no room are left out.
    pub(super) fn write_resignation(self, write: impl FnOnce(&mut Writer<'a>)) {
        let next = usize::from(get(self.0, COPY) == 1);
        let Some(words) = self.copy(next) else { return };
        let mut writer = Writer { rest: words };
        write(&mut writer);
        put(writer.rest, 0, 0);
        put(self.0, COPY, next as u64 + 1);
    }

    fn copy(self, copy: usize) -> Option<&'a [AtomicU64]> {
        let addresses = usize::try_from(get(self.0, ADDRESSES)).ok()?;
        let room = usize::try_from(get(self.0, ROOM)).ok()?;
        let start = ORDER.checked_mul(addresses.checked_add(1)?)?.checked_add(ROUTER)?;
        let start = start.checked_add(room.checked_mul(copy)?)?;
        self.0.get(start..start.checked_add(room)?)
    }
}

/// A netlink request, ready to be sent, or none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Order<'a>(&'a [AtomicU64]);

impl Order<'_> {
    /// Whether there is one.
    pub(super) fn is_given(self) -> bool {
        get(self.0, 0) != 0
    }

    /// Writes one. One that is too long is none: that is a mistake of ours that a test finds.
    pub(super) fn give(self, request: &[u8]) {
        self.withdraw();
        if let Some(words) = self.0.get(1..).filter(|words| request.len() <= words.len() * WORD) {
            write_bytes(words, request);
            put(self.0, 0, request.len() as u64);
        }
    }

    /// Takes it back.
    pub(super) fn withdraw(self) {
        put(self.0, 0, 0);
    }

    /// Its bytes.
    pub(super) fn read(self, buffer: &mut [u8; ORDER_BYTES]) -> Option<&[u8]> {
        let len = usize::try_from(get(self.0, 0)).ok().filter(|len| *len != 0)?;
        read_bytes(self.0.get(1..)?, len, buffer)
    }
}

/// How a packet is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A whole frame.
    Frame,
    /// A whole IP packet: the kernel finds the link-layer address.
    Packet,
}

/// Writes packets one after the other.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    rest: &'a [AtomicU64],
}

impl Writer<'_> {
    /// Appends a packet; false if it has no room.
    pub(super) fn append(&mut self, kind: Kind, interface: u32, packet: &[u8]) -> bool {
        let words = PACKET + packet.len().div_ceil(WORD);
        // The word of 0 at the end has its place too.
        let Some((place, rest)) = self.rest.split_at_checked(words) else { return false };
        if rest.is_empty() || packet.is_empty() {
            return false;
        }
        let kind = match kind {
            Kind::Frame => 0,
            Kind::Packet => 1_u64,
        };
        put(place, 0, (packet.len() as u64) << 8 | kind);
        put(place, 1, interface.into());
        write_bytes(place.get(PACKET..).unwrap_or(&[]), packet);
        self.rest = rest;
        true
    }
}

/// Reads packets one after the other.
#[derive(Debug)]
pub(super) struct Packets<'a>(&'a [AtomicU64]);

impl Packets<'_> {
    /// The next packet: how it is sent, the index of its interface, its bytes.
    pub(super) fn next<'b>(
        &mut self,
        buffer: &'b mut [u8; PACKET_BYTES],
    ) -> Option<(Kind, u32, &'b [u8])> {
        let head = get(self.0, 0);
        let len = usize::try_from(head >> 8).ok().filter(|len| *len != 0)?;
        let kind = if head & 0xff == 0 { Kind::Frame } else { Kind::Packet };
        let interface = u32::try_from(get(self.0, 1)).ok()?;
        let packet = read_bytes(self.0.get(PACKET..)?, len, buffer)?;
        self.0 = self.0.get(PACKET + len.div_ceil(WORD)..)?;
        Some((kind, interface, packet))
    }
}

fn get(words: &[AtomicU64], index: usize) -> u64 {
    words.get(index).map_or(0, |word| word.load(Ordering::Acquire))
}

/// A later write is not seen without this one.
fn put(words: &[AtomicU64], index: usize, value: u64) {
    if let Some(word) = words.get(index) {
        word.store(value, Ordering::Release);
    }
}

fn write_bytes(words: &[AtomicU64], bytes: &[u8]) {
    for (word, chunk) in words.iter().zip(bytes.chunks(WORD)) {
        let mut value = [0; WORD];
        value[..chunk.len()].copy_from_slice(chunk);
        word.store(u64::from_ne_bytes(value), Ordering::Release);
    }
}

/// The first `len` bytes of these words; `None` if they do not have as many, or the buffer has no room.
fn read_bytes<'b>(words: &[AtomicU64], len: usize, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let bytes = buffer.get_mut(..len).filter(|_| len <= words.len() * WORD)?;
    for (word, chunk) in words.iter().zip(bytes.chunks_mut(WORD)) {
        let value = word.load(Ordering::Acquire).to_ne_bytes();
        chunk.copy_from_slice(&value[..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [Shape; 2] = [
        Shape { addresses: 2, packets: 2, packet_bytes: 70 },
        Shape { addresses: 1, packets: 1, packet_bytes: 20 },
    ];

    fn memory() -> Vec<AtomicU64> {
        let memory: Vec<AtomicU64> = (0..words(&SHAPES)).map(|_| AtomicU64::new(0)).collect();
        lay_out(&memory, &SHAPES);
        memory
    }

    fn packets(router: Router<'_>) -> Vec<(Kind, u32, Vec<u8>)> {
        let (mut packets, mut buffer) = (router.resignation(), [0; PACKET_BYTES]);
        let mut read = Vec::new();
        while let Some((kind, interface, packet)) = packets.next(&mut buffer) {
            read.push((kind, interface, packet.to_vec()));
        }
        read
    }

    #[test]
    fn what_is_not_a_board_is_none() {
        assert!(Board::new(&[]).is_none());
        assert!(Board::new(&[const { AtomicU64::new(0) }; 64]).is_none());
    }

    #[test]
    fn a_router_is_found_where_it_begins() {
        let memory: Vec<AtomicU64> = (0..words(&SHAPES)).map(|_| AtomicU64::new(0)).collect();
        let starts = lay_out(&memory, &SHAPES);
        let board = Board::new(&memory).unwrap();
        for (start, router) in starts.iter().zip(board.routers()) {
            router.addresses().for_each(|order| order.give(b"one"));
            assert!(board.router_at(*start).unwrap().holds());
        }
        assert_eq!((starts.len(), board.routers().count()), (2, 2));
        assert!(board.router_at(memory.len()).is_none_or(|router| !router.holds()));
    }

    #[test]
    fn an_order_is_read_as_it_was_given_until_it_is_withdrawn() {
        let memory = memory();
        let board = Board::new(&memory).unwrap();
        let router = board.routers().next().unwrap();
        let orders: Vec<_> = router.addresses().collect();
        let mut buffer = [0; ORDER_BYTES];
        assert_eq!((orders.len(), router.holds()), (2, false));
        let longest = [7; ORDER_BYTES];
        orders[1].give(&longest);
        assert_eq!(orders[1].read(&mut buffer), Some(&longest[..]));
        orders[1].give(b"another");
        assert_eq!(orders[1].read(&mut buffer), Some(&b"another"[..]));
        assert!(router.holds() && !orders[0].is_given());
        assert!(!board.routers().nth(1).unwrap().holds() && !router.device().unwrap().is_given());
        orders[1].give(&[7; ORDER_BYTES + 1]);
        assert_eq!((orders[1].read(&mut buffer), router.holds()), (None, false));
    }

    #[test]
    fn a_device_alone_is_nothing_that_is_held() {
        let memory = memory();
        let router = Board::new(&memory).unwrap().routers().nth(1).unwrap();
        router.device().unwrap().give(b"off");
        assert!(!router.holds());
        assert_eq!(router.addresses().count(), 1);
    }

    #[test]
    fn the_resignation_is_the_one_written_last() {
        let memory = memory();
        let router = Board::new(&memory).unwrap().routers().next().unwrap();
        assert_eq!(packets(router), []);
        for round in 1..=3 {
            router.write_resignation(|writer| {
                assert!(writer.append(Kind::Frame, round, &[1; 70]));
                assert!(writer.append(Kind::Packet, 9, b"two"));
            });
            let expected = [(Kind::Frame, round, vec![1; 70]), (Kind::Packet, 9, b"two".to_vec())];
            assert_eq!(packets(router), expected);
        }
        router.write_resignation(|_| {});
        assert_eq!(packets(router), []);
    }

    #[test]
    fn while_a_resignation_is_written_the_last_one_is_whole() {
        let memory = memory();
        let router = Board::new(&memory).unwrap().routers().nth(1).unwrap();
        router.write_resignation(|writer| assert!(writer.append(Kind::Packet, 2, b"first")));
        router.write_resignation(|writer| {
            assert!(writer.append(Kind::Packet, 2, b"second"));
            assert_eq!(packets(router), [(Kind::Packet, 2, b"first".to_vec())]);
        });
        assert_eq!(packets(router), [(Kind::Packet, 2, b"second".to_vec())]);
    }

    #[test]
    fn what_has_no_room_is_left_out() {
        let memory = memory();
        let router = Board::new(&memory).unwrap().routers().nth(1).unwrap();
        router.write_resignation(|writer| {
            assert!(!writer.append(Kind::Packet, 2, &[1; 100]));
            assert!(writer.append(Kind::Packet, 2, &[2; 20]));
            assert!(!writer.append(Kind::Packet, 2, b"more"));
        });
        assert_eq!(packets(router), [(Kind::Packet, 2, vec![2; 20])]);
    }

    #[test]
    fn a_board_that_was_scribbled_on_harms_nobody() {
        for value in [0, 1, 3, 255, 1 << 40, u64::MAX] {
            for index in 1..words(&SHAPES) {
                let memory = memory();
                memory[index].store(value, Ordering::Relaxed);
                let board = Board::new(&memory).unwrap();
                let mut buffer = [0; ORDER_BYTES];
                for router in board.routers() {
                    packets(router);
                    for order in router.addresses() {
                        order.read(&mut buffer);
                    }
                    router.device().map(Order::is_given);
                }
            }
        }
    }
}
