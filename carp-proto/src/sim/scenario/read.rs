//! A scenario from its text.

use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::{FromStr, SplitWhitespace};
use core::time::Duration;

use super::{HostSpec, Scenario, Step};
use crate::election::{AnnouncePlan, Dialect};
use crate::id::{Priority, VirtualId};
use crate::interval::{AdvBase, AdvSkew, Centiseconds, Seconds};
use crate::sim::bug::Bug;
use crate::sim::fault::{Fault, Weather};
use crate::sim::host::{HostModel, LeaseModel};
use crate::sim::random::Chance;
use crate::sim::spec::{Spec, SpecSpeech};
use crate::sim::trace::TraceHash;

/// A text that is no scenario: the line, from 1 on, and what is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
#[non_exhaustive]
pub struct ReadError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub problem: &'static str,
}

type Read<T> = Result<T, &'static str>;

impl FromStr for Scenario {
    type Err = ReadError;

    fn from_str(text: &str) -> Result<Self, ReadError> {
        let mut scenario = Self::new(0, Vec::new());
        let mut begun = false;
        for (line, content) in text.lines().enumerate() {
            let content = content.split('#').next().unwrap_or_default();
            let mut words = Words(content.split_whitespace());
            let Some(first) = words.0.next() else { continue };
            let read = match (begun, first) {
                (false, "carp-scenario") => {
                    begun = true;
                    words.exactly("1").map_err(|_| "only version 1 of scenarios is known")
                }
                (false, _) => Err("the first line of a scenario is `carp-scenario 1`"),
                (true, _) => scenario.read_line(first, &mut words),
            };
            read.and_then(|()| words.end())
                .map_err(|problem| ReadError { line: line + 1, problem })?;
        }
        if begun { Ok(scenario) } else { Err(ReadError { line: 1, problem: "there is nothing" }) }
    }
}

impl Weather {
    /// Weather from its words, as `loss 10% delay 2ms jitter 1ms`. What is not told is as in
    /// [`Weather::FAIR`].
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        Words(text.split_whitespace()).weather()
    }
}

impl HostModel {
    /// A host from its words, as `guard no lease off`. What is not told is as in [`HostModel::DEFAULT`].
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(text: &str) -> Result<Self, &'static str> {
        Words(text.split_whitespace()).model()
    }
}

impl Fault {
    /// A fault from its words, as `crash left`, where the hosts have these names.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn read(text: &str, names: &[&str]) -> Result<Self, &'static str> {
        let mut words = Words(text.split_whitespace());
        let fault = words.fault(names)?;
        words.end()?;
        Ok(fault)
    }
}

impl Scenario {
    fn read_line(&mut self, first: &str, words: &mut Words<'_>) -> Read<()> {
        match first {
            "seed" => self.seed = words.number()?,
            "until" => self.until = words.time()?,
            "settles" => self.settles = words.flag()?,
            "weather" => self.weather = words.weather()?,
            "noise" => self.noise = words.chance()?,
            "host" => self.hosts.push(words.host()?),
            "router" => {
                let host = self.hosts.last_mut().ok_or("a router belongs to the host before it")?;
                host.routers.push(words.router()?);
            }
            "bug" => {
                let host = words.named_host(&self.names())?;
                let name = words.next()?;
                let bug = Bug::ALL.into_iter().find(|bug| alloc::format!("{bug:?}") == name);
                self.bugs.push((host, bug.ok_or("there is no such bug")?));
            }
            "at" => {
                let step = Step { at: words.time()?, fault: words.fault(&self.names())? };
                if self.steps.last().is_some_and(|last| last.at > step.at) {
                    return Err("steps come in the order of time");
                }
                self.steps.push(step);
            }
            "hash" => {
                let number = u128::from_str_radix(words.next()?, 16);
                let number = number.map_err(|_| "a hash is 32 hexadecimal digits")?;
                self.hash = Some(TraceHash::from_number(number));
            }
            _ => {
                return Err(
                    "a line begins with seed, until, settles, weather, noise, host, router, bug, at or hash",
                );
            }
        }
        Ok(())
    }
}

/// The words of a line that were not read yet.
struct Words<'a>(SplitWhitespace<'a>);

impl<'a> Words<'a> {
    fn next(&mut self) -> Read<&'a str> {
        self.0.next().ok_or("something is missing at the end of the line")
    }

    fn end(&mut self) -> Read<()> {
        self.0.next().map_or(Ok(()), |_| Err("there is more on the line than belongs there"))
    }

    fn exactly(&mut self, word: &str) -> Read<()> {
        if self.next()? == word { Ok(()) } else { Err("another word was expected") }
    }

    fn number<T: FromStr>(&mut self) -> Read<T> {
        self.next()?.parse().map_err(|_| "a whole number was expected, or a smaller one")
    }

    fn time(&mut self) -> Read<Duration> {
        time(self.next()?)
    }

    fn flag(&mut self) -> Read<bool> {
        match self.next()? {
            "yes" => Ok(true),
            "no" => Ok(false),
            _ => Err("yes or no was expected"),
        }
    }

    /// `off`, or a time.
    fn off_or_time(&mut self) -> Read<Option<Duration>> {
        match self.next()? {
            "off" => Ok(None),
            text => time(text).map(Some),
        }
    }

    fn chance(&mut self) -> Read<Chance> {
        const PROBLEM: &str = "a chance is written in percent, as 12.5%";
        let number = self.next()?.strip_suffix('%').ok_or(PROBLEM)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if part.len() > 4 {
            return Err("a chance has at most four digits after the point");
        }
        let mut parts: u32 = whole.parse().map_err(|_| PROBLEM)?;
        for digit in part.bytes().chain(core::iter::repeat(b'0')).take(4) {
            let digit = char::from(digit).to_digit(10).ok_or(PROBLEM)?;
            parts = parts.checked_mul(10).and_then(|it| it.checked_add(digit)).ok_or(PROBLEM)?;
        }
        if parts > Chance::ALWAYS.parts() { Err(PROBLEM) } else { Ok(Chance::per_million(parts)) }
    }

    fn weather(&mut self) -> Read<Weather> {
        let mut weather = Weather::FAIR;
        while let Some(word) = self.0.next() {
            match word {
                "delay" => weather.delay = self.time()?,
                "jitter" => weather.jitter = self.time()?,
                "loss" => weather.loss = self.chance()?,
                "duplicate" => weather.duplicate = self.chance()?,
                "reorder" => weather.reorder = self.chance()?,
                _ => return Err("weather has delay, jitter, loss, duplicate and reorder"),
            }
        }
        Ok(weather)
    }

    fn host(&mut self) -> Read<HostSpec> {
        let name = self.next()?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if !name.chars().all(allowed) {
            return Err("the name of a host is made of letters, digits, dots, - and _");
        }
        let ipv4 = self.next()?.parse().map_err(|_| "the host's IPv4 address was expected")?;
        let ipv6 = self.next()?.parse().map_err(|_| "the host's IPv6 address was expected")?;
        let model = self.model()?;
        Ok(HostSpec { name: name.to_string(), model, sources: (ipv4, ipv6), routers: Vec::new() })
    }

    fn model(&mut self) -> Read<HostModel> {
        let mut model = HostModel::DEFAULT;
        while let Some(word) = self.0.next() {
            match word {
                "lateness" => model.lateness = self.time()?,
                "acquire" => model.acquire = self.time()?,
                "release" => model.release = self.time()?,
                "notice" => model.notice = self.time()?,
                "guard" => model.guard = self.flag()?,
                "restart" => model.restart = self.off_or_time()?,
                "lease" => {
                    model.lease = match self.next()? {
                        "off" => LeaseModel::Off,
                        "auto" => LeaseModel::Auto,
                        text => LeaseModel::Of(time(text)?),
                    };
                }
                _ => {
                    return Err(
                        "a host has lateness, acquire, release, notice, lease, guard and restart",
                    );
                }
            }
        }
        Ok(model)
    }

    fn router(&mut self) -> Read<Spec> {
        let protocol = self.next()?;
        let dialect = match protocol {
            "carp" => self.next()?.parse().map_err(|_| "a dialect of CARP was expected")?,
            _ => Dialect::Native,
        };
        let mut draft = Draft::default();
        let mut addresses = Vec::new();
        while let Some(word) = self.0.next() {
            if word == "addresses" {
                for address in self.0.by_ref() {
                    addresses.push(address.parse().map_err(|_| "an address was expected")?);
                }
            } else {
                draft.read(word, self)?;
            }
        }
        draft.finish(protocol, dialect, addresses)
    }

    fn named_host(&mut self, names: &[&str]) -> Read<usize> {
        let name = self.next()?;
        let position = names.iter().position(|known| *known == name);
        position.ok_or("there is no host of this name")
    }

    /// `NAME link N`, the link being the first if it is not told.
    fn port(&mut self, names: &[&str]) -> Read<(usize, usize)> {
        Ok((self.named_host(names)?, self.link()?))
    }

    fn link(&mut self) -> Read<usize> {
        let Some(word) = self.0.next() else { return Ok(0) };
        if word == "link" { self.number() } else { Err("`link` and its number were expected") }
    }

    /// `NAME WORD TIME`.
    fn host_and_time(&mut self, names: &[&str]) -> Read<(usize, Duration)> {
        let host = self.named_host(names)?;
        self.exactly("for").map_err(|_| "`for` and a time were expected")?;
        Ok((host, self.time()?))
    }

    fn host_and_number(&mut self, names: &[&str], word: &str) -> Read<(usize, u8)> {
        let host = self.named_host(names)?;
        self.exactly(word)?;
        Ok((host, self.number()?))
    }

    fn fault(&mut self, names: &[&str]) -> Read<Fault> {
        Ok(match self.next()? {
            "weather" => Fault::Weather(self.weather()?),
            "cut" => {
                let (from, to) = (self.named_host(names)?, self.named_host(names)?);
                Fault::Cut { link: self.link()?, from, to }
            }
            "split" => {
                let mut sides = 0_u32;
                while self.0.clone().next().is_some() {
                    sides |= 1 << self.named_host(names)?.min(31);
                }
                Fault::Split { sides }
            }
            "heal" => Fault::Heal,
            "unplug" => {
                let (host, link) = self.port(names)?;
                Fault::Unplug { host, link }
            }
            "plug-in" => {
                let (host, link) = self.port(names)?;
                Fault::PlugIn { host, link }
            }
            "freeze" => {
                let (host, time) = self.host_and_time(names)?;
                Fault::Freeze { host, time }
            }
            "pause" => {
                let (host, time) = self.host_and_time(names)?;
                Fault::Pause { host, time }
            }
            "crash" => Fault::Crash { host: self.named_host(names)? },
            "boot" => Fault::Boot { host: self.named_host(names)? },
            "kill" => Fault::Kill { host: self.named_host(names)? },
            "stop" => Fault::Stop { host: self.named_host(names)? },
            "start" => Fault::Start { host: self.named_host(names)? },
            "restart" => Fault::Restart { host: self.named_host(names)? },
            "yield" => Fault::Yield { host: self.named_host(names)? },
            "demote" => {
                let (host, points) = self.host_and_number(names, "by")?;
                Fault::Demote { host, points }
            }
            "rerank" => {
                let (host, worse) = self.host_and_number(names, "to")?;
                if worse == u8::MAX {
                    return Err("at most 254 was expected");
                }
                Fault::Rerank { host, worse }
            }
            "retime" => {
                let host = self.named_host(names)?;
                self.exactly("to").map_err(|_| "`to` and a time were expected")?;
                Fault::Retime { host, interval: self.time()? }
            }
            "prefer" => Fault::Prefer { host: self.named_host(names)?, preempts: self.flag()? },
            "remove" => {
                let (host, link) = self.port(names)?;
                Fault::Remove { host, link }
            }
            "refuse" => Fault::Refuse { host: self.named_host(names)?, refuses: true },
            "allow" => Fault::Refuse { host: self.named_host(names)?, refuses: false },
            "in-use" => {
                let (host, link) = self.port(names)?;
                Fault::InUse { host, link }
            }
            _ => return Err("there is no such fault"),
        })
    }
}

/// A router of which something may be missing.
#[derive(Default)]
struct Draft {
    id: Option<u8>,
    advbase: Option<i64>,
    advskew: Option<i64>,
    priority: Option<u8>,
    interval: Option<Duration>,
    signed: bool,
    preempt: Option<bool>,
    preempt_delay: Option<Duration>,
    handover: Option<Duration>,
    peers: Vec<IpAddr>,
    burst: Option<u8>,
    repeat: Vec<Duration>,
    refresh: Option<Option<Duration>>,
}

impl Draft {
    fn read(&mut self, word: &str, words: &mut Words<'_>) -> Read<()> {
        match word {
            "id" => self.id = Some(words.number()?),
            "advbase" => self.advbase = Some(words.number()?),
            "advskew" => self.advskew = Some(words.number()?),
            "priority" => self.priority = Some(words.number()?),
            "interval" => self.interval = Some(words.time()?),
            "signed" => self.signed = words.flag()?,
            "preempt" => self.preempt = Some(words.flag()?),
            "preempt-delay" => self.preempt_delay = Some(words.time()?),
            "handover" => self.handover = Some(words.time()?),
            "peer" => {
                let peer =
                    words.next()?.parse().map_err(|_| "the address of a peer was expected")?;
                self.peers.push(peer);
            }
            "burst" => self.burst = Some(words.number()?),
            "repeat" => self.repeat.push(words.time()?),
            "refresh" => self.refresh = Some(words.off_or_time()?),
            _ => return Err("a router has no such property"),
        }
        Ok(())
    }

    fn finish(
        self,
        protocol: &str,
        dialect: Dialect,
        addresses: Vec<crate::VirtualAddress>,
    ) -> Read<Spec> {
        let priority = Priority::from_wire(self.priority.unwrap_or(Priority::DEFAULT.get()));
        let interval = self.interval.unwrap_or(Duration::from_secs(1));
        let speech = match protocol {
            "carp" => SpecSpeech::Carp {
                dialect,
                advbase: AdvBase::new(self.advbase.unwrap_or(1))
                    .map_err(|_| "advbase is 0 to 254")?,
                advskew: AdvSkew::new(self.advskew.unwrap_or(0))
                    .map_err(|_| "advskew is 0 to 254")?,
            },
            "vrrp2" => {
                let interval =
                    Seconds::try_from(interval).map_err(|_| "the interval is 1s to 255s")?;
                SpecSpeech::Vrrp2 { priority, interval }
            }
            "vrrp3" => {
                let interval = Centiseconds::try_from(interval);
                let interval = interval.map_err(|_| "the interval is 10ms to 40950ms by 10ms")?;
                SpecSpeech::Vrrp3 { priority, interval, signed: self.signed }
            }
            _ => return Err("a router speaks carp, vrrp2 or vrrp3"),
        };
        let usual = Spec::new(speech, addresses);
        let mut repeat = [None; 4];
        for (place, after) in repeat.iter_mut().zip(&self.repeat) {
            *place = Some(*after);
        }
        let announce = match self.burst {
            None => usual.announce,
            Some(burst) => AnnouncePlan { burst, repeat, refresh: self.refresh.flatten() },
        };
        Ok(Spec {
            id: VirtualId::new(self.id.unwrap_or(1)).map_err(|_| "an id is 1 to 255")?,
            preempt: self.preempt.unwrap_or(usual.preempt),
            preempt_delay: self.preempt_delay.unwrap_or(usual.preempt_delay),
            handover: self.handover,
            peers: self.peers,
            announce,
            ..usual
        })
    }
}

/// A whole number and a unit.
fn time(text: &str) -> Read<Duration> {
    const PROBLEM: &str = "a time was expected, as 5s, 10ms, 3us or 1ns";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| PROBLEM)?;
    match unit {
        "s" => Ok(Duration::from_secs(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "us" => Ok(Duration::from_micros(number)),
        "ns" => Ok(Duration::from_nanos(number)),
        _ => Err(PROBLEM),
    }
}
