//! What a configuration says when it is asked is what it was made with.

mod support;

use std::time::Duration;

use carp_proto::election::{Phase, Posture};
use carp_proto::testing::{Extra, Setup, Version};
use carp_proto::{AdvBase, AdvSkew, Instant};
use support::{ms, secs};

#[test]
fn numbers_are_given_back() {
    for number in [0, 1, 7, 254] {
        assert_eq!(i64::from(AdvBase::new(number).unwrap().get()), number);
        assert_eq!(i64::from(AdvSkew::new(number).unwrap().get()), number);
    }
    assert_eq!(Instant::from_nanos(12_345).as_nanos(), 12_345);
}

#[test]
fn senders_are_the_peers_or_those_that_are_accepted_or_all() {
    for extra in [Extra::Nothing, Extra::Peers, Extra::Chosen] {
        let setup = Setup { extra, ..Setup::new() };
        let config = setup.config();
        assert_eq!(config.is_unicast(), extra == Extra::Peers, "{extra:?}");
        assert_eq!(config.heard(), setup.only().unwrap_or_default(), "{extra:?}");
    }
}

#[test]
fn owners_preempt_whatever_is_configured() {
    let preempts = |preempt, advskew| {
        let setup = Setup { vrrp: Some(Version::V3), preempt, advskew, ..Setup::new() };
        setup.config().preempts()
    };
    assert!(!preempts(false, 100) && preempts(true, 100));
    assert!(preempts(false, 0) && preempts(true, 0), "priority 255");
}

#[test]
fn the_detection_time_is_three_intervals_and_the_skew() {
    let carp = Setup { advskew: 0, advbase: 2, ..Setup::new() };
    assert_eq!(carp.config().active_down(), secs(6));
    let vrrp = Setup { vrrp: Some(Version::V2), advskew: 255 - 128, ..Setup::new() };
    assert_eq!(vrrp.config().active_down(), secs(3) + ms(500));
    // Only VRRP version 3 learns the interval of the active router, and that up to a limit.
    assert_eq!(carp.config().active_down_behind(secs(2)), secs(6));
    assert_eq!(vrrp.config().active_down_behind(secs(2)), secs(3) + ms(500));
    let learns = Setup { vrrp: Some(Version::V3), ..vrrp };
    assert_eq!(learns.config().active_down_behind(secs(2)), secs(7));
}

#[test]
fn the_least_ttl_is_255_unless_it_is_set() {
    let config = Setup { extra: Extra::Peers, ..Setup::new() }.config();
    assert_eq!(config.min_ttl(), 255);
    assert_eq!(config.with_min_ttl(250).unwrap().min_ttl(), 250);
}

#[test]
fn windows_and_delays_are_given_back() {
    let handover = Some(ms(700));
    let config = Setup { handover, preempt_delay: secs(9), ..Setup::new() }.config();
    assert_eq!((config.handover(), config.preempt_delay()), (ms(700), secs(9)));
    // The interval of 1 + 100/256 s, and one second.
    let usual = Setup::new().config().handover();
    assert_eq!(usual, secs(2) + Duration::from_nanos(390_625_000));
}

#[test]
fn phases_and_postures_have_the_names_that_logs_show() {
    let phases = [Phase::TakingOver, Phase::Serving, Phase::Leaving];
    assert_eq!(phases.map(Phase::name), ["taking-over", "serving", "leaving"]);
    let postures = [
        (Posture::Init, "init"),
        (Posture::Backup, "backup"),
        (Posture::Willing, "willing"),
        (Posture::Active, "active"),
        (Posture::Leaving, "leaving"),
        (Posture::Unanswered, "unanswered"),
    ];
    for (posture, name) in postures {
        assert_eq!((posture.name(), posture.to_string().as_str()), (name, name));
    }
}
