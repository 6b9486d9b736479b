//! The examples do what they say.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;

use carp_proto::election::{Event, State};

#[path = "../examples/udp.rs"]
#[expect(dead_code, reason = "its main function is not called here")]
mod udp;

#[test]
fn two_routers_over_udp_elect_the_better_one() {
    // Addresses of loopback that nobody else uses, so that any port is free.
    let ends: [SocketAddr; 2] =
        ["127.77.0.1:7112".parse().unwrap(), "127.77.0.2:7112".parse().unwrap()];
    let (sender, events) = mpsc::channel();
    for (own, peer, advskew) in [(ends[0], ends[1], 0), (ends[1], ends[0], 200)] {
        let sender = sender.clone();
        thread::spawn(move || {
            // They run until the test is over.
            let _ = udp::run(own, peer, advskew, &mut |event| sender.send((own, event)).is_ok());
        });
    }
    let (first, event) = events
        .iter()
        .find(|(_, event)| matches!(event, Event::State { to: State::Active, .. }))
        .expect("somebody becomes active");
    assert_eq!(first, ends[0], "{event:?}");
}
