//! Many packets at once.

use std::net::{IpAddr, Ipv4Addr};

use carp_node::backend::PacketIo;
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_proto::election::Advertisement;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::GROUP_IPV4;
use carp_proto::{Authenticator, CarpInterval, Key, Transmit, VirtualAddress, VirtualId};

use super::{SECONDS, VIP, in_virtual_time, pass, settle, setup, start, state, two_hosts};

/// As many as the queue of a socket holds.
const QUEUE: usize = 2000;

/// An advert that every router of the tests gives way to.
fn excellent() -> Vec<u8> {
    let address = VirtualAddress::new(VIP.into(), None).unwrap();
    let id = VirtualId::new(1).unwrap();
    let signer = Authenticator::new(&Key::new(b"secret").unwrap(), id, &[address]);
    let interval = CarpInterval { advbase: 1, advskew: 0 };
    let (counter, digest) = (1, signer.digest(1));
    let mut message = Vec::new();
    carp::emit(&Advert { vhid: 1, interval, demotion: 0, counter, digest }, &mut message);
    message
}

/// The same with a wrong checksum.
fn rejected() -> Vec<u8> {
    let mut message = excellent();
    message[6] ^= 1;
    message
}

fn send(from: &mut MemoryHost, message: &[u8]) {
    let advert = Transmit {
        source: IpAddr::from([192, 168, 130, 66]),
        destination: GROUP_IPV4.into(),
        payload: message,
        advertisement: Advertisement::Claim,
    };
    from.send(&advert, None).unwrap();
}

fn third_host(lan: &Lan) -> MemoryHost {
    lan.host("eth0", Ipv4Addr::new(192, 168, 130, 66))
}

#[test]
fn a_stalled_backup_hears_the_advert_behind_a_queue_of_rejected_ones() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let mut attacker = third_host(&lan);
        let _first = start(a.clone(), setup(0, true));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 5).await;
        assert_eq!(state(&second).await, "backup");
        // The backup does not run, and its queue fills.
        a.set_cut(true);
        (0..QUEUE).for_each(|_| send(&mut attacker, &rejected()));
        send(&mut attacker, &excellent());
        lan.advance_to(lan.now() + SECONDS * 4);
        settle().await;
        assert_eq!(state(&second).await, "backup");
        assert!(!b.has(VIP));
        let status = second.status().await.unwrap();
        assert_eq!(status[0].counters.rejected["bad-checksum"], QUEUE as u64);
        assert_eq!(status[0].transitions, 1, "from init");
        // Nothing more comes from there.
        pass(&lan, SECONDS * 4).await;
        assert_eq!(state(&second).await, "active");
    });
}

#[test]
fn a_backup_believes_its_timer_when_nothing_valid_is_in_its_queue() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let mut attacker = third_host(&lan);
        let _first = start(a.clone(), setup(0, true));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 5).await;
        a.set_cut(true);
        (0..QUEUE).for_each(|_| send(&mut attacker, &rejected()));
        lan.advance_to(lan.now() + SECONDS * 4);
        settle().await;
        assert_eq!(state(&second).await, "active");
        assert!(b.has(VIP));
    });
}
