//! The lab's remote shell: whoever connects gets the input and the output of one command.
//!
//! It is what sshd does for a key with a forced command, without logins: inside a user namespace of one
//! user, sshd lets nobody in. What crosses it crosses the lab's switch, and ends when a machine dies.

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use socket2::{SockRef, TcpKeepalive};

use super::Lab;

/// The name under which the program knows that it is to let others in.
pub(super) const PROGRAM: &str = "carp-lab-shelld";

/// The name of the remote shell itself.
pub(super) const CLIENT: &str = "carp-lab-shell";

/// What the server prints when clients can connect.
pub(super) const LISTENING: &str = "listening";

/// The port of ssh.
const PORT: u16 = 22;

/// How long connecting may take, and after how long a peer that says nothing is asked whether it lives: as
/// the daemon has ssh do it.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
const KEEPALIVE: Duration = Duration::from_secs(2);
const KEEPALIVES: u32 = 3;

/// What ssh ends with when it cannot do its work.
const FAILED: i32 = 255;

impl Lab {
    /// A program that takes the arguments of a remote shell, a host's address first, and is connected to what
    /// [`Host::serve_shell`](super::Host::serve_shell) runs there. What else it is asked to run is not looked
    /// at.
    ///
    /// # Errors
    /// What the kernel says if it cannot be put in place.
    pub fn remote_shell(&self) -> io::Result<PathBuf> {
        let shell = self.directory().join(CLIENT);
        if shell.exists() {
            return Ok(shell);
        }
        // The lab's private directory may hide the program; then it needs a copy.
        let program = fs::read_link("/proc/self/exe")?;
        if is_this_program(&program) {
            std::os::unix::fs::symlink(program, &shell)?;
        } else {
            fs::copy("/proc/self/exe", &shell)?;
        }
        Ok(shell)
    }
}

fn is_this_program(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let identity = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
    identity(path).is_some_and(|found| Some(found) == identity(Path::new("/proc/self/exe")))
}

/// A server that runs `argv` for each connection.
pub(super) fn command(argv: &[OsString]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(PROGRAM).args(argv);
    command
}

/// What the server does.
pub(super) fn serve(argv: Vec<OsString>) -> ! {
    let Err(error) = accept(argv);
    eprintln!("{PROGRAM}: {error}");
    std::process::exit(1)
}

fn accept(argv: Vec<OsString>) -> io::Result<std::convert::Infallible> {
    let mut words = argv.into_iter();
    let program = words.next().ok_or(io::ErrorKind::InvalidInput)?;
    let arguments: Vec<OsString> = words.collect();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    println!("{LISTENING}");
    loop {
        let (stream, _) = listener.accept()?;
        let mut command = Command::new(&program);
        command.args(&arguments);
        // One that fails is its client's concern, who sees the connection end.
        thread::spawn(move || run(command, stream));
    }
}

fn run(mut command: Command, stream: TcpStream) -> io::Result<()> {
    keep_alive(&stream)?;
    let input = OwnedFd::from(stream.try_clone()?);
    let mut child =
        command.stdin(input).stdout(OwnedFd::from(stream)).stderr(Stdio::null()).spawn()?;
    // The command's own ends are closed with it; this one's would keep the connection.
    drop(command);
    child.wait().map(drop)
}

fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(KEEPALIVES);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// What the remote shell does.
pub(super) fn connect(host: Option<OsString>) -> ! {
    let host = host.unwrap_or_default().to_string_lossy().into_owned();
    let code = match pass_through(&host) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("{CLIENT}: {host}: {error}");
            FAILED
        }
    };
    std::process::exit(code)
}

fn pass_through(host: &str) -> io::Result<()> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let address: SocketAddr = (host, PORT).to_socket_addrs()?.next().ok_or_else(missing)?;
    let stream = TcpStream::connect_timeout(&address, CONNECT_LIMIT)?;
    keep_alive(&stream)?;
    let (mut from, mut to) = (stream.try_clone()?, stream);
    thread::spawn(move || {
        // Whatever ends it, the other side is told that nothing more comes.
        let _ = io::copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    // Past the buffer of stdout, which would keep what is no whole line.
    let mut out = fs::File::from(io::stdout().as_fd().try_clone_to_owned()?);
    io::copy(&mut from, &mut out).map(drop)
}
