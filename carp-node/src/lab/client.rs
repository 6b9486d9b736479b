//! The client: it asks all the time, and knows when it was answered, and by whom.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::error::Doing;
use super::process::lock;
use super::{Host, LabError, web};

/// How long a request may take.
const LIMIT: Duration = Duration::from_secs(2);

/// How long an established connection may be silent before it counts as cut.
const SILENCE: Duration = Duration::from_millis(500);

/// An open-loop prober: it starts a request every so often, whatever became of those before.
///
/// A request is an HTTP GET on a connection of its own, with a time limit of 2 s. When an established
/// connection is reset, or silent for 500 ms, the request is repeated once, as HTTP clients do with what
/// is safe to repeat: a handover cuts connections, and one that was cut after the old server had
/// received the request hears nothing at all. Addresses are resolved by the host's kernel, with its
/// usual neighbour cache.
#[derive(Debug)]
pub struct Client {
    requests: Arc<Mutex<Vec<Request>>>,
    begun: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
    prober: Option<JoinHandle<()>>,
}

/// A request that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it was begun.
    pub sent: Instant,
    /// When it was answered or given up.
    pub ended: Instant,
    /// Whether its connection was cut, so that it was repeated.
    pub repeated: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The named host answered.
    Answered(String),
    /// Nobody did, for this reason.
    Failed(String),
}

/// A time without an answer, between two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The answer before.
    pub from: Instant,
    /// The answer after.
    pub to: Instant,
}

impl Client {
    /// Starts asking `address` from `host`, every `interval`.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn start(host: &Host, address: IpAddr, interval: Duration) -> Result<Self, LabError> {
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let begun = Arc::<AtomicUsize>::default();
        let end = Arc::<AtomicBool>::default();
        let server = SocketAddr::new(address, web::PORT);
        let (sink, count, ending) = (Arc::clone(&requests), Arc::clone(&begun), Arc::clone(&end));
        let probe = move || probe(server, interval, &sink, &count, &ending);
        // The thread inherits the namespace of the thread that starts it.
        let prober = host
            .run_inside(|| thread::Builder::new().name("lab-client".into()).spawn(probe))?
            .doing(|| "start the client".into())?;
        Ok(Self { requests, begun, end, prober: Some(prober) })
    }

    /// The requests that have come to an end so far, in that order.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.requests).clone()
    }

    /// Those of [`requests`](Self::requests) that follow the first `seen`: what is new to somebody who
    /// watches all the time.
    #[must_use]
    pub fn requests_after(&self, seen: usize) -> Vec<Request> {
        lock(&self.requests).get(seen..).unwrap_or_default().to_vec()
    }

    /// How many requests were begun so far.
    #[must_use]
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    /// The first answer by `host` among those that came after `since`: when.
    #[must_use]
    pub fn first_answer(&self, since: Instant, host: &str) -> Option<Instant> {
        let requests = lock(&self.requests);
        let recent = requests.iter().rev().take_while(|request| request.ended >= since);
        recent.filter(|request| request.answered_by() == Some(host)).last().map(|found| found.ended)
    }

    /// Begins no more requests, waits for the last, and gives all of them.
    #[must_use]
    pub fn stop(mut self) -> Vec<Request> {
        self.finish();
        self.requests()
    }

    fn finish(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(prober) = self.prober.take() {
            // A panic of the prober has been printed; its requests so far are as good as they are.
            let _ = prober.join();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Request {
    /// Who answered, if anybody.
    #[must_use]
    pub fn answered_by(&self) -> Option<&str> {
        match &self.outcome {
            Outcome::Answered(host) => Some(host),
            Outcome::Failed(_) => None,
        }
    }
}

impl Gap {
    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        self.to - self.from
    }
}

/// The outage: the largest gap between two answers that begins before `to` and ends after `from`.
#[must_use]
pub fn largest_gap(requests: &[Request], from: Instant, to: Instant) -> Option<Gap> {
    let answered = requests.iter().filter(|request| request.answered_by().is_some());
    let mut answers: Vec<_> = answered.map(|request| request.ended).collect();
    answers.sort_unstable();
    let gaps = answers.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] });
    gaps.filter(|gap| gap.from < to && gap.to > from).max_by_key(|gap| gap.length())
}

/// What the client's thread does. Without a runtime no request is made, and the tests say so.
fn probe(
    server: SocketAddr,
    interval: Duration,
    sink: &Arc<Mutex<Vec<Request>>>,
    begun: &AtomicUsize,
    end: &AtomicBool,
) {
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async {
        let mut ticks = tokio::time::interval(interval);
        let mut pending = JoinSet::new();
        while !end.load(Ordering::Relaxed) {
            ticks.tick().await;
            let sink = Arc::clone(sink);
            begun.fetch_add(1, Ordering::Relaxed);
            pending.spawn(async move {
                let request = ask(server).await;
                lock(&sink).push(request);
            });
            while pending.try_join_next().is_some() {}
        }
        pending.join_all().await;
    });
}

async fn ask(server: SocketAddr) -> Request {
    let sent = Instant::now();
    let mut repeated = false;
    let asking = async {
        match get(server).await {
            Err(error) if is_cut(&error) => {
                repeated = true;
                get(server).await
            }
            result => result,
        }
    };
    let outcome = match tokio::time::timeout(LIMIT, asking).await {
        Ok(Ok(host)) => Outcome::Answered(host),
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_elapsed) => Outcome::Failed(format!("no answer within {} s", LIMIT.as_secs())),
    };
    Request { sent, ended: Instant::now(), repeated, outcome }
}

fn is_cut(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), ConnectionReset | BrokenPipe | TimedOut | UnexpectedEof)
}

/// One GET: the name of the host that answered.
async fn get(server: SocketAddr) -> io::Result<String> {
    let stream = TcpStream::connect(server).await?;
    let silent = |_| io::Error::from(io::ErrorKind::TimedOut);
    let answer = tokio::time::timeout(SILENCE, exchange(stream)).await.map_err(silent)??;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.trim_end().to_owned()),
        _ => Err(io::Error::other(format!("not a good answer: {head}"))),
    }
}

async fn exchange(mut stream: TcpStream) -> io::Result<String> {
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(at: Instant) -> Request {
        let outcome = Outcome::Answered("primary".into());
        Request { sent: at, ended: at, repeated: false, outcome }
    }

    #[test]
    fn an_outage_is_the_largest_gap_that_touches_the_window() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let requests: Vec<_> = [0, 500, 510, 520, 600, 610].map(|ms| answered(at(ms))).into();
        let gap = largest_gap(&requests, at(505), at(700)).unwrap();
        assert_eq!((gap.from, gap.to), (at(520), at(600)));
        assert_eq!(largest_gap(&requests, at(10), at(700)).unwrap().length().as_millis(), 500);
        assert_eq!(largest_gap(&requests[..1], at(0), at(700)), None);
    }

    #[test]
    fn failures_do_not_end_an_outage() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let failed = Request { outcome: Outcome::Failed("refused".into()), ..answered(at(50)) };
        let requests = [answered(at(0)), failed, answered(at(100))];
        assert_eq!(largest_gap(&requests, at(0), at(200)).unwrap().length().as_millis(), 100);
    }
}
