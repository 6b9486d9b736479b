//! Plays a scenario: one router alone, of which everything is written down, or several on one link, which hear each
//! other without delay and take addresses at once.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Input, LinkState};
use carp_proto::{Action, Instant, RxMeta, VirtualRouter};

use crate::read::{Line, Scenario, shown};
use crate::support::owned;
use crate::words::{Happening, Member, Sent, asked};

/// A router of the scenario.
struct Node {
    name: String,
    member: Member,
    router: VirtualRouter,
    /// What it did and nobody has written down yet.
    did: Vec<Did>,
}

/// Something that a router did.
#[derive(Debug)]
struct Did {
    time: Duration,
    words: String,
    /// What a line may ask for beyond the words, if it was an advert.
    sent: Option<Sent>,
}

struct Link {
    now: Duration,
    nodes: Vec<Node>,
    /// What the lines of a router that is alone ask for, an advert each.
    asked: VecDeque<Vec<String>>,
}

/// The transcript as it really goes.
pub(crate) fn play(scenario: &Scenario) -> Vec<String> {
    let nodes = scenario.routers.iter().map(|words| Node::new(words)).collect();
    let of_adverts = scenario.lines.iter().filter_map(|line| match line {
        Line::Output(_, _, words) => asked(words),
        Line::Input(..) | Line::Is(..) => None,
    });
    let mut link = Link { now: Duration::ZERO, nodes, asked: of_adverts.collect() };
    let mut actual = Vec::new();
    for line in &scenario.lines {
        match line {
            Line::Input(time, who, words) => {
                link.run(*time, &mut actual);
                actual.push(line.to_string());
                let node = link.node(who);
                link.happens(node, words);
                link.write_down(&mut actual);
            }
            // Alone, what it did is there already; on a link only what is asked for is shown.
            Line::Output(..) if link.is_alone() => {}
            Line::Output(time, who, words) => {
                link.run(*time, &mut actual);
                let node = link.node(who);
                let asked = asked(words).unwrap_or_default();
                let Node { member, did, .. } = &mut link.nodes[node];
                let in_words = |it: &Did| it.in_words(member, &asked);
                let place = did.iter().position(|it| it.time == *time && in_words(it) == *words);
                match place {
                    Some(place) => {
                        did.remove(place);
                        actual.push(line.to_string());
                    }
                    None => {
                        let did = did.iter().map(|it| (it.time, in_words(it))).collect::<Vec<_>>();
                        actual.push(format!("{} {who} did {did:?}", shown(*time)));
                    }
                }
            }
            Line::Is(time, who, _) => {
                link.run(*time, &mut actual);
                let node = link.node(who);
                let state = link.nodes[node].router.state();
                actual.push(format!("{} {who} is {state}", shown(*time)));
            }
        }
    }
    actual
}

impl Node {
    fn new(words: &[String]) -> Self {
        let member = Member::read(words);
        let router = VirtualRouter::new(member.config());
        Self { name: words[0].clone(), member, router, did: Vec::new() }
    }
}

impl Did {
    /// What it was, with that of an advert which a line asks for.
    fn in_words(&self, member: &Member, asked: &[String]) -> String {
        let rest = self.sent.as_ref().map(|sent| member.of_advert(sent, asked));
        format!("{}{}", self.words, rest.unwrap_or_default())
    }
}

impl Link {
    fn is_alone(&self) -> bool {
        self.nodes.len() == 1
    }

    fn node(&self, name: &str) -> usize {
        let found = self.nodes.iter().position(|node| node.name == name);
        found.unwrap_or_else(|| panic!("there is no router {name}"))
    }

    fn instant(&self) -> Instant {
        Instant::ZERO + self.now
    }

    /// Meets every deadline up to a time.
    fn run(&mut self, until: Duration, actual: &mut Vec<String>) {
        let limit = Instant::ZERO + until;
        loop {
            let deadline = |node: &Node| node.router.poll_timeout().map(|deadline| deadline.at);
            let next = (0..self.nodes.len())
                .filter_map(|node| deadline(&self.nodes[node]).map(|at| (at, node)))
                .min()
                .filter(|(at, _)| *at <= limit);
            let Some((at, node)) = next else { break };
            self.now = self.now.max(at.saturating_since(Instant::ZERO));
            self.input(node, Input::Timeout);
            self.write_down(actual);
        }
        self.now = until;
    }

    fn happens(&mut self, node: usize, words: &str) {
        match self.nodes[node].member.happening(words) {
            Happening::Input(input) => self.input(node, input),
            Happening::LinkUp => {
                let source = self.nodes[node].member.host;
                self.input(node, Input::Link(LinkState::Up { source }));
            }
            Happening::Datagram(meta, message) => self.hears(node, &meta, &message),
        }
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.instant();
        self.nodes[node].router.handle(now, input);
        self.drain(node);
    }

    fn hears(&mut self, node: usize, meta: &RxMeta, message: &[u8]) {
        let now = self.instant();
        if let Err(reject) = self.nodes[node].router.handle_datagram(now, meta, message) {
            let words = format!("rejects {}", reject.label());
            self.nodes[node].did.push(Did { time: self.now, words, sent: None });
        }
        self.drain(node);
    }

    /// Takes out what a router wants. On a link the others hear it, and addresses are taken at once.
    fn drain(&mut self, node: usize) {
        let mut scratch = BytesMut::new();
        let (mut sent, mut acquires, mut announces) = (Vec::new(), false, false);
        let Node { router, member, did, .. } = &mut self.nodes[node];
        while let Some(action) = router.poll_action(&mut scratch) {
            let words = member.effect(&owned(&action));
            let sent_now = if let Action::Send(it) = &action { Some(Sent::read(it)) } else { None };
            did.push(Did { time: self.now, words, sent: sent_now });
            match action {
                Action::Send(it) => {
                    let meta = RxMeta { source: it.source, destination: it.destination, ttl: 255 };
                    sent.push((meta, it.payload.to_vec()));
                }
                Action::Acquire(_) => acquires = true,
                Action::Announce(_) => announces = true,
                Action::Prepare | Action::Release(_) | Action::Event(_) => {}
            }
        }
        if self.is_alone() {
            return;
        }
        for (meta, message) in sent {
            for other in (0..self.nodes.len()).filter(|other| *other != node) {
                if self.reaches(other, meta.destination) {
                    self.hears(other, &meta, &message);
                }
            }
        }
        if acquires {
            self.input(node, Input::Acquired);
        }
        if acquires || announces {
            for other in (0..self.nodes.len()).filter(|other| *other != node) {
                self.input(other, Input::AnnouncementHeard);
            }
        }
    }

    /// Whether a router gets what is sent there.
    fn reaches(&self, node: usize, destination: IpAddr) -> bool {
        destination.is_multicast() || destination == self.nodes[node].member.host
    }

    /// Writes down everything that a router did that is alone.
    fn write_down(&mut self, actual: &mut Vec<String>) {
        if let [Node { name, member, did, .. }] = &mut self.nodes[..] {
            for it in did.drain(..) {
                let asked = it.sent.as_ref().and_then(|_| self.asked.pop_front());
                let words = it.in_words(member, &asked.unwrap_or_default());
                actual.push(format!("{} {name} > {words}", shown(it.time)));
            }
        }
    }
}
