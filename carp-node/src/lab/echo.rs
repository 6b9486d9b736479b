//! The lab's echo server: a process of its own that sends every datagram back, signed.

use std::ffi::OsString;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

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

/// Asks an echo server: the name with which it signed, unless none answered in time.
pub(super) fn ask(address: IpAddr, patience: Duration) -> io::Result<Option<String>> {
    const QUESTION: &[u8] = b"who has it?";
    let anywhere: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((anywhere, 0))?;
    socket.set_read_timeout(Some(patience))?;
    // Connected, it hears nobody but the address.
    socket.connect((address, PORT))?;
    socket.send(QUESTION)?;
    let mut answer = [0; DATAGRAM_MAX];
    match socket.recv(&mut answer) {
        Ok(length) => Ok(answer[..length]
            .strip_prefix(QUESTION)
            .map(|name| String::from_utf8_lossy(name).into_owned())),
        Err(error) if is_silence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether nobody answered, or nobody was there who could.
fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | HostUnreachable | ConnectionRefused)
}

/// A socket on an address that the host may not have yet: answers come from the address that was asked.
fn bind(address: IpAddr) -> io::Result<UdpSocket> {
    let address = SocketAddr::new(address, PORT);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv4() { socket.set_freebind_v4(true) } else { socket.set_freebind_v6(true) }?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}
