//! Requests to the kernel's network configuration, and its answers.
//!
//! A blocking socket with a time limit: several requests leave in one `send`, and the kernel's answers
//! are taken in order. rtnetlink sends one request at a time and has no setter for `IFA_PROTO`; it
//! serves [watching](super::watch).

use std::io;
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::SockRef;

/// The kernel has answered before sending a request returns, however long it waited for its RTNL lock: an
/// answer that does not come is lost. A takeover has a second, and asks again.
const TIME_LIMIT: Duration = Duration::from_millis(400);

/// Requests in one datagram. All their answers wait in the socket until the last one is there, and beyond
/// its receive buffer they are lost.
const AT_ONCE: usize = 64;

/// Room for what comes in one datagram: the kernel puts no more of a dump into one, and an error repeats no
/// more than one request.
const DATAGRAM: usize = 32 << 10;

/// What the kernel answers to changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// Each of them.
    All,
    /// Those that fail, and the last one.
    Failures,
}

/// A conversation with the kernel about the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Requests {
    socket: Socket,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Requests {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        let port = socket.bind_auto()?.port_number();
        socket.connect(&SocketAddr::new(0, 0))?;
        // Kernels before 4.20 cannot filter dumps; what does not belong is left out by who asks.
        let _ = socket.set_netlink_get_strict_chk(true);
        SockRef::from(&socket).set_read_timeout(Some(TIME_LIMIT))?;
        Ok(Self { socket, port, sequence: 0, buffer: Vec::new() })
    }

    /// The port that the kernel knows us by, and tells others of in its events.
    pub(super) const fn port(&self) -> u32 {
        self.port
    }

    /// Asks for changes: one result a request, in order.
    pub(super) fn change(
        &mut self,
        mut requests: Vec<RouteNetlinkMessage>,
        flags: u16,
        answers: Answers,
    ) -> io::Result<Vec<io::Result<()>>> {
        let mut results = Vec::with_capacity(requests.len());
        while !requests.is_empty() {
            let rest = requests.split_off(requests.len().min(AT_ONCE));
            results.extend(self.change_at_once(requests, flags, answers)?);
            requests = rest;
        }
        Ok(results)
    }

    fn change_at_once(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
        flags: u16,
        answers: Answers,
    ) -> io::Result<Vec<io::Result<()>>> {
        let first = self.send(requests, NLM_F_REQUEST | flags, answers)?;
        let count = usize::try_from(self.sequence.wrapping_sub(first)).map_err(io::Error::other)?;
        let mut results: Vec<Option<io::Result<()>>> = Vec::new();
        results.resize_with(count, || None);
        // The kernel goes through the requests in order.
        let is_open = |results: &[Option<_>]| match answers {
            Answers::All => results.iter().any(Option::is_none),
            Answers::Failures => results.last().is_some_and(Option::is_none),
        };
        while is_open(&results) {
            self.receive(|header, payload| {
                let place = header.sequence_number.wrapping_sub(first);
                let slot = usize::try_from(place).ok().and_then(|place| results.get_mut(place));
                if let (Some(slot), NetlinkPayload::Error(error)) = (slot, payload) {
                    *slot = Some(if error.code.is_none() { Ok(()) } else { Err(error.to_io()) });
                }
                false
            })?;
        }
        Ok(results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect())
    }

    /// Asks for what is there, one thing or (`NLM_F_DUMP`) all, and shows every answer.
    pub(super) fn ask(
        &mut self,
        request: RouteNetlinkMessage,
        flags: u16,
        mut each: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        let first = self.send(vec![request], NLM_F_REQUEST | flags, Answers::All)?;
        let mut outcome = None;
        while outcome.is_none() {
            self.receive(|header, payload| {
                if header.sequence_number != first {
                    return false;
                }
                match payload {
                    NetlinkPayload::InnerMessage(answer) => each(answer),
                    NetlinkPayload::Done(_) => outcome = Some(Ok(())),
                    NetlinkPayload::Error(error) if error.code.is_none() => outcome = Some(Ok(())),
                    NetlinkPayload::Error(error) => outcome = Some(Err(error.to_io())),
                    _ => {}
                }
                outcome.is_some()
            })?;
        }
        outcome.unwrap_or(Ok(()))
    }

    /// Sends requests in one datagram; returns the sequence number of the first.
    fn send(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
        flags: u16,
        answers: Answers,
    ) -> io::Result<u32> {
        let first = self.sequence;
        self.buffer.clear();
        let mut left = requests.len();
        for request in requests {
            left -= 1;
            let mut header = NetlinkHeader::default();
            let is_acknowledged = answers == Answers::All || left == 0;
            header.flags = flags | if is_acknowledged { NLM_F_ACK } else { 0 };
            header.sequence_number = self.sequence;
            self.sequence = self.sequence.wrapping_add(1);
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
            message.finalize();
            let start = self.buffer.len();
            self.buffer.resize(start + message.buffer_len(), 0);
            message.serialize(&mut self.buffer[start..]);
        }
        self.socket.send(&self.buffer, 0)?;
        Ok(first)
    }

    /// Receives one datagram and hands out its messages, until the taker has enough.
    fn receive(
        &mut self,
        mut take: impl FnMut(NetlinkHeader, NetlinkPayload<RouteNetlinkMessage>) -> bool,
    ) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.reserve(DATAGRAM);
        let received = self.socket.recv_from(&mut self.buffer, libc::MSG_TRUNC);
        let (len, sender) = received.map_err(|error| {
            let late = error.kind() == io::ErrorKind::WouldBlock;
            if late {
                io::Error::new(io::ErrorKind::TimedOut, "netlink did not answer")
            } else {
                error
            }
        })?;
        // Only the kernel has port 0; any process may send to ours.
        if sender.port_number() != 0 {
            return Ok(());
        }
        if len > self.buffer.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "netlink answers at length"));
        }
        for message in messages(&self.buffer) {
            let (header, payload) = message?.into_parts();
            if take(header, payload) {
                break;
            }
        }
        Ok(())
    }
}

/// The messages of a datagram, in order. Behind one that cannot be read there are no more.
pub(crate) fn messages(
    datagram: &[u8],
) -> impl Iterator<Item = io::Result<NetlinkMessage<RouteNetlinkMessage>>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()));
        let length = message.as_ref().map_or(0, |message| message.header.length);
        let length = usize::try_from(length).ok().filter(|length| *length != 0);
        // Messages are aligned to four bytes.
        rest = length.and_then(|it| rest.get(it.next_multiple_of(4)..)).unwrap_or(&[]);
        Some(message)
    })
}
