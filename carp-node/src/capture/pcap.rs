//! Classic pcap: a header of 24 bytes, then records of 16 bytes and a frame.

use std::io::Read;

use pcap_parser::{
    PcapHeader, parse_pcap_frame, parse_pcap_frame_be, parse_pcap_frame_modified, parse_pcap_header,
};

use super::error::Damage;
use super::input::Input;
use super::{CaptureError, Frame, MAX_FRAME, Timestamp};
use crate::dissect::LinkType;

const HEADER_LEN: usize = 24;

/// In either byte order: microseconds, nanoseconds; and the variant with longer records that old
/// Linux distributions wrote, in little-endian order.
const MAGIC: [[u8; 4]; 5] = [
    [0xa1, 0xb2, 0xc3, 0xd4],
    [0xd4, 0xc3, 0xb2, 0xa1],
    [0xa1, 0xb2, 0x3c, 0x4d],
    [0x4d, 0x3c, 0xb2, 0xa1],
    [0x34, 0xcd, 0xb2, 0xa1],
];

pub(super) fn is_magic(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|magic| MAGIC.contains(magic))
}

/// What the header of a file says.
pub(super) struct Pcap {
    header: PcapHeader,
    link: LinkType,
}

impl Pcap {
    pub(super) fn open<R: Read>(input: &mut Input<R>) -> Result<Self, CaptureError> {
        if !is_magic(input.peek()?) {
            return Err(CaptureError::NotACapture);
        }
        let bytes = input.take(HEADER_LEN)?;
        let (_, header) = parse_pcap_header(bytes).map_err(|_| CaptureError::NotACapture)?;
        // The upper bits tell of a frame check sequence. It lies behind the IP packet.
        let link = LinkType::from_number(header.network.0.cast_unsigned() & 0xffff);
        if let LinkType::Other(_) = link {
            return Err(CaptureError::LinkType(link));
        }
        Ok(Self { header, link })
    }

    pub(super) fn next_frame<'a, R: Read>(
        &self,
        input: &'a mut Input<R>,
    ) -> Result<Option<Frame<'a>>, CaptureError> {
        let header_len = if self.header.is_modified_format() { 24 } else { 16 };
        input.advance();
        let Some(record) = input.begin(header_len)? else { return Ok(None) };
        let len = self.captured_len(record);
        let damaged = input.damage()(Damage::FrameLength(len));
        let number = input.number();
        match usize::try_from(len) {
            Ok(len) if len <= MAX_FRAME => {
                let record = input.take(header_len + len)?;
                self.frame(record, number).ok_or(damaged).map(Some)
            }
            _ => Err(damaged),
        }
    }

    fn frame<'a>(&self, record: &'a [u8], number: u64) -> Option<Frame<'a>> {
        let parse = match (self.header.is_modified_format(), self.header.is_bigendian()) {
            (true, _) => parse_pcap_frame_modified,
            (false, true) => parse_pcap_frame_be,
            (false, false) => parse_pcap_frame,
        };
        let (_, block) = parse(record).ok()?;
        let digits = if self.header.is_nanosecond_precision() { 9 } else { 6 };
        Some(Frame {
            number,
            time: Timestamp::of_parts(block.ts_sec, block.ts_usec, digits),
            link: self.link,
            bytes: block.data,
            cut: block.caplen < block.origlen,
        })
    }

    fn captured_len(&self, record: &[u8]) -> u32 {
        let field = record.get(8..12).and_then(|field| field.first_chunk().copied());
        let field = field.unwrap_or_default();
        if self.header.is_bigendian() {
            u32::from_be_bytes(field)
        } else {
            u32::from_le_bytes(field)
        }
    }
}
