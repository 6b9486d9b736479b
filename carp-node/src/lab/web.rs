//! The lab's web server: a process of its own that says on which host it runs.

use std::ffi::OsString;
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// The name under which the program knows that it is to be a web server.
pub(super) const PROGRAM: &str = "carp-lab-web";

/// What it prints when clients can connect.
pub(super) const LISTENING: &str = "listening";

/// The port of HTTP.
pub(super) const PORT: u16 = 80;

/// How long a client may take to ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// A web server that answers with `name`.
pub(super) fn command(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(PROGRAM).arg(name);
    command
}

/// What the process does.
pub(super) fn main(name: Option<OsString>) -> ! {
    let name = name.unwrap_or_default().to_string_lossy().into_owned();
    let Err(error) = Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(serve(&name)));
    eprintln!("{PROGRAM}: {error}");
    std::process::exit(1)
}

async fn serve(name: &str) -> io::Result<std::convert::Infallible> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    println!("{LISTENING}");
    loop {
        // A connection that fails is its client's concern.
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(tokio::time::timeout(PATIENCE, answer(stream, response(name))));
        }
    }
}

fn response(name: &str) -> String {
    let length = name.len() + 1;
    format!(
        "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{name}\n"
    )
}

async fn answer(mut stream: TcpStream, response: String) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await? > 0 {}
    stream.write_all(response.as_bytes()).await?;
    stream.shutdown().await
}
