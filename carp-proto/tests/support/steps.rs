//! What comes of steps, as values that can be compared.

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Posture, State};
use carp_proto::testing::{Datagram, Drill, Setup, Step};
use carp_proto::{Action, Instant, RxMeta, Transmit, VirtualRouter};

use super::{Effect, owned};

/// When the runs begin.
pub(crate) const ORIGIN: Instant = Instant::from_nanos(1_000_000_000_000);

/// What came of a step: the effects, what was sent byte for byte, the deadline relative to the present,
/// and the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) effects: Vec<Effect>,
    pub(crate) sent: Vec<Datagram>,
    pub(crate) wait: Option<Duration>,
    pub(crate) state: State,
    pub(crate) posture: Posture,
}

/// A router to which steps happen, and what comes of them.
pub(crate) struct Run(Drill);

impl Deref for Run {
    type Target = Drill;

    fn deref(&self) -> &Drill {
        &self.0
    }
}

impl DerefMut for Run {
    fn deref_mut(&mut self) -> &mut Drill {
        &mut self.0
    }
}

impl Run {
    pub(crate) fn new(setup: Setup, origin: Instant) -> Self {
        Self(Drill::new(setup, origin))
    }

    pub(crate) fn take(&mut self, step: &Step) -> Outcome {
        self.0.take(step);
        self.outcome()
    }

    pub(crate) fn hear(&mut self, at: Instant, meta: &RxMeta, message: &[u8]) -> bool {
        self.router.handle_datagram(at, meta, message).is_ok()
    }

    pub(crate) fn outcome(&mut self) -> Outcome {
        let (effects, sent) = drain(&mut self.router);
        let deadline = self.router.poll_timeout();
        let wait = deadline.map(|deadline| deadline.at.saturating_since(self.now));
        let (state, posture) = (self.router.state(), self.router.posture());
        Outcome { effects, sent, wait, state, posture }
    }
}

/// What comes of each of these steps.
pub(crate) fn outcomes(setup: Setup, origin: Instant, steps: &[Step]) -> Vec<Outcome> {
    let mut run = Run::new(setup, origin);
    steps.iter().map(|step| run.take(step)).collect()
}

/// Takes out everything that a router wants: the effects, and the adverts among them as they are sent.
pub(crate) fn drain(router: &mut VirtualRouter) -> (Vec<Effect>, Vec<Datagram>) {
    let mut scratch = BytesMut::new();
    let (mut effects, mut sent) = (Vec::new(), Vec::new());
    while let Some(action) = router.poll_action(&mut scratch) {
        effects.push(owned(&action));
        if let Action::Send(Transmit { source, destination, payload, .. }) = action {
            sent.push((RxMeta { source, destination, ttl: 255 }, payload.to_vec()));
        }
    }
    (effects, sent)
}
