//! The model on a play that is made up, which the tests of others use too.

use super::*;

pub(in crate::command::demo) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A play with adverts every second: the primary has died at 5 s, and the client asks every 5 ms.
pub(in crate::command::demo) fn crashed(now: Duration) -> Model {
    let setting = Setting {
        protocol: DemoProtocol::Carp,
        interval: ms(1000),
        asks_every: ms(5),
        expected: [ms(5000), ms(5500), ms(3500), ms(1200)],
    };
    let mut model = Model::new(setting);
    model.enter(Who::Primary, ms(0), State::Init);
    model.enter(Who::Secondary, ms(0), State::Init);
    model.enter(Who::Primary, ms(10), State::Backup);
    model.enter(Who::Secondary, ms(20), State::Backup);
    model.enter(Who::Primary, ms(3000), State::Active);
    let answers = (3020..5000).step_by(5);
    model.answers = answers.map(|at| Answer { at: ms(at), by: Who::Primary }).collect();
    model.counts = Counts { sent: 600, answered: 396, failed: 0 };
    model.acts.push((ms(5000), Act::Crash));
    model.die(Who::Primary, ms(5000));
    model.doing = "the primary's machine has lost power".into();
    assert!(now >= ms(5000), "the crash comes at 5 s");
    model
}

/// The same, after the secondary has taken over at 8.4 s.
pub(in crate::command::demo) fn taken_over(now: Duration) -> Model {
    let mut model = crashed(now);
    model.enter(Who::Secondary, ms(8380), State::Active);
    let answers = (8384..now.as_millis().try_into().unwrap()).step_by(5);
    model.answers.extend(answers.map(|at| Answer { at: ms(at), by: Who::Secondary }));
    model.switches.push(Switch {
        act: Act::Crash,
        outage: Span { from: ms(4995), to: ms(8384) },
        theory: Some(Span { from: ms(5000), to: ms(8380) }),
    });
    model
}

#[test]
fn a_state_lasts_until_the_next() {
    let model = crashed(ms(6000));
    assert_eq!(model.state_at(Who::Primary, ms(2999)), State::Backup);
    assert_eq!(model.state_at(Who::Primary, ms(3000)), State::Active);
    let states = model.states(Who::Primary, ms(6000));
    let last = (Span { from: ms(5000), to: ms(6000) }, State::Dead);
    assert_eq!((states.len(), states.last()), (4, Some(&last)));
}

#[test]
fn a_late_report_does_not_go_back_in_time() {
    let mut model = crashed(ms(6000));
    model.enter(Who::Primary, ms(4000), State::Down);
    assert_eq!(model.state_at(Who::Primary, ms(4500)), State::Active);
    assert_eq!(model.state_at(Who::Primary, ms(5000)), State::Down);
}

#[test]
fn a_dead_machine_is_dead_from_its_death_on() {
    let mut model = crashed(ms(6000));
    model.enter(Who::Secondary, ms(5600), State::Down);
    model.die(Who::Secondary, ms(5500));
    assert_eq!(model.state_at(Who::Secondary, ms(5499)), State::Backup);
    assert_eq!(model.state_at(Who::Secondary, ms(5700)), State::Dead);
}

#[test]
fn a_gap_is_open_until_the_next_answer() {
    let open = |now| crashed(now).gaps(now);
    assert_eq!(open(ms(5000)), []);
    let span = Span { from: ms(4995), to: ms(5200) };
    assert_eq!(open(ms(5200)), [Gap { span, open: true }]);
    let span = Span { from: ms(4995), to: ms(8384) };
    assert_eq!(taken_over(ms(9000)).gaps(ms(9000)), [Gap { span, open: false }]);
}

#[test]
fn an_outage_of_an_act_is_not_told_twice() {
    let span = Span { from: ms(4995), to: ms(8384) };
    assert_eq!(taken_over(ms(9000)).outages(ms(9000)), [Gap { span, open: false }]);
    let open = Gap { span: Span { from: ms(4995), to: ms(6000) }, open: true };
    assert_eq!(crashed(ms(6000)).outages(ms(6000)), [open]);
}

#[test]
fn a_turn_ends_with_the_first_answer_of_the_successor() {
    assert_eq!(crashed(ms(9000)).turn(Act::Crash), None);
    let turn = Span { from: ms(4995), to: ms(8384) };
    assert_eq!(taken_over(ms(9000)).turn(Act::Crash), Some(turn));
}

#[test]
fn a_server_leaves_between_its_resignation_and_its_end() {
    let mut model = taken_over(ms(9000));
    model.enter(Who::Secondary, ms(8900), State::Init);
    model.leave(Who::Secondary, ms(8800));
    model.leave(Who::Primary, ms(8800));
    let states = |who| [ms(8799), ms(8800), ms(8900)].map(|at| model.state_at(who, at));
    assert_eq!(states(Who::Secondary), [State::Active, State::Leaving, State::Init]);
    assert_eq!(states(Who::Primary), [State::Dead; 3]);
}

#[test]
fn figures_are_rounded_to_a_tenth() {
    assert_eq!(millis(Duration::from_micros(3_389_549)), "3389.5 ms");
    assert_eq!(millis(Duration::from_micros(9_950)), "10.0 ms");
    assert_eq!(seconds(ms(3_350)), "3.4 s");
}
