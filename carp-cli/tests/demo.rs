//! `carp demo`, as a new user runs it.
#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

use std::fs::File;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";

/// One demo at a time: they measure.
static STAGE: Mutex<()> = Mutex::new(());

fn stage() -> MutexGuard<'static, ()> {
    STAGE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
    command.arg("demo").args(arguments);
    command.env_remove("NO_COLOR").env("TERM", "xterm-256color").env("LC_ALL", "C.UTF-8");
    command
}

/// The same, with no right that a user does not have, but for the one to call itself root in a namespace.
fn demo_of_a_user(arguments: &[&str]) -> Command {
    let demo = demo(arguments);
    if !rustix::process::geteuid().is_root() {
        return demo;
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all,+setfcap", "--inh-caps=-all"]).arg(demo.get_program());
    command.args(demo.get_args());
    for (name, value) in demo.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn succeeded(output: &Output) {
    assert!(output.status.success(), "{}: {}", output.status, text(&output.stderr));
}

#[test]
fn the_demo_loses_nothing_but_what_the_dead_machine_takes() {
    loses_nothing(demo(&["--interval", "500ms"]));
}

#[test]
fn the_demo_needs_no_rights() {
    loses_nothing(demo_of_a_user(&["--interval", "250ms"]));
}

#[test]
fn the_demo_shows_vrrp_too() {
    loses_nothing(demo(&["--protocol", "vrrp2"]));
    loses_nothing(demo(&["--protocol", "vrrp3", "--interval", "500ms"]));
}

fn loses_nothing(mut demo: Command) {
    let _stage = stage();
    let output = demo.arg("--json").output().unwrap();
    succeeded(&output);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["schema"], "carp.demo/1");
    assert_eq!(result["ok"], true);
    let number = |of: &str, key: &str| result[of][key].as_f64().unwrap();
    assert!(number("takeover", "theory_ms") > 0.0);
    assert!(number("takeover", "detection_ms") >= number("takeover", "theory_ms"));
    assert!(number("takeover", "outage_ms") >= number("takeover", "theory_ms"));
    assert!(number("handover", "outage_ms") >= 0.0 && number("failback", "outage_ms") >= 0.0);
    let requests = |key: &str| result["requests"][key].as_u64().unwrap();
    assert_eq!(requests("sent"), requests("answered") + requests("failed"));
    let sync = |key: &str| result["sync"][key].as_u64().unwrap();
    assert_eq!((sync("files"), sync("lost")), (29, 0), "{result}");
}

#[test]
fn without_rsync_the_demo_names_the_package() {
    let empty = tempfile::tempdir().unwrap();
    let output = demo(&[]).env("PATH", empty.path()).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(7), String::new()));
    let errors = text(&output.stderr);
    assert!(errors.contains("no rsync") && errors.contains("apt-get install rsync"), "{errors}");
}

#[test]
fn what_cannot_be_shown_is_said() {
    let told = |arguments: &[&str]| {
        let output = demo(arguments).output().unwrap();
        assert_eq!(text(&output.stdout), "", "nothing is shown before it is refused");
        (output.status.code(), text(&output.stderr))
    };
    let (code, errors) = told(&["--interval", "100ms"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("250ms"), "{errors}");
    let (code, errors) = told(&["--protocol", "vrrp2", "--interval", "500ms"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("VRRP version 2") && errors.contains("whole seconds"), "{errors}");
    for path in ["/no/such/directory/x.svg", "/dev/null"] {
        let (code, errors) = told(&["--plot", path]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(path) && errors.contains("help:"), "{errors}");
    }
}

#[test]
fn a_plot_shows_what_the_json_says() {
    let _stage = stage();
    let directory = tempfile::tempdir().unwrap();
    let arguments = ["--interval", "250ms", "--json", "--plot", "run.svg"];
    let output = demo(&arguments).current_dir(directory.path()).output().unwrap();
    succeeded(&output);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let plot = std::fs::read_to_string(directory.path().join("run.svg")).unwrap();
    let plot = roxmltree::Document::parse(&plot).unwrap();
    let texts = |name: &'static str| {
        let nodes = plot.descendants().filter(move |node| node.has_tag_name(name));
        nodes.filter_map(|node| node.text()).map(|text| text.trim().to_owned()).collect::<Vec<_>>()
    };
    let (labels, titles) = (texts("text"), texts("title"));
    for label in ["primary", "secondary", "client", "machine dies", "machine back", "planned stop"]
    {
        assert!(labels.iter().any(|text| text == label), "{label} in {labels:?}");
    }
    for (act, key) in
        [("takeover", "outage_ms"), ("failback", "outage_ms"), ("handover", "outage_ms")]
    {
        let outage = tenths(&result[act][key]);
        let is_label = |text: &String| text.starts_with(&outage);
        assert!(labels.iter().any(is_label), "{outage} of {act} in {labels:?}");
    }
    let theory = format!("theory {}", tenths(&result["takeover"]["theory_ms"]));
    assert!(labels.contains(&theory), "{theory} in {labels:?}");
    for band in [
        "primary: active from",
        "primary: dead from",
        "primary: stopped from",
        "secondary: backup from",
        "secondary: active from",
    ] {
        assert!(titles.iter().any(|title| title.starts_with(band)), "{band} in {titles:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is beside it");
}

/// Decimal milliseconds of the JSON as the labels have them.
fn tenths(millis: &serde_json::Value) -> String {
    let (whole, fraction) = match millis.to_string().split_once('.') {
        Some((whole, fraction)) => (whole.parse::<u64>().unwrap(), format!("{fraction:0<3}")),
        None => (millis.to_string().parse().unwrap(), "000".to_owned()),
    };
    let micros = whole * 1000 + fraction.parse::<u64>().unwrap();
    let tenths = (micros + 50) / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

#[test]
fn a_pipe_gets_a_line_an_event_without_escape_codes() {
    let _stage = stage();
    let output = demo(&["--interval", "250ms"]).output().unwrap();
    succeeded(&output);
    let shown = text(&output.stdout);
    assert!(!shown.contains('\x1b'), "{shown:?}");
    let mut rest = shown.as_str();
    for event in [
        "primary 192.168.130.50 and secondary 192.168.130.10 share 192.168.130.100",
        "primary: init -> backup (start)",
        "primary: backup -> active",
        "steady: the primary answers",
        "20 pages are written on the primary, and copied",
        "the primary's machine dies",
        "client: no answer for 50 ms",
        "secondary: backup -> active: no advert from 192.168.130.50",
        "client: answered by the secondary after a gap of",
        "on the secondary 5 pages are changed, 2 deleted and 5 written",
        "the primary's machine is back",
        "both servers have all pages",
        "3 more pages, and at once the primary's daemon is stopped as planned",
        "crash of the primary",
        "29 pages, edited on both servers in turn: 27 are on both",
    ] {
        let Some((_, after)) = rest.split_once(event) else { panic!("no `{event}` in {rest}") };
        rest = after;
    }
}

#[test]
fn colours_that_are_forced_into_a_pipe_give_one_still_picture() {
    let _stage = stage();
    let output = demo(&["--interval", "250ms", "--color", "always"]).output().unwrap();
    succeeded(&output);
    let shown = text(&output.stdout);
    assert!(shown.contains("\x1b[32m█"), "{shown:?}");
    assert!(!shown.contains("\x1b[?") && !shown.contains("\x1b[K"), "{shown:?}");
    assert_eq!(shown.matches("Two servers share the address").count(), 1, "{shown}");
}

#[test]
fn a_terminal_is_redrawn_and_given_back() {
    let _stage = stage();
    let mut terminal = Terminal::run(&mut demo(&["--interval", "250ms"]));
    assert!(terminal.wait().success(), "{}", terminal.shown());
    let shown = terminal.shown();
    for word in ["ACTIVE", "BACKUP", "dead", "no answer for", "2 crash", "crash of the primary"] {
        assert!(shown.contains(word), "no {word} in {shown:?}");
    }
    assert!(shown.matches("Two servers share the address").count() > 20, "it is redrawn");
    assert_eq!(shown.matches(HIDE_CURSOR).count(), 1);
    assert!(shown.rfind(SHOW_CURSOR) > shown.rfind("Two servers"), "{shown:?}");
}

#[test]
fn a_terminal_is_given_back_by_a_demo_that_is_killed() {
    let _stage = stage();
    for (signal, number) in [("INT", 2), ("TERM", 15), ("KILL", 9)] {
        let mut terminal = Terminal::run(&mut demo(&[]));
        terminal.wait_for("BACKUP");
        kill(&terminal.child, signal);
        assert_eq!(terminal.wait().signal(), Some(number));
        let shown = terminal.shown();
        assert!(shown.rfind(SHOW_CURSOR) > shown.rfind(HIDE_CURSOR), "after {signal}: {shown:?}");
        assert!(shown.rfind(SHOW_CURSOR) > shown.rfind("Two servers"), "after {signal}: {shown:?}");
    }
}

#[test]
fn a_terminal_without_colours_gets_the_plain_form() {
    let _stage = stage();
    let none: &[&str] = &[];
    for (arguments, name, value) in [
        (none, "NO_COLOR", "1"),
        (none, "TERM", "dumb"),
        (&["--color", "never"], "TERM", "xterm-256color"),
    ] {
        let mut terminal = Terminal::run(demo(arguments).env(name, value));
        terminal.wait_for("primary: init -> backup");
        kill(&terminal.child, "TERM");
        terminal.wait();
        assert!(
            !terminal.shown().contains('\x1b'),
            "{name}={value} {arguments:?}: {:?}",
            terminal.shown()
        );
    }
}

/// A program on a terminal of 100 columns and 30 rows.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    fn run(command: &mut Command) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let slave = File::options().read(true).write(true).open(Path::new(&name)).unwrap();
        let size = Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&slave, size).unwrap();
        let child =
            command.stdin(Stdio::null()).stdout(slave).stderr(Stdio::null()).spawn().unwrap();
        // The command keeps its end of the terminal until it gets another one.
        command.stdout(Stdio::null());
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let sink = Arc::clone(&shown);
        let reader = std::thread::spawn(move || {
            let (mut master, mut buffer) = (File::from(master), [0; 4096]);
            // An error is the end: nobody has the terminal open any more.
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                sink.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        Self { child, shown, reader: Some(reader) }
    }

    fn shown(&self) -> String {
        text(&self.shown.lock().unwrap())
    }

    fn wait_for(&self, what: &str) {
        let end = Instant::now() + PATIENCE;
        while !self.shown().contains(what) {
            assert!(Instant::now() < end, "no {what} in {:?}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the program has ended, and everybody who could still write to the terminal.
    fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }
}

fn kill(child: &Child, signal: &str) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
}

/// Processes whose environment has this mark: all that descend from the demo.
fn marked(mark: &str) -> usize {
    let has_mark = |entry: std::io::Result<std::fs::DirEntry>| {
        let environment = std::fs::read(entry.ok()?.path().join("environ")).ok()?;
        let text = String::from_utf8_lossy(&environment).into_owned();
        text.contains(mark).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(has_mark).count()
}

#[test]
fn nothing_is_left_however_the_demo_ends() {
    let _stage = stage();
    for (signal, number) in [("INT", 2), ("TERM", 15), ("KILL", 9)] {
        let mark = format!("CARP_DEMO_TEST={}-{signal}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child =
            demo(&[]).env(name, value).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let patience = Instant::now() + PATIENCE;
        // The demo itself, its inside, hosts, web servers, daemons and their runners.
        while marked(&mark) < 8 {
            assert!(Instant::now() < patience, "the demo does not start");
            assert!(child.try_wait().unwrap().is_none(), "the demo has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        kill(&child, signal);
        let status = child.wait().unwrap();
        let by_signal = status.signal() == Some(number) || status.code() == Some(128 + number);
        assert!(by_signal, "after {signal}: {status}");
        while marked(&mark) > 0 {
            assert!(Instant::now() < patience, "processes are left after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
