//! How late our daemon's adverts are while somebody sends it rejected ones. No peer is run under them.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::stats::millis;
use carp_node::lab::{AddressWatch, Flooded, Host, Lab, Tap, mac};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{GROUP_IPV4, emit_ipv4};
use carp_proto::{Authenticator, CarpInterval, Key, MacAddr, VirtualAddress, VirtualId};

use crate::contender::{Candidate, KEY, Manner, QUICK, Role};
use crate::cost::{Sample, expect_proc};
use crate::rack::{Rack, Server, VIP};

/// How many a second, and for how long.
pub(crate) const RATE: u32 = 50_000;
pub(crate) const TIME: Duration = Duration::from_secs(10);

/// From the start to where only adverts are sent.
const SETTLES: Duration = Duration::from_secs(8);

/// Who sends them.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 66);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nothing,
    BadChecksum,
    BadDigest,
    OtherId,
}

/// What one flood has shown.
#[derive(Clone, Debug)]
pub(crate) struct FloodRound {
    pub(crate) kind: Kind,
    pub(crate) number: usize,
    /// Packets a second that were really sent.
    pub(crate) rate: f64,
    /// By how much each advert was late, in milliseconds: the time since the one before, less the
    /// interval; less than zero if it was early.
    pub(crate) lateness: Vec<f64>,
    /// The same for a loop that does nothing but sleep for that interval, at the same time: what the machine
    /// itself makes late.
    pub(crate) bare: Vec<f64>,
    /// How often the address came or left, on both servers.
    pub(crate) moves: usize,
    /// Processor time of the active daemon and of the backup, in percent of one processor.
    pub(crate) active_cpu: f64,
    pub(crate) backup_cpu: f64,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] =
        [Self::Nothing, Self::BadChecksum, Self::BadDigest, Self::OtherId];

    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Nothing => "at rest",
            Self::BadChecksum => "bad checksums",
            Self::BadDigest => "bad digests",
            Self::OtherId => "other ids",
        }
    }

    /// An excellent advert but for that.
    fn frame(self) -> Result<Vec<u8>> {
        let key = if self == Self::BadDigest { "another" } else { KEY };
        let vhid = if self == Self::OtherId { 2 } else { 1 };
        let id = VirtualId::new(vhid)?;
        let counter = 1;
        let signer =
            Authenticator::new(&Key::new(key.as_bytes())?, id, &[VirtualAddress::new(VIP, None)?]);
        let interval = CarpInterval { advbase: 0, advskew: 1 };
        let digest = signer.digest(counter);
        let mut message = Vec::new();
        carp::emit(&Advert { vhid, interval, demotion: 0, counter, digest }, &mut message);
        if self == Self::BadChecksum {
            // It covers the counter, which is sent as it was before.
            message[6] ^= 1;
        }
        let mut frame = Vec::new();
        ethernet::emit(&mut frame, MacAddr::ADVERTISEMENT_IPV4, mac(66), ethernet::TYPE_IPV4);
        emit_ipv4(ATTACKER, GROUP_IPV4, message.len(), &mut frame);
        frame.extend_from_slice(&message);
        Ok(frame)
    }
}

/// Plays one round: every kind, at both servers of one pair.
pub(crate) fn play(lab: &Lab, candidate: &Candidate, number: usize) -> Result<Vec<FloodRound>> {
    expect_proc()?;
    let quick = candidate.with(Manner::Quick);
    let mut rack = Rack::new(lab, &quick, &format!("flood-{number}"))?;
    let attacker = rack.switch.host("attacker", mac(66), &[&format!("{ATTACKER}/24")])?;
    let servers = [&rack.primary, &rack.secondary];
    let watches = servers.map(|server| server.host.watch_addresses());
    let watches = watches.into_iter().collect::<std::result::Result<Vec<_>, _>>()?;
    rack.start()?;
    thread::sleep(SETTLES);
    let scene = Scene { rack, attacker, watches };
    Kind::ALL.into_iter().map(|kind| scene.flood(kind, number)).collect()
}

/// A pair, who attacks it, and who watches the addresses.
struct Scene<'a> {
    rack: Rack<'a>,
    attacker: Host,
    watches: Vec<AddressWatch>,
}

impl Scene<'_> {
    fn flood(&self, kind: Kind, number: usize) -> Result<FloodRound> {
        let sent = self.rack.primary.host.tap_sent()?;
        let before = cpu(&self.rack)?;
        let bare = thread::spawn(sleep_and_wake);
        let begin = Instant::now();
        let flooded = self.send(kind)?;
        let end = Instant::now();
        let after = cpu(&self.rack)?;
        let percent =
            |index: usize| (after[index] - before[index]) / (end - begin).as_secs_f64() * 100.0;
        let changes = self.watches.iter().flat_map(AddressWatch::changes);
        Ok(FloodRound {
            kind,
            number,
            rate: flooded.rate(),
            lateness: lateness(&sent),
            bare: bare.join().map_err(|_| "the bare timer has panicked")?,
            moves: changes.filter(|change| (begin..end).contains(&change.at)).count(),
            active_cpu: percent(0),
            backup_cpu: percent(1),
        })
    }

    fn send(&self, kind: Kind) -> Result<Flooded> {
        if kind == Kind::Nothing {
            thread::sleep(TIME);
            return Ok(Flooded { sent: 0, time: TIME });
        }
        Ok(self.attacker.flood(vec![kind.frame()?], RATE, TIME)?.wait()?)
    }
}

/// By how much a loop that only sleeps is late.
fn sleep_and_wake() -> Vec<f64> {
    let begin = Instant::now();
    let times = (1..).map(|number| begin + QUICK * number).take_while(|at| *at < begin + TIME);
    let wake = |at: Instant| {
        thread::sleep(at.saturating_duration_since(Instant::now()));
        millis(at.elapsed())
    };
    times.map(wake).collect()
}

/// By how much each advert of the primary was late.
fn lateness(sent: &Tap) -> Vec<f64> {
    let frames = sent.frames();
    let adverts = frames.iter().filter(|it| it.advert_source() == Some(Role::Primary.address()));
    let times: Vec<_> = adverts.map(|frame| frame.at).collect();
    times.windows(2).map(|pair| millis(pair[1] - pair[0]) - millis(QUICK)).collect()
}

fn cpu(rack: &Rack<'_>) -> Result<[f64; 2]> {
    let of = |server: &Server<'_>| {
        Ok::<_, carp_benches::Failure>(Sample::take(server.daemon()?.id())?.cpu)
    };
    Ok([of(&rack.primary)?, of(&rack.secondary)?])
}
