//! Why a capture cannot be read.

use std::io;

use thiserror::Error;

use super::MAX_FRAME;
use crate::dissect::LinkType;

/// Why a capture cannot be read, or not to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// Nothing at all.
    #[error("it is empty")]
    Empty,
    /// Something else.
    #[error("it is neither pcap nor pcapng")]
    NotACapture,
    /// Reading failed.
    #[error("it cannot be read at byte {offset}: {source}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// The file ends too early, as one does whose writer was killed.
    #[error("it ends in the middle of a record, at byte {offset}, after {frames} whole frames")]
    Truncated {
        /// The length of the file.
        offset: u64,
        /// The frames before.
        frames: u64,
    },
    /// Bytes that no writer writes.
    #[error("it is damaged at byte {offset}, after {frames} whole frames: {what}")]
    Damaged {
        /// Where the record or block begins that cannot be read.
        offset: u64,
        /// The frames before.
        frames: u64,
        /// What is wrong.
        what: Damage,
    },
    /// A classic capture of a link layer in which nothing can be found.
    #[error("its link type {0} is not understood")]
    LinkType(LinkType),
}

/// What is wrong with bytes in a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Damage {
    /// A frame of an impossible length.
    #[error("a frame of {0} bytes, where {MAX_FRAME} are the most")]
    FrameLength(u32),
    /// A pcapng block of an impossible length.
    #[error("a block of {0} bytes")]
    BlockLength(u32),
    /// A pcapng block whose two lengths differ, or whose fields contradict its length.
    #[error("a block whose fields contradict each other")]
    Block,
    /// A packet of an interface that no block has described.
    #[error("a packet of interface {0}, which the file does not describe")]
    Interface(u32),
    /// More interfaces than any host has.
    #[error("more than {0} interfaces")]
    Interfaces(usize),
    /// A section of a version of pcapng that does not exist yet.
    #[error("a section of version {0} of pcapng, where 1 is known")]
    Version(u16),
}
