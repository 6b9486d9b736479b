//! `carp sync check`: what is wrong is said before a pass finds it out.

use std::fs;

use libtest_mimic::Failed;
use serde_json::Value;

use crate::scene::{Node, Pair, hold};
use crate::support::{Rack, Test, Tested, carp, ensure, run_on, told};

pub(crate) const TESTS: &[Test] = &[
    ("check_finds_equal_trees_and_a_byte_that_differs", equal_and_not),
    ("check_names_what_keeps_a_share_from_being_copied", what_is_wrong),
    ("check_ends_with_7_without_a_usable_rsync", no_rsync),
    ("check_names_owners_that_are_nobody_here", strangers),
    ("check_says_that_no_daemon_of_ours_is_there", nobody_there),
];

/// `carp sync check --json`: the code, and the findings of the share as a map from what to (grade, text).
fn check(node: &Node<'_>, arguments: &[&str]) -> Result<(i32, Value), Failed> {
    let mut command = carp();
    command.args(["sync", "check", "--json", "-c"]).arg(&node.config).args(arguments);
    let output = run_on(node.host, command)?;
    let code = output.status.code().unwrap_or(-1);
    let report: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("{error}: {}", told(&output).1))?;
    ensure(report["schema"] == "carp.sync-check/1", report.to_string())?;
    Ok((code, report["shares"][0].clone()))
}

/// The grade and the text of a finding.
fn finding(share: &Value, what: &str) -> (String, String) {
    let findings = share["findings"].as_array().cloned().unwrap_or_default();
    let found =
        findings.iter().find(|finding| finding["what"] == what).cloned().unwrap_or_default();
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    (text("grade"), text("text"))
}

fn expect(share: &Value, what: &str, grade: &str, text: &str) -> Tested {
    let found = finding(share, what);
    ensure(found.0 == grade && found.1.contains(text), format!("{what} is {found:?}: {share}"))
}

fn equal_and_not(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "same")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("page", Some("same"))?;
    for node in [&pair.a, &pair.b] {
        let (code, share) = check(node, &[])?;
        ensure(code == 0, share.to_string())?;
        for what in ["rsync", "path", "space", "database", "key", "peer", "clocks", "marker"] {
            expect(&share, what, "good", "")?;
        }
        expect(&share, "trees", "good", "every byte")?;
    }
    hold(&second)?;
    // The same length and the same times: only a checksum tells.
    let times = fs::metadata(pair.b.share.join("page"))?.modified()?;
    pair.b.write("page", "SAME")?;
    fs::File::options().write(true).open(pair.b.share.join("page"))?.set_modified(times)?;
    pair.b.write("only", "here")?;
    let (code, share) = check(&pair.b, &[])?;
    ensure(code == 0, share.to_string())?;
    expect(&share, "trees", "remark", "3 of 3 entries differ")?;
    let listed = share["differences"].to_string();
    ensure(listed.contains(r#"{"kind":"content","path":"page"}"#), listed.clone())?;
    ensure(listed.contains(r#"{"kind":"here","path":"only"}"#), listed)?;
    ensure(pair.b.read("page").as_deref() == Some("SAME"), "nothing is changed by looking")?;
    let (_, share) = check(&pair.b, &["--fast"])?;
    ensure(finding(&share, "trees").0.is_empty(), "--fast compares nothing")
}

fn what_is_wrong(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    // A pass would delete what only the standby has.
    hold(&second)?;
    fs::create_dir(pair.b.share.join("data"))?;
    fs::write(pair.b.share.join("data/ibdata1"), "x")?;
    let (code, share) = check(&pair.b, &[])?;
    ensure(code == 1, share.to_string())?;
    expect(&share, "database", "bad", "InnoDB")?;
    fs::remove_file(pair.a.share.join(".share-id"))?;
    let (code, share) = check(&pair.b, &[])?;
    ensure(code == 1, share.to_string())?;
    expect(&share, "marker", "bad", "mounted")?;
    let aside = rack.path("aside");
    fs::rename(&pair.b.share, &aside)?;
    let (code, share) = check(&pair.b, &[])?;
    ensure(code == 1, share.to_string())?;
    expect(&share, "path", "bad", "")?;
    fs::rename(&aside, &pair.b.share)?;
    pair.b.cut(true)?;
    let (code, share) = check(&pair.b, &[])?;
    ensure(code == 1, share.to_string())?;
    expect(&share, "peer", "bad", "")?;
    let mut unknown = carp();
    unknown.args(["sync", "check", "nothing", "-c"]).arg(&pair.b.config);
    let (code, text) = told(&unknown.output()?);
    ensure(code == Some(1) && text.contains("this configuration has www"), text)
}

fn no_rsync(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let programs = rack.path("programs");
    fs::create_dir(&programs)?;
    let run = || -> Result<(i32, Value), Failed> {
        let mut command = carp();
        command.args(["sync", "check", "--json", "-c"]).arg(&pair.a.config).env("PATH", &programs);
        let output = command.output()?;
        let report: Value = serde_json::from_slice(&output.stdout)?;
        Ok((output.status.code().unwrap_or(-1), report["shares"][0].clone()))
    };
    let (code, share) = run()?;
    ensure(code == 7, format!("it ended with {code}: {share}"))?;
    expect(&share, "rsync", "bad", "install rsync 3.1.3 or newer")?;
    expect(&share, "path", "good", "")?;
    rack.write(
        "programs/rsync",
        "#!/bin/sh\necho rsync  version 3.0.9  protocol version 30\n",
        0o755,
    )?;
    let (code, share) = run()?;
    ensure(code == 7, format!("it ended with {code}: {share}"))?;
    expect(&share, "rsync", "bad", "rsync 3.0.9 is too old")
}

fn strangers(rack: &Rack) -> Tested {
    if !crate::machine::is_root() {
        eprintln!("owners are left out WITHOUT root: a user namespace has one user");
        return Ok(());
    }
    let pair = Pair::new(rack, "")?;
    pair.a.write("theirs", "1")?;
    std::os::unix::fs::chown(pair.a.share.join("theirs"), Some(54_321), None)?;
    let (_, share) = check(&pair.a, &[])?;
    expect(&share, "owners", "remark", "user 54321 of 1 entries has no name here")
}

fn nobody_there(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (code, share) = check(&pair.a, &[])?;
    ensure(code == 1, share.to_string())?;
    expect(&share, "path", "good", "")?;
    expect(&share, "peer", "bad", "secondary")
}
