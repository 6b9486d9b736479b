//! Telling the service manager how the daemon is: systemd's notify protocol (`sd_notify(3)`).
//!
//! A manager that wants to be told gives the daemon the name of a socket, `NOTIFY_SOCKET`, and how long it
//! may be silent, `WATCHDOG_USEC`. A [`Reporter`] sends there:
//!
//! | what | when |
//! |---|---|
//! | `READY=1` | once the routers run; the control socket listens before that |
//! | `STATUS=` | one line, when it changes, at most once a second |
//! | `WATCHDOG=1` | every half of the time, but only when the protocol task has just answered |
//! | `STOPPING=1` | when a handover begins |
//! | `EXTEND_TIMEOUT_USEC=` | with that, and every 10 s from then on: handovers and hooks may take longer than the manager would wait. Not while the protocol task hangs |
//!
//! The guard and the runner tell nothing: the manager hears of one process, the one that it has started.
//! Without a manager nothing is sent and nothing runs.

mod line;
mod report;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use thiserror::Error;

pub use self::report::Reporter;

/// A service manager that wants to be told.
#[derive(Debug)]
pub struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The manager that the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`), if any.
    ///
    /// # Errors
    /// [`ManagerError`] if it names one that cannot be told.
    pub fn from_env() -> Result<Option<Self>, ManagerError> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(None);
        };
        let variable = |name| env::var_os(name);
        let watchdog = watchdog(variable("WATCHDOG_USEC"), variable("WATCHDOG_PID"))?;
        Self::new(&name, watchdog).map(Some)
    }

    /// A manager at a socket: a path, or an abstract name that begins with `@`. It may be told nothing for
    /// the time of `watchdog`.
    ///
    /// # Errors
    /// [`ManagerError::Socket`], [`ManagerError::System`].
    pub fn new(name: &OsStr, watchdog: Option<Duration>) -> Result<Self, ManagerError> {
        let wrong = || ManagerError::Socket { name: name.to_owned() };
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
            [b'/', ..] => SocketAddr::from_pathname(name),
            _ => return Err(wrong()),
        };
        let address = address.map_err(|_| wrong())?;
        let socket = UnixDatagram::unbound()?;
        // A manager that is busy must not stop what else runs on this thread.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address, watchdog })
    }

    /// Sends assignments, one a line. Never blocks.
    ///
    /// # Errors
    /// What the system says; [`io::ErrorKind::WouldBlock`] if the manager reads too slowly.
    pub fn tell(&self, lines: &str) -> io::Result<()> {
        self.socket.send_to_addr(lines.as_bytes(), &self.address).map(drop)
    }
}

/// How long the manager lets this process be silent, if it minds.
fn watchdog(
    usec: Option<OsString>,
    pid: Option<OsString>,
) -> Result<Option<Duration>, ManagerError> {
    let number = |variable, value: OsString| {
        let number = value.to_str().and_then(|text| text.parse::<u64>().ok());
        number.ok_or(ManagerError::Number { variable, value })
    };
    let Some(usec) = usec else { return Ok(None) };
    let usec = number("WATCHDOG_USEC", usec)?;
    let pid = pid.map(|pid| number("WATCHDOG_PID", pid)).transpose()?;
    let means_us = pid.is_none_or(|pid| pid == u64::from(std::process::id()));
    Ok(Some(Duration::from_micros(usec)).filter(|time| means_us && !time.is_zero()))
}

/// Why a service manager cannot be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// The socket's name is of a kind that this program cannot send to.
    #[error(
        "NOTIFY_SOCKET={}: neither the path of a socket nor an abstract name (@…)",
        .name.display()
    )]
    Socket {
        /// The name.
        name: OsString,
    },
    /// A number is none.
    #[error("{variable}={}: not a number", .value.display())]
    Number {
        /// The name of the variable.
        variable: &'static str,
        /// What it says.
        value: OsString,
    },
    /// The operating system refused.
    #[error("cannot open a socket to the service manager: {0}")]
    System(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(usec: &str, pid: Option<u32>) -> Option<Duration> {
        watchdog(Some(usec.into()), pid.map(|pid| pid.to_string().into())).unwrap()
    }

    #[test]
    fn the_watchdog_of_another_process_is_none_of_ours() {
        let (us, half_a_second) = (std::process::id(), Some(Duration::from_millis(500)));
        assert_eq!(told("500000", Some(us)), half_a_second);
        assert_eq!(told("500000", None), half_a_second);
        assert_eq!(told("500000", Some(us + 1)), None);
        assert_eq!(told("0", Some(us)), None, "0 switches it off");
        assert_eq!(watchdog(None, None).unwrap(), None);
    }

    #[test]
    fn what_is_no_number_is_named() {
        let error = watchdog(Some("5s".into()), None).unwrap_err();
        assert_eq!(error.to_string(), "WATCHDOG_USEC=5s: not a number");
        let error = watchdog(Some("5".into()), Some("me".into())).unwrap_err();
        assert_eq!(error.to_string(), "WATCHDOG_PID=me: not a number");
    }

    #[test]
    fn a_socket_that_cannot_be_sent_to_is_named() {
        let long = format!("/{}", "a".repeat(200));
        for name in ["vsock:2:1234", "run/notify", &long] {
            let error = Manager::new(name.as_ref(), None).unwrap_err().to_string();
            assert!(error.starts_with(&format!("NOTIFY_SOCKET={name}: neither")), "{error}");
        }
    }

    #[test]
    fn a_path_and_an_abstract_name_are_both_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let name = format!("carp-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        let (by_path, by_name) =
            (UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&abstract_name).unwrap());
        for (name, socket) in [(path.as_os_str(), by_path), (format!("@{name}").as_ref(), by_name)]
        {
            Manager::new(name, None).unwrap().tell("READY=1").unwrap();
            let mut buffer = [0; 64];
            let len = socket.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..len], b"READY=1");
        }
    }

    #[test]
    fn a_manager_that_is_gone_or_busy_holds_nobody_up() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let manager = Manager::new(path.as_os_str(), None).unwrap();
        assert_eq!(manager.tell("READY=1").unwrap_err().kind(), io::ErrorKind::NotFound);
        let _busy = UnixDatagram::bind(&path).unwrap();
        let error = (0..100_000).find_map(|_| manager.tell("WATCHDOG=1").err()).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
