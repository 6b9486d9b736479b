//! The examples do what they say.

#![expect(clippy::disallowed_methods, reason = "two routers run side by side, in real time")]

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use carp_proto::election::{Event, State};

#[path = "../examples/udp.rs"]
#[expect(dead_code, reason = "its main function is not called here")]
mod udp;

#[path = "../examples/simulation.rs"]
#[expect(dead_code, reason = "its main function is not called here")]
mod simulation;

#[test]
fn two_routers_over_udp_elect_the_better_one() {
    // Addresses of loopback that nobody else uses, so that the ports are free.
    let ends: [SocketAddr; 2] =
        ["127.77.0.1:7001".parse().unwrap(), "127.77.0.2:7002".parse().unwrap()];
    let (sender, events) = mpsc::channel::<Result<(SocketAddr, Event), String>>();
    for (own, peer, priority) in [(ends[0], ends[1], 200), (ends[1], ends[0], 100)] {
        let sender = sender.clone();
        // They run until the test is over.
        thread::spawn(move || {
            // Nobody listens any more if all went well.
            let tell = |event: Event| drop(sender.send(Ok((own, event))));
            let ended = udp::run(own, peer, priority, tell);
            drop(sender.send(Err(format!("{ended:?}"))));
        });
    }
    drop(sender);
    let active = events.iter().find_map(|told| match told {
        Ok((own, Event::State { to: State::Active, .. })) => Some(own),
        Ok(_) => None,
        Err(ended) => panic!("a router ended: {ended}"),
    });
    assert_eq!(active, Some(ends[0]));
}

#[test]
fn a_simulated_death_is_missed_for_an_active_down_interval_less_what_has_passed_of_it() {
    let [least, most] = [2_390, 3_391].map(Duration::from_millis);
    let takeover = Duration::from_millis(10);
    for gap in simulation::gaps(50).expect("no invariant is violated") {
        assert!(gap >= least && gap <= most + takeover, "{gap:?}");
    }
}
