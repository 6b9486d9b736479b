//! `carp sync failback`: the operator has the peer hand over to this node.
//!
//! It is the handover that a router asks for of its own accord, with somebody who waits for the end.

use std::time::Duration;

use carp_proto::Instant;
use serde_json::{Value, json};

use super::orders::refused;
use super::router::RouterState;
use super::share::Share;
use super::{Answer, Engine, Role, now};
use crate::control::proto::{ControlError, ErrorCode, RouterStatus};
use crate::control::units::Millis;
use crate::sync::decide::Decision;
use crate::sync::handover::{GivenUp, MARGIN, RequesterInput};
use crate::sync::policy::Failback;
use crate::sync::standing::Held;

/// How long after the limit of the handover the addresses may take to be there.
const ADDRESSES: Duration = Duration::from_secs(10);

/// A handover that somebody waits for.
#[derive(Debug)]
pub(super) struct Asked {
    since: Instant,
    /// Then it has not worked out, whatever else is.
    until: Instant,
    /// How long writers stood still for it.
    pub(super) freeze: Option<Duration>,
    replies: Vec<Answer>,
}

impl Engine {
    pub(super) fn fail_back(&mut self, share: usize, reply: Answer) {
        let number = self.shares[share].router;
        if self.routers[number].role == Role::Active && self.routers[number].asked.is_none() {
            let text = format!("{} is active on this node already", self.routers[number].name);
            // Whoever asked may have gone.
            let _ = reply.send(Ok(answer(&self.routers[number], &text, None)));
            return;
        }
        if let Err(error) = self.may_fail_back(number) {
            let _ = reply.send(Err(error));
            return;
        }
        let now = now();
        let limit = self.timeout_of(number);
        let asked = self.routers[number].asked.get_or_insert_with(|| Asked {
            since: now,
            until: now + limit + ADDRESSES,
            freeze: None,
            replies: Vec::new(),
        });
        asked.replies.push(reply);
        // One that is under way already is the one that is waited for.
        let commanded = RequesterInput::Commanded { fresh: Self::fresh_want() };
        let output = self.routers[number].requester.handle(now, commanded);
        self.requester_says(number, output);
    }

    /// What would keep a handover to this node from being done, with the remedy.
    fn may_fail_back(&self, number: usize) -> Result<(), ControlError> {
        let router = &self.routers[number];
        let name = &router.name;
        match router.role {
            // It is about to serve.
            Role::Active => return Ok(()),
            Role::Init => {
                let text = "does not take part in the election here: `carp status` says why";
                return Err(refused(format!("router {name} {text}")));
            }
            Role::Backup => {}
        }
        for share in self.mine(number) {
            self.may_be_served(share)?;
        }
        if router.heard.is_none() {
            let text =
                "hears no active router, so there is nobody who could hand over: `carp status`";
            return Err(refused(format!("router {name} {text}")));
        }
        let here = if !router.preempts {
            "has preempt = false, and takes over from nobody who serves"
        } else if !router.is_better() {
            "does not rank higher here than on the node that serves"
        } else {
            return Ok(());
        };
        Err(refused(format!(
            "router {name} {here}: `carp yield {name}` on that node hands over, and waits for this node's copy"
        )))
    }

    fn may_be_served(&self, number: usize) -> Result<(), ControlError> {
        let share = &self.shares[number];
        let name = &share.spec.name;
        if let Some(hold) = share.hold() {
            return Err(refused(format!("share {name} is held: {}", hold.message)));
        }
        if let Some(fault) = share.fault() {
            return Err(refused(format!("share {name}: {fault}")));
        }
        match &share.decision {
            Some(Decision::Wait(wait)) => {
                let trouble = self.peers[share.peer].trouble.as_ref();
                let why = trouble.map(|it| format!(": {}", it.text)).unwrap_or_default();
                let text =
                    format!("share {name}: {}{why}; `carp sync check {name}`", wait.message());
                return Err(refused(text));
            }
            Some(Decision::Scan) | None => {
                let text =
                    format!("share {name}: its tree is being looked at: ask again in a moment");
                return Err(refused(text));
            }
            Some(Decision::Pull(_) | Decision::Keep | Decision::Serve(_) | Decision::Hold(_)) => {}
        }
        if self.is_ready(number) {
            return Ok(());
        }
        Err(refused(format!(
            "share {name} is not in sync: `carp sync status {name} --watch` shows how far it is, `carp sync now \
             {name}` begins a pass"
        )))
    }

    /// Tells who waits that it is done, or that it takes too long.
    pub(super) fn answer_failback(&mut self, number: usize, status: &[RouterStatus], now: Instant) {
        let router = &mut self.routers[number];
        if router.asked.is_none() {
            return;
        }
        let serves = router.role == Role::Active && router.serves(status);
        let Some(asked) = router.asked.take_if(|asked| serves || now >= asked.until) else {
            return;
        };
        let took = now.saturating_since(asked.since);
        let stood = asked
            .freeze
            .map(|freeze| format!("; writers stood still for {} ms", freeze.as_millis()));
        let text = format!(
            "{} is active on this node, after {} ms{}",
            router.name,
            took.as_millis(),
            stood.unwrap_or_default()
        );
        for reply in asked.replies {
            let _ = reply.send(if serves {
                Ok(answer(router, &text, Some((took, asked.freeze))))
            } else {
                let text =
                    "the handover is done, but the addresses are not here: `carp status` says why";
                Err(ControlError::new(ErrorCode::Failed, text))
            });
        }
    }

    /// Tells who waits that it did not work out.
    pub(super) fn failback_given_up(&mut self, number: usize, why: GivenUp) {
        let limit = self.timeout_of(number).saturating_sub(MARGIN);
        let Some(asked) = self.routers[number].asked.take() else { return };
        let text = match why {
            GivenUp::TimedOut | GivenUp::NotElected => {
                format!("{} (it was waited for {} s)", why.message(), limit.as_secs())
            }
            GivenUp::PullFailed | GivenUp::Undone | GivenUp::Unready => why.message().to_owned(),
        };
        let text = format!("{text}; the address is where it was, and writers go on");
        for reply in asked.replies {
            let _ = reply.send(Err(ControlError::new(ErrorCode::Failed, text.clone())));
        }
    }

    /// The command that brings the address here, if nothing but that word is missing.
    pub(super) fn brings_back(&self, share: &Share) -> Option<String> {
        let router = &self.routers[share.router];
        let mine = self.mine(share.router);
        let manual = |it: &usize| self.shares[*it].spec.policy.failback == Failback::Manual;
        let awaits =
            share.standing.as_ref().is_some_and(|it| it.held == Some(Held::AwaitsHandover));
        let asks = router.requester.want().is_some();
        let waits = awaits && !asks && mine.iter().any(manual);
        (waits && self.may_fail_back(share.router).is_ok())
            .then(|| format!("carp sync failback {}", share.spec.name))
    }
}

/// What is told; of a handover, how long it took, and how long writers stood still for it.
fn answer(router: &RouterState, text: &str, moved: Option<(Duration, Option<Duration>)>) -> Value {
    json!({
        "schema": "carp.sync-failback/1",
        "router": router.name,
        "moved": moved.is_some(),
        "took_ms": moved.map(|(took, _)| Millis(took)),
        "freeze_ms": moved.and_then(|(_, freeze)| freeze).map(Millis),
        "text": text,
    })
}
