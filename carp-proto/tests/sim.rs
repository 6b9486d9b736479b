//! The simulator: it repeats exactly, what it checks holds, and what is wrong it finds.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use carp_proto::Family;
use carp_proto::election::Dialect;
use carp_proto::sim::{
    Bug, Chance, Fault, HostSpec, Invariant, Scenario, Spec, SpecSpeech, Step, Transcript, View,
    Violation, Weather, judge, judge_on, minimise, random_scenario,
};

/// Enough for a look in every build; `make simulate-many` plays millions.
const SEEDS: std::ops::Range<u64> = 0..60;

/// Two routers that are quick to set up.
const PAIR: &str = "\
carp-scenario 1
seed 1
until 40s
weather delay 0s jitter 2ms loss 0% duplicate 0% reorder 0%
host left 10.99.0.1 fe80::1
router carp native id 1 advbase 1 advskew 0 preempt yes addresses 192.0.2.100
host right 10.99.0.2 fe80::2
router carp native id 1 advbase 1 advskew 100 preempt yes addresses 192.0.2.100
";

fn scenario(steps: &str) -> Scenario {
    format!("{PAIR}{steps}").parse().expect("a scenario")
}

fn found(scenario: &Scenario) -> Option<Invariant> {
    judge(scenario).expect("it can be played").violation.map(|violation| violation.invariant)
}

#[test]
fn every_invariant_holds_in_random_scenarios() {
    for seed in SEEDS {
        let verdict = judge(&random_scenario(seed)).unwrap();
        assert_eq!(verdict.violation, None, "seed {seed}");
    }
}

/// What no random scenario contains, no random scenario tests.
#[test]
fn random_scenarios_have_every_kind_of_fault_of_weather_and_of_router() {
    let mut words = BTreeSet::new();
    let mut kinds = BTreeMap::new();
    let mut speeches = BTreeMap::new();
    for seed in 0..2_000 {
        let scenario = random_scenario(seed);
        let text = scenario.to_string();
        let steps = text.lines().filter_map(|line| line.strip_prefix("at "));
        words.extend(steps.filter_map(|step| Some(step.split(' ').nth(1)?.to_owned())));
        for (kind, has) in kinds_of(&scenario) {
            *kinds.entry(kind).or_insert(0) += i32::from(has);
        }
        for spec in scenario.hosts.iter().flat_map(|host| &host.routers) {
            *speeches.entry(speech(spec)).or_insert(0) += 1;
        }
    }
    let all = [
        "allow", "boot", "crash", "cut", "demote", "freeze", "heal", "in-use", "kill", "pause",
        "plug-in", "prefer", "refuse", "remove", "rerank", "restart", "retime", "split", "start",
        "stop", "unplug", "weather", "yield",
    ];
    assert_eq!(words.into_iter().collect::<Vec<_>>(), all);
    assert!(kinds.values().all(|count| *count > 10), "{kinds:?}");
    let of_carp = |families| Dialect::ALL.map(|dialect| format!("CARP {dialect} over {families}"));
    let of_vrrp = ["VRRPv2 over IPv4", "VRRPv3 over IPv4", "VRRPv3 over IPv6"];
    let signed = ["signed VRRPv3 over IPv4", "signed VRRPv3 over IPv6"];
    let all = ["IPv4", "IPv6", "both"].map(of_carp).concat().into_iter();
    let all = all.chain(of_vrrp.into_iter().chain(signed).map(str::to_owned));
    assert_eq!(speeches.keys().cloned().collect::<BTreeSet<_>>(), all.collect());
    assert!(speeches.values().all(|count| *count > 10), "{speeches:?}");
}

/// What a scenario may have, and whether it has it.
fn kinds_of(scenario: &Scenario) -> [(&'static str, bool); 13] {
    let Weather { delay, jitter, loss, duplicate, reorder } = scenario.weather;
    let dialect = |host: &HostSpec, link: usize| match host.routers[link].speech {
        SpecSpeech::Carp { dialect, .. } => Some(dialect),
        SpecSpeech::Vrrp2 { .. } | SpecSpeech::Vrrp3 { .. } => None,
    };
    let mixed = |link: usize| {
        let first = dialect(&scenario.hosts[0], link);
        scenario.hosts.iter().any(|host| dialect(host, link) != first)
    };
    let any =
        |has: fn(&Spec) -> bool| scenario.hosts.iter().flat_map(|host| &host.routers).any(has);
    let shorter = |spec: &Spec| spec.handover.is_some_and(|it| it < Duration::from_millis(100));
    let longer = |spec: &Spec| spec.handover.is_some_and(|it| it > Duration::from_secs(5));
    [
        ("delay", !delay.is_zero()),
        ("jitter", !jitter.is_zero()),
        ("loss", loss != Chance::NEVER),
        ("duplication", duplicate != Chance::NEVER),
        ("reordering", reorder != Chance::NEVER),
        ("all of these", [loss, duplicate, reorder].iter().all(|it| *it != Chance::NEVER)),
        ("a group of two", scenario.links() == 2),
        ("a group of three", scenario.links() == 3),
        ("mixed dialects", (0..scenario.links()).any(mixed)),
        ("peers", any(|spec| !spec.peers.is_empty())),
        ("a wait before preemption", any(|spec| !spec.preempt_delay.is_zero())),
        ("a short handover", any(shorter)),
        ("a long handover", any(longer)),
    ]
}

/// The protocol of a router, and the families in which it speaks it.
fn speech(spec: &Spec) -> String {
    let protocol = match spec.speech {
        SpecSpeech::Carp { dialect, .. } => format!("CARP {dialect}"),
        SpecSpeech::Vrrp2 { .. } => "VRRPv2".to_owned(),
        SpecSpeech::Vrrp3 { signed: false, .. } => "VRRPv3".to_owned(),
        SpecSpeech::Vrrp3 { signed: true, .. } => "signed VRRPv3".to_owned(),
    };
    let speaks = |family| spec.addresses.iter().any(|it| it.family() == family);
    let families = match [Family::Ipv4, Family::Ipv6].map(speaks) {
        [true, true] => "both",
        [true, false] => "IPv4",
        [false, true] => "IPv6",
        [false, false] => "nothing",
    };
    format!("{protocol} over {families}")
}

/// What a random scenario has found once, made small. The names say what went wrong.
#[test]
fn scenarios_that_have_failed_once_do_not_any_more() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/failed");
    let mut played = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let scenario: Scenario = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        assert_eq!(judge(&scenario).unwrap().violation, None, "{}", path.display());
        played += 1;
    }
    assert_eq!(played, 12, "each of them is played, and none was forgotten");
}

/// The seeds and hashes of `known-runs.txt`. What changes them on purpose (a change of the election, of the simulator or
/// of the generator) writes new ones: `KNOWN_RUNS=write`. Machines, compilers and optimisation must not, and so
/// `simulate-many` checks the same file in release.
#[test]
fn the_runs_of_these_seeds_never_change() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/known-runs.txt");
    let run = |seed| format!("{seed} {}\n", judge(&random_scenario(seed)).unwrap().hash);
    let runs: String = (0..16).map(run).collect();
    if std::env::var_os("KNOWN_RUNS").is_some_and(|it| it == "write") {
        std::fs::write(path, &runs).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), runs);
}

#[test]
fn the_text_of_a_scenario_is_the_same_scenario_and_the_same_run() {
    for seed in SEEDS {
        let scenario = random_scenario(seed);
        let read: Scenario = scenario.to_string().parse().unwrap();
        assert_eq!(read, scenario, "seed {seed}");
    }
    let scenario = random_scenario(5);
    let read: Scenario = scenario.to_string().parse().unwrap();
    assert_eq!(judge(&read), judge(&scenario));
}

#[test]
fn a_text_that_is_no_scenario_is_refused_with_its_line() {
    for (text, line) in [
        ("", 1),
        ("seed 1", 1),
        ("carp-scenario 2", 1),
        ("carp-scenario 1\nhash xyz", 2),
        ("carp-scenario 1\nrouter carp native", 2),
        ("carp-scenario 1\n\n# a comment\nuntil soon", 4),
        ("carp-scenario 1\nhost a 10.0.0.1 fe80::1\nrouter carp native advskew 255", 3),
        ("carp-scenario 1\nhost a 10.0.0.1 fe80::1\nat 1s crash b", 3),
        ("carp-scenario 1\nhost a 10.0.0.1 fe80::1\nat 1s crash a now", 3),
        ("carp-scenario 1\nhost a 10.0.0.1 fe80::1\nat 2s crash a\nat 1s boot a", 4),
        ("carp-scenario 1\nweather loss 101%", 2),
    ] {
        let error = text.parse::<Scenario>().expect_err(text);
        assert_eq!(error.line, line, "{text:?}: {error}");
    }
}

#[test]
fn a_run_does_not_depend_on_the_origin_of_time() {
    for seed in SEEDS.step_by(4) {
        let scenario = random_scenario(seed);
        let mut later = scenario.lan().unwrap().with_origin(Duration::from_secs(1 << 30));
        assert_eq!(judge_on(&scenario, &mut later), judge(&scenario).unwrap(), "seed {seed}");
    }
}

#[test]
fn datagrams_that_are_rejected_change_nothing() {
    for seed in SEEDS.step_by(4) {
        let scenario = random_scenario(seed);
        let noisy = Scenario { noise: Chance::percent(50), ..scenario.clone() };
        assert_eq!(judge(&noisy), judge(&scenario), "seed {seed}");
    }
}

/// A router that yields at every datagram that is damaged: noise shows where both are active, as losses have it.
#[test]
fn a_recording_of_a_run_with_noise_is_the_same_run() {
    let weather = Weather::read("loss 50%").unwrap();
    let quiet = Scenario { weather, bugs: vec![(0, Bug::BelievesEverything)], ..scenario("") };
    let noisy = Scenario { noise: Chance::per_million(525_000), ..quiet.clone() };
    let verdict = judge(&noisy).unwrap();
    let found = verdict.violation.as_ref().map(|violation| violation.invariant);
    assert_eq!(found, Some(Invariant::NonInterference));
    let text = Scenario { hash: Some(verdict.hash), ..noisy.clone() }.to_string();
    assert!(text.contains("\nnoise 52.5%\n"), "{text}");
    let read: Scenario = text.parse().unwrap();
    assert_eq!((read.noise, read.hash), (noisy.noise, Some(verdict.hash)));
    assert_eq!(judge(&read).unwrap(), verdict);
    // Without it, it is another run, and nothing is to be found in it; so what is made small keeps it.
    assert_eq!(judge(&quiet).unwrap().violation, None);
    let small = minimise(&read, |it| self::found(it) == Some(Invariant::NonInterference));
    assert_eq!(small.noise, noisy.noise);
    assert!(!quiet.to_string().contains("noise"));
}

#[test]
fn noise_that_is_not_needed_for_a_failure_is_left_out() {
    let noisy = Scenario { noise: Chance::percent(50), ..scenario("at 10s crash left\n") };
    let small = minimise(&noisy, |it| !it.steps.is_empty());
    assert_eq!((small.noise, small.steps.len()), (Chance::NEVER, 1));
}

#[test]
fn what_was_done_is_recorded_unless_it_changes_nothing() {
    let names = ["left", "right"];
    // The left one serves.
    for (what, changes) in [
        ("boot left", false),
        ("start left", false),
        ("plug-in right", false),
        ("heal", false),
        ("allow left", false),
        ("demote left by 0", false),
        ("yield right", false),
        ("in-use right", false),
        ("remove right", false),
        ("weather delay 0s jitter 2ms", false),
        ("split", false),
        ("crash right", true),
        ("kill right", true),
        ("restart right", true),
        ("unplug right", true),
        ("cut left right", true),
        ("split left", true),
        ("refuse right", true),
        ("demote right by 9", true),
        ("yield left", true),
        ("remove left", true),
        ("freeze right for 1s", true),
        ("weather loss 1%", true),
    ] {
        let step = Step { at: Duration::from_secs(10), fault: Fault::read(what, &names).unwrap() };
        let mut lan = scenario("").lan().unwrap();
        lan.boot_all();
        lan.run_until(step.at);
        lan.apply(step.fault);
        let recorded = if changes { vec![step] } else { vec![] };
        assert_eq!(lan.record().steps, recorded, "{what}");
        // What was done is done; only a restart is one again.
        lan.apply(step.fault);
        let again = usize::from(what == "restart right");
        assert_eq!(lan.record().steps.len(), recorded.len() + again, "{what}");
    }
}

#[test]
fn who_begins_to_take_over_from_whom_is_recorded() {
    let steps = "at 10s crash left\nat 20s boot left\nat 30s cut left right\n";
    let scenario = scenario(steps);
    let mut lan = scenario.lan().unwrap();
    judge_on(&Scenario { settles: false, ..scenario }, &mut lan);
    let claims = &lan.record().claims;
    let claims: Vec<_> = claims.iter().map(|it| (it.host, it.heard, it.unbeaten)).collect();
    // The first one, the one after the crash, the one that preempts, and the one that hears nobody.
    assert_eq!(claims, [(0, 0, 0), (1, 0, 0), (0, 0b10, 0), (1, 0, 0)]);
    // Each second advert is lost: the worse one takes over again and again from one that it could hear.
    let lossy = Scenario { weather: Weather::read("loss 50%").unwrap(), ..self::scenario("") };
    let mut lan = lossy.lan().unwrap();
    judge_on(&Scenario { settles: false, ..lossy }, &mut lan);
    assert!(lan.record().claims.iter().any(|it| (it.host, it.unbeaten) == (1, 0b01)));
}

/// What is found first in the random scenario of a seed in which the first host has this bug.
fn caught(bug: Bug, seed: u64) -> Option<Violation> {
    let noise = Chance::percent(if bug == Bug::BelievesEverything { 10 } else { 0 });
    let scenario = Scenario { noise, bugs: vec![(0, bug)], ..random_scenario(seed) };
    judge(&scenario).unwrap().violation
}

#[test]
fn every_planted_bug_is_found_as_what_it_is() {
    for bug in Bug::ALL {
        // Where a hold ends after a minute of the same active router, few of them show what it does.
        let mut seeds = if bug == Bug::IgnoresBetterAfterAMinute { 1_000..1_400 } else { 0..400 };
        let caught = seeds.find_map(|seed| caught(bug, seed));
        let caught = caught.unwrap_or_else(|| panic!("{bug:?} was not found"));
        let expected: &[Invariant] = match bug {
            Bug::KeepsAddresses | Bug::TakesAddressesAtOnce => &[Invariant::Agreement],
            Bug::ForgetsToReport | Bug::NeverWakes => {
                &[Invariant::Convergence, Invariant::BoundedGap, Invariant::BestServes]
            }
            Bug::IgnoresBetter => &[Invariant::Convergence, Invariant::BoundedDual],
            Bug::IgnoresBetterAfterAMinute => &[Invariant::BoundedDual],
            Bug::SpeaksAsBackup => &[Invariant::Order],
            Bug::StoppedClock => &[Invariant::ListensFirst],
            Bug::EndlessLease => &[Invariant::Lease],
            Bug::LeavesInSilence | Bug::NeverStopsResigning => &[Invariant::Goodbye],
            Bug::IgnoresResignations | Bug::TakesAddressesLate => &[Invariant::BoundedGap],
            Bug::HalfAGroup => &[Invariant::WholeGroup, Invariant::Convergence],
            Bug::BelievesEverything => &[Invariant::NonInterference],
            Bug::SkipsAdverts => &[Invariant::Timeliness],
            Bug::SpinsOnDeadlines => &[Invariant::Bounded],
            Bug::Rejoins => &[Invariant::Stability],
            Bug::NeverPreempts => &[Invariant::BestServes],
            _ => panic!("what finds {bug:?}?"),
        };
        assert!(expected.contains(&caught.invariant), "{bug:?} was found as: {caught}");
    }
}

/// An invariant that finds nothing, whatever is wrong, is worth nothing.
#[test]
fn every_invariant_finds_a_bug_by_itself() {
    for invariant in Invariant::ALL {
        let bug = match invariant {
            Invariant::Convergence => Bug::NeverWakes,
            Invariant::Stability => Bug::Rejoins,
            Invariant::BoundedDual => Bug::IgnoresBetter,
            Invariant::BoundedGap => Bug::IgnoresResignations,
            Invariant::Agreement => Bug::KeepsAddresses,
            Invariant::Lease => Bug::EndlessLease,
            Invariant::NonInterference => Bug::BelievesEverything,
            Invariant::Order => Bug::SpeaksAsBackup,
            Invariant::Timeliness => Bug::SkipsAdverts,
            Invariant::Bounded => Bug::SpinsOnDeadlines,
            Invariant::Goodbye => Bug::LeavesInSilence,
            Invariant::ListensFirst => Bug::StoppedClock,
            Invariant::WholeGroup => Bug::HalfAGroup,
            Invariant::BestServes => Bug::NeverPreempts,
            _ => panic!("what does {invariant} find?"),
        };
        let finds = |seed| caught(bug, seed).is_some_and(|caught| caught.invariant == invariant);
        assert!((0..400).any(finds), "{invariant} does not find {bug:?}");
    }
}

/// A hold lasts a minute, and what preempts at its end does so long after all has become well.
#[test]
fn a_preemption_at_the_end_of_a_hold_leaves_neither_two_active_nor_nobody_with_the_addresses() {
    let yielded = scenario("at 10s yield left\n");
    assert_eq!(found(&yielded), None, "without a bug all is well");
    for (host, bug, invariant) in [
        (1, Bug::IgnoresBetterAfterAMinute, Invariant::BoundedDual),
        (0, Bug::TakesAddressesLate, Invariant::BoundedGap),
    ] {
        let planted = Scenario { bugs: vec![(host, bug)], ..yielded.clone() };
        let violation = judge(&planted).unwrap().violation.unwrap_or_else(|| panic!("{bug:?}"));
        assert_eq!(violation.invariant, invariant, "{bug:?} was found as: {violation}");
        assert!(violation.at > Duration::from_secs(70), "{bug:?} was found early: {violation}");
    }
}

/// However it comes: to a machine that boots, a daemon that starts or a link that is plugged in.
#[test]
fn a_better_router_that_comes_back_leaves_nobody_with_the_addresses_for_no_longer_than_an_election()
{
    for (goes, comes) in [("crash", "boot"), ("stop", "start"), ("unplug", "plug-in")] {
        let steps = format!("at 10s {goes} left\nat 30s {comes} left\n");
        let comes_back = scenario(&steps);
        assert_eq!(found(&comes_back), None, "without the bug all is well: {comes}");
        let late = Scenario { bugs: vec![(0, Bug::TakesAddressesLate)], ..comes_back };
        assert_eq!(found(&late), Some(Invariant::BoundedGap), "{comes}");
    }
}

#[test]
fn a_goodbye_that_is_said_too_often_is_found_and_so_is_one_that_is_not_said() {
    // In VRRP a successor waits for its skew time, and what it says is heard after both resignations.
    let often = "vrrp3 id 1 priority 200 interval 1s addresses";
    let yields = "at 10s yield left\n";
    let refused = "at 10s kill left\nat 10s refuse left\n";
    for (bug, router, steps, text) in [
        (Bug::NeverStopsResigning, often, yields, "it resigns again and again"),
        (Bug::LeavesInSilence, often, yields, "it is told to leave, and does not resign"),
        (Bug::LeavesInSilence, "", refused, "it fails without saying that others have to serve"),
    ] {
        let usual = "carp native id 1 advbase 1 advskew 0 preempt yes addresses";
        let worse = "carp native id 1 advbase 1 advskew 100 preempt yes addresses";
        let pair = match router {
            "" => PAIR.to_owned(),
            better => PAIR.replace(usual, better).replace(worse, &better.replace("200", "100")),
        };
        let scenario: Scenario = format!("{pair}{steps}").parse().unwrap();
        assert_eq!(found(&scenario), None, "without the bug all is well");
        let planted = Scenario { bugs: vec![(0, bug)], ..scenario };
        let violation = judge(&planted).unwrap().violation.expect(text);
        assert_eq!((violation.invariant, violation.text.as_str()), (Invariant::Goodbye, text));
        assert_eq!(violation.place, Some((0, 0)));
    }
}

#[test]
fn a_scenario_that_fails_is_made_small_and_its_replay_is_the_same_run() {
    let failing = (0..100)
        .map(|seed| Scenario { bugs: vec![(0, Bug::KeepsAddresses)], ..random_scenario(seed) })
        .find(|scenario| found(scenario) == Some(Invariant::Agreement) && scenario.steps.len() > 4);
    let failing = failing.expect("it is found");
    let small = minimise(&failing, |it| found(it) == Some(Invariant::Agreement));
    assert!(small.steps.len() <= 2 && small.hosts.len() <= 2, "{small}");
    let verdict = judge(&small).unwrap();
    let saved = Scenario { hash: Some(verdict.hash), ..small }.to_string();
    let replayed: Scenario = saved.parse().unwrap();
    assert_eq!(judge(&replayed).unwrap(), verdict);
    assert_eq!(replayed.hash, Some(verdict.hash));
}

#[test]
fn a_transcript_tells_a_crash_so_that_it_can_be_read() {
    let scenario = scenario("at 10s crash left\n");
    let mut lan = scenario.lan().unwrap();
    lan.keep_entries();
    assert_eq!(judge_on(&scenario, &mut lan).violation, None);
    let transcript =
        Transcript { entries: lan.trace().entries(), names: &scenario.names(), links: 1 };
    let text = transcript.to_string();
    let crash = text.lines().position(|line| line.ends_with("left   ! crash left")).unwrap();
    let after: Vec<&str> = text.lines().skip(crash + 1).take(3).collect();
    let [advert, acquired, active] = after.as_slice() else { panic!("{text}") };
    assert!(advert.contains("right  advert (1+100/256 s)"), "{advert}");
    assert!(acquired.contains("right  has the addresses"), "{acquired}");
    assert!(active.contains("right  backup -> active (active-down)"), "{active}");
}

#[test]
fn a_router_that_comes_back_with_another_rank_says_so() {
    let vrrp =
        |priority: &str| format!("router vrrp3 id 1 priority {priority} interval 1s addresses");
    let pair = PAIR
        .replace("router carp native id 1 advbase 1 advskew 0 preempt yes addresses", &vrrp("200"))
        .replace(
            "router carp native id 1 advbase 1 advskew 100 preempt yes addresses",
            &vrrp("100"),
        );
    for (text, advert) in [
        (pair.clone(), "left   advert (priority 105, 1s)"),
        (pair.replace("priority 200", "priority 255"), "left   advert (priority 255, 1s)"),
        (PAIR.to_owned(), "left   advert (1+150/256 s)"),
    ] {
        // Its peer does not run: there is only one that can advertise.
        let steps = "at 5s stop right\nat 10s rerank left to 150\n";
        let scenario: Scenario = format!("{text}{steps}").parse().unwrap();
        let mut lan = scenario.lan().unwrap();
        lan.keep_entries();
        judge_on(&scenario, &mut lan);
        let transcript =
            Transcript { entries: lan.trace().entries(), names: &scenario.names(), links: 1 };
        let text = transcript.to_string();
        let (_, after) = text.split_once("! rerank left to 150").unwrap();
        assert!(after.contains(advert), "{advert}: {after}");
    }
}

/// FreeBSD's `unicast_v4` asks this after a change of advskew on the fly, which once led back to the group.
#[test]
fn a_router_that_comes_back_with_another_rank_keeps_its_peers() {
    let text = PAIR
        .replace("preempt yes addresses", "preempt yes peer 10.99.0.9 addresses")
        .replacen("peer 10.99.0.9", "peer 10.99.0.2", 1)
        .replace("peer 10.99.0.9", "peer 10.99.0.1");
    let scenario: Scenario = format!("{text}at 10s rerank left to 2\n").parse().unwrap();
    let mut lan = scenario.lan().unwrap();
    assert_eq!(judge_on(&scenario, &mut lan).violation, None);
    let config = lan.router(0, 0).config();
    assert_eq!(config.standing().to_string(), "1+2/256 s");
    assert!(config.is_unicast());
    assert_eq!(config.destinations(), ["10.99.0.2".parse::<std::net::IpAddr>().unwrap()]);
}

/// Who serves at a time, on the first link.
fn serving(steps: &str, at: Duration) -> Vec<usize> {
    let scenario = scenario(steps);
    let mut lan = scenario.lan().unwrap();
    lan.boot_all();
    for Step { at, fault } in scenario.steps {
        lan.run_until(at);
        lan.apply(fault);
    }
    lan.run_until(at);
    assert_eq!(lan.violation(), None);
    (0..lan.hosts()).filter(|host| lan.holds(*host, 0)).collect()
}

#[test]
fn a_guard_removes_the_addresses_of_a_dead_daemon_and_without_one_the_lease_ends() {
    let s = Duration::from_secs;
    assert_eq!(serving("at 10s kill left\n", s(10) + Duration::from_millis(50)), [1]);
    let unguarded = |extra: &str| {
        let text = format!("{PAIR}at 10s kill left\n");
        let host = format!("host left 10.99.0.1 fe80::1 guard no restart off{extra}\n");
        text.replace("host left 10.99.0.1 fe80::1\n", &host)
    };
    let holders = |text: &str, at| {
        let scenario: Scenario = text.parse().unwrap();
        let mut lan = scenario.lan().unwrap();
        lan.boot_all();
        lan.run_until(s(10));
        lan.apply(Fault::Kill { host: 0 });
        lan.run_until(at);
        (0..2).filter(|host| lan.holds(*host, 0)).collect::<Vec<usize>>()
    };
    assert_eq!(holders(&unguarded(""), s(11)), [0], "2 s from the last renewal on");
    assert_eq!(holders(&unguarded(""), s(20)), [1]);
    assert_eq!(holders(&unguarded(" lease off"), s(30)), [0, 1]);
}

#[test]
fn a_frozen_daemon_is_killed_by_its_guard_and_started_again() {
    let scenario = scenario("at 10s freeze left for 20s\n");
    let mut lan = scenario.lan().unwrap();
    lan.boot_all();
    lan.run_until(Duration::from_secs(10));
    lan.apply(scenario.steps[0].fault);
    assert_eq!(lan.view(0, 0), View::Frozen);
    lan.run(Duration::from_millis(1_500));
    assert_eq!(lan.view(0, 0), View::Down);
    assert_eq!(lan.view(1, 0), View::Serving);
    lan.run(Duration::from_secs(5));
    assert_eq!(lan.view(0, 0), View::Serving, "started after a second, it preempts");
}

#[test]
fn a_router_that_leaves_serves_on_when_its_successor_cannot() {
    for protocol in ["carp native advskew", "vrrp3 priority"] {
        let [left, right] = if protocol.starts_with("carp") { [0, 100] } else { [200, 100] };
        let text = format!(
            "carp-scenario 1\nseed 1\nuntil 20s\n\
             host left 10.99.0.1 fe80::1\nrouter {protocol} {left} addresses 192.0.2.100\n\
             host right 10.99.0.2 fe80::2\nrouter {protocol} {right} addresses 192.0.2.100\n"
        );
        let scenario: Scenario = text.parse().unwrap();
        let mut lan = scenario.lan().unwrap();
        lan.boot_all();
        lan.run_until(Duration::from_secs(10));
        assert!(lan.holds(0, 0));
        lan.apply(Fault::Refuse { host: 1, refuses: true });
        let during = lan.elapsed();
        lan.apply(Fault::Yield { host: 0 });
        lan.run(Duration::from_secs(20));
        let end = lan.elapsed();
        let during = carp_proto::sim::Span { from: during, to: end };
        let gap = lan.record().longest(0, during, |hosts| hosts == 0);
        assert_eq!(gap, Duration::ZERO, "{protocol}");
        assert_eq!(lan.view(0, 0), View::Serving, "{protocol}");
    }
}
