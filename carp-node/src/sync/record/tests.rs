use proptest::prelude::*;

use super::super::decide::{Decision, Me};
use super::*;

pub(in crate::sync) fn node(name: &str) -> NodeId {
    NodeId::try_from(name.to_owned()).unwrap()
}

pub(in crate::sync) fn history(of: &str, epochs: u64) -> History {
    (1..=epochs).fold(History::default(), |history, nonce| {
        let start = Start { node: node(of), nonce, seen: 0, origin: None, now: Stamp(nonce) };
        history.promoted(start)
    })
}

pub(in crate::sync) fn as_of(tip: &Epoch, source: u64, local: u64) -> AsOf {
    AsOf { tip: tip.clone(), source: Stamp(source), local: Stamp(local) }
}

pub(in crate::sync) fn share_of(of: &str, role: Role, epochs: u64) -> ShareRecord {
    ShareRecord {
        role,
        speaks_from: vec!["192.0.2.1".parse().unwrap()],
        share_id: Some("id".into()),
        history: history(of, epochs),
        as_of: None,
        dirty: false,
        supersedes: None,
        accepts: None,
        keeps: None,
        untouched: false,
        in_sync: false,
        held: false,
        want: None,
        quiesced: None,
        changes: 0,
        marked: false,
        databases: Databases::Absent,
    }
}

pub(in crate::sync) fn record_of(name: &str, share: ShareRecord, beat: u64) -> NodeRecord {
    let shares = [("www".to_owned(), share)].into();
    NodeRecord { node: node(name), beat, process: 1, now: Stamp(1_000_000_000 * beat), shares }
}

/// A peer that was seen to live just now.
pub(in crate::sync) fn peer(name: &str, share: ShareRecord, now: Instant) -> Peer {
    let mut peer = Peer::new(record_of(name, share.clone(), 1), now);
    peer.update(record_of(name, share, 2), now);
    peer
}

#[test]
fn an_epoch_to_which_nobody_has_counted_is_not_believed() {
    let told = |number: u64| {
        let json = record_of("b", share_of("b", Role::Active, 1), 1).emit();
        let json = json.replacen("\"number\":1", &format!("\"number\":{number}"), 1);
        NodeRecord::parse(json.as_bytes())
    };
    let share = told(NUMBER_MOST).unwrap().shares.remove("www").unwrap();
    let next =
        Memory::default().after_seeing(&share).after_promotion(&node("a"), Stamp(1), 1, false);
    assert_eq!(next.history.tip().map(|tip| tip.number), Some(NUMBER_MOST + 1));
    assert_eq!(Memory::parse(&next.emit()), Ok(next));
    for number in [NUMBER_MOST + 1, u64::MAX] {
        assert!(told(number).unwrap_err().to_string().contains("nobody has counted"), "{number}");
    }
}

#[test]
fn a_record_is_read_as_it_was_written() {
    let record = record_of("a", share_of("a", Role::Active, 3), 7);
    let json = record.emit();
    assert!(json.starts_with("{\"schema\":\"carp.sync-record/1\","), "{json}");
    assert_eq!(NodeRecord::parse(json.as_bytes()).unwrap(), record);
    let more = json.replacen('{', "{\"a key of the future\":1,", 1);
    assert_eq!(NodeRecord::parse(more.as_bytes()).unwrap(), record);
    // A version that says nothing of the marker.
    let less = json.replace(",\"marked\":false", "");
    assert!(less.len() < json.len());
    assert_eq!(NodeRecord::parse(less.as_bytes()).unwrap(), record);
}

#[test]
fn another_schema_and_what_is_no_record_is_refused() {
    let json = record_of("a", share_of("a", Role::Active, 3), 7).emit();
    let other = json.replace("sync-record/1", "sync-record/2");
    let error = NodeRecord::parse(other.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("it is of schema carp.sync-record/2, and this version"), "{error}");
    for len in 0..json.len() {
        assert!(NodeRecord::parse(&json.as_bytes()[..len]).is_err(), "the first {len} bytes");
    }
    assert!(matches!(NodeRecord::parse(&vec![b' '; RECORD_LEN + 1]), Err(RecordError::Long(_))));
}

#[test]
fn a_memory_lasts_and_a_damaged_one_holds() {
    let directory = tempfile::tempdir().unwrap();
    let file = Memory::file(directory.path(), "www");
    assert_eq!(Memory::load(&file), Memory::default());
    let memory = Memory::default().after_promotion(&node("a"), Stamp(5), 9, false);
    memory.store(&file).unwrap();
    assert_eq!(Memory::load(&file), memory);
    let text = std::fs::read_to_string(file.path()).unwrap();
    for bad in [text.replace("\"seen\":1", "\"seen\":2"), String::new(), text[..40].into()] {
        std::fs::write(file.path(), bad).unwrap();
        let damaged = Memory::load(&file);
        assert!(damaged.damage.is_some(), "{damaged:?}");
        assert_eq!(damaged.history.tip(), None);
        let share = "www";
        let (node, clock) = (node("a"), Stamp(6));
        let me = Me { node: &node, share, role: Role::Backup, memory: &damaged, clock };
        let now = Instant::from_nanos(0);
        let peer = peer("b", share_of("b", Role::Active, 3), now);
        let decision = super::super::decide::decide(
            &me,
            Some(&peer),
            None,
            &super::super::policy::Policy::default(),
            now,
        );
        assert!(matches!(decision, Decision::Hold(_)), "{decision:?}");
    }
    // Written well, by a version that means something else.
    file.write("{\"schema\":\"carp.sync-memory/2\"}").unwrap();
    assert!(Memory::load(&file).damage.unwrap().contains("carp.sync-memory/2"));
}

#[test]
fn a_record_that_does_not_change_shows_no_life() {
    let start = Instant::from_nanos(1_000_000_000);
    let later = start + Duration::from_secs(3);
    let share = share_of("a", Role::Active, 1);
    let mut peer = Peer::new(record_of("a", share.clone(), 7), start);
    assert!(!peer.is_fresh(start, RECORD_FRESH), "it may be years old");
    peer.update(record_of("a", share.clone(), 7), later);
    assert!(!peer.is_fresh(later, RECORD_FRESH));
    peer.update(record_of("a", share.clone(), 8), later);
    assert!(peer.is_fresh(later, RECORD_FRESH));
    peer.update(record_of("a", share, 8), later + RECORD_FRESH);
    assert!(peer.is_fresh(later + RECORD_FRESH, RECORD_FRESH));
    assert!(!peer.is_fresh(later + RECORD_FRESH + Duration::from_nanos(1), RECORD_FRESH));
    // Eight seconds by its clock, and two by ours since.
    assert_eq!(peer.age_of(Stamp(0), later + Duration::from_secs(2)), Duration::from_secs(10));
}

#[test]
fn an_epoch_remembers_from_what_it_started() {
    let (a, b) = (node("a"), node("b"));
    let first = Memory::default().after_promotion(&a, Stamp(5), 1, false);
    assert_eq!(first.history.newest().unwrap().origin, None);
    // Its own tree is complete up to now.
    let again = first.after_promotion(&a, Stamp(9), 2, false);
    assert_eq!(again.history.newest().unwrap().origin.as_ref().unwrap().as_of, Stamp(9));
    // A copy is complete up to what the source's clock said.
    let mut source = share_of("a", Role::Active, 0);
    source.history = first.history.clone();
    let (source_clock, local_clock) = (Stamp(7), Stamp(70));
    let pass =
        CompletePass { source: &source, source_clock, local_clock, given_up: false, files: 3 };
    let copy = Memory::default().after_pass(&pass).unwrap();
    let served = copy.after_promotion(&b, Stamp(80), 3, false);
    let origin = served.history.newest().unwrap().origin.clone().unwrap();
    assert_eq!((Some(&origin.tip), origin.as_of), (first.history.tip(), Stamp(7)));
    assert!(served.dirty && !copy.dirty);
}

#[test]
fn a_pass_over_a_stranger_counts_for_nothing() {
    let mine = Memory::default().after_promotion(&node("a"), Stamp(5), 1, false);
    let source = share_of("b", Role::Active, 3);
    let (source_clock, local_clock) = (Stamp(7), Stamp(70));
    let pass =
        CompletePass { source: &source, source_clock, local_clock, given_up: false, files: 3 };
    assert_eq!(mine.after_pass(&pass), Err(LineageError::NotADescendant));
    assert!(mine.after_pass(&CompletePass { given_up: true, ..pass }).is_ok());
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_of_records_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        at in 0_usize..2000,
        byte in any::<u8>(),
    ) {
        let _ = NodeRecord::parse(&bytes);
        let mut json = record_of("a", share_of("a", Role::Active, 3), 7).emit().into_bytes();
        let len = json.len();
        json[at % len] = byte;
        let _ = NodeRecord::parse(&json);
    }
}
