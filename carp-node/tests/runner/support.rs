//! What the tests are made of.

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use carp_node::hooks::{HookEvent, HookOn, HookReport, HookRouter, HookSpec, Hooks};
use carp_node::runner::{Job, JobReport, Runner, RunnerHandle};
use carp_proto::election::State;
use rustix::process::{Pid, Signal};

/// Far beyond what anything here takes on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Makes this program one whose `init` does not see that it is the runner.
pub(crate) const FORGETFUL: &str = "CARP_TEST_FORGETFUL";

/// A limit that is meant to be reached.
pub(crate) const SHORT: Duration = Duration::from_millis(500);

pub(crate) fn shell(script: &str, limit: Duration) -> Job {
    Job::new(argv(script).unwrap(), limit)
}

pub(crate) fn argv(script: &str) -> Option<Vec<String>> {
    Some(vec!["/bin/sh".into(), "-c".into(), script.into()])
}

/// A script that ignores SIGTERM, as does its child, and that notes both process ids.
pub(crate) fn stubborn(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "trap '' TERM; sleep 300 & echo $! > {directory}/child; echo $$ > {directory}/leader; \
         while :; do wait; sleep 300; done"
    )
}

pub(crate) fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(crate) fn router(name: &str, spec: HookSpec) -> HookRouter {
    HookRouter {
        name: name.into(),
        interface: "eth0".into(),
        addresses: vec!["192.168.130.100".into(), "2001:db8::100/64".into()],
        spec,
    }
}

pub(crate) fn event(router: &str, on: HookOn, seq: u64) -> HookEvent {
    let cause = "active-down".into();
    HookEvent { router: router.into(), on, previous: State::Backup, cause, seq }
}

pub(crate) fn run_one(job: Job) -> JobReport {
    let mut report = None;
    with_runner(async |runner| report = Some(runner.run(job).await));
    report.unwrap()
}

pub(crate) fn with_runner(test: impl AsyncFnOnce(RunnerHandle)) {
    on_runtime(async {
        let runner = Runner::spawn().unwrap().into_handle().unwrap();
        tokio::time::timeout(LONG * 3, test(runner.clone())).await.unwrap();
        runner.shut_down().await;
    });
}

pub(crate) fn with_hooks(
    routers: impl IntoIterator<Item = HookRouter>,
    on_result: impl Fn(&str, &HookReport) + Send + Sync + 'static,
    test: impl AsyncFnOnce(Hooks),
) {
    with_runner(async |runner| test(Hooks::start(&runner, routers, on_result)).await);
}

pub(crate) fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(crate) async fn once(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < deadline, "it never became true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) async fn pid_once_in(file: &PathBuf) -> Pid {
    once(async || fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))).await;
    pid_in(file)
}

pub(crate) fn pid_in(file: &Path) -> Pid {
    let text = fs::read_to_string(file).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

pub(crate) fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

/// A zombie that nobody has reaped yet runs no more.
pub(crate) fn is_alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

pub(crate) fn wait_until_gone(pid: Pid) {
    let deadline = Instant::now() + LONG;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid:?} lives on");
        thread::sleep(Duration::from_millis(5));
    }
}
