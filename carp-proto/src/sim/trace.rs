//! What happened in a run: a fingerprint of all of it, and a transcript for people.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::fault::Fault;
use crate::election::{Advertisement, Bar, Event, Evidence, Input, Standing};
use crate::reject::Reject;

/// A fingerprint of a run: equal for equal runs, on every machine.
///
/// It says whether two runs are the same. It is no defence against somebody who wants two different
/// runs to have the same one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceHash(u128);

impl TraceHash {
    /// The hash with this number.
    #[must_use]
    pub const fn from_number(number: u128) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Mixes words into 128 bits: two lanes of multiply and rotate, as in `MurmurHash3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixer {
    lanes: [u64; 2],
    words: u64,
}

impl Mixer {
    pub(crate) const fn new() -> Self {
        Self { lanes: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344], words: 0 }
    }

    pub(crate) const fn word(&mut self, word: u64) {
        const C1: u64 = 0x87c3_7b91_1142_53d5;
        const C2: u64 = 0x4cf5_ad43_2745_937f;
        let [mut a, mut b] = self.lanes;
        a ^= word.wrapping_mul(C1).rotate_left(31).wrapping_mul(C2);
        a = a.rotate_left(27).wrapping_add(b).wrapping_mul(5).wrapping_add(0x52dc_e729);
        b ^= word.wrapping_mul(C2).rotate_left(33).wrapping_mul(C1);
        b = b.rotate_left(31).wrapping_add(a).wrapping_mul(5).wrapping_add(0x3849_5ab5);
        self.lanes = [a, b];
        self.words += 1;
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.word(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.number(bytes.len());
    }

    pub(crate) fn number(&mut self, number: usize) {
        self.word(u64::try_from(number).unwrap_or(u64::MAX));
    }

    pub(crate) fn time(&mut self, time: Duration) {
        self.word(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn finish(self) -> TraceHash {
        let [mut a, mut b] = self.lanes.map(|lane| lane ^ self.words);
        a = a.wrapping_add(b);
        b = b.wrapping_add(a);
        [a, b] = [a, b].map(avalanche);
        a = a.wrapping_add(b);
        b = b.wrapping_add(a);
        TraceHash((u128::from(a) << u64::BITS) | u128::from(b))
    }
}

const fn avalanche(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

/// Something that happened, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The time since the beginning of the run.
    pub at: Duration,
    /// The number of the host.
    pub host: usize,
    /// The number of the link.
    pub link: usize,
    /// What.
    pub what: What,
}

/// What happened to a router, or on its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// Something was done to the host or its link.
    Fault(Fault),
    /// The router was told something, by hand or by its group.
    Told(Input),
    /// It sent an advert.
    Sent(Advertisement, Standing),
    /// It took in an advert of another host.
    Heard {
        /// That host.
        from: usize,
    },
    /// It did not act on a datagram.
    Rejected(Reject),
    /// A datagram of this host was lost on the way to another.
    Lost {
        /// That host.
        to: usize,
    },
    /// The addresses are there, and announced.
    Acquired,
    /// They could not be taken.
    AcquireFailed,
    /// They are gone.
    Released,
    /// They were announced again.
    Announced,
    /// The kernel dropped them: nobody had renewed their lease.
    Expired,
    /// The guard took them down and said that the router resigns.
    Guarded,
    /// The router reported.
    Event(Event),
}

impl What {
    /// A number for the kind, and what more there is to say.
    fn mix(&self, mixer: &mut Mixer) {
        match *self {
            Self::Fault(fault) => {
                mixer.word(1);
                fault.mix(mixer);
            }
            Self::Told(input) => {
                mixer.word(2);
                mix_input(input, mixer);
            }
            Self::Sent(Advertisement::Claim, _) => mixer.word(3),
            Self::Sent(Advertisement::Resign, _) => mixer.word(4),
            Self::Heard { from } => {
                mixer.word(5);
                mixer.number(from);
            }
            Self::Rejected(reject) => {
                mixer.word(6);
                mixer.bytes(reject.label().as_bytes());
            }
            Self::Lost { to } => {
                mixer.word(7);
                mixer.number(to);
            }
            Self::Acquired => mixer.word(8),
            Self::AcquireFailed => mixer.word(9),
            Self::Released => mixer.word(10),
            Self::Announced => mixer.word(11),
            Self::Expired => mixer.word(12),
            Self::Guarded => mixer.word(13),
            Self::Event(event) => {
                mixer.word(14);
                mix_event(event, mixer);
            }
        }
    }
}

fn mix_event(event: Event, mixer: &mut Mixer) {
    match event {
        Event::State { from, to, cause, evidence } => {
            let names = [from.name(), to.name(), cause.name()];
            names.iter().for_each(|name| mixer.bytes(name.as_bytes()));
            let Evidence { peer: _, silent_for, fault: _, late_by } = evidence;
            mixer.time(silent_for.unwrap_or_default());
            mixer.time(late_by.unwrap_or_default());
        }
        Event::Rival { source: _ } => mixer.word(1),
        Event::AddressLost => mixer.word(2),
        Event::AddressExpired => mixer.word(3),
        Event::YieldUnanswered => mixer.word(4),
    }
}

fn mix_input(input: Input, mixer: &mut Mixer) {
    let (kind, number) = match input {
        Input::Start => (1, 0),
        Input::Stop => (2, 0),
        Input::Timeout => (3, 0),
        Input::Yield => (4, 0),
        Input::Permit(permitted) => (5, u64::from(permitted)),
        Input::StepDown => (6, 0),
        Input::Demotion(demotion) => (7, u64::from(demotion.get())),
        Input::Link(_) => (8, 0),
        Input::Prepared => (9, 0),
        Input::Refused => (10, 0),
        Input::Acquired => (11, 0),
        Input::AddressLost => (12, 0),
        Input::AddressExpired => (13, 0),
        Input::AnnouncementHeard => (14, 0),
        Input::AddressInUse => (15, 0),
        Input::Fault(_) => (16, 0),
        Input::Held(held) => (17, u64::from(held)),
        Input::Bar(Bar::Nothing) => (18, 0),
        Input::Bar(Bar::Silence) => (18, 1),
        Input::Bar(Bar::Takeover) => (18, 2),
        Input::AwaitsHandover(awaits) => (19, u64::from(awaits)),
    };
    mixer.word(kind);
    mixer.word(number);
}

/// The record of a run.
#[derive(Clone, Debug)]
pub struct Trace {
    mixer: Mixer,
    entries: Option<Vec<Entry>>,
}

impl Trace {
    pub(super) const fn new() -> Self {
        Self { mixer: Mixer::new(), entries: None }
    }

    /// Keeps what happens from now on, to be read later. Without, there is only the hash.
    pub fn keep_entries(&mut self) {
        self.entries.get_or_insert_default();
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> TraceHash {
        self.mixer.finish()
    }

    /// What was kept.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.entries.as_deref().unwrap_or_default()
    }

    pub(super) fn note(&mut self, entry: Entry) {
        let Entry { at, host, link, what } = entry;
        self.mixer.time(at);
        // Fewer than 2^16 hosts and links.
        self.mixer.number(host << 16 | link);
        what.mix(&mut self.mixer);
        if let Some(entries) = &mut self.entries {
            entries.push(entry);
        }
    }

    /// The bytes of a datagram.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.mixer.bytes(bytes);
    }
}

/// Seconds to the microsecond, as `12.390625 s`.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>4}.{:06} s", self.0.as_secs(), self.0.subsec_micros())
    }
}

/// A run as a text, a line an entry: when, which host, and what. `links` is their number; with more than
/// one, the link is told too.
#[derive(Clone, Copy, Debug)]
pub struct Transcript<'a> {
    /// What to print.
    pub entries: &'a [Entry],
    /// The names of the hosts.
    pub names: &'a [&'a str],
    /// How many links there are.
    pub links: usize,
}

impl Transcript<'_> {
    fn name(&self, host: usize) -> &str {
        self.names.get(host).copied().unwrap_or("?")
    }

    fn what(&self, f: &mut fmt::Formatter<'_>, what: &What) -> fmt::Result {
        match what {
            What::Fault(fault) => write!(f, "! {}", fault.described(self.names)),
            What::Told(input) => write!(f, "told {input:?}"),
            What::Sent(Advertisement::Claim, standing) => write!(f, "advert ({standing})"),
            What::Sent(Advertisement::Resign, _) => f.write_str("resignation"),
            What::Heard { from } => write!(f, "hears {}", self.name(*from)),
            What::Rejected(reject) => write!(f, "rejects a datagram: {}", reject.label()),
            What::Lost { to } => write!(f, "its datagram to {} is lost", self.name(*to)),
            What::Acquired => f.write_str("has the addresses"),
            What::AcquireFailed => f.write_str("cannot take the addresses"),
            What::Released => f.write_str("has the addresses no more"),
            What::Announced => f.write_str("announces the addresses"),
            What::Expired => f.write_str("its kernel drops the addresses: the lease is over"),
            What::Guarded => f.write_str("its guard takes the addresses down and resigns"),
            What::Event(Event::State { from, to, cause, .. }) => {
                write!(f, "{from} -> {to} ({cause})")
            }
            What::Event(Event::Rival { source }) => write!(f, "sees a rival at {source}"),
            What::Event(Event::AddressLost) => f.write_str("has lost an address"),
            What::Event(Event::AddressExpired) => f.write_str("sees that its lease was over"),
            What::Event(Event::YieldUnanswered) => f.write_str("nobody took over: it serves on"),
        }
    }
}

impl fmt::Display for Transcript<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.names.iter().map(|name| name.len()).max().unwrap_or(0);
        for entry in self.entries {
            write!(f, "{}  {:width$}  ", Seconds(entry.at), self.name(entry.host))?;
            if self.links > 1 {
                write!(f, "link {}  ", entry.link)?;
            }
            self.what(f, &entry.what)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}
