//! pcapng: sections of blocks (draft-ietf-opsawg-pcapng).
//!
//! Blocks are framed here, so that their lengths are known to be sound and to fit into memory before
//! `pcap_parser` sees them, and so that those without packets can be passed over unread.

use std::io::Read;

use pcap_parser::pcapng::{
    BOM_MAGIC, EPB_MAGIC, IDB_MAGIC, OptionCode, SHB_MAGIC, SPB_MAGIC,
    parse_enhancedpacketblock_be, parse_enhancedpacketblock_le, parse_interfacedescriptionblock_be,
    parse_interfacedescriptionblock_le, parse_sectionheaderblock, parse_simplepacketblock_be,
    parse_simplepacketblock_le,
};
use pcap_parser::traits::PcapNGPacketBlock;

use super::error::Damage;
use super::input::Input;
use super::time::Clock;
use super::{CaptureError, Frame, MAX_FRAME};
use crate::dissect::LinkType;

/// The Packet Block, which the Enhanced one replaced.
const OBSOLETE_PACKET: u32 = 2;

/// A type, and a length before and after the body.
const MIN_BLOCK: u32 = 12;

/// The longest block that is looked into: the longest frame, and plenty of options.
const MAX_BLOCK: u32 = 1 << 20;

/// More than a host has, and a limit for a file that does nothing but describe interfaces.
const MAX_INTERFACES: usize = 1 << 16;

pub(super) fn is_magic(start: &[u8]) -> bool {
    start.first_chunk().is_some_and(|magic| u32::from_le_bytes(*magic) == SHB_MAGIC)
}

/// The section that is being read.
#[derive(Default)]
pub(super) struct PcapNg {
    big_endian: bool,
    interfaces: Vec<Interface>,
    opened: bool,
}

/// What an Interface Description Block says.
#[derive(Clone, Copy)]
struct Interface {
    link: LinkType,
    /// The most bytes that are kept of a frame; 0 for no limit.
    snaplen: u32,
    clock: Clock,
}

/// A packet of a block: its interface, time in the interface's units, bytes and original length.
struct Packet<'a> {
    interface: u32,
    ticks: Option<u64>,
    bytes: &'a [u8],
    original_len: u32,
}

impl PcapNg {
    pub(super) fn next_frame<'a, R: Read>(
        &mut self,
        input: &'a mut Input<R>,
    ) -> Result<Option<Frame<'a>>, CaptureError> {
        let (kind, len) = loop {
            // The first four bytes of the file have been looked at, and are part of its first block.
            if self.opened {
                input.advance();
            }
            let Some((kind, len)) = self.enter(input)? else { return Ok(None) };
            self.opened = true;
            match kind {
                SHB_MAGIC | IDB_MAGIC => {
                    let damaged = input.damage();
                    self.describe(kind, input.take(len)?).map_err(damaged)?;
                }
                EPB_MAGIC | SPB_MAGIC | OBSOLETE_PACKET => break (kind, len),
                _ => self.pass_over(input, len)?,
            }
        };
        let (number, damaged) = (input.number(), input.damage());
        let packet = self.packet(kind, input.take(len)?);
        packet.and_then(|packet| self.frame(&packet, number)).map(Some).map_err(damaged)
    }

    /// Reads the type and the length of a block; `None` at the end of the file.
    fn enter<R: Read>(
        &mut self,
        input: &mut Input<R>,
    ) -> Result<Option<(u32, usize)>, CaptureError> {
        let Some(head) = input.begin(8)? else { return Ok(None) };
        let (&kind, rest) = head.split_first_chunk().unwrap_or((&[0; 4], &[]));
        let len = rest.first_chunk().copied().unwrap_or_default();
        // The type of a section header reads the same in both orders, and what follows says which.
        if u32::from_le_bytes(kind) == SHB_MAGIC {
            let order = input.take(12)?.last_chunk().copied().unwrap_or_default();
            self.big_endian = u32::from_be_bytes(order) == BOM_MAGIC;
        }
        let (kind, len) = (self.u32(kind), self.u32(len));
        let looked_into =
            matches!(kind, SHB_MAGIC | IDB_MAGIC | EPB_MAGIC | SPB_MAGIC | OBSOLETE_PACKET);
        if len < MIN_BLOCK || (looked_into && len > MAX_BLOCK) {
            return Err(input.damage()(Damage::BlockLength(len)));
        }
        Ok(Some((kind, usize::try_from(len).unwrap_or(usize::MAX))))
    }

    /// Reads over a block that has no packet.
    fn pass_over<R: Read>(&self, input: &mut Input<R>, len: usize) -> Result<(), CaptureError> {
        let last = input.skip(u64::try_from(len).unwrap_or(u64::MAX))?;
        if usize::try_from(self.u32(last)).ok() != Some(len) {
            return Err(input.damage()(Damage::Block));
        }
        Ok(())
    }

    /// Takes note of a section or an interface.
    fn describe(&mut self, kind: u32, block: &[u8]) -> Result<(), Damage> {
        if kind == SHB_MAGIC {
            let (_, section) = parse_sectionheaderblock(block).map_err(|_| Damage::Block)?;
            if section.major_version != 1 {
                return Err(Damage::Version(section.major_version));
            }
            self.interfaces.clear();
            return sound(section.block_len1, section.block_len2);
        }
        if self.interfaces.len() == MAX_INTERFACES {
            return Err(Damage::Interfaces(MAX_INTERFACES));
        }
        let parse = if self.big_endian {
            parse_interfacedescriptionblock_be
        } else {
            parse_interfacedescriptionblock_le
        };
        let (_, interface) = parse(block).map_err(|_| Damage::Block)?;
        // The parser reads the offset as little-endian whatever the order of the section is.
        let offset = interface.options.iter().find(|option| option.code == OptionCode::IfTsoffset);
        let offset = offset.and_then(|option| option.value.first_chunk().copied());
        let offset = offset.unwrap_or_default();
        self.interfaces.push(Interface {
            link: LinkType::from_number(interface.linktype.0.cast_unsigned()),
            snaplen: interface.snaplen,
            clock: Clock {
                resolution: interface.if_tsresol,
                offset: if self.big_endian {
                    i64::from_be_bytes(offset)
                } else {
                    i64::from_le_bytes(offset)
                },
            },
        });
        Ok(())
    }

    fn packet<'a>(&self, kind: u32, block: &'a [u8]) -> Result<Packet<'a>, Damage> {
        match kind {
            EPB_MAGIC => self.enhanced(block),
            SPB_MAGIC => self.simple(block),
            _ => self.obsolete(block),
        }
        .ok_or(Damage::Block)
    }

    fn enhanced<'a>(&self, block: &'a [u8]) -> Option<Packet<'a>> {
        let parse = if self.big_endian {
            parse_enhancedpacketblock_be
        } else {
            parse_enhancedpacketblock_le
        };
        let (_, packet) = parse(block).ok()?;
        Some(Packet {
            interface: packet.if_id,
            ticks: Some(u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low)),
            bytes: packet.data.get(..usize::try_from(packet.caplen).ok()?)?,
            original_len: packet.origlen,
        })
    }

    /// A packet of the first interface, without time. Its length follows from the others.
    fn simple<'a>(&self, block: &'a [u8]) -> Option<Packet<'a>> {
        let parse =
            if self.big_endian { parse_simplepacketblock_be } else { parse_simplepacketblock_le };
        let (_, packet) = parse(block).ok()?;
        sound(packet.block_len1, packet.block_len2).ok()?;
        let kept = self.interfaces.first().map_or(0, |interface| interface.snaplen);
        let len = if kept == 0 { packet.origlen } else { packet.origlen.min(kept) };
        let bytes = packet.data.get(..usize::try_from(len).ok()?)?;
        Some(Packet { interface: 0, ticks: None, bytes, original_len: packet.orig_len() })
    }

    /// ```text
    /// type, length, interface (16 bits), drops (16 bits), time, captured and original length, data
    /// ```
    fn obsolete<'a>(&self, block: &'a [u8]) -> Option<Packet<'a>> {
        let word = |at: usize| Some(self.u32(*block.get(at..)?.first_chunk()?));
        let interface = *block.get(8..)?.first_chunk()?;
        let interface = if self.big_endian {
            u16::from_be_bytes(interface)
        } else {
            u16::from_le_bytes(interface)
        };
        let captured_len = usize::try_from(word(20)?).ok()?;
        sound(word(4)?, self.u32(*block.last_chunk()?)).ok()?;
        let data = block.get(28..block.len().checked_sub(4)?)?;
        Some(Packet {
            interface: interface.into(),
            ticks: Some(u64::from(word(12)?) << 32 | u64::from(word(16)?)),
            bytes: data.get(..captured_len)?,
            original_len: word(24)?,
        })
    }

    fn frame<'a>(&self, packet: &Packet<'a>, number: u64) -> Result<Frame<'a>, Damage> {
        let index = usize::try_from(packet.interface).unwrap_or(usize::MAX);
        let interface = self.interfaces.get(index).ok_or(Damage::Interface(packet.interface))?;
        let len = u32::try_from(packet.bytes.len()).unwrap_or(u32::MAX);
        if packet.bytes.len() > MAX_FRAME {
            return Err(Damage::FrameLength(len));
        }
        Ok(Frame {
            number,
            time: packet.ticks.and_then(|ticks| interface.clock.time(ticks)),
            link: interface.link,
            bytes: packet.bytes,
            cut: len < packet.original_len,
        })
    }

    const fn u32(&self, bytes: [u8; 4]) -> u32 {
        if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
    }
}

/// The length stands before and after the body.
const fn sound(before: u32, after: u32) -> Result<(), Damage> {
    if before == after { Ok(()) } else { Err(Damage::Block) }
}
