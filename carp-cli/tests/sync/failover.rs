//! F3 to F5, F12: nothing is lost when the roles change.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::door;
use crate::scene::{
    Pair, Tree, ensure_within, equal, events, explain, living_here, living_there, passes,
    rescue_list, share, sync, wait_in_sync,
};
use crate::stuck::StuckDisk;
use crate::support::{
    Daemon, LIMIT, Rack, Test, Tested, ensure, forbid_sending, serves, wait_for_owner,
};

pub(crate) const TESTS: &[Test] = &[
    ("f3_f4_a_crash_and_a_return_lose_nothing", crash_and_return),
    ("f5_a_handover_stops_the_writers_and_loses_nothing", handover),
    ("f5_writers_go_on_when_the_one_that_asked_dies", requester_dies),
    ("a_yield_waits_until_the_other_has_everything", planned_yield),
    ("f12_a_pass_is_dead_before_the_address_is_there", promotion_during_a_pass),
    ("f12_the_address_stays_away_from_a_pass_that_cannot_be_killed", hangs_in_the_kernel),
    ("a_live_peer_is_not_taken_over_from_when_only_adverts_are_lost", live_peer),
];

fn crash_and_return(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    pair.a.write("page", "v1")?;
    pair.a.write("old", "1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("old", Some("1"))?;
    // Nothing of this is pulled any more.
    pair.b.cut(true)?;
    wait_until(LIMIT, "no pass runs", || share(&second)["progress"].is_null())?;
    pair.a.write("late", "1")?;
    pair.a.write("page", "va")?;
    let killed = Instant::now();
    first.kill_with_guard(&rack.primary)?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    let took = killed.elapsed();
    println!("f3: the secondary served {} ms after the death", took.as_millis());
    ensure_within(TAKEOVER, took, "until the secondary served")?;
    second.wait_for_state("active")?;
    pair.b.write("page", "v2")?;
    pair.b.write("new", "1")?;
    fs::remove_file(pair.b.share.join("old"))?;
    pair.b.cut(false)?;
    let again = pair.a.start()?;
    let (gap, trees) =
        handed_over(&pair, rack).map_err(|error| explain(&error, [&again, &second]))?;
    ensure(trees[0] == trees[1], format!("it took the address with another tree: {trees:?}"))?;
    ensure(pair.a.read("page").as_deref() == Some("v2"), "it serves the page as it was written")?;
    println!("f3: nobody served for {} ms at the handover", gap.as_millis());
    ensure_within(GAP, gap, "without anybody who served")?;
    for node in [&pair.a, &pair.b] {
        for (file, value) in
            [("page", Some("v2")), ("new", Some("1")), ("old", None), ("late", None)]
        {
            node.wait_for(file, value)?;
        }
    }
    ensure(pair.a.rescued("late") == ["1"], "late is in a rescue set")?;
    ensure(pair.a.rescued("page") == ["va"], "the primary's page is in a rescue set")?;
    let list = rescue_list(&again)?;
    let set = list["sets"][0]["set"].as_str().unwrap_or_default().to_owned();
    let text = sync(&again, &["rescue", "show", &set], 0)?;
    let orphan =
        |name: &str| text.lines().any(|line| line.starts_with("orphan") && line.ends_with(name));
    ensure(orphan("late") && orphan("page"), text.clone())?;
    sync(&again, &["rescue", "restore", &set, "late"], 0)?;
    pair.b.wait_for("late", Some("1"))?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    Ok(())
}

/// A takeover is to be done within 4 s of the death: three lost adverts and 100/256 s.
const TAKEOVER: Duration = Duration::from_secs(4);

/// At a handover nobody serves for 3 s at the most.
const GAP: Duration = Duration::from_secs(3);

/// Looks all the time until only the primary serves: for how long nobody did, and what both trees were when it
/// was first seen to serve.
fn handed_over(pair: &Pair<'_>, rack: &Rack) -> Result<(Duration, [Tree; 2]), Failed> {
    let began = Instant::now();
    let (mut gap, mut served, mut trees) = (Duration::ZERO, Instant::now(), None);
    while began.elapsed() < LIMIT {
        let (one, two) = (serves(&rack.primary), serves(&rack.secondary));
        if one && trees.is_none() {
            trees = Some([pair.a.tree()?, pair.b.tree()?]);
        }
        if one || two {
            gap = gap.max(served.elapsed());
            served = Instant::now();
        }
        if one
            && !two
            && let Some(trees) = trees
        {
            return Ok((gap, trees));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err("the primary does not serve again".into())
}

fn handover(rack: &Rack) -> Tested {
    let log = rack.path("hooks");
    let hook = |what: &str| {
        format!("[\"/bin/sh\", \"-c\", \"echo {what} $CARP_SHARE >> {}\"]", log.display())
    };
    let (quiesce, unquiesce) = (hook("quiesce"), hook("unquiesce"));
    let second = format!("cold_start_wait = \"0s\"\nquiesce = {quiesce}\nunquiesce = {unquiesce}");
    let pair = Pair::with(rack, "", &second)?;
    // The secondary serves alone, and the primary comes later.
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    pair.b.write("written", "before")?;
    let first = pair.a.start()?;
    first.wait_for_state("backup")?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)
        .map_err(|error| explain(&error, [&first, &second]))?;
    ensure(pair.a.read("written").as_deref() == Some("before"), "what was written is there")?;
    wait_until(LIMIT, "both hooks ran", || {
        fs::read_to_string(&log).is_ok_and(|text| text == "quiesce www\nunquiesce www\n")
    })?;
    wait_until(LIMIT, "the freeze is told", || share(&first)["freeze_ms"].is_number())?;
    ensure(pair.a.rescued("written").is_empty(), "nothing had to be rescued")
}

/// Writers go on after `handover_timeout` at the latest.
const UNQUIESCED: Duration = Duration::from_secs(15);

fn requester_dies(rack: &Rack) -> Tested {
    let log = rack.path("hooks");
    let hook = |what: &str| {
        let (log, go) = (log.display(), rack.path("go"));
        format!(
            "[\"/bin/sh\", \"-c\", \"echo {what} >> {log}; until [ -e {} ]; do sleep 0.1; done\"]",
            go.display()
        )
    };
    let settings = format!(
        "cold_start_wait = \"0s\"\nquiesce = {}\nunquiesce = {}",
        hook("quiesce"),
        hook("unquiesce")
    );
    let pair = Pair::with(rack, "", &settings)?;
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    let first = pair.a.start()?;
    let logged = |text: &str| fs::read_to_string(&log).is_ok_and(|found| found == text);
    wait_until(LIMIT, "writers are being stopped", || logged("quiesce\n"))?;
    let killed = Instant::now();
    first.kill_with_guard(&rack.primary)?;
    rack.write("go", "", 0o644)?;
    // No sooner than it is known that nobody takes over: handover_timeout is 15 s.
    wait_until(LIMIT, "writers go on", || logged("quiesce\nunquiesce\n"))?;
    let took = killed.elapsed();
    println!("f5: writers went on {} ms after the one that asked had died", took.as_millis());
    ensure_within(UNQUIESCED, took, "in which writers stood still")?;
    let told = events(&second);
    ensure(told.contains("writers go on"), told)?;
    ensure(second.state() == "active" && serves(&rack.secondary), "the secondary still serves")
}

fn planned_yield(rack: &Rack) -> Tested {
    // A pass comes seldom, but the last one comes before the router leaves.
    let pair = Pair::new(rack, "")?;
    let (first, second) = pair.start()?;
    pair.a.write("last", "word")?;
    let (code, text) = crate::support::told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    ensure(pair.b.read("last").as_deref() == Some("word"), "what was written last is there")
}

fn promotion_during_a_pass(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "bandwidth = 100\nstale_takeover = \"allow\"")?;
    let (first, second) = pair.start()?;
    pair.a.put("large", &vec![7; 20 << 20])?;
    wait_until(LIMIT, "the large file is being pulled", || {
        share(&second)["progress"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    })?;
    let mut groups = passes(&pair.b.share);
    ensure(!groups.is_empty(), "a pass runs")?;
    first.kill_with_guard(&rack.primary)?;
    let began = Instant::now();
    while !serves(&rack.secondary) {
        // Another one may begin before the takeover.
        groups.append(&mut passes(&pair.b.share));
        ensure(began.elapsed() < LIMIT, "the secondary serves")?;
    }
    let left: Vec<_> = groups.iter().flat_map(|group| living_here(*group)).collect();
    ensure(left.is_empty(), format!("when the address is there, of {groups:?} live {left:?}"))?;
    ensure(share(&second)["progress"].is_null(), "no pass runs when the address is there")?;
    ensure(pair.b.read("large").is_none(), "and nothing of it is visible")?;
    let partial = pair.b.share.join(".sync-partial");
    wait_until(LIMIT, "what was received of it is removed from what is served", || {
        match fs::read_dir(&partial) {
            Ok(entries) => entries.count() == 0,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    })?;
    second.wait_for_state("active")?;
    pair.b.write("mine", "1")?;
    let before = (fs::metadata(&pair.b.share)?.modified()?, pair.b.tree()?);
    // Its own record is written each second: it has had the time to change something.
    let beat = pair.b.beat()?;
    wait_until(LIMIT, "three seconds of its life", || {
        pair.b.beat().is_ok_and(|now| now >= beat + 3)
    })?;
    let after = (fs::metadata(&pair.b.share)?.modified()?, pair.b.tree()?);
    ensure(after == before, "nothing changes any more")?;
    ensure(passes(&pair.b.share).is_empty(), "and nobody pulls")?;
    ensure(second.state() == "active" && serves(&rack.secondary), "the secondary serves on")
}

fn hangs_in_the_kernel(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    let Some(disk) = StuckDisk::mount(&rack.path("disk"))? else {
        eprintln!("a process that cannot be killed is left out: this machine has no FUSE");
        return Ok(());
    };
    let flag = rack.path("hangs");
    let script = format!(
        "case \"$*\" in *--delete-delay*) [ -e {flag} ] && echo $$ >{flag} && exec cat {disk}/file;; esac",
        flag = flag.display(),
        disk = rack.path("disk").display()
    );
    let (first, second) = (pair.a.start()?, pair.b.start_with_rsync(&script)?);
    first.wait_for_state("active")?;
    wait_in_sync(&second)?;
    stays_away(rack, &pair, [&first, &second], &flag, disk)
}

/// The disk is pulled out before the daemons are waited for, however this ends.
fn stays_away(
    rack: &Rack,
    pair: &Pair<'_>,
    [first, second]: [&Daemon; 2],
    flag: &Path,
    disk: StuckDisk,
) -> Tested {
    fs::write(flag, "")?;
    pair.a.write("late", "1")?;
    wait_until(LIMIT, "a pass hangs", || {
        let hangs = |group| {
            living_there(second, group)
                .is_ok_and(|commands| commands.iter().any(|command| command.contains("disk/file")))
        };
        fs::read_to_string(flag).is_ok_and(|text| text.trim().parse().is_ok_and(hangs))
    })?;
    first.kill_with_guard(&rack.primary)?;
    wait_until(LIMIT, "what hangs is named", || {
        share(second)["fault"].as_str().is_some_and(|fault| fault.contains("cannot be killed"))
    })?;
    ensure(share(second)["in_sync"] == false, "its copy is not in step")?;
    // Longer than any takeover takes: it is tried again and again.
    let beat = pair.b.beat()?;
    wait_until(LIMIT, "ten seconds of its life", || {
        pair.b.beat().is_ok_and(|now| now >= beat + 10)
    })?;
    ensure(
        !serves(&rack.secondary),
        "nobody knows what it still writes, so the address stays away",
    )?;
    let text = sync(second, &["status"], 0)?;
    ensure(text.contains("look at the disks"), text)?;
    fs::remove_file(flag)?;
    drop(disk);
    second.wait_for_state("active")?;
    ensure(share(second)["fault"].is_null(), "nothing hangs any more")
}

fn live_peer(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (first, second) = pair.start()?;
    if door::is_wanted() {
        // Its word goes the way of the adverts.
        forbid_sending(&rack.primary)?;
    } else {
        rack.secondary.cut()?;
    }
    wait_until(LIMIT, "the takeover is put off", || {
        second.status().is_some_and(|router| {
            router["fault"].as_str().is_some_and(|fault| fault.contains("put off"))
        })
    })?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "the secondary stays backup")?;
    // Only its own word has kept the other one back.
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active")
}
