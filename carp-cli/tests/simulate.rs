//! `carp simulate` and `carp replay`, as docs/simulation.md shows them.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn carp(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carp"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("carp runs")
}

fn out(output: &Output) -> String {
    let (code, text) = (output.status.code(), &output.stderr);
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(text));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn err(output: &Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code));
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/simulation.md");
    fs::read_to_string(path).expect("the document")
}

/// The blocks of the document in a language, in their order.
fn blocks(language: &str) -> Vec<String> {
    let document = document();
    let begin = format!("```{language}\n");
    let after = document.split(&begin).skip(1);
    after.map(|text| text.split("```").next().expect("an end").to_owned()).collect()
}

/// A directory with the files of the document.
fn files() -> TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    let [scenario, primary, acts] = &blocks("toml")[..] else { panic!("three blocks of TOML") };
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("lossy.toml", scenario);
    write("acts.toml", &format!("{scenario}\n{acts}"));
    write("primary.toml", primary);
    write("secondary.toml", &primary.replace("priority  = 200", "priority  = 100"));
    directory
}

#[test]
fn the_document_shows_what_the_command_prints() {
    let files = files();
    let mut shown = 0;
    for block in blocks("console") {
        let (command, expected) = block.split_once('\n').expect("a command and its output");
        if expected.is_empty() {
            // What it prints is told in words.
            continue;
        }
        let arguments: Vec<&str> =
            command.strip_prefix("$ carp ").expect("a command").split(' ').collect();
        assert_eq!(out(&carp(files.path(), &arguments)), expected, "{command}");
        shown += 1;
    }
    assert_eq!(shown, 1);
}

#[test]
fn false_takeovers_are_as_many_as_the_theory_says() {
    let files = files();
    false_takeovers_fit_the_theory(&files);
    write_carp(&files);
    false_takeovers_fit_the_theory(&files);
}

fn false_takeovers_fit_the_theory(files: &TempDir) {
    let text = out(&carp(files.path(), &["simulate", "lossy.toml", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let figures = &json["false_takeovers"];
    let [count, intervals, per_million] = ["count", "intervals", "theory_per_million"]
        .map(|key| figures[key].as_f64().expect("a number"));
    let expected = per_million * intervals / 1e6;
    assert!(expected > 20.0, "{expected} are too few to say anything");
    // Five standard deviations of a count.
    assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{count}, not {expected}");
}

#[test]
fn false_takeovers_are_as_many_as_the_theory_says_where_intervals_differ() {
    for (protocol, primary, secondary) in
        [("vrrp3", "2s", "1s"), ("vrrp3", "1s", "3s"), ("vrrp3", "1s", "200ms")]
    {
        let files = files();
        write_vrrp(&files, protocol, primary, secondary);
        false_takeovers_fit_the_theory(&files);
    }
    // A backup that takes no advert in takes over from a healthy router whatever the weather is, and both serve.
    let files = files();
    write_vrrp(&files, "vrrp2", "2s", "1s");
    let output = carp(files.path(), &["simulate", "lossy.toml", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert!(json["false_takeovers"]["theory_per_million"].is_null(), "{json}");
}

/// What `carp simulate` says of two routers of VRRP version 3, where this is done at a loss of a fifth.
fn figures_of(acts: &[(&str, &str)]) -> serde_json::Value {
    let files = files();
    let path = files.path().join("lossy.toml");
    let lossy = fs::read_to_string(&path).unwrap();
    let mut text = lossy.replace("60s", "120s").replace("loss 10% jitter 2ms", "loss 20%");
    for (time, what) in acts {
        text += &format!("[[at]]\ntime = \"{time}\"\ndo = \"{what}\"\n");
    }
    fs::write(&path, text).unwrap();
    let arguments = ["simulate", "lossy.toml", "--runs", "200", "--json"];
    let mut json: serde_json::Value =
        serde_json::from_str(&out(&carp(files.path(), &arguments))).expect("JSON");
    // The fingerprint knows of what was done, even if that changed nothing.
    json["worst"]["hash"].take();
    json
}

/// The false takeovers, the intervals in which they were counted, and how many the theory expects.
fn false_ones(figures: &serde_json::Value) -> (f64, f64, f64) {
    let of = |key: &str| figures["false_takeovers"][key].as_f64().expect("a number");
    let (count, intervals) = (of("count"), of("intervals"));
    (count, intervals, of("theory_per_million") * intervals / 1e6)
}

#[test]
fn a_false_takeover_is_not_counted_from_what_was_done_to_the_backup_before() {
    let figures = figures_of(&[("12s", "restart secondary")]);
    assert_eq!(figures["takeover"]["count"], 0, "{figures}");
    let (count, intervals, expected) = false_ones(&figures);
    // From 22 s on, and the two seconds before the step.
    assert!(intervals > 200.0 * 95.0, "{figures}");
    assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{count}, not {expected}");
}

#[test]
fn a_takeover_is_counted_from_what_was_done_to_the_holder_or_for_the_better_one() {
    let acts = [("12s", "restart secondary"), ("30s", "crash primary"), ("50s", "boot primary")];
    let figures = figures_of(&acts);
    // The one from the crash and the one back in each run, but where losses made the secondary take over just before.
    let takeover = &figures["takeover"];
    assert!(
        takeover["count"].as_u64().is_some_and(|count| (380..=400).contains(&count)),
        "{takeover}"
    );
    // The active-down interval of 3.61 s, and what taking an address lasts.
    assert!(takeover["longest_ms"].as_f64().is_some_and(|longest| longest < 3_650.0), "{takeover}");
    let (count, intervals, expected) = false_ones(&figures);
    // From 10 s, 22 s and 60 s on.
    assert!(intervals > 200.0 * 65.0 && intervals < 200.0 * 72.0, "{figures}");
    assert!((count - expected).abs() < 5.0 * expected.sqrt(), "{count}, not {expected}");
}

#[test]
fn what_changes_nothing_changes_no_figure() {
    let before = figures_of(&[]);
    for (time, what) in [
        ("12s", "boot primary"),
        ("12s", "start secondary"),
        ("60s", "plug-in primary"),
        ("60s", "heal"),
        ("60s", "yield secondary"),
    ] {
        let after = figures_of(&[(time, what)]);
        for key in ["takeover", "no_holder", "no_holder_a_run", "two_holders_a_run", "worst"] {
            assert_eq!(after[key], before[key], "{what}: {key}");
        }
        for key in ["count", "intervals"] {
            let of = |figures: &serde_json::Value| figures["false_takeovers"][key].clone();
            assert_eq!(of(&after), of(&before), "{what}: {key}");
        }
    }
}

#[test]
fn no_theory_is_shown_where_it_does_not_hold() {
    for what in
        ["weather loss 5%", "yield primary", "rerank secondary to 100", "demote primary by 9"]
    {
        let figures = figures_of(&[("12s", what)]);
        assert!(figures["false_takeovers"]["theory_per_million"].is_null(), "{what}: {figures}");
    }
}

fn write_vrrp(files: &TempDir, protocol: &str, primary: &str, secondary: &str) {
    for (name, priority, interval) in [("primary", 200, primary), ("secondary", 100, secondary)] {
        let text = format!(
            "[router.web]\nprotocol = \"{protocol}\"\ninterface = \"eth0\"\nid = 1\n\
             addresses = [\"192.168.130.100\"]\npriority = {priority}\ninterval = \"{interval}\"\n"
        );
        fs::write(files.path().join(format!("{name}.toml")), text).unwrap();
    }
}

/// The two nodes speak CARP with a key that is not on this machine.
fn write_carp(files: &TempDir) {
    for (name, skew) in [("primary", 0), ("secondary", 100)] {
        let text = format!(
            "[router.web]\nprotocol = \"carp\"\ninterface = \"eth0\"\nid = 1\n\
             addresses = [\"192.168.130.100\"]\nkey_file = \"absent.key\"\n\
             advskew = {skew}\npreempt = true\n"
        );
        fs::write(files.path().join(format!("{name}.toml")), text).unwrap();
    }
}

#[test]
fn json_has_the_same_figures_and_the_same_seed_the_same_run() {
    let files = files();
    let run = |seed: &str| {
        let arguments = ["simulate", "acts.toml", "--runs", "20", "--json", "--seed", seed];
        let text = out(&carp(files.path(), &arguments));
        serde_json::from_str::<serde_json::Value>(&text).expect("JSON")
    };
    let (one, other) = (run("5"), run("6"));
    assert_eq!(one["schema"], "carp.simulate/1");
    assert_eq!(one["nodes"], serde_json::json!(["primary", "secondary"]));
    assert_eq!(one["no_holder_a_run"]["count"], 20);
    // The primary freezes in each run. Where it is active then, and mostly it is, the secondary takes over.
    let takeover = &one["takeover"];
    assert!(takeover["count"].as_u64().is_some_and(|count| count >= 10), "{takeover}");
    let median = takeover["median_ms"].as_f64().expect("a time");
    assert!((0.0..4_000.0).contains(&median), "{takeover}");
    assert_eq!(one["violations"], serde_json::json!([]));
    assert_eq!(one, run("5"));
    assert_ne!(one["worst"]["hash"], other["worst"]["hash"]);
}

#[test]
fn the_worst_run_is_drawn_saved_and_replayed() {
    let files = files();
    let arguments =
        ["simulate", "acts.toml", "--runs", "5", "--plot", "worst.svg", "--save", "worst.run"];
    out(&carp(files.path(), &arguments));
    let figure = fs::read_to_string(files.path().join("worst.svg")).unwrap();
    let parsed = roxmltree::Document::parse(&figure).expect("XML");
    // Those of the legend and of the first row are not what is looked for: nobody had the addresses before the first
    // router was active, and that is no outage.
    let description = parsed.descendants().find(|node| node.has_tag_name("desc"));
    let description = description.and_then(|node| node.text()).unwrap_or_default().to_owned();
    assert!(!description.contains("From 0.000"), "{description}");
    let outages = parsed.descendants().filter(|node| node.attribute("class") == Some("outage"));
    let told = description.matches("nobody has the addresses").count();
    assert_eq!(outages.count(), told + 1, "one in the legend: {description}");
    let transcript = out(&carp(files.path(), &["replay", "worst.run", "--plot", "again.svg"]));
    assert!(transcript.contains("! freeze primary for 5s"), "{transcript}");
    assert!(transcript.contains("no invariant is violated\nhash "), "{transcript}");
    assert_eq!(fs::read_to_string(files.path().join("again.svg")).unwrap(), figure);
}

/// Version 2 refuses adverts of another interval: both serve, and never settle.
#[test]
fn a_run_that_violates_an_invariant_is_made_small_saved_and_replayed() {
    let files = files();
    for (name, interval) in [("primary", "1s"), ("secondary", "2s")] {
        let path = files.path().join(format!("{name}.toml"));
        let text = fs::read_to_string(&path).unwrap().replace("vrrp3", "vrrp2");
        fs::write(&path, format!("{text}interval = \"{interval}\"\n")).unwrap();
    }
    let arguments = ["simulate", "acts.toml", "--runs", "3", "--save", "small.run"];
    let output = carp(files.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let [runs, small] = text.split("\nmade small").collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    assert_eq!(runs.matches("run 0: ").count(), 1, "{runs}");
    assert!(runs.contains("invariants violated: see above"), "{runs}");
    assert!(small.starts_with(", to 2 nodes: "), "{small}");
    assert!(!small.contains("freeze") && !small.contains("restart"), "no step is needed: {small}");
    assert!(small.ends_with("`carp replay small.run` shows all of it\n"), "{small}");
    let replayed = carp(files.path(), &["replay", "small.run"]);
    assert_eq!(replayed.status.code(), Some(1));
    let transcript = String::from_utf8(replayed.stdout).unwrap();
    assert!(transcript.contains(" violated after "), "{transcript}");
    let output = carp(files.path(), &["simulate", "acts.toml", "--runs", "3", "--json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(json["smallest"]["steps"], serde_json::json!([]));
    assert_eq!(json["violations"][0]["invariant"], json["smallest"]["invariant"]);
}

#[test]
fn a_recording_that_was_changed_is_another_run() {
    let files = files();
    out(&carp(files.path(), &["simulate", "lossy.toml", "--runs", "1", "--save", "a.run"]));
    let path = files.path().join("a.run");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("priority 200", "priority 201")).unwrap();
    let message = err(&carp(files.path(), &["replay", "a.run"]), 1);
    assert!(message.contains("another run than the one that was saved"), "{message}");
}

#[test]
fn keys_are_neither_needed_nor_recorded() {
    let files = files();
    for (name, skew) in [("primary", 0), ("secondary", 100)] {
        let text = format!(
            "[router.web]\nprotocol = \"carp\"\ninterface = \"eth0\"\nid = 1\n\
             addresses = [\"192.168.130.100\", \"fe80::100\"]\nkey_file = \"absent.key\"\n\
             advskew = {skew}\npreempt = true\n"
        );
        fs::write(files.path().join(format!("{name}.toml")), text).unwrap();
    }
    out(&carp(files.path(), &["simulate", "acts.toml", "--runs", "3", "--save", "a.run"]));
    let recording = fs::read_to_string(files.path().join("a.run")).unwrap();
    assert!(recording.contains("router carp native id 1 advbase 1 advskew 0 preempt yes"));
    assert!(!recording.contains("key"), "{recording}");
}

#[test]
fn a_router_of_both_families_is_two_that_go_together() {
    let files = files();
    for name in ["primary.toml", "secondary.toml"] {
        let path = files.path().join(name);
        let text = fs::read_to_string(&path).unwrap();
        let both = text.replace("\"192.168.130.100\"", "\"192.168.130.100\", \"2001:db8::100\"");
        fs::write(path, both).unwrap();
    }
    let text = out(&carp(files.path(), &["simulate", "acts.toml", "--runs", "3"]));
    assert!(text.contains("priority 200, every 1.00 s, preempts; VRRP version 3"), "{text}");
}

#[test]
fn what_is_wrong_with_a_scenario_is_told() {
    let files = files();
    let lossy = fs::read_to_string(files.path().join("lossy.toml")).unwrap();
    let act = |time: &str, what: &str| {
        lossy.clone() + &format!("[[at]]\ntime = \"{time}\"\ndo = \"{what}\"\n")
    };
    for (text, told) in [
        (lossy.replace("loss 10%", "loss 10"), "percent"),
        (lossy.replace("primary.toml", "absent.toml"), "absent.toml"),
        (act("9s..1s", "heal"), "ends before it begins"),
        (act("1s", "crash nobody"), "no host of this name"),
        (act("1s", "explode primary"), "no such fault"),
        (act("1s", "rerank primary to 255"), "at most 254 was expected"),
        (
            act("1s", "unplug primary link 1"),
            "about a link that there is not: they are numbered from 0 on",
        ),
        (act("90s", "heal"), "something is done at 90s, and a run is over after 60s"),
        (lossy.replace("60s", "0s"), "a run lasts for more than nothing"),
        (lossy.replace("60s", "8d"), "at most 7d"),
        (
            lossy.replace("130.10\"", "130.50\""),
            "two hosts have 192.168.130.50 as their own address",
        ),
        (
            lossy.replace("130.10\"", "130.100\""),
            "192.168.130.100 as its own address, which is the virtual one",
        ),
        (lossy.replace("weather", "climate"), "climate"),
        (lossy.clone() + "[node.third]\nconfig = \"third.toml\"\n", "no counterpart"),
    ] {
        fs::write(files.path().join("wrong.toml"), &text).unwrap();
        let primary = fs::read_to_string(files.path().join("primary.toml")).unwrap();
        let third = primary
            .replace("192.168.130.100", "192.168.131.100")
            .replace("router.web", "router.other")
            .replace("id        = 1", "id        = 2");
        fs::write(files.path().join("third.toml"), third).unwrap();
        let message = err(&carp(files.path(), &["simulate", "wrong.toml"]), 3);
        assert!(message.contains(told), "{told}: {message}");
    }
    let message = err(&carp(files.path(), &["replay", "lossy.toml"]), 3);
    assert!(message.contains("is no recording: line 1"), "{message}");
    fs::write(files.path().join("binary"), [0xff, 0, 1]).unwrap();
    let message = err(&carp(files.path(), &["replay", "binary"]), 3);
    assert!(message.contains("binary is no recording: it is no text"), "{message}");
    let scenario = "carp-scenario 1\nseed 1\nuntil 605s\nweather delay 0s jitter 0s loss 0% duplicate 0% \
                    reorder 0%\nhost a 10.99.0.1 fe80::1\nrouter vrrp3 id 1 priority 54 interval 3s addresses \
                    192.0.2.1\n";
    for (text, code) in [
        (scenario.to_owned(), 0),
        (scenario.replace("605s", "604801s"), 3),
        (scenario.to_owned() + "at 604801s crash a\n", 3),
        (scenario.replace("interval 3s", "interval 3s handover 604801s"), 3),
    ] {
        fs::write(files.path().join("long"), text).unwrap();
        let output = carp(files.path(), &["replay", "long"]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
    }
    // Before anything is played.
    let arguments = ["simulate", "--runs", "1000000", "--save", "absent/a.run"];
    let message = err(&carp(files.path(), &arguments), 1);
    assert!(message.contains("cannot write absent/a.run"), "{message}");
}
