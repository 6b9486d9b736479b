//! A stream, of which one record at a time is in memory.

use std::io::{self, BufReader, Read};

use super::CaptureError;
use super::error::Damage;

/// The bytes of the record that is being read, and the stream behind them.
pub(super) struct Input<R> {
    stream: BufReader<R>,
    record: Vec<u8>,
    /// Where the record begins in the stream.
    start: u64,
    /// How many bytes of the record were read over.
    skipped: u64,
    /// How many frames came before it.
    frames: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(stream: R) -> Self {
        let stream = BufReader::with_capacity(1 << 16, stream);
        Self { stream, record: Vec::new(), start: 0, skipped: 0, frames: 0 }
    }

    /// The first four bytes of the stream, which remain in the record.
    pub(super) fn peek(&mut self) -> Result<&[u8], CaptureError> {
        match self.fill(4)? {
            0 => Err(CaptureError::Empty),
            _ => Ok(&self.record),
        }
    }

    /// Begins the next record.
    pub(super) fn advance(&mut self) {
        self.start = self.end();
        self.skipped = 0;
        self.record.clear();
    }

    /// How many frames came before the record: errors say it.
    pub(super) const fn set_frames(&mut self, frames: u64) {
        self.frames = frames;
    }

    /// The number that a frame in the record has.
    pub(super) const fn number(&self) -> u64 {
        self.frames.saturating_add(1)
    }

    /// Makes errors about the record: it is not what it should be.
    pub(super) fn damage(&self) -> impl Fn(Damage) -> CaptureError + use<R> {
        let (offset, frames) = (self.start, self.frames);
        move |what| CaptureError::Damaged { offset, frames, what }
    }

    /// The first `len` bytes of the record; `None` if the stream ends where the record would begin.
    pub(super) fn begin(&mut self, len: usize) -> Result<Option<&[u8]>, CaptureError> {
        if self.fill(len)? == 0 {
            return Ok(None);
        }
        self.take(len).map(Some)
    }

    /// The first `len` bytes of the record.
    pub(super) fn take(&mut self, len: usize) -> Result<&[u8], CaptureError> {
        self.fill(len)?;
        let truncated = CaptureError::Truncated { offset: self.end(), frames: self.frames };
        self.record.get(..len).ok_or(truncated)
    }

    /// Reads over the rest of a record of `len` bytes, which need not fit into memory, and returns
    /// its last four.
    pub(super) fn skip(&mut self, len: u64) -> Result<[u8; 4], CaptureError> {
        const LAST: u64 = 4;
        let rest = self.start.saturating_add(len).saturating_sub(self.end().saturating_add(LAST));
        let skipped = io::copy(&mut self.stream.by_ref().take(rest), &mut io::sink());
        self.skipped = skipped.map_err(|source| self.failed(source))?;
        let record = self.take(self.record.len().saturating_add(4))?;
        Ok(record.last_chunk().copied().unwrap_or_default())
    }

    /// Reads until the record has `len` bytes or the stream ends. How many it has.
    fn fill(&mut self, len: usize) -> Result<usize, CaptureError> {
        let missing = len.saturating_sub(self.record.len());
        let more = u64::try_from(missing).unwrap_or(u64::MAX);
        let read = self.stream.by_ref().take(more).read_to_end(&mut self.record);
        read.map_err(|source| self.failed(source))?;
        Ok(self.record.len())
    }

    fn failed(&self, source: io::Error) -> CaptureError {
        CaptureError::Io { offset: self.end(), source }
    }

    /// Where the bytes end that were read.
    fn end(&self) -> u64 {
        let there = u64::try_from(self.record.len()).unwrap_or(u64::MAX);
        self.start.saturating_add(self.skipped).saturating_add(there)
    }
}
