//! Clocks that are wrong, and that jump: they decide nothing, and lose nothing.

use std::fs;
use std::time::SystemTime;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::scene::{Pair, equal, events, explain, share, sync, wait_held, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, wait_for_owner};

pub(crate) const TESTS: &[Test] = &[
    ("a_peer_whose_clock_is_years_off_is_copied_all_the_same", of_the_peer),
    ("a_clock_that_jumps_while_the_daemon_runs_stops_no_copy", while_it_runs),
    ("a_takeover_and_a_return_after_the_clocks_have_jumped_lose_nothing", around_a_takeover),
    (
        "a_clock_that_is_set_right_while_its_node_serves_makes_the_other_one_ask",
        set_right_while_it_serves,
    ),
];

fn of_the_peer(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("x", "0")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    // What the peer's record says of its clock is changed on its way.
    let shift = rack.write("shift", "", 0o644)?;
    let script = format!(
        "case \"$*\" in *carp-state*) /usr/bin/rsync \"$@\"; code=$?; for last; do :; done; \
         sed -i -E 's/\"now\":([0-9]+)/\"now\":'$(cat {})'/' \"$last\" 2>/dev/null; exit $code;; esac",
        shift.display()
    );
    let second = pair.b.start_with_rsync(&script)?;
    let year = 365 * 24 * 3600 * 1_000_000_000_u64;
    let now = u64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())?;
    for (number, clock) in
        [now, now + 10 * year, now - 10 * year, u64::MAX, 0].into_iter().enumerate()
    {
        fs::write(&shift, clock.to_string())?;
        let value = format!("{number} by the clock {clock}");
        pair.a.write("x", &value)?;
        pair.b.wait_for("x", Some(&value)).map_err(|error| {
            Failed::from(format!("{error:?}: {}: {}", share(&second), events(&second)))
        })?;
        wait_in_sync(&second)?;
        let status = share(&second);
        ensure(status["held"].is_null() && status["alarm"] == false, status.to_string())?;
        // The lag is told by this node's clock alone.
        let lag = status["lag_ms"].as_f64().unwrap_or(f64::MAX);
        ensure(lag < 60_000.0, status.to_string())?;
    }
    Ok(())
}

fn while_it_runs(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    for node in [&pair.a, &pair.b] {
        node.shift_clock("+0")?;
    }
    let (first, second) = (pair.a.start_with_clock()?, pair.b.start_with_clock()?);
    first.wait_for_state("active")?;
    wait_in_sync(&second)?;
    let jumps = [
        (&pair.b, "+400d", "forward by 400d"),
        (&pair.b, "-400d", "back by 800d"),
        (&pair.a, "+400d", "forward by 400d"),
        (&pair.b, "+0", "forward by 400d"),
        (&pair.a, "-400d", "back by 800d"),
        (&pair.a, "+0", "forward by 400d"),
    ];
    for (number, (node, shift, told)) in jumps.into_iter().enumerate() {
        let daemon = if node.name == "primary" { &first } else { &second };
        // Of one node two jumps are alike.
        let told = format!("this node's clock was set {told}");
        let count = || events(daemon).matches(&told).count();
        let before = count();
        node.shift_clock(shift)?;
        wait_until(LIMIT, "the jump is told", || count() > before)
            .map_err(|it| explain(&it.into(), [&first, &second]))?;
        let value = format!("{number}: {} at {shift}", node.name);
        pair.a.write("page", &value)?;
        pair.b.wait_for("page", Some(&value)).map_err(|it| explain(&it, [&first, &second]))?;
        // Until a pass has come after the jump, the age of the copy is told by two readings of which one is wrong.
        wait_until(LIMIT, "the copy is as old as it is", || {
            let status = share(&second);
            status["in_sync"] == true
                && status["held"].is_null()
                && status["lag_ms"].as_f64().is_some_and(|lag| lag < 60_000.0)
        })
        .map_err(|it| explain(&it.into(), [&first, &second]))?;
        wait_until(LIMIT, "a pass has come after the jump", || share(&second)["fault"].is_null())?;
    }
    ensure(first.state() == "active" && second.state() == "backup", "nobody has taken over")?;
    pair.b.shift_clock("+400d")?;
    pair.a.write("page", "last")?;
    pair.b.wait_for("page", Some("last"))?;
    // It was the daemon's clock that was changed.
    let year = |status: &Value| status["last_pass"]["ended"].as_str().map(|it| it[..4].to_owned());
    let today = year(&serde_json::json!({ "last_pass": { "ended": now() } }));
    wait_until(LIMIT, "its clock is another one", || {
        let told = year(&share(&second));
        told.is_some() && told > today
    })?;
    equal(&pair.a.share, &pair.b.share).and_then(|same| ensure(same, "the trees are equal"))
}

/// A takeover by a node whose clock has just been set back; what the dead one had written last is nowhere else. When
/// that one comes back, the clocks of both show this much more than this machine's.
fn crash_and_return<'a>(
    rack: &'a Rack,
    [ours, theirs]: [&str; 2],
) -> Result<(Pair<'a>, Daemon, Daemon), Failed> {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    pair.a.write("page", "v1")?;
    for node in [&pair.a, &pair.b] {
        node.shift_clock("+0")?;
    }
    let (first, second) = (pair.a.start_with_clock()?, pair.b.start_with_clock()?);
    first.wait_for_state("active")?;
    wait_in_sync(&second)?;
    // Nothing of this is pulled any more.
    pair.b.cut(true)?;
    wait_until(LIMIT, "no pass runs", || share(&second)["progress"].is_null())?;
    pair.a.write("late", "1")?;
    pair.a.write("page", "va")?;
    pair.b.shift_clock("-400d")?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active").map_err(|it| explain(&it, [&first, &second]))?;
    let told = events(&second);
    let took_over = told.lines().find(|line| line.contains("backup -> active"));
    let year = took_over.and_then(|line| line.get(..4)).ok_or("no takeover")?;
    ensure(year < &now()[..4], format!("its clock was not set back: {told}"))?;
    pair.b.write("page", "vb")?;
    pair.b.cut(false)?;
    pair.b.shift_clock(theirs)?;
    pair.a.shift_clock(ours)?;
    let first = pair.a.start_with_clock()?;
    Ok((pair, first, second))
}

/// Both have what the secondary wrote, and what only the primary had is kept.
fn ensure_nothing_lost(pair: &Pair<'_>) -> Tested {
    for node in [&pair.a, &pair.b] {
        node.wait_for("page", Some("vb"))?;
    }
    for (file, value) in [("late", "1"), ("page", "va")] {
        let kept = pair.a.rescued(file);
        ensure(kept == [value], format!("{file} is in a rescue set: {kept:?}"))?;
    }
    Ok(())
}

fn around_a_takeover(rack: &Rack) -> Tested {
    let (pair, first, second) = crash_and_return(rack, ["+400d", "-400d"])?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)
        .map_err(|it| explain(&it, [&first, &second]))?;
    ensure_nothing_lost(&pair)
}

/// By that clock the secondary has served for more than a year, and the primary wrote only a moment ago.
fn set_right_while_it_serves(rack: &Rack) -> Tested {
    let (pair, first, _second) = crash_and_return(rack, ["+0", "+0"])?;
    wait_held(&first, "diverged")?;
    let ours = |file: &str| pair.a.read(file);
    ensure(
        ours("page").as_deref() == Some("va") && ours("late").as_deref() == Some("1"),
        "the primary's tree is as it was",
    )?;
    ensure(pair.b.read("page").as_deref() == Some("vb"), "and so is the secondary's")?;
    let text = sync(&first, &["status"], 1)?;
    ensure(text.contains("resolve --keep local"), text)?;
    sync(&first, &["resolve", "--keep", "peer"], 0)?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)?;
    ensure_nothing_lost(&pair)
}

fn now() -> String {
    carp_node::clock::wall_time().to_string()
}
