//! The stage of a cell: two servers, a client, and the observers of what happens.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use carp_node::lab::{Frame, Host, Lab, LabError, Process, Switch, Tap, wait_until};
use carp_proto::MacAddr;
use libtest_mimic::Failed;

use crate::cell::Cell;
use crate::speaker::{Kind, Node, Running, Seat};
use crate::support::{LIMIT, Tested, claims, ensure, resigns};
use crate::variant::Variant;

/// Where the servers and the client sit. The first has the higher address.
const FIRST: Seat = Seat(50);
const SECOND: Seat = Seat(10);
const CLIENT: Seat = Seat(200);

/// How long a client waits for an answer: far longer than one takes here.
const PATIENCE: Duration = Duration::from_millis(250);

/// Two servers on a switch, and a client.
pub(crate) struct Stage {
    pub(crate) variant: Variant,
    pub(crate) first: Server,
    pub(crate) second: Server,
    client: Host,
    _switch: Switch,
}

/// A server: a host, what it says, and the daemon on it.
pub(crate) struct Server {
    pub(crate) kind: Kind,
    pub(crate) host: Host,
    pub(crate) node: Node,
    /// What its machine has sent since it was last switched on.
    sent: Tap,
    echo: Vec<Process>,
    pub(crate) running: Option<Running>,
}

/// Who is seen to have the address, by the places of the servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sight {
    /// On whose running interfaces the address is.
    pub(crate) holds: Vec<Seat>,
    /// Who answered, when a client looked for the neighbour.
    pub(crate) resolves: Vec<Seat>,
    /// Who answered the client's question.
    pub(crate) answers: Option<String>,
    /// Who advertised lately.
    pub(crate) advertises: Vec<Seat>,
}

impl Stage {
    pub(crate) fn new(lab: &Lab, cell: Cell) -> Result<Self, Failed> {
        let switch = Switch::new(lab)?;
        let folder = lab.directory().join(cell.name());
        let [first, second] = cell.scenario.ranks();
        let server = |kind: Kind, faces, name: &str, seat, other, rank| {
            let folder = folder.join(name);
            let (variant, preempt) = (cell.variant, true);
            let node = Node { variant, rank, preempt, seat, other, faces, folder };
            Server::new(&switch, kind, name, node)
        };
        Ok(Self {
            variant: cell.variant,
            first: server(cell.first, cell.second, "first", FIRST, SECOND, first)?,
            second: server(cell.second, cell.first, "second", SECOND, FIRST, second)?,
            client: host(&switch, "client", CLIENT)?,
            _switch: switch,
        })
    }

    /// What the observers see at this moment.
    fn look(&self) -> Result<Sight, Failed> {
        let begin = Instant::now();
        let address = self.variant.address();
        let answers = self.client.ask(address, PATIENCE)?;
        let sight = |server: &Server| -> Result<(Seat, [bool; 3]), Failed> {
            let client = self.client.mac();
            let replied = |frame: &Frame| {
                (frame.answer() == Some(address) && frame.destination() == Some(client))
                    .then_some(())
            };
            let resolves = server.sent.find(begin, replied).is_some();
            let lately = begin.checked_sub(self.lately()).unwrap_or(begin);
            let advertises = server.first_advert(lately).is_some();
            Ok((server.node.seat, [server.holds(address)?, resolves, advertises]))
        };
        let seen = [sight(&self.first)?, sight(&self.second)?];
        let who = |what: usize| {
            seen.iter().filter(|(_, seen)| seen[what]).map(|(seat, _)| *seat).collect()
        };
        Ok(Sight { holds: who(0), resolves: who(1), advertises: who(2), answers })
    }

    /// The link-layer address in a reply to the client, which asked who has the address.
    fn reply(&self, frame: &Frame) -> Option<MacAddr> {
        let replied = frame.answer() == Some(self.variant.address())
            && frame.destination() == Some(self.client.mac());
        frame.source().filter(|_| replied)
    }

    /// Fails unless all that a server said since then came from the link-layer addresses that are its
    /// daemon's way.
    pub(crate) fn check_sources(&self, seat: Seat, since: Instant) -> Tested {
        let server = self.server(seat);
        let sources = |pick: &dyn Fn(&Frame) -> Option<MacAddr>| -> BTreeSet<MacAddr> {
            let frames = server.sent.frames();
            frames.iter().filter(|frame| frame.at >= since).filter_map(pick).collect()
        };
        let adverts = sources(&|frame| frame.source().filter(|_| claims(frame)));
        let replies = sources(&|frame| self.reply(frame));
        let expected = [
            server.kind.advertises_from(self.variant, seat),
            server.kind.answers_from(self.variant, seat),
        ];
        let found = [adverts, replies];
        ensure(
            found == expected.map(|mac| BTreeSet::from([mac])),
            format!("adverts and replies come from {found:?}, not from {expected:?}"),
        )
    }

    /// Within this time an active router advertises twice, and a backup never.
    fn lately(&self) -> Duration {
        self.variant
            .interval(self.first.node.rank)
            .max(self.variant.interval(self.second.node.rank))
            * 5
            / 2
    }

    /// Waits until all observers agree that one server has the address, and the other has not.
    pub(crate) fn wait_for_owner(&self, owner: Seat, what: &str) -> Tested {
        let expected = Sight {
            holds: vec![owner],
            resolves: vec![owner],
            answers: Some(self.server(owner).host.name().to_owned()),
            advertises: vec![owner],
        };
        self.wait_for(what, |sight| *sight == expected)
    }

    /// Waits until all observers agree on one server: which.
    pub(crate) fn wait_for_any_owner(&self, what: &str) -> Result<Seat, Failed> {
        let mut owner = None;
        self.wait_for(what, |sight| match sight.holds[..] {
            [seat] => {
                owner = Some(seat);
                sight.resolves == [seat]
                    && sight.advertises == [seat]
                    && sight.answers.as_deref() == Some(self.server(seat).host.name())
            }
            _ => false,
        })?;
        owner.ok_or_else(|| "nobody holds the address".into())
    }

    /// Waits until both servers hold the address and advertise, each on its side of a cut.
    pub(crate) fn wait_for_both(&self, what: &str) -> Tested {
        let both = [self.first.node.seat, self.second.node.seat];
        self.wait_for(what, |sight| sight.holds == both && sight.advertises == both)
    }

    fn wait_for(&self, what: &str, mut condition: impl FnMut(&Sight) -> bool) -> Tested {
        let mut last = Ok(Sight::default());
        let waited = wait_until(LIMIT, what, || {
            last = self.look();
            last.as_ref().map_or(true, &mut condition)
        });
        let sight = last?;
        waited.map_err(|error| self.explain(&error, &sight))
    }

    /// A failure, with all that was seen and said.
    fn explain(&self, error: &LabError, sight: &Sight) -> Failed {
        let said = [&self.first, &self.second].map(|server| {
            let said = server.running.as_ref().map(Running::said).unwrap_or_default();
            format!("--- {} ({}) said:\n{said}", server.host.name(), server.kind.name())
        });
        format!("{error}; last seen: {sight:?}\n{}", said.concat()).into()
    }

    fn server(&self, seat: Seat) -> &Server {
        if seat == self.first.node.seat { &self.first } else { &self.second }
    }
}

impl Server {
    fn new(switch: &Switch, kind: Kind, name: &str, node: Node) -> Result<Self, Failed> {
        let host = host(switch, name, node.seat)?;
        let sent = host.tap_sent()?;
        let echo = vec![host.serve_echo(node.variant.address())?];
        Ok(Self { kind, host, node, sent, echo, running: None })
    }

    /// Starts its daemon: when.
    pub(crate) fn start(&mut self) -> Result<Instant, Failed> {
        let start = Instant::now();
        self.running = Some(self.kind.start(&self.host, &self.node)?);
        Ok(start)
    }

    /// The daemon that was started.
    pub(crate) fn daemon(&self) -> Result<&Running, Failed> {
        Ok(self.running.as_ref().ok_or("the daemon was not started")?)
    }

    /// Its machine dies: when.
    pub(crate) fn die(&mut self) -> Result<Instant, Failed> {
        Ok(self.host.power_off()?)
    }

    /// Its machine comes back, with nothing on it that was not there at its first boot.
    pub(crate) fn boot(&mut self) -> Tested {
        self.running = None;
        self.echo.clear();
        self.host.boot()?;
        if self.node.folder.exists() {
            std::fs::remove_dir_all(&self.node.folder)?;
        }
        self.sent = self.host.tap_sent()?;
        self.echo.push(self.host.serve_echo(self.node.variant.address())?);
        Ok(())
    }

    /// The first advert that it sent since then and that claims the address: when.
    pub(crate) fn first_advert(&self, since: Instant) -> Option<Instant> {
        self.sent.find(since, |frame| claims(frame).then_some(frame.at))
    }

    /// The last such advert before then.
    pub(crate) fn last_advert(&self, before: Instant) -> Option<Instant> {
        let frames = self.sent.frames();
        frames.iter().rev().find(|frame| frame.at < before && claims(frame)).map(|frame| frame.at)
    }

    /// How many such adverts it sent since then.
    pub(crate) fn adverts(&self, since: Instant) -> usize {
        self.sent.frames().iter().filter(|frame| frame.at >= since && claims(frame)).count()
    }

    /// Whether it said goodbye since then.
    pub(crate) fn has_resigned(&self, since: Instant) -> bool {
        self.sent.find(since, |frame| (resigns(frame) == Some(true)).then_some(())).is_some()
    }

    /// Whether it has the address. A machine that is off has none.
    fn holds(&self, address: std::net::IpAddr) -> Result<bool, Failed> {
        match self.host.holds(address) {
            Err(LabError::Off { .. }) => Ok(false),
            result => Ok(result?),
        }
    }
}

fn host(switch: &Switch, name: &str, seat: Seat) -> Result<Host, Failed> {
    let addresses = seat.addresses();
    Ok(switch.host(name, seat.mac(), &addresses.each_ref().map(String::as_str))?)
}
