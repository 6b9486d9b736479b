//! The daemon's side of the control socket.

use std::future::Future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{sleep, timeout};

use super::proto::{Answer, ControlError, ErrorCode, Request, Response, StatusReport, Verb};
use super::request::{bad_request, read_line};
use super::socket::ControlSocket;
use crate::event::{Followed, Subscription};
use crate::sync::engine::Order;

/// What a daemon answers to its clients. Handles are cheap to share: a daemon's handler sends the
/// question to its protocol task and awaits the answer.
pub trait Handler: Send + Sync {
    /// The status, of one router or of all.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownRouter`], or what else stands in the way.
    fn status(
        &self,
        router: Option<&str>,
    ) -> impl Future<Output = Result<StatusReport, ControlError>> + Send;

    /// Makes a router yield. The caller's permission has been checked.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownRouter`], [`ErrorCode::Refused`], or what else stands in the way.
    fn yield_router(&self, router: &str) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// Does something with a share. The caller's permission has been checked.
    ///
    /// # Errors
    /// [`ErrorCode::Refused`], or what else stands in the way.
    fn sync(
        &self,
        share: Option<String>,
        order: Order,
    ) -> impl Future<Output = Result<serde_json::Value, ControlError>> + Send;

    /// The event log, from what is kept on.
    fn events(&self) -> Subscription;
}

/// What clients may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Clients at a time; one more is told that the daemon is busy.
    pub clients: usize,
    /// Of these, how many may follow events, so that a status can always be asked for.
    pub followers: usize,
    /// Bytes in a request's line.
    pub line: usize,
    /// How long a client may take to send its request.
    pub request: Duration,
    /// How long the handler may take to answer.
    pub answer: Duration,
    /// How long a handover may take that a client waits for: longer than every interval.
    pub handover: Duration,
    /// How long a client may read nothing before it is disconnected.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 16,
            followers: 12,
            line: 64 * 1024,
            request: Duration::from_secs(1),
            answer: Duration::from_secs(5),
            handover: Duration::from_secs(600),
            stall: Duration::from_secs(5),
        }
    }
}

/// Answers clients, for ever. Dropping the future closes the socket and removes its name.
///
/// # Errors
/// Only at the start, if the socket cannot be handed to the runtime.
///
/// # Panics
/// Outside a tokio runtime with I/O and time enabled.
pub async fn serve(socket: ControlSocket, handler: impl Handler, limits: Limits) -> io::Result<()> {
    let ControlSocket { listener, name: _name } = socket;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let desk = Desk { handler, limits, followers: AtomicUsize::new(0) };
    let mut clients = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) if clients.len() < limits.clients => {
                    clients.push(desk.attend(stream));
                }
                Ok((stream, _)) => turn_away(&stream),
                // Out of descriptors or memory: others may give some back.
                Err(_) => sleep(Duration::from_millis(100)).await,
            },
            Some(()) = clients.next() => {}
        }
    }
}

/// One client too many is told so if that needs no waiting.
fn turn_away(stream: &UnixStream) {
    let busy = ControlError::new(
        ErrorCode::Busy,
        "the daemon has as many clients as it serves: end another one, or try again",
    );
    if let Ok(line) = encode(Answer::Error(busy)) {
        // The client sees the end of the connection in any case.
        stream.try_write(&line).ok();
    }
}

/// What all clients share.
struct Desk<H> {
    handler: H,
    limits: Limits,
    followers: AtomicUsize,
}

/// The client is gone, or as good as gone.
struct Gone;

impl<H: Handler> Desk<H> {
    /// One client, from its request to the end of its connection.
    async fn attend(&self, stream: UnixStream) {
        let peer = stream.peer_cred();
        let (mut reader, writer) = stream.into_split();
        let mut client = Client { writer, stall: self.limits.stall };
        let request = self.read_request(&mut reader).await.and_then(|request| {
            match peer {
                Ok(peer) => permit(&request.verb, peer.uid())?,
                Err(error) => return Err(ControlError::new(ErrorCode::Failed, error.to_string())),
            }
            Ok(request.verb)
        });
        // That the client is gone concerns nobody else.
        match request {
            Ok(verb) => self.answer(verb, &mut client, &mut reader).await.ok(),
            Err(error) => client.tell(Answer::Error(error)).await.ok(),
        };
    }

    async fn read_request(&self, reader: &mut OwnedReadHalf) -> Result<Request, ControlError> {
        let too_late = |_| {
            let limit = self.limits.request.as_millis();
            bad_request(format!("no request within {limit} ms"))
        };
        let line = timeout(self.limits.request, read_line(reader, self.limits.line))
            .await
            .map_err(too_late)??;
        Request::from_line(&line)
    }

    async fn answer(
        &self,
        verb: Verb,
        client: &mut Client,
        reader: &mut OwnedReadHalf,
    ) -> Result<(), Gone> {
        match verb {
            Verb::Status { router } => {
                let status =
                    in_time(self.limits.answer, self.handler.status(router.as_deref())).await;
                let status = status.map(|status| Answer::Status(Box::new(status)));
                client.tell(status.unwrap_or_else(Answer::Error)).await
            }
            Verb::Yield { router } => {
                let done = in_time(self.limits.handover, self.handler.yield_router(&router)).await;
                let done = done.map(|()| Answer::Done(true));
                client.tell(done.unwrap_or_else(Answer::Error)).await
            }
            Verb::Sync { share, order } => {
                let done = in_time(self.limits.handover, self.handler.sync(share, order)).await;
                client.tell(done.map_or_else(Answer::Error, Answer::Data)).await
            }
            Verb::Events { follow } => self.show_events(follow, client, reader).await,
        }
    }

    async fn show_events(
        &self,
        follow: bool,
        client: &mut Client,
        reader: &mut OwnedReadHalf,
    ) -> Result<(), Gone> {
        let Some(_place) = Place::take(&self.followers, self.limits.followers) else {
            let busy = "the daemon has as many followers as it serves: end another one";
            return client.tell(Answer::Error(ControlError::new(ErrorCode::Busy, busy))).await;
        };
        let mut events = self.handler.events();
        for record in events.take_kept() {
            client.tell(Answer::Event(Box::new(record.as_ref().clone()))).await?;
        }
        if follow {
            tokio::select! {
                told = tell_all(&mut events, client) => told?,
                () = closed(reader) => return Err(Gone),
            }
        }
        client.tell(Answer::Done(true)).await
    }
}

/// Tells what happens until the log is gone.
async fn tell_all(events: &mut Subscription, client: &mut Client) -> Result<(), Gone> {
    while let Some(next) = events.next().await {
        let answer = match next {
            Followed::Event(record) => Answer::Event(Box::new(record.as_ref().clone())),
            Followed::Missed(missed) => Answer::Missed(missed),
        };
        client.tell(answer).await?;
    }
    Ok(())
}

/// A place among the followers, given back when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize, places: usize) -> Option<Self> {
        let one_more = |taken| (taken < places).then_some(taken + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self(taken))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Nobody waits for ever for a daemon whose protocol task hangs.
async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, ControlError>>,
) -> Result<T, ControlError> {
    timeout(limit, answer).await.unwrap_or_else(|_| {
        let limit = limit.as_millis();
        let message = format!("the protocol task has not answered for {limit} ms");
        Err(ControlError::new(ErrorCode::Failed, message))
    })
}

/// Changing something is for root and for the daemon's own user.
fn permit(verb: &Verb, uid: u32) -> Result<(), ControlError> {
    let own = rustix::process::geteuid().as_raw();
    if !verb.changes() || uid == 0 || uid == own {
        return Ok(());
    }
    let message = match own {
        0 => format!("user {uid} may look but not touch: call this as root"),
        own => format!("user {uid} may look but not touch: call this as root or as user {own}"),
    };
    Err(ControlError::new(ErrorCode::NotAllowed, message))
}

/// Ends when the client closes its connection, or says something that nobody asked for.
async fn closed(reader: &mut OwnedReadHalf) {
    let mut byte = [0];
    match reader.read(&mut byte).await {
        Ok(_) | Err(_) => {}
    }
}

/// Where answers go.
struct Client {
    writer: OwnedWriteHalf,
    stall: Duration,
}

impl Client {
    /// Writes one line. A client that reads nothing for too long is gone.
    async fn tell(&mut self, answer: Answer) -> Result<(), Gone> {
        let line = encode(answer).map_err(|_| Gone)?;
        let mut rest = line.as_slice();
        while !rest.is_empty() {
            let written = timeout(self.stall, self.writer.write(rest)).await;
            match written {
                Ok(Ok(length)) if length > 0 => rest = rest.get(length..).unwrap_or_default(),
                Ok(_) | Err(_) => return Err(Gone),
            }
        }
        Ok(())
    }
}

fn encode(answer: Answer) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Response::new(answer))?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_and_the_owner_may_change_something() {
        let own = rustix::process::geteuid().as_raw();
        let change = Verb::Yield { router: "web".into() };
        let look = Verb::Status { router: None };
        for uid in [0, own] {
            assert_eq!(permit(&change, uid), Ok(()));
        }
        assert_eq!(permit(&look, own + 1), Ok(()));
        assert_eq!(permit(&change, own + 1).unwrap_err().code, ErrorCode::NotAllowed);
    }

    #[test]
    fn every_verb_has_its_name_in_the_list() {
        let verbs = [
            Verb::Status { router: None },
            Verb::Events { follow: false },
            Verb::Yield { router: "web".into() },
            Verb::Sync { share: None, order: Order::Now },
        ];
        for (verb, name) in verbs.into_iter().zip(Verb::NAMES) {
            let json = serde_json::to_value(Request::new(verb)).unwrap();
            assert_eq!(json["verb"], name);
        }
    }
}
