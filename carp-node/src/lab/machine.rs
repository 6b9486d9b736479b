//! A host's first process: it owns the host's PID namespace, so that its end is the end of all that
//! runs there, at once and without exception. That is how a host loses power.

use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::fd::{AsFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};
use rustix::thread::{ThreadNameSpaceType, UnshareFlags, move_into_thread_name_spaces};

use super::net::{NetNs, on_thread};
use super::sys;

/// The name under which the program knows that it is to be a host's first process.
pub(super) const PROGRAM: &str = "carp-lab-host";

/// Orders that the first process takes from its standard input.
const PAUSE: u8 = b'p';
const RESUME: u8 = b'r';

/// A machine that is switched on: a network namespace and a PID namespace.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) namespace: NetNs,
    first: Child,
    pidfd: OwnedFd,
}

impl Machine {
    /// Switches a machine on.
    pub(super) fn start() -> io::Result<Self> {
        on_thread(|| {
            sys::unshare(UnshareFlags::NEWNET | UnshareFlags::NEWPID)?;
            let first = Command::new("/proc/self/exe")
                .arg0(PROGRAM)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()?;
            let pidfd = pidfd_open(Pid::from_child(&first), PidfdFlags::empty())?;
            Ok(Self { namespace: NetNs::of_this_thread()?, first, pidfd })
        })?
    }

    /// Starts a process on it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<Child> {
        let spaces = ThreadNameSpaceType::NETWORK | ThreadNameSpaceType::PROCESS_ID;
        on_thread(|| {
            move_into_thread_name_spaces(self.pidfd.as_fd(), spaces)?;
            command.spawn()
        })?
    }

    /// Stops all processes where they stand, or lets them go on, as a hypervisor does with a machine.
    pub(super) fn set_paused(&mut self, paused: bool) -> io::Result<()> {
        let order = if paused { PAUSE } else { RESUME };
        self.first.stdin.as_mut().map_or(Ok(()), |orders| orders.write_all(&[order]))
    }

    /// Kills all processes.
    pub(super) fn kill(&self) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.pidfd, Signal::KILL)?)
    }

    /// Waits until no process is left. Those that were started by [`spawn`](Self::spawn) are children
    /// of the caller: it has to wait for them first, or this waits for ever.
    pub(super) fn bury(&mut self) -> io::Result<()> {
        self.first.wait().map(|_| ())
    }
}

/// What the first process does: it lets orphans be buried and follows orders until there are none.
pub(super) fn main() -> ! {
    let status = match follow_orders() {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{PROGRAM}: {error}");
            1
        }
    };
    std::process::exit(status)
}

fn follow_orders() -> io::Result<()> {
    sys::ignore_children()?;
    for order in io::stdin().lock().bytes() {
        match order? {
            PAUSE => signal_everybody(Signal::STOP)?,
            RESUME => signal_everybody(Signal::CONT)?,
            other => return Err(io::Error::other(format!("no such order: {other:#04x}"))),
        }
    }
    Ok(())
}

/// kill(-1): everybody in this PID namespace but its first process, which is the caller. That is
/// also what a signal to "the group 1" means to the kernel.
fn signal_everybody(signal: Signal) -> io::Result<()> {
    match kill_process_group(Pid::INIT, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()), // nobody is there
        result => Ok(result?),
    }
}
