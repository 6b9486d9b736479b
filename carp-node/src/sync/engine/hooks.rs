//! The hooks that stop writers, and that let them go on.
//!
//! While writers stand still, a file in the state directory says so: a daemon that is killed meanwhile lets them go
//! on when it starts again.

use tokio::task::spawn_local;

use super::peer::wall_stamp;
use super::router::Hooks;
use super::{Done, Engine, now};
use crate::event::EventKind;
use crate::runner::{Job, JobReport};
use crate::state::{StateError, StateFile};
use crate::sync::handover::ServerInput;

impl Engine {
    /// Runs the hooks of a router's shares, one after the other: those that stop writers, or those that
    /// let them go on. What runs already comes to its end; its successor is of the new kind.
    pub(super) fn run_hooks(&mut self, number: usize, quiesces: bool) {
        let hooks = Hooks { quiesces, next: 0, failed: false };
        let runs = self.routers[number].hooks.replace(hooks).is_some();
        if quiesces && let Err(error) = self.will_be_quiet(number) {
            let text = format!("that writers stand still cannot be remembered: {error}");
            self.tell(number, EventKind::Fault { text });
        }
        if !runs {
            self.next_hook(number);
        }
    }

    fn next_hook(&mut self, number: usize) {
        let Some(hooks) = self.routers[number].hooks else { return };
        let hook = |share: usize| {
            let spec = &self.shares[share].spec;
            let argv = if hooks.quiesces { &spec.quiesce } else { &spec.unquiesce };
            argv.clone().map(|argv| (share, argv, spec.quiesce_timeout))
        };
        let mine = self.mine(number).into_iter().filter(|share| *share >= hooks.next);
        let Some((share, argv, limit)) = mine.filter_map(hook).next() else {
            self.routers[number].hooks = None;
            if hooks.quiesces {
                self.hooks_done(number);
            } else if !hooks.failed {
                self.is_loud(number);
            }
            return;
        };
        self.routers[number].hooks = Some(Hooks { next: share + 1, ..hooks });
        let mut job = Job::new(argv, limit);
        let variables = [
            ("CARP_SHARE", self.shares[share].spec.name.clone()),
            ("CARP_ROUTER", self.routers[number].name.clone()),
            ("CARP_HOOK", if hooks.quiesces { "quiesce" } else { "unquiesce" }.to_owned()),
        ];
        job.env = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (run, done) = (self.runner.run(job), self.done.clone());
        spawn_local(async move {
            let report = run.await;
            let _ = done.send(Done::Hook { router: number, share, report });
        });
    }

    pub(super) fn hook_ended(&mut self, number: usize, share: usize, report: &JobReport) {
        let Some(hooks) = self.routers[number].hooks else { return };
        let ok = report.outcome.is_success();
        if !ok {
            let name = &self.shares[share].spec.name;
            let output = report.output.trim_end();
            let text =
                format!("share {name}: a hook of the handover: {}: {output}", report.outcome);
            self.tell(number, EventKind::Fault { text });
            // That of an older chain may have ended, and the new one has not begun: then it counts twice.
            self.routers[number].hooks = Some(Hooks { failed: true, ..hooks });
        }
        if hooks.quiesces && !ok && hooks.next == share + 1 {
            self.routers[number].hooks = None;
            let output = self.routers[number].server.handle(now(), ServerInput::HookFailed);
            self.server_says(number, output);
            // Who leaves, leaves; what was written meanwhile is kept by the other's rescue.
            if let Some(leaving) = &mut self.routers[number].leaving {
                leaving.quiet_since = Some(wall_stamp());
            }
            return;
        }
        self.next_hook(number);
    }

    fn hooks_done(&mut self, number: usize) {
        let output = self.routers[number].server.handle(now(), ServerInput::HookDone);
        self.server_says(number, output);
        if let Some(leaving) = &mut self.routers[number].leaving {
            leaving.quiet_since.get_or_insert(wall_stamp());
        }
    }

    /// Lets writers go on that a daemon left standing when it was killed.
    pub(super) fn let_go_on(&mut self) {
        for number in 0..self.routers.len() {
            // What is damaged was written.
            if matches!(self.quiet_file(number).read(), Ok(None)) {
                continue;
            }
            let text = "the daemon ended while writers stood still: they go on";
            self.tell(number, EventKind::Log { text: text.into() });
            self.run_hooks(number, false);
        }
    }

    fn quiet_file(&self, number: usize) -> StateFile {
        StateFile::lasting(&self.directory, &format!("{}.quiet", self.routers[number].name))
    }

    fn will_be_quiet(&self, number: usize) -> Result<(), StateError> {
        let has_hooks = |share: usize| self.shares[share].spec.quiesce.is_some();
        if self.mine(number).into_iter().any(has_hooks) {
            return self.quiet_file(number).write("writers stand still\n");
        }
        Ok(())
    }

    fn is_loud(&self, number: usize) {
        // What is left runs the hook once more, which does no harm.
        let _ = std::fs::remove_file(self.quiet_file(number).path());
    }
}
