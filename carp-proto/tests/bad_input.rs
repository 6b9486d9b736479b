//! What is wrong is rejected under its label by every kind of router in every state, and nothing else
//! happens.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;

use carp_proto::election::{Deadline, Input, LinkState};
use carp_proto::wire::ip;
use carp_proto::{Instant, Reject, RxMeta, VirtualRouter};
use support::peers::{Datagram, Extra, Peers, Said, signer};
use support::steps::drain;
use support::vrrp::Version;
use support::wire::flipped;
use support::wrong::{Wrong, sum};
use support::{Effect, Rig, Rigged as _, Setup, secs};

/// How far a router has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Following,
    Acquiring,
    Serving,
    Leaving,
}

const STAGES: [Stage; 5] =
    [Stage::New, Stage::Following, Stage::Acquiring, Stage::Serving, Stage::Leaving];

/// As good as our routers, and better than nobody.
const ORDINARY: Said = Said { advbase: 1, advskew: 100, demotion: 0 };

impl Stage {
    /// A router at host 5 that has come so far, half a second ago.
    fn rig(self, setup: Setup) -> Rig {
        let mut rig = setup.member();
        if self != Self::New {
            rig.input(Input::Start);
            rig.link_up();
        }
        match self {
            Self::New => {}
            Self::Following => {
                let (meta, message) = Peers::new(setup).advert(rig.now, 9, ORDINARY);
                assert_eq!(rig.hears_bytes(&meta, &message), Ok(()));
            }
            Self::Acquiring | Self::Serving | Self::Leaving => {
                assert_eq!(rig.times_out().last(), Some(&Effect::Acquire));
            }
        }
        if matches!(self, Self::Serving | Self::Leaving) {
            rig.input(Input::Acquired);
        }
        if self == Self::Leaving {
            assert_eq!(rig.input(Input::Stop).last(), Some(&Effect::Resign));
        }
        rig.passes(support::ms(5));
        rig
    }
}

/// What somebody may do to a router.
#[derive(Clone, Copy, Debug)]
enum Then {
    TimesOut,
    /// It gets what it needs to run.
    Starts,
    Acquires,
    /// Hears a good advert.
    Hears,
}

/// Two ways to go on: whatever there is in a router that counts shows in one of them.
const FUTURES: [[Then; 6]; 2] = [
    [Then::Hears, Then::TimesOut, Then::Acquires, Then::TimesOut, Then::TimesOut, Then::Starts],
    [Then::Starts, Then::TimesOut, Then::Acquires, Then::TimesOut, Then::Hears, Then::TimesOut],
];

/// What a router does and sends when this happens to it.
fn future(
    router: &VirtualRouter,
    setup: Setup,
    mut now: Instant,
    happens: &[Then],
) -> Vec<(Vec<Effect>, Vec<Datagram>)> {
    let mut router = router.clone();
    let mut all = vec![drain(&mut router)];
    for then in happens {
        match then {
            Then::TimesOut => {
                let deadline = router.poll_timeout().map(|Deadline { at, .. }| at);
                now = deadline.map_or(now, |at| at.max(now));
                router.handle(now, Input::Timeout);
            }
            Then::Starts => {
                router.handle(now, Input::Start);
                router.handle(now, Input::Link(LinkState::Up { source: setup.host(5) }));
            }
            Then::Acquires => router.handle(now, Input::Acquired),
            Then::Hears => {
                let (meta, message) = Peers::new(setup).advert(now, 9, ORDINARY);
                assert_eq!(router.handle_datagram(now, &meta, &message), Ok(()));
            }
        }
        all.push(drain(&mut router));
    }
    all
}

/// Gives a router something that it rejects: under which label. Nothing changes but counters.
fn rejects(
    rig: &mut Rig,
    setup: Setup,
    give: impl FnOnce(&mut Rig) -> Result<(), Reject>,
) -> Option<&'static str> {
    let before = rig.router.clone();
    let reject = give(rig).err()?;
    let after = &rig.router;
    assert_eq!((after.state(), after.poll_timeout()), (before.state(), before.poll_timeout()));
    let [then, now] = [&before, after].map(|router| router.snapshot(rig.now));
    assert_eq!((now.phase, now.since, now.transitions), (then.phase, then.since, then.transitions));
    assert_eq!((now.peers, now.learned, now.held), (then.peers, then.learned, then.held));
    assert_eq!((now.advertised, now.checksum), (then.advertised, then.checksum));
    let [now, then] = [now.counters, then.counters];
    assert_eq!(now.adverts_received, then.adverts_received);
    for ((label, now), (_, then)) in now.rejected.iter().zip(then.rejected.iter()) {
        assert_eq!(now - then, u64::from(label == reject.label()), "{label}");
    }
    for happens in FUTURES {
        let [then, now] = [&before, after].map(|it| future(it, setup, rig.now, &happens));
        assert_eq!(now, then, "{reject}");
    }
    Some(reject.label())
}

fn rejects_datagram(
    rig: &mut Rig,
    setup: Setup,
    (meta, message): &Datagram,
) -> Option<&'static str> {
    rejects(rig, setup, |rig| rig.hears_bytes(meta, message))
}

/// The same for a packet as it comes from the link.
fn rejects_packet(rig: &mut Rig, setup: Setup, packet: &[u8]) -> Option<&'static str> {
    rejects(rig, setup, |rig| {
        let opened = match setup.family() {
            Version::V2 | Version::V3 => ip::strip_ipv4(packet),
            Version::V3Ipv6 => ip::strip_ipv6(packet),
        };
        match opened {
            Ok((meta, message)) => rig.hears_bytes(&meta, message),
            Err(error) => {
                rig.router.note_reject(rig.now, None, error.into());
                Err(error.into())
            }
        }
    })
}

/// A packet with these headers and this message.
fn packet(meta: &RxMeta, message: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    match (meta.source, meta.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ip::emit_ipv4(source, destination, message.len(), &mut packet);
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            packet.extend([0x60, 0, 0, 0]);
            packet.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
            packet.extend([112, 255]);
            packet.extend(source.octets());
            packet.extend(destination.octets());
        }
        (source, destination) => panic!("{source} to {destination}"),
    }
    packet.extend(message);
    packet
}

#[test]
fn f44_every_mistake_has_its_label_and_its_counter_and_changes_nothing() {
    let mut met = Vec::new();
    for setup in Setup::every() {
        for stage in STAGES {
            for wrong in Wrong::ALL {
                let Some(expected) = wrong.label(setup) else { continue };
                // Without a link there is no own source.
                if stage == Stage::New && expected == "own-loop" && wrong == Wrong::OwnSource {
                    continue;
                }
                let mut rig = stage.rig(setup);
                let datagram = wrong.datagram(setup, rig.now);
                let label = rejects_datagram(&mut rig, setup, &datagram);
                let what = (setup.vrrp, setup.extra, setup.dialect, stage);
                assert_eq!(label, Some(expected), "{wrong:?}: {what:?}");
                met.push(expected);
            }
        }
    }
    for label in Reject::LABELS {
        assert!(met.contains(&label), "{label}");
    }
}

#[test]
fn a_repeated_signature_is_rejected_in_every_state_and_changes_nothing() {
    for version in Version::THREES {
        let setup = Setup { vrrp: Some(version), extra: Extra::Signatures, ..Setup::new() };
        for stage in STAGES {
            let mut rig = stage.rig(setup);
            let datagram = Peers::new(setup).advert(rig.now, 9, ORDINARY);
            rig.hears_bytes(&datagram.0, &datagram.1).unwrap();
            drain(&mut rig.router);
            for wait in [1, 1, 3600] {
                rig.passes(secs(wait));
                let label = rejects_datagram(&mut rig, setup, &datagram);
                assert_eq!(label, Some("bad-authentication"), "{stage:?}");
            }
        }
    }
}

#[test]
fn a_signature_is_looked_at_when_all_else_is_right() {
    for version in Version::THREES {
        let setup = Setup { vrrp: Some(version), extra: Extra::Signatures, ..Setup::new() };
        for wrong in Wrong::ALL {
            let expected = wrong.label(setup).filter(|label| *label != "bad-authentication");
            let Some(expected) = expected else { continue };
            for signer in [None, Some(signer((9, [9; 32])))] {
                let mut rig = setup.member().backup();
                let strangers = Peers::new(setup).with_signer(signer);
                let datagram = wrong.datagram_by(strangers, setup, rig.now);
                let label = rejects_datagram(&mut rig, setup, &datagram);
                assert_eq!(label, Some(expected), "{version:?}: {wrong:?}");
                assert_eq!(rig.router.snapshot(rig.now).last_verdict, None);
            }
        }
    }
}

#[test]
fn what_is_rejected_before_an_advert_is_written_does_not_change_its_signature() {
    for version in Version::THREES {
        let setup = Setup { vrrp: Some(version), extra: Extra::Signatures, ..Setup::new() };
        let mut rig = Stage::Serving.rig(setup);
        let wait = rig.wait();
        rig.passes(wait);
        rig.router.handle(rig.now, Input::Timeout);
        let mut other = rig.clone();
        let (meta, message) = Wrong::Ttl.datagram(setup, other.now);
        assert!(other.passes(secs(3)).hears_bytes(&meta, &message).is_err());
        let [expected, sent] = [rig, other].map(|mut rig| drain(&mut rig.router).1);
        assert_eq!((expected.len(), sent), (1, expected));
    }
}

/// Whether an advert is accepted although this bit of its IP header was flipped.
fn is_nobody_s_business(setup: Setup, bit: usize) -> bool {
    let (vrrp, extra) = (setup.vrrp, setup.extra);
    let plain = matches!(vrrp, None | Some(Version::V2)) || extra == Extra::MessageChecksum;
    // Where not all hosts are heard, two bits make one that is another one that is.
    let source = |from: usize, to: usize| {
        let start = if extra.is_selective() { to - 2 } else { from };
        plain && (start..to).contains(&bit)
    };
    match setup.family() {
        // Type of service, identification, a reserved flag, don't fragment, and the header's checksum,
        // which the kernel looks at.
        Version::V2 | Version::V3 => {
            // Which of our addresses a peer sends to, the kernel knows.
            let destination = plain && extra == Extra::Peers && (128..160).contains(&bit);
            matches!(bit, 8..16 | 32..50 | 80..96) || source(96, 128) || destination
        }
        // Traffic class and flow label.
        Version::V3Ipv6 => (4..32).contains(&bit) || source(64, 192),
    }
}

#[test]
fn f42_every_flipped_bit_of_a_packet_is_rejected_and_changes_nothing() {
    for setup in Setup::every() {
        for stage in [Stage::Following, Stage::Serving] {
            let rig = stage.rig(setup);
            let (meta, message) = Peers::new(setup).advert(rig.now, 9, ORDINARY);
            let good = packet(&meta, &message);
            for bit in 0..8 * good.len() {
                let bad = flipped(&good, bit);
                let label = rejects_packet(&mut rig.clone(), setup, &bad);
                let what = (setup.vrrp, setup.extra, stage);
                assert_eq!(label.is_none(), is_nobody_s_business(setup, bit), "{bit}: {what:?}");
            }
        }
    }
}

/// What a backup says to a packet.
fn label(setup: Setup, change: impl FnOnce(&mut Datagram, &mut Vec<u8>)) -> Option<&'static str> {
    let mut rig = Stage::Following.rig(setup);
    let mut datagram = Peers::new(setup).advert(rig.now + secs(1), 9, ORDINARY);
    let mut packet = packet(&datagram.0, &datagram.1);
    change(&mut datagram, &mut packet);
    rig.passes(secs(1));
    rejects_packet(&mut rig, setup, &packet)
}

#[test]
fn f43_padding_and_options_are_no_part_of_a_message() {
    for setup in Setup::every() {
        let ipv6 = setup.family() == Version::V3Ipv6;
        for padding in [1, 4, 18, 46] {
            let label = label(setup, |_, packet| packet.extend(vec![0xff; padding]));
            assert_eq!(label, None, "{setup:?}: {padding} bytes");
        }
        for eighths in [1, 4] {
            let label = label(setup, |_, packet| {
                let len = 8 * eighths;
                let mut options = vec![1; len];
                if ipv6 {
                    [options[0], options[1]] = [112, u8::try_from(eighths - 1).unwrap()];
                    packet[6] = 0;
                    packet[5] += u8::try_from(len).unwrap();
                    packet.splice(40..40, options);
                } else {
                    packet[0] += u8::try_from(len / 4).unwrap();
                    packet[3] += u8::try_from(len).unwrap();
                    packet.splice(20..20, options);
                }
            });
            assert_eq!(label, None, "{setup:?}: {eighths} times 8 bytes");
        }
    }
}

#[test]
fn f43_fragments_are_rejected() {
    for setup in Setup::every() {
        for (high, low) in [(0x20, 0), (0, 1), (0x20, 1), (0x1f, 0xff)] {
            let label = label(setup, |_, packet| {
                if setup.family() == Version::V3Ipv6 {
                    // The offset in units of eight bytes, three bits for flags.
                    let more = u8::from(high & 0x20 != 0);
                    packet.splice(40..40, [112, 0, high & 0x1f, low << 3 | more, 0, 0, 0, 0]);
                    packet[5] += 8;
                    packet[6] = 44;
                } else {
                    [packet[6], packet[7]] = [high, low];
                }
            });
            assert_eq!(label, Some("malformed-ip"), "{setup:?}: {high:02x} {low:02x}");
        }
    }
}

#[test]
fn f43_every_other_length_is_rejected() {
    for setup in Setup::every() {
        let (carp, signed) = (setup.vrrp.is_none(), setup.extra == Extra::Signatures);
        let ipv6 = setup.family() == Version::V3Ipv6;
        let header = if ipv6 { 40 } else { 20 };
        let whole = Peers::new(setup).advert(Instant::ZERO, 9, ORDINARY).1.len();
        for len in (0..whole).chain(whole + 1..whole + 60).chain([1500, 9000]) {
            let of_len = |(meta, message): &mut Datagram, bytes: &mut Vec<u8>| {
                message.resize(len, 0);
                *bytes = packet(meta, message);
            };
            let expected = match len {
                0..8 => "too-short",
                // The header and an address for each of the seven words of authlen.
                44 if carp => "foreign-protocol",
                _ if carp && len < 36 => "too-short",
                // The message without its signature. Over IPv6 the checksum covers both.
                _ if signed && len + 28 == whole && ipv6 => "bad-checksum",
                _ if signed && len + 28 == whole => "bad-authentication",
                _ => "bad-length",
            };
            assert_eq!(label(setup, of_len), Some(expected), "{setup:?}: {len} bytes");
        }
        for len in 0..header + whole {
            let expected = if len < header { "too-short" } else { "malformed-ip" };
            let label = label(setup, |_, packet| packet.truncate(len));
            assert_eq!(label, Some(expected), "{setup:?}: cut to {len} bytes");
        }
    }
}

#[test]
fn what_is_wrong_with_the_ip_header_comes_before_all_that_is_wrong_with_the_message() {
    for setup in Setup::every() {
        for wrong in Wrong::ALL.into_iter().filter(|wrong| wrong.label(setup).is_some()) {
            let mut rig = Stage::Following.rig(setup);
            let (meta, message) = wrong.datagram(setup, rig.now);
            if meta.source.is_ipv6() != (setup.family() == Version::V3Ipv6)
                || meta.destination.is_ipv6() != meta.source.is_ipv6()
            {
                continue;
            }
            let mut packet = packet(&meta, &message);
            packet.push(0);
            packet[if meta.source.is_ipv6() { 6 } else { 9 }] = 17;
            let label = rejects_packet(&mut rig, setup, &packet);
            assert_eq!(label, Some("malformed-ip"), "{wrong:?}: {setup:?}");
        }
    }
}

#[test]
fn a_checksum_over_what_was_changed_lets_pass_what_nothing_else_covers() {
    // CARP's digest covers neither rank nor demotion; VRRP without a key covers nothing.
    for setup in Setup::every() {
        let mut rig = Stage::Following.rig(setup);
        let (meta, mut message) = Peers::new(setup).advert(rig.now, 9, ORDINARY);
        message[2] ^= 1;
        sum(setup, &meta, &mut message);
        let label = rejects_datagram(&mut rig, setup, &(meta, message));
        let signed = setup.extra == Extra::Signatures;
        assert_eq!(label, signed.then_some("bad-authentication"), "{setup:?}");
    }
}
