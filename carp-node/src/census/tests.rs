use std::path::Path;

use carp_proto::wire::carp::{self as carp_wire, Advert as CarpAdvert};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{AddressList, ChecksumForm};
use carp_proto::wire::{arp, ethernet};
use carp_proto::{CarpInterval, Centiseconds, Key, Priority, VirtualAddress};

use super::*;
use crate::capture::Reader;

const NIC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0a]);
const TOS_LOW_DELAY: u8 = 0x10;

fn id(number: u8) -> VirtualId {
    VirtualId::new(number).unwrap()
}

fn names(report: &Report) -> Vec<String> {
    let name = |speaker: &Speaker| {
        format!("{} {} {} {}", speaker.protocol, speaker.id, speaker.source, speaker.rank)
    };
    report.speakers.iter().map(name).collect()
}

fn dialects(speaker: &Speaker) -> Vec<&'static str> {
    speaker.guesses.iter().map(|guess| guess.dialect).collect()
}

/// Kinds of findings.
fn kinds(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(Finding::name).collect()
}

/// A census of a capture of real routers, up to this many seconds after its first frame.
fn scanned(name: &str, seconds: u64) -> Report {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../carp-proto/tests/vectors");
    let file = std::fs::File::open(directory.join(name)).unwrap();
    let mut reader = Reader::new(file).unwrap();
    let mut census = Census::default();
    let mut start = None;
    while let Some(frame) = reader.next_frame().unwrap() {
        let time = frame.time.unwrap().since_epoch();
        let start = *start.get_or_insert(time);
        if time - start > std::time::Duration::from_secs(seconds) {
            break;
        }
        census.observe(frame.time, frame.link, frame.bytes, frame.cut);
    }
    census.report()
}

const ALL: u64 = u64::MAX;

#[test]
fn ucarp_is_known_by_the_source_of_its_adverts() {
    let report = scanned("ucarp-default.pcap", ALL);
    assert_eq!(names(&report), ["carp 42 10.99.0.1 1+0/256 s"]);
    let [ucarp] = &report.speakers[..] else { panic!("{report:?}") };
    assert_eq!((dialects(ucarp), ucarp.proof), (vec!["ucarp"], Proof::DigestUnchecked));
    assert_eq!(ucarp.guesses[0].reason, "from 00:00:5e:00:00:2a");
    assert_eq!((ucarp.adverts, kinds(&report)), (11, vec![]));
    assert_eq!(report.used_ids, BTreeSet::from([id(42)]));
    assert_eq!(report.free_ids, [1..=41, 43..=255]);
}

#[test]
fn keepalived_is_known_and_its_addresses_are_listed() {
    let report = scanned("keepalived-v2-noauth-elect-stop.pcap", 10);
    assert_eq!(names(&report), ["vrrp2 51 10.99.0.1 priority 150"]);
    let [keepalived] = &report.speakers[..] else { panic!("{report:?}") };
    let addresses: Vec<_> = keepalived.addresses.iter().map(IpAddr::to_string).collect();
    assert_eq!(addresses, ["10.99.0.150", "10.99.0.151"]);
    assert_eq!((dialects(keepalived), keepalived.proof), (vec!["keepalived"], Proof::None));
    let [in_ah, ..] = &scanned("keepalived-v2-auth-ah.pcap", 10).speakers[..] else { panic!("AH") };
    assert_eq!(dialects(in_ah), ["keepalived", "keepalived"]);
    assert_eq!(in_ah.proof, Proof::Header);
    let [password, ..] = &scanned("keepalived-v2-auth-pass.pcap", 10).speakers[..] else {
        panic!("password")
    };
    assert_eq!(password.proof, Proof::Password);
    let [six, ..] = &scanned("keepalived-v3-ipv6.pcap", 10).speakers[..] else { panic!("IPv6") };
    assert_eq!((dialects(six), six.source.is_ipv6()), (vec![], true));
}

#[test]
fn frr_is_known_in_both_families_which_are_two_routers() {
    let report = scanned("frr-v3-ipv4-ipv6-stop.pcap", ALL);
    let expected =
        ["vrrp3 70 10.99.0.1 priority 150", "vrrp3 70 fe80::200:5eff:fe00:246 priority 150"];
    assert_eq!(names(&report), expected);
    for speaker in &report.speakers {
        assert_eq!((dialects(speaker), speaker.resigned), (vec!["frr"], true), "{speaker:?}");
    }
    assert_eq!(kinds(&report), [""; 0]);
}

#[test]
fn a_handover_is_no_conflict() {
    for name in [
        "keepalived-v2-noauth-elect-stop.pcap",
        "keepalived-v3-ipv4-centisec.pcap",
        "keepalived-v3-ipv6.pcap",
        "ucarp-honours-bowout-255.pcap",
    ] {
        for seconds in [5, 10, 12, 14, 15, 16, 18, 20, 22, ALL] {
            let report = scanned(name, seconds);
            let found = kinds(&report);
            assert!(!found.contains(&"several-active"), "{name} after {seconds} s: {report:?}");
        }
    }
}

#[test]
fn carp_and_vrrp_with_one_id_share_a_virtual_mac() {
    let report = scanned("collision-ucarp-vhid42-keepalived-col2.pcap", ALL);
    assert_eq!(kinds(&report), ["shared-mac"]);
    assert_eq!(
        report.findings[0].to_string(),
        "CARP and VRRP both use id 42, whose virtual MAC is 00:00:5e:00:01:2a in both: 10.99.0.1, \
         10.99.0.2"
    );
}

/// A census of hand-made frames, one every so many milliseconds.
struct Rig {
    census: Census,
    millis: u32,
}

impl Rig {
    fn new() -> Self {
        Self { census: Census::default(), millis: 0 }
    }

    fn waits(&mut self, millis: u32) {
        self.millis += millis;
    }

    fn sees(&mut self, frame: &[u8]) {
        let time = Timestamp::of_parts(self.millis / 1000, self.millis % 1000 * 1_000_000, 9);
        self.census.observe(time, LinkType::Ethernet, frame, false);
    }

    fn report(&self) -> Report {
        self.census.report()
    }
}

fn ipv4(mac: MacAddr, tos: u8, source: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    ethernet::emit(&mut frame, MacAddr::ADVERTISEMENT_IPV4, mac, ethernet::TYPE_IPV4);
    let [high, low] = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
    frame.extend([0x45, tos, high, low, 0, 0, 0x40, 0, 255, 112, 0, 0]);
    frame.extend([10, 0, 0, source, 224, 0, 0, 18]);
    frame.extend(message);
    frame
}

/// An advert of CARP with VHID 7.
fn carp(advskew: u8, demotion: u8, counter: u64) -> Vec<u8> {
    let interval = CarpInterval { advbase: 1, advskew };
    let advert = CarpAdvert { vhid: 7, interval, demotion, counter, digest: [0; 20] };
    let mut message = Vec::new();
    carp_wire::emit(&advert, &mut message);
    message
}

/// The resignation of CARP with VHID 7.
fn resignation() -> Vec<u8> {
    let advert = CarpAdvert {
        vhid: 7,
        interval: CarpInterval::RESIGN,
        demotion: 0,
        counter: 1,
        digest: [0; 20],
    };
    let mut message = Vec::new();
    carp_wire::emit(&advert, &mut message);
    message
}

#[test]
fn the_dialects_of_carp_are_guessed_by_what_only_they_do() {
    let virtual_mac = MacAddr::virtual_router(id(7));
    let guessed = |mac: MacAddr, tos: u8, demotion: u8, counters: [u64; 3]| {
        let mut rig = Rig::new();
        for counter in counters {
            rig.sees(&ipv4(mac, tos, 1, &carp(0, demotion, counter)));
        }
        dialects(&rig.report().speakers[0])
    };
    assert_eq!(guessed(virtual_mac, TOS_LOW_DELAY, 0, [9, 9, 9]), ["openbsd", "openbsd"]);
    assert_eq!(guessed(virtual_mac, TOS_LOW_DELAY, 0, [1, 2, 3]), ["openbsd"]);
    assert_eq!(guessed(virtual_mac, 0xe0, 0, [1, 2, 3]), ["freebsd"]);
    assert_eq!(guessed(virtual_mac, 0, 0, [1, 2, 3]), ["openbsd", "freebsd"]);
    assert_eq!(guessed(MacAddr::ucarp(id(7)), TOS_LOW_DELAY, 0, [1, 2, 3]), ["ucarp"]);
    assert_eq!(guessed(NIC, TOS_LOW_DELAY, 0, [1, 2, 3]), ["native"]);
    assert_eq!(guessed(NIC, TOS_LOW_DELAY, 1, [1, 2, 3]), ["openbsd", "native"]);
    // The virtual MAC of another id tells nothing.
    assert_eq!(guessed(MacAddr::ucarp(id(8)), TOS_LOW_DELAY, 0, [1, 2, 3]), [""; 0]);
}

#[test]
fn the_addresses_of_carp_are_learnt_from_its_virtual_mac_alone() {
    let mut rig = Rig::new();
    for (mac, last) in [
        (MacAddr::virtual_router(id(7)), 100),
        (MacAddr::virtual_router(id(8)), 101),
        (MacAddr::ucarp(id(7)), 102),
        (NIC, 103),
    ] {
        let mut frame = Vec::new();
        let announcement = arp::Announcement { mac, address: [10, 0, 0, last].into() };
        arp::emit_frame(announcement, arp::Form::Request, &mut frame);
        rig.sees(&frame);
    }
    rig.sees(&ipv4(MacAddr::virtual_router(id(7)), TOS_LOW_DELAY, 1, &carp(0, 0, 1)));
    assert_eq!(rig.report().speakers[0].addresses, [IpAddr::from([10, 0, 0, 100])]);
}

#[test]
fn two_that_go_on_side_by_side_are_a_conflict() {
    let (a, b) = (ipv4(NIC, 0, 1, &carp(0, 0, 1)), ipv4(NIC, 0, 2, &carp(100, 0, 1)));
    let mut rig = Rig::new();
    for _ in 0..2 {
        rig.sees(&a);
        rig.waits(500);
        rig.sees(&b);
        rig.waits(500);
        assert_eq!(kinds(&rig.report()), [""; 0], "one may be yielding");
    }
    rig.sees(&a);
    rig.waits(500);
    rig.sees(&b);
    let report = rig.report();
    assert_eq!(report.findings[0].to_string(), "2 are active for carp id 7: 10.0.0.1, 10.0.0.2");
    assert_eq!((report.findings[0].id(), report.findings[0].sources().len()), (Some(7), 2));
    // The one leaves.
    rig.waits(500);
    rig.sees(&ipv4(NIC, 0, 1, &resignation()));
    let report = rig.report();
    assert_eq!(kinds(&report), [""; 0]);
    assert!(report.speakers[0].resigned && !report.speakers[1].resigned);
    assert_eq!(report.speakers[0].rank.to_string(), "1+0/256 s", "what it had before");
}

#[test]
fn a_takeover_and_a_failback_are_no_conflict() {
    let (a, b) = (ipv4(NIC, 0, 1, &carp(0, 0, 1)), ipv4(NIC, 0, 2, &carp(100, 0, 1)));
    let mut rig = Rig::new();
    for _ in 0..4 {
        rig.sees(&a);
        rig.waits(1000);
    }
    // It died. The other one waits for three intervals and its skew.
    rig.waits(2391);
    for _ in 0..4 {
        rig.sees(&b);
        rig.waits(1391);
        assert_eq!(kinds(&rig.report()), [""; 0], "the successor of a dead one");
    }
    // It comes back, and the loser says its last word.
    rig.sees(&a);
    rig.sees(&b);
    for _ in 0..4 {
        rig.waits(1000);
        rig.sees(&a);
        assert_eq!(kinds(&rig.report()), [""; 0], "a failback");
    }
}

#[test]
fn both_versions_of_vrrp_for_one_id_and_forwarded_adverts_are_told() {
    let mut rig = Rig::new();
    let list: VirtualAddress = "10.0.0.100".parse().unwrap();
    let list = AddressList::new(&[list]).unwrap();
    let (source, destination) = ([10, 0, 0, 1].into(), [224, 0, 0, 18].into());
    let carrier = Carrier::new(&list, source, destination, ChecksumForm::Message).unwrap();
    let (priority, interval) = (Priority::DEFAULT, Centiseconds::DEFAULT);
    let mut message = Vec::new();
    v3::emit(&v3::Outgoing { id: id(7), priority, interval, carrier }, &mut message);
    rig.sees(&ipv4(NIC, 0xc0, 1, &message));
    let [speaker] = &rig.report().speakers[..] else { panic!("one speaker") };
    assert_eq!(dialects(speaker), ["rfc9568"]);

    let second = [0x21, 7, 90, 1, 0, 1, 0, 0, 10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0];
    let sum = carp_proto::wire::checksum::checksum(&second).to_be_bytes();
    let mut message = second.to_vec();
    message[6..8].copy_from_slice(&sum);
    let mut frame = ipv4(NIC, 0xc0, 2, &message);
    frame[14 + 8] = 64;
    rig.sees(&frame);
    let report = rig.report();
    assert_eq!(kinds(&report), ["mixed-versions", "forwarded"]);
    assert_eq!(
        report.findings[1].to_string(),
        "adverts of 10.0.0.2 for id 7 crossed a router: ttl 64, not 255"
    );
}

#[test]
fn what_says_nothing_makes_no_speaker() {
    let mut rig = Rig::new();
    let mut damaged = carp(0, 0, 1);
    damaged[1] = 9;
    rig.sees(&ipv4(NIC, 0, 1, &damaged));
    rig.sees(&ipv4(NIC, 0, 2, &[0x21, 7, 0, 9]));
    rig.sees(&[0xff; 60]);
    let report = rig.report();
    assert_eq!((report.speakers.len(), kinds(&report)), (0, vec!["bad-checksum", "unreadable"]));
    let said: Vec<_> = report.findings.iter().map(Finding::to_string).collect();
    assert_eq!(said[0], "packets with a bad checksum: 1, the last from 10.0.0.1");
    assert_eq!(said[1], "packets that cannot be read: 1, the last from 10.0.0.2");
    assert_eq!(report.free_ids, [1..=255]);
}

#[test]
fn digests_are_checked_with_the_key_that_was_given() {
    let key = Key::new(b"love").unwrap();
    let addresses = vec!["10.99.0.100".parse().unwrap()];
    let mut census = Census::new(Some(Verifier::new(key, addresses)));
    census.observe(None, LinkType::Ethernet, &ipv4(NIC, 0, 1, &carp(0, 0, 1)), false);
    let report = census.report();
    assert_eq!(
        (report.speakers[0].proof, kinds(&report)),
        (Proof::DigestBad, vec!["bad-authentication"])
    );
}

#[test]
fn vlans_are_links_of_their_own() {
    let mut rig = Rig::new();
    for _ in 0..4 {
        for (source, vlan) in [(1, 5), (2, 6)] {
            let frame = ipv4(NIC, 0, source, &carp(0, 0, 1));
            rig.sees(&[&frame[..12], &[0x81, 0, 0, vlan], &frame[12..]].concat());
        }
        rig.waits(1000);
    }
    let report = rig.report();
    let vlans: Vec<_> = report.speakers.iter().map(|speaker| speaker.vlan).collect();
    assert_eq!((vlans, kinds(&report)), (vec![Some(5), Some(6)], vec![]));
}

#[test]
fn speakers_that_are_made_up_do_not_fill_the_memory() {
    let mut rig = Rig::new();
    for number in 0..u16::try_from(MAX_SPEAKERS).unwrap() + 7 {
        let [high, low] = number.to_be_bytes();
        let mut frame = ipv4(NIC, 0, 1, &carp(0, 0, 1));
        frame[14 + 12..14 + 16].copy_from_slice(&[10, 1, high, low]);
        rig.sees(&frame);
    }
    let report = rig.report();
    assert_eq!(report.speakers.len(), MAX_SPEAKERS);
    assert_eq!(report.findings, [Finding::Overlooked { packets: 7 }]);
}

#[test]
fn free_ids_are_the_gaps() {
    let of = |used: &[u8]| free(&used.iter().map(|used| id(*used)).collect());
    assert_eq!(of(&[]), [1..=255]);
    assert_eq!(of(&[1, 255]), [2..=254]);
    assert_eq!(of(&[2, 3, 5]), [1..=1, 4..=4, 6..=255]);
    let all: Vec<u8> = (1..=255).collect();
    assert_eq!(of(&all), []);
}
