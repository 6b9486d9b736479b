//! What others have done and ask for: reports of the address thread, and commands.

use carp_proto::election::{Fault, Input, State};
use tokio::sync::oneshot;

use super::Node;
use super::handle::{Command, Restraint, YieldError, Yielded};
use crate::addresses::{Report, Task};
use crate::backend::Backend;
use crate::control::proto::is_called;
use crate::event::EventKind;

impl<B: Backend> Node<B> {
    pub(super) fn reported(&mut self, report: Report) {
        if let Task::Renew { asked_at } = report.task {
            return self.lease_renewed(report.router, asked_at, &report);
        }
        let (router, strange) = (report.router, report.strange);
        let Some(member) = self.members.get_mut(router) else { return };
        let waited_for = report.ticket == member.tickets.acquire;
        // What became of a takeover that is no longer wanted is no fault of the router.
        let late = matches!(report.task, Task::Acquire { .. }) && !waited_for;
        let text = report.outcome.as_ref().err().filter(|_| !late).map(ToString::to_string);
        let input = match (report.task, report.outcome) {
            (Task::Acquire { .. }, Ok(_)) if waited_for => {
                member.fault_text = None;
                Some(Input::Acquired)
            }
            (Task::Acquire { .. }, Err(fault)) if waited_for => {
                Some(Input::Fault(Fault::Acquire { code: fault.code() }))
            }
            (Task::Release, Err(fault)) => {
                Some(Input::Fault(Fault::Release { code: fault.code() }))
            }
            (Task::Verify, Ok(true)) => return self.missed(router),
            (Task::Clear, Ok(removed)) => {
                if removed {
                    let text =
                        "an address was left here by carp, and removed: this router is not active";
                    self.events.tell(Some(&member.name), EventKind::Log { text: text.into() });
                }
                return self.found_strange(router, strange);
            }
            (Task::Settle, _) => {
                // Whoever asked may have gone.
                let _ = self.settling.pop_front().map(|waiting| waiting.send(()));
                None
            }
            (Task::Confirm { family, .. }, Ok(gateway)) => {
                member.probe.asked(family, gateway);
                None
            }
            (Task::Acquire { .. } | Task::Release | Task::Verify | Task::Clear, _)
            | (Task::Dismantle | Task::Prepare | Task::Announce { .. } | Task::Renew { .. }, _)
            | (Task::Probe { .. } | Task::Ask { .. } | Task::Confirm { .. }, _) => None,
        };
        if let Some(text) = text {
            member.fault_text = Some(text.clone());
            self.events.tell(Some(&member.name), EventKind::Fault { text });
        }
        if let Some(input) = input {
            self.input(router, input);
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Status { reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status());
            }
            Command::Lateness { reply } => {
                // As above.
                let _ = reply.send(self.lateness.report());
            }
            Command::Settle { reply } => self.settle(reply),
            Command::Yield { router, reply } => self.yield_router(&router, reply),
            Command::YieldAll => self.input_to_all(Input::Yield),
            Command::HoldBack { seat, restraint } => self.hold_back(seat, restraint),
            Command::Prepared { router, ticket, ok } => {
                if self.members.get(router).is_some_and(|m| m.tickets.prepare == ticket) {
                    self.input(router, if ok { Input::Prepared } else { Input::Refused });
                }
            }
            Command::Stop => {
                self.stopping = true;
                self.input_to_all(Input::Stop);
            }
        }
    }

    /// How its data hold a router back from now on.
    pub(super) fn hold_back(&mut self, seat: usize, restraint: Restraint) {
        let Some(member) = self.members.get_mut(seat) else { return };
        let Restraint { behind, awaits_handover, bar } = restraint;
        member.data_bar = bar;
        // What holds it comes before what does not any more, so that it does not preempt between the two.
        let mut inputs = [Input::Held(behind), Input::AwaitsHandover(awaits_handover)];
        if awaits_handover {
            inputs.reverse();
        }
        inputs.into_iter().for_each(|input| self.input(seat, input));
        self.bar(seat);
    }

    /// Answers when the address thread has done what it was asked for: it works in order. Where it has no
    /// work, or too much, the answer is nothing.
    fn settle(&mut self, reply: oneshot::Sender<()>) {
        let Some(member) = self.members.first() else { return };
        if self.addresses.jobs.try_send(member.job(0, Task::Settle, 0)).is_ok() {
            self.settling.push_back(reply);
        }
    }

    /// Makes the active routers of this name yield. The first one tells what became of it: the others go
    /// the same way.
    fn yield_router(&mut self, name: &str, reply: oneshot::Sender<Result<Yielded, YieldError>>) {
        let members = self.members.iter().enumerate();
        let called = members.filter(|(_, member)| is_called(&member.name, name));
        let states: Vec<_> = called.map(|(index, it)| (index, it.router.state())).collect();
        let mut active = states.iter().filter(|(_, state)| *state == State::Active);
        let refused = match (active.next(), states.first()) {
            (Some(&(first, _)), _) => {
                self.members[first].yielding.push(reply);
                for (index, _) in states {
                    self.input(index, Input::Yield);
                }
                return;
            }
            (None, Some(&(_, state))) => YieldError::NotActive { state },
            (None, None) => YieldError::Unknown,
        };
        // Whoever asked may have gone.
        let _ = reply.send(Err(refused));
    }
}
