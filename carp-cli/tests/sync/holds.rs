//! What holds a share, each from what brings it about to what is told to do: the label, the remedy in the status, and
//! both trees as they were. The holds that belong to a sequence are in its file.

use std::fs;

use carp_node::clock::wall_time;
use carp_node::lab::{mac, wait_until};
use carp_node::sync::hold::HoldReason;
use carp_node::sync::lineage::{NodeId, Stamp};
use carp_node::sync::record::Memory;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::scene::{
    Pair, equal, events, explain, hold, share, shell, sync, wait_held, wait_in_sync,
};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves, wait_for_owner};
use crate::trees::Both;

pub(crate) const TESTS: &[Test] = &[
    ("what_is_kept_and_does_not_fit_is_held_until_it_does", rescue_space),
    ("what_would_be_kept_on_another_file_system_is_held", rescue_elsewhere),
    ("adverts_of_somebody_else_than_the_peer_hold", third_router),
    ("two_nodes_of_one_name_hold", same_name),
    ("a_share_that_was_set_up_anew_holds_until_it_is_adopted", other_share),
    ("a_tree_older_than_all_that_the_peer_remembers_holds", history_too_short),
    ("an_rsync_that_does_not_accept_the_call_holds", rsync_setup),
    ("what_holds_stays_told_while_the_peer_is_dead", dead_peer),
    ("what_holds_stays_told_while_the_peer_is_not_heard_until_the_operator_decides", silent_peer),
    ("a_mass_delete_stays_asked_about_while_the_peer_is_dead", mass_delete_of_the_dead),
];

/// Waits for a hold, and finds what is wrong and what to do in the status.
fn ensure_held(daemon: &Daemon, reason: HoldReason, what: &str) -> Tested {
    wait_held(daemon, reason.label())?;
    let text = sync(daemon, &["status"], 1)?;
    let told = format!("{what}; {}\n", reason.remedy());
    ensure(text.contains("! held: ") && text.contains(&told), text)?;
    ensure(share(daemon)["in_sync"] == false, "what is held is not in sync")?;
    let told = events(daemon);
    ensure(told.contains(reason.remedy()), told)
}

/// What a node has told of a hold.
pub(crate) struct HoldTold {
    held: Value,
    message: String,
    /// How often it was told that it is held so, and that it is no longer held.
    often: [usize; 2],
}

impl HoldTold {
    pub(crate) fn by(daemon: &Daemon) -> Result<Self, Failed> {
        let held = share(daemon)["held"].clone();
        let message = held["message"].as_str().ok_or("no hold")?.to_owned();
        let mut told = Self { held, message, often: [0; 2] };
        wait_until(LIMIT, "the hold is told", || {
            told.often = told.often(daemon);
            told.often[0] > 0
        })?;
        Ok(told)
    }

    fn often(&self, daemon: &Daemon) -> [usize; 2] {
        let begun = format!("fault: share www: {}", self.message);
        let ended = daemon.process.said().matches("share www: no longer held").count();
        [events(daemon).matches(&begun).count(), ended]
    }

    /// The peer says nothing any more, and the share is held as before: for this reason, in the same words, without a break.
    pub(crate) fn ensure_stays(&self, daemon: &Daemon) -> Tested {
        wait_until(LIMIT, "the peer is silent", || {
            let status = share(daemon);
            let doing = status["doing"].as_str().unwrap_or_default();
            status["peer_alive"] == false && doing.contains("cannot be read, or does not change")
        })?;
        let now = share(daemon);
        ensure(now["held"] == self.held, format!("it was held as {}: {now}", self.held))?;
        ensure(now["in_sync"] == false, "what is held is not in sync")?;
        let text = sync(daemon, &["status"], 1)?;
        ensure(text.contains(&format!("! held: {}\n", self.message)), text)?;
        self.ensure_told_once(daemon)
    }

    /// Whoever is told that it is over, and then again that it is not, looks twice.
    fn ensure_told_once(&self, daemon: &Daemon) -> Tested {
        let often = self.often(daemon);
        ensure(often == self.often, format!("{:?}, and then {often:?}", self.often))
    }
}

fn wait_released(daemon: &Daemon) -> Tested {
    wait_until(LIMIT, "no longer held", || share(daemon)["held"].is_null())?;
    sync(daemon, &["status"], 0)?;
    Ok(())
}

/// The primary serves, and the secondary has a tree of its own, about which it was said that the peer's counts.
fn given_up(pair: &Pair<'_>) -> Result<(Daemon, Daemon), Failed> {
    pair.b.write("own", "1")?;
    pair.b.write("page", "mine")?;
    pair.a.write("page", "theirs")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start()?;
    wait_held(&second, "not-adopted")?;
    Ok((first, second))
}

/// The secondary has the primary's tree, and kept its own.
fn ensure_kept(pair: &Pair<'_>, second: &Daemon) -> Tested {
    pair.b.wait_for("page", Some("theirs"))?;
    wait_in_sync(second)?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")?;
    let kept = [pair.b.rescued("page"), pair.b.rescued("own")];
    ensure(kept == [["mine"], ["1"]], format!("what was here is kept: {kept:?}"))
}

fn rescue_space(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.b.mount(64)?;
    pair.a.put("large", &vec![7; 80 << 20])?;
    let (_first, second) = given_up(&pair)?;
    let before = Both::of(&pair)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    let what = format!("and the disk of {} has 63 MiB free", pair.b.share.display());
    ensure_held(&second, HoldReason::RescueSpace, &what)?;
    before.ensure_untouched("held for want of space")?;
    ensure(pair.b.rescued("own").is_empty(), "no set was begun")?;
    pair.b.remount("size=256m")?;
    ensure_kept(&pair, &second)?;
    wait_released(&second)
}

fn rescue_elsewhere(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    // The share is not below a mount point, but is one.
    let root = pair.b.share.display();
    shell(&format!("mount -t tmpfs tmpfs '{root}'"))?;
    let (_first, second) = given_up(&pair)?;
    let before = Both::of(&pair)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    let above = pair.b.share.parent().ok_or("no parent")?.display();
    let what = format!("no rescue set can be kept beside {root}: {above} is on another one");
    ensure_held(&second, HoldReason::RescueElsewhere, &what)?;
    before.ensure_untouched("held because of the other file system")?;
    // As is told: its disk is mounted one folder further up, with all that is in it.
    shell(&format!(
        "mkdir '{above}/disk' && mount --bind '{root}' '{above}/disk' && umount '{root}' && \
         cp -a '{above}/disk/.' '{root}/' && umount '{above}/disk'"
    ))?;
    ensure_kept(&pair, &second)?;
    wait_released(&second)
}

fn third_router(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    // The adverts of the primary are lost, and somebody else has the same id and the same key.
    let other = rack.switch.host("third", mac(0x60), &["192.168.130.60/24"])?;
    let third = rack.daemon(&other, &rack.configure("third", "advskew = 50\npreempt = true")?)?;
    third.wait_for_state("backup")?;
    rack.primary.cut()?;
    third.wait_for_state("active")?;
    let what =
        "primary says that it serves, but the adverts come from 192.168.130.60, which is not its";
    ensure_held(&second, HoldReason::ThirdRouter, what)
        .map_err(|error| explain(&error, [&first, &second]))?;
    pair.a.write("page", "v2")?;
    let before = Both::of(&pair)?;
    let beat = pair.a.beat()?;
    wait_until(LIMIT, "the primary goes on", || pair.a.beat().is_ok_and(|now| now > beat + 3))?;
    ensure(share(&second)["held"]["reason"] == "third-router", share(&second).to_string())?;
    before.ensure_untouched("held because of a third router")?;
    // It is one too many.
    third.stop()?;
    rack.primary.plug()?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)?;
    pair.b.wait_for("page", Some("v2")).map_err(|error| explain(&error, [&first, &second]))?;
    wait_in_sync(&second)?;
    wait_released(&second)
}

fn same_name(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("page", "v1")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    pair.a.wait_for_marker()?;
    let text = fs::read_to_string(&pair.b.config)?;
    let own = "name = \"secondary\"";
    ensure(text.contains(own), &*text)?;
    fs::write(&pair.b.config, text.replace(own, "name = \"primary\""))?;
    let second = pair.b.start()?;
    let before = Both::of(&pair)?;
    ensure_held(&second, HoldReason::SameName, "the peer's name is primary too")?;
    before.ensure_untouched("held because of the names")?;
    ensure(first.state() == "active" && serves(&rack.primary), "the primary serves on")?;
    second.stop()?;
    fs::write(&pair.b.config, text)?;
    let second = pair.b.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    wait_in_sync(&second)?;
    wait_released(&second)
}

fn other_share(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"\nstale_takeover = \"allow\"")?;
    pair.a.write("page", "mine")?;
    pair.a.write("own", "1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("own", Some("1"))?;
    second.stop()?;
    first.stop()?;
    // The primary is installed anew, and knows nothing.
    fs::remove_dir_all(rack.path("primary.state"))?;
    for file in [".share-id", "page", "own"] {
        fs::remove_file(pair.a.share.join(file))?;
    }
    pair.a.write("page", "theirs")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let id = |node: &crate::scene::Node<'_>| -> Result<String, Failed> {
        Ok(fs::read_to_string(node.share.join(".share-id"))?.trim().to_owned())
    };
    pair.a.wait_for_marker()?;
    let before = Both::of(&pair)?;
    let second = pair.b.start()?;
    let what = format!("share www is {} on primary and {} here", id(&pair.a)?, id(&pair.b)?);
    ensure_held(&second, HoldReason::OtherShare, &what)
        .map_err(|error| explain(&error, [&first, &second]))?;
    before.ensure_untouched("held because it is another share")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    ensure_kept(&pair, &second)?;
    wait_released(&second)?;
    ensure(id(&pair.a)? == id(&pair.b)?, "it is one share again")
}

/// More epochs than a history has.
const EPOCHS: u64 = 34;

fn history_too_short(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("page", "mine")?;
    pair.a.write("own", "1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("own", Some("1"))?;
    second.stop()?;
    first.stop()?;
    // As if the primary had been started again and again while the secondary was away.
    let file = Memory::file(&rack.path("primary.state"), "www");
    let node = NodeId::try_from("primary".to_owned())?;
    let now = Stamp(u64::try_from(wall_time().as_nanosecond())?);
    let memory = (0..EPOCHS).fold(Memory::load(&file), |memory, nonce| {
        memory.after_promotion(&node, now, nonce, false)
    });
    memory.store(&file)?;
    fs::remove_file(pair.a.share.join("own"))?;
    pair.a.write("page", "theirs")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let before = Both::of(&pair)?;
    let second = pair.b.start()?;
    let what =
        "this tree is of e1 (primary), which is older than all that primary remembers of its own";
    ensure_held(&second, HoldReason::HistoryTooShort, what)
        .map_err(|error| explain(&error, [&first, &second]))?;
    before.ensure_untouched("held because nobody knows where it comes from")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    ensure_kept(&pair, &second)?;
    wait_released(&second)
}

fn rsync_setup(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("page", "v1")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start_with_rsync(":")?;
    pair.b.wait_for("page", Some("v1"))?;
    wait_in_sync(&second)?;
    let said = "rsync: --modify-window=-1: unknown option";
    // No rsync that was called before is under way.
    hold(&second)?;
    pair.b.replace_rsync(Some(&format!(
        "case \"$*\" in *--delete-delay*) echo '{said}' >&2; exit 1;; esac"
    )))?;
    pair.a.write("page", "v2")?;
    let before = Both::of(&pair)?;
    sync(&second, &["hold", "--release"], 0)?;
    let what = "rsync does not accept the call";
    ensure_held(&second, HoldReason::RsyncSetup, what)?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains(said), text)?;
    before.ensure_untouched("held because of the call")?;
    pair.b.replace_rsync(None)?;
    pair.b.wait_for("page", Some("v2"))?;
    wait_in_sync(&second)?;
    wait_released(&second)
}

/// What an old copy would do in place of a dead peer is no part of these.
const NEVER: &str = "cold_start_wait = \"0s\"\nstale_takeover = \"never\"";

fn dead_peer(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, NEVER)?;
    let (first, second) = given_up(&pair)?;
    let told = HoldTold::by(&second)?;
    let before = Both::of(&pair)?;
    first.kill_with_guard(&rack.primary)?;
    told.ensure_stays(&second)?;
    before.ensure_untouched("the peer is dead")?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "nobody serves another tree")?;
    // The one that comes back is asked about as before.
    let _first = pair.a.start()?;
    ensure_held(&second, HoldReason::NotAdopted, "was never in step with that of primary")?;
    ensure(share(&second)["held"] == told.held, share(&second).to_string())?;
    told.ensure_told_once(&second)?;
    before.ensure_untouched("nobody has decided")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    ensure_kept(&pair, &second)?;
    wait_released(&second)
}

fn silent_peer(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, NEVER)?;
    let (first, second) = given_up(&pair)?;
    let told = HoldTold::by(&second)?;
    let before = Both::of(&pair)?;
    // Its adverts are heard as before.
    pair.b.cut(true)?;
    told.ensure_stays(&second)?;
    ensure(first.state() == "active" && second.state() == "backup", "the primary serves on")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    wait_released(&second)?;
    before.ensure_untouched("the peer is not heard")?;
    pair.b.cut(false)?;
    ensure_kept(&pair, &second)?;
    wait_released(&second)
}

/// What a pass has found out is told as long as no pass can look again.
fn mass_delete_of_the_dead(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, &format!("max_delete = 5\nmax_lag = \"2s\"\n{NEVER}"))?;
    for file in 0..20 {
        pair.a.write(&format!("f{file}"), "1")?;
    }
    let (first, second) = pair.start()?;
    pair.b.wait_for("f19", Some("1"))?;
    hold(&second)?;
    for file in 0..20 {
        fs::remove_file(pair.a.share.join(format!("f{file}")))?;
    }
    sync(&second, &["hold", "--release"], 0)?;
    wait_held(&second, "mass-delete")?;
    // An old copy is not served here, so that it stays the copy of a standby.
    wait_until(LIMIT, "the copy is too old", || share(&second)["alarm"] == true)?;
    let told = HoldTold::by(&second)?;
    ensure(told.message.contains("would delete 20 files"), &*told.message)?;
    let before = Both::of(&pair)?;
    first.kill_with_guard(&rack.primary)?;
    told.ensure_stays(&second)?;
    before.ensure_untouched("the peer is dead")?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "an old copy is not served")?;
    // The word may be given meanwhile.
    sync(&second, &["approve"], 0)?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    pair.b.wait_for("f0", None).map_err(|error| explain(&error, [&first, &second]))?;
    wait_in_sync(&second)?;
    wait_released(&second)
}
