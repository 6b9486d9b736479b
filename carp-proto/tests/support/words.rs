//! The words of the tests of CARP's election.

use carp_proto::Demotion;
use carp_proto::election::{Cause, Dialect, Fault, Input, State};

use super::{Effect, Setup};

pub(crate) const FAILED_TO_ACQUIRE: Input = Input::Fault(Fault::Acquire { code: 1 });

pub(crate) const fn state(from: State, to: State, cause: Cause) -> Effect {
    Effect::State(from, to, cause)
}

pub(crate) const fn to_backup(cause: Cause) -> Effect {
    state(State::Active, State::Backup, cause)
}

/// A takeover that ended before the addresses were there.
pub(crate) const fn failed(cause: Cause) -> Effect {
    state(State::Backup, State::Backup, cause)
}

pub(crate) fn native() -> Setup {
    Setup::new()
}

pub(crate) fn with(dialect: Dialect) -> Setup {
    Setup { dialect, ..Setup::new() }
}

pub(crate) fn demoted(points: u32) -> Input {
    Input::Demotion(Demotion::clamped(points))
}
