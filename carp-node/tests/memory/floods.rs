//! Many packets at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::task::{Context, Poll};
use std::time::Duration;

use carp_node::backend::memory::{Lan, MemoryClock, MemoryHost};
use carp_node::backend::{Backend, Clock, PacketIo, Port, Received};
use carp_proto::election::Advertisement;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::GROUP_IPV4;
use carp_proto::{
    Authenticator, CarpInterval, Instant, Key, MacAddr, Transmit, VirtualAddress, VirtualId,
};

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

/// A host on whose interface useless frames arrive without end, faster than they are read.
#[derive(Clone)]
struct Babel(MemoryHost);

/// After so many the runtime has a turn, as tokio's sockets give it one.
const BUDGET: u32 = 128;

struct Babbling {
    host: MemoryHost,
    read: u32,
}

impl PacketIo for Babbling {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        if let Poll::Ready(received) = self.host.poll_receive(cx, buffer) {
            return Poll::Ready(received);
        }
        self.read += 1;
        if self.read.is_multiple_of(BUDGET) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(Received::Useless))
    }

    fn send(&mut self, advert: &Transmit<'_>, source_mac: Option<MacAddr>) -> io::Result<()> {
        self.host.send(advert, source_mac)
    }

    fn kernel_dropped(&self) -> u64 {
        0
    }
}

impl Backend for Babel {
    type Packets = Babbling;
    type Addresses = MemoryHost;
    type Announcer = MemoryHost;
    type Links = MemoryHost;
    type Clock = PatientClock;

    fn open(&mut self, _: &Port) -> io::Result<Babbling> {
        Ok(Babbling { host: self.0.clone(), read: 0 })
    }

    fn addresses(&mut self) -> io::Result<MemoryHost> {
        self.0.addresses()
    }

    fn announcer(&mut self) -> io::Result<MemoryHost> {
        self.0.announcer()
    }

    fn watch(&mut self, interfaces: &[String]) -> io::Result<MemoryHost> {
        self.0.watch(interfaces)
    }

    fn clock(&mut self) -> io::Result<PatientClock> {
        Ok(PatientClock(self.0.clock()?))
    }
}

/// A clock whose timer says nothing while there is so much to read, as tokio's does then.
struct PatientClock(MemoryClock);

impl Clock for PatientClock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn time_of_day(&self) -> Duration {
        self.0.time_of_day()
    }

    fn time_asleep(&self) -> Duration {
        self.0.time_asleep()
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        // Virtual time goes from deadline to deadline: they have to be known.
        let _ = self.0.poll_deadline(cx, at);
        Poll::Pending
    }
}

#[test]
fn useless_frames_without_end_make_no_router_late() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let first = start(Babel(a.clone()), setup(0, true));
        let second = start(Babel(b.clone()), setup(100, false));
        pass(&lan, SECONDS * 5).await;
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        let sent = first.status().await.unwrap()[0].counters.adverts_sent;
        pass(&lan, SECONDS * 10).await;
        assert_eq!(first.status().await.unwrap()[0].counters.adverts_sent, sent + 10);
        a.set_cut(true);
        pass(&lan, SECONDS * 4).await;
        assert_eq!(state(&second).await, "active");
        assert!(b.has(VIP));
    });
}
