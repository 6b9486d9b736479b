//! `carp sync pair`: make two nodes known to each other.

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Read};

use carp_node::config::{Config, SyncSpec};
use carp_node::sync::pair::{Desk, HostKey, PairError, own_address};
use carp_node::sync::rsync::ssh::ROOT;

use super::shares::{chosen, load};
use crate::args::SyncPair;
use crate::exit::{Exit, Failure};
use crate::output::print;

/// Makes a key, fixes the peer's host key, and prints the line for the peer; or takes such a line.
pub(super) fn run(arguments: &SyncPair) -> Result<(), Failure> {
    let config = load(&arguments.config)?;
    let shares: Vec<&SyncSpec> =
        chosen(&config, None)?.into_iter().filter(|share| share.rsh.is_none()).collect();
    if shares.is_empty() {
        let message =
            "every share has a remote shell of its own (rsh), and needs no keys of carp's";
        return Err(Failure::new(Exit::Refused, message));
    }
    let desk = Desk::open(&config.node.state_dir, &config.shares).map_err(failure)?;
    match &arguments.authorize {
        Some(line) => authorize(&desk, &shares, line),
        None => introduce(&desk, &config, &shares, arguments),
    }
}

fn authorize(desk: &Desk, shares: &[&SyncSpec], line: &str) -> Result<(), Failure> {
    let line = if line == "-" { from_stdin()? } else { line.to_owned() };
    let users: BTreeSet<&str> = shares.iter().map(|share| share.peer.user.as_str()).collect();
    for user in users {
        let (file, changed) = desk.authorize(&line, user).map_err(failure)?;
        let done = if changed { "the peer's key may read the shares now" } else { "nothing to do" };
        print(&format!("{}: {done}\n", file.display()))?;
        if user == ROOT {
            print(
                "sshd needs `PermitRootLogin prohibit-password` (or forced-commands-only) for that\n",
            )?;
        }
    }
    Ok(())
}

fn from_stdin() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    Ok(text)
}

fn introduce(
    desk: &Desk,
    config: &Config,
    shares: &[&SyncSpec],
    arguments: &SyncPair,
) -> Result<(), Failure> {
    let key = desk.public_key(&config.node.name).map_err(failure)?;
    let logins = shares.iter().map(|share| (share.peer.host.as_str(), share.peer.user.as_str()));
    let mut text = String::new();
    for (host, user) in logins.collect::<BTreeSet<_>>() {
        let from =
            own_address(host).map_err(|error| Failure::failed(format!("{host}: {error}")))?;
        let line =
            desk.line(&key, from, user).map_err(|error| Failure::failed(error.to_string()))?;
        text +=
            &format!("on {host}, let this node in:\n\n  carp sync pair --authorize '{line}'\n\n");
    }
    // Before anything is asked: the other side can be done meanwhile.
    print(&text)?;
    let hosts: BTreeSet<&str> = shares.iter().map(|share| share.peer.host.as_str()).collect();
    for host in hosts {
        let found = desk.host_key(host).map_err(failure)?;
        if found.known {
            print(&format!("{host}: its host key is known, and the same\n"))?;
            continue;
        }
        confirm(host, &found, arguments.fingerprint.as_deref())?;
        desk.trust(&found).map_err(failure)?;
        print(&format!("{host}: its host key is fixed now\n"))?;
    }
    Ok(())
}

/// Somebody has to have compared the fingerprint.
fn confirm(host: &str, found: &HostKey, expected: Option<&str>) -> Result<(), Failure> {
    let told = found.fingerprints.join("\n  ");
    let refused = |message: String| Failure::new(Exit::Refused, message);
    if let Some(expected) = expected {
        if found.has(expected) {
            return Ok(());
        }
        let help = "find out who answers there, or read the fingerprint again";
        return Err(refused(format!("{host} has another host key:\n  {told}")).with_help(help));
    }
    let how = "compare with `ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub` over there";
    if !std::io::stdin().is_terminal() {
        let help = format!("{how}, and run this again with --fingerprint SHA256:…");
        return Err(refused(format!("nobody has compared the host key of {host}:\n  {told}"))
            .with_help(help));
    }
    print(&format!("{host} has this host key:\n  {told}\n{how}.\nIs it the same? yes/no: "))?;
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    read.map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => Err(refused("not fixed: only `yes` does that".to_owned())),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err calls")]
fn failure(error: PairError) -> Failure {
    let exit = match &error {
        PairError::Missing { .. } => Exit::Missing,
        PairError::Changed { .. } | PairError::Shell { .. } | PairError::User(_) => Exit::Refused,
        PairError::Line(_) => Exit::Usage,
        PairError::System { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Exit::Missing
        }
        _ => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
