//! The report: what the run has seen, for people.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use crate::cell::{Scenario, pairs};
use crate::fact::Fact;
use crate::speaker::Kind;
use crate::variant::Variant;

/// What a peer cannot do, so that there is no row for it, and what it needs.
const CANNOT: [&str; 5] = [
    "ucarp speaks CARP over IPv4 only, with one address. It says nothing when it is stopped: the other \
     waits out its active-down interval.",
    "FRR has no password in VRRPv2 and sends to nobody by unicast: there are no such cells with it.",
    "FRR always advertises from the virtual MAC, on an interface that has to be made for it beforehand \
     with the addresses on it, and takes that interface out of service to be backup. The kernel would \
     still answer ARP for them on the other interface: the host is told not to (`arp_ignore=1`).",
    "keepalived drops adverts whose list of addresses differs from its own, also in IPv6, where FRR \
     does not add a link-local address by itself: the list is written out for all.",
    "VRRPv2 knows whole seconds only: a shorter interval is shown with VRRPv3.",
];

/// Writes the report to a file.
pub(crate) fn write(path: &Path, facts: &[Fact]) -> io::Result<()> {
    fs::write(path, render(facts))
}

fn render(facts: &[Fact]) -> String {
    let failed = facts.iter().filter(|fact| fact.outcome.is_err()).count();
    let mut text = format!(
        "# Interop with real peers\n\n\
         This page is written by a run: `make interop`, on {}, {}, Linux {}. It played {} cells, of which \
         {} failed.\n\n\
         A cell is a pair of daemons on two machines of the lab, which are network namespaces on one \
         switch, and something that happens to them. What the tables tell was seen from outside: the \
         kernel of each machine says on which interface the address is, a client that has forgotten its \
         neighbours asks who answers for it, and a tap at each machine's port hears who advertises, and \
         from which link-layer address. A cell passes when all of them agree on one owner. Times were \
         measured once, on a machine that played several cells at a time: they show which timer was at \
         work, not how fast a daemon is. Speed is measured in [performance.md](performance.md).\n",
        jiff::Timestamp::now().strftime("%Y-%m-%d"),
        distribution(),
        kernel(),
        facts.len(),
        if failed == 0 { "none".to_owned() } else { failed.to_string() },
    );
    versions(&mut text, facts);
    meanings(&mut text);
    for variant in Variant::ALL {
        table(&mut text, variant, facts);
    }
    failures(&mut text, facts);
    text.push_str("\n## Where a peer cannot\n\n");
    for line in CANNOT {
        let _ = writeln!(text, "- {line}");
    }
    text
}

fn versions(text: &mut String, facts: &[Fact]) {
    text.push_str("\n| daemon | version |\n|---|---|\n");
    for kind in Kind::ALL {
        if facts.iter().any(|fact| [fact.cell.first, fact.cell.second].contains(&kind)) {
            let _ = writeln!(text, "| {} | {} |", kind.title(), kind.version());
        }
    }
}

fn meanings(text: &mut String) {
    text.push_str(
        "\n## What happens\n\n| cell | what happens, and which time it is |\n|---|---|\n",
    );
    for scenario in Scenario::ALL {
        let _ = writeln!(text, "| {} | {} |", scenario.name(), scenario.meaning());
    }
}

/// The cells of a variant: a row a pair, a column a scenario.
fn table(text: &mut String, variant: Variant, facts: &[Fact]) {
    let _ = write!(text, "\n## {}\n\n| first | second |", variant.title());
    for scenario in Scenario::ALL {
        let _ = write!(text, " {} |", scenario.name());
    }
    text.push_str("\n|---|---|");
    text.push_str(&"---|".repeat(Scenario::ALL.len()));
    text.push('\n');
    for (first, second) in pairs(variant) {
        let _ = write!(text, "| {} | {} |", first.title(), second.title());
        for scenario in Scenario::ALL {
            let found = facts.iter().find(|fact| {
                let cell = fact.cell;
                (cell.variant, cell.first, cell.second, cell.scenario)
                    == (variant, first, second, scenario)
            });
            let _ = write!(text, " {} |", found.map_or_else(|| "not run".to_owned(), outcome));
        }
        text.push('\n');
    }
}

fn outcome(fact: &Fact) -> String {
    match &fact.outcome {
        Ok(seen) => seen.time.map_or_else(|| "ok".to_owned(), milliseconds),
        Err(_) => "**failed**".to_owned(),
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn failures(text: &mut String, facts: &[Fact]) {
    let failed = facts.iter().filter_map(|fact| Some((fact.cell, fact.outcome.as_ref().err()?)));
    for (number, (cell, reason)) in failed.enumerate() {
        if number == 0 {
            text.push_str("\n## What failed\n\n");
        }
        let _ = writeln!(text, "- `{}`: {reason}", cell.name());
    }
}

/// The release of the kernel, without what its builder has added.
fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().split('-').next().unwrap_or_default().to_owned()
}

/// The distribution, from which the peers are.
fn distribution() -> String {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.unwrap_or("an unknown distribution").trim_matches('"').to_owned()
}
