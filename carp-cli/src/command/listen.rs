//! Listening on an interface: what `carp sniff` and `carp scan` have in common.

use std::future;
use std::io;
use std::ops::ControlFlow;
use std::time::Duration;

use carp_node::sniff::{LiveFrame, Seen, SniffError, Sniffer};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use super::packet::Stop;
use crate::exit::Failure;
use crate::privilege;

/// An interface that is listened to.
pub(super) struct Listener {
    runtime: Runtime,
    sniffer: Sniffer,
    interface: String,
}

impl Listener {
    /// Begins to listen.
    pub(super) fn open(interface: &str) -> Result<Self, Failure> {
        privilege::check_listening()?;
        let failed = |error: io::Error| Failure::failed(format!("cannot listen: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(failed)?;
        let sniffer = {
            let _context = runtime.enter();
            Sniffer::open(interface).map_err(failure)?
        };
        Ok(Self { runtime, sniffer, interface: interface.to_owned() })
    }

    /// Shows `each` frame to a function until that breaks off, the time is over, or INT or TERM comes.
    /// Returns how long that was.
    pub(super) fn listen(
        &mut self,
        time: Option<Duration>,
        mut each: impl FnMut(LiveFrame<'_>) -> Result<ControlFlow<()>, Stop>,
    ) -> Result<Duration, Stop> {
        let Self { runtime, sniffer, interface } = self;
        runtime.block_on(async {
            let no_signals =
                |error| Stop::Failed(Failure::failed(format!("cannot wait for signals: {error}")));
            let mut term = signal(SignalKind::terminate()).map_err(no_signals)?;
            let mut int = signal(SignalKind::interrupt()).map_err(no_signals)?;
            let start = Instant::now();
            let over = async {
                match time {
                    Some(time) => tokio::time::sleep(time).await,
                    None => future::pending().await,
                }
            };
            tokio::pin!(over);
            eprintln!("carp: listening on {interface}");
            loop {
                let seen = tokio::select! {
                    biased;
                    _ = term.recv() => break,
                    _ = int.recv() => break,
                    () = &mut over => break,
                    seen = sniffer.next() => seen.map_err(|error| Stop::Failed(failure(error)))?,
                };
                match seen {
                    Seen::Frame(frame) if each(frame)?.is_break() => break,
                    Seen::Down => {
                        eprintln!("carp: {interface} is down: listening on until it is up again");
                    }
                    _ => {}
                }
            }
            Ok(start.elapsed())
        })
    }

    /// How many packets the kernel dropped because they were not taken fast enough.
    pub(super) fn dropped(&self) -> u64 {
        self.sniffer.dropped()
    }
}

fn failure(error: SniffError) -> Failure {
    let message = error.to_string();
    match error {
        SniffError::NoInterface { present, .. } => {
            Failure::failed(message).with_help(format!("this host has {}", present.join(", ")))
        }
        SniffError::NotEthernet { .. } => Failure::failed(message).with_help(
            "CARP and VRRP are spoken on Ethernet: choose the interface that carries it",
        ),
        SniffError::Denied(_) => Failure::missing(message)
            .with_help("something beside CAP_NET_RAW forbids it, such as a container's policy"),
        _ => Failure::failed(message),
    }
}
