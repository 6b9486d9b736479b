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

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use carp_proto::election::State;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio::task;

use crate::control::units::{Millis, WallTime};
use crate::event::{EventKind, EventRecord};
use crate::runner::{Account, GRACE, Job, JobReport, RunnerHandle};

/// How many events of one router may wait for their hooks.
pub const WAITING: usize = 64;

/// How many requests may wait for a router's task, which takes them at once.
const INBOX: usize = 256;

/// The programs of one router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookSpec {
    /// Run when the router has become active: the addresses are there.
    pub active: Option<Vec<String>>,
    /// Run when it has become backup.
    pub backup: Option<Vec<String>>,
    /// Run when it takes no part any more.
    pub init: Option<Vec<String>>,
    /// Run before it takes the addresses. It vetoes the takeover by any exit code but 0.
    pub before_active: Option<Vec<String>>,
    /// How long each of them may run.
    pub timeout: Duration,
    /// Whom they run as; `None` for whoever started the daemon.
    pub account: Option<Account>,
}

impl HookSpec {
    /// The time limit unless another is configured.
    pub const TIMEOUT: Duration = Duration::from_secs(30);

    /// The program for a hook.
    #[must_use]
    pub fn argv(&self, on: HookOn) -> Option<&Vec<String>> {
        match on {
            HookOn::Active => self.active.as_ref(),
            HookOn::Backup => self.backup.as_ref(),
            HookOn::Init => self.init.as_ref(),
            HookOn::BeforeActive => self.before_active.as_ref(),
        }
    }
}

impl Default for HookSpec {
    fn default() -> Self {
        Self {
            active: None,
            backup: None,
            init: None,
            before_active: None,
            timeout: Self::TIMEOUT,
            account: None,
        }
    }
}

/// Which of a router's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOn {
    /// `on.active`
    Active,
    /// `on.backup`
    Backup,
    /// `on.init`
    Init,
    /// `on.before_active`
    BeforeActive,
}

impl HookOn {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Active, Self::Backup, Self::Init, Self::BeforeActive];

    /// The key in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Backup => "backup",
            Self::Init => "init",
            Self::BeforeActive => "before_active",
        }
    }

    /// The hook that a transition to this state runs.
    #[must_use]
    pub const fn state(state: State) -> Self {
        match state {
            State::Active => Self::Active,
            State::Backup => Self::Backup,
            State::Init => Self::Init,
        }
    }

    /// `CARP_STATE`: the state that the router has, or is about to have.
    const fn carp_state(self) -> State {
        match self {
            Self::Active | Self::BeforeActive => State::Active,
            Self::Backup => State::Backup,
            Self::Init => State::Init,
        }
    }
}

impl fmt::Display for HookOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A router as its hooks know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookRouter {
    /// `CARP_ROUTER`: the name in the configuration.
    pub name: String,
    /// `CARP_INTERFACE`
    pub interface: String,
    /// `CARP_ADDRESSES`, as configured: with their prefix lengths if those were written.
    pub addresses: Vec<String>,
    /// Its programs.
    pub spec: HookSpec,
}

/// Something that hooks run for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookEvent {
    /// The router's name.
    pub router: String,
    /// Which hook.
    pub on: HookOn,
    /// `CARP_PREVIOUS`
    pub previous: State,
    /// `CARP_CAUSE`: the label of the cause.
    pub cause: String,
    /// `CARP_SEQ`: the number of the event in `carp events`.
    pub seq: u64,
}

/// The last run of a hook, as status shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookReport {
    /// Which hook.
    pub on: HookOn,
    /// The program.
    pub program: String,
    /// Whether it runs at this moment.
    pub running: bool,
    /// Whether the last run exited with 0; `None` before the first run has ended.
    pub ok: Option<bool>,
    /// What became of the last run, in words.
    pub outcome: Option<String>,
    /// The exit code of the last run, if it exited.
    pub exit_code: Option<i32>,
    /// How long the last run took.
    pub duration_ms: Option<Millis>,
    /// When the last run ended.
    pub finished: Option<WallTime>,
    /// The end of what the last run wrote.
    pub output: Option<String>,
    /// How many events it was not run for because too many waited.
    pub dropped: u64,
}

impl HookReport {
    fn new(on: HookOn, program: &str) -> Self {
        Self {
            on,
            program: program.to_owned(),
            running: false,
            ok: None,
            outcome: None,
            exit_code: None,
            duration_ms: None,
            finished: None,
            output: None,
            dropped: 0,
        }
    }

    fn finish(&mut self, report: JobReport) {
        self.running = false;
        self.ok = Some(report.outcome.is_success());
        self.outcome = Some(report.outcome.to_string());
        self.exit_code = report.outcome.exit_code();
        self.duration_ms = Some(report.duration.into());
        self.finished = Some(WallTime::now());
        self.output = Some(report.output);
    }

    /// The event that the last run has ended; `None` before that.
    #[must_use]
    pub fn event(&self) -> Option<EventKind> {
        Some(EventKind::Hook {
            on: self.on.name().into(),
            program: self.program.clone(),
            ok: self.ok?,
            outcome: self.outcome.clone()?,
            exit_code: self.exit_code,
            duration_ms: self.duration_ms?,
        })
    }
}

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

type Reports = Arc<Mutex<BTreeMap<HookOn, HookReport>>>;

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

    fn lock_reports(&self) -> std::sync::MutexGuard<'_, BTreeMap<HookOn, HookReport>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count_dropped(reports: &Reports, on: HookOn) {
    let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(report) = reports.get_mut(&on) {
        report.dropped += 1;
    }
}

/// One router's task.
struct Queue {
    router: HookRouter,
    runner: RunnerHandle,
    reports: Reports,
    on_result: OnResult,
    urgent: Option<(HookEvent, Reply)>,
    waiting: VecDeque<HookEvent>,
    /// Who wants to know when nothing is left to do.
    idle: Vec<oneshot::Sender<()>>,
}

impl Queue {
    /// Works until nobody can ask any more.
    async fn work(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            while let Ok(request) = requests.try_recv() {
                self.take(request);
            }
            let (event, reply) = match self.next() {
                Some(next) => next,
                None => {
                    self.tell_idle();
                    match requests.recv().await {
                        Some(request) => self.take(request),
                        None => return,
                    }
                    continue;
                }
            };
            let Some(ok) = self.run(&event, &mut requests).await else { return };
            if let Some(reply) = reply {
                reply(ok);
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Run(event) => {
                if self.waiting.len() == WAITING
                    && let Some(oldest) = self.waiting.pop_front()
                {
                    count_dropped(&self.reports, oldest.on);
                }
                self.waiting.push_back(event);
            }
            Request::Prepare(event, reply) => {
                if let Some((older, refuse)) = self.urgent.replace((event, reply)) {
                    count_dropped(&self.reports, older.on);
                    refuse(false);
                }
            }
            Request::Idle(sender) => self.idle.push(sender),
        }
    }

    fn next(&mut self) -> Option<(HookEvent, Option<Reply>)> {
        match self.urgent.take() {
            Some((event, reply)) => Some((event, Some(reply))),
            None => self.waiting.pop_front().map(|event| (event, None)),
        }
    }

    /// Runs one hook to its end, taking requests meanwhile. Whether it exited with 0; `None` when
    /// nobody can ask any more, which ends the program's usefulness but not the program.
    async fn run(
        &mut self,
        event: &HookEvent,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Option<bool> {
        self.note(event.on, |report| report.running = true);
        let run = self.runner.run(self.job(event));
        tokio::pin!(run);
        let report = loop {
            tokio::select! {
                report = &mut run => break report,
                request = requests.recv() => self.take(request?),
            }
        };
        let ok = report.outcome.is_success();
        let noted = self.note(event.on, |noted| noted.finish(report));
        if let Some(noted) = noted {
            (self.on_result)(&self.router.name, &noted);
        }
        Some(ok)
    }

    fn job(&self, event: &HookEvent) -> Job {
        let spec = &self.router.spec;
        let variables = [
            ("CARP_ROUTER", self.router.name.clone()),
            ("CARP_STATE", event.on.carp_state().to_string()),
            ("CARP_PREVIOUS", event.previous.to_string()),
            ("CARP_CAUSE", event.cause.clone()),
            ("CARP_INTERFACE", self.router.interface.clone()),
            ("CARP_ADDRESSES", self.router.addresses.join(" ")),
            ("CARP_SEQ", event.seq.to_string()),
        ];
        Job {
            argv: spec.argv(event.on).cloned().unwrap_or_default(),
            env: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            limit: spec.timeout,
            grace: GRACE,
            account: spec.account,
        }
    }

    /// Changes a hook's report, and gives a copy of it.
    fn note(&self, on: HookOn, change: impl FnOnce(&mut HookReport)) -> Option<HookReport> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let report = reports.get_mut(&on)?;
        change(report);
        Some(report.clone())
    }

    fn tell_idle(&mut self) {
        for idle in self.idle.drain(..) {
            // Whoever asked may have stopped waiting.
            idle.send(()).ok();
        }
    }
}
