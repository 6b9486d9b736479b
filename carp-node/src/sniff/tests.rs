use std::io::ErrorKind;

use super::*;

/// Whether the kernel lets a frame through to a socket with the sniffer's filter. A socket of any family
/// can have one.
fn passes(frame: &[u8]) -> bool {
    let (sender, receiver) = Socket::pair(Domain::UNIX, Type::DGRAM, None).unwrap();
    receiver.attach_filter(&filter::adverts()).unwrap();
    receiver.set_nonblocking(true).unwrap();
    sender.send(frame).unwrap();
    let mut buffer = [0; 256];
    match rustix::net::recv(&receiver, &mut buffer, rustix::net::RecvFlags::empty()) {
        Ok((kept, _)) => {
            assert_eq!(&buffer[..kept], frame, "it is kept whole");
            true
        }
        Err(error) => {
            assert_eq!(io::Error::from(error).kind(), ErrorKind::WouldBlock);
            false
        }
    }
}

/// A frame with these types, one inside the other, and a packet whose byte at an offset is a protocol.
fn frame(types: &[u16], offset: usize, protocol: u8) -> Vec<u8> {
    let mut packet = vec![0; 60];
    packet[offset] = protocol;
    let tags = types.iter().flat_map(|ethertype| {
        let [high, low] = ethertype.to_be_bytes();
        [high, low, 0, 5]
    });
    // The last type is followed by the packet and not by the rest of a tag.
    let mut header: Vec<u8> = [0xee; 12].into_iter().chain(tags).collect();
    header.truncate(header.len() - 2);
    [header, packet].concat()
}

#[test]
fn the_kernel_lets_through_what_can_be_an_advert_with_and_without_tags() {
    for tags in [&[][..], &[0x8100], &[0x88a8], &[0x9100], &[0x88a8, 0x8100], &[0x8100, 0x8100]] {
        let with = |ethertype| [tags, &[ethertype]].concat();
        for protocol in 0..=255 {
            let ipv4 = frame(&with(0x0800), 9, protocol);
            assert_eq!(passes(&ipv4), [112, 51].contains(&protocol), "{tags:x?} {protocol}");
            let ipv6 = frame(&with(0x86dd), 6, protocol);
            let may_carry = [112, 51, 0, 43, 44, 60].contains(&protocol);
            assert_eq!(passes(&ipv6), may_carry, "{tags:x?} {protocol}");
        }
        assert!(passes(&frame(&with(0x0806), 0, 0)), "ARP {tags:x?}");
        assert!(!passes(&frame(&with(0x88cc), 9, 112)), "LLDP {tags:x?}");
    }
    assert!(!passes(&frame(&[0x8100, 0x8100, 0x8100, 0x0800], 9, 112)), "three tags");
    assert!(!passes(&frame(&[0x0800], 9, 112)[..20]), "cut");
}

#[test]
fn a_tag_that_the_kernel_took_off_is_put_back() {
    let bytes: Vec<u8> = (0..40).collect();
    let received = |tag| sys::Received { len: bytes.len(), time: Some((7, 9)), tag };
    let buffer = || {
        let mut buffer = vec![0; TAG_LEN + MAX_FRAME];
        buffer[TAG_LEN..][..bytes.len()].copy_from_slice(&bytes);
        buffer
    };
    let mut whole = buffer();
    let plain = super::frame(&mut whole, received(None));
    assert_eq!((plain.bytes, plain.len, plain.cut()), (&bytes[..], 40, false));
    assert_eq!(plain.time.unwrap().to_string(), "1970-01-01T00:00:07.000000009Z");

    let mut whole = buffer();
    let tagged = super::frame(&mut whole, received(Some((0x88a8, 5))));
    assert_eq!(tagged.bytes, [&bytes[..12], &[0x88, 0xa8, 0, 5], &bytes[12..]].concat());
    assert_eq!((tagged.len, tagged.cut()), (44, false));

    let mut whole = buffer();
    let long = super::frame(&mut whole, sys::Received { len: MAX_FRAME + 1, ..received(None) });
    assert_eq!((long.bytes.len(), long.cut()), (MAX_FRAME, true));
}
