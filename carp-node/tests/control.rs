//! The control socket with real clients.

#![expect(clippy::unwrap_used, reason = "clippy takes only the tests themselves for tests")]

use std::fs;
use std::future::{Future, pending};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use carp_node::control::client::EventLine;
use carp_node::control::proto::{RouterIdentity, RouterStatus};
use carp_node::control::units::WallTime;
use carp_node::control::{
    BindError, Client, ClientError, ControlError, ControlSocket, ErrorCode, Handler, Limits,
    StatusReport, serve,
};
use carp_node::event::{EventKind, EventLog, Happening, Subscription};
use carp_node::runner::RunnerStatus;
use carp_node::sync::engine::Order;
use carp_proto::Instant as ProtoInstant;
use rustix::process::{Gid, Uid};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::oneshot;

/// Far beyond what anything here takes on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// How long the handover of the router "slow" takes.
const HANDOVER: Duration = Duration::from_millis(500);

#[test]
fn a_status_crosses_the_socket() {
    let daemon = Daemon::start(Limits::default());
    let status = daemon.client().status(None).unwrap();
    assert_eq!((status.node.as_str(), status.pid), ("here", std::process::id()));
    assert_eq!(daemon.client().status(Some("web")).unwrap(), status);
}

#[test]
fn a_status_has_the_keys_of_the_contract() {
    let daemon = Daemon::start(Limits::default());
    let status = daemon.client().status(None).unwrap();
    let status = serde_json::to_value(status).unwrap();
    assert_eq!(status["schema"], "carp.status/1");
    has_keys(&status, &["schema", "node", "version", "routers", "sync"]);
    let router = &status["routers"][0];
    let keys = [
        "name",
        "protocol",
        "id",
        "interface",
        "state",
        "phase",
        "since",
        "cause",
        "addresses",
        "rank",
        "demotion",
        "peers",
        "alone",
        "conflict",
        "drained",
        "held",
        "fault",
        "unconfirmed",
        "timers",
        "counters",
        "transitions",
        "last_reject",
        "hooks",
        "mac",
    ];
    has_keys(router, &keys);
    assert_eq!(router["state"], "backup");
    assert_eq!(router["since"], "2026-07-01T11:59:58.500Z");
    assert_eq!((&router["phase"], &router["fault"]), (&Value::Null, &Value::Null));
    assert_eq!(router["rank"], json!({"advbase": 1, "advskew": 100}));
    assert_eq!(router["timers"], json!({"interval_ms": 1390.625, "active_down_ms": 3390.625}));
    has_keys(
        &router["counters"],
        &["adverts_sent", "adverts_received", "rejected", "kernel_dropped"],
    );
    let rejected = router["counters"]["rejected"].as_object().unwrap();
    assert_eq!(rejected.len(), carp_proto::Reject::LABELS.len());
    assert_eq!(rejected["bad-authentication"], 1);
    assert_eq!(
        router["peers"][0],
        json!({"address": "192.168.130.50", "last_advert_age_ms": 250, "advbase": 1, "advskew": 0})
    );
    assert_eq!(router["last_reject"]["label"], "bad-authentication");
    assert_eq!(router["last_reject"]["age_ms"], 1000);
}

#[test]
fn an_unknown_router_is_named_beside_the_known_ones() {
    let daemon = Daemon::start(Limits::default());
    let Err(ClientError::Refused(error)) = daemon.client().status(Some("wbe")) else {
        panic!("it was found");
    };
    assert_eq!(error.code, ErrorCode::UnknownRouter);
    assert_eq!(error.message, "no router \"wbe\": this daemon has web");
}

#[test]
fn root_and_the_owner_may_yield() {
    let daemon = Daemon::start(Limits::default());
    daemon.client().yield_router("web").unwrap();
    let refused = daemon.client().yield_router("nosuch").unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::UnknownRouter));
}

#[test]
fn others_may_look_but_not_touch() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let daemon = Daemon::start(Limits::default());
    // As an administrator would, who lets monitoring read.
    fs::set_permissions(daemon.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&daemon.path, fs::Permissions::from_mode(0o666)).unwrap();
    let status = daemon.ask_as_nobody(r#"{"version":1,"verb":"status"}"#);
    assert_eq!(status["status"]["node"], "here");
    let refusal = daemon.ask_as_nobody(r#"{"version":1,"verb":"yield","router":"web"}"#);
    assert_eq!(refusal["error"]["code"], "not-allowed");
    let message = refusal["error"]["message"].as_str().unwrap();
    assert_eq!(message, "user 65534 may look but not touch: call this as root");
}

#[test]
fn requests_that_make_no_sense_are_answered() {
    let daemon = Daemon::start(Limits::default());
    for (request, code) in [
        ("nonsense", "bad-request"),
        ("[]", "bad-request"),
        (r#"{"verb":"status"}"#, "bad-request"),
        (r#"{"version":1}"#, "bad-request"),
        (r#"{"version":1,"verb":"yield"}"#, "bad-request"),
        (r#"{"version":1,"verb":"drain","router":"web"}"#, "unsupported"),
        (r#"{"version":2,"verb":"status"}"#, "version"),
    ] {
        let answer = daemon.ask(request);
        assert_eq!(answer["error"]["code"], code, "{request}: {answer}");
        assert_eq!(answer["version"], 1);
    }
    let answer = daemon.ask(r#"{"version":1,"verb":"status","a key of tomorrow":true}"#);
    assert_eq!(answer["status"]["node"], "here");
}

#[test]
fn an_oversized_line_is_refused() {
    let daemon = Daemon::start(Limits::default());
    let answer = daemon.ask(&"x".repeat(70 * 1024));
    assert_eq!(answer["error"]["code"], "bad-request");
    assert_eq!(answer["error"]["message"], "a request of more than 65536 bytes");
    daemon.client().status(None).unwrap();
}

#[test]
fn a_client_that_does_not_ask_is_disconnected() {
    let daemon = Daemon::start(Limits { request: Duration::from_millis(100), ..limits() });
    let mut stream = UnixStream::connect(&daemon.path).unwrap();
    stream.write_all(b"{\"version\":1,").unwrap();
    assert_eq!(read_json(&stream)["error"]["code"], "bad-request");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_client_that_does_not_read_is_disconnected() {
    let stall = Duration::from_millis(100);
    let daemon = Daemon::start(Limits { stall, clients: 1, ..limits() });
    let follower = daemon.client().events(true).unwrap();
    // More than any socket buffer holds.
    let big = "x".repeat(64 * 1024);
    let served = || {
        daemon.tell(&big);
        Client::connect(&daemon.path).is_ok_and(|client| client.status(None).is_ok())
    };
    // The only place is free again, so the stalled client has lost it.
    until(served);
    assert!(follower.last().is_some());
}

#[test]
fn one_client_too_many_is_told_so() {
    let daemon = Daemon::start(Limits { clients: 2, followers: 1, ..limits() });
    daemon.tell("first");
    let mut follower = daemon.client().events(true).unwrap();
    follower.next().unwrap().unwrap();
    // Followers leave room for those who ask.
    let second = daemon.client().events(true).unwrap().next().unwrap();
    assert_eq!(second.unwrap_err().code(), Some(ErrorCode::Busy));
    daemon.client().status(None).unwrap();
    let _silent = UnixStream::connect(&daemon.path).unwrap();
    let busy = daemon.client().status(None).unwrap_err();
    assert_eq!(busy.code(), Some(ErrorCode::Busy));
    // A follower that goes makes room, also when nothing happens.
    drop(follower);
    until(|| daemon.client().status(None).is_ok());
}

#[test]
fn events_are_shown_and_followed_without_a_gap() {
    let daemon = Daemon::start(Limits::default());
    for line in ["one", "two"] {
        daemon.tell(line);
    }
    let kept: Vec<_> =
        daemon.client().events(false).unwrap().map(|line| text_of(line.unwrap())).collect();
    assert_eq!(kept, ["one", "two"]);
    let mut followed = daemon.client().events(true).unwrap().map(|line| text_of(line.unwrap()));
    assert_eq!([followed.next(), followed.next()], [Some("one".into()), Some("two".into())]);
    daemon.tell("three");
    assert_eq!(followed.next().as_deref(), Some("three"));
}

#[test]
fn a_slow_follower_is_told_what_it_missed() {
    let daemon = Daemon::start(Limits { stall: LONG, ..limits() });
    daemon.tell("first");
    let mut follower = daemon.client().events(true).unwrap();
    follower.next().unwrap().unwrap();
    let big = "x".repeat(4096);
    for _ in 0..2000 {
        daemon.tell(&big);
    }
    let (mut seen, mut missed, mut last) = (1, 0, 1);
    while last < 2001 {
        match follower.next().unwrap().unwrap() {
            EventLine::Event(event) => (seen, last) = (seen + 1, event.seq),
            EventLine::Missed(count) => missed += count,
            other => panic!("{other:?}"),
        }
    }
    assert!(missed > 0);
    assert_eq!(seen + missed, 2001);
}

#[test]
fn following_ends_with_the_daemon() {
    let daemon = Daemon::start(Limits::default());
    daemon.tell("one");
    let mut follower = daemon.client().events(true).unwrap();
    follower.next().unwrap().unwrap();
    drop(daemon);
    let last = follower.next().unwrap().unwrap_err();
    assert!(last.to_string().contains("closed the connection"), "{last}");
    assert!(follower.next().is_none());
}

#[test]
fn a_protocol_task_that_hangs_is_reported() {
    let daemon = Daemon::start(Limits { answer: Duration::from_millis(50), ..limits() });
    let error = daemon.client().status(Some("hang")).unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Failed));
    assert_eq!(error.to_string(), "the protocol task has not answered for 50 ms");
}

#[test]
fn a_handover_may_take_longer_than_an_answer() {
    let short = Limits { answer: HANDOVER / 10, ..limits() };
    Daemon::start(short).client().yield_router("slow").unwrap();
    let shorter = Limits { handover: HANDOVER / 10, ..limits() };
    let error = Daemon::start(shorter).client().yield_router("slow").unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Failed));
}

#[test]
fn without_a_daemon_the_remedy_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let absent = Client::connect(&path).unwrap_err();
    drop(UnixListener::bind(&path).unwrap());
    let stale = Client::connect(&path).unwrap_err();
    for error in [absent, stale] {
        assert!(matches!(error, ClientError::NoDaemon { .. }), "{error:?}");
        assert!(error.to_string().contains("carp run -c FILE"), "{error}");
    }
    let long = Client::connect(directory.path().join("x".repeat(200))).unwrap_err();
    assert!(matches!(long, ClientError::Broken { .. }), "{long:?}");
}

#[test]
fn a_daemon_of_another_version_is_recognised() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(&stream).read_line(&mut request).unwrap();
        stream.write_all(b"{\"version\":7,\"answer\":[]}\n").unwrap();
    });
    let error = Client::connect(&path).unwrap().status(None).unwrap_err();
    assert!(matches!(error, ClientError::Version { daemon: 7 }), "{error:?}");
    daemon.join().unwrap();
}

#[test]
fn a_daemon_that_does_not_accept_is_silent_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let address = rustix::net::SocketAddrUnix::new(&path).unwrap();
    rustix::net::bind(&socket, &address).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let _waiting = Client::connect(&path).unwrap();
    let error = Client::connect(&path).unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::AddressInUse { .. }), "{error:?}");
}

#[test]
fn the_socket_is_for_owner_and_group_and_goes_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/carp/control.sock");
    let socket = ControlSocket::bind(&path).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&path), 0o660);
    assert_eq!(mode(path.parent().unwrap()), 0o755);
    assert_eq!(socket.path(), path);
    drop(socket);
    assert!(!path.exists());
}

#[test]
fn a_socket_in_use_is_left_alone() {
    let daemon = Daemon::start(Limits::default());
    let error = ControlSocket::bind(&daemon.path).unwrap_err();
    let BindError::AddressInUse { pid, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*pid, i32::try_from(std::process::id()).ok());
    let expected = format!("is in use by process {}: stop that daemon", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    daemon.client().status(None).unwrap();
}

#[test]
fn a_stale_socket_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    drop(UnixListener::bind(&path).unwrap());
    let _socket = ControlSocket::bind(&path).unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_successors_socket_is_not_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    let first = ControlSocket::bind(&path).unwrap();
    fs::rename(&path, directory.path().join("moved")).unwrap();
    let _second = ControlSocket::bind(&path).unwrap();
    drop(first);
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_file_that_is_no_socket_is_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("control.sock");
    fs::write(&path, "precious").unwrap();
    let error = ControlSocket::bind(&path).unwrap_err();
    assert!(matches!(error, BindError::NotASocket { .. }), "{error:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
}

// What the tests are made of.

fn limits() -> Limits {
    Limits::default()
}

/// A daemon with one router, on a thread of its own.
struct Daemon {
    directory: TempDir,
    path: PathBuf,
    log: EventLog,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Daemon {
    fn start(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        let log = EventLog::new();
        let handler = Answers { log: log.clone() };
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    result = serve(socket, handler, limits) => result.unwrap(),
                    _ = stopped => {}
                }
            });
        });
        Self { directory, path, log, stop: Some(stop), thread: Some(thread) }
    }

    fn client(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    fn tell(&self, text: &str) {
        self.log.record(Happening::now(None, EventKind::Log { text: text.into() }));
    }

    /// The answer to a line that the client would not write.
    fn ask(&self, line: &str) -> Value {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        // The daemon may have closed the connection already.
        stream.write_all(format!("{line}\n").as_bytes()).ok();
        read_json(&stream)
    }

    /// The same, from a thread that has become somebody else.
    fn ask_as_nobody(&self, line: &str) -> Value {
        let ask = || {
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_gid(Gid::from_raw(65534)).unwrap();
            rustix::thread::set_thread_uid(Uid::from_raw(65534)).unwrap();
            self.ask(line)
        };
        thread::scope(|scope| scope.spawn(ask).join().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Answers {
    log: EventLog,
}

impl Handler for Answers {
    async fn status(&self, router: Option<&str>) -> Result<StatusReport, ControlError> {
        match router {
            None | Some("web") => {
                Ok(StatusReport::new("here", vec![web()], RunnerStatus::default()))
            }
            Some("hang") => pending().await,
            Some(other) => Err(ControlError::unknown_router(other, ["web"])),
        }
    }

    fn yield_router(&self, router: &str) -> impl Future<Output = Result<(), ControlError>> + Send {
        let known = router == "web" || router == "slow";
        let time = if router == "slow" { HANDOVER } else { Duration::ZERO };
        let unknown = ControlError::unknown_router(router, ["web"]);
        async move {
            tokio::time::sleep(time).await;
            if known { Ok(()) } else { Err(unknown) }
        }
    }

    async fn sync(&self, share: Option<String>, order: Order) -> Result<Value, ControlError> {
        match (share.as_deref(), order) {
            (None | Some("www"), Order::Now) => Ok(serde_json::json!({ "text": "begun" })),
            (_, _) => Err(ControlError::new(ErrorCode::Refused, "no")),
        }
    }

    fn events(&self) -> Subscription {
        self.log.subscribe()
    }
}

/// A backup that has heard another router and rejected a third one.
fn web() -> RouterStatus {
    use carp_proto::election::{Cause, LinkState, Posture, Standing, State};
    use carp_proto::{
        AdvBase, AdvSkew, CarpInterval, Counters, Key, LastReject, MAX_PEERS, Peer, Protocol,
        Reject, Remarks, RouterConfig, Snapshot, VirtualId, VirtualRouter,
    };
    let at = |millis| ProtoInstant::ZERO + Duration::from_millis(millis);
    let source = "192.168.130.50".parse().unwrap();
    let interval = |skew| CarpInterval::new(AdvBase::new(1).unwrap(), AdvSkew::new(skew).unwrap());
    let mut peers = [None; MAX_PEERS];
    peers[0] = Some(Peer {
        source,
        heard_at: at(9_750),
        advertised: Standing::Carp(interval(0)),
        checksum: None,
        remarks: Remarks::default(),
    });
    let mut counters = Counters { adverts_received: 9, ..Counters::default() };
    counters.rejected.count(Reject::BadAuthentication);
    let addresses = vec!["192.168.130.100".parse().unwrap()];
    let config =
        RouterConfig::carp(VirtualId::new(1).unwrap(), &Key::new(b"secret").unwrap(), addresses, 7);
    let mut snapshot: Snapshot = VirtualRouter::new(config.unwrap()).snapshot(at(8_500));
    snapshot.state = State::Backup;
    snapshot.posture = Posture::Backup;
    snapshot.since = at(8_500);
    snapshot.cause = Cause::Start;
    snapshot.transitions = 1;
    snapshot.link = LinkState::Up { source: "192.168.130.10".parse().unwrap() };
    snapshot.advertised = Standing::Carp(interval(100));
    snapshot.interval = interval(100).advert();
    snapshot.active_down = interval(100).active_down(3);
    snapshot.peers = peers;
    snapshot.last_reject =
        Some(LastReject { reject: Reject::BadAuthentication, source: Some(source), at: at(9_000) });
    snapshot.counters = counters;
    let identity = RouterIdentity {
        name: "web".into(),
        protocol: Protocol::Carp,
        id: VirtualId::new(1).unwrap(),
        interface: "eth0".into(),
        addresses: vec!["192.168.130.100".into()],
    };
    let wall: WallTime = serde_json::from_value("2026-07-01T12:00:00Z".into()).unwrap();
    RouterStatus::new(identity, &snapshot, at(10_000), wall)
}

fn has_keys(object: &Value, keys: &[&str]) {
    for key in keys {
        assert!(object.get(key).is_some(), "{key} is missing in {object}");
    }
}

fn read_json(stream: &UnixStream) -> Value {
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

fn text_of(line: EventLine) -> String {
    let EventLine::Event(record) = line else { panic!("{line:?}") };
    let EventKind::Log { text } = record.kind else { panic!("not a line") };
    text
}

fn until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "it never became true");
        thread::sleep(Duration::from_millis(10));
    }
}
