//! Floods: frames that somebody sends at a rate, for a while.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use super::error::Doing;
use super::{LabError, sys};
use crate::backend::linux::{link_address, set_option};

/// At most this many frames in one system call.
const BATCH: usize = 64;

/// The longest sleep: who waits for the end does not wait for much longer than that.
const NAP: Duration = Duration::from_millis(20);

/// The shortest: frames that are due within it leave together.
const TICK: Duration = Duration::from_millis(1);

/// What was not sent in time is not sent at all: a burst of what a second should have had is another
/// rate.
const BACKLOG: Duration = Duration::from_millis(20);

/// Somebody who sends frames, one after the other and again from the first, at a steady rate.
///
/// It ends by itself after its time. A rate that the machine cannot reach is not reached: what was really
/// sent is told by [`Flood::wait`] and [`Flood::stop`].
#[derive(Debug)]
pub struct Flood {
    host: String,
    end: Arc<AtomicBool>,
    sender: Option<JoinHandle<io::Result<Flooded>>>,
}

/// What a [`Flood`] has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flooded {
    /// Frames that the kernel took.
    pub sent: u64,
    /// From the first frame to the end.
    pub time: Duration,
}

impl Flooded {
    /// Frames a second.
    #[must_use]
    pub fn rate(self) -> f64 {
        self.sent as f64 / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

impl Flood {
    /// Starts to send `rate` of these frames a second from an interface, for `time`. To be called in the
    /// namespace of the interface.
    pub(super) fn start(
        host: &str,
        interface: u32,
        frames: Vec<Vec<u8>>,
        rate: u32,
        time: Duration,
    ) -> Result<Self, LabError> {
        let begin = || -> io::Result<Self> {
            let socket = socket(interface)?;
            let end = Arc::<AtomicBool>::default();
            let ending = Arc::clone(&end);
            let run = move || send_all(&socket, &frames, rate, time, &ending);
            let sender = thread::Builder::new().name("lab-flood".into()).spawn(run)?;
            Ok(Self { host: host.to_owned(), end, sender: Some(sender) })
        };
        begin().doing(|| format!("flood from {host}"))
    }

    /// Waits until its time is over: what it has sent.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refused to send.
    pub fn wait(mut self) -> Result<Flooded, LabError> {
        self.join()
    }

    /// Ends it now: what it has sent.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn stop(mut self) -> Result<Flooded, LabError> {
        self.end.store(true, Ordering::Relaxed);
        self.join()
    }

    fn join(&mut self) -> Result<Flooded, LabError> {
        let ended = self.sender.take().map_or_else(
            || Err(io::ErrorKind::NotFound.into()),
            |sender| sender.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        );
        ended.doing(|| format!("flood from {}", self.host))
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(sender) = self.sender.take() {
            // Nobody asks any more what became of it.
            let _ = sender.join();
        }
    }
}

/// A packet socket that sends past the queues of its interface and receives nothing.
fn socket(interface: u32) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::PACKET, Type::RAW, None)?;
    set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)?;
    socket.bind(&link_address(interface, 0)?)?;
    Ok(socket)
}

fn send_all(
    socket: &Socket,
    frames: &[Vec<u8>],
    rate: u32,
    time: Duration,
    end: &AtomicBool,
) -> io::Result<Flooded> {
    let begin = Instant::now();
    let (mut sent, mut left_out) = (0, 0);
    loop {
        let elapsed = begin.elapsed();
        if elapsed >= time || end.load(Ordering::Relaxed) || frames.is_empty() {
            return Ok(Flooded { sent, time: elapsed });
        }
        // The first frame leaves at once.
        let due = frames_in(elapsed, rate) + 1;
        let late = due - (sent + left_out);
        left_out += late.saturating_sub(frames_in(BACKLOG, rate) + 1);
        while sent + left_out < due {
            sent += send_some(socket, frames, sent, due - left_out - sent)?;
        }
        let next = Duration::from_nanos(due.saturating_mul(1_000_000_000) / u64::from(rate.max(1)));
        let wait = next.min(time).saturating_sub(begin.elapsed());
        thread::sleep(wait.clamp(TICK, NAP));
    }
}

/// How many frames belong to a time.
fn frames_in(time: Duration, rate: u32) -> u64 {
    let frames = time.as_nanos() * u128::from(rate) / 1_000_000_000;
    u64::try_from(frames).unwrap_or(u64::MAX)
}

/// Sends up to so many frames, of which the first has this number; returns how many the kernel took.
fn send_some(socket: &Socket, frames: &[Vec<u8>], number: u64, count: u64) -> io::Result<u64> {
    let count = usize::try_from(count).unwrap_or(BATCH).min(BATCH);
    let first = usize::try_from(number % frames.len() as u64).unwrap_or(0);
    let batch: Vec<&[u8]> =
        frames.iter().cycle().skip(first).take(count).map(Vec::as_slice).collect();
    match sys::send_many(socket.as_fd(), &batch) {
        // There is no room at the moment.
        Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
            thread::sleep(TICK);
            Ok(0)
        }
        result => Ok(result? as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_as_many_frames_as_the_rate_says() {
        assert_eq!(frames_in(Duration::from_millis(20), 50_000), 1000);
        assert_eq!(frames_in(Duration::from_millis(499), 2), 0);
        assert_eq!(frames_in(Duration::from_millis(500), 2), 1);
        assert_eq!(frames_in(Duration::MAX, u32::MAX), u64::MAX);
    }

    #[test]
    fn a_rate_is_what_was_sent_in_the_time() {
        let flooded = Flooded { sent: 100, time: Duration::from_secs(2) };
        assert!((flooded.rate() - 50.0).abs() < f64::EPSILON);
    }
}
