//! What the runner runs.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carp_node::runner::{Account, Job, OUTPUT_LIMIT, Outcome, RunnerHandle, StopSignal};
use rustix::process::{Pid, Signal};
use tokio::io::AsyncReadExt;

use crate::support::{
    FORGETFUL, LONG, SHORT, is_alive, kill, make_executable, on_runtime, once, pid_in, pid_once_in,
    run_one, shell, stubborn, wait_until_gone, with_runner,
};

pub(crate) const TESTS: &[(&str, fn())] = &[
    ("a_child_that_says_no_hello_is_an_error", a_child_that_says_no_hello_is_an_error),
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
        "a_program_is_told_to_end_with_the_signal_of_its_job",
        a_program_is_told_to_end_with_the_signal_of_its_job,
    ),
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
        "a_stopped_stream_is_reported_when_its_whole_group_is_gone",
        a_stopped_stream_is_reported_when_its_whole_group_is_gone,
    ),
    (
        "what_a_stream_does_is_told_while_it_is_silent_and_not_afterwards",
        what_a_stream_does_is_told_while_it_is_silent_and_not_afterwards,
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
];

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

/// A limit that is meant to be reached, when the program has said what it does with signals.
const TRAPPED: Duration = Duration::from_secs(2);

fn a_program_that_heeds_sigterm_is_not_killed() {
    let mut job = shell("trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done", TRAPPED);
    job.grace = LONG;
    let report = run_one(job);
    assert_eq!(report.outcome, Outcome::TimedOut { killed: false });
    assert!(report.output.ends_with("bye\n"), "{}", report.output);
}

fn a_program_is_told_to_end_with_the_signal_of_its_job() {
    let mut job = shell(
        "trap 'echo term; exit 0' TERM; trap 'echo usr1; exit 0' USR1; while :; do sleep 0.05; done",
        TRAPPED,
    );
    (job.stop, job.grace) = (StopSignal::Usr1, LONG);
    let report = run_one(job);
    assert_eq!(report.outcome, Outcome::TimedOut { killed: false });
    assert!(report.output.ends_with("usr1\n"), "{}", report.output);
}

fn a_group_that_ignores_sigterm_is_killed_with_its_children() {
    let directory = tempfile::tempdir().unwrap();
    let mut job = shell(&stubborn(directory.path()), TRAPPED);
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
        let report = stream.program.finished().await;
        assert_eq!((report.outcome, report.lingers), (Outcome::Exited(7), None));
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
        stream.program.stop().await;
        let report = stream.program.finished().await;
        assert_eq!((report.outcome, report.lingers), (Outcome::Stopped { killed: true }, None));
        for process in [leader, child] {
            assert!(!lives(process), "{process:?}");
        }
        // A stop that comes too late concerns nobody.
        stream.program.stop().await;
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
        once(async || stream.program.work().await.is_some()).await;
        let before = stream.program.work().await.unwrap();
        fs::write(&go, "").unwrap();
        // What a child has done is its parent's when it has been waited for.
        once(async || {
            let work = stream.program.work().await.unwrap();
            work.read >= before.read + 300_000 && work.cpu >= before.cpu + Duration::from_millis(20)
        })
        .await;
        stream.program.stop().await;
        assert!(matches!(stream.program.finished().await.outcome, Outcome::Stopped { .. }));
        assert_eq!(stream.program.work().await, None);
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
        // Both have had their KILL; nobody waits for the end of the second.
        wait_until_gone(leader);
        wait_until_gone(child);
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
