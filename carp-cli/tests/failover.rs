//! Two of our nodes: takeover, failback, planned stops, faults of links and addresses.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::process::ExitCode;

use carp_node::lab::{Signal, wait_until};
use support::{
    LIMIT, PRIMARY, Rack, SECONDARY, Test, Tested, VIP, carp, ensure, has, run_on, serves, told,
    wait_for_owner, with_dependent,
};

const TESTS: &[Test] = &[
    ("the_better_of_two_is_active", the_better_of_two_is_active),
    ("the_secondary_takes_over_and_the_primary_returns", takeover_and_failback),
    ("a_planned_stop_hands_over", a_planned_stop_hands_over),
    ("yield_hands_over_and_does_not_preempt", yield_hands_over),
    ("a_yield_that_nobody_answers_is_withdrawn", unanswered_yield),
    ("usr1_shows_the_status_and_usr2_yields", user_signals),
    ("an_address_that_others_remove_comes_back", removed_address_comes_back),
    ("a_foreign_address_is_used_and_never_removed", foreign_address_stays),
    ("release_spares_the_secondary_addresses_of_its_subnet", release_spares_secondaries),
    ("cleanup_removes_what_a_dead_daemon_left_and_nothing_else", cleanup_after_a_crash),
    ("a_new_daemon_starts_without_the_addresses_of_a_dead_one", orphans_go_at_start),
    ("a_lost_link_is_init_and_the_other_takes_over", link_loss),
    ("a_partition_makes_two_and_its_end_one", partition),
    ("hooks_run_in_order_and_a_hanging_one_is_killed", hooks_in_order),
    ("a_takeover_waits_for_before_active_and_a_veto_stops_it", before_active_vetoes),
    ("adverts_can_come_from_the_virtual_mac", adverts_from_virtual_mac),
];

fn main() -> ExitCode {
    support::main(&[TESTS])
}

const FIRST: &str = "advskew = 0\npreempt = true";
const SECOND: &str = "advskew = 100";

fn pair(rack: &Rack) -> Result<(support::Daemon, support::Daemon), libtest_mimic::Failed> {
    pair_with(rack, FIRST)
}

/// A pair of which the first has these settings.
fn pair_with(
    rack: &Rack,
    settings: &str,
) -> Result<(support::Daemon, support::Daemon), libtest_mimic::Failed> {
    let first = rack.daemon(&rack.primary, &rack.configure("primary", settings)?)?;
    let second = rack.daemon(&rack.secondary, &rack.configure("secondary", SECOND)?)?;
    first.wait_for_state("active")?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)?;
    Ok((first, second))
}

fn the_better_of_two_is_active(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    wait_until(LIMIT, "the secondary hears the primary", || {
        second.status().is_some_and(|router| router["peers"][0]["address"] == PRIMARY)
    })?;
    ensure(second.state() == "backup", "the secondary is not backup")?;
    let status = first.ask(&["status"])?;
    let (code, text) = told(&status);
    ensure(code == Some(0) && text.contains("active") && text.contains(VIP), text)?;
    let code = |daemon: &support::Daemon| {
        daemon.ask(&["status", "--exit-state"]).ok().and_then(|output| output.status.code())
    };
    ensure(code(&first) == Some(0), "the exit code of an active router is 0")?;
    ensure(code(&second) == Some(10), "the exit code of a backup is 10")?;
    let marked = rack.primary.addresses()?;
    let vip = marked.iter().find(|address| address.ip.to_string() == VIP);
    ensure(vip.is_some_and(|vip| vip.protocol == 112), format!("{marked:?}"))
}

fn takeover_and_failback(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    let again = rack.daemon(&rack.primary, &rack.path("primary.toml"))?;
    again.wait_for_state("active")?;
    wait_for_owner("the primary serves again", &rack.primary, &rack.secondary)?;
    second.wait_for_state("backup")?;
    let events = told(&second.ask(&["events"])?).1;
    ensure(events.contains("active-down") && events.contains("better-peer"), events)?;
    let json = told(&again.ask(&["events", "--json"])?).1;
    ensure(json.contains("\"schema\":\"carp.event/1\"") && json.contains("\"worse-peer\""), json)?;
    ensure(
        again.status().is_some_and(|router| router["conflict"] == false),
        "the last advert of the secondary is no conflict",
    )
}

fn a_planned_stop_hands_over(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    first.stop()?;
    second.wait_for_state("active")?;
    wait_for_owner("the secondary serves", &rack.secondary, &rack.primary)?;
    let cause = second.status().map(|router| router["cause"].clone());
    ensure(cause == Some("resigned".into()), format!("{cause:?}"))?;
    second.stop()?;
    ensure(!serves(&rack.secondary), "a router that stopped keeps no address")
}

fn yield_hands_over(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), text)?;
    second.wait_for_state("active")?;
    wait_for_owner("the secondary serves", &rack.secondary, &rack.primary)?;
    ensure(first.status().is_some_and(|router| router["held"] == true), "it is held")?;
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(6) && text.contains("backup"), text)?;
    let (code, text) = told(&first.ask(&["yield", "wbe"])?);
    ensure(code == Some(1) && text.contains("web"), text)?;
    // Its successor fails: the hold is over.
    second.kill()?;
    first.wait_for_state("active")
}

fn user_signals(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    first.process.signal(Signal::USR1)?;
    first.process.wait_for_line(LIMIT, "carp: web: active (serving) on eth0 id 1 since")?;
    first.process.signal(Signal::USR2)?;
    second.wait_for_state("active")?;
    wait_for_owner("the secondary serves", &rack.secondary, &rack.primary)?;
    ensure(first.status().is_some_and(|router| router["held"] == true), "it is held")
}

fn unanswered_yield(rack: &Rack) -> Tested {
    let only = rack.daemon(&rack.primary, &rack.configure("primary", FIRST)?)?;
    only.wait_for_state("active")?;
    let (code, text) = told(&only.ask(&["yield", "web"])?);
    ensure(code == Some(1) && text.contains("no other router"), text)?;
    ensure(only.state() == "active" && serves(&rack.primary), "it serves on")
}

fn removed_address_comes_back(rack: &Rack) -> Tested {
    let (first, _second) = pair(rack)?;
    rack.primary.remove_address(VIP.parse()?, 32)?;
    wait_until(LIMIT, "the address is back", || serves(&rack.primary))?;
    let events = || first.ask(&["events"]).map(|output| told(&output).1).unwrap_or_default();
    wait_until(LIMIT, "the loss is told", || events().contains("removed"))?;
    ensure(first.state() == "active", "it stays active")
}

fn foreign_address_stays(rack: &Rack) -> Tested {
    rack.primary.add_address(VIP.parse()?, 24)?;
    let only = rack.daemon(&rack.primary, &rack.configure("primary", FIRST)?)?;
    only.wait_for_state("active")?;
    only.stop()?;
    ensure(serves(&rack.primary), "the address was there before us")
}

fn release_spares_secondaries(rack: &Rack) -> Tested {
    let only = with_dependent(rack, FIRST)?;
    ensure(has(&rack.primary, "10.7.0.1") && has(&rack.primary, "10.7.0.9"), "the test is set up")?;
    only.stop()?;
    ensure(!has(&rack.primary, "10.7.0.1"), "ours is gone")?;
    ensure(has(&rack.primary, "10.7.0.9"), "the other one has stayed")
}

fn cleanup_after_a_crash(rack: &Rack) -> Tested {
    let config = rack.configure("primary", &format!("{FIRST}\nlease = \"off\""))?;
    let only = rack.daemon(&rack.primary, &config)?;
    only.wait_for_state("active")?;
    let cleanup = || {
        let mut command = carp();
        command.arg("cleanup").arg("-c").arg(&config);
        run_on(&rack.primary, command).map(|output| told(&output))
    };
    let (code, text) = cleanup()?;
    ensure(code == Some(6) && text.contains("running"), text)?;
    only.kill_with_guard(&rack.primary)?;
    ensure(serves(&rack.primary), "nobody was left to remove the address")?;
    let (code, text) = cleanup()?;
    ensure(code == Some(0) && text.contains(VIP), text)?;
    ensure(!serves(&rack.primary), "the address is gone")?;
    ensure(has(&rack.primary, PRIMARY), "the host's own address has stayed")?;
    let (code, text) = cleanup()?;
    ensure(code == Some(0) && text.is_empty(), text)
}

fn orphans_go_at_start(rack: &Rack) -> Tested {
    let (first, second) = pair_with(rack, &format!("{FIRST}\nlease = \"off\""))?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active")?;
    ensure(serves(&rack.primary), "nobody was left to remove the address")?;
    let config = rack.configure("primary", "advskew = 0\npreempt = false")?;
    let again = rack.daemon(&rack.primary, &config)?;
    wait_for_owner("only the secondary serves", &rack.secondary, &rack.primary)?;
    ensure(again.state() == "backup", "it does not preempt")
}

fn link_loss(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    rack.primary.unplug()?;
    first.wait_for_state("init")?;
    wait_for_owner("the secondary serves", &rack.secondary, &rack.primary)?;
    let code = first.ask(&["status", "--exit-state"])?.status.code();
    ensure(code == Some(12), format!("a link that is down is a fault: {code:?}"))?;
    rack.primary.plug()?;
    first.wait_for_state("active")?;
    wait_for_owner("the primary serves again", &rack.primary, &rack.secondary)?;
    second.wait_for_state("backup")
}

fn partition(rack: &Rack) -> Tested {
    let (first, second) = pair(rack)?;
    rack.secondary.cut()?;
    second.wait_for_state("active")?;
    ensure(first.state() == "active", "each believes to be alone")?;
    rack.secondary.plug()?;
    second.wait_for_state("backup")?;
    wait_for_owner("only the primary serves", &rack.primary, &rack.secondary)?;
    let events = told(&first.ask(&["events"])?).1;
    ensure(events.contains("worse rank"), events)
}

fn hooks_in_order(rack: &Rack) -> Tested {
    let note = rack.path("notes");
    let script = format!(
        "#!/bin/sh\necho \"$CARP_ROUTER $CARP_PREVIOUS $CARP_STATE $CARP_CAUSE $CARP_ADDRESSES\" >> {}\n",
        note.display()
    );
    let hook = rack.write("hook", &script, 0o755)?;
    let hang = rack.write("hang", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 1; done\n", 0o755)?;
    let settings = format!(
        "{FIRST}\n[router.web.on]\nactive = [\"{0}\"]\nbackup = [\"{0}\"]\ninit = [\"{1}\"]\ntimeout = \"1s\"",
        hook.display(),
        hang.display()
    );
    let only = rack.daemon(&rack.primary, &rack.configure("primary", &settings)?)?;
    let notes = || std::fs::read_to_string(&note).unwrap_or_default();
    let expected = format!("web init backup start {VIP}\nweb backup active active-down {VIP}\n");
    wait_until(LIMIT, "both hooks ran", || notes() == expected)?;
    let ran = || only.status().is_some_and(|router| router["hooks"][0]["exit_code"] == 0);
    wait_until(LIMIT, "the status tells of it", ran)?;
    only.process.signal(Signal::TERM)?;
    only.process.wait_for_line(LIMIT, "on.init")?;
    ensure(only.process.wait(LIMIT)?.success(), "it ends all the same")?;
    ensure(only.process.said().contains("timed out, stopped by SIGKILL"), only.process.said())
}

fn before_active_vetoes(rack: &Rack) -> Tested {
    let gate = rack.path("gate");
    let script = format!("#!/bin/sh\ntest -e {}\n", gate.display());
    let hook = rack.write("gatekeeper", &script, 0o755)?;
    let settings = format!("{FIRST}\n[router.web.on]\nbefore_active = [\"{}\"]", hook.display());
    let only = rack.daemon(&rack.primary, &rack.configure("primary", &settings)?)?;
    only.process.wait_for_line(LIMIT, "fault")?;
    ensure(!serves(&rack.primary), "a veto keeps the address away")?;
    std::fs::write(gate, "")?;
    only.wait_for_state("active")?;
    wait_until(LIMIT, "it serves", || serves(&rack.primary))?;
    Ok(())
}

fn adverts_from_virtual_mac(rack: &Rack) -> Tested {
    let tap = rack.primary.tap()?;
    let first = rack.configure("primary", &format!("{FIRST}\nadvert_mac = \"virtual\""))?;
    let first = rack.daemon(&rack.primary, &first)?;
    let second = rack.daemon(&rack.secondary, &rack.configure("secondary", SECOND)?)?;
    first.wait_for_state("active")?;
    wait_until(LIMIT, "the secondary hears the primary", || {
        second.status().is_some_and(|router| router["peers"][0]["address"] == PRIMARY)
    })?;
    ensure(second.state() == "backup", format!("{SECONDARY} is backup"))?;
    let source = [0x00, 0x00, 0x5e, 0x00, 0x01, 0x01];
    let adverts: Vec<_> = tap.frames().into_iter().filter(|frame| frame.carp().is_some()).collect();
    let all = !adverts.is_empty() && adverts.iter().all(|frame| frame.bytes[6..12] == source);
    ensure(all, "every advert comes from 00:00:5e:00:01:01")
}
