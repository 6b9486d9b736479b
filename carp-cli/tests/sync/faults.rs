//! F10, F11 and bad input: each ends in a named state, with a remedy, and both trees as they were or better.

use std::fs;
use std::time::Duration;

use carp_node::lab::wait_until;

use crate::scene::{
    Pair, equal, events, living_there, share, shell, sync, wait_held, wait_in_sync, wait_outcome,
};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};
use crate::trees::{Both, Snapshot};

pub(crate) const TESTS: &[Test] = &[
    ("a_peer_that_cannot_be_reached_or_is_another_one_is_named", no_connection),
    ("a_pass_that_hangs_is_ended_and_repeated", hanging),
    ("a_pass_that_hangs_with_its_output_closed_is_ended_too", hanging_closed),
    ("a_pass_that_works_in_silence_is_left_alone", silent),
    ("f10_a_full_disk_changes_nothing_and_recovers_by_itself", full_disk),
    ("a_state_directory_that_is_full_bars_a_takeover_and_says_so", full_state),
    ("a_rescue_set_that_cannot_be_made_is_named_with_its_remedy", no_set),
    ("f11_a_pass_that_is_cut_off_goes_on_with_what_it_had", cut_off),
    ("files_that_vanish_while_they_are_copied_are_told_and_the_pass_is_repeated", vanishing),
    ("a_target_that_cannot_be_written_is_held", read_only),
    ("a_share_that_vanished_here_is_held", vanished),
    ("a_share_that_is_not_there_when_its_node_returns_is_held", absent),
    ("a_share_behind_a_symbolic_link_is_followed_once", symlinked),
    ("a_daemon_killed_at_any_step_of_a_pass_leaves_both_trees_right", killed),
];

fn no_connection(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("x", "1")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("x", Some("1"))?;
    let before = Both::of(&pair)?;
    for (said, outcome, remedy) in [
        ("ssh: connect to host primary port 22: Connection refused", "unreachable", "its sshd"),
        ("Host key verification failed.", "host-key", "carp sync pair"),
        ("root@primary: Permission denied (publickey).", "refused", "`carp sync pair` prints here"),
    ] {
        pair.b.cut_saying(said)?;
        wait_until(LIMIT, &format!("the state {outcome}"), || {
            share(&second)["peer_outcome"] == outcome
        })?;
        let text = sync(&second, &["status"], 0)?;
        ensure(text.contains(remedy) && text.contains(said), text)?;
    }
    before.ensure_untouched("nobody answers")?;
    pair.a.write("y", "2")?;
    pair.b.cut(false)?;
    pair.b.wait_for("y", Some("2"))?;
    wait_until(LIMIT, "the trouble is over", || share(&second)["peer_trouble"].is_null())?;
    Ok(())
}

/// How long to wait for what only half a minute of silence brings about.
const PATIENCE: Duration = Duration::from_secs(150);

fn hanging(rack: &Rack) -> Tested {
    hangs(rack, "")
}

fn hanging_closed(rack: &Rack) -> Tested {
    hangs(rack, "exec >&- 2>&-;")
}

/// It does this first.
fn hangs(rack: &Rack, first: &str) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("x", "1")?;
    let active = pair.a.start()?;
    active.wait_for_state("active")?;
    pair.a.wait_for_marker()?;
    // Of the first pass that hangs: another one follows it.
    let group = rack.path("group");
    let script = format!(
        "case \"$*\" in *--delete-delay*) trap '' TERM USR1; [ -e {group} ] || echo $$ >{group}; \
         {first} sleep 1000;; esac",
        group = group.display()
    );
    let before = Both::of(&pair)?;
    let second = pair.b.start_with_rsync(&script)?;
    wait_until(PATIENCE, "a pass that hangs is ended", || {
        share(&second)["last_pass"]["outcome"] == "stuck"
    })?;
    let last = share(&second)["last_pass"].clone();
    // It ends by 30 s of nothing; a second later it is killed, because it does not listen.
    let took = last["took_ms"].as_f64().unwrap_or_default();
    ensure((30_000.0..60_000.0).contains(&took), format!("{took} ms"))?;
    let group = fs::read_to_string(group)?.trim().parse()?;
    let left = living_there(&second, group)?;
    ensure(left.is_empty(), format!("of the pass live {left:?}"))?;
    let text = sync(&second, &["status"], 0)?;
    ensure(text.contains("said nothing and did nothing for 30 s"), text)?;
    before.ensure_untouched("a pass hung")?;
    pair.b.replace_rsync(None)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_in_sync(&second)
}

fn silent(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("x", "1")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let once = rack.path("once");
    // As if it built the list of a tree that no memory holds: it reads a little, and says nothing.
    let script = format!(
        "case \"$*\" in *--delete-delay*) [ -e {once} ] || {{ touch {once}; n=0; \
         while [ $n -lt 45 ]; do head -c 4096 /dev/zero >/dev/null; sleep 1; n=$((n+1)); done; }};; esac",
        once = once.display()
    );
    let second = pair.b.start_with_rsync(&script)?;
    wait_until(PATIENCE, "the pass has ended", || !share(&second)["last_pass"].is_null())?;
    let last = share(&second)["last_pass"].clone();
    ensure(last["outcome"] == "complete", last.to_string())?;
    ensure(last["took_ms"].as_f64().is_some_and(|took| took > 45_000.0), last.to_string())?;
    ensure(pair.b.read("x").as_deref() == Some("1"), "it is what brought the file")
}

fn full_disk(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.b.mount(64)?;
    pair.a.write("page", "v1")?;
    pair.a.write("gone", "1")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("gone", Some("1"))?;
    let copy = Snapshot::of(&pair.b.share)?;
    // First, so that no pass fits that brings the others.
    pair.a.put("large", &vec![7; 80 << 20])?;
    fs::remove_file(pair.a.share.join("gone"))?;
    pair.a.write("page", "v2")?;
    let source = Snapshot::of(&pair.a.share)?;
    wait_outcome(&second, "disk-full")?;
    copy.ensure_untouched(&pair.b.share, "the visible tree is as it was")?;
    let text = sync(&second, &["status"], 0)?;
    ensure(text.contains("the disk of this node is full"), text)?;
    let told = |what: &str| events(&second).matches(what).count() == 1;
    wait_until(LIMIT, "it is told once", || {
        told("fault: share www: the disk of this node is full")
    })?;
    pair.b.remount("size=256m")?;
    pair.b.wait_for("page", Some("v2"))?;
    pair.b.wait_for("gone", None)?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "its end is told", || {
        second.process.said().contains("share www: a pass is complete again")
    })?;
    ensure(told("fault: share www: the disk of this node is full"), events(&second))?;
    source.ensure_untouched(&pair.a.share, "the source is as it was")?;
    source.ensure_untouched(&pair.b.share, "the trees are equal")
}

/// A node that forgot its epoch would be overwritten later, so none begins that cannot be written down.
fn full_state(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("page", "v1")?;
    let state = rack.path("secondary.state");
    fs::create_dir(&state)?;
    shell(&format!("mount -t tmpfs -o size=4m,mode=700 tmpfs '{}'", state.display()))?;
    let (first, second) = pair.start()?;
    wait_in_sync(&second)?;
    let fill = state.join("fill");
    shell(&format!("head -c 8M /dev/zero >'{}' 2>/dev/null || true", fill.display()))?;
    let fault = || share(&second)["fault"].as_str().unwrap_or_default().to_owned();
    wait_until(LIMIT, "it is told before the peer dies", || {
        fault().contains("No space left on device") && share(&second)["in_sync"] == false
    })?;
    let text = fault();
    let says = ["free some space on that disk", "secondary.state", "the address is not taken over"];
    ensure(says.iter().all(|part| text.contains(part)), text)?;
    let text = sync(&second, &["status"], 0)?;
    ensure(text.contains("no takeover now: something is wrong with the share on this node"), text)?;
    first.kill_with_guard(&rack.primary)?;
    wait_until(LIMIT, "nobody is heard any more", || {
        second
            .status()
            .is_some_and(|router| router["peers"][0]["last_advert_age_ms"].as_f64() > Some(6_000.0))
    })?;
    ensure(second.state() == "backup", second.state())?;
    fs::remove_file(&fill)?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "nothing is wrong any more", || fault().is_empty()).map_err(Into::into)
}

fn no_set(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.b.mount(64)?;
    pair.a.write("page", "theirs")?;
    pair.b.write("page", "mine")?;
    let (_first, second) = (pair.a.start()?, pair.b.start()?);
    wait_held(&second, "not-adopted")?;
    let before = pair.b.tree()?;
    // There are bytes on that disk, but no room for one more file.
    pair.b.remount("nr_inodes=$(stat -f -c '%c - %d' . | xargs expr)")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    wait_outcome(&second, "disk-full")?;
    ensure(pair.b.tree()? == before, "the tree is as it was")?;
    let text = sync(&second, &["status"], 0)?;
    let place = pair.b.share.with_file_name(".rescue");
    for what in ["nothing is copied", "free some space", &place.display().to_string()] {
        ensure(text.contains(what), format!("{what}: {text}"))?;
    }
    wait_until(LIMIT, "it is told", || {
        events(&second).contains("fault: share www: nothing is copied")
    })?;
    pair.b.remount("nr_inodes=0")?;
    pair.b.wait_for("page", Some("theirs"))?;
    wait_in_sync(&second)?;
    ensure(pair.b.rescued("page") == ["mine"], "and what it replaced is kept")
}

fn cut_off(rack: &Rack) -> Tested {
    const LARGE: u64 = 6 << 20;
    let pair = Pair::new(rack, "bandwidth = 1000")?;
    let (_first, second) = pair.start()?;
    // First, so that no pass is at its end soon that brings the other.
    pair.a.put("large", &noise(LARGE)?)?;
    pair.a.write("page", "v2")?;
    let source = Snapshot::of(&pair.a.share)?;
    wait_until(LIMIT, "half of it is here", || {
        share(&second)["progress"]["bytes"].as_u64().is_some_and(|bytes| bytes > LARGE / 2)
    })?;
    // Whatever serves the secondary at the other end, in this test's own namespace of processes.
    shell(&format!(
        "for pid in $(pgrep -f '[r]sync --server --daemon --config={}'); do kill -KILL $pid; done",
        rack.path("primary.state/sync/rsyncd.conf").display()
    ))?;
    wait_outcome(&second, "transport")?;
    ensure(pair.b.read("page").as_deref() != Some("v2"), "nothing of it is visible")?;
    wait_outcome(&second, "complete")?;
    let received = share(&second)["last_pass"]["received"].as_u64();
    wait_in_sync(&second)?;
    source.ensure_untouched(&pair.a.share, "the source is as it was")?;
    source.ensure_untouched(&pair.b.share, "the trees are equal")?;
    ensure(
        received.is_some_and(|bytes| bytes < LARGE * 3 / 4),
        format!("the second pass received {received:?} bytes of {LARGE}"),
    )
}

/// What does not compress, and of which no two parts are alike.
fn noise(len: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open("/dev/urandom")?.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn vanishing(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"\nbandwidth = 500")?;
    pair.a.write("old", "1")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start_with_rsync(":")?;
    pair.b.wait_for("old", Some("1"))?;
    wait_in_sync(&second)?;
    // Renamed, so that one pass brings both, the large one first.
    let new = rack.path("new");
    fs::create_dir(&new)?;
    fs::write(new.join("a"), vec![7; 3 << 20])?;
    fs::write(new.join("z"), "1")?;
    fs::rename(&new, pair.a.share.join("new"))?;
    wait_until(LIMIT, "the first one is being copied", || {
        share(&second)["progress"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    })?;
    // The next pass would come at once, and be complete.
    let go = rack.path("go");
    let waits = format!("until [ -e {} ]; do sleep 0.1; done", go.display());
    pair.b.replace_rsync(Some(&format!("case \"$*\" in *--delete-delay*) {waits};; esac")))?;
    fs::remove_file(pair.a.share.join("new/z"))?;
    let source = Snapshot::of(&pair.a.share)?;
    wait_outcome(&second, "vanished")?;
    let text = sync(&second, &["status"], 0)?;
    ensure(text.contains("files vanished during the pass; it is repeated"), &*text)?;
    ensure(text.contains("has vanished"), text)?;
    source.ensure_untouched(&pair.b.share, "the copy is newer: it has all that is there")?;
    fs::write(&go, "")?;
    wait_outcome(&second, "complete")?;
    wait_in_sync(&second)?;
    source.ensure_untouched(&pair.a.share, "the source is as it was")?;
    source.ensure_untouched(&pair.b.share, "the trees are equal")
}

fn read_only(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.b.mount(64)?;
    let (_first, second) = pair.start()?;
    pair.b.remount("ro")?;
    pair.a.write("x", "1")?;
    let before = Both::of(&pair)?;
    wait_held(&second, "read-only-target")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("mounted read-only"), text)?;
    before.ensure_untouched("the copy cannot be written")?;
    pair.b.remount("rw")?;
    pair.b.wait_for("x", Some("1"))?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    Ok(())
}

fn vanished(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("x", "1")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("x", Some("1"))?;
    let aside = rack.path("aside");
    let before = Both::of(&pair)?;
    fs::rename(&pair.b.share, &aside)?;
    wait_held(&second, "root-missing")?;
    // As if its disk were not mounted.
    fs::create_dir(&pair.b.share)?;
    wait_held(&second, "local-marker-missing")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("is the share mounted"), text)?;
    ensure(pair.b.tree()?.is_empty(), "nothing is copied to where the share is not")?;
    fs::remove_dir(&pair.b.share)?;
    fs::rename(&aside, &pair.b.share)?;
    before.ensure_untouched("the share was not mounted here")?;
    pair.a.write("y", "2")?;
    pair.b.wait_for("y", Some("2"))?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    Ok(())
}

fn absent(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active")?;
    pair.b.write("page", "v2")?;
    let aside = rack.path("aside");
    let before = Both::of(&pair)?;
    fs::rename(&pair.a.share, &aside)?;
    let first = pair.a.start()?;
    wait_held(&first, "root-missing")?;
    let text = sync(&first, &["status"], 1)?;
    ensure(text.contains("mount it, or correct `path`"), text)?;
    // An empty mount point is not the share, however old all in it is.
    fs::create_dir(&pair.a.share)?;
    wait_held(&first, "local-marker-missing")?;
    ensure(pair.a.tree()?.is_empty(), "nothing is copied to where the share is not")?;
    fs::remove_dir(&pair.a.share)?;
    fs::rename(&aside, &pair.a.share)?;
    before.ensure_untouched("the share was not mounted here")?;
    pair.a.wait_for("page", Some("v2"))?;
    first.wait_for_state("active")
}

fn symlinked(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    for node in [&pair.a, &pair.b] {
        let real = node.share.with_file_name("real");
        fs::rename(&node.share, &real)?;
        std::os::unix::fs::symlink("real", &node.share)?;
    }
    let (_first, second) = pair.start()?;
    pair.a.write("x", "1")?;
    pair.b.wait_for("x", Some("1"))?;
    // It leads somewhere else now, where nothing is known to be the share.
    let other = pair.b.share.with_file_name("other");
    fs::create_dir(&other)?;
    fs::write(other.join("precious"), "1")?;
    let before = Both::of(&pair)?;
    let precious = Snapshot::of(&other)?;
    fs::remove_file(&pair.b.share)?;
    std::os::unix::fs::symlink("other", &pair.b.share)?;
    wait_held(&second, "local-marker-missing")?;
    precious.ensure_untouched(&other, "nothing was copied over it")?;
    fs::remove_file(&pair.b.share)?;
    std::os::unix::fs::symlink("real", &pair.b.share)?;
    before.ensure_untouched("the link led somewhere else")?;
    pair.a.write("y", "2")?;
    pair.b.wait_for("y", Some("2"))
}

fn killed(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "0")?;
    pair.a.write("old", "0")?;
    let (_first, mut second) = pair.start()?;
    pair.b.wait_for("old", Some("0"))?;
    // The connections of a pass: the record, the marker, the files, what is deleted, the record again.
    for step in 1..=6 {
        let before = pair.b.tree()?;
        let page = step.to_string();
        pair.b.kill_at(&second, step)?;
        pair.a.write("page", &page)?;
        pair.a.write(&format!("new{step}"), &page)?;
        fs::remove_file(pair.a.share.join(if step == 1 {
            "old".to_owned()
        } else {
            format!("new{}", step - 1)
        }))?;
        let written = Snapshot::of(&pair.a.share)?;
        second.process.wait(LIMIT)?;
        pair.b.kill_no_more()?;
        written.ensure_untouched(&pair.a.share, &format!("step {step}"))?;
        let (after, source) = (pair.b.tree()?, pair.a.tree()?);
        for (name, content) in &after {
            let known = before.get(name) == Some(content) || source.get(name) == Some(content);
            ensure(known, format!("step {step}: {name} is neither as it was nor as it is"))?;
        }
        for (name, content) in &before {
            let kept = after.contains_key(name) || !source.contains_key(name);
            ensure(kept, format!("step {step}: {name} is gone, with {content:?}"))?;
        }
        second = pair.b.start()?;
        pair.b.wait_for("page", Some(&page))?;
        wait_in_sync(&second)?;
        wait_until(LIMIT, "the trees are equal", || {
            equal(&pair.a.share, &pair.b.share).unwrap_or(false)
        })?;
    }
    Ok(())
}
