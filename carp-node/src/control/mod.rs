//! The control socket: what the command line and other programs ask a running daemon.
//!
//! A client connects, sends one [`Request`] as a line of JSON, and reads [`Response`]s, one a line,
//! until the daemon closes the connection. Every line carries [`VERSION`]:
//!
//! ```text
//! {"version":1,"verb":"status","router":"web"}
//! {"version":1,"status":{"schema":"carp.status/1",…}}
//!
//! {"version":1,"verb":"yield","router":"nosuch"}
//! {"version":1,"error":{"code":"unknown-router","message":"…"}}
//! ```
//!
//! [`server`] is the daemon's side, [`client`] everybody else's. Reading is for whoever may open the
//! socket (mode 0660); a verb that changes something is only for root and for the daemon's own user.

pub mod client;
pub mod proto;
mod request;
pub mod server;
mod socket;
pub mod units;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

pub use client::{Client, ClientError};
pub use proto::{ControlError, ErrorCode, Request, Response, StatusReport, VERSION, Verb};
pub use server::{Handler, Limits, serve};
pub use socket::{BindError, ControlSocket};
pub use units::Millis;

/// Where the daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/carp/control.sock";

/// Connects without waiting: a daemon that does not accept, with a full backlog, is
/// [`io::ErrorKind::WouldBlock`] instead of a hang.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = SocketAddrUnix::new(path)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &address)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}
