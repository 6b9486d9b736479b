//! `carp run` as a service: what a service manager is told, and the unit that is installed.
//!
//! The manager is a socket of the test's own. With `--embed` this program is also a daemon whose protocol
//! task hangs when it is told to, and whose service thread does not.

#[path = "support/supervisor.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod supervisor;
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use carp_node::addresses::Record;
use carp_node::backend::linux::Linux;
use carp_node::backend::wrap::{Direction, Trace, Wrapped};
use carp_node::lab::{Signal, wait_until};
use carp_node::node::{Extras, Node, RouterSetup};
use carp_node::notify::{Manager, Reporter};
use carp_proto::{RouterConfig, VirtualAddress, VirtualId, Vrrp3};
use libtest_mimic::Failed;
use supervisor::{KillMode, Listener, Unit};
use support::{Daemon, LIMIT, Rack, Test, Tested, VIP, carp, ensure, serves, told};

const TESTS: &[Test] = &[
    ("the_manager_is_told_of_readiness_states_and_the_end", told_in_order),
    ("only_the_daemon_itself_tells", only_the_daemon),
    ("the_watchdog_is_fed_at_half_of_its_time", watchdog_fed),
    ("the_watchdog_of_another_process_is_not_fed", watchdog_of_another),
    ("a_protocol_task_that_hangs_starves_the_watchdog", watchdog_starves),
    ("a_stop_that_takes_long_asks_for_more_time", long_stop),
    ("a_manager_that_cannot_be_told_is_no_reason_not_to_serve", unknown_manager),
    ("the_unit_has_no_mistakes", unit_verifies),
    ("the_unit_exposes_little", unit_exposes_little),
    ("the_unit_does_not_hide_who_removes_addresses", unit_hides_nobody),
    ("the_unit_begins_again_but_not_for_ever", unit_restarts),
    ("the_unit_s_user_can_be_made", user_is_made),
    ("both_kill_orders_leave_no_process_and_no_address", kill_orders),
    ("a_daemon_that_crashes_leaves_no_address_in_either_order", crash_orders),
];

fn main() -> ExitCode {
    carp_node::guard::init();
    carp_node::runner::init();
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, directory] = arguments.as_slice()
        && word == "--embed"
    {
        return match embed(Path::new(directory)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    support::main(&[TESTS])
}

/// A router that is active soon.
const QUICK: &str = "interval = \"100ms\"\npriority = 200";

/// Starts `carp run` for a manager that listens, by this shell command line.
fn run_for(
    rack: &Rack,
    settings: &str,
    environment: &str,
) -> Result<(Daemon, Listener, Instant), Failed> {
    let config = rack.configure_vrrp("primary", settings)?;
    let (listener, since) = (Listener::bind(rack.path("notify"))?, Instant::now());
    let socket = rack.path("primary.sock");
    let mut shell = Command::new("sh");
    let line = format!(
        "NOTIFY_SOCKET={} {environment} exec {} run -c {} --socket {}",
        listener.path().display(),
        env!("CARGO_BIN_EXE_carp"),
        config.display(),
        socket.display()
    );
    shell.arg("-c").arg(line);
    Ok((Daemon { process: rack.primary.spawn(shell)?, socket }, listener, since))
}

fn told_in_order(rack: &Rack) -> Tested {
    let (daemon, listener, since) = run_for(rack, QUICK, "")?;
    listener.wait_for(since, "READY=1")?;
    ensure(daemon.status().is_some(), "the control socket answers when it says that it is ready")?;
    listener.wait_for(since, "STATUS=web active")?;
    ensure(serves(&rack.primary), "it has the address")?;
    ensure(listener.count(since, "WATCHDOG") == 0, "nobody has asked for a watchdog")?;
    ensure(listener.count(since, "EXTEND") == 0, "it does not stop yet")?;
    daemon.stop()?;
    let words = "STOPPING=1\nEXTEND_TIMEOUT_USEC=30000000\n";
    let notices = listener.notices(since);
    let stops = notices.iter().any(|notice| notice.text.starts_with(words));
    ensure(stops, format!("it was not told of the end: {notices:?}"))?;
    ensure(listener.count(since, "STOPPING=1") == 1, "it was told once")?;
    ensure(listener.count(since, "READY=1") == 1, "it was told once")
}

fn only_the_daemon(rack: &Rack) -> Tested {
    let (daemon, listener, since) = run_for(rack, QUICK, "")?;
    listener.wait_for(since, "STATUS=web active")?;
    let (_, guard) = daemon.pids()?;
    let before = daemon.report().map(|report| report["guard"]["restarts"].clone());
    support::run_on_machine(&rack.primary, &format!("kill -KILL {guard}"))?;
    wait_until(LIMIT, "another guard", || {
        daemon.report().map(|report| report["guard"]["restarts"].clone()) != before
    })?;
    daemon.stop()?;
    let main = i32::try_from(daemon.process.id())?;
    let others: Vec<_> =
        listener.notices(since).into_iter().filter(|notice| notice.pid != main).collect();
    ensure(others.is_empty(), format!("{others:?} are not from process {main}"))?;
    ensure(listener.count(since, "MAINPID") == 0, "the manager has started the main process")
}

fn watchdog_fed(rack: &Rack) -> Tested {
    let (daemon, listener, since) = run_for(rack, QUICK, "WATCHDOG_USEC=1000000 WATCHDOG_PID=$$")?;
    listener.wait_for(since, "STATUS=web active")?;
    let since = Instant::now();
    wait_until(LIMIT, "ten meals", || listener.count(since, "WATCHDOG=1") >= 10)?;
    let took = since.elapsed();
    ensure(took > Duration::from_secs(4), format!("ten meals in {took:?}: too many"))?;
    let longest = longest_silence(&listener, since);
    println!("ten meals in {took:?}, the longest silence {longest:?}");
    daemon.stop()
}

fn longest_silence(listener: &Listener, since: Instant) -> Duration {
    let notices = listener.notices(since);
    let pairs = notices.windows(2).map(|pair| pair[1].at - pair[0].at);
    pairs.max().unwrap_or_default()
}

fn watchdog_of_another(rack: &Rack) -> Tested {
    let (daemon, listener, since) = run_for(rack, QUICK, "WATCHDOG_USEC=20000 WATCHDOG_PID=1")?;
    listener.wait_for(since, "STATUS=web active")?;
    daemon.stop()?;
    ensure(listener.count(since, "WATCHDOG") == 0, "it was fed")
}

fn watchdog_starves(rack: &Rack) -> Tested {
    let directory = rack.path("orders");
    fs::create_dir_all(&directory)?;
    let (listener, since) = (Listener::bind(rack.path("notify"))?, Instant::now());
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--embed").arg(&directory).env("NOTIFY_SOCKET", listener.path());
    command.env("WATCHDOG_USEC", "200000");
    let daemon = rack.primary.spawn(command)?;
    listener.wait_for(since, "STATUS=web active")?;
    fs::write(directory.join("hang"), "")?;
    daemon.wait_for_line(LIMIT, "hanging")?;
    // Twenty meals are missing then. One may have been on its way when it began to hang.
    let starves = || {
        let last = listener.notices(since).last().map(|notice| notice.at);
        last.is_some_and(|at| at.elapsed() >= Duration::from_secs(2))
    };
    wait_until(LIMIT, "two seconds without a meal", starves)?;
    let hungry = Instant::now();
    fs::remove_file(directory.join("hang"))?;
    listener.wait_for(hungry, "WATCHDOG=1")
}

/// A daemon whose protocol task waits at every advert for as long as there is a file.
fn embed(directory: &Path) -> Result<(), Box<dyn Error>> {
    let address = VirtualAddress::new(VIP.parse()?, None)?;
    let vrrp = Vrrp3 { interval: carp_proto::Centiseconds::from_wire(10), ..Vrrp3::default() };
    let config = RouterConfig::vrrp3(VirtualId::new(1)?, vec![address], vrrp)?;
    let hang = directory.join("hang");
    let look = move |_: Direction, _: &str, _: &[u8]| {
        if hang.exists() {
            eprintln!("hanging");
        }
        while hang.exists() {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let reporter = Reporter::new(Manager::from_env()?);
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (protocol, service) = (runtime()?, runtime()?);
    let (events, mut inbox) = carp_node::event::channel();
    protocol.block_on(async {
        let extras = Extras { events, record: Record::in_memory(), prepare: None };
        let setups = vec![RouterSetup::new("web", "eth0", config)];
        let (node, handle) = Node::new(Wrapped::new(Linux, Trace(look)), setups, extras)?;
        let news = reporter.clone();
        let tell = async move {
            while inbox.recv().await.is_some() {
                news.note();
            }
        };
        std::thread::spawn(move || {
            service.block_on(async { tokio::join!(reporter.run(&handle), tell) });
        });
        node.run().await;
        Ok(())
    })
}

/// A program that runs when it is backup again takes its time.
fn long_stop(rack: &Rack) -> Tested {
    let hook = rack.write("hook", "#!/bin/sh\nexec sleep 3\n", 0o755)?;
    let settings = format!("{QUICK}\non.init = [\"{}\"]", hook.display());
    let environment = "WATCHDOG_USEC=1000000 WATCHDOG_PID=$$";
    let (daemon, listener, since) = run_for(rack, &settings, environment)?;
    listener.wait_for(since, "STATUS=web active")?;
    let stop = Instant::now();
    daemon.process.signal(Signal::TERM)?;
    listener.wait_for(stop, "STATUS=handed over; programs still run")?;
    ensure(daemon.process.exit_status()?.is_none(), "it waits for the program")?;
    daemon.process.wait(LIMIT)?;
    let (meals, asked) =
        (listener.count(stop, "WATCHDOG=1"), listener.count(stop, "EXTEND_TIMEOUT_USEC="));
    ensure(meals >= 3, format!("the watchdog was fed {meals} times"))?;
    ensure(asked >= 3, format!("more time was asked for {asked} times"))
}

fn unknown_manager(rack: &Rack) -> Tested {
    let config = rack.configure_vrrp("primary", QUICK)?;
    let mut command = carp();
    command.arg("run").arg("-c").arg(config).arg("--socket").arg(rack.path("primary.sock"));
    command.env("NOTIFY_SOCKET", "vsock:2:1234");
    let daemon = rack.primary.spawn(command)?;
    daemon.wait_for_line(LIMIT, "warning: NOTIFY_SOCKET=vsock:2:1234: neither the path")?;
    Ok(wait_until(LIMIT, "it serves", || serves(&rack.primary))?)
}

/// The unit as it is installed.
fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/carp.service")
}

/// A copy that names the program under test.
fn unit_here(rack: &Rack) -> Result<PathBuf, Failed> {
    let text = fs::read_to_string(unit())?;
    ensure(text.matches("=/usr/bin/carp ").count() == 2, "ExecStart= and ExecStopPost=")?;
    let here = text.replace("/usr/bin/carp ", &format!("{} ", env!("CARGO_BIN_EXE_carp")));
    rack.write("carp.service", &here, 0o644)
}

fn analyze(arguments: &[&str], unit: &Path) -> Result<(Option<i32>, String), Failed> {
    let mut command = Command::new("systemd-analyze");
    command.args(arguments).arg(unit).env("SYSTEMD_COLORS", "0").env("SYSTEMD_EMOJI", "0");
    Ok(told(&command.output().map_err(|error| format!("systemd-analyze: {error}"))?))
}

fn unit_verifies(rack: &Rack) -> Tested {
    let unit_here = unit_here(rack)?;
    let (code, text) = analyze(&["verify", "--man=no"], &unit_here)?;
    ensure(code == Some(0) && text.is_empty(), format!("{code:?} {text}"))?;
    // With what shares need beside it.
    let beside = unit_here.with_file_name("carp.service.d");
    fs::create_dir_all(&beside)?;
    fs::copy(unit().with_file_name("shares.conf"), beside.join("shares.conf"))?;
    let (code, text) = analyze(&["verify", "--man=no"], &unit_here)?;
    ensure(code == Some(0) && text.is_empty(), format!("with shares: {code:?} {text}"))
}

fn unit_exposes_little(rack: &Rack) -> Tested {
    let security = ["security", "--offline=true", "--no-pager", "--threshold=21"];
    let (code, text) = analyze(&security, &unit_here(rack)?)?;
    println!("{}", text.lines().last().unwrap_or_default());
    ensure(code == Some(0), text)
}

/// Names of programs are read from `/proc`, and other users' programs are not there with another setting.
fn unit_hides_nobody(_: &Rack) -> Tested {
    let text = fs::read_to_string(unit())?;
    let set = |key: &str| text.lines().filter(|line| line.starts_with(key)).collect::<Vec<_>>();
    ensure(set("ProtectProc=") == ["ProtectProc=default"], "ProtectProc= hides programs")?;
    ensure(set("ProcSubset=").is_empty(), "ProcSubset= hides the settings of interfaces")
}

fn unit_restarts(_: &Rack) -> Tested {
    let text = fs::read_to_string(unit())?;
    let has = |line: &str| text.lines().any(|found| found == line);
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        "Restart=always",
        "RestartSec=1",
        "StartLimitIntervalSec=600",
        "StartLimitBurst=100",
        "KillMode=control-group",
        "OOMPolicy=continue",
        // Of the signals that end a daemon, this one is ignored by its guard.
        "WatchdogSignal=SIGQUIT",
    ] {
        ensure(has(line), format!("the unit lacks {line}"))?;
    }
    ensure(!text.contains("ExecReload="), "reload is not supported yet")
}

fn user_is_made(rack: &Rack) -> Tested {
    let root = rack.path("root");
    fs::create_dir_all(root.join("etc"))?;
    let conf = unit().with_file_name("carp.sysusers.conf");
    let mut command = Command::new("systemd-sysusers");
    command.arg("--root").arg(&root).arg(conf);
    let (code, text) = told(&command.output().map_err(|e| format!("systemd-sysusers: {e}"))?);
    ensure(code == Some(0), format!("{code:?} {text}"))?;
    let users = fs::read_to_string(root.join("etc/passwd"))?;
    ensure(users.starts_with("carp:x:") && users.contains(":/var/lib/carp:"), users)
}

fn kill_orders(rack: &Rack) -> Tested {
    let config = rack.configure_vrrp("primary", QUICK)?;
    for kill_mode in [KillMode::ControlGroup, KillMode::Mixed] {
        let mut unit = Unit::new(&rack.primary, config.clone(), kill_mode)?;
        for _ in 0..2 {
            unit.start()?;
            wait_until(LIMIT, "it serves", || serves(&rack.primary))?;
            unit.stop()?;
            ensure(!serves(&rack.primary), format!("{kill_mode:?}: the address is gone"))?;
            no_process_is_left(rack)?;
        }
        fs::remove_file(config.with_extension("notify"))?;
    }
    Ok(())
}

/// In the order of `KillMode=mixed` the guard may be killed before it has done its work; then
/// `ExecStopPost=` does it.
fn crash_orders(rack: &Rack) -> Tested {
    let config = rack.configure_vrrp("primary", QUICK)?;
    for kill_mode in [KillMode::ControlGroup, KillMode::Mixed] {
        let mut unit = Unit::new(&rack.primary, config.clone(), kill_mode)?;
        for _ in 0..5 {
            unit.start()?;
            wait_until(LIMIT, "it serves", || serves(&rack.primary))?;
            unit.crash()?;
            ensure(!serves(&rack.primary), format!("{kill_mode:?}: the address is gone"))?;
            no_process_is_left(rack)?;
        }
        fs::remove_file(config.with_extension("notify"))?;
    }
    Ok(())
}

/// Neither a daemon, nor a guard, nor a runner.
fn no_process_is_left(rack: &Rack) -> Tested {
    let mut names = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let here = entry.path().join("ns/net");
        if name.starts_with("carp") && !name.starts_with("carp-lab") && in_namespace(rack, &here)? {
            names.push(name);
        }
    }
    ensure(names.is_empty(), format!("{names:?} are left"))
}

/// Whether a process is on the primary.
fn in_namespace(rack: &Rack, namespace: &Path) -> Result<bool, Failed> {
    let Ok(theirs) = fs::read_link(namespace) else { return Ok(false) };
    let ours = rack.primary.run_inside(|| fs::read_link("/proc/thread-self/ns/net"))??;
    Ok(ours == theirs)
}
