//! What VRRP routers send and what they act on: peers, checksums, passwords, signatures, and the adverts
//! of keepalived and FRR.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::auth::{
    AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Password, Verdict, Window,
};
use carp_proto::election::{Cause, Input, Standing, State};
use carp_proto::wire::ip as ip_header;
use carp_proto::wire::vrrp::v3::{self, Checksum};
use carp_proto::wire::vrrp::{ChecksumForm, ListError, v2};
use carp_proto::{
    Centiseconds, ChecksumMode, ConfigError, IntervalError, Key, Priority, Protocol, Reject,
    RouterConfig, RxMeta, Seconds, VirtualRouter, Vrrp2, Vrrp3,
};
use support::vrrp::{Version, VrrpSetup, advert, sent_by};
use support::{Effect, Rig, addresses, id, ip, pcap, secs};

const FORMS: [ChecksumForm; 2] = [ChecksumForm::PseudoHeader, ChecksumForm::Message];

fn setup(version: Version) -> VrrpSetup {
    VrrpSetup::new(version)
}

fn good(version: Version) -> (RxMeta, Vec<u8>) {
    let meta = version.meta(version.host(9));
    let message = advert(version, &meta, 200, secs(1), ChecksumForm::PseudoHeader);
    (meta, message)
}

fn label(rig: &mut Rig, meta: &RxMeta, message: &[u8]) -> Option<&'static str> {
    rig.hears_bytes(meta, message).err().map(Reject::label)
}

// What cannot be configured.

#[test]
fn a_configuration_is_valid_or_none() {
    let list = |texts: &[&str]| addresses(texts);
    let v2 = |texts, settings| RouterConfig::vrrp2(id(1), list(texts), settings).err();
    let v3 = |texts, settings| RouterConfig::vrrp3(id(1), list(texts), settings).err();
    let priority = Priority::RESIGN;
    let refused = Some(ConfigError::Priority(Priority::try_from(0).unwrap_err()));
    assert_eq!(v2(&["10.0.0.1"], Vrrp2 { priority, ..Vrrp2::default() }), refused);
    assert_eq!(v3(&["10.0.0.1"], Vrrp3 { priority, ..Vrrp3::default() }), refused);

    let found = Duration::ZERO;
    let interval = Seconds::from_wire(0);
    let refused = Some(ConfigError::Interval(IntervalError::Seconds { found }));
    assert_eq!(v2(&["10.0.0.1"], Vrrp2 { interval, ..Vrrp2::default() }), refused);
    let interval = Centiseconds::from_wire(0);
    let refused = Some(ConfigError::Interval(IntervalError::Centiseconds { found }));
    assert_eq!(v3(&["10.0.0.1"], Vrrp3 { interval, ..Vrrp3::default() }), refused);

    assert_eq!(v2(&[], Vrrp2::default()), Some(ConfigError::NoAddress));
    assert_eq!(v3(&[], Vrrp3::default()), Some(ConfigError::NoAddress));
    assert_eq!(v2(&["fe80::1"], Vrrp2::default()), Some(ConfigError::Ipv6InVersion2));
    let mixed = Some(ConfigError::List(ListError::Mixed));
    assert_eq!(v2(&["10.0.0.1", "fe80::1"], Vrrp2::default()), mixed);
    assert_eq!(v3(&["10.0.0.1", "fe80::1"], Vrrp3::default()), mixed);
    let first = "2001:db8::1".parse().unwrap();
    let not_local = Some(ConfigError::List(ListError::NotLinkLocal { first }));
    assert_eq!(v3(&["2001:db8::1"], Vrrp3::default()), not_local);
    assert_eq!(v3(&["fe80::1", "2001:db8::1"], Vrrp3::default()), None);
    assert_eq!(v2(&["10.0.0.1"], Vrrp2::default()), None);
}

#[test]
fn what_is_carp_s_is_refused() {
    use carp_proto::election::Dialect;
    use carp_proto::{AdvBase, AdvSkew, Authenticator};
    let (base, skew) = (AdvBase::new(1).unwrap(), AdvSkew::new(0).unwrap());
    let with_interval = setup(Version::V3).config().with_interval(Dialect::Native, base, skew);
    assert_eq!(with_interval.err(), Some(ConfigError::NotCarp));
    let key = Key::new(b"love").unwrap();
    let previous = Authenticator::new(&key, id(42), &addresses(&["10.99.0.100"]));
    let with_previous = setup(Version::V2).config().with_previous(previous, secs(1));
    assert_eq!(with_previous.err(), Some(ConfigError::NotCarp));
}

#[test]
fn peers_are_hosts_of_the_router_s_family() {
    let config = || setup(Version::V3).config();
    assert_eq!(config().with_peers(vec![]).err(), Some(ConfigError::NoPeer));
    assert_eq!(config().with_accept_from(vec![]).err(), Some(ConfigError::NoPeer));
    for text in ["fe80::9", "224.0.0.18", "0.0.0.0", "255.255.255.255"] {
        let ip = text.parse().unwrap();
        let refused = Some(ConfigError::Peer { ip });
        assert_eq!(config().with_peers(vec![ip]).err(), refused);
        assert_eq!(config().with_accept_from(vec![ip]).err(), refused);
    }
    let both = config().with_peers(vec![ip(9)]).unwrap().with_accept_from(vec![ip(9)]);
    assert_eq!(both.err(), Some(ConfigError::PeersAndSenders));
    let both = config().with_accept_from(vec![ip(9)]).unwrap().with_peers(vec![ip(9)]);
    assert_eq!(both.err(), Some(ConfigError::PeersAndSenders));
    assert!(setup(Version::V3Ipv6).config().with_peers(vec!["fe80::9".parse().unwrap()]).is_ok());
}

#[test]
fn a_low_ttl_wants_peers_and_a_key() {
    let refused = |found| Some(ConfigError::MinTtl { found });
    let enforced = VrrpSetup { hmac: Some(hmac(HmacMode::Enforce)), ..setup(Version::V3) };
    let permissive = VrrpSetup { hmac: Some(hmac(HmacMode::Permissive)), ..setup(Version::V3) };
    let peers = |setup: &VrrpSetup| setup.config().with_peers(vec![ip(9)]).unwrap();
    assert_eq!(setup(Version::V3).config().with_min_ttl(255).err(), None);
    assert_eq!(peers(&enforced).with_min_ttl(250).err(), None);
    assert_eq!(peers(&enforced).with_min_ttl(0).err(), refused(0));
    assert_eq!(enforced.config().with_min_ttl(250).err(), refused(250), "no peers");
    assert_eq!(peers(&permissive).with_min_ttl(250).err(), refused(250), "no key needed");
    assert_eq!(peers(&setup(Version::V2)).with_min_ttl(250).err(), refused(250));
}

#[test]
fn the_defaults_are_those_of_the_standards() {
    let config = RouterConfig::vrrp3(id(1), addresses(&["10.0.0.1"]), Vrrp3::default()).unwrap();
    let standing = Standing::Vrrp { priority: Priority::DEFAULT, interval: secs(1) };
    assert_eq!((config.standing(), config.protocol()), (standing, Protocol::Vrrp3));
    assert_eq!((Priority::DEFAULT.get(), config.handover()), (100, secs(2)));
}

// Where adverts go, and whence they come.

#[test]
fn an_advert_goes_to_the_group_or_to_every_peer_with_a_checksum_of_its_own() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        let sent = rig.advertises();
        let meta = version.meta(version.host(5));
        assert_eq!(sent.iter().map(|(meta, _)| *meta).collect::<Vec<_>>(), [meta]);

        let peers: Vec<IpAddr> = [7, 8, 9].map(|host| version.host(host)).to_vec();
        let config = setup(version).config().with_peers(peers.clone()).unwrap();
        let mut rig = Rig::of(config, version.host(5)).backup();
        let sent = rig.advertises();
        let to: Vec<_> = sent.iter().map(|(meta, _)| meta.destination).collect();
        assert_eq!(to, peers, "{version:?}");
        for (meta, message) in &sent {
            let ok = match version {
                Version::V2 => v2::parse(message).unwrap().checksum_ok,
                Version::V3 | Version::V3Ipv6 => v3::parse(meta, message).unwrap().checksum.is_ok(),
            };
            assert!(ok, "{version:?}: {meta:?}");
        }
        assert_eq!(rig.router.snapshot(rig.now).counters.adverts_sent, 3);
    }
}

#[test]
fn with_peers_only_they_are_heard_and_only_by_unicast() {
    for version in Version::ALL {
        let peers = vec![version.host(9)];
        let config = setup(version).config().with_peers(peers).unwrap();
        let mut rig = Rig::of(config, version.host(5)).backup();
        let mut hears = |host, destination| {
            let meta = RxMeta { source: version.host(host), destination, ttl: 255 };
            let message = advert(version, &meta, 200, secs(1), ChecksumForm::PseudoHeader);
            label(&mut rig, &meta, &message)
        };
        assert_eq!(hears(9, version.host(5)), None, "{version:?}");
        assert_eq!(hears(8, version.host(5)), Some("unknown-peer"));
        let group = version.meta(version.host(9)).destination;
        assert_eq!(hears(9, group), Some("unknown-peer"));
    }
}

#[test]
fn of_the_group_some_can_be_chosen() {
    for version in Version::ALL {
        let (meta, message) = good(version);
        for (host, expected) in [(9, None), (8, Some("unknown-peer"))] {
            let sources = vec![version.host(host)];
            let config = setup(version).config().with_accept_from(sources).unwrap();
            let mut rig = Rig::of(config, version.host(5)).backup();
            assert_eq!(label(&mut rig, &meta, &message), expected, "{version:?}");
        }
    }
}

#[test]
fn the_same_id_in_the_other_family_is_another_router() {
    let (meta, message) = good(Version::V3Ipv6);
    let mut rig = setup(Version::V3).rig().backup();
    assert_eq!(label(&mut rig, &meta, &message), Some("malformed-ip"));
    let (meta, message) = good(Version::V3);
    let mut rig = setup(Version::V3Ipv6).rig().backup();
    assert_eq!(label(&mut rig, &meta, &message), Some("malformed-ip"));
}

#[test]
fn f48_the_own_advert_that_comes_back_is_a_loop() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        let sent = rig.advertises();
        assert_eq!(label(&mut rig, &sent[0].0, &sent[0].1), Some("own-loop"), "{version:?}");
    }
}

#[test]
fn a12_carp_and_the_other_version_are_told_by_structure() {
    let carp = support::advert(1, 0, 0, 5);
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        let meta = version.meta(version.host(9));
        assert_eq!(label(&mut rig, &meta, &carp), Some("foreign-protocol"), "{version:?}");
        let other = if version == Version::V2 { Version::V3 } else { Version::V2 };
        let (_, message) = good(other);
        assert_eq!(label(&mut rig, &meta, &message), Some("bad-version"));
        assert_eq!(rig.state(), State::Backup);
    }
}

#[test]
fn a11_what_means_nothing_is_rejected_and_touches_no_timer() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        let (meta, message) = good(version);
        rig.hears_bytes(&meta, &message).unwrap();
        rig.passes(secs(1));
        let (wait, before) = (rig.wait(), rig.router.snapshot(rig.now));
        let mut no_interval = message.clone();
        no_interval[if version == Version::V2 { 5..6 } else { 4..6 }].fill(0);
        let mut no_address = message.clone();
        let size = if version == Version::V3Ipv6 { 32 } else { 4 };
        no_address.drain(8..8 + size);
        no_address[3] = 0;
        let mut count = message.clone();
        count[3] += 1;
        for (mut bad, expected) in [
            (no_interval, "bad-interval"),
            (no_address, "bad-address-list"),
            (count, "bad-length"),
            (message[..message.len() - 1].to_vec(), "bad-length"),
            ([&message[..], &[0; 9000]].concat(), "bad-length"),
            (message[..7].to_vec(), "too-short"),
            (vec![], "too-short"),
        ] {
            if bad.len() >= 8 {
                match version {
                    Version::V2 => support::wire::sum_v2(&mut bad),
                    Version::V3 | Version::V3Ipv6 => support::wire::sum_v3(&meta, &mut bad),
                }
            }
            assert_eq!(label(&mut rig, &meta, &bad), Some(expected), "{version:?}");
            assert_eq!(rig.wait(), wait);
            assert_eq!(sent_by(&mut rig), []);
            assert_eq!(rig.router.snapshot(rig.now).peers, before.peers);
        }
    }
}

#[test]
fn a13_another_list_of_addresses_is_acted_on_with_a_remark() {
    let remarks = |version: Version, texts: &[&str]| {
        let list = addresses(texts);
        let other = match version {
            Version::V2 => RouterConfig::vrrp2(id(42), list, Vrrp2::default()),
            Version::V3 | Version::V3Ipv6 => RouterConfig::vrrp3(id(42), list, Vrrp3::default()),
        };
        let mut peer = Rig::of(other.unwrap(), version.host(9)).backup();
        let sent = peer.advertises();
        let mut rig = setup(version).rig().backup();
        rig.hears_bytes(&sent[0].0, &sent[0].1).unwrap();
        rig.router.snapshot(rig.now).peers[0].unwrap().remarks
    };
    for version in [Version::V2, Version::V3] {
        assert!(!remarks(version, &["10.99.0.100"]).other_addresses);
        assert!(remarks(version, &["10.99.0.101"]).other_addresses);
        assert!(remarks(version, &["10.99.0.100", "10.99.0.101"]).other_addresses);
    }
    assert!(!remarks(Version::V3Ipv6, &["fe80::77", "2001:db8::100"]).other_addresses);
    assert!(remarks(Version::V3Ipv6, &["fe80::100", "2001:db8::101"]).other_addresses);
    assert!(!remarks(Version::V3Ipv6, &["fe80::100", "2001:db8::100"]).lacks_link_local);
}

// Checksums.

#[test]
fn a_router_sends_the_checksum_that_it_hears() {
    let form_of = |rig: &mut Rig| {
        let sent = rig.advertises();
        let (meta, message) = &sent[0];
        let Checksum::Fits(form) = v3::parse(meta, message).unwrap().checksum else {
            panic!("{meta:?} fits both")
        };
        assert_eq!(rig.router.snapshot(rig.now).checksum, Some(form));
        form
    };
    let hear = |rig: &mut Rig, form| {
        let meta = Version::V3.meta(ip(9));
        let message = advert(Version::V3, &meta, 50, secs(1), form);
        rig.hears_bytes(&meta, &message).unwrap();
        assert_eq!(rig.router.snapshot(rig.now).peers[0].unwrap().checksum, Some(form));
        sent_by(rig);
    };
    let mut rig = setup(Version::V3).rig().serving();
    assert_eq!(form_of(&mut rig), ChecksumForm::PseudoHeader, "nothing was heard yet");
    for form in FORMS.into_iter().rev() {
        hear(&mut rig, form);
        assert_eq!(form_of(&mut rig), form);
    }
    for always in FORMS {
        let checksum = ChecksumMode::Always(always);
        let mut rig = VrrpSetup { checksum, ..setup(Version::V3) }.rig().serving();
        for form in FORMS {
            hear(&mut rig, form);
            assert_eq!(form_of(&mut rig), always);
        }
    }
}

#[test]
fn rejected_adverts_teach_no_checksum() {
    let mut rig = setup(Version::V3).rig().backup();
    let meta = RxMeta { ttl: 254, ..Version::V3.meta(ip(9)) };
    let message = advert(Version::V3, &meta, 200, secs(1), ChecksumForm::Message);
    assert_eq!(label(&mut rig, &meta, &message), Some("bad-ttl"));
    let snapshot = rig.router.snapshot(rig.now);
    assert_eq!(snapshot.checksum, Some(ChecksumForm::PseudoHeader));
}

// Passwords and signatures.

#[test]
fn a_password_is_sent_and_wanted() {
    let with = |secret: &[u8]| {
        let password = Some(Password::new(secret).unwrap());
        VrrpSetup { password, ..setup(Version::V2) }
    };
    let sent = |setup: VrrpSetup| {
        let mut peer = Rig::of(setup.config(), ip(9)).backup();
        peer.advertises().remove(0)
    };
    let plain = setup(Version::V2);
    for (ours, theirs, expected) in [
        (with(b"s3cr3t"), with(b"s3cr3t"), None),
        (with(b"s3cr3t"), with(b"other"), Some("bad-authentication")),
        (with(b"s3cr3t"), plain.clone(), Some("bad-authentication")),
        (plain.clone(), with(b"s3cr3t"), Some("bad-authentication")),
        (plain.clone(), plain, None),
    ] {
        let mut rig = ours.rig().backup();
        let (meta, message) = sent(theirs);
        assert_eq!(label(&mut rig, &meta, &message), expected);
    }
}

fn hmac(mode: HmacMode) -> HmacAuthenticator {
    let keys = vec![HmacKey::new(1, &[7; 32]).unwrap(), HmacKey::new(2, &[8; 32]).unwrap()];
    HmacAuthenticator::new(keys, 1, mode, AntiReplay::Time(Window::new(5).unwrap())).unwrap()
}

/// A router that signs, as host 9 or as ours, whose clock stands at this many seconds.
fn signer(version: Version, mode: HmacMode, host: u8, clock: u64) -> Rig {
    let setup = VrrpSetup { hmac: Some(hmac(mode)), ..setup(version) };
    let mut rig = Rig::of(setup.config(), version.host(host)).backup();
    rig.router.set_time_of_day(rig.now, secs(clock));
    rig
}

#[test]
fn signatures_are_sent_and_wanted_as_the_mode_says() {
    use HmacMode::{Enforce, Permissive, Receive};
    for version in Version::THREES {
        for (theirs, ours, accepted) in [
            (Receive, Receive, true),
            (Receive, Permissive, true),
            (Receive, Enforce, false),
            (Permissive, Receive, true),
            (Enforce, Enforce, true),
        ] {
            let mut peer = signer(version, theirs, 9, 1_000_000);
            let mut rig = signer(version, ours, 5, 1_000_001);
            for _ in 0..3 {
                let sent = peer.advertises();
                rig.passes(peer.now.saturating_since(rig.now));
                let outcome = label(&mut rig, &sent[0].0, &sent[0].1);
                let expected = if accepted { None } else { Some("bad-authentication") };
                assert_eq!(outcome, expected, "{version:?}: {theirs:?} to {ours:?}");
            }
        }
    }
}

#[test]
fn a_signature_is_good_once_and_for_a_while() {
    for version in Version::THREES {
        let mut peer = signer(version, HmacMode::Enforce, 9, 1_000_000);
        let (meta, message) = peer.advertises().remove(0);
        let mut rig = signer(version, HmacMode::Enforce, 5, 1_000_000);
        rig.passes(peer.now.saturating_since(rig.now));
        let mut forged = message.clone();
        forged[2] = 255;
        match version {
            Version::V2 | Version::V3 => support::wire::sum_v3(&meta, &mut forged[..12]),
            Version::V3Ipv6 => support::wire::sum_v3(&meta, &mut forged),
        }
        let verdict = |rig: &Rig| rig.router.snapshot(rig.now).last_verdict;
        let wait = rig.wait();
        assert_eq!(label(&mut rig, &meta, &forged), Some("bad-authentication"));
        assert_eq!((verdict(&rig), rig.wait()), (Some(Verdict::Forged), wait));
        assert_eq!(label(&mut rig, &meta, &message), None, "{version:?}");
        assert_eq!(verdict(&rig), Some(Verdict::Verified));

        rig.passes(secs(1));
        let wait = rig.wait();
        assert_eq!(label(&mut rig, &meta, &message), Some("bad-authentication"));
        assert_eq!((verdict(&rig), rig.wait()), (Some(Verdict::Repeated), wait));

        let mut late = signer(version, HmacMode::Enforce, 5, 1_000_060);
        assert_eq!(label(&mut late, &meta, &message), Some("bad-authentication"));
        assert!(matches!(verdict(&late), Some(Verdict::Stale { .. })));
    }
}

#[test]
fn every_peer_gets_the_same_signature() {
    let peers = vec![ip(7), ip(8)];
    let setup = VrrpSetup { hmac: Some(hmac(HmacMode::Enforce)), ..setup(Version::V3) };
    let config = setup.config().with_peers(peers).unwrap();
    let mut rig = Rig::of(config, ip(5)).backup();
    rig.router.set_time_of_day(rig.now, secs(1_000_000));
    let sent = rig.advertises();
    let trailers: Vec<_> = sent.iter().map(|(_, message)| &message[12..]).collect();
    assert_eq!((trailers.len(), trailers[0].len(), trailers[0]), (2, 28, trailers[1]));
}

// The adverts of others.

/// Two routers that are elected and stopped one after the other, and how we take part.
struct Conversation {
    name: &'static str,
    id: u8,
    protocol: Protocol,
    texts: &'static [&'static str],
    interval: Duration,
    password: Option<&'static [u8]>,
}

impl Conversation {
    /// A router of the worst priority but one.
    fn router(&self) -> VirtualRouter {
        let (list, priority) = (addresses(self.texts), Priority::from_wire(2));
        let config = match self.protocol {
            Protocol::Vrrp2 => {
                let interval = Seconds::try_from(self.interval).unwrap();
                let password = self.password.map(|secret| Password::new(secret).unwrap());
                RouterConfig::vrrp2(id(self.id), list, Vrrp2 { priority, interval, password })
            }
            Protocol::Vrrp3 => {
                RouterConfig::vrrp3(id(self.id), list, Vrrp3 { priority, ..Vrrp3::default() })
            }
            Protocol::Carp => panic!("not VRRP"),
        };
        VirtualRouter::new(config.unwrap())
    }
}

const CONVERSATIONS: [Conversation; 7] = [
    Conversation {
        name: "keepalived-v2-noauth-elect-stop.pcap",
        id: 51,
        protocol: Protocol::Vrrp2,
        texts: &["10.99.0.150", "10.99.0.151"],
        interval: Duration::from_secs(1),
        password: None,
    },
    Conversation {
        name: "keepalived-v2-auth-pass.pcap",
        id: 52,
        protocol: Protocol::Vrrp2,
        texts: &["10.99.0.152"],
        interval: Duration::from_secs(1),
        password: Some(b"s3cr3t"),
    },
    Conversation {
        name: "frr-sigterm.pcap",
        id: 70,
        protocol: Protocol::Vrrp2,
        texts: &["10.99.0.70"],
        interval: Duration::from_secs(1),
        password: None,
    },
    Conversation {
        name: "keepalived-v3-ipv4-centisec.pcap",
        id: 54,
        protocol: Protocol::Vrrp3,
        texts: &["10.99.0.154"],
        interval: Duration::from_millis(250),
        password: None,
    },
    Conversation {
        name: "keepalived-v3-ipv6.pcap",
        id: 55,
        protocol: Protocol::Vrrp3,
        texts: &["fe80::5555", "2001:db8:99::55"],
        interval: Duration::from_secs(1),
        password: None,
    },
    Conversation {
        name: "frr-v3-ipv4-ipv6-stop.pcap",
        id: 70,
        protocol: Protocol::Vrrp3,
        texts: &["10.99.0.70"],
        interval: Duration::from_secs(1),
        password: None,
    },
    Conversation {
        name: "frr-v3-ipv4-ipv6-stop.pcap",
        id: 70,
        protocol: Protocol::Vrrp3,
        texts: &["fe80::70", "2001:db8:99::70"],
        interval: Duration::from_secs(1),
        password: None,
    },
];

#[test]
fn a_backup_follows_keepalived_and_frr_and_takes_over_when_they_have_left() {
    for conversation in &CONVERSATIONS {
        let Conversation { name, texts, interval, protocol, .. } = conversation;
        let ipv6 = texts[0].contains(':');
        let source = if ipv6 { "fe80::77".parse().unwrap() } else { ip(77) };
        let config = conversation.router().config().clone();
        let mut rig = Rig::of(config, source);
        let of_family = |frame: &pcap::Frame| {
            let carried = ip_header::find_message(&frame.bytes[14..], false);
            carried.is_some_and(|carried| carried.meta.source.is_ipv6() == ipv6)
        };
        let frames: Vec<_> = pcap::read(name).into_iter().filter(of_family).collect();
        let (origin, start) = (frames[0].at, rig.now);
        rig = rig.backup();
        let mut priorities = Vec::new();
        for frame in &frames {
            let carried = ip_header::find_message(&frame.bytes[14..], false).unwrap();
            let at = start + (frame.at - origin);
            let effects = rig.runs(at.saturating_since(rig.now));
            assert_eq!(effects, [], "{name} frame {}", frame.number);
            let outcome = rig.hears_bytes(&carried.meta, carried.payload);
            assert_eq!(outcome, Ok(()), "{name} frame {}", frame.number);
            let peer = rig.router.snapshot(rig.now).peers[0].unwrap();
            let Standing::Vrrp { priority, interval: said } = peer.advertised else {
                panic!("{peer:?}")
            };
            assert_eq!((peer.source, said), (carried.meta.source, *interval));
            assert!(!peer.remarks.other_addresses, "{name}");
            assert_eq!(peer.remarks.lacks_link_local, ipv6 && name.starts_with("frr"));
            let version_3 = *protocol == Protocol::Vrrp3;
            assert_eq!(peer.checksum, version_3.then_some(ChecksumForm::PseudoHeader));
            priorities.push(priority.get());
        }
        priorities.dedup();
        assert!([&[150, 0, 100, 0][..], &[150, 0]].contains(&&priorities[..]), "{priorities:?}");
        // The last has resigned: ours is the next, after its skew time.
        let part = if *protocol == Protocol::Vrrp2 { secs(1) } else { *interval };
        assert_eq!(rig.wait(), part * 254 / 256, "{name}");
        assert_eq!(rig.times_out(), [Effect::Priority(2), Effect::Acquire]);
        let active = Effect::State(State::Backup, State::Active, Cause::Resigned);
        assert_eq!(rig.input(Input::Acquired), [active]);
    }
}

#[test]
fn own_adverts_that_come_back_change_nothing_in_any_state() {
    for version in Version::ALL {
        let rigs = [
            setup(version).rig().backup(),
            setup(version).rig().acquiring(),
            setup(version).rig().serving(),
            setup(version).rig().leaving(Input::Yield),
        ];
        for mut rig in rigs {
            let mut undisturbed = rig.clone();
            let meta = version.meta(rig.source);
            for priority in [254, 100, 0] {
                let own = advert(version, &meta, priority, secs(1), ChecksumForm::PseudoHeader);
                assert_eq!(rig.hears_bytes(&meta, &own), Err(Reject::OwnLoop), "{version:?}");
            }
            let (heard, silent) = (rig.runs(secs(10)), undisturbed.runs(secs(10)));
            assert_eq!(heard, silent, "{version:?}: as if nothing had come");
        }
    }
}
