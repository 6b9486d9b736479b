//! Writing captures: classic pcap with nanoseconds, which tcpdump and Wireshark read since 2012.

use std::io::{self, Write};

use super::Timestamp;
use crate::dissect::LinkType;

/// The longest frame that the header of a file promises.
const SNAPSHOT_LENGTH: u32 = 262_144;

/// Writes frames to a capture in the classic pcap format.
///
/// Every record is handed to the stream in one piece: a stream without a buffer of its own, such as a
/// file, always ends with a whole record.
#[derive(Debug)]
pub struct Writer<W> {
    stream: W,
    record: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a capture of frames of this link type.
    ///
    /// # Errors
    /// What the stream says to the 24 bytes of the file's header.
    pub fn new(mut stream: W, link: LinkType) -> io::Result<Self> {
        const MAGIC_NANOSECONDS: u32 = 0xa1b2_3c4d;
        const VERSION: u32 = 4 << 16 | 2;
        let words = [MAGIC_NANOSECONDS, VERSION, 0, 0, SNAPSHOT_LENGTH, link.number()];
        stream.write_all(&words.map(u32::to_le_bytes).concat())?;
        Ok(Self { stream, record: Vec::new() })
    }

    /// Appends a frame of `len` bytes, of which these are there. One without a time gets the epoch's.
    ///
    /// # Errors
    /// What the stream says. Part of the record may have been written then.
    pub fn write(&mut self, time: Option<Timestamp>, bytes: &[u8], len: usize) -> io::Result<()> {
        let (seconds, nanos) = time.map_or((0, 0), Timestamp::unix);
        let length = |len| u32::try_from(len).unwrap_or(u32::MAX);
        let words = [seconds, nanos, length(bytes.len()), length(len)];
        self.record.clear();
        self.record.extend(words.map(u32::to_le_bytes).as_flattened());
        self.record.extend(bytes);
        self.stream.write_all(&self.record)?;
        self.stream.flush()
    }
}
