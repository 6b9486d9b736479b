//! A link with two servers and a client, the real daemon, and real ucarp.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::Duration;

use carp_node::lab::{self, Entered, Frame, Host, Lab, Process, Signal, Switch, wait_until};
use carp_proto::CarpInterval;
use carp_proto::wire::{self, Kind as Message, classify};
use libtest_mimic::{Arguments, Failed, Trial};

/// The virtual address, as in the paper.
pub(crate) const VIP: &str = "192.168.130.100";
/// The first server.
pub(crate) const PRIMARY: &str = "192.168.130.50";
/// The second server.
pub(crate) const SECONDARY: &str = "192.168.130.10";

/// No condition takes this long, not even for ucarp, which looks at its timer once an interval and
/// receives up to a second late.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// What a test returns.
pub(crate) type Tested = Result<(), Failed>;

/// A test: its name, which is a sentence, and what it does.
pub(crate) type Test = (&'static str, fn(&Rack) -> Tested);

/// How many tests run side by side, unless the command line says it. They wait most of the time.
const SIDE_BY_SIDE: usize = 4;

/// Runs tests in private namespaces.
pub(crate) fn main(chapters: &[&'static [Test]]) -> ExitCode {
    lab::init();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let lab = match lab::enter() {
        Ok(Entered::Inside(lab)) => lab,
        Ok(Entered::Ended(status)) => return status,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(7);
        }
    };
    let lab: &'static Lab = Box::leak(Box::new(lab));
    let trial = |&(name, test): &Test| Trial::test(name, move || test(&Rack::new(lab, name)?));
    let tests = chapters.iter().copied().flatten().map(trial).collect();
    libtest_mimic::run(&arguments, tests).exit_code()
}

/// The servers of one test, on a switch of their own.
pub(crate) struct Rack {
    pub(crate) primary: Host,
    pub(crate) secondary: Host,
    pub(crate) switch: Switch,
    /// Where more switches can be had.
    pub(crate) lab: &'static Lab,
    directory: PathBuf,
}

impl Rack {
    fn new(lab: &'static Lab, test: &str) -> Result<Self, Failed> {
        let switch = Switch::new(lab)?;
        let directory = lab.directory().join(test);
        fs::create_dir_all(&directory)?;
        let rack = Self {
            primary: switch.host("primary", lab::mac(0x50), &[&format!("{PRIMARY}/24")])?,
            secondary: switch.host("secondary", lab::mac(0x10), &[&format!("{SECONDARY}/24")])?,
            directory,
            lab,
            switch,
        };
        rack.write("up", "#!/bin/sh\nexec ip address add \"$2\"/32 dev \"$1\"\n", 0o755)?;
        rack.write("down", "#!/bin/sh\nexec ip address del \"$2\"/32 dev \"$1\"\n", 0o755)?;
        Ok(rack)
    }

    /// Writes a file into the test's own directory.
    pub(crate) fn write(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, Failed> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a node's configuration with the paper's parameters. `settings` are lines of the router.
    pub(crate) fn configure(&self, node: &str, settings: &str) -> Result<PathBuf, Failed> {
        self.configure_with(node, "secret", &format!("addresses = [\"{VIP}\"]\n{settings}"))
    }

    pub(crate) fn configure_with(
        &self,
        node: &str,
        key: &str,
        settings: &str,
    ) -> Result<PathBuf, Failed> {
        let key = self.write(&format!("{node}.key"), key, 0o600)?;
        let key = key.display();
        self.write_config(node, &format!("protocol = \"carp\"\nkey_file = \"{key}\"\n{settings}"))
    }

    /// Writes a node's configuration for VRRP version 3. `settings` are lines of the router.
    pub(crate) fn configure_vrrp(&self, node: &str, settings: &str) -> Result<PathBuf, Failed> {
        let addresses = format!("addresses = [\"{VIP}\"]");
        self.write_config(node, &format!("protocol = \"vrrp3\"\n{addresses}\n{settings}"))
    }

    /// The same with other addresses than the usual one.
    pub(crate) fn configure_vrrp_for(
        &self,
        node: &str,
        addresses: &[String],
        settings: &str,
    ) -> Result<PathBuf, Failed> {
        self.write_config(
            node,
            &format!("protocol = \"vrrp3\"\naddresses = {addresses:?}\n{settings}"),
        )
    }

    /// Writes a node's configuration. `router` are lines of the router beside its interface and id.
    pub(crate) fn write_config(&self, node: &str, router: &str) -> Result<PathBuf, Failed> {
        let state = self.directory.join(format!("{node}.state"));
        let state = state.display();
        let text = format!(
            "[node]\nname = \"{node}\"\nstate_dir = \"{state}\"\n\n[router.web]\n\
             interface = \"eth0\"\nid = 1\n{router}\n"
        );
        self.write(&format!("{node}.toml"), &text, 0o644)
    }

    /// Starts `carp run`, and waits until its control socket answers.
    pub(crate) fn daemon(&self, host: &Host, config: &Path) -> Result<Daemon, Failed> {
        self.daemon_by(host, config, carp())
    }

    /// The same with other programs in `/usr/local/bin`, where its own programs are looked for first.
    pub(crate) fn daemon_among(
        &self,
        host: &Host,
        config: &Path,
        programs: &Path,
    ) -> Result<Daemon, Failed> {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command.arg("mount --bind \"$0\" /usr/local/bin && exec \"$@\"").arg(programs);
        command.arg(carp().get_program());
        self.daemon_by(host, config, command)
    }

    /// The same by another command line, which begins so.
    pub(crate) fn daemon_by(
        &self,
        host: &Host,
        config: &Path,
        mut command: Command,
    ) -> Result<Daemon, Failed> {
        let socket = config.with_extension("sock");
        command.arg("run").arg("-c").arg(config).arg("--socket").arg(&socket);
        let daemon = Daemon { process: host.spawn(command)?, socket };
        wait_until(LIMIT, "the daemon answers", || {
            daemon.process.exit_status().is_ok_and(|status| status.is_some())
                || daemon.status().is_some()
        })?;
        daemon.process.expect_running("its control socket answers")?;
        Ok(daemon)
    }

    /// Starts ucarp with the paper's parameters.
    pub(crate) fn ucarp(
        &self,
        host: &Host,
        address: &str,
        more: &[&str],
    ) -> Result<Process, Failed> {
        let mut command = Command::new("/usr/sbin/ucarp");
        command.args(["-i", "eth0", "-s", address, "-v", "1", "-a", VIP, "-z", "-n"]);
        command.arg("-u").arg(self.path("up")).arg("-d").arg(self.path("down"));
        if !more.contains(&"-p") {
            command.args(["-p", "secret"]);
        }
        command.args(more);
        Ok(host.spawn(command)?)
    }
}

/// A command line of the binary under test.
pub(crate) fn carp() -> Command {
    Command::new(env!("CARGO_BIN_EXE_carp"))
}

/// Runs a command to its end on a host.
pub(crate) fn run_on(host: &Host, mut command: Command) -> Result<Output, Failed> {
    Ok(host.run_inside(move || command.output())??)
}

/// Runs a script to its end on a host, among the host's processes.
pub(crate) fn run_on_machine(host: &Host, script: &str) -> Tested {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(script);
    let shell = host.spawn(shell)?;
    let status = shell.wait(LIMIT)?;
    ensure(status.success(), format!("{script}: {status}: {}", shell.said()))
}

/// What a host's own firewall does to its adverts.
pub(crate) fn forbid_sending(host: &Host) -> Tested {
    run_on_machine(
        host,
        "nft 'add table ip lab; add chain ip lab out { type filter hook output priority 0; }; \
         add rule ip lab out ip protocol 112 drop'",
    )
}

/// Starts a daemon on the primary, one of whose addresses becomes the primary one of its subnet, on which
/// another address hangs: 10.7.0.1 and 10.7.0.9.
pub(crate) fn with_dependent(rack: &Rack, settings: &str) -> Result<Daemon, Failed> {
    let settings = format!("addresses = [\"10.7.0.1/24\", \"{VIP}\"]\n{settings}");
    let config = rack.configure_with("primary", "secret", &settings)?;
    rack.primary.add_address("10.7.0.9".parse()?, 24)?;
    let only = rack.daemon(&rack.primary, &config)?;
    only.wait_for_state("active")?;
    let mut promote = Command::new("sh");
    promote.arg("-c").arg(
        "echo 1 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries; ip address del 10.7.0.9/24 dev eth0; \
         echo 0 > /proc/sys/net/ipv4/conf/eth0/promote_secondaries; ip address add 10.7.0.9/24 dev eth0",
    );
    let (code, text) = told(&run_on(&rack.primary, promote)?);
    ensure(code == Some(0), text)?;
    Ok(only)
}

/// The exit code and all that was printed.
pub(crate) fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Fails with a reason unless it holds.
pub(crate) fn ensure(holds: bool, reason: impl Into<String>) -> Tested {
    if holds { Ok(()) } else { Err(Failed::from(reason.into())) }
}

/// Whether a host has the virtual address.
pub(crate) fn serves(host: &Host) -> bool {
    has(host, VIP)
}

/// Whether a host has an address.
pub(crate) fn has(host: &Host, ip: &str) -> bool {
    ip.parse::<IpAddr>().is_ok_and(|ip| host.has_address(ip).unwrap_or(false))
}

/// Waits until one host has the virtual address and the other has not.
pub(crate) fn wait_for_owner(what: &str, owner: &Host, other: &Host) -> Tested {
    Ok(wait_until(LIMIT, what, || serves(owner) && !serves(other))?)
}

/// A running `carp run`.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) socket: PathBuf,
}

impl Daemon {
    /// One verb with `--socket`.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<Output, Failed> {
        Ok(carp().args(arguments).arg("--socket").arg(&self.socket).output()?)
    }

    /// What a daemon and its guard leave when both are killed at once: everything. Neither sees the other
    /// die.
    pub(crate) fn kill_with_guard(&self, host: &Host) -> Tested {
        let (daemon, guard) = self.pids()?;
        let script = format!("kill -STOP {daemon} {guard}; kill -KILL {daemon} {guard}");
        run_on_machine(host, &script)?;
        self.process.wait(LIMIT)?;
        Ok(())
    }

    /// The process ids of the daemon and of its guard, as their machine sees them.
    pub(crate) fn pids(&self) -> Result<(u64, u64), Failed> {
        let report = self.report().ok_or("no status")?;
        let pids = (report["pid"].as_u64(), report["guard"]["pid"].as_u64());
        let (Some(daemon), Some(guard)) = pids else { return Err(report.to_string().into()) };
        Ok((daemon, guard))
    }

    /// `carp status --json`, if the daemon answers.
    pub(crate) fn report(&self) -> Option<serde_json::Value> {
        let output = self.ask(&["status", "--json"]).ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The first router of `carp status --json`, if the daemon answers.
    pub(crate) fn status(&self) -> Option<serde_json::Value> {
        Some(self.report()?["routers"][0].clone())
    }

    pub(crate) fn state(&self) -> String {
        self.status()
            .map(|router| router["state"].as_str().unwrap_or("").to_owned())
            .unwrap_or_default()
    }

    pub(crate) fn wait_for_state(&self, state: &str) -> Tested {
        Ok(wait_until(LIMIT, &format!("state {state}"), || self.state() == state)?)
    }

    pub(crate) fn rejected(&self, label: &str) -> u64 {
        let status = self.status().unwrap_or_default();
        status["counters"]["rejected"][label].as_u64().unwrap_or(0)
    }

    /// Stops it as planned, and waits for its end.
    pub(crate) fn stop(&self) -> Tested {
        self.process.signal(Signal::TERM)?;
        let status = self.process.wait(LIMIT)?;
        ensure(status.success(), format!("the daemon ended with {status}: {}", self.process.said()))
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&self) -> Tested {
        self.process.signal(Signal::KILL)?;
        self.process.wait(LIMIT)?;
        Ok(())
    }
}

/// Whether a frame is an advert that claims the address.
pub(crate) fn claims(frame: &Frame) -> bool {
    resigns(frame) == Some(false)
}

/// Whether a frame is a goodbye: `None` if it is no advert.
pub(crate) fn resigns(frame: &Frame) -> Option<bool> {
    const PRIORITY: usize = 2;
    let (_, message) = frame.advert()?;
    match classify(message) {
        Message::Carp => {
            Some(wire::carp::parse(message).ok()?.advert.interval == CarpInterval::RESIGN)
        }
        Message::Vrrp2 | Message::Vrrp3 => Some(*message.get(PRIORITY)? == 0),
        Message::Unknown => None,
    }
}
