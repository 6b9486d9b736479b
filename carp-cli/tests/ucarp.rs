//! With real ucarp, both ways round.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::process::ExitCode;

use carp_node::lab::{Signal, wait_until};
use support::{
    LIMIT, PRIMARY, Rack, SECONDARY, Test, Tested, VIP, ensure, serves, told, wait_for_owner,
};

const TESTS: &[Test] = &[
    ("ours_is_primary_and_ucarp_takes_over_when_it_is_killed", ours_killed),
    ("ours_is_primary_and_ucarp_takes_over_when_it_stops", ours_stopped),
    ("ucarp_is_primary_and_ours_takes_over_when_it_is_killed", theirs_killed),
    ("ucarp_is_primary_and_ours_takes_over_when_it_stops", theirs_stopped),
    ("of_equal_ranks_one_stays", tie),
    ("with_another_password_each_stays_active_and_we_say_why", wrong_password),
    ("with_other_addresses_each_stays_active_and_we_say_why", other_addresses),
];

fn main() -> ExitCode {
    support::main(&[TESTS])
}

/// Ours on the primary, and ucarp with `-k 100` on the secondary.
fn ours_first(
    rack: &Rack,
) -> Result<(support::Daemon, carp_node::lab::Process), libtest_mimic::Failed> {
    let ours = rack.configure("primary", "advskew = 1\npreempt = true\ndialect = \"ucarp\"")?;
    let ours = rack.daemon(&rack.primary, &ours)?;
    ours.wait_for_state("active")?;
    let theirs = rack.ucarp(&rack.secondary, SECONDARY, &["-k", "100"])?;
    theirs.wait_for_line(LIMIT, "BACKUP")?;
    wait_for_owner("ours serves", &rack.primary, &rack.secondary)?;
    Ok((ours, theirs))
}

fn ours_killed(rack: &Rack) -> Tested {
    let (ours, _theirs) = ours_first(rack)?;
    ours.kill()?;
    wait_until(LIMIT, "ucarp takes over", || serves(&rack.secondary))?;
    let again = rack.daemon(&rack.primary, &rack.path("primary.toml"))?;
    again.wait_for_state("active")?;
    wait_for_owner("ours preempts", &rack.primary, &rack.secondary)
}

fn ours_stopped(rack: &Rack) -> Tested {
    let (ours, _theirs) = ours_first(rack)?;
    ours.stop()?;
    wait_for_owner("ucarp takes over", &rack.secondary, &rack.primary)
}

/// ucarp with `-P` on the primary, and ours with skew 100 on the secondary.
fn theirs_first(
    rack: &Rack,
) -> Result<(support::Daemon, carp_node::lab::Process), libtest_mimic::Failed> {
    let theirs = rack.ucarp(&rack.primary, PRIMARY, &["-k", "1", "-P"])?;
    wait_until(LIMIT, "ucarp serves", || serves(&rack.primary))?;
    let ours = rack.daemon(&rack.secondary, &rack.configure("secondary", "advskew = 100")?)?;
    wait_until(LIMIT, "ours hears ucarp", || {
        ours.status().is_some_and(|router| router["peers"][0]["address"] == PRIMARY)
    })?;
    ensure(ours.state() == "backup", "ours is backup")?;
    Ok((ours, theirs))
}

fn theirs_killed(rack: &Rack) -> Tested {
    let (ours, theirs) = theirs_first(rack)?;
    theirs.signal(Signal::KILL)?;
    ours.wait_for_state("active")?;
    wait_until(LIMIT, "ours serves", || serves(&rack.secondary))?;
    // ucarp left its address, and finds it there when it comes back.
    rack.primary.remove_address(VIP.parse()?, 32)?;
    let _again = rack.ucarp(&rack.primary, PRIMARY, &["-k", "1", "-P"])?;
    wait_for_owner("ucarp preempts", &rack.primary, &rack.secondary)?;
    ours.wait_for_state("backup")
}

fn theirs_stopped(rack: &Rack) -> Tested {
    let (ours, theirs) = theirs_first(rack)?;
    theirs.signal(Signal::TERM)?;
    theirs.wait(LIMIT)?;
    ours.wait_for_state("active")?;
    wait_for_owner("ours serves", &rack.secondary, &rack.primary)
}

/// On this byte order ucarp compares 192.168.130.50 and .10 from the last octet: the 10 stays.
fn tie(rack: &Rack) -> Tested {
    let ours = rack.configure("primary", "advskew = 20\ndialect = \"ucarp\"")?;
    let ours = rack.daemon(&rack.primary, &ours)?;
    ours.wait_for_state("active")?;
    rack.secondary.cut()?;
    let _theirs = rack.ucarp(&rack.secondary, SECONDARY, &["-k", "20"])?;
    wait_until(LIMIT, "ucarp serves, cut off", || serves(&rack.secondary))?;
    rack.secondary.plug()?;
    wait_for_owner("the lower last octet stays", &rack.secondary, &rack.primary)?;
    ours.wait_for_state("backup")
}

fn both_serve_and_we_tell(rack: &Rack, ours: &support::Daemon) -> Tested {
    ours.wait_for_state("active")?;
    wait_until(LIMIT, "both serve", || serves(&rack.primary) && serves(&rack.secondary))?;
    wait_until(LIMIT, "the rejects are counted", || ours.rejected("bad-authentication") > 0)?;
    let (_, status) = told(&ours.ask(&["status"])?);
    ensure(status.contains("bad-authentication") && status.contains(SECONDARY), status)?;
    let conflict = ours.ask(&["status", "--exit-state"])?.status.code();
    ensure(conflict == Some(13), format!("the exit code of a conflict is 13, not {conflict:?}"))?;
    ours.process.wait_for_line(LIMIT, "or the list of addresses) differs")?;
    ensure(ours.state() == "active", "a rejected advert changes nothing")
}

fn wrong_password(rack: &Rack) -> Tested {
    let ours = rack.daemon(&rack.primary, &rack.configure("primary", "advskew = 1")?)?;
    let _theirs = rack.ucarp(&rack.secondary, SECONDARY, &["-k", "100", "-p", "wrong"])?;
    both_serve_and_we_tell(rack, &ours)
}

fn other_addresses(rack: &Rack) -> Tested {
    let settings = format!("addresses = [\"{VIP}\", \"192.168.130.101\"]\nadvskew = 1");
    let ours = rack.configure_with("primary", "secret", &settings)?;
    let ours = rack.daemon(&rack.primary, &ours)?;
    let _theirs = rack.ucarp(&rack.secondary, SECONDARY, &["-k", "100"])?;
    both_serve_and_we_tell(rack, &ours)
}
