//! `carp sync failback`: the address returns when the operator says so.

use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fs, thread};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::scene::{Node, Pair, events, explain, share, sync, wait_held, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves};

pub(crate) const TESTS: &[Test] = &[
    ("a_manual_failback_waits_for_the_word_and_then_loses_nothing", by_hand),
    ("a_failback_waits_for_a_disk_that_answers_late", late_disk),
    ("a_failback_that_a_disk_holds_up_for_too_long_takes_nothing_over", too_late_disk),
    ("a_failback_that_cannot_be_done_says_what_is_missing", refused),
    ("a_failback_that_is_not_done_in_time_leaves_the_address_where_it_was", in_vain),
];

const MANUAL: &str =
    "failback = \"manual\"\nstale_takeover = \"allow\"\ncold_start_wait = \"0s\"\n";

/// The secondary serves, and the primary is back, in sync, and waits for the word.
fn wait_for_word(pair: &Pair<'_>) -> Result<(Daemon, Daemon), Failed> {
    wait_for_word_of(pair, Node::start)
}

fn wait_for_word_of<'a>(
    pair: &Pair<'a>,
    start: impl Fn(&Node<'a>) -> Result<Daemon, Failed>,
) -> Result<(Daemon, Daemon), Failed> {
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    pair.b.write("page", "of the secondary")?;
    let first = start(&pair.a)?;
    let waits = || share(&first)["failback"] == "carp sync failback www";
    wait_until(LIMIT, "only a word is missing", waits)
        .map_err(|error| Failed::from(format!("{error}: {}: {}", share(&first), events(&first))))?;
    Ok((first, second))
}

fn by_hand(rack: &Rack) -> Tested {
    let log = rack.path("hooks");
    let hook = |what: &str| format!("[\"/bin/sh\", \"-c\", \"echo {what} >> {}\"]", log.display());
    let hooks = format!("quiesce = {}\nunquiesce = {}", hook("quiesce"), hook("unquiesce"));
    let pair = Pair::new(rack, &format!("{MANUAL}{hooks}"))?;
    let (first, second) = wait_for_word(&pair)?;
    let text = sync(&first, &["status"], 0)?;
    ensure(text.contains("the address comes here with `carp sync failback www`"), text)?;
    ensure(share(&second)["failback"].is_null(), "it is where it is")?;
    ensure(first.state() == "backup" && serves(&rack.secondary), "nothing moves before the word")?;
    ensure(!log.exists(), "and no writer was stopped")?;
    let text =
        sync(&first, &["failback"], 0).map_err(|error| explain(&error, [&first, &second]))?;
    ensure(text.contains("web is active on this node") && text.contains("stood still for"), text)?;
    ensure(first.state() == "active" && serves(&rack.primary), "the primary serves at once")?;
    ensure(pair.a.read("page").as_deref() == Some("of the secondary"), "with the last page")?;
    second.wait_for_state("backup")?;
    wait_until(LIMIT, "both hooks ran", || {
        fs::read_to_string(&log).is_ok_and(|text| text == "quiesce\nunquiesce\n")
    })?;
    let again: Value = serde_json::from_str(&sync(&first, &["failback", "--json"], 0)?)?;
    ensure(
        again["schema"] == "carp.sync-failback/1" && again["moved"] == false,
        again.to_string(),
    )?;
    wait_in_sync(&second)?;
    let text = sync(&second, &["failback", "www"], 6)?;
    ensure(text.contains("`carp yield web`"), text)
}

/// The takeover at the end looks at the root once more, and gets no answer for a second.
fn late_disk(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, &format!("{MANUAL}{}", stops_writers(rack)))?;
    let (first, second, answers) = with_late_disk(rack, &pair, Duration::from_secs(1))?;
    let text =
        sync(&first, &["failback"], 0).map_err(|error| explain(&error, [&first, &second]))?;
    answers.join().map_err(|_| "it was never late")??;
    let freeze = share(&first)["freeze_ms"].as_f64().unwrap_or_default();
    ensure(freeze >= 1000.0, format!("the disk was waited for, not for {freeze} ms: {text}"))?;
    ensure(first.state() == "active" && serves(&rack.primary), "the primary serves")?;
    ensure(pair.a.read("page").as_deref() == Some("of the secondary"), "with the last page")
}

/// The answer comes when the peer's writers may have gone on.
fn too_late_disk(rack: &Rack) -> Tested {
    let settings = format!("{MANUAL}handover_timeout = \"5s\"\n{}", stops_writers(rack));
    let pair = Pair::new(rack, &settings)?;
    let (first, second, answers) = with_late_disk(rack, &pair, Duration::from_secs(4))?;
    let history = pair.a.told()?["history"].clone();
    let text = sync(&first, &["failback"], 1)?;
    ensure(text.contains("the address is where it was, and writers go on"), text)?;
    answers.join().map_err(|_| "it was never late")??;
    second.wait_for_state("active").map_err(|error| explain(&error, [&first, &second]))?;
    first.wait_for_state("backup")?;
    ensure(pair.a.told()?["history"] == history, "no epoch has begun")
}

/// A hook that leaves a file where it has run.
fn stops_writers(rack: &Rack) -> String {
    format!("quiesce = [\"/usr/bin/touch\", \"{}\"]", rack.path("late").display())
}

/// As [`wait_for_word`]. The first pass after writers stand still leaves a marker that nobody can read for so long.
fn with_late_disk(
    rack: &Rack,
    pair: &Pair<'_>,
    time: Duration,
) -> Result<(Daemon, Daemon, JoinHandle<io::Result<()>>), Failed> {
    let (marker, away) = (pair.a.share.join(".share-id"), pair.a.share.with_file_name("marker"));
    let late = rack.path("late");
    let script = format!(
        "case \"$*\" in *primary.d/www*) ;; *) exec /usr/bin/rsync \"$@\" ;; esac
/usr/bin/rsync \"$@\"
code=$?
[ -e '{}' ] && mkdir '{away}.once' 2>/dev/null && mv '{marker}' '{away}' && mkfifo '{marker}'
exit $code",
        late.display(),
        away = away.display(),
        marker = marker.display(),
    );
    let (first, second) = wait_for_word_of(pair, |node| node.start_with_rsync(&script))?;
    let answers = thread::spawn(move || -> io::Result<()> {
        let is_late = || fs::metadata(&marker).is_ok_and(|it| it.file_type().is_fifo());
        wait_until(LIMIT, "the disk is late", is_late).map_err(io::Error::other)?;
        thread::sleep(time);
        fs::File::options().write(true).open(&marker)?.write_all(&fs::read(&away)?)?;
        fs::rename(&away, &marker)
    });
    Ok((first, second, answers))
}

fn refused(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, MANUAL)?;
    let (first, second) = wait_for_word(&pair)?;
    sync(&first, &["hold", "--reason", "a test"], 0)?;
    wait_held(&first, "operator")?;
    let text = sync(&first, &["failback"], 6)?;
    ensure(text.contains("share www is held") && text.contains("hold --release"), text)?;
    sync(&first, &["hold", "--release"], 0)?;
    pair.a.cut_saying("ssh: connect to host secondary port 22: Connection refused")?;
    let mut text = String::new();
    wait_until(LIMIT, "the peer's silence is noticed", || {
        text = first
            .ask(&["sync", "failback"])
            .map(|it| crate::support::told(&it).1)
            .unwrap_or_default();
        text.contains("the peer's record cannot be read")
    })
    .map_err(|error| Failed::from(format!("{error}: {text}")))?;
    ensure(text.contains("Connection refused") && text.contains("carp sync check www"), text)?;
    ensure(share(&first)["failback"].is_null(), "no command would bring it here")?;
    ensure(second.state() == "active" && serves(&rack.secondary), "the secondary serves on")
}

fn in_vain(rack: &Rack) -> Tested {
    let hooks = "quiesce = [\"/bin/false\"]\nunquiesce = [\"/bin/true\"]";
    let pair = Pair::new(rack, &format!("{MANUAL}{hooks}"))?;
    let (first, second) = wait_for_word(&pair)?;
    let text = sync(&first, &["failback"], 1)?;
    ensure(text.contains("not done in time") && text.contains("waited for 13 s"), text.clone())?;
    ensure(text.contains("the address is where it was"), text)?;
    ensure(second.state() == "active" && serves(&rack.secondary), "the secondary serves on")?;
    ensure(events(&second).contains("quiesce failed; writers go on"), events(&second))
}
