//! Nodes that run late, machines that sleep or stand still, and wall clocks that somebody sets.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use carp_node::addresses::Record;
use carp_node::backend::Announcer;
use carp_node::backend::memory::{Halt, Lan, MemoryHost};
use carp_node::backend::wrap::{Direction, Trace, Wrapped};
use carp_node::event::{self, EventKind};
use carp_node::node::{Extras, Handle, Node, RouterSetup};
use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Window};
use carp_proto::wire::classify;
use carp_proto::{Instant, Priority, RouterConfig, VirtualAddress, VirtualId, Vrrp3};

use super::{NODES, SECONDS, VIP, in_virtual_time, pass, run, setup, start, state, two_hosts};

const MILLIS: Duration = Duration::from_millis(1);

/// Lets time pass while a host does nothing; it is that of node `number` of the test, which must not be spoken
/// to meanwhile.
async fn halt(lan: &Lan, number: usize, host: &MemoryHost, why: Halt, time: Duration) {
    let node = NODES.with_borrow_mut(|nodes| nodes.remove(number));
    host.halt(why);
    pass(lan, time).await;
    host.go_on();
    NODES.with_borrow_mut(|nodes| nodes.insert(number, node));
}

/// An advert on the link: when it was sent, and its bytes.
type Sent = Rc<RefCell<Vec<(Instant, Vec<u8>)>>>;

/// Starts a node whose adverts are kept, with the time of the LAN.
fn start_traced(lan: &Lan, host: &MemoryHost, setup: RouterSetup) -> (Handle, Sent) {
    let sent = Sent::default();
    let (sink, lan) = (Rc::clone(&sent), lan.clone());
    let trace = Trace(move |direction, _: &str, packet: &[u8]| {
        if direction == Direction::Out {
            sink.borrow_mut().push((lan.now(), packet.to_vec()));
        }
    });
    (start(Wrapped::new(host.clone(), trace), setup), sent)
}

fn times(sent: &Sent, since: Instant) -> Vec<Instant> {
    sent.borrow().iter().map(|(at, _)| *at).filter(|at| *at >= since).collect()
}

/// A better router that preempts and is active, and a backup.
async fn pair(lan: &Lan) -> (MemoryHost, MemoryHost, [(Handle, Sent); 2]) {
    let (a, b) = two_hosts(lan);
    let first = start_traced(lan, &a, setup(0, true));
    let second = start_traced(lan, &b, setup(100, false));
    pass(lan, SECONDS * 5).await;
    assert_eq!((state(&first.0).await, state(&second.0).await), ("active".into(), "backup".into()));
    (a, b, [first, second])
}

/// Both serve for no longer than this from a moment on, looked at every 10 ms.
async fn dual_after(lan: &Lan, a: &MemoryHost, b: &MemoryHost, time: Duration) -> Duration {
    let mut dual = Duration::ZERO;
    let end = lan.now() + time;
    while lan.now() < end {
        pass(lan, MILLIS * 10).await;
        if a.has(VIP) && b.has(VIP) {
            dual += MILLIS * 10;
        }
    }
    dual
}

#[test]
fn f66_an_active_node_that_was_suspended_listens_before_it_says_anything() {
    for pause in [SECONDS * 10, SECONDS * 3600] {
        in_virtual_time(async |lan| {
            let (a, b, [(first, sent), (second, _)]) = pair(&lan).await;
            halt(&lan, 0, &a, Halt::Suspended, pause).await;
            assert_eq!(state(&second).await, "active");
            let woken = lan.now();
            pass(&lan, Duration::ZERO).await;
            assert!(!a.has(VIP), "it gives the address up at once");
            assert_eq!(first.status().await.unwrap()[0].cause, "paused");
            pass(&lan, SECONDS * 10).await;
            // It preempts, when it has heard the other one.
            assert!(times(&sent, woken)[0] >= woken + MILLIS * 250);
            assert_eq!((a.has(VIP), b.has(VIP)), (true, false));
        });
    }
}

#[test]
fn f66_a_suspend_of_a_second_makes_one_advert_late_and_nothing_else() {
    in_virtual_time(async |lan| {
        let (a, b, [(first, sent), (second, _)]) = pair(&lan).await;
        let before = (first.status().await.unwrap()[0].transitions, second.status().await);
        halt(&lan, 0, &a, Halt::Suspended, SECONDS).await;
        let woken = lan.now();
        pass(&lan, SECONDS * 5).await;
        assert_eq!(first.status().await.unwrap()[0].transitions, before.0);
        assert_eq!(second.status().await.unwrap()[0].transitions, before.1.unwrap()[0].transitions);
        let sent = times(&sent, woken);
        assert_eq!(sent[0], woken, "the late one is sent at once");
        let apart = |pair: &[Instant]| pair[1].saturating_since(pair[0]);
        assert!(sent.windows(2).all(|pair| apart(pair) >= MILLIS * 990), "{sent:?}");
        assert_eq!((a.has(VIP), b.has(VIP)), (true, false));
    });
}

#[test]
fn f66_a_backup_that_was_suspended_takes_nothing_over() {
    for pause in [SECONDS, SECONDS * 10, SECONDS * 3600] {
        in_virtual_time(async |lan| {
            let (a, b, [(first, _), (_, sent)]) = pair(&lan).await;
            let before = first.status().await.unwrap()[0].transitions;
            halt(&lan, 1, &b, Halt::Suspended, pause).await;
            pass(&lan, SECONDS * 10).await;
            assert_eq!(times(&sent, Instant::ZERO), [], "after {pause:?}");
            assert_eq!(first.status().await.unwrap()[0].transitions, before);
            assert_eq!((a.has(VIP), b.has(VIP)), (true, false));
        });
    }
}

#[test]
fn f9_of_a_frozen_machine_nothing_is_left_an_interval_after_it_goes_on() {
    in_virtual_time(async |lan| {
        let (a, b, [(first, _), (second, _)]) = pair(&lan).await;
        halt(&lan, 0, &a, Halt::Frozen, SECONDS * 60).await;
        assert!(a.has(VIP) && b.has(VIP), "nobody removes the address of a frozen machine");
        // Its clock stood still: it cannot know, and the better one of the two stays.
        let dual = dual_after(&lan, &a, &b, SECONDS * 5).await;
        assert!(dual <= SECONDS + MILLIS * 200, "{dual:?}");
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        assert_eq!((a.has(VIP), b.has(VIP)), (true, false));
    });
}

#[test]
fn f5_a_stopped_process_gives_the_address_up_when_it_goes_on() {
    in_virtual_time(async |lan| {
        let (a, b, [(first, sent), _]) = pair(&lan).await;
        halt(&lan, 0, &a, Halt::Process, SECONDS * 10).await;
        let woken = lan.now();
        pass(&lan, MILLIS * 200).await;
        // The adverts of the successor, which is worse, have waited for it. It listens all the same.
        assert_eq!(times(&sent, woken), []);
        assert_eq!((a.has(VIP), b.has(VIP)), (false, true));
        pass(&lan, SECONDS * 5).await;
        assert_eq!((a.has(VIP), b.has(VIP)), (true, false));
        assert_eq!(first.status().await.unwrap()[0].cause, "worse-peer");
    });
}

/// Three nodes: the first one resigns and the second one takes over, while the third one is stopped.
#[test]
fn f7_a_resignation_that_waited_in_a_socket_is_no_reason_to_take_over() {
    in_virtual_time(async |lan| {
        let (a, b, [(first, _), _]) = pair(&lan).await;
        let c = lan.host("eth0", Ipv4Addr::new(192, 168, 130, 30));
        let (_third, sent) = start_traced(&lan, &c, setup(200, false));
        pass(&lan, SECONDS * 3).await;
        let stops = tokio::task::spawn_local(async move {
            first.stop().await;
        });
        halt(&lan, 2, &c, Halt::Process, SECONDS * 10).await;
        stops.await.unwrap();
        assert_eq!((a.has(VIP), b.has(VIP)), (false, true));
        pass(&lan, SECONDS * 10).await;
        assert_eq!(times(&sent, Instant::ZERO), []);
        assert_eq!((b.has(VIP), c.has(VIP)), (true, false));
    });
}

#[test]
fn f7_all_that_waits_is_read_before_a_timer_is_believed() {
    in_virtual_time(async |lan| {
        let (_a, b, [_, (_, sent)]) = pair(&lan).await;
        // Others on the link, who come first in the queue: more than one batch of them.
        let noise = lan.host("eth0", Ipv4Addr::new(192, 168, 130, 77));
        let (mut backend, since) = (noise.clone(), lan.now());
        let crowd = tokio::task::spawn_local(async move {
            for _ in 0..300 {
                backend
                    .announce("eth0", None, &[Ipv4Addr::new(192, 168, 130, 78).into()], 1)
                    .unwrap();
            }
        });
        // The timer runs out after 3.4 s, and then the process goes on, late by less than an interval.
        halt(&lan, 1, &b, Halt::Process, MILLIS * 3_900).await;
        crowd.await.unwrap();
        pass(&lan, SECONDS * 5).await;
        assert_eq!(times(&sent, since), [], "the active router's adverts were behind the others");
    });
}

/// Events of a node that is alone.
async fn told_by(lan: &Lan, why: Halt, pause: Duration) -> (Vec<String>, Handle) {
    let (a, _) = two_hosts(lan);
    let (events, mut inbox) = event::channel();
    let extras = Extras { events, record: Record::in_memory(), prepare: None };
    let (node, handle) = Node::new(a.clone(), vec![setup(0, true)], extras).unwrap();
    run(node, &handle);
    pass(lan, SECONDS * 5).await;
    halt(lan, 0, &a, why, pause).await;
    pass(lan, SECONDS).await;
    let mut told = Vec::new();
    while let Ok(Some(happening)) = tokio::time::timeout(Duration::ZERO, inbox.recv()).await {
        if let EventKind::Late { .. } = happening.kind {
            told.push(happening.kind.to_string());
        }
    }
    (told, handle)
}

#[test]
fn who_was_late_says_how_late_and_whether_the_machine_slept() {
    in_virtual_time(async |lan| {
        let (told, node) = told_by(&lan, Halt::Process, SECONDS * 9).await;
        assert_eq!(told, ["ran 8000 ms late: this process did not run"]);
        let lateness = node.lateness().await.unwrap();
        assert_eq!(lateness.max_ms.0, SECONDS * 8);
        assert_eq!(lateness.later_than(Duration::from_secs(5)), 1);
    });
    in_virtual_time(async |lan| {
        let (told, _) = told_by(&lan, Halt::Suspended, SECONDS * 9).await;
        assert_eq!(told, ["ran 8000 ms late: the machine slept for 9000 ms"]);
    });
    in_virtual_time(async |lan| {
        let (told, _) = told_by(&lan, Halt::Process, SECONDS + MILLIS * 900).await;
        assert_eq!(told, [] as [&str; 0], "less than an interval is counted, and not told");
    });
}

fn signed(priority: i64, anti_replay: Option<AntiReplay>) -> RouterSetup {
    let address = VirtualAddress::new(VIP.into(), None).unwrap();
    let key = HmacKey::new(1, &[7; 32]).unwrap();
    let hmac = anti_replay
        .map(|rule| HmacAuthenticator::new(vec![key], 1, HmacMode::Enforce, rule).unwrap());
    let priority = Priority::try_from(priority).unwrap();
    let settings = Vrrp3 { priority, hmac, ..Vrrp3::default() };
    let config = RouterConfig::vrrp3(VirtualId::new(1).unwrap(), vec![address], settings).unwrap();
    RouterSetup::new("web", "eth0", config)
}

/// What was sent by whom and when, without what signatures differ in, and the transitions.
type Course = (Vec<Vec<(Instant, u8)>>, Vec<u64>);

/// An election, a takeover, a failback and a stop, while `step` sets clocks every 100 ms.
fn course(
    setups: &[RouterSetup; 2],
    step: impl Fn(u32, &MemoryHost, &MemoryHost) + Copy,
) -> Course {
    const PRIORITY: usize = 22;
    let mut course = Course::default();
    in_virtual_time(async |lan| {
        // Early enough for an hour back, and for the first adverts to be at whole seconds.
        lan.advance_to(Instant::ZERO + SECONDS * 1_000_000);
        let (a, b) = two_hosts(&lan);
        let [one, other] = setups.clone();
        let (first, sent) = start_traced(&lan, &a, one);
        let (second, sent_too) = start_traced(&lan, &b, other);
        for tick in 0..200 {
            step(tick, &a, &b);
            match tick {
                60 => a.set_cut(true),
                120 => a.set_cut(false),
                160 => first.stop().await,
                _ => {}
            }
            pass(&lan, MILLIS * 100).await;
        }
        let told = |sent: &Sent| {
            let sent = sent.borrow();
            sent.iter().map(|(at, packet)| (*at, packet[PRIORITY])).collect()
        };
        course = (vec![told(&sent), told(&sent_too)], transitions(&second).await);
        let first = &sent.borrow()[0].1;
        assert_eq!(first[PRIORITY], 200, "{:?}", classify(&first[20..]));
    });
    course
}

async fn transitions(node: &Handle) -> Vec<u64> {
    node.status().await.unwrap().iter().map(|router| router.transitions).collect()
}

#[test]
fn f64_whoever_sets_the_wall_clock_changes_nothing() {
    let window = AntiReplay::Time(Window::for_interval(SECONDS));
    for anti_replay in [None, Some(window), Some(AntiReplay::Monotonic)] {
        let setups = [signed(200, anti_replay), signed(100, anti_replay)];
        let quiet = course(&setups, |_, _, _| {});
        assert!(quiet.0.iter().all(|sent| sent.len() > 5), "{quiet:?}");
        assert_eq!(quiet.1, [4], "backup, active, backup, active");
        for seconds in [1, -1, 3_600, -3_600] {
            let once = course(&setups, |tick, a, b| match tick {
                40 => a.step_wall_clock(seconds),
                90 => b.step_wall_clock(seconds),
                _ => {}
            });
            assert_eq!(once, quiet, "{seconds} s, {anti_replay:?}");
            // Not at the very start: then the clock is looked at.
            let strobe = course(&setups, |tick, a, b| {
                let seconds = if tick == 0 { 0 } else { seconds };
                let step = if tick % 2 == 0 { seconds } else { -seconds };
                (if tick % 3 == 0 { a } else { b }).step_wall_clock(step);
            });
            assert_eq!(strobe, quiet, "strobing by {seconds} s, {anti_replay:?}");
        }
    }
}

#[test]
fn f64_clocks_that_were_wrong_at_the_start_and_are_put_right_end_the_quarrel() {
    in_virtual_time(async |lan| {
        lan.advance_to(Instant::ZERO + SECONDS * 1_000_000);
        let window = Some(AntiReplay::Time(Window::for_interval(SECONDS)));
        let (a, b) = two_hosts(&lan);
        a.step_wall_clock(-3_600);
        b.step_wall_clock(-600);
        let first = start(a.clone(), signed(200, window));
        let second = start(b.clone(), signed(100, window));
        pass(&lan, SECONDS * 10).await;
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "active".into()));
        a.step_wall_clock(3_600);
        b.step_wall_clock(600);
        pass(&lan, SECONDS * 3).await;
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        assert_eq!((a.has(VIP), b.has(VIP)), (true, false));
    });
}
