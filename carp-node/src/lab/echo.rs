//! The lab's echo server: a process of its own that sends every datagram back, signed.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;

use socket2::{Domain, Socket, Type};

/// The name under which the program knows that it is to be an echo server.
pub(super) const PROGRAM: &str = "carp-lab-echo";

/// What it prints when clients can ask.
pub(super) const LISTENING: &str = "listening";

/// The port of the echo protocol (RFC 862).
pub(super) const PORT: u16 = 7;

/// Longer than a question and a host's name.
pub(super) const DATAGRAM_MAX: usize = 256;

/// An echo server on `address` that signs with `name`.
pub(super) fn command(address: IpAddr, name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(PROGRAM).arg(address.to_string()).arg(name);
    command
}

/// What the process does.
pub(super) fn main(address: Option<OsString>, name: Option<OsString>) -> ! {
    let text =
        |argument: Option<OsString>| argument.unwrap_or_default().to_string_lossy().into_owned();
    let Err(error) = serve(&text(address), text(name).as_bytes());
    eprintln!("{PROGRAM}: {error}");
    std::process::exit(1)
}

fn serve(address: &str, name: &[u8]) -> io::Result<std::convert::Infallible> {
    let socket = bind(address.parse().map_err(io::Error::other)?)?;
    println!("{LISTENING}");
    io::stdout().flush()?;
    let mut datagram = [0; DATAGRAM_MAX];
    loop {
        // What does not fit is cut by the kernel, and then no longer the question that was asked.
        let room = DATAGRAM_MAX - name.len().min(DATAGRAM_MAX);
        let (length, client) = socket.recv_from(&mut datagram[..room])?;
        let end = length + name.len();
        datagram[length..end].copy_from_slice(name);
        // The address may have left this host since the question came. The client will see.
        let _ = socket.send_to(&datagram[..end], client);
    }
}

/// A socket on an address that the host may not have yet: answers come from the address that was asked.
fn bind(address: IpAddr) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, PORT);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv4() { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) }?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
