//! Watching the play: what the daemons say of themselves, what the client was answered, what the
//! script does. All of it goes into one [`Model`].

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use carp_node::control::Client as Control;
use carp_node::control::client::EventLine;
use carp_node::control::units::WallTime;
use carp_node::event::{EventKind, EventRecord};
use carp_node::lab::{Client, LabError, Request};
use carp_proto::election;

use super::model::{Act, Answer, Model, Setting, State, Switch, Told, Who};

/// How often a daemon that starts is looked for.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// What the times of events are cut to.
const CUT: Duration = Duration::from_millis(1);

/// How long a daemon may take to listen before nobody follows it any more.
const START_LIMIT: Duration = Duration::from_secs(20);

/// Where everybody who sees something reports it. Clones share it.
#[derive(Clone)]
pub(super) struct Watch {
    begin: Instant,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    model: Model,
    client: Option<Arc<Client>>,
    /// How many of the client's requests are in the model.
    requests: usize,
}

impl Watch {
    /// The play begins now.
    pub(super) fn new(setting: Setting) -> Self {
        let seen = Seen { model: Model::new(setting), client: None, requests: 0 };
        Self { begin: Instant::now(), seen: Arc::new(Mutex::new(seen)) }
    }

    /// The time since the beginning.
    pub(super) fn now(&self) -> Duration {
        self.begin.elapsed()
    }

    /// A moment as a time since the beginning.
    pub(super) fn at(&self, moment: Instant) -> Duration {
        moment.saturating_duration_since(self.begin)
    }

    /// Looks at what was seen until now, the client's latest requests included.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Model, Duration) -> T) -> T {
        let mut seen = self.seen();
        seen.collect(self.begin);
        at(&seen.model, self.now())
    }

    /// An act begins; `doing` says what happens in it.
    pub(super) fn act(&self, act: Act, doing: impl Into<String>) {
        let mut seen = self.seen();
        seen.model.acts.push((self.now(), act));
        seen.model.doing = doing.into();
    }

    /// Says what happens now, for those who watch live.
    pub(super) fn doing(&self, doing: impl Into<String>) {
        self.seen().model.doing = doing.into();
    }

    /// Something happened that belongs into the plain timeline.
    pub(super) fn tell(&self, text: impl Into<String>) {
        self.tell_at(self.now(), text);
    }

    /// The same of something that happened before now.
    pub(super) fn tell_of(&self, moment: Instant, text: impl Into<String>) {
        self.tell_at(self.at(moment), text);
    }

    fn tell_at(&self, at: Duration, text: impl Into<String>) {
        self.seen().model.told.push(Told { at, text: text.into() });
    }

    /// An act has its result.
    pub(super) fn switched(&self, switch: Switch) {
        self.seen().model.switches.push(switch);
    }

    /// From now on this client's requests count.
    pub(super) fn watch_client(&self, client: &Arc<Client>) {
        self.seen().client = Some(Arc::clone(client));
    }

    /// The play is over, and the client has its owner alone: it is about to end, so that no answers are
    /// no gap any more.
    pub(super) fn release_client(&self) {
        let mut seen = self.seen();
        seen.collect(self.begin);
        seen.client = None;
        seen.model.end = Some(self.now());
    }

    /// The client has ended with these requests: the picture is complete.
    pub(super) fn complete(&self, requests: &[Request]) {
        let mut seen = self.seen();
        let new = requests.get(seen.requests..).unwrap_or_default();
        seen.add(self.begin, new);
        seen.model.counts.sent = requests.len();
        seen.model.end = Some(self.now());
    }

    /// A server resigned on the wire: it leaves, until its daemon says what it is then.
    pub(super) fn resigned(&self, who: Who, moment: Instant) {
        self.seen().model.leave(who, self.at(moment));
    }

    /// A server's machine has died.
    pub(super) fn died(&self, who: Who, death: Instant) {
        self.seen().model.die(who, self.at(death));
    }

    /// A server's machine runs again, without a daemon yet.
    pub(super) fn booted(&self, who: Who) {
        self.seen().model.enter(who, self.now(), State::Down);
    }

    /// Follows a daemon that was just started at a socket, until it or its machine ends.
    pub(super) fn follow(&self, who: Who, socket: PathBuf) -> Result<(), LabError> {
        let (watch, started) = (self.clone(), self.now());
        let follow = move || watch.follow_until_end(who, &socket, started);
        let thread = thread::Builder::new().name("demo-events".into()).spawn(follow);
        let failed = |source| LabError::System { doing: "follow a daemon".into(), source };
        thread.map(drop).map_err(failed)
    }

    fn follow_until_end(&self, who: Who, socket: &Path, started: Duration) {
        let Some(daemon) = connect(socket) else { return };
        let Ok(events) = daemon.events(true) else { return };
        for line in events.map_while(Result::ok) {
            if let EventLine::Event(event) = line {
                self.record(who, &event, started);
            }
        }
        let now = self.now();
        let mut seen = self.seen();
        // The machine may have died with it, which says more.
        if seen.model.state_at(who, now) != State::Dead {
            seen.model.enter(who, now, State::Down);
        }
    }

    fn record(&self, who: Who, event: &EventRecord, started: Duration) {
        let at = self.at(moment(event.time)).max(started);
        if let Some((from, to, _)) = event.kind.transition() {
            let mut seen = self.seen();
            if from == election::State::Init {
                // That it was before it said anything.
                seen.model.enter(who, started, State::Init);
            }
            seen.model.enter(who, at, state(to));
        }
        if !matches!(event.kind, EventKind::Log { .. } | EventKind::Unknown) {
            self.tell_at(at, format!("{}: {}", who.name(), event.kind));
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    /// Takes over what the client has got since the last time.
    fn collect(&mut self, begin: Instant) {
        let Some(client) = self.client.clone() else { return };
        self.add(begin, &client.requests_after(self.requests));
        self.model.counts.sent = client.begun().max(self.requests);
    }

    fn add(&mut self, begin: Instant, requests: &[Request]) {
        for request in requests {
            match request.answered_by().and_then(Who::named) {
                Some(by) => {
                    let at = request.ended.saturating_duration_since(begin);
                    self.model.answers.push(Answer { at, by });
                    self.model.counts.answered += 1;
                }
                None => self.model.counts.failed += 1,
            }
        }
        self.requests += requests.len();
    }
}

/// Waits until a daemon listens.
fn connect(socket: &Path) -> Option<Control> {
    let end = Instant::now() + START_LIMIT;
    loop {
        match Control::connect(socket) {
            Ok(daemon) => return Some(daemon),
            Err(_) if Instant::now() < end => thread::sleep(ASK_EVERY),
            Err(_) => return None,
        }
    }
}

/// The daemon tells the time of day, cut to milliseconds; this is the same moment on the clock of the
/// demo, half a millisecond off at most.
fn moment(time: WallTime) -> Instant {
    let age = WallTime::now().0.duration_since(time.0);
    let age = Duration::try_from(age).unwrap_or_default().saturating_sub(CUT / 2);
    let now = Instant::now();
    now.checked_sub(age).unwrap_or(now)
}

const fn state(state: election::State) -> State {
    match state {
        election::State::Init => State::Init,
        election::State::Backup => State::Backup,
        election::State::Active => State::Active,
    }
}
