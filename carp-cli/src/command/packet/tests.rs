use carp_node::capture::Reader;
use carp_node::dissect::{dissect, guess};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{
    self, AddressList, Authentication as Vrrp2Authentication, ChecksumForm, Ipv4List, Sequence,
    Trailer, v2,
};
use carp_proto::wire::{WireError, ah};
use carp_proto::{
    CarpInterval, Centiseconds, Priority, Reject, RxMeta, Seconds, VirtualAddress, VirtualId,
};
use proptest::prelude::*;

use super::*;

const ALL: [Authentication; 3] =
    [Authentication::Ok, Authentication::Bad, Authentication::Unchecked];

fn advert(advbase: u8, advskew: u8) -> Vec<u8> {
    let interval = CarpInterval { advbase, advskew };
    let advert = Advert { vhid: 42, interval, demotion: 0, counter: 0xabc, digest: [0; 20] };
    let mut bytes = Vec::new();
    carp::emit(&advert, &mut bytes);
    bytes
}

fn id(id: u8) -> VirtualId {
    VirtualId::new(id).unwrap()
}

fn vrrp2(priority: u8) -> Vec<u8> {
    let addresses = Ipv4List::new([[10, 99, 0, 150].into(), [10, 99, 0, 151].into()]).unwrap();
    let mut bytes = Vec::new();
    let advert = v2::Outgoing {
        id: id(51),
        priority: Priority::from_wire(priority),
        interval: Seconds::DEFAULT,
        addresses: &addresses,
        authentication: Vrrp2Authentication::None,
    };
    v2::emit(&advert, &mut bytes);
    bytes
}

/// An advert of version 3 to the group, signed if a key is named.
fn vrrp3(addresses: &[&str], form: ChecksumForm, key_id: Option<u8>) -> Vec<u8> {
    let addresses: Vec<VirtualAddress> =
        addresses.iter().map(|address| address.parse().unwrap()).collect();
    let list = AddressList::new(&addresses).unwrap();
    let meta = match &list {
        AddressList::Ipv4(_) => meta_ipv4(),
        AddressList::Ipv6(_) => meta_ipv6(),
    };
    let carrier = Carrier::new(&list, meta.source, meta.destination, form).unwrap();
    let interval = Centiseconds::from_wire(25);
    let advert = v3::Outgoing { id: id(54), priority: Priority::from_wire(150), interval, carrier };
    let mut bytes = Vec::new();
    match key_id {
        None => v3::emit(&advert, &mut bytes),
        Some(key_id) => {
            let sequence = Sequence::from_wire(0);
            let (extension, reserved, tag) = (1, 0, [0; vrrp::trailer::TAG_LEN]);
            let trailer = Trailer { extension, key_id, reserved, sequence, tag };
            v3::emit_signed(&advert, &trailer, &mut bytes);
        }
    }
    bytes
}

fn meta_ipv4() -> RxMeta {
    let (source, destination) = ([10, 99, 0, 1].into(), [224, 0, 0, 18].into());
    RxMeta { source, destination, ttl: 255 }
}

fn meta_ipv6() -> RxMeta {
    let (source, destination) = ("fe80::1".parse().unwrap(), "ff02::12".parse().unwrap());
    RxMeta { source, destination, ttl: 255 }
}

/// A packet in IPv4 or IPv6, as it is dissected.
fn packet(meta: &RxMeta, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let ttl = meta.ttl;
    let octets = |ip| match ip {
        std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
        std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let [high, low] = u16::try_from(payload.len() + 20).unwrap().to_be_bytes();
    let [high6, low6] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let fixed = match meta.source {
        std::net::IpAddr::V4(_) => vec![0x45, 0, high, low, 0, 0, 0, 0, ttl, protocol, 0, 0],
        std::net::IpAddr::V6(_) => vec![0x60, 0, 0, 0, high6, low6, protocol, ttl],
    };
    [fixed, octets(meta.source), octets(meta.destination), payload.to_vec()].concat()
}

fn in_ipv4(message: &[u8]) -> Vec<u8> {
    packet(&meta_ipv4(), 112, message)
}

fn in_ipv6(message: &[u8]) -> Vec<u8> {
    packet(&meta_ipv6(), 112, message)
}

fn record(packet: &[u8]) -> Record<'_> {
    let found = dissect(packet, Layer::Ip, false).unwrap();
    Record { frame: 7, time: None, layer: None, found }
}

fn text(packet: &[u8]) -> String {
    text::line(&record(packet), Authentication::Unchecked, false)
}

/// What comes after the sender and the receiver.
fn says(packet: &[u8]) -> String {
    let line = text(packet);
    let (_, says) = line.split_once("  VRRP").unwrap();
    says.trim_end().to_owned()
}

fn object(packet: &[u8]) -> serde_json::Value {
    serde_json::from_str(&json::line(&record(packet), Authentication::Unchecked).unwrap()).unwrap()
}

#[test]
fn an_advert_of_carp_is_one_line() {
    assert_eq!(
        text(&in_ipv4(&advert(1, 100))),
        "   7  -  10.99.0.1 > 224.0.0.18       CARP vhid 42  1+100/256 s  demotion 0  counter \
         0000000000000abc  ttl 255  authentication unchecked\n"
    );
    let resignation = text(&in_ipv4(&advert(255, 255)));
    assert!(resignation.contains("  resigns      demotion 0"), "{resignation}");
}

#[test]
fn an_advert_of_vrrp_is_one_line_with_the_meaning_of_its_priority() {
    assert_eq!(
        text(&in_ipv4(&vrrp2(150))),
        "   7  -  10.99.0.1 > 224.0.0.18       VRRPv2 vrid 51  priority 150  every 1 s  \
         10.99.0.150, 10.99.0.151  ttl 255  authentication none\n"
    );
    assert!(says(&in_ipv4(&vrrp2(0))).contains("  priority 0 (resigns)  "));
    assert!(says(&in_ipv4(&vrrp2(255))).contains("  priority 255 (owner)  "));
}

#[test]
fn version_3_names_its_checksum_and_its_signature() {
    let start = "v3 vrid 54  priority 150  every 0.25 s  10.99.0.154  ttl 255  authentication";
    for (form, key_id, rest) in [
        (ChecksumForm::PseudoHeader, None, "none  checksum with pseudo-header"),
        (ChecksumForm::Message, None, "none  checksum of the message"),
        (ChecksumForm::Message, Some(3), "hmac (key 3, unchecked)  checksum of the message"),
    ] {
        let packet = in_ipv4(&vrrp3(&["10.99.0.154"], form, key_id));
        assert_eq!(says(&packet), format!("{start} {rest}"));
    }
    let packet = in_ipv6(&vrrp3(&["fe80::54"], ChecksumForm::PseudoHeader, None));
    let rest = "every 0.25 s  fe80::54  ttl 255  authentication none";
    assert_eq!(says(&packet), format!("v3 vrid 54  priority 150  {rest}"));
}

#[test]
fn what_is_unusual_stands_out() {
    let mut damaged = advert(1, 0);
    damaged[6] ^= 1;
    let forwarded = packet(&RxMeta { ttl: 64, ..meta_ipv4() }, 112, &damaged);
    let plain = text::line(&record(&forwarded), Authentication::Bad, false);
    let expected = "  ttl 64  authentication bad  ! checksum bad  ! ttl not 255: it crossed a router  \
                    ! authentication failed: another key, or other addresses\n";
    assert!(plain.ends_with(expected), "{plain}");
    let colored = text::line(&record(&forwarded), Authentication::Bad, true);
    assert!(colored.contains("  \x1b[1;31m! checksum bad\x1b[0m  "), "{colored}");
}

#[test]
fn what_is_unusual_in_vrrp_is_said() {
    let unusual = |packet: &[u8]| -> Vec<String> {
        text(packet).trim_end().split("  ! ").skip(1).map(str::to_owned).collect()
    };
    let summed = |mut message: Vec<u8>| {
        message[6..8].fill(0);
        let sum = carp_proto::wire::checksum::checksum(&message).to_be_bytes();
        message[6..8].copy_from_slice(&sum);
        message
    };
    let with = |at: usize, byte: u8| {
        let mut message = vrrp2(100);
        message[at] = byte;
        summed(message)
    };
    assert_eq!(unusual(&in_ipv4(&with(1, 0))), ["vrid 0 names no router"]);
    assert_eq!(unusual(&in_ipv4(&with(5, 0))), ["an interval of 0"]);
    assert_eq!(unusual(&in_ipv4(&with(4, 2))), ["not inside AH"]);
    assert_eq!(unusual(&in_ipv4(&with(4, 9))), ["authentication type 9 is none"]);
    assert_eq!(unusual(&in_ipv6(&with(4, 0))), ["version 2 over IPv6"]);
    let empty = summed([&[0x21, 51, 100, 0, 0, 1, 0, 0], &[0; 8][..]].concat());
    assert_eq!(unusual(&in_ipv4(&empty)), ["no addresses"]);
    let in_ah = |message: &[u8]| {
        let header = [&[112, 4, 0, 0, 10, 99, 0, 1, 0, 0, 0, 9][..], &[0; 12]].concat();
        packet(&meta_ipv4(), ah::IP_PROTOCOL, &[&header, message].concat())
    };
    assert_eq!(unusual(&in_ah(&with(4, 2))), [""; 0]);
    assert!(text(&in_ah(&with(4, 2))).contains("  in AH spi 0x0a630001 sequence 9  "));
    assert_eq!(unusual(&in_ah(&with(4, 0))), ["inside AH, and does not say so"]);

    // A list that we would not send.
    let mut global = vrrp3(&["fe80::54"], ChecksumForm::PseudoHeader, None);
    global[8..10].copy_from_slice(&[0x20, 0x01]);
    let said = unusual(&in_ipv6(&global));
    assert_eq!(said[0], "checksum bad");
    assert_eq!(said[1], "the first address is not link-local, as FRR and keepalived may send it");
}

#[test]
fn objects_have_the_keys_of_the_contract() {
    let line = json::line(&record(&in_ipv4(&advert(1, 100))), Authentication::Bad).unwrap();
    assert_eq!(
        line,
        "{\"frame\":7,\"time\":null,\"source\":\"10.99.0.1\",\"destination\":\"224.0.0.18\",\
         \"ttl\":255,\"protocol\":\"carp\",\"length\":36,\"vhid\":42,\"advskew\":100,\
         \"advbase\":1,\"demotion\":0,\"counter\":\"0000000000000abc\",\"checksum\":\"ok\",\
         \"authentication\":\"bad\"}\n"
    );
    let start = "{\"frame\":7,\"time\":null,\"source\":\"10.99.0.1\",\
                 \"destination\":\"224.0.0.18\",\"ttl\":255,";
    let unchecked = |packet: &[u8]| json::line(&record(packet), Authentication::Unchecked).unwrap();
    assert_eq!(
        unchecked(&in_ipv4(&vrrp2(150))),
        format!(
            "{start}\"protocol\":\"vrrp2\",\"length\":24,\"vrid\":51,\"priority\":150,\
             \"interval_ms\":1000,\"addresses\":[\"10.99.0.150\",\"10.99.0.151\"],\
             \"auth_type\":\"none\",\"checksum\":\"ok\"}}\n"
        )
    );
    let signed = vrrp3(&["10.99.0.154"], ChecksumForm::PseudoHeader, Some(3));
    assert_eq!(
        unchecked(&in_ipv4(&signed)),
        format!(
            "{start}\"protocol\":\"vrrp3\",\"length\":40,\"vrid\":54,\"priority\":150,\
             \"interval_ms\":250,\"addresses\":[\"10.99.0.154\"],\"checksum\":\"ok\",\
             \"checksum_form\":\"pseudo-header\",\"auth\":\"hmac\",\"key_id\":3}}\n"
        )
    );
}

#[test]
fn a_checksum_has_a_form_only_if_it_can_be_told() {
    let form = |packet: &[u8]| {
        let object = object(packet);
        (object["checksum"].clone(), object["checksum_form"].clone())
    };
    let message = vrrp3(&["10.99.0.154"], ChecksumForm::Message, None);
    assert_eq!(form(&in_ipv4(&message)), ("ok".into(), "message".into()));
    let mut bad = message.clone();
    bad[6] ^= 1;
    assert_eq!(form(&in_ipv4(&bad)), ("bad".into(), serde_json::Value::Null));
    // The pseudo-header of this sender adds nothing: its adverts fit both forms.
    let source = [10, 0, 21, 113].into();
    let either = packet(&RxMeta { source, ..meta_ipv4() }, 112, &message);
    assert_eq!(form(&either), ("ok".into(), serde_json::Value::Null));
    assert!(text(&either).ends_with("  checksum of either form\n"), "{}", text(&either));
    // A bare message has no addresses of an IP header.
    let bare = |message| Record {
        frame: 1,
        time: None,
        layer: Some(Layer::Message),
        found: dissect(message, Layer::Message, true).unwrap(),
    };
    let with_pseudo_header = vrrp3(&["10.99.0.154"], ChecksumForm::PseudoHeader, None);
    let line = text::line(&bare(&with_pseudo_header), Authentication::Unchecked, false);
    assert!(line.ends_with("  checksum unchecked  (read as a message)\n"), "{line}");
    let line = text::line(&bare(&message), Authentication::Unchecked, false);
    assert!(line.ends_with("  checksum of the message  (read as a message)\n"), "{line}");
}

#[test]
fn a_tagged_frame_names_its_vlan() {
    let mut frame = vec![0xee; 12];
    frame.extend([0x81, 0, 0x60, 5, 8, 0]);
    frame.extend(in_ipv4(&vrrp2(150)));
    let link = carp_node::dissect::LinkType::Ethernet;
    let found = dissect(&frame, Layer::Link(link), false).unwrap();
    let record = Record { frame: 7, time: None, layer: None, found };
    let line = text::line(&record, Authentication::Unchecked, false);
    assert!(line.starts_with("   7  -  vlan 5  10.99.0.1 > "), "{line}");
    let line = json::line(&record, Authentication::Unchecked).unwrap();
    assert!(line.starts_with("{\"frame\":7,\"time\":null,\"vlan\":5,\"source\":"), "{line}");
}

/// Shows a packet in every way.
fn show(record: &Record<'_>) {
    for authentication in ALL {
        let line = text::line(record, authentication, false);
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
        let line = json::line(record, authentication).unwrap();
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["frame"], record.frame);
        let error = object["error"].as_str();
        assert!(error.is_none_or(|error| Reject::LABELS.contains(&error)), "{line}");
        assert!(error.is_some() || object["protocol"] != "unknown", "{line}");
        let keys: &[&str] = match object["protocol"].as_str().unwrap() {
            _ if error.is_some() => &["length"],
            "carp" => &["vhid", "counter"],
            _ => &["vrid", "priority", "interval_ms", "addresses"],
        };
        assert!(keys.iter().all(|key| !object[key].is_null()), "{line}");
    }
}

proptest! {
    #[test]
    fn whatever_a_capture_holds_it_can_be_shown(
        link in prop::sample::select(vec![0_u8, 1, 101, 108, 113, 228, 229]),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..4),
        start in prop::sample::select(vec![
            vec![],
            vec![0x45, 0, 0, 56, 0, 0, 0, 0, 255, 112, 0, 0],
            vec![0x60, 0, 0, 0, 0, 36, 112, 255],
            [&[0; 12][..], &[8, 0, 0x45, 0, 0, 56, 0, 0, 0, 0, 255, 51]].concat(),
        ]),
    ) {
        let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        file.extend([0; 12]);
        file.extend([link, 0, 0, 0]);
        for frame in frames {
            let frame = [&start[..], &frame].concat();
            let len = u32::try_from(frame.len()).unwrap().to_le_bytes();
            file.extend([[0; 4], [0; 4], len, len].concat());
            file.extend(frame);
        }
        let Ok(mut reader) = Reader::new(&file[..]) else { return Ok(()) };
        while let Ok(Some(frame)) = reader.next_frame() {
            if let Some(found) = dissect(frame.bytes, Layer::Link(frame.link), frame.cut) {
                show(&Record { frame: frame.number, time: frame.time, layer: None, found });
            }
        }
    }

    #[test]
    fn whatever_a_message_says_it_can_be_shown(
        start in prop::sample::select(vec![
            vec![],
            vrrp2(100),
            vrrp3(&["10.99.0.154"], ChecksumForm::Message, Some(1)),
            vrrp3(&["fe80::54"], ChecksumForm::PseudoHeader, None),
        ]),
        bytes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut message = start;
        for (at, byte) in bytes {
            if !message.is_empty() {
                *at.get_mut(&mut message) = byte;
            }
        }
        let kept = &message[..cut.index(message.len() + 1)];
        for (bytes, layer) in [
            (kept.to_vec(), Layer::Message),
            (kept.to_vec(), guess(kept)),
            (in_ipv4(&message), Layer::Ip),
            (in_ipv6(&message), Layer::Ip),
        ] {
            if let Some(found) = dissect(&bytes, layer, true) {
                show(&Record { frame: 1, time: None, layer: Some(layer), found });
            }
        }
    }
}

#[test]
fn what_cannot_be_read_names_its_reason() {
    let line = text(&in_ipv4(&[0x31, 7, 100, 2, 0, 100, 0, 0, 10, 0, 0, 1]));
    let expected = WireError::Length { found: 12, expected: 16 };
    assert!(line.ends_with(&format!("VRRPv3, 12 bytes  ttl 255  ! bad-length: {expected}\n")));
}
