//! F11 and F13 with real ssh and sshd, paired by `carp sync pair`: a network that is cut, and a key that is misused.
//!
//! Without root sshd lets nobody in; then they are left out, which is said on stderr. What of F13 is not sshd's is in
//! `misuse.rs`, and runs without root.

use std::time::{Duration, SystemTime};

use carp_node::lab::{Direction, Switch, mac, wait_until};
use libtest_mimic::Failed;
use serde_json::Value;

use crate::machine::{Machine, is_root};
use crate::misuse::{Attempt, Thief};
use crate::scene::ensure_within;
use crate::support::{LIMIT, PRIMARY, Rack, SECONDARY, Test, Tested, VIP, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("another_login_than_root_copies_what_it_may_read_and_gets_nothing_else", other_login),
    ("a_login_whose_shell_runs_no_command_is_not_let_in", no_shell),
    ("f11_a_network_cut_in_the_middle_of_a_file_leaves_nobody_behind_and_is_resumed", network_cut),
    (
        "f11_a_network_cut_in_both_directions_leaves_nobody_behind_and_is_resumed",
        network_cut_both_ways,
    ),
    ("a_peer_whose_sshd_is_stopped_is_unreachable_until_it_runs_again", stopped_sshd),
    ("f13_a_key_that_is_misused_gets_nothing_and_another_host_key_gets_no_transfer", misused_key),
];

/// The share, on both machines.
const SHARE: &str = "/var/pages/www";

/// ssh as the standby's daemon calls it.
const SSH: &str = "ssh -F /var/lib/carp/sync/ssh-0.conf";

/// What docs/guides/two-web-servers.md has sshd do.
const SSHD: &str =
    "PermitRootLogin forced-commands-only\nMatch User root\n    ClientAliveInterval 2\n";

/// How large the file is, and what a second brings of it, in KiB: what is missing at the cut takes
/// 12 s, however late a busy machine cuts.
const LARGE_KIB: u64 = 16 << 10;
const RATE_KIB: u64 = 1_000;

/// A cut has to be noticed within this.
const NOTICED: Duration = Duration::from_secs(12);

/// Two machines with sshd, made known to each other.
struct Linked {
    a: Machine,
    b: Machine,
}

/// Whether there is no root here; then that is said.
pub(crate) fn left_out(what: &str) -> bool {
    if is_root() {
        return false;
    }
    eprintln!("{what} is left out WITHOUT root: in a user namespace sshd lets nobody in");
    true
}

impl Linked {
    /// The primary serves, and the secondary has a copy of an empty share.
    fn start(rack: &Rack, settings: &str) -> Result<Self, Failed> {
        Self::start_as(rack, "root", settings)
    }

    /// The same with another login, for which a user is made.
    fn start_as(rack: &Rack, login: &str, settings: &str) -> Result<Self, Failed> {
        let switch = Switch::new(rack.lab)?;
        let machine = |name: &str, last: u8, ip: &str, other: &str, skew: u8| {
            let host = switch.host(name, mac(last), &[&format!("{ip}/24")])?;
            let machine = Machine::new(host, rack.path(name))?;
            machine.write(
                "/etc/carp/carp.toml",
                &format!(
                    "[node]\nname = \"{name}\"\n\n[router.web]\nprotocol = \"carp\"\ninterface = \"eth0\"\n\
                     id = 1\naddresses = [\"{VIP}\"]\nkey_file = \"/etc/carp/web.key\"\nadvskew = {skew}\n\n\
                     [sync.www]\nrouter = \"web\"\npath = \"{SHARE}\"\npeer = \"{login}@{other}\"\nevery = \"1s\"\n\
                     {settings}\n"
                ),
            )?;
            machine.write("/etc/ssh/sshd_config.d/carp.conf", SSHD)?;
            machine.run(
                &format!(
                    "mkdir -p {SHARE}; printf secret >/etc/carp/web.key; chmod 600 /etc/carp/web.key; \
                     systemctl restart ssh"
                ),
                LIMIT,
            )?;
            Ok::<_, Failed>(machine)
        };
        let useradd = "useradd --system --home-dir /var/lib/reader --create-home --shell /bin/sh";
        let a = machine("primary", 0x50, PRIMARY, SECONDARY, 0)?;
        let b = machine("secondary", 0x10, SECONDARY, PRIMARY, 100)?;
        for machine in [&a, &b] {
            machine.run(&format!("id {login} || {useradd} {login}"), LIMIT)?;
        }
        for (one, other) in [(&a, &b), (&b, &a)] {
            let pair = format!("carp sync pair --fingerprint {}", other.fingerprint()?);
            one.run(&pair, LIMIT)?;
        }
        for (one, other) in [(&a, &b), (&b, &a)] {
            one.run(&format!("carp sync pair --authorize '{}'", other.printed_line()?), LIMIT)?;
        }
        let linked = Self { a, b };
        for machine in [&linked.a, &linked.b] {
            machine.run("systemctl enable --now carp", LIMIT)?;
        }
        linked.wait("the primary serves", &linked.a, |status| {
            status["routers"][0]["state"] == "active"
        })?;
        linked.wait("the secondary is in sync", &linked.b, |status| {
            status["sync"][0]["in_sync"] == true
        })?;
        Ok(linked)
    }

    /// Waits until the status of a machine is so.
    fn wait(&self, what: &str, machine: &Machine, is: impl Fn(&Value) -> bool) -> Tested {
        let waited = wait_until(LIMIT, what, || is(&status(machine)));
        waited.map_err(|error| {
            let said = |machine: &Machine| {
                let told = "carp sync status; carp events; cat /var/log/carp.log";
                machine.run(&format!("{told} 2>&1 || true"), LIMIT).unwrap_or_default()
            };
            Failed::from(format!("{error}: {}\n{}", said(&self.a), said(&self.b)))
        })
    }

    /// Waits until the secondary cannot hear the primary any more, and says why.
    fn wait_for_trouble(&self, what: &str, outcome: &str) -> Tested {
        self.wait(what, &self.b, |status| {
            let share = &status["sync"][0];
            share["peer_outcome"] == outcome && share["peer_alive"] == false
        })
    }
}

/// `carp status --json`.
fn status(machine: &Machine) -> Value {
    let said = machine.run("carp status --json 2>/dev/null", LIMIT).unwrap_or_default();
    serde_json::from_str(&said).unwrap_or_default()
}

/// What the share of a machine is, as a whole.
fn tree(machine: &Machine) -> Result<String, Failed> {
    let script = format!(
        "cd {SHARE}; find . -printf '%P %m %U %G %T@ %l\\n' | sort; find . -type f -exec sha256sum {{}} + | sort"
    );
    machine.run(&script, LIMIT)
}

/// The processes of a machine whose number, process group and command line, zombies included, are as asked for.
fn processes(machine: &Machine, is: impl Fn(&Process) -> bool) -> Result<Vec<Process>, Failed> {
    // Nothing is started for processes that are of no interest: a pass goes on meanwhile.
    let script = "for it in /proc/[0-9]*; do \
                  { read -r stat <$it/stat; } 2>/dev/null || continue; \
                  case $stat in *'(rsync)'*|*'(ssh'*|*'sh)'*) ;; *) continue ;; esac; \
                  echo \"$stat\t$(tr '\\0' ' ' <$it/cmdline 2>/dev/null)\"; done";
    let said = machine.run(script, LIMIT)?;
    let process = |line: &str| {
        let (stat, command) = line.split_once('\t')?;
        let (before, after) = stat.rsplit_once(')')?;
        let (id, name) = before.split_once(" (")?;
        let mut after = after.split_ascii_whitespace();
        let ended = after.next()? == "Z";
        let parent = after.next()?.parse().ok()?;
        let group = after.next()?.parse().ok()?;
        let (name, command) = (name.to_owned(), command.to_owned());
        Some(Process { id: id.parse().ok()?, ended, parent, group, name, command })
    };
    Ok(said.lines().filter_map(process).filter(is).collect())
}

#[derive(Debug)]
struct Process {
    id: u32,
    /// It waits to be waited for.
    ended: bool,
    parent: u32,
    group: u32,
    name: String,
    command: String,
}

/// What the secondary says is lost; what the others say it hears, so that it stays what it is.
fn network_cut(rack: &Rack) -> Tested {
    cut(rack, "", &[Direction::Out])
}

/// Nothing gets through, and nobody is told. The copy is too old to be served meanwhile, so that it is not a takeover
/// that ends the pass.
fn network_cut_both_ways(rack: &Rack) -> Tested {
    let settings = "max_lag = \"2s\"\nstale_takeover = \"never\"";
    cut(rack, settings, &[Direction::Out, Direction::In])
}

fn cut(rack: &Rack, settings: &str, directions: &[Direction]) -> Tested {
    if left_out("f11 with ssh") {
        return Ok(());
    }
    let linked = Linked::start(rack, &format!("bandwidth = {RATE_KIB}\n{settings}"))?;
    let (a, b) = (&linked.a, &linked.b);
    a.run(
        // Renamed, so that one pass brings both; first the large one, because a pass with that alone is as long.
        &format!(
            "mkdir {SHARE}-new; cd {SHARE}-new; echo v2 >page; \
             head -c {LARGE_KIB}K /dev/urandom >large; mv large page {SHARE}/"
        ),
        LIMIT,
    )?;
    let here = |status: &Value, least| {
        let bytes = status["sync"][0]["progress"]["bytes"].as_u64();
        bytes.is_some_and(|bytes| bytes > least)
    };
    linked.wait("it begins to arrive", b, |status| here(status, 64 << 10))?;
    let mine = processes(b, |it| it.name == "rsync" && it.command.contains("::www"))?;
    let group = mine.first().ok_or("no pass runs on the secondary")?.group;
    let theirs = processes(a, |it| it.command.contains("rsync --server --daemon"))?;
    let sessions: Vec<u32> = theirs.iter().flat_map(|it| [it.id, it.parent]).collect();
    ensure(!sessions.is_empty(), "nobody serves the pass on the primary")?;
    linked.wait("a quarter of it is here", b, |status| here(status, (LARGE_KIB << 10) / 4))?;
    let source = tree(a)?;
    let cut_at = SystemTime::now();
    for direction in directions {
        b.host.drop_frames(*direction)?;
    }
    linked.wait("the pass has failed", b, |status| {
        let outcome = &status["sync"][0]["last_pass"]["outcome"];
        outcome == "transport" || outcome == "unreachable"
    })?;
    let noticed = SystemTime::now().duration_since(cut_at)?;
    let left = processes(b, |it| it.group == group)?;
    ensure(left.is_empty(), format!("of the pass are left: {left:?}"))?;
    ensure(status(b)["routers"][0]["state"] == "backup", "no takeover has ended it")?;
    let there = b.run(&format!("ls {SHARE}"), LIMIT)?;
    ensure(!there.contains("large") && !there.contains("page"), format!("visible: {there}"))?;
    ensure_within(NOTICED, noticed, "until the cut was noticed")?;
    let gone = || {
        let left = processes(a, |it| sessions.contains(&it.id));
        left.is_ok_and(|left| left.is_empty())
    };
    wait_until(LIMIT, "nobody is left on the primary", gone)?;
    let gone = SystemTime::now().duration_since(cut_at)?;
    for machine in [a, b] {
        let none = || processes(machine, |it| it.ended).is_ok_and(|left| left.is_empty());
        wait_until(LIMIT, "nobody waits to be waited for", none)?;
    }
    println!("f11: the standby noticed the cut after {noticed:?}, the primary after {gone:?}");
    for direction in directions {
        b.host.pass(*direction)?;
    }
    linked.wait("a pass is complete", b, |status| {
        let last = &status["sync"][0]["last_pass"];
        last["outcome"] == "complete" && last["bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    })?;
    let received = status(b)["sync"][0]["last_pass"]["received"].as_u64();
    println!("f11: {received:?} bytes of {} were received after it", LARGE_KIB << 10);
    ensure(
        received.is_some_and(|bytes| bytes < (LARGE_KIB << 10) * 7 / 8),
        format!("the second pass received {received:?} bytes"),
    )?;
    ensure(tree(a)? == source, "the source is as it was")?;
    let copy = tree(b)?;
    ensure(copy == source, format!("the primary has {source}, and the secondary {copy}"))
}

fn misused_key(rack: &Rack) -> Tested {
    if left_out("what sshd refuses in f13") {
        return Ok(());
    }
    let linked = Linked::start(rack, "")?;
    let (a, b) = (&linked.a, &linked.b);
    a.run(
        &format!(
            "echo precious >/root/secret; echo v1 >{SHARE}/page; ln -s /root/secret {SHARE}/link; \
             grep -c '^restrict,from=\"{SECONDARY}\",command=' /root/.ssh/authorized_keys"
        ),
        LIMIT,
    )?;
    linked.wait("the link is a link there", b, |_| {
        b.run(&format!("readlink {SHARE}/link"), LIMIT).is_ok_and(|it| it == "/root/secret\n")
    })?;
    let before = tree(a)?;
    let thief = Thief {
        rsh: SSH,
        victim: PRIMARY,
        home: "/root",
        secret: "/root/secret",
        climb: "../../../root/secret",
    };
    let run = |script: &str| b.run(script, LIMIT);
    // The one command that the key runs is rsync's daemon, which greets, and ends with its input.
    let says_rsync: &[&str] = &["@RSYNCD: "];
    let attempts: [(_, _, &[&str]); 3] = [
        ("a shell", format!("{SSH} {PRIMARY} cat /root/secret"), says_rsync),
        (
            "a shell with a terminal",
            format!("{SSH} -tt {PRIMARY} cat /root/secret"),
            &["PTY allocation request failed", "@RSYNCD: "],
        ),
        (
            "a connection onwards",
            format!("{SSH} -W 127.0.0.1:22 {PRIMARY}"),
            // Over the connection that is open already, or over one of its own.
            &["Session open refused by peer", "administratively prohibited"],
        ),
    ];
    for (what, script, says) in attempts {
        thief.expect_refusal(&Attempt { what, script, codes: &[255], says }, &run)?;
    }
    thief.try_everything(run)?;
    let there = a.run(&format!("ls {SHARE}; ls /var/lib/carp/sync/export"), LIMIT)?;
    ensure(there == "link\npage\nrecord.json\n", format!("the primary has {there}"))?;
    let after = tree(a)?;
    ensure(after == before, format!("the primary's tree was {before}, and is {after}"))?;
    unknown_key(&linked)?;
    another_host_key(&linked)
}

/// The peer does not know this node's key any more: real sshd says so in its own words.
fn unknown_key(linked: &Linked) -> Tested {
    let (a, b) = (&linked.a, &linked.b);
    a.run("mv /root/.ssh/authorized_keys /root/.ssh/aside", LIMIT)?;
    b.run(&format!("{SSH} -O exit {PRIMARY} 2>/dev/null || true"), LIMIT)?;
    a.run(&format!("echo unseen >{SHARE}/page"), LIMIT)?;
    linked.wait_for_trouble("the refusal is noticed", "refused")?;
    let remedy =
        "the peer refuses this node's key; run there the command that `carp sync pair` prints here";
    expect_trouble(b, &[remedy, "Permission denied (publickey"])?;
    ensure(b.run(&format!("cat {SHARE}/page"), LIMIT)? == "v1\n", "nothing is transferred")?;
    a.run(
        &format!("mv /root/.ssh/aside /root/.ssh/authorized_keys; echo v1 >{SHARE}/page"),
        LIMIT,
    )?;
    linked.wait("it is let in again", b, |status| {
        let share = &status["sync"][0];
        share["peer_outcome"].is_null() && share["in_sync"] == true
    })
}

/// Both the status and the check say so. The first one ends well, because what passes by itself holds nothing.
fn expect_trouble(machine: &Machine, says: &[&str]) -> Tested {
    for (command, code) in [("carp sync status", "0"), ("carp sync check", "1")] {
        let script =
            format!("code=0; {command} 2>&1 || code=$?; printf '\\nended with %s\\n' $code");
        let said = machine.run(&script, LIMIT)?;
        for what in says {
            ensure(said.contains(what), format!("{command} does not say {what:?}: {said}"))?;
        }
        ensure(said.ends_with(&format!("\nended with {code}\n")), format!("{command}: {said}"))?;
    }
    Ok(())
}

fn another_host_key(linked: &Linked) -> Tested {
    let (a, b) = (&linked.a, &linked.b);
    a.run(
        "rm /etc/ssh/ssh_host_ed25519_key*; \
         ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key; systemctl restart ssh",
        LIMIT,
    )?;
    // The connection that is open was made with the key that was right.
    b.run(&format!("{SSH} -O exit {PRIMARY} 2>/dev/null || true"), LIMIT)?;
    a.run(&format!("echo v2 >{SHARE}/page"), LIMIT)?;
    linked.wait_for_trouble("the other key is noticed", "host-key")?;
    let remedy = "the peer's host key is not the one that was agreed on; if the peer was installed anew, run \
                  `carp sync pair` again, otherwise find out who answers there";
    expect_trouble(b, &[remedy, "Host key verification failed"])?;
    let again = b.run("carp sync pair --fingerprint SHA256:x 2>&1 || echo code $?", LIMIT)?;
    ensure(again.contains("is not the one in") && again.contains("code 6"), again)?;
    ensure(b.run(&format!("cat {SHARE}/page"), LIMIT)? == "v1\n", "nothing is transferred")
}

fn stopped_sshd(rack: &Rack) -> Tested {
    if left_out("a sshd that is stopped") {
        return Ok(());
    }
    let linked = Linked::start(rack, "")?;
    let (a, b) = (&linked.a, &linked.b);
    a.run(&format!("echo v1 >{SHARE}/page"), LIMIT)?;
    linked.wait("the page is there", b, |_| {
        b.run(&format!("cat {SHARE}/page"), LIMIT).is_ok_and(|it| it == "v1\n")
    })?;
    linked.wait("it is in sync", b, |status| status["sync"][0]["in_sync"] == true)?;
    a.run(
        "pid=$(cat /run/sshd.pid); kill $pid; while [ -e /proc/$pid ]; do sleep 0.1; done",
        LIMIT,
    )?;
    // The connection that is open would go on without it.
    b.run(&format!("{SSH} -O exit {PRIMARY} 2>/dev/null || true"), LIMIT)?;
    linked.wait("a call is refused", b, |status| {
        status["sync"][0]["peer_outcome"] == "unreachable"
    })?;
    a.run(&format!("echo unseen >{SHARE}/page"), LIMIT)?;
    let (source, copy) = (tree(a)?, tree(b)?);
    linked.wait_for_trouble("nothing is known of the peer", "unreachable")?;
    let remedy =
        "the peer cannot be reached over ssh; check its address, its sshd, and the network";
    expect_trouble(b, &[remedy, "Connection refused"])?;
    let now = status(b);
    let share = &now["sync"][0];
    ensure(share["held"].is_null(), format!("it passes by itself: {share}"))?;
    ensure(share["in_sync"] == false, format!("a copy of unknown age is not in sync: {share}"))?;
    // Its adverts are heard as before.
    ensure(now["routers"][0]["state"] == "backup", format!("nobody takes over: {now}"))?;
    ensure(status(a)["routers"][0]["state"] == "active", "the primary serves on")?;
    let told = b.run("carp events", LIMIT)?;
    ensure(told.contains(&format!("the peer's record: {remedy}")), told)?;
    ensure(tree(a)? == source && tree(b)? == copy, "neither tree has changed")?;
    a.run("systemctl restart ssh", LIMIT)?;
    linked.wait("the peer is heard again", b, |status| {
        let share = &status["sync"][0];
        share["peer_outcome"].is_null()
            && share["peer_trouble"].is_null()
            && share["in_sync"] == true
    })?;
    linked
        .wait("what was written meanwhile is there", b, |_| tree(b).is_ok_and(|it| it == source))?;
    ensure(tree(a)? == source, "the source is as it was")?;
    let said = b.run("cat /var/log/carp.log", LIMIT)?;
    ensure(said.contains("the peer's record can be read again"), said)
}

/// The contract's example has one: `peer = "sync@…"`.
fn other_login(rack: &Rack) -> Tested {
    if left_out("other_login") {
        return Ok(());
    }
    let pair = Linked::start_as(rack, "reader", "")?;
    // Complete before it has its name: a pass between two steps would copy what is half made.
    pair.a.run(
        &format!("cd {SHARE}; echo text >../page; chown www-data ../page; mv ../page page"),
        LIMIT,
    )?;
    let arrives = format!(
        "until [ \"$(cat {SHARE}/page 2>&1)\" = text ]; do sleep 0.2; done; stat -c %U {SHARE}/page"
    );
    let owner = pair.b.run(&arrives, LIMIT)?;
    ensure(owner.trim() == "www-data", format!("the owner is kept: {owner}"))?;
    let seen = pair.a.run("su reader -s /bin/sh -c 'cat /var/lib/carp/sync/*.share; ls /var/lib/carp/sync' 2>&1 || true", LIMIT)?;
    ensure(seen.contains("Permission denied") && !seen.contains("history"), seen)?;
    // What it may not read is not copied, and that is told.
    pair.a.run(&format!("umask 077; echo secret >{SHARE}/hidden"), LIMIT)?;
    pair.wait("it is told", &pair.b, |status| {
        let last = status["sync"][0]["last_pass"].to_string();
        last.contains("Permission denied") || last.contains("partial")
    })?;
    pair.a.run(&format!("rm {SHARE}/hidden"), LIMIT)?;
    pair.wait("it is in sync again", &pair.b, |status| status["sync"][0]["in_sync"] == true)
}

fn no_shell(rack: &Rack) -> Tested {
    if left_out("no_shell") {
        return Ok(());
    }
    // Debian has a user of this name.
    let refused = Linked::start_as(rack, "sync", "").err().ok_or("it was let in")?;
    let said = format!("{:?}", refused.message());
    ensure(said.contains("the shell /bin/sync, which runs no command"), said)
}
