//! Neighbours: what they say, and what they are asked.

use carp_proto::Instant;
use carp_proto::election::{Bar, Input, State};

use super::Node;
use super::probe::Deed;
use crate::addresses::Task;
use crate::backend::{Backend, Clock, Listening, Neighbour, PacketIo, Saying};
use crate::event::EventKind;

/// What is said of a gateway that is lost.
pub(super) fn lost(address: std::net::IpAddr) -> String {
    format!(
        "the gateway {address} does not answer: this router takes nothing over, and gives way if it can; look at the \
         cable and the switch"
    )
}

/// How often an address is announced out of turn: once in either form of ARP.
const BURST: u8 = 2;

impl<B: Backend> Node<B> {
    /// Hands what a neighbour said to the routers that it concerns.
    pub(super) fn neighbour_said(&mut self, port: usize, said: Neighbour) {
        for index in 0..self.members.len() {
            let member = &self.members[index];
            if member.port != port {
                continue;
            }
            let ours = member.addresses.iter().any(|ours| ours.ip() == said.address);
            if ours && said.saying == Saying::Announced {
                self.input(index, Input::AnnouncementHeard);
            }
            let (member, now) = (&mut self.members[index], self.clock.now());
            member.probe.hear(now, &member.router, said);
            let back = said.mac.is_some()
                && member.gateway.as_mut().is_some_and(|gateway| gateway.hear(said.address));
            self.do_deeds(index);
            if back {
                self.gateway_changed(index);
            }
        }
    }

    /// Has a router's probe take in what has become of the router, and begin what follows from it.
    pub(super) fn follow_with_probe(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        member.probe.follow(now, &member.router);
    }

    /// Does what a router's probe has to do by now.
    pub(super) fn probe_timeout(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        if member.probe.poll_timeout(&member.router).is_some_and(|at| at <= now) {
            member.probe.handle_timeout(now, &member.router);
            self.do_deeds(index);
        }
    }

    /// Asks the gateway if it is time, and does what follows from its silence.
    pub(super) fn gateway_timeout(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        let Some(gateway) = &mut member.gateway else { return };
        if gateway.poll_timeout() > now {
            return;
        }
        let running = self.interfaces.get(&*member.interface).is_some_and(|it| it.running);
        let (due, host) = (gateway.handle_timeout(now, running), gateway.address());
        if due.ask {
            self.ask(index, Task::Ask { host });
        }
        if due.news {
            self.gateway_changed(index);
        }
        if due.give_way && self.members[index].router.state() == State::Active {
            match &self.give_way {
                Some(give_way) => give_way(index),
                None => self.input(index, Input::Yield),
            }
        }
    }

    /// The gateway was lost, or is there again.
    fn gateway_changed(&mut self, index: usize) {
        let member = &self.members[index];
        let Some(gateway) = &member.gateway else { return };
        let address = gateway.address();
        let kind = if gateway.is_lost() {
            EventKind::Fault { text: lost(address) }
        } else {
            EventKind::Log { text: format!("the gateway {address} answers again") }
        };
        self.events.tell(Some(&member.name), kind);
        self.bar(index);
    }

    /// Tells the election what its data and its gateway forbid it.
    pub(super) fn bar(&mut self, index: usize) {
        let member = &self.members[index];
        let gateway = member.gateway.map_or(Bar::Nothing, |gateway| gateway.bar());
        self.input(index, Input::Bar(member.data_bar.max(gateway)));
    }

    fn do_deeds(&mut self, index: usize) {
        while let Some(deed) = self.members[index].probe.poll_deed() {
            let task = match deed {
                Deed::Probe(hosts) => Task::Probe { hosts },
                Deed::Confirm(family, hosts) => Task::Confirm { family, hosts },
                Deed::Announce => Task::Announce { burst: BURST },
                Deed::LetKeep => {
                    self.input(index, Input::AddressInUse);
                    continue;
                }
                Deed::Tell(event) => {
                    self.events.tell(Some(&self.members[index].name), event);
                    continue;
                }
            };
            self.ask(index, task);
        }
    }

    fn ask(&mut self, index: usize, task: Task) {
        // Answers may come before the next turn of the loop.
        self.listen_to_neighbours();
        // If the thread is that busy, the next question is asked.
        let _ = self.addresses.jobs.try_send(self.members[index].job(index, task, 0));
    }

    /// Sees to it that each port hears what its routers can use, and no more than that.
    pub(super) fn listen_to_neighbours(&mut self) {
        for port in 0..self.ports.len() {
            let members = || self.members.iter().filter(|member| member.port == port);
            let wanted = Listening {
                for_answers: members().any(|member| {
                    let gateway = member.gateway.is_some_and(|it| it.awaits_answer());
                    gateway || member.probe.awaits_answers()
                }),
                for_use: members().any(|member| member.router.state() == State::Active),
            };
            let state = &mut self.ports[port];
            if let Some(packets) = &mut state.packets
                && state.listening != wanted
            {
                // The kernel refuses for want of memory only. Then less is heard, until it changes again.
                let _ = packets.listen(wanted);
                state.listening = wanted;
            }
        }
    }
}
