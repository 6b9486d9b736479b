//! The prober: it asks far more often than a client, and trusts only the kernel's time stamps.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::thread::{ClockId, clock_nanosleep_absolute};
use rustix::time::{Timespec, clock_gettime};
use socket2::{Domain, SockAddr, Socket, Type};

use super::clock::instant;
use super::error::Doing;
use super::process::lock;
use super::{Host, LabError, echo, sys};

/// Nothing more often than this can be sent.
const SHORTEST: Duration = Duration::from_micros(10);

/// How long the last questions may still be answered after the end.
const LAST_ANSWERS: Duration = Duration::from_millis(50);

/// Asks an [echo server](Host::serve_echo) all the time, by one datagram a tick, and never repeats one.
///
/// Ticks are absolute points in time, at real-time priority where the kernel allows that; a tick that
/// was missed is left out. When an answer came is what the kernel's time stamp says.
#[derive(Debug)]
pub struct Prober {
    probes: Arc<Mutex<Vec<Probe>>>,
    end: Arc<AtomicBool>,
    asker: Option<JoinHandle<()>>,
    realtime: bool,
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// When it was sent.
    pub sent: Instant,
    /// The answer, if one came.
    pub answer: Option<Answer>,
}

/// The answer to a [`Probe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the kernel received it.
    pub at: Instant,
    /// The host that gave it.
    pub by: Arc<str>,
}

impl Prober {
    /// Starts asking `address` from `host`, every `interval` of at least 10 µs.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn start(host: &Host, address: IpAddr, interval: Duration) -> Result<Self, LabError> {
        let interval = interval.max(SHORTEST);
        let open = || open(address);
        let socket = host.run_inside(open)?.doing(|| "open the prober's socket".into())?;
        let probes = Arc::<Mutex<Vec<Probe>>>::default();
        let end = Arc::<AtomicBool>::default();
        let (ready, realtime) = std::sync::mpsc::sync_channel(1);
        let mut asker = Asker {
            socket,
            server: SocketAddr::new(address, echo::PORT).into(),
            probes: Arc::clone(&probes),
            hosts: HashMap::new(),
        };
        let ending = Arc::clone(&end);
        let ask = move || {
            // Whoever asked waits for this.
            let _ = ready.send(sys::be_realtime().is_ok());
            asker.run(interval, &ending);
        };
        let thread = thread::Builder::new().name("lab-prober".into()).spawn(ask);
        let asker = Some(thread.doing(|| "start the prober".into())?);
        Ok(Self { probes, end, asker, realtime: realtime.recv().unwrap_or(false) })
    }

    /// Whether it runs at real-time priority. Unprivileged, it does not, and ticks may be late.
    #[must_use]
    pub const fn is_realtime(&self) -> bool {
        self.realtime
    }

    /// All questions so far that were sent at `since` or later, in order.
    #[must_use]
    pub fn probes(&self, since: Instant) -> Vec<Probe> {
        let probes = lock(&self.probes);
        let first = probes.partition_point(|probe| probe.sent < since);
        probes[first..].to_vec()
    }

    /// The first answer by `host` that came after `since`: when.
    #[must_use]
    pub fn first_answer(&self, since: Instant, host: &str) -> Option<Instant> {
        let probes = lock(&self.probes);
        // Newest first: a question that was sent long before `since` has no answer after it.
        let recent = probes.iter().rev().take_while(|probe| probe.sent + LAST_ANSWERS >= since);
        let answers = recent.filter_map(|probe| probe.answer.as_ref());
        answers.filter(|answer| answer.at >= since && &*answer.by == host).map(|a| a.at).min()
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(asker) = self.asker.take() {
            // A panic of the thread has been printed.
            let _ = asker.join();
        }
    }
}

/// What the prober's thread works with.
struct Asker {
    socket: Socket,
    server: SockAddr,
    probes: Arc<Mutex<Vec<Probe>>>,
    hosts: HashMap<Vec<u8>, Arc<str>>,
}

impl Asker {
    fn run(&mut self, interval: Duration, end: &AtomicBool) {
        let mut tick = monotonic();
        while !end.load(Ordering::Relaxed) {
            self.listen();
            self.ask();
            let now = monotonic();
            while tick <= now {
                tick += interval;
            }
            if sleep_until(tick).is_err() {
                return;
            }
        }
        thread::sleep(LAST_ANSWERS);
        self.listen();
    }

    fn ask(&mut self) {
        let number = {
            let mut probes = lock(&self.probes);
            probes.push(Probe { sent: Instant::now(), answer: None });
            probes.len() - 1
        };
        // One that cannot be sent is one that is not answered.
        let _ = self.socket.send_to(&number.to_be_bytes(), &self.server);
    }

    /// Takes all answers that have come.
    fn listen(&mut self) {
        let mut datagram = [0; echo::DATAGRAM_MAX];
        while let Ok((length, stamp)) = sys::receive_stamped(self.socket.as_fd(), &mut datagram) {
            let Some((number, name)) = datagram[..length].split_first_chunk() else { continue };
            let by = match self.hosts.get(name) {
                Some(host) => Arc::clone(host),
                None => {
                    let host: Arc<str> = String::from_utf8_lossy(name).into();
                    self.hosts.insert(name.to_vec(), Arc::clone(&host));
                    host
                }
            };
            let answer = Answer { at: instant(stamp), by };
            if let Some(probe) = lock(&self.probes).get_mut(usize::from_be_bytes(*number)) {
                // Two hosts may answer; the first is the one that the client would have taken.
                probe.answer.get_or_insert(answer);
            }
        }
    }
}

fn open(address: IpAddr) -> io::Result<Socket> {
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    socket.set_nonblocking(true)?;
    sys::enable_timestamps(&socket)?;
    Ok(socket)
}

fn monotonic() -> Duration {
    let time = clock_gettime(ClockId::Monotonic);
    Duration::try_from(time).unwrap_or_default()
}

fn sleep_until(tick: Duration) -> io::Result<()> {
    let tick = Timespec::try_from(tick).map_err(io::Error::other)?;
    Ok(clock_nanosleep_absolute(ClockId::Monotonic, &tick)?)
}
