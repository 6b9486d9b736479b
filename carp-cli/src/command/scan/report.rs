//! What a scan prints.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use carp_node::census::{Finding, Guess, Rank, Report, Speaker};
use carp_node::control::Millis;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::Table;

/// A report, and where it comes from.
pub(super) struct Scanned<'a> {
    /// `None` if a capture was read.
    pub(super) interface: Option<&'a str>,
    pub(super) time: Duration,
    pub(super) dropped: u64,
    pub(super) report: &'a Report,
}

impl Scanned<'_> {
    /// Where and for how long, for a sentence.
    pub(super) fn place(&self) -> String {
        match self.interface {
            Some(interface) => format!(" on {interface} in {}", seconds(self.time)),
            None => " in the capture".to_owned(),
        }
    }

    /// A table, what is wrong, and the ids.
    pub(super) fn text(&self, color: bool) -> String {
        let Report { speakers, findings, used_ids, free_ids } = self.report;
        let mut text = if speakers.is_empty() { String::new() } else { table(speakers) + "\n" };
        let (red, end) = if color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        for finding in findings {
            text += &format!("{red}! {finding}{end}\n");
        }
        let used: Vec<String> = used_ids.iter().map(ToString::to_string).collect();
        if !used.is_empty() {
            text += &format!("ids in use: {}\n", used.join(", "));
        }
        let free: Vec<String> = free_ids.iter().map(range).collect();
        text + &format!(
            "free ids: {}\n",
            if free.is_empty() { "none".into() } else { free.join(", ") }
        )
    }

    /// One object, and the end of its line.
    pub(super) fn json(&self) -> Result<String, Failure> {
        let Report { speakers, findings, used_ids, free_ids } = self.report;
        let object = Object {
            schema: "carp.scan/1",
            interface: self.interface,
            seconds: self.time.as_secs_f64(),
            speakers: speakers.iter().map(SpeakerKeys::of).collect(),
            findings: findings.iter().map(FindingKeys::of).collect(),
            used_ids: used_ids.iter().map(|id| id.get()).collect(),
            free_ids: free_ids.iter().map(RangeKeys::of).collect(),
            kernel_dropped: self.dropped,
        };
        let text = serde_json::to_string(&object);
        Ok(text.map_err(|error| Failure::failed(error.to_string()))? + "\n")
    }
}

fn table(speakers: &[Speaker]) -> String {
    let tagged = speakers.iter().any(|speaker| speaker.vlan.is_some());
    let mut header = vec![
        "ID",
        "PROTOCOL",
        "SOURCE",
        "RANK",
        "INTERVAL",
        "ADDRESSES",
        "AUTHENTICATION",
        "LOOKS LIKE",
    ];
    if tagged {
        header.insert(0, "VLAN");
    }
    let mut table = Table::new(&header);
    for speaker in speakers {
        let mut cells = cells(speaker);
        if tagged {
            cells.insert(0, speaker.vlan.map_or_else(|| "-".to_owned(), |vlan| vlan.to_string()));
        }
        table.row(cells);
    }
    table.render()
}

fn cells(speaker: &Speaker) -> Vec<String> {
    let rank = speaker.rank.to_string();
    let guess = |Guess { dialect, reason }: &Guess| format!("{dialect} ({reason})");
    vec![
        speaker.id.to_string(),
        speaker.protocol.to_string(),
        speaker.source.to_string(),
        if speaker.resigned { format!("{rank}, resigned") } else { rank },
        seconds(speaker.interval),
        or_dash(&speaker.addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>(), ", "),
        match (speaker.proof.name(), speaker.proof.key_id()) {
            (name, Some(key)) => format!("{name} (key {key})"),
            (name, None) => name.to_owned(),
        },
        or_dash(&speaker.guesses.iter().map(guess).collect::<Vec<_>>(), "; "),
    ]
}

fn or_dash(list: &[String], between: &str) -> String {
    if list.is_empty() { "-".to_owned() } else { list.join(between) }
}

/// `1 s`, `0.25 s`, `1.391 s`.
fn seconds(time: Duration) -> String {
    let digits = format!("{}.{:03}", time.as_secs(), time.subsec_millis());
    format!("{} s", digits.trim_end_matches('0').trim_end_matches('.'))
}

fn range(ids: &RangeInclusive<u8>) -> String {
    let (first, last) = (ids.start(), ids.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[derive(Serialize)]
struct Object<'a> {
    schema: &'static str,
    interface: Option<&'a str>,
    seconds: f64,
    speakers: Vec<SpeakerKeys<'a>>,
    findings: Vec<FindingKeys<'a>>,
    used_ids: Vec<u8>,
    free_ids: Vec<RangeKeys>,
    kernel_dropped: u64,
}

#[derive(Serialize)]
struct SpeakerKeys<'a> {
    protocol: &'static str,
    id: u8,
    source: IpAddr,
    vlan: Option<u16>,
    mac: Option<String>,
    rank: RankKeys,
    resigned: bool,
    interval_ms: Millis,
    addresses: &'a [IpAddr],
    authentication: &'static str,
    key_id: Option<u8>,
    ttl: u8,
    adverts: u64,
    guesses: Vec<GuessKeys<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum RankKeys {
    Carp { advbase: u8, advskew: u8, demotion: u8 },
    Vrrp { priority: u8 },
}

#[derive(Serialize)]
struct GuessKeys<'a> {
    dialect: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct FindingKeys<'a> {
    kind: &'static str,
    id: Option<u8>,
    sources: &'a [IpAddr],
    text: String,
}

#[derive(Serialize)]
struct RangeKeys {
    first: u8,
    last: u8,
}

impl<'a> SpeakerKeys<'a> {
    fn of(speaker: &'a Speaker) -> Self {
        let guess = |guess: &'a Guess| GuessKeys { dialect: guess.dialect, reason: &guess.reason };
        Self {
            protocol: speaker.protocol.name(),
            id: speaker.id,
            source: speaker.source,
            vlan: speaker.vlan,
            mac: speaker.mac.map(|mac| mac.to_string()),
            rank: match speaker.rank {
                Rank::Carp { interval, demotion } => {
                    let (advbase, advskew) = (interval.advbase, interval.advskew);
                    RankKeys::Carp { advbase, advskew, demotion }
                }
                Rank::Vrrp(priority) => RankKeys::Vrrp { priority: priority.get() },
            },
            resigned: speaker.resigned,
            interval_ms: speaker.interval.into(),
            addresses: &speaker.addresses,
            authentication: speaker.proof.name(),
            key_id: speaker.proof.key_id(),
            ttl: speaker.ttl,
            adverts: speaker.adverts,
            guesses: speaker.guesses.iter().map(guess).collect(),
        }
    }
}

impl<'a> FindingKeys<'a> {
    fn of(finding: &'a Finding) -> Self {
        Self {
            kind: finding.name(),
            id: finding.id(),
            sources: finding.sources(),
            text: finding.to_string(),
        }
    }
}

impl RangeKeys {
    const fn of(ids: &RangeInclusive<u8>) -> Self {
        Self { first: *ids.start(), last: *ids.end() }
    }
}
