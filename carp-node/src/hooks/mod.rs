//! Programs run on events: in order, bounded, never awaited by the protocol.
//!
//! Every router has one queue and at most one of its hooks runs at a time, in the order of the
//! events. At most [`WAITING`] wait; of more, the oldest is dropped and counted, because the newest
//! says what is true.
//!
//! `before_active` is different: the election waits for it, so it goes to the head of the queue. It
//! does not overlap a hook of the same router that runs already: it waits for that one, which ends at
//! its time limit at the latest. A slow `on.backup` can therefore make a takeover fail for lack of
//! time (`Fault::PrepareTimeout`): whoever configures `before_active` gives the others short limits.
//! Only the newest waiting one counts; one that it replaces is answered with `false`, unrun.
//!
//! Hooks of different routers run side by side.

mod queue;
mod report;
mod spec;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task;

use self::queue::Queue;
pub use self::queue::WAITING;
pub use self::report::HookReport;
use self::report::{Reports, count_dropped};
pub use self::spec::{HookEvent, HookOn, HookRouter, HookSpec};
use crate::event::EventRecord;
use crate::runner::RunnerHandle;

/// How many requests may wait for a router's task, which takes them at once.
const INBOX: usize = 256;

/// Where events go to run their hooks. Clones share the queues. When the last clone is dropped, what
/// waits is dropped too.
#[derive(Clone, Debug)]
pub struct Hooks {
    routers: Arc<BTreeMap<String, Router>>,
}

#[derive(Debug)]
struct Router {
    spec: HookSpec,
    inbox: mpsc::Sender<Request>,
    reports: Reports,
}

type Reply = Box<dyn FnOnce(bool) + Send>;

type OnResult = Arc<dyn Fn(&str, &HookReport) + Send + Sync>;

/// What is asked of a router's task.
enum Request {
    Run(HookEvent),
    Prepare(HookEvent, Reply),
    Idle(oneshot::Sender<()>),
}

impl Hooks {
    /// Starts one task a router on the present tokio runtime. `on_result` is called there after every
    /// run, with the router's name; it must not block.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        runner: &RunnerHandle,
        routers: impl IntoIterator<Item = HookRouter>,
        on_result: impl Fn(&str, &HookReport) + Send + Sync + 'static,
    ) -> Self {
        let on_result: OnResult = Arc::new(on_result);
        let start = |router: HookRouter| {
            let (inbox, requests) = mpsc::channel(INBOX);
            let reports = Reports::default();
            let handle = Router { spec: router.spec.clone(), inbox, reports: Arc::clone(&reports) };
            let name = router.name.clone();
            let queue = Queue {
                router,
                runner: runner.clone(),
                reports,
                on_result: Arc::clone(&on_result),
                urgent: None,
                waiting: VecDeque::new(),
                idle: Vec::new(),
            };
            handle.note_programs();
            task::spawn(queue.work(requests));
            (name, handle)
        };
        Self { routers: Arc::new(routers.into_iter().map(start).collect()) }
    }

    /// Queues the hook for an event, if there is one. Never blocks.
    pub fn dispatch(&self, event: HookEvent) {
        let Some((router, on)) = self.with_hook(&event) else { return };
        if router.inbox.try_send(Request::Run(event)).is_err() {
            router.count_dropped(on);
        }
    }

    /// Queues the hook for a record of the log, if it is a transition and there is one. Never blocks.
    pub fn dispatch_record(&self, record: &EventRecord) {
        let (Some(router), Some((from, to, cause))) = (&record.router, record.kind.transition())
        else {
            return;
        };
        self.dispatch(HookEvent {
            router: router.clone(),
            on: HookOn::state(to),
            previous: from,
            cause: cause.to_owned(),
            seq: record.seq,
        });
    }

    /// Runs `before_active` ahead of everything that waits, and then calls `reply` with whether it
    /// exited with 0: at once with `true` if there is none, and with `false` if it could not be run
    /// or was replaced by a newer request. Never blocks; `reply` must not block either.
    ///
    /// A reply can be late: the election may have given up, and may wait for another one already. The
    /// caller tells them apart, for example by a number in the closure.
    pub fn prepare(&self, event: HookEvent, reply: impl FnOnce(bool) + Send + 'static) {
        let event = HookEvent { on: HookOn::BeforeActive, ..event };
        let Some((router, on)) = self.with_hook(&event) else { return reply(true) };
        let reply: Reply = Box::new(reply);
        if let Err(refused) = router.inbox.try_send(Request::Prepare(event, reply)) {
            router.count_dropped(on);
            if let Request::Prepare(_, reply) = refused.into_inner() {
                reply(false);
            }
        }
    }

    /// Whether a takeover of this router waits for a program.
    #[must_use]
    pub fn has_before_active(&self, router: &str) -> bool {
        self.routers.get(router).is_some_and(|router| router.spec.before_active.is_some())
    }

    /// The last results of a router's hooks, configured ones only.
    #[must_use]
    pub fn reports(&self, router: &str) -> Vec<HookReport> {
        let Some(router) = self.routers.get(router) else { return Vec::new() };
        router.lock_reports().values().cloned().collect()
    }

    /// Waits until nothing runs or waits, for a planned stop. `false` if the limit came first.
    pub async fn idle(&self, limit: Duration) -> bool {
        let all = async {
            for router in self.routers.values() {
                let (sender, idle) = oneshot::channel();
                if router.inbox.send(Request::Idle(sender)).await.is_ok() {
                    // An error means that the task is gone, and so idle indeed.
                    idle.await.ok();
                }
            }
        };
        tokio::time::timeout(limit, all).await.is_ok()
    }

    fn with_hook(&self, event: &HookEvent) -> Option<(&Router, HookOn)> {
        let router = self.routers.get(&event.router)?;
        router.spec.argv(event.on).map(|_| (router, event.on))
    }
}

impl Router {
    /// Status shows a hook before it has run.
    fn note_programs(&self) {
        let mut reports = self.lock_reports();
        for on in HookOn::ALL {
            if let Some(argv) = self.spec.argv(on) {
                let program = argv.first().map_or("", String::as_str);
                reports.insert(on, HookReport::new(on, program));
            }
        }
    }

    fn count_dropped(&self, on: HookOn) {
        count_dropped(&self.reports, on);
    }

    fn lock_reports(&self) -> MutexGuard<'_, BTreeMap<HookOn, HookReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
