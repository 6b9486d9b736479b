//! The service thread: everything that may wait, kept away from the protocol task.
//!
//! Events are numbered, kept and shown here; hooks are queued here and run in the runner; the control
//! socket is served here.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

use crate::control::proto::{ControlError, ErrorCode, StatusReport, is_called};
use crate::control::{ControlSocket, Handler, Limits, serve};
use crate::event::{
    EventInbox, EventKind, EventLog, EventRecord, EventSource, Happening, Subscription,
};
use crate::guard::{Guard, GuardHandle};
use crate::hooks::{HookEvent, HookOn, HookRouter, Hooks};
use crate::node::{GiveWay, Handle, Prepare, YieldError};
use crate::runner::{Runner, RunnerHandle};
use crate::sync::engine::{self, Order, SyncHandle};

/// How long hooks may go on after the node has stopped, beyond the time limit of each.
const LAST_HOOKS: Duration = Duration::from_secs(60);

/// What the service thread works with.
pub struct Setup {
    /// The name of the node.
    pub node: String,
    /// The routers, in the order in which the node has them.
    pub routers: Vec<HookRouter>,
    /// The third process, or why there is none.
    pub runner: Result<Runner, String>,
    /// The second process, or why there is none.
    pub guard: Result<Guard, String>,
    /// Where questions come in; `None` for no control socket.
    pub control: Option<ControlSocket>,
    /// Where events are told, for those that arise here.
    pub events: EventSource,
    /// Where they arrive.
    pub inbox: EventInbox,
    /// Takeovers that wait for a program.
    pub takeovers: Takeovers,
    /// The shares that follow the routers; `None` if there are none.
    pub sync: Option<engine::Setup>,
    /// Routers that give way.
    pub giving_way: GivingWay,
    /// Shows an event to people. It may block.
    pub show: Box<dyn Fn(&EventRecord) + Send>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("node", &self.node).finish_non_exhaustive()
    }
}

/// Takeovers that wait for `before_active`.
#[derive(Debug)]
pub struct Takeovers(mpsc::UnboundedReceiver<(usize, u64)>);

/// Makes the way from a node to the hooks that come before a takeover.
#[must_use]
pub fn takeovers() -> (Prepare, Takeovers) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let prepare = Box::new(move |router, ticket| {
        // Without a service thread nobody answers, and the takeover runs out of time.
        let _ = sender.send((router, ticket));
    });
    (prepare, Takeovers(receiver))
}

/// Routers that have lost their gateway, and give way.
#[derive(Debug)]
pub struct GivingWay(mpsc::UnboundedReceiver<usize>);

/// Makes the way from a node to a handover in order: see [`Node::give_way_with`](crate::node::Node::give_way_with).
#[must_use]
pub fn giving_way() -> (GiveWay, GivingWay) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let give_way = Box::new(move |router| {
        // Without a service thread it stays active.
        let _ = sender.send(router);
    });
    (give_way, GivingWay(receiver))
}

/// The running thread.
#[derive(Debug)]
pub struct Service {
    finish: oneshot::Sender<()>,
    thread: JoinHandle<io::Result<()>>,
}

impl Service {
    /// Starts the thread. `task` runs there too, for signals and the like, and is dropped at the end.
    ///
    /// # Errors
    /// What the system says to a new thread.
    pub fn start<F>(
        setup: Setup,
        handle: Handle,
        task: impl FnOnce(Handle) -> F + Send + 'static,
    ) -> io::Result<Self>
    where
        F: Future<Output = ()> + 'static,
    {
        let (finish, finished) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("carp-service".into()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, async move {
                tokio::task::spawn_local(task(handle.clone()));
                work(setup, handle, finished).await
            })
        })?;
        Ok(Self { finish, thread })
    }

    /// Ends the thread, once the node has stopped: shows the last events and waits for the last hooks.
    ///
    /// # Errors
    /// What stopped the thread before.
    pub fn finish(self) -> io::Result<()> {
        // If the thread has ended by itself, it says why below.
        let _ = self.finish.send(());
        self.thread.join().map_err(|_| io::Error::other("the service thread panicked"))?
    }
}

async fn work(setup: Setup, handle: Handle, finished: oneshot::Receiver<()>) -> io::Result<()> {
    let Setup {
        node,
        routers,
        runner,
        guard,
        control,
        events,
        inbox,
        takeovers,
        sync,
        giving_way,
        show,
    } = setup;
    let runner = match runner {
        Ok(runner) => runner.into_handle()?,
        Err(reason) => RunnerHandle::absent(&reason),
    };
    let guard = match guard {
        Ok(guard) => guard.into_handle(events.clone())?,
        Err(reason) => GuardHandle::absent(&reason),
    };
    let names: Vec<String> = routers.iter().map(|router| router.name.clone()).collect();
    let source = events.clone();
    let hooks = Hooks::start(&runner, routers, move |router, report| {
        if let Some(kind) = report.event() {
            source.tell(Some(&Arc::from(router)), kind);
        }
    });
    let log = EventLog::new();
    let sync = match sync {
        Some(setup) => {
            let (runner, node) = (runner.clone(), handle.clone());
            Some(engine::start(setup, runner, node, events.clone(), log.subscribe())?)
        }
        None => None,
    };
    let (sync, _engine) = sync.unzip();
    if let Some(sync) = &sync {
        handle.leave_with(sync.clone());
    }
    tokio::task::spawn_local(give_way(giving_way, names.clone(), handle.clone(), events.clone()));
    let desk = Desk {
        node,
        handle: handle.clone(),
        log: log.clone(),
        hooks: hooks.clone(),
        runner: runner.clone(),
        guard: guard.clone(),
        sync: sync.clone(),
    };
    let serving = async {
        match control {
            Some(socket) => serve(socket, desk, Limits::default()).await,
            None => std::future::pending().await,
        }
    };
    let recorder = Recorder { log, hooks: hooks.clone(), show };
    let (inbox, served) = {
        let recording = recorder.follow(inbox, finished);
        let preparing = prepare(takeovers, &names, &hooks, &handle, sync.as_ref(), &events);
        tokio::select! {
            inbox = recording => (inbox, Ok(())),
            result = serving => {
                let text = format!("the control socket has ended: {result:?}");
                events.tell(None, EventKind::Fault { text });
                return result;
            }
            () = preparing => return Ok(()),
        }
    };
    // Nothing is held any more, and hooks may take their time.
    guard.dismiss().await;
    if let Some(sync) = &sync {
        sync.shut_down().await;
    }
    recorder.last_words(inbox, &hooks).await;
    runner.shut_down().await;
    served
}

/// Numbers events, shows them, and runs their hooks.
struct Recorder {
    log: EventLog,
    hooks: Hooks,
    show: Box<dyn Fn(&EventRecord) + Send>,
}

impl Recorder {
    async fn follow(
        &self,
        mut inbox: EventInbox,
        mut finished: oneshot::Receiver<()>,
    ) -> EventInbox {
        loop {
            tokio::select! {
                happening = inbox.recv() => match happening {
                    Some(happening) => self.record(happening),
                    None => return inbox,
                },
                _ = &mut finished => return inbox,
            }
        }
    }

    fn record(&self, happening: Happening) {
        let record = self.log.record(happening);
        (self.show)(&record);
        // A takeover that failed is told, but is no transition.
        if record.kind.transition().is_some_and(|(from, to, _)| from != to) {
            self.hooks.dispatch_record(&record);
        }
    }

    /// What was told before the end, and the hooks that it calls for.
    async fn last_words(&self, mut inbox: EventInbox, hooks: &Hooks) {
        self.drain(&mut inbox);
        hooks.idle(LAST_HOOKS).await;
        self.drain(&mut inbox);
    }

    fn drain(&self, inbox: &mut EventInbox) {
        while let Some(Some(happening)) = inbox.recv().now_or_never() {
            self.record(happening);
        }
    }
}

/// Runs `before_active` for takeovers that wait for it.
async fn prepare(
    mut takeovers: Takeovers,
    names: &[String],
    hooks: &Hooks,
    handle: &Handle,
    sync: Option<&SyncHandle>,
    events: &EventSource,
) {
    while let Some((index, ticket)) = takeovers.0.recv().await {
        let Some(router) = names.get(index) else { continue };
        let status = handle.status().await.unwrap_or_default();
        let cause = status.get(index).map(|router| router.cause.to_string()).unwrap_or_default();
        let event = HookEvent {
            router: router.clone(),
            on: HookOn::BeforeActive,
            previous: carp_proto::election::State::Backup,
            cause,
            seq: 0,
        };
        let (handle, hooks, sync) = (handle.clone(), hooks.clone(), sync.cloned());
        let (events, router) = (events.clone(), Arc::from(router.as_str()));
        // One router does not wait for the data of another.
        tokio::task::spawn_local(async move {
            let verdict = match sync {
                Some(sync) => sync.prepare(index).await,
                None => Ok(()),
            };
            match verdict {
                Ok(()) => hooks.prepare(event, move |ok| handle.prepared(index, ticket, ok)),
                Err(text) => {
                    events.tell(Some(&router), EventKind::Fault { text });
                    handle.prepared(index, ticket, false);
                }
            }
        });
    }
    // The node has ended.
    std::future::pending::<()>().await;
}

/// Hands over for routers that have lost their gateway, one after the other.
async fn give_way(
    mut giving_way: GivingWay,
    names: Vec<String>,
    handle: Handle,
    events: EventSource,
) {
    while let Some(index) = giving_way.0.recv().await {
        let Some(name) = names.get(index) else { continue };
        // Of a router with two elections both come here, and the first one takes the other along.
        if let Err(error @ YieldError::Unanswered) = handle.yield_router(name).await {
            let text = format!("it cannot give way: {error}");
            events.tell(Some(&Arc::from(name.as_str())), EventKind::Log { text });
        }
    }
}

/// Answers the control socket.
struct Desk {
    node: String,
    handle: Handle,
    log: EventLog,
    hooks: Hooks,
    runner: RunnerHandle,
    guard: GuardHandle,
    sync: Option<SyncHandle>,
}

impl Handler for Desk {
    async fn status(&self, router: Option<&str>) -> Result<StatusReport, ControlError> {
        let routers = self.handle.status().await;
        let mut routers =
            routers.ok_or_else(|| ControlError::new(ErrorCode::Failed, "the node is stopping"))?;
        if let Some(name) = router {
            if !routers.iter().any(|router| router.is_called(name)) {
                let known = routers.iter().map(|router| router.name.as_str());
                return Err(ControlError::unknown_router(name, known));
            }
            routers.retain(|router| router.is_called(name));
        }
        for router in &mut routers {
            router.hooks = self.hooks.reports(&router.name);
        }
        let report = StatusReport::new(&self.node, routers, self.runner.status());
        let lateness = self.handle.lateness().await.unwrap_or_default();
        let mut sync = match &self.sync {
            Some(sync) => sync.status().await,
            None => Vec::new(),
        };
        if let Some(name) = router {
            sync.retain(|share| is_called(name, &share.router));
        }
        Ok(StatusReport { guard: self.guard.status(), lateness, sync, ..report })
    }

    async fn yield_router(&self, router: &str) -> Result<(), ControlError> {
        let error = match self.handle.yield_router(router).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        let code = match error {
            YieldError::Unknown => {
                let status = self.handle.status().await.unwrap_or_default();
                let known = status.iter().map(|router| router.name.as_str());
                return Err(ControlError::unknown_router(router, known));
            }
            YieldError::NotActive { .. } => ErrorCode::Refused,
            YieldError::Unanswered | YieldError::Overtaken { .. } | YieldError::Stopped => {
                ErrorCode::Failed
            }
        };
        Err(ControlError::new(code, format!("{router}: {error}")))
    }

    async fn sync(
        &self,
        share: Option<String>,
        order: Order,
    ) -> Result<serde_json::Value, ControlError> {
        match &self.sync {
            Some(sync) => sync.order(share, order).await,
            None => {
                let message = "no share is configured: add a table like [sync.www]";
                Err(ControlError::new(ErrorCode::Refused, message))
            }
        }
    }

    fn events(&self) -> Subscription {
        self.log.subscribe()
    }
}
