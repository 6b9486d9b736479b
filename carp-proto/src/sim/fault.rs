//! What can go wrong, or is done on purpose.

use core::fmt;
use core::time::Duration;

use super::random::Chance;
use super::trace::Mixer;

/// What the links do to datagrams. Adverts and announcements are datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weather {
    /// A datagram arrives after this long.
    pub delay: Duration,
    /// And up to this much later.
    pub jitter: Duration,
    /// Datagrams that are lost, each for each receiver by itself.
    pub loss: Chance,
    /// Datagrams that arrive twice.
    pub duplicate: Chance,
    /// Datagrams that are overtaken: they arrive up to [`Weather::OVERTAKEN`] later.
    pub reorder: Chance,
}

impl Weather {
    /// How much later a datagram arrives that is overtaken, at the most.
    pub const OVERTAKEN: Duration = Duration::from_millis(50);

    /// Everything arrives, within 2 ms.
    pub const FAIR: Self = Self {
        delay: Duration::ZERO,
        jitter: Duration::from_millis(2),
        loss: Chance::NEVER,
        duplicate: Chance::NEVER,
        reorder: Chance::NEVER,
    };

    /// The longest time that a datagram is on its way.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let overtaken =
            if self.reorder == Chance::NEVER { Duration::ZERO } else { Self::OVERTAKEN };
        self.delay + self.jitter + overtaken
    }

    fn mix(&self, mixer: &mut Mixer) {
        let Self { delay, jitter, loss, duplicate, reorder } = *self;
        mixer.time(delay);
        mixer.time(jitter);
        [loss, duplicate, reorder].iter().for_each(|chance| mixer.word(chance.parts().into()));
    }
}

impl Default for Weather {
    fn default() -> Self {
        Self::FAIR
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delay, jitter, loss, duplicate, reorder } = *self;
        write!(
            f,
            "delay {} jitter {} loss {loss} duplicate {duplicate} reorder {reorder}",
            Exact(delay),
            Exact(jitter)
        )
    }
}

/// Something that is done to the hosts or the links. Hosts and links are numbers; those that there are
/// not are left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// All links do this to datagrams from now on.
    Weather(Weather),
    /// What one host sends on a link does not arrive at another.
    Cut {
        /// The link.
        link: usize,
        /// The sender.
        from: usize,
        /// Who does not hear it.
        to: usize,
    },
    /// Two parts of all links do not hear each other: the hosts whose bit is set, and the others.
    Split {
        /// Bit n is the host n.
        sides: u32,
    },
    /// Every cut and every split is mended.
    Heal,
    /// The host's interface on the link loses its carrier.
    Unplug {
        /// The host.
        host: usize,
        /// The link.
        link: usize,
    },
    /// It is back.
    PlugIn {
        /// The host.
        host: usize,
        /// The link.
        link: usize,
    },
    /// The daemon does not run for a while: its kernel does, and its guard, if it has one. A short one is a
    /// late wake-up.
    Freeze {
        /// The host.
        host: usize,
        /// For how long.
        time: Duration,
    },
    /// The whole machine does not run for a while: nobody answers for its addresses. Its clock goes on.
    Pause {
        /// The host.
        host: usize,
        /// For how long.
        time: Duration,
    },
    /// The machine is gone, and its addresses with it.
    Crash {
        /// The host.
        host: usize,
    },
    /// The machine and its daemon start, if they are off.
    Boot {
        /// The host.
        host: usize,
    },
    /// The daemon is killed. Its guard takes the addresses down, or else the lease ends.
    Kill {
        /// The host.
        host: usize,
    },
    /// The daemon is told to stop: it hands over.
    Stop {
        /// The host.
        host: usize,
    },
    /// The daemon starts, if the machine runs; after the end of its stop, if it is at that.
    Start {
        /// The host.
        host: usize,
    },
    /// The daemon stops, and starts when it has stopped.
    Restart {
        /// The host.
        host: usize,
    },
    /// The operator wants another host to take over.
    Yield {
        /// The host.
        host: usize,
    },
    /// The sum of what is wrong with the host becomes this.
    Demote {
        /// The host.
        host: usize,
        /// The points.
        points: u8,
    },
    /// A restart with another configuration: CARP's advskew becomes this, VRRP's priority 255 less this.
    Rerank {
        /// The host.
        host: usize,
        /// 0 is the best; at most 254.
        worse: u8,
    },
    /// A restart with another advert interval, of CARP and VRRP version 2 in whole seconds.
    Retime {
        /// The host.
        host: usize,
        /// The interval.
        interval: Duration,
    },
    /// A restart with or without preemption.
    Prefer {
        /// The host.
        host: usize,
        /// Whether its routers preempt.
        preempts: bool,
    },
    /// Another program removes the addresses of a router.
    Remove {
        /// The host.
        host: usize,
        /// The router's link.
        link: usize,
    },
    /// Whether the kernel of the host refuses addresses.
    Refuse {
        /// The host.
        host: usize,
        /// Whether it does.
        refuses: bool,
    },
    /// Another host, which is no router, answers for the addresses, and the router is to let it.
    InUse {
        /// The host whose router sees it.
        host: usize,
        /// The router's link.
        link: usize,
    },
}

impl Fault {
    /// A number for the kind, and the numbers in it.
    pub(super) fn mix(&self, mixer: &mut Mixer) {
        let mut numbers = |kind: u64, host: usize, other: u64| {
            mixer.word(kind);
            mixer.number(host);
            mixer.word(other);
        };
        let wide = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        match *self {
            Self::Weather(weather) => {
                numbers(1, 0, 0);
                weather.mix(mixer);
            }
            Self::Cut { link, from, to } => {
                numbers(2, from, wide(to));
                mixer.number(link);
            }
            Self::Split { sides } => numbers(3, 0, sides.into()),
            Self::Heal => numbers(4, 0, 0),
            Self::Unplug { host, link } => numbers(5, host, wide(link)),
            Self::PlugIn { host, link } => numbers(6, host, wide(link)),
            Self::Freeze { host, time } => {
                numbers(7, host, 0);
                mixer.time(time);
            }
            Self::Pause { host, time } => {
                numbers(8, host, 0);
                mixer.time(time);
            }
            Self::Crash { host } => numbers(9, host, 0),
            Self::Boot { host } => numbers(10, host, 0),
            Self::Kill { host } => numbers(11, host, 0),
            Self::Stop { host } => numbers(12, host, 0),
            Self::Start { host } => numbers(13, host, 0),
            Self::Restart { host } => numbers(14, host, 0),
            Self::Yield { host } => numbers(15, host, 0),
            Self::Demote { host, points } => numbers(16, host, points.into()),
            Self::Rerank { host, worse } => numbers(17, host, worse.into()),
            Self::Remove { host, link } => numbers(18, host, wide(link)),
            Self::Refuse { host, refuses } => numbers(19, host, refuses.into()),
            Self::InUse { host, link } => numbers(20, host, wide(link)),
            Self::Retime { host, interval } => {
                numbers(21, host, 0);
                mixer.time(interval);
            }
            Self::Prefer { host, preempts } => numbers(22, host, preempts.into()),
        }
    }

    /// The host that it is about, if it is about one.
    #[must_use]
    pub const fn host(&self) -> Option<usize> {
        match *self {
            Self::Weather(_) | Self::Split { .. } | Self::Heal => None,
            Self::Cut { from: host, .. }
            | Self::Unplug { host, .. }
            | Self::PlugIn { host, .. }
            | Self::Freeze { host, .. }
            | Self::Pause { host, .. }
            | Self::Crash { host }
            | Self::Boot { host }
            | Self::Kill { host }
            | Self::Stop { host }
            | Self::Start { host }
            | Self::Restart { host }
            | Self::Yield { host }
            | Self::Demote { host, .. }
            | Self::Rerank { host, .. }
            | Self::Retime { host, .. }
            | Self::Prefer { host, .. }
            | Self::Remove { host, .. }
            | Self::Refuse { host, .. }
            | Self::InUse { host, .. } => Some(host),
        }
    }

    /// The link that it is about, if it is about one.
    #[must_use]
    pub const fn link(&self) -> Option<usize> {
        match *self {
            Self::Cut { link, .. }
            | Self::Unplug { link, .. }
            | Self::PlugIn { link, .. }
            | Self::Remove { link, .. }
            | Self::InUse { link, .. } => Some(link),
            Self::Weather(_)
            | Self::Split { .. }
            | Self::Heal
            | Self::Freeze { .. }
            | Self::Pause { .. }
            | Self::Crash { .. }
            | Self::Boot { .. }
            | Self::Kill { .. }
            | Self::Stop { .. }
            | Self::Start { .. }
            | Self::Restart { .. }
            | Self::Yield { .. }
            | Self::Demote { .. }
            | Self::Rerank { .. }
            | Self::Retime { .. }
            | Self::Prefer { .. }
            | Self::Refuse { .. } => None,
        }
    }

    /// It in words, with the names of the hosts: as a scenario's text has it.
    #[must_use]
    pub const fn described<'a>(&'a self, names: &'a [&'a str]) -> Described<'a> {
        Described { fault: self, names }
    }
}

/// A [`Fault`] in words.
#[derive(Clone, Copy, Debug)]
pub struct Described<'a> {
    fault: &'a Fault,
    names: &'a [&'a str],
}

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |host: usize| self.names.get(host).copied().unwrap_or("?");
        match *self.fault {
            Fault::Weather(weather) => write!(f, "weather {weather}"),
            Fault::Cut { link, from, to } => {
                write!(f, "cut {} {} link {link}", name(from), name(to))
            }
            Fault::Split { sides } => {
                f.write_str("split")?;
                let apart = |host: &usize| sides >> host & 1 == 1;
                let hosts = (0..self.names.len().min(32)).filter(apart);
                hosts.map(name).try_for_each(|name| write!(f, " {name}"))
            }
            Fault::Heal => f.write_str("heal"),
            Fault::Unplug { host, link } => write!(f, "unplug {} link {link}", name(host)),
            Fault::PlugIn { host, link } => write!(f, "plug-in {} link {link}", name(host)),
            Fault::Freeze { host, time } => write!(f, "freeze {} for {}", name(host), Exact(time)),
            Fault::Pause { host, time } => write!(f, "pause {} for {}", name(host), Exact(time)),
            Fault::Crash { host } => write!(f, "crash {}", name(host)),
            Fault::Boot { host } => write!(f, "boot {}", name(host)),
            Fault::Kill { host } => write!(f, "kill {}", name(host)),
            Fault::Stop { host } => write!(f, "stop {}", name(host)),
            Fault::Start { host } => write!(f, "start {}", name(host)),
            Fault::Restart { host } => write!(f, "restart {}", name(host)),
            Fault::Yield { host } => write!(f, "yield {}", name(host)),
            Fault::Demote { host, points } => write!(f, "demote {} by {points}", name(host)),
            Fault::Rerank { host, worse } => write!(f, "rerank {} to {worse}", name(host)),
            Fault::Retime { host, interval } => {
                write!(f, "retime {} to {}", name(host), Exact(interval))
            }
            Fault::Prefer { host, preempts } => {
                write!(f, "prefer {} {}", name(host), if preempts { "yes" } else { "no" })
            }
            Fault::Remove { host, link } => write!(f, "remove {} link {link}", name(host)),
            Fault::Refuse { host, refuses: true } => write!(f, "refuse {}", name(host)),
            Fault::Refuse { host, refuses: false } => write!(f, "allow {}", name(host)),
            Fault::InUse { host, link } => write!(f, "in-use {} link {link}", name(host)),
        }
    }
}

/// A duration as a whole number of the largest unit that is exact, as `1500ms`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exact(pub(super) Duration);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let units = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns")];
        let exact = units.into_iter().find(|(unit, _)| nanos.is_multiple_of(*unit));
        let (unit, name) = exact.unwrap_or((1, "ns"));
        write!(f, "{}{name}", nanos / unit)
    }
}
