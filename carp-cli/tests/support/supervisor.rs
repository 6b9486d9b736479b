//! What systemd does to a unit, replayed: it listens at the notify socket, stops processes in its order,
//! runs `ExecStopPost=`, and starts again.
//!
//! systemd itself cannot be process 1 of a test. The orders are those of systemd.kill(5) and
//! systemd.service(5); the "control group" is the daemon and all that descends from it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use carp_node::lab::{Host, Process, Signal, wait_until};
use libtest_mimic::Failed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use crate::support::{Daemon, LIMIT, Tested, carp, ensure, run_on, told};

/// A message to the service manager.
#[derive(Clone, Debug)]
pub(crate) struct Notice {
    pub(crate) at: Instant,
    /// The process that sent it, as the kernel says.
    pub(crate) pid: i32,
    pub(crate) text: String,
}

/// The socket of a service manager, and all that was told there.
pub(crate) struct Listener {
    path: PathBuf,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Listener {
    pub(crate) fn bind(path: PathBuf) -> Result<Self, Failed> {
        let socket = UnixDatagram::bind(&path)?;
        set_socket_passcred(&socket, true)?;
        let notices = Arc::<Mutex<Vec<Notice>>>::default();
        let sink = Arc::clone(&notices);
        // It ends with the program.
        thread::Builder::new().name("notices".into()).spawn(move || {
            while let Some(notice) = receive(&socket) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(notice);
            }
        })?;
        Ok(Self { path, notices })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was told since then.
    pub(crate) fn notices(&self, since: Instant) -> Vec<Notice> {
        let notices = self.notices.lock().unwrap_or_else(PoisonError::into_inner);
        notices.iter().filter(|notice| notice.at >= since).cloned().collect()
    }

    /// How often an assignment was told since then; `STATUS=` matches every status.
    pub(crate) fn count(&self, since: Instant, start: &str) -> usize {
        let notices = self.notices(since);
        let lines = notices.iter().flat_map(|notice| notice.text.lines());
        lines.filter(|line| line.starts_with(start)).count()
    }

    pub(crate) fn wait_for(&self, since: Instant, start: &str) -> Tested {
        let is_told = || self.count(since, start) > 0;
        wait_until(LIMIT, &format!("the manager is told {start}"), is_told)
            .map_err(|error| format!("{error}; it was told {:#?}", self.notices(since)).into())
    }
}

fn receive(socket: &UnixDatagram) -> Option<Notice> {
    let (mut buffer, mut space) =
        ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))]);
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut buffer)];
    let received = recvmsg(socket, &mut slices, &mut control, RecvFlags::empty()).ok()?;
    let at = Instant::now();
    let pid = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmCredentials(sender) => Some(sender.pid.as_raw_nonzero().get()),
        _ => None,
    })?;
    let text = String::from_utf8_lossy(&buffer[..received.bytes]).into_owned();
    Some(Notice { at, pid, text })
}

/// `KillMode=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KillMode {
    /// TERM to all processes at once; what is there at the end of the time gets KILL.
    ControlGroup,
    /// TERM to the main process; when that has ended, KILL to the others, at once.
    Mixed,
}

/// A unit of `carp run`.
pub(crate) struct Unit<'a> {
    host: &'a Host,
    config: PathBuf,
    kill_mode: KillMode,
    pub(crate) listener: Listener,
    running: Option<Running>,
}

struct Running {
    daemon: Daemon,
    group: Group,
}

impl<'a> Unit<'a> {
    pub(crate) fn new(
        host: &'a Host,
        config: PathBuf,
        kill_mode: KillMode,
    ) -> Result<Self, Failed> {
        let listener = Listener::bind(config.with_extension("notify"))?;
        Ok(Self { host, config, kill_mode, listener, running: None })
    }

    /// The main process.
    pub(crate) fn daemon(&self) -> Result<&Daemon, Failed> {
        Ok(&self.running.as_ref().ok_or("the unit is not running")?.daemon)
    }

    /// `systemctl start`: returns when the unit says that it is ready.
    pub(crate) fn start(&mut self) -> Tested {
        let since = Instant::now();
        let socket = self.config.with_extension("sock");
        let mut command = carp();
        command.arg("run").arg("-c").arg(&self.config).arg("--socket").arg(&socket);
        command.env("NOTIFY_SOCKET", self.listener.path());
        let daemon = Daemon { process: self.host.spawn(command)?, socket };
        let told = self.listener.wait_for(since, "READY=1");
        daemon.process.expect_running("it was ready")?;
        told?;
        let group = Group::new(daemon.process.id());
        self.running = Some(Running { daemon, group });
        Ok(())
    }

    /// `systemctl stop`.
    pub(crate) fn stop(&mut self) -> Tested {
        let Running { daemon, mut group } = self.running.take().ok_or("the unit is not running")?;
        group.look()?;
        match self.kill_mode {
            KillMode::ControlGroup => group.signal(Signal::TERM)?,
            KillMode::Mixed => daemon.process.signal(Signal::TERM)?,
        }
        let status = group.wait_for_main(&daemon.process)?;
        ensure(status.success(), format!("it ended with {status}: {}", daemon.process.said()))?;
        self.end(&group)
    }

    /// `systemctl restart`.
    pub(crate) fn restart(&mut self) -> Tested {
        self.stop()?;
        self.start()
    }

    /// The main process dies by itself, and systemd does what it does then. It does not start again.
    pub(crate) fn crash(&mut self) -> Tested {
        let Running { daemon, mut group } = self.running.take().ok_or("the unit is not running")?;
        group.look()?;
        daemon.process.signal(Signal::KILL)?;
        daemon.process.wait(LIMIT)?;
        self.end(&group)
    }

    /// What follows on the end of the main process.
    fn end(&self, group: &Group) -> Tested {
        match self.kill_mode {
            // Those that have had their TERM, or get it now, have `TimeoutStopSec=`.
            KillMode::ControlGroup => group.signal(Signal::TERM)?,
            KillMode::Mixed => group.signal(Signal::KILL)?,
        }
        ensure(group.is_empty_within(STOP_LIMIT)?, "processes were left, and would be killed")?;
        let mut cleanup = carp();
        cleanup.arg("cleanup").arg("-c").arg(&self.config);
        let (code, text) = told(&run_on(self.host, cleanup)?);
        ensure(code == Some(0), format!("ExecStopPost= ended with {code:?}: {text}"))
    }
}

/// `TimeoutStopSec=` of the unit.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A process and all that descends from it, as far as it was seen.
struct Group {
    main: u32,
    members: BTreeMap<u32, OwnedFd>,
}

impl Group {
    fn new(main: u32) -> Self {
        Self { main, members: BTreeMap::new() }
    }

    /// Looks for new members.
    fn look(&mut self) -> Tested {
        let mut children = BTreeMap::<u32, Vec<u32>>::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(parent) = parent(&entry.path()) {
                children.entry(parent).or_default().push(pid);
            }
        }
        let mut unseen = vec![self.main];
        unseen.extend(self.members.keys());
        while let Some(pid) = unseen.pop() {
            unseen.extend(children.remove(&pid).into_iter().flatten());
            let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
            // One that has ended meanwhile is no member.
            if let Some(Ok(pidfd)) = raw.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
                self.members.entry(pid).or_insert(pidfd);
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Tested {
        for pidfd in self.members.values() {
            match pidfd_send_signal(pidfd, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits for the end of the main process, and sees meanwhile what it starts.
    fn wait_for_main(&mut self, main: &Process) -> Result<std::process::ExitStatus, Failed> {
        let end = Instant::now() + LIMIT;
        while main.exit_status()?.is_none() && Instant::now() < end {
            self.look()?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(main.wait(Duration::ZERO)?)
    }

    /// Whether all have ended within a time.
    fn is_empty_within(&self, limit: Duration) -> Result<bool, Failed> {
        let end = Instant::now() + limit;
        for pidfd in self.members.values() {
            let rest = Timespec::try_from(end.saturating_duration_since(Instant::now()))?;
            if poll(&mut [PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN)], Some(&rest))?
                == 0
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The parent of a process.
fn parent(proc: &Path) -> Option<u32> {
    let mut text = String::new();
    fs::File::open(proc.join("status")).ok()?.read_to_string(&mut text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}
