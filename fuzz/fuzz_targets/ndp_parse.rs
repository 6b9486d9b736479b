//! Reading a packet of neighbour discovery is total; an announcement or a probe that is emitted again
//! reads as the same one.

#![no_main]

use carp_proto::MacAddr;
use carp_proto::wire::ndp::{self, Message};
use carp_proto::wire::{ethernet, ip};
use libfuzzer_sys::fuzz_target;

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0a]);

fuzz_target!(|packet: &[u8]| {
    if let Some(carried) = ip::find_message(packet, false).filter(|it| it.problem.is_none()) {
        assert_eq!(carried.payload.len(), carried.len);
        let padded = [packet, &[0xa5; 18]].concat();
        assert_eq!(ip::find_message(&padded, false), Some(carried));
    }

    let Ok(message) = ndp::parse(packet) else { return };
    let mut frame = Vec::new();
    match message {
        Message::Announcement(announcement) => {
            ndp::emit_frame(announcement, &mut frame);
            assert_eq!(frame.len(), ndp::FRAME_LEN);
        }
        // Answers are not emitted: kernels answer.
        Message::Answer { .. } => return,
        Message::Probe { target } => {
            ndp::emit_probe_frame(MAC, target, &mut frame);
            assert_eq!(frame.len(), ndp::PROBE_FRAME_LEN);
        }
    }
    assert_eq!(ndp::parse(&frame[ethernet::HEADER_LEN..]), Ok(message));
});
