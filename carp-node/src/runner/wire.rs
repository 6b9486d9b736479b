//! What the daemon and the runner say to each other: one JSON value a packet.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Job, JobReport, Work};

/// The version that the hello carries. It changes with the meaning of any message.
pub(super) const VERSION: u32 = 4;

/// The longest packet. A job must fit into one, and unix sockets carry 208 KiB by default.
pub(super) const MAX_PACKET: usize = 128 * 1024;

/// How many descriptors a packet can carry.
const MAX_FILES: usize = 2;

/// From the daemon to the runner.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(rename_all = "kebab-case")]
pub(super) enum ToRunner {
    /// Run a program, and answer with `Started`, if it did start, and `Finished`.
    ///
    /// If it is `streamed`, two descriptors come with the packet: its standard output and its standard
    /// error.
    Run { id: u64, job: Job, streamed: bool },
    /// Stop the program as if its time limit were over.
    Stop { id: u64 },
    /// Look what the program's group has done so far, and answer with `Looked`.
    Look { id: u64 },
}

/// From the runner to the daemon.
#[derive(Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(PartialEq))]
#[serde(rename_all = "kebab-case")]
pub(super) enum FromRunner {
    /// The first message.
    Hello { version: u32, pid: u32 },
    /// The program runs, and leads the process group with this id.
    Started { id: u64, group: i32 },
    /// What it has done so far; `None` if it does not run.
    Looked { id: u64, work: Option<Work> },
    /// The program is done with.
    Finished { id: u64, report: JobReport },
}

/// The packet for a message.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if it would be longer than [`MAX_PACKET`].
pub(super) fn encode(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let packet = serde_json::to_vec(message)?;
    if packet.len() > MAX_PACKET {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "arguments and environment of {} bytes are more than the {MAX_PACKET} that can be \
                 passed on",
                packet.len()
            ),
        ));
    }
    Ok(packet)
}

/// Sends one packet; blocks if the socket does.
pub(super) fn send(socket: impl AsFd, packet: &[u8]) -> io::Result<()> {
    rustix::io::retry_on_intr(|| rustix::net::send(&socket, packet, SendFlags::NOSIGNAL))?;
    Ok(())
}

/// Sends one packet with descriptors, of which the receiver gets copies; blocks if the socket does.
pub(super) fn send_with(
    socket: impl AsFd,
    packet: &[u8],
    files: &[BorrowedFd<'_>],
) -> io::Result<()> {
    if files.is_empty() {
        return send(socket, packet);
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(files)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors"));
    }
    let packet = [IoSlice::new(packet)];
    rustix::io::retry_on_intr(|| {
        rustix::net::sendmsg(&socket, &packet, &mut ancillary, SendFlags::NOSIGNAL)
    })?;
    Ok(())
}

/// Receives one message and the descriptors that came with it, or `None` when the other side is gone;
/// blocks if the socket does.
pub(super) fn receive_with<T: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut packet = vec![0; MAX_PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(packet.as_mut_slice())];
        rustix::net::recvmsg(&socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    });
    let message = match received {
        Ok(message) if message.bytes == 0 => return Ok(None),
        Ok(message) => message,
        Err(Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a packet that is too long"));
    }
    let mut files = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            files.extend(rights);
        }
    }
    let packet = packet.get(..message.bytes).unwrap_or_default();
    Ok(Some((serde_json::from_slice(packet)?, files)))
}

/// Receives one message, or `None` when the other side is gone; blocks if the socket does.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<T>> {
    let mut packet = vec![0; MAX_PACKET];
    let received = rustix::io::retry_on_intr(|| {
        rustix::net::recv(&socket, packet.as_mut_slice(), RecvFlags::TRUNC)
    });
    let length = match received {
        Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(None),
        Ok((_, length)) => length,
        Err(error) => return Err(error.into()),
    };
    let packet = packet.get(..length).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("a packet of {length} bytes"))
    })?;
    Ok(Some(serde_json::from_slice(packet)?))
}

/// Which of these can be read, or have ended, at the latest at `deadline`.
pub(super) fn poll<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    deadline: Instant,
) -> Result<[bool; N], Errno> {
    let mut polled: Vec<_> =
        fds.iter().flatten().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    // Rounded up by the kernel to its own precision, so this never returns early in a busy loop.
    let left = deadline.saturating_duration_since(Instant::now()).min(LONGEST_POLL);
    let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
    rustix::event::poll(&mut polled, Some(&timeout))?;
    let mut ready = polled.iter().map(|fd| !fd.revents().is_empty());
    Ok(fds.map(|fd| fd.is_some() && ready.next().unwrap_or(false)))
}

/// Callers loop, so a poll may end early; this keeps the time within every kernel's range.
const LONGEST_POLL: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    /// What arrives is one of these with some bytes that are others, fewer or more.
    const PACKETS: [&str; 7] = [
        r#"{"run":{"id":7,"job":{"argv":["true"],"env":{"A":"b"},"limit":{"secs":1,"nanos":0},"stop":"usr1",
            "grace":{"secs":2,"nanos":0},"account":{"uid":1,"gid":2}},"streamed":true}}"#,
        r#"{"stop":{"id":7}}"#,
        r#"{"look":{"id":7}}"#,
        r#"{"hello":{"version":4,"pid":1}}"#,
        r#"{"started":{"id":7,"group":1}}"#,
        r#"{"looked":{"id":7,"work":null}}"#,
        r#"{"finished":{"id":7,"report":{"outcome":{"timed-out":{"killed":true}},
            "duration":{"secs":1,"nanos":5},"output":"x","lingers":5}}}"#,
    ];

    fn reads_back<T>(packet: &[u8])
    where
        T: DeserializeOwned + Serialize + PartialEq + std::fmt::Debug,
    {
        if let Ok(message) = serde_json::from_slice::<T>(packet) {
            let written = encode(&message).unwrap();
            assert_eq!(serde_json::from_slice::<T>(&written).unwrap(), message);
        }
    }

    #[test]
    fn the_packets_to_be_changed_are_messages() {
        for packet in PACKETS {
            let to = serde_json::from_str::<ToRunner>(packet).is_ok();
            let from = serde_json::from_str::<FromRunner>(packet).is_ok();
            assert!(to != from, "{packet}");
        }
    }

    proptest! {
        #[test]
        fn reading_is_total_and_what_is_read_is_written_as_it_was(
            packet in prop::sample::select(&PACKETS[..]),
            edits in prop::collection::vec(
                (any::<prop::sample::Index>(), 0..4usize, prop::collection::vec(any::<u8>(), 0..3)),
                0..3,
            ),
        ) {
            let mut packet = packet.as_bytes().to_vec();
            for (place, length, instead) in edits {
                let from = place.index(packet.len() + 1);
                let to = packet.len().min(from + length);
                packet.splice(from..to, instead);
            }
            reads_back::<ToRunner>(&packet);
            reads_back::<FromRunner>(&packet);
        }
    }

    #[test]
    fn messages_read_back() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        let job = Job::new(vec!["/bin/true".into()], Duration::from_secs(1));
        let run = ToRunner::Run { id: 7, job: job.clone(), streamed: true };
        let (reader, writer) = io::pipe().unwrap();
        let files = [writer.as_fd(), writer.as_fd()];
        send_with(&ours, &encode(&run).unwrap(), &files).unwrap();
        drop(writer);
        let Some((ToRunner::Run { id, job: received, streamed: true }, files)) =
            receive_with(&theirs).unwrap()
        else {
            panic!("the socket ended");
        };
        assert_eq!((id, received, files.len()), (7, job, 2));
        // The copies are all that holds the pipe open.
        assert_eq!(poll([Some(reader.as_fd())], Instant::now()), Ok([false]));
        drop(files);
        assert_eq!(poll([Some(reader.as_fd())], Instant::now()), Ok([true]));
        drop(ours);
        assert!(receive::<ToRunner>(&theirs).unwrap().is_none());
    }

    #[test]
    fn a_job_that_does_not_fit_a_packet_is_refused() {
        let job = Job::new(vec!["x".repeat(MAX_PACKET)], Duration::from_secs(1));
        let error = encode(&ToRunner::Run { id: 1, job, streamed: false }).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
