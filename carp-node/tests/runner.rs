//! The runner and the hooks with real processes.
//!
//! This program is also the runner that its tests start (see `init` in `main`), and with `--daemon`,
//! `--once` and `--spawn` a daemon for them to kill, or to start in an untidy place.

#![expect(
    clippy::unwrap_used,
    reason = "clippy does not take a test without the usual harness for one"
)]

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use carp_node::hooks::{HookEvent, HookOn, HookReport, HookRouter, HookSpec, Hooks, WAITING};
use carp_node::runner::{Account, Job, JobReport, OUTPUT_LIMIT, Outcome, Runner, RunnerHandle};
use carp_proto::election::State;
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt;

/// Far beyond what anything here takes on a loaded machine.
const LONG: Duration = Duration::from_secs(60);

/// Makes this program one whose `init` does not see that it is the runner.
const FORGETFUL: &str = "CARP_TEST_FORGETFUL";

fn main() -> ExitCode {
    let is_child = std::env::args().next().as_deref() == Some("carp-runner");
    match std::env::var(FORGETFUL).as_deref() {
        Ok("exit") if is_child => return ExitCode::SUCCESS,
        Ok("hang") if is_child => thread::sleep(LONG * 10),
        Ok(_) | Err(_) => {}
    }
    carp_node::runner::init();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, word, directory] if word == "--daemon" => return daemon(Path::new(directory)),
        [_, word] if word == "--spawn" => return spawn(),
        [_, word, script] if word == "--once" => return run_once(script),
        _ => {}
    }
    let tests: Vec<Trial> = [
        ("a_child_that_says_no_hello_is_an_error", a_child_that_says_no_hello_is_an_error as fn()),
        ("a_program_reports_its_exit_code_and_output", a_program_reports_its_exit_code_and_output),
        (
            "a_program_gets_its_environment_and_nothing_else",
            a_program_gets_its_environment_and_nothing_else,
        ),
        ("a_program_starts_clean", a_program_starts_clean),
        ("a_program_can_run_as_somebody_else", a_program_can_run_as_somebody_else),
        ("a_signal_is_not_an_exit_code", a_signal_is_not_an_exit_code),
        ("what_cannot_start_says_why", what_cannot_start_says_why),
        (
            "a_flood_of_output_neither_blocks_nor_fills_memory",
            a_flood_of_output_neither_blocks_nor_fills_memory,
        ),
        ("a_program_that_heeds_sigterm_is_not_killed", a_program_that_heeds_sigterm_is_not_killed),
        (
            "a_group_that_ignores_sigterm_is_killed_with_its_children",
            a_group_that_ignores_sigterm_is_killed_with_its_children,
        ),
        ("a_stopped_program_is_ended_at_its_limit", a_stopped_program_is_ended_at_its_limit),
        (
            "a_child_left_behind_does_not_hold_up_the_report",
            a_child_left_behind_does_not_hold_up_the_report,
        ),
        (
            "a_stream_is_read_as_it_comes_and_waits_for_its_reader",
            a_stream_is_read_as_it_comes_and_waits_for_its_reader,
        ),
        (
            "what_a_stream_does_is_told_while_it_is_silent_and_not_afterwards",
            what_a_stream_does_is_told_while_it_is_silent_and_not_afterwards,
        ),
        (
            "a_stopped_stream_is_reported_when_its_whole_group_is_gone",
            a_stopped_stream_is_reported_when_its_whole_group_is_gone,
        ),
        ("programs_run_side_by_side", programs_run_side_by_side),
        (
            "signals_of_the_terminal_do_not_reach_the_runner",
            signals_of_the_terminal_do_not_reach_the_runner,
        ),
        (
            "a_killed_runner_loses_its_jobs_and_is_replaced",
            a_killed_runner_loses_its_jobs_and_is_replaced,
        ),
        ("an_absent_runner_says_why", an_absent_runner_says_why),
        ("shutting_down_stops_what_runs", shutting_down_stops_what_runs),
        ("when_the_daemon_dies_its_hooks_die", when_the_daemon_dies_its_hooks_die),
        (
            "hooks_of_a_router_run_in_order_and_never_overlap",
            hooks_of_a_router_run_in_order_and_never_overlap,
        ),
        ("hooks_know_what_happened", hooks_know_what_happened),
        ("too_many_events_drop_the_oldest", too_many_events_drop_the_oldest),
        (
            "before_active_jumps_the_queue_and_waits_for_what_runs",
            before_active_jumps_the_queue_and_waits_for_what_runs,
        ),
        ("before_active_answers_for_the_election", before_active_answers_for_the_election),
        ("hooks_of_two_routers_run_side_by_side", hooks_of_two_routers_run_side_by_side),
        ("a_hook_report_tells_the_last_run", a_hook_report_tells_the_last_run),
    ]
    .into_iter()
    .map(|(name, test)| Trial::test(name, move || run(test)))
    .collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn run(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}

/// What `--daemon` does: it runs a hook that notes its id and that of a child, and waits to be killed.
fn daemon(directory: &Path) -> ExitCode {
    let script = stubborn(directory);
    on_runtime(async {
        let runner = Runner::spawn().unwrap().into_handle().unwrap();
        runner.run(shell(&script, LONG)).await;
    });
    ExitCode::FAILURE
}

/// What `--spawn` does: it prints why there is no runner.
fn spawn() -> ExitCode {
    println!("{}", Runner::spawn().unwrap_err());
    ExitCode::SUCCESS
}

/// What `--once` does: it prints what a script prints.
fn run_once(script: &str) -> ExitCode {
    print!("{}", run_one(shell(script, LONG)).output);
    ExitCode::SUCCESS
}

fn a_child_that_says_no_hello_is_an_error() {
    for (child, reason) in [("exit", "ended before it said hello"), ("hang", "did not say hello")] {
        let mut command = Command::new("/proc/self/exe");
        let output = command.arg("--spawn").env(FORGETFUL, child).output().unwrap();
        let error = String::from_utf8(output.stdout).unwrap();
        assert!(error.contains(reason) && error.contains("init() the first call"), "{error}");
    }
}

fn a_program_reports_its_exit_code_and_output() {
    let report = run_one(shell("echo out; echo err >&2; exit 3", LONG));
    assert_eq!(report.outcome, Outcome::Exited(3));
    assert_eq!(report.output, "out\nerr\n");
    assert_eq!(report.outcome.to_string(), "exit 3");
}

fn a_program_gets_its_environment_and_nothing_else() {
    let mut job = Job::new(vec!["env".into()], LONG);
    job.env.insert("CARP_ROUTER".into(), "web".into());
    let report = run_one(job);
    let mut lines: Vec<_> = report.output.lines().collect();
    lines.sort_unstable();
    let path = format!("PATH={}", carp_node::runner::PATH);
    assert_eq!(lines, ["CARP_ROUTER=web", path.as_str()]);
}

fn a_program_starts_clean() {
    let script = "pwd; umask; readlink /proc/self/fd/0; \
                  grep -E '^Sig(Blk|Ign)' /proc/self/status; exec ls /proc/self/fd";
    // Somebody who leaves descriptors open, signals ignored and blocked, and an odd umask.
    let untidy = "umask 077; cd /tmp; exec 7</dev/null 8>/dev/null; exec \
                  env --ignore-signal=INT,USR1,CHLD,PIPE --block-signal=TERM,USR2 \"$@\"";
    let output = Command::new("/bin/sh")
        .args(["-c", untidy, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--once", script])
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = output.lines().collect();
    let [cwd, umask, input, blocked, ignored, fds @ ..] = lines.as_slice() else {
        panic!("{output}")
    };
    assert_eq!((*cwd, *umask, *input), ("/", "0022", "/dev/null"));
    // The last one is that of the directory that is being listed.
    assert_eq!(fds, ["0", "1", "2", "3"]);
    let signals = |line: &str| {
        let (_, mask) = line.rsplit_once('\t').unwrap();
        // 32 and 33 belong to the C library, which lets nobody change them.
        u64::from_str_radix(mask, 16).unwrap() & !(0b11 << 31)
    };
    assert_eq!((signals(blocked), signals(ignored)), (0, 0), "{output}");
}

fn a_program_can_run_as_somebody_else() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let mut job = shell("id -u; id -g; id -G", LONG);
    job.account = Some(Account { uid: 65534, gid: 65534 });
    assert_eq!(run_one(job).output, "65534\n65534\n65534\n");
}

fn a_signal_is_not_an_exit_code() {
    let report = run_one(shell("kill -USR1 $$", LONG));
    assert_eq!(report.outcome, Outcome::Signaled(Signal::USR1.as_raw()));
    assert_eq!(report.outcome.exit_code(), None);
}

fn what_cannot_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain");
    fs::write(&plain, "#!/bin/sh\n").unwrap();
    let orphan = directory.path().join("orphan");
    fs::write(&orphan, "#!/nonexistent/interpreter\n").unwrap();
    make_executable(&orphan);
    for (program, reason) in [
        ("/nonexistent/program", "No such file"),
        ("no-such-program-anywhere", "write the full path"),
        (plain.to_str().unwrap(), "is it executable?"),
        (orphan.to_str().unwrap(), "interpreter"),
    ] {
        let report = run_one(Job::new(vec![program.into()], LONG));
        let Outcome::CouldNotStart(text) = report.outcome else { panic!("{report:?}") };
        assert!(text.contains(reason) && text.contains(program), "{text}");
    }
    let report = run_one(Job::new(Vec::new(), LONG));
    assert!(matches!(report.outcome, Outcome::CouldNotStart(_)), "{report:?}");
    let report = run_one(Job::new(vec!["/bin/echo".into(), "x".repeat(1 << 20)], LONG));
    assert!(matches!(report.outcome, Outcome::CouldNotStart(_)), "{report:?}");
}

fn a_flood_of_output_neither_blocks_nor_fills_memory() {
    let report = run_one(shell("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo end", LONG));
    assert_eq!(report.outcome, Outcome::Exited(0));
    assert!(report.output.starts_with('…') && report.output.ends_with("x\nend\n"));
    assert!(report.output.len() <= OUTPUT_LIMIT + '…'.len_utf8());
    // One that never ends is ended.
    let report = run_one(shell("exec yes", Duration::from_millis(300)));
    assert_eq!(report.outcome, Outcome::TimedOut { killed: false });
}

fn a_program_that_heeds_sigterm_is_not_killed() {
    let mut job = shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done", SHORT);
    job.grace = LONG;
    let report = run_one(job);
    assert_eq!(report.outcome, Outcome::TimedOut { killed: false });
    assert!(report.output.ends_with("bye\n"), "{}", report.output);
}

fn a_group_that_ignores_sigterm_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let mut job = shell(&stubborn(directory.path()), Duration::from_secs(2));
    job.grace = Duration::from_millis(200);
    let report = run_one(job);
    assert_eq!(report.outcome, Outcome::TimedOut { killed: true });
    for name in ["leader", "child"] {
        wait_until_gone(pid_in(&directory.path().join(name)));
    }
}

fn a_stopped_program_is_ended_at_its_limit() {
    let mut job = shell("kill -STOP $$", SHORT);
    job.grace = LONG;
    // TERM is delivered because CONT follows it.
    assert_eq!(run_one(job).outcome, Outcome::TimedOut { killed: false });
}

fn a_child_left_behind_does_not_hold_up_the_report() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("child");
    let script = format!("sleep 300 & echo $! > {}; echo started", file.display());
    let before = Instant::now();
    let report = run_one(shell(&script, LONG * 2));
    assert_eq!((report.outcome, report.output.as_str()), (Outcome::Exited(0), "started\n"));
    assert!(before.elapsed() < LONG);
    // It was left running on purpose, as daemons are.
    let child = pid_in(&file);
    assert!(is_alive(child));
    rustix::process::kill_process(child, Signal::KILL).unwrap();
}

fn a_stream_is_read_as_it_comes_and_waits_for_its_reader() {
    let directory = tempfile::tempdir().unwrap();
    let done = directory.path().join("done");
    // More than a pipe holds, with bytes that are no text, and the other output beside it.
    let script = format!(
        "printf 'first\\n'; echo aside >&2; head -c 300000 /dev/zero; printf '\\377'; touch {}; exit 7",
        done.display()
    );
    with_runner(async |runner| {
        let mut stream = runner.stream(shell(&script, LONG)).await.unwrap();
        let mut line = [0; 6];
        stream.stdout.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"first\n");
        let mut aside = [0; 6];
        stream.stderr.read_exact(&mut aside).await.unwrap();
        assert_eq!(&aside, b"aside\n");
        assert!(!done.exists(), "it cannot be done: nobody has read the rest");
        let mut rest = Vec::new();
        stream.stdout.read_to_end(&mut rest).await.unwrap();
        assert_eq!((rest.len(), rest.last()), (300_001, Some(&0xff)));
        let report = stream.finished().await;
        assert_eq!((report.outcome, report.lingers), (Outcome::Exited(7), false));
        assert_eq!(report.output, "");
    });
}

fn a_stopped_stream_is_reported_when_its_whole_group_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    with_runner(async |runner| {
        let mut job = shell(&stubborn(directory.path()), LONG);
        job.grace = Duration::from_millis(200);
        let mut stream = runner.stream(job).await.unwrap();
        let leader = pid_once_in(&directory.path().join("leader")).await;
        let child = pid_once_in(&directory.path().join("child")).await;
        stream.stop().await;
        let report = stream.finished().await;
        assert_eq!((report.outcome, report.lingers), (Outcome::Stopped { killed: true }, false));
        for process in [leader, child] {
            assert!(!lives(process), "{process:?}");
        }
        // A stop that comes too late concerns nobody.
        stream.stop().await;
        assert!(runner.run(shell("exit 0", LONG)).await.outcome.is_success());
    });
}

fn what_a_stream_does_is_told_while_it_is_silent_and_not_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("large");
    fs::write(&file, vec![7; 300_000]).unwrap();
    let go = directory.path().join("go");
    let script = format!(
        "until [ -e {go} ]; do sleep 0.01; done; cat {file} >/dev/null; n=0; \
         while [ $n -lt 200000 ]; do n=$((n+1)); done; sleep 1000",
        go = go.display(),
        file = file.display()
    );
    with_runner(async |runner| {
        let mut stream = runner.stream(shell(&script, LONG)).await.unwrap();
        once(async || stream.work().await.is_some()).await;
        let before = stream.work().await.unwrap();
        fs::write(&go, "").unwrap();
        // What a child has done is its parent's when it has been waited for.
        once(async || {
            let work = stream.work().await.unwrap();
            work.read >= before.read + 300_000 && work.cpu >= before.cpu + Duration::from_millis(20)
        })
        .await;
        stream.stop().await;
        assert!(matches!(stream.finished().await.outcome, Outcome::Stopped { .. }));
        assert_eq!(stream.work().await, None);
    });
}

/// Whether a process is there and is no remembered exit status.
fn lives(process: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn programs_run_side_by_side() {
    // Each waits for the other, so one after the other they would never end.
    let directory = tempfile::tempdir().unwrap();
    let meet = |own: &str, other: &str| {
        let (own, other) = (directory.path().join(own), directory.path().join(other));
        let wait = format!("until [ -e {} ]; do sleep 0.02; done", other.display());
        shell(&format!("touch {}; {wait}", own.display()), LONG)
    };
    with_runner(async |runner| {
        let (one, two) =
            tokio::join!(runner.run(meet("one", "two")), runner.run(meet("two", "one")));
        assert!(one.outcome.is_success() && two.outcome.is_success(), "{one:?} {two:?}");
    });
}

fn signals_of_the_terminal_do_not_reach_the_runner() {
    with_runner(async |runner| {
        let pid = Pid::from_raw(runner.status().pid.unwrap().try_into().unwrap()).unwrap();
        assert_eq!(rustix::process::getsid(Some(pid)).unwrap(), pid);
        for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
            rustix::process::kill_process(pid, signal).unwrap();
        }
        assert!(runner.run(shell("exit 0", LONG)).await.outcome.is_success());
        assert_eq!(runner.status().restarts, 0);
    });
}

fn a_killed_runner_loses_its_jobs_and_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    with_runner(async |runner| {
        let first = runner.status().pid.unwrap();
        let job = runner.run(shell(&stubborn(directory.path()), LONG * 2));
        let job = tokio::spawn(job);
        let leader = pid_once_in(&directory.path().join("leader")).await;
        let child = pid_once_in(&directory.path().join("child")).await;
        kill(first);
        let report = job.await.unwrap();
        let Outcome::Lost(reason) = &report.outcome else { panic!("{report:?}") };
        assert!(reason.contains("the runner died"), "{reason}");
        // Neither the program nor its child survives, so nothing overlaps with what comes next.
        wait_until_gone(leader);
        wait_until_gone(child);
        assert!(runner.run(shell("exit 0", LONG)).await.outcome.is_success());
        let status = runner.status();
        assert_eq!(status.restarts, 1);
        assert!(status.pid.is_some_and(|pid| pid != first));
        assert_eq!(status.fault.as_deref(), Some("the runner died"));
    });
}

fn an_absent_runner_says_why() {
    on_runtime(async {
        let runner = RunnerHandle::absent("init() was not called");
        let report = runner.run(shell("exit 0", LONG)).await;
        assert_eq!(report.outcome, Outcome::Lost("init() was not called".into()));
        assert_eq!(runner.status().fault.as_deref(), Some("init() was not called"));
    });
}

fn shutting_down_stops_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    with_runner(async |runner| {
        let job = tokio::spawn(runner.run(shell(&stubborn(directory.path()), LONG)));
        let leader = pid_once_in(&directory.path().join("leader")).await;
        let child = pid_once_in(&directory.path().join("child")).await;
        runner.shut_down().await;
        assert!(!is_alive(leader) && !is_alive(child));
        assert!(matches!(job.await.unwrap().outcome, Outcome::Lost(_)));
        let after = runner.run(shell("exit 0", LONG)).await;
        assert!(matches!(after.outcome, Outcome::Lost(_)), "{after:?}");
    });
}

fn when_the_daemon_dies_its_hooks_die() {
    let directory = tempfile::tempdir().unwrap();
    let mut daemon = Command::new("/proc/self/exe")
        .arg("--daemon")
        .arg(directory.path())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let (leader, child) = on_runtime(async {
        let leader = pid_once_in(&directory.path().join("leader")).await;
        (leader, pid_once_in(&directory.path().join("child")).await)
    });
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    wait_until_gone(leader);
    wait_until_gone(child);
}

fn hooks_of_a_router_run_in_order_and_never_overlap() {
    let directory = tempfile::tempdir().unwrap();
    let (lock, log) = (directory.path().join("lock"), directory.path().join("log"));
    // mkdir fails if another one is inside.
    let script = format!(
        "mkdir {lock} || echo overlap >> {log}; sleep 0.0$((CARP_SEQ % 3)); \
         echo $CARP_SEQ >> {log}; rmdir {lock}",
        lock = lock.display(),
        log = log.display()
    );
    let spec = HookSpec { active: argv(&script), backup: argv(&script), ..HookSpec::default() };
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            for seq in 1..=20 {
                let on = if seq % 2 == 0 { HookOn::Active } else { HookOn::Backup };
                hooks.dispatch(event("web", on, seq));
            }
            assert!(hooks.idle(LONG).await);
        },
    );
    let expected: String = (1..=20).map(|seq| format!("{seq}\n")).collect();
    assert_eq!(fs::read_to_string(log).unwrap(), expected);
}

fn hooks_know_what_happened() {
    let spec = HookSpec { active: argv("env | grep ^CARP_ | sort"), ..HookSpec::default() };
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            hooks.dispatch(event("web", HookOn::Active, 7));
            assert!(hooks.idle(LONG).await);
            let reports = hooks.reports("web");
            let [report] = reports.as_slice() else { panic!("{reports:?}") };
            assert_eq!(
                report.output.as_deref(),
                Some(
                    "CARP_ADDRESSES=192.168.130.100 2001:db8::100/64\nCARP_CAUSE=active-down\n\
                 CARP_INTERFACE=eth0\nCARP_PREVIOUS=backup\nCARP_ROUTER=web\nCARP_SEQ=7\n\
                 CARP_STATE=active\n"
                )
            );
        },
    );
}

fn too_many_events_drop_the_oldest() {
    let directory = tempfile::tempdir().unwrap();
    let (gate, log) = (directory.path().join("gate"), directory.path().join("log"));
    let script = format!(
        "echo $CARP_SEQ >> {log}; until [ -e {gate} ]; do sleep 0.02; done",
        log = log.display(),
        gate = gate.display()
    );
    let spec = HookSpec { active: argv(&script), timeout: LONG, ..HookSpec::default() };
    let waiting = u64::try_from(WAITING).unwrap();
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            hooks.dispatch(event("web", HookOn::Active, 1));
            once(async || log.exists()).await;
            for seq in 2..=waiting + 4 {
                hooks.dispatch(event("web", HookOn::Active, seq));
            }
            once(async || hooks.reports("web")[0].dropped == 3).await;
            fs::write(&gate, "").unwrap();
            assert!(hooks.idle(LONG).await);
        },
    );
    let ran: Vec<u64> =
        fs::read_to_string(log).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    let expected: Vec<u64> = [1].into_iter().chain(5..=waiting + 4).collect();
    assert_eq!(ran, expected);
}

fn before_active_jumps_the_queue_and_waits_for_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let (gate, log) = (directory.path().join("gate"), directory.path().join("log"));
    let begin = format!("echo $0 >> {}", log.display());
    let slow = format!("{begin}; until [ -e {} ]; do sleep 0.02; done", gate.display());
    let named = |script: &str, name: &str| {
        Some(vec!["/bin/sh".into(), "-c".into(), script.to_owned(), name.to_owned()])
    };
    let spec = HookSpec {
        backup: named(&slow, "backup"),
        active: named(&begin, "active"),
        before_active: named(&begin, "before"),
        timeout: LONG,
        ..HookSpec::default()
    };
    let (answers, answered) = mpsc::channel();
    with_hooks(
        [router("web", spec)],
        |_, _| {},
        async |hooks| {
            hooks.dispatch(event("web", HookOn::Backup, 1));
            once(async || log.exists()).await;
            hooks.dispatch(event("web", HookOn::Active, 2));
            for (seq, number) in [(3, "older"), (4, "newer")] {
                let answers = answers.clone();
                hooks.prepare(event("web", HookOn::BeforeActive, seq), move |ok| {
                    answers.send((number, ok)).unwrap();
                });
            }
            // The older one gives way at once, while on.backup still runs.
            once(async || hooks.reports("web").iter().any(|hook| hook.dropped == 1)).await;
            assert_eq!(fs::read_to_string(&log).unwrap(), "backup\n");
            fs::write(&gate, "").unwrap();
            assert!(hooks.idle(LONG).await);
        },
    );
    assert_eq!(answered.try_iter().collect::<Vec<_>>(), [("older", false), ("newer", true)]);
    assert_eq!(fs::read_to_string(log).unwrap(), "backup\nbefore\nactive\n");
}

fn before_active_answers_for_the_election() {
    let refusing = HookSpec { before_active: argv("exit 1"), ..HookSpec::default() };
    let missing =
        HookSpec { before_active: Some(vec!["/nonexistent".into()]), ..HookSpec::default() };
    let hanging =
        HookSpec { before_active: argv("exec sleep 300"), timeout: SHORT, ..HookSpec::default() };
    let routers = [
        router("refusing", refusing),
        router("missing", missing),
        router("hanging", hanging),
        router("none", HookSpec::default()),
    ];
    with_hooks(
        routers,
        |_, _| {},
        async |hooks| {
            for (name, expected) in
                [("refusing", false), ("missing", false), ("hanging", false), ("none", true)]
            {
                let (answer, answered) = tokio::sync::oneshot::channel();
                hooks.prepare(event(name, HookOn::BeforeActive, 1), |ok| answer.send(ok).unwrap());
                assert_eq!(answered.await, Ok(expected), "{name}");
                assert_eq!(hooks.has_before_active(name), name != "none");
            }
        },
    );
}

fn hooks_of_two_routers_run_side_by_side() {
    let directory = tempfile::tempdir().unwrap();
    let meet = |own: &str, other: &str| {
        let (own, other) = (directory.path().join(own), directory.path().join(other));
        let wait = format!("until [ -e {} ]; do sleep 0.02; done", other.display());
        let active = argv(&format!("touch {}; {wait}", own.display()));
        HookSpec { active, timeout: LONG, ..HookSpec::default() }
    };
    let routers = [router("web", meet("one", "two")), router("dns", meet("two", "one"))];
    with_hooks(
        routers,
        |_, _| {},
        async |hooks| {
            for name in ["web", "dns"] {
                hooks.dispatch(event(name, HookOn::Active, 1));
            }
            assert!(hooks.idle(LONG).await);
            for name in ["web", "dns"] {
                assert_eq!(hooks.reports(name)[0].ok, Some(true), "{name}");
            }
        },
    );
}

fn a_hook_report_tells_the_last_run() {
    let spec = HookSpec {
        active: argv("echo cold; exit 3"),
        init: Some(vec!["/nonexistent".into()]),
        ..HookSpec::default()
    };
    let results = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&results);
    let note = move |router: &str, report: &HookReport| {
        noted.lock().unwrap().push((router.to_owned(), report.event().unwrap().to_string()));
    };
    with_hooks([router("web", spec)], note, async |hooks| {
        assert!(hooks.reports("web").iter().all(|report| report.ok.is_none()));
        hooks.dispatch(event("web", HookOn::Active, 1));
        hooks.dispatch(event("web", HookOn::Backup, 2));
        hooks.dispatch(event("nosuch", HookOn::Active, 2));
        hooks.dispatch(event("web", HookOn::Init, 3));
        assert!(hooks.idle(LONG).await);
        let reports = hooks.reports("web");
        let [active, init] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!(
            (active.on, active.ok, active.exit_code),
            (HookOn::Active, Some(false), Some(3))
        );
        assert_eq!(active.output.as_deref(), Some("cold\n"));
        assert!(active.finished.is_some() && active.duration_ms.is_some() && !active.running);
        assert_eq!((init.on, init.ok, init.exit_code), (HookOn::Init, Some(false), None));
        let json = serde_json::to_value(init).unwrap();
        assert_eq!((&json["on"], &json["program"]), (&"init".into(), &"/nonexistent".into()));
    });
    let results = results.lock().unwrap();
    let [(router, active), (_, init)] = results.as_slice() else { panic!("{results:?}") };
    assert_eq!(router, "web");
    assert!(active.starts_with("on.active: /bin/sh: exit 3 after "), "{active}");
    assert!(init.starts_with("on.init: /nonexistent: could not start: "), "{init}");
}

// What the tests are made of.

/// A limit that is meant to be reached.
const SHORT: Duration = Duration::from_millis(500);

fn shell(script: &str, limit: Duration) -> Job {
    Job::new(argv(script).unwrap(), limit)
}

fn argv(script: &str) -> Option<Vec<String>> {
    Some(vec!["/bin/sh".into(), "-c".into(), script.into()])
}

/// A script that ignores SIGTERM, as does its child, and that notes both process ids.
fn stubborn(directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "trap '' TERM; sleep 300 & echo $! > {directory}/child; echo $$ > {directory}/leader; \
         while :; do wait; sleep 300; done"
    )
}

fn make_executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn router(name: &str, spec: HookSpec) -> HookRouter {
    HookRouter {
        name: name.into(),
        interface: "eth0".into(),
        addresses: vec!["192.168.130.100".into(), "2001:db8::100/64".into()],
        spec,
    }
}

fn event(router: &str, on: HookOn, seq: u64) -> HookEvent {
    let cause = "active-down".into();
    HookEvent { router: router.into(), on, previous: State::Backup, cause, seq }
}

fn run_one(job: Job) -> JobReport {
    let mut report = None;
    with_runner(async |runner| report = Some(runner.run(job).await));
    report.unwrap()
}

fn with_runner(test: impl AsyncFnOnce(RunnerHandle)) {
    on_runtime(async {
        let runner = Runner::spawn().unwrap().into_handle().unwrap();
        tokio::time::timeout(LONG * 3, test(runner.clone())).await.unwrap();
        runner.shut_down().await;
    });
}

fn with_hooks(
    routers: impl IntoIterator<Item = HookRouter>,
    on_result: impl Fn(&str, &HookReport) + Send + Sync + 'static,
    test: impl AsyncFnOnce(Hooks),
) {
    with_runner(async |runner| test(Hooks::start(&runner, routers, on_result)).await);
}

fn on_runtime<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn once(condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < deadline, "it never became true");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn pid_once_in(file: &PathBuf) -> Pid {
    once(async || fs::read_to_string(file).is_ok_and(|text| text.ends_with('\n'))).await;
    pid_in(file)
}

fn pid_in(file: &Path) -> Pid {
    let text = fs::read_to_string(file).unwrap();
    Pid::from_raw(text.trim().parse().unwrap()).unwrap()
}

fn kill(pid: u32) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
}

/// A zombie that nobody has reaped yet runs no more.
fn is_alive(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))
        .is_ok_and(|stat| !stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
}

fn wait_until_gone(pid: Pid) {
    let deadline = Instant::now() + LONG;
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid:?} lives on");
        thread::sleep(Duration::from_millis(5));
    }
}
