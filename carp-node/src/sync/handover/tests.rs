use proptest::prelude::*;

use super::*;

const TIMEOUT: Duration = Duration::from_secs(15);

fn at(millis: u64) -> Instant {
    Instant::from_nanos(1_000_000_000) + Duration::from_millis(millis)
}

fn wanting() -> Requester {
    let mut requester = Requester::new(TIMEOUT);
    assert_eq!(requester.handle(at(0), RequesterInput::Ready { fresh: Want(1) }), None);
    assert_eq!(requester.want(), Some(Want(1)));
    requester
}

fn pulling() -> Requester {
    let mut requester = wanting();
    let quiesced = RequesterInput::PeerQuiesced(Some(Want(1)));
    assert_eq!(requester.handle(at(1_000), quiesced), Some(RequesterOutput::PullNow));
    requester
}

fn quiesced() -> Server {
    let mut server = Server::new(TIMEOUT);
    let wants = ServerInput::PeerWants(Some(Want(1)));
    assert_eq!(server.handle(at(0), wants), Some(ServerOutput::Quiesce));
    assert_eq!(server.quiesced(), None, "the hook runs");
    assert_eq!(server.handle(at(500), ServerInput::HookDone), None);
    assert_eq!(server.quiesced(), Some(Want(1)));
    server
}

#[test]
fn a_handover_goes_through_and_tells_the_freeze_on_both_sides() {
    let mut requester = pulling();
    assert!(!requester.may_take_over());
    let complete = requester.handle(at(1_800), RequesterInput::PullComplete);
    assert_eq!(complete, Some(RequesterOutput::TakeOver));
    assert!(requester.may_take_over());
    let freeze = Duration::from_millis(900);
    let active = requester.handle(at(1_900), RequesterInput::Active);
    assert_eq!(active, Some(RequesterOutput::Done { freeze }));
    assert_eq!((requester.want(), requester.deadline()), (None, None));
    let mut server = quiesced();
    let freeze = Duration::from_millis(1_900);
    assert_eq!(
        server.handle(at(1_900), ServerInput::SteppedDown),
        Some(ServerOutput::Unquiesce(Unquiesce::HandedOver { freeze }))
    );
    assert_eq!(server.quiesced(), None);
}

#[test]
fn writers_go_on_when_nobody_takes_over() {
    let mut server = quiesced();
    assert_eq!(server.deadline(), Some(at(15_000)));
    assert_eq!(server.handle(at(14_999), ServerInput::Tick), None);
    let undone = server.handle(at(15_000), ServerInput::Tick);
    assert_eq!(undone, Some(ServerOutput::Unquiesce(Unquiesce::TimedOut)));
    // The request is still in the peer's record: it is not answered twice.
    assert_eq!(server.handle(at(16_000), ServerInput::PeerWants(Some(Want(1)))), None);
    let other = server.handle(at(17_000), ServerInput::PeerWants(Some(Want(2))));
    assert_eq!(other, Some(ServerOutput::Quiesce));
}

#[test]
fn a_request_that_is_taken_back_and_a_hook_that_fails_let_writers_go_on() {
    for wanted in [None, Some(Want(2))] {
        let undone = quiesced().handle(at(600), ServerInput::PeerWants(wanted));
        assert_eq!(undone, Some(ServerOutput::Unquiesce(Unquiesce::Withdrawn)));
    }
    let mut server = Server::new(TIMEOUT);
    server.handle(at(0), ServerInput::PeerWants(Some(Want(1))));
    let undone = server.handle(at(1), ServerInput::HookFailed);
    assert_eq!(undone, Some(ServerOutput::Unquiesce(Unquiesce::HookFailed)));
}

#[test]
fn a_requester_gives_up_and_asks_again_later_each_time() {
    let mut requester = pulling();
    let failed = requester.handle(at(2_000), RequesterInput::PullFailed);
    assert_eq!(failed, Some(RequesterOutput::GivenUp(GivenUp::PullFailed)));
    assert_eq!((requester.want(), requester.deadline()), (None, Some(at(12_000))));
    assert_eq!(requester.handle(at(11_999), RequesterInput::Ready { fresh: Want(2) }), None);
    assert_eq!(requester.want(), None, "not yet");
    // A person does not wait.
    requester.handle(at(11_999), RequesterInput::Commanded { fresh: Want(3) });
    assert_eq!(requester.want(), Some(Want(3)));
    let over = requester.handle(at(11_999 + 13_000), RequesterInput::Tick);
    assert_eq!(over, Some(RequesterOutput::GivenUp(GivenUp::TimedOut)));
    assert_eq!(requester.deadline(), Some(at(11_999 + 13_000 + 20_000)));
}

#[test]
fn a_requester_that_the_election_leaves_waiting_says_so() {
    let mut requester = pulling();
    requester.handle(at(1_500), RequesterInput::PullComplete);
    assert!(requester.may_take_over());
    let over = requester.handle(at(13_000), RequesterInput::Tick);
    assert_eq!(over, Some(RequesterOutput::GivenUp(GivenUp::NotElected)));
    assert!(!requester.may_take_over(), "the peer's writers go on");
}

#[test]
fn a_requester_notices_that_the_quiesce_was_undone() {
    for answer in [None, Some(Want(9))] {
        let mut requester = pulling();
        requester.handle(at(1_500), RequesterInput::PullComplete);
        let undone = requester.handle(at(1_600), RequesterInput::PeerQuiesced(answer));
        assert_eq!(undone, Some(RequesterOutput::GivenUp(GivenUp::Undone)));
        assert!(!requester.may_take_over());
    }
    let mut requester = wanting();
    let other = requester.handle(at(10), RequesterInput::PeerQuiesced(Some(Want(9))));
    assert_eq!(other, None, "that is about another request");
}

/// What happens between a requester and a server.
#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    RequesterReads,
    ServerReads,
    HookDone,
    HookFailed,
    PullComplete,
    PullFailed,
    Ready,
    Unready,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_u64..6_000).prop_map(Step::Pass),
        4 => Just(Step::RequesterReads),
        4 => Just(Step::ServerReads),
        3 => Just(Step::HookDone),
        1 => Just(Step::HookFailed),
        3 => Just(Step::PullComplete),
        1 => Just(Step::PullFailed),
        4 => Just(Step::Ready),
        1 => Just(Step::Unready),
    ]
}

proptest! {
    /// However slowly records are read: who may take over does so while writers stand still.
    #[test]
    fn nobody_takes_over_while_writers_go_on(steps in proptest::collection::vec(step(), 1..60)) {
        let (mut requester, mut server) = (Requester::new(TIMEOUT), Server::new(TIMEOUT));
        let (mut now, mut next) = (at(0), 0);
        for step in steps {
            let tell = |requester: &mut Requester, input| requester.handle(now, input);
            match step {
                Step::Pass(millis) => now += Duration::from_millis(millis),
                Step::RequesterReads => {
                    tell(&mut requester, RequesterInput::PeerQuiesced(server.quiesced()));
                }
                Step::ServerReads => {
                    server.handle(now, ServerInput::PeerWants(requester.want()));
                }
                Step::HookDone => {
                    server.handle(now, ServerInput::HookDone);
                }
                Step::HookFailed => {
                    server.handle(now, ServerInput::HookFailed);
                }
                Step::PullComplete => {
                    tell(&mut requester, RequesterInput::PullComplete);
                }
                Step::PullFailed => {
                    tell(&mut requester, RequesterInput::PullFailed);
                }
                Step::Ready => {
                    next += 1;
                    tell(&mut requester, RequesterInput::Ready { fresh: Want(next) });
                }
                Step::Unready => {
                    tell(&mut requester, RequesterInput::Unready);
                }
            }
            // Timers are kept on both sides.
            requester.handle(now, RequesterInput::Tick);
            server.handle(now, ServerInput::Tick);
            if requester.may_take_over() {
                prop_assert!(server.quiesced().is_some());
                prop_assert_eq!(server.quiesced(), requester.want());
            }
        }
    }
}
