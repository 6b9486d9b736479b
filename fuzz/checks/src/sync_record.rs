//! Reading a peer's record and one's own memory is total; what is read is written and reads the same; and nothing that
//! a peer can say breaks what follows from it.

use std::net::IpAddr;
use std::time::Duration;

use carp_node::sync::decide::{Me, decide};
use carp_node::sync::lineage::{HISTORY_LEN, History, NodeId, Stamp};
use carp_node::sync::policy::Policy;
use carp_node::sync::record::{
    Keep, Memory, NUMBER_MOST, NodeRecord, Peer, RECORD_LEN, RecordError, Role, ShareRecord,
};
use carp_proto::Instant;

/// Panics if these bytes show that something is wrong: a record, and after the byte 0 a memory.
pub fn check(input: &[u8]) {
    let mut parts = input.splitn(2, |byte| *byte == 0);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let memory = memory(second);
    match NodeRecord::parse(first) {
        Ok(record) => {
            assert_eq!(NodeRecord::parse(record.emit().as_bytes()).as_ref(), Ok(&record));
            for share in record.shares.values() {
                well_formed(&share.history);
                follows(&memory, share);
            }
            decides(&memory, record);
        }
        Err(error) => refused(&error, first),
    }
}

fn memory(bytes: &[u8]) -> Memory {
    let Ok(text) = str::from_utf8(bytes) else { return Memory::default() };
    match Memory::parse(text) {
        Ok(memory) => {
            assert_eq!(Memory::parse(&memory.emit()).as_ref(), Ok(&memory));
            well_formed(&memory.history);
            // The own disk is checked by its digest, and has counted from what was believed.
            let highest = memory.history.tip().map_or(0, |tip| tip.number).max(memory.seen);
            if highest > NUMBER_MOST { Memory::default() } else { memory }
        }
        Err(error) => {
            refused(&error, bytes);
            Memory::default()
        }
    }
}

fn refused(error: &RecordError, bytes: &[u8]) {
    match error {
        RecordError::Long(len) => assert!(*len == bytes.len() && *len > RECORD_LEN),
        RecordError::Schema { found, expected } => assert_ne!(found, expected),
        RecordError::Malformed(what) => assert!(!what.is_empty()),
        other => panic!("nobody checks this error: {other}"),
    }
}

fn well_formed(history: &History) {
    assert!(history.entries().len() <= HISTORY_LEN);
    assert!(history.entries().is_sorted_by(|a, b| a.epoch.number < b.epoch.number));
}

/// What a node remembers after it has seen the share, and after it has become active.
fn follows(memory: &Memory, share: &ShareRecord) {
    let seen = memory.after_seeing(share);
    assert!(seen.seen >= memory.seen);
    assert!(seen.seen >= share.history.tip().map_or(0, |tip| tip.number));
    let node = NodeId::try_from("fuzz".to_owned()).expect("a name");
    let promoted = seen.after_promotion(&node, Stamp(7), 7, false);
    well_formed(&promoted.history);
    assert_eq!(Memory::parse(&promoted.emit()).as_ref(), Ok(&promoted));
    assert!(promoted.dirty && promoted.history.tip().is_some_and(|tip| tip.node == node));
    assert!(!promoted.history.tip().is_some_and(|tip| share.history.contains(tip)));
    for given_up in [false, true] {
        if let Ok(history) = memory.history.following(&share.history, given_up) {
            assert_eq!(history, share.history);
        }
    }
    if let Some(tip) = share.history.tip() {
        for keep in [Keep::Local, Keep::Peer] {
            assert_eq!(memory.after_resolve(keep, tip.clone()).history, memory.history);
        }
    }
}

/// The same record proves nothing until it moves; then there is a decision, whatever it says.
fn decides(memory: &Memory, record: NodeRecord) {
    let (first, second) = (Instant::from_nanos(1), Instant::from_nanos(2));
    let mut peer = Peer::new(record.clone(), first);
    assert!(!peer.is_fresh(first, Duration::MAX));
    peer.update(record.clone(), second);
    assert!(!peer.is_fresh(second, Duration::MAX));
    let moved = NodeRecord { beat: record.beat.wrapping_add(1), ..record };
    peer.update(moved, second);
    assert!(peer.is_fresh(second, Duration::MAX));
    let node = NodeId::try_from("fuzz".to_owned()).expect("a name");
    for (name, share) in &peer.record.shares {
        let heard = share.speaks_from.first().copied();
        for heard in [None, heard, Some(IpAddr::from([192, 0, 2, 1]))] {
            for role in [Role::Init, Role::Backup, Role::Active] {
                let me = Me { node: &node, share: name, role, memory, clock: Stamp(7) };
                let _ = decide(&me, Some(&peer), heard, &Policy::default(), second);
            }
        }
    }
}
