//! Capture files: pcap and pcapng, as tcpdump, Wireshark and their kin write them.
//!
//! A [`Writer`] writes pcap. A [`Reader`] takes one frame after the other from any stream, and holds one at a time. Whatever
//! the bytes are, it ends with `None` or a [`CaptureError`] that names the place.
//!
//! ```no_run
//! use carp_node::capture::Reader;
//! use carp_node::dissect::{Layer, dissect};
//!
//! let mut reader = Reader::new(std::fs::File::open("lan.pcap")?)?;
//! while let Some(frame) = reader.next_frame()? {
//!     if let Some(found) = dissect(frame.bytes, Layer::Link(frame.link), frame.cut) {
//!         println!("{}: {:?}", frame.number, found.message);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
pub mod hex;
mod input;
mod pcap;
mod pcapng;
mod time;
mod write;

use std::fmt;
use std::io::Read;

pub use error::CaptureError;
pub use time::Timestamp;
pub use write::Writer;

use crate::dissect::LinkType;
use input::Input;
use pcap::Pcap;
use pcapng::PcapNg;

/// The longest frame that is read: four times what a network carries, and as much as tcpdump keeps.
pub const MAX_FRAME: usize = 262_144;

/// One captured frame.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// Its place in the file, counted from 1.
    pub number: u64,
    /// When it was captured, if the file says it.
    pub time: Option<Timestamp>,
    /// What its first header is.
    pub link: LinkType,
    /// The bytes that were kept.
    pub bytes: &'a [u8],
    /// Whether there were more.
    pub cut: bool,
}

/// Reads the frames of a capture from a stream.
pub struct Reader<R> {
    input: Input<R>,
    format: Format,
    frames: u64,
}

enum Format {
    Pcap(Pcap),
    PcapNg(PcapNg),
}

impl<R: Read> Reader<R> {
    /// Begins to read: a classic pcap file of either byte order and resolution, or pcapng.
    ///
    /// # Errors
    /// [`CaptureError`] if it is no capture, or a classic one of an unknown link type.
    pub fn new(stream: R) -> Result<Self, CaptureError> {
        let mut input = Input::new(stream);
        let format = if pcapng::is_magic(input.peek()?) {
            Format::PcapNg(PcapNg::default())
        } else {
            Format::Pcap(Pcap::open(&mut input)?)
        };
        Ok(Self { input, format, frames: 0 })
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`CaptureError`] where the file cannot be read on. The frames before are good, and nothing
    /// that comes after can be trusted.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        self.input.set_frames(self.frames);
        let frame = match &mut self.format {
            Format::Pcap(pcap) => pcap.next_frame(&mut self.input),
            Format::PcapNg(pcapng) => pcapng.next_frame(&mut self.input),
        }?;
        self.frames = frame.map_or(self.frames, |frame| frame.number);
        Ok(frame)
    }

    /// How many frames were read.
    pub const fn frames(&self) -> u64 {
        self.frames
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("frames", &self.frames).finish_non_exhaustive()
    }
}

/// Whether bytes are the first four of a capture that a [`Reader`] reads.
#[must_use]
pub fn is_capture(start: &[u8]) -> bool {
    pcapng::is_magic(start) || pcap::is_magic(start)
}

#[cfg(test)]
mod tests;
