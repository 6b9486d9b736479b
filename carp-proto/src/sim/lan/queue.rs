//! What is still to come, and the datagrams that are on their way.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use crate::time::Instant;
use crate::wire::ip::RxMeta;

/// Something that will happen to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Happening {
    /// A datagram arrives.
    Advert { link: usize, from: usize, slot: usize },
    /// An announcement arrives.
    Announcement { link: usize, from: usize },
    /// The address thread has done a job of this life of the daemon.
    Done { link: usize, life: u64, job: Job },
    /// The daemon is told of its addresses.
    Notice { link: usize, life: u64, expired: bool },
    /// The lease of addresses that nobody renews is over; or by now it must be.
    Expire { link: usize, freeze: u64, last: bool },
    /// The guard acts on a daemon that hangs since this freeze, or is dead.
    Guard { freeze: u64 },
    /// The guard resigns once more.
    ResignAgain { link: usize, life: u64, slot: usize },
    /// The host goes on.
    GoOn { freeze: u64 },
    /// A supervisor starts the daemon that is dead since.
    Revive { freeze: u64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum Job {
    Acquire { ticket: u64 },
    Release,
}

/// When, in which order among those of one instant, to whom, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: Instant,
    number: u64,
    host: usize,
    happening: Happening,
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    entries: BinaryHeap<Reverse<Entry>>,
    pushed: u64,
}

impl Queue {
    pub(super) fn push(&mut self, at: Instant, host: usize, happening: Happening) {
        self.pushed += 1;
        self.entries.push(Reverse(Entry { at, number: self.pushed, host, happening }));
    }

    pub(super) fn next_at(&self) -> Option<Instant> {
        self.entries.peek().map(|Reverse(entry)| entry.at)
    }

    pub(super) fn pop(&mut self) -> Option<(usize, Happening)> {
        self.entries.pop().map(|Reverse(entry)| (entry.host, entry.happening))
    }
}

/// Datagrams on their way. One that goes to many is kept once, and its place is used again.
#[derive(Clone, Debug, Default)]
pub(super) struct Post {
    slots: Vec<Slot>,
    free: Vec<usize>,
}

#[derive(Clone, Debug)]
struct Slot {
    users: u32,
    meta: RxMeta,
    bytes: Vec<u8>,
}

impl Post {
    /// Keeps a datagram that nobody is to receive yet.
    pub(super) fn keep(&mut self, meta: RxMeta, payload: &[u8]) -> usize {
        let Some(number) = self.free.pop() else {
            self.slots.push(Slot { users: 0, meta, bytes: payload.to_vec() });
            return self.slots.len() - 1;
        };
        let slot = &mut self.slots[number];
        slot.meta = meta;
        slot.bytes.clear();
        slot.bytes.extend_from_slice(payload);
        number
    }

    /// One more is to receive it.
    pub(super) fn share(&mut self, number: usize) {
        self.slots[number].users += 1;
    }

    /// One has received it, or never will; also for one that nobody is to receive.
    pub(super) fn drop(&mut self, number: usize) {
        let slot = &mut self.slots[number];
        slot.users = slot.users.saturating_sub(1);
        if slot.users == 0 {
            self.free.push(number);
        }
    }

    pub(super) fn read(&self, number: usize) -> (&RxMeta, &[u8]) {
        let slot = &self.slots[number];
        (&slot.meta, &slot.bytes)
    }
}
