//! The texts of ssh's and rsync's configuration: one key that can only read, and no prompt, ever.
//!
//! A node reaches its peer with ssh, and the peer's `authorized_keys` runs one command for that key,
//! whatever is asked for: an rsync daemon over the connection, which offers the shares and the record for
//! reading. So one key serves many shares, no port is opened, and a stolen key cannot write, nor get a
//! shell, nor read anything else.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The module in which the peer's record is.
pub const STATE_MODULE: &str = "carp-state";

/// The name of the record in it.
pub const RECORD_FILE: &str = "record.json";

/// The login that reads every file, and that is meant where none is written.
pub const ROOT: &str = "root";

/// Where the peer is reached: what is written as `peer` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The login; root if nothing else is written.
    pub user: String,
    /// A name or an address.
    pub host: String,
}

impl Destination {
    /// Reads `HOST` or `USER@HOST`.
    ///
    /// # Errors
    /// [`DestinationError`].
    pub fn parse(text: &str) -> Result<Self, DestinationError> {
        let (user, host) = text.rsplit_once('@').unwrap_or((ROOT, text));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = |text: &str, more: &str| {
            !text.is_empty()
                && !text.starts_with('-')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if !name(user, "-_.") {
            return Err(DestinationError::User);
        }
        if !name(bare, "-_.") && bare.parse::<IpAddr>().is_err() {
            return Err(DestinationError::Host);
        }
        Ok(Self { user: user.to_owned(), host: bare.to_owned() })
    }
}

/// What is wrong with a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DestinationError {
    /// The part before the `@`.
    #[error("the user before the @ has letters, digits, `-`, `_` and `.` only")]
    User,
    /// The part after it.
    #[error("the host is a name, or an address without a port; another port belongs into `rsh`")]
    Host,
}

/// The files that a node's connection needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The private key.
    pub key: PathBuf,
    /// The peer's host keys, as pairing has fixed them.
    pub known_hosts: PathBuf,
    /// A socket for connections that are kept open; `None`: each call connects anew.
    pub control: Option<PathBuf>,
}

/// ssh's configuration for one peer. Nothing is ever asked, and no key is ever learnt.
///
/// # Errors
/// [`TextError`] if a path cannot be written in it.
pub fn ssh_config(to: &Destination, files: &Files) -> Result<String, TextError> {
    let (key, known_hosts) = (plain(&files.key)?, plain(&files.known_hosts)?);
    let user = &to.user;
    let mut text = format!(
        "# Written by carp: changes are lost.\n\
         Host *\n\
         \x20 User {user}\n\
         \x20 IdentityFile \"{key}\"\n\
         \x20 IdentitiesOnly yes\n\
         \x20 BatchMode yes\n\
         \x20 StrictHostKeyChecking yes\n\
         \x20 UserKnownHostsFile \"{known_hosts}\"\n\
         \x20 GlobalKnownHostsFile /dev/null\n\
         \x20 UpdateHostKeys no\n\
         \x20 ConnectTimeout 3\n\
         \x20 ServerAliveInterval 2\n\
         \x20 ServerAliveCountMax 3\n\
         \x20 PreferredAuthentications publickey\n\
         \x20 RequestTTY no\n\
         \x20 ForwardAgent no\n\
         \x20 LogLevel ERROR\n"
    );
    if let Some(control) = &files.control {
        let control = plain(control)?;
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\x20 ControlMaster auto\n\x20 ControlPath \"{control}\"\n\x20 ControlPersist 60\n"
        );
    }
    Ok(text)
}

/// The remote shell that uses it.
#[must_use]
pub fn command(config: &Path) -> Vec<OsString> {
    vec!["ssh".into(), "-F".into(), config.into()]
}

/// Ends a connection that is kept open: after every change of role, and after errors of the transport.
#[must_use]
pub fn close(config: &Path, host: &str) -> Vec<OsString> {
    let mut argv = command(config);
    argv.extend(["-O", "exit", host].map(OsString::from));
    argv
}

/// A share that is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// The name of the share.
    pub name: String,
    /// Its root: a real path.
    pub path: PathBuf,
}

/// Who reads the files for the peer, where the daemon begins as root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: String,
    /// The group.
    pub group: String,
}

/// The configuration of the rsync daemon that the peer's key runs.
///
/// `run_dir` is for the lock that counts connections; `export_dir` has the record. Without an owner it reads as whoever
/// runs it, who cannot write the lock, so that sshd's limits have to do. That must not be root: an rsync daemon that
/// runs as root always changes its groups, which a user namespace with one user forbids.
///
/// # Errors
/// [`TextError`] if a path or a name cannot be written in it.
pub fn rsyncd_conf<'a>(
    modules: &[Module],
    owner: impl Into<Option<&'a Owner>>,
    run_dir: &Path,
    export_dir: &Path,
) -> Result<String, TextError> {
    let lock = plain(run_dir)?;
    // They are counted over all modules. A pass of each share, what a standby leaves behind that has vanished, and some
    // for readings of the record, which must never wait for passes.
    let connections = modules.len().saturating_mul(2).saturating_add(4);
    let owner = owner.into().map(|Owner { user, group }| {
        format!(
            "max connections = {connections}\nlock file = {lock}/rsyncd.lock\nuid = {user}\ngid = {group}\n"
        )
    });
    let owner = owner.unwrap_or_default();
    let mut text = format!(
        "# Written by carp: changes are lost.\n\
         use chroot = no\n\
         read only = yes\n\
         list = no\n\
         numeric ids = yes\n\
         {owner}\
         refuse options = remove-source-files copy-links copy-unsafe-links copy-dirlinks\n"
    );
    let state = Module { name: STATE_MODULE.to_owned(), path: export_dir.to_owned() };
    for module in modules.iter().chain([&state]) {
        let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if module.name.is_empty() || !module.name.chars().all(named) {
            return Err(TextError::Name);
        }
        // Writing to a string does not fail.
        let _ = write!(text, "[{}]\npath = {}\n", module.name, plain(&module.path)?);
    }
    Ok(text)
}

/// The line for the peer's `authorized_keys`: what `public_key` may do on the node that has this
/// `rsyncd.conf`. `from` is the address that the other node connects from.
///
/// # Errors
/// [`TextError`] if the path cannot be written in it, or the key is not one line of a key.
pub fn authorized_keys_line(
    public_key: &str,
    from: IpAddr,
    rsyncd_conf: &Path,
) -> Result<String, TextError> {
    let key = public_key.trim();
    let mut words = key.split(' ');
    let kind = words.next().filter(|kind| kind.starts_with("ssh-") || kind.starts_with("ecdsa-"));
    let body = words.next().filter(|body| body.starts_with("AAAA"));
    if kind.is_none() || body.is_none() || key.chars().any(char::is_control) {
        return Err(TextError::Key);
    }
    let conf = plain(rsyncd_conf)?;
    if conf.contains(' ') {
        // sshd hands the command to a shell.
        return Err(TextError::Path);
    }
    Ok(format!(
        "restrict,from=\"{from}\",command=\"/usr/bin/rsync --server --daemon --config={conf} .\" {key}"
    ))
}

/// Why a text cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// A path with a character that the file format has no way to write.
    #[error(
        "the path has a character that ssh's or rsync's configuration cannot express: control characters, \
         quotes, `%`, `$`, `~`, `#`, `;`, a backslash, or a space at an end"
    )]
    Path,
    /// The name of a share.
    #[error("the name of a share has letters, digits, `-`, `_` and `.` only")]
    Name,
    /// A public key.
    #[error("it is not a public key of OpenSSH: one line that begins with ssh- or ecdsa-")]
    Key,
}

/// A path without anything that either format would expand, or end a value at.
fn plain(path: &Path) -> Result<&str, TextError> {
    let text = path.to_str().ok_or(TextError::Path)?;
    let bad = |c: char| c.is_control() || "\"'%$~#;\\`".contains(c);
    let trimmed = text.trim() == text && !text.is_empty();
    if text.contains(bad) || !trimmed { Err(TextError::Path) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        Files {
            key: "/etc/carp/sync_ed25519".into(),
            known_hosts: "/etc/carp/known_hosts".into(),
            control: None,
        }
    }

    #[test]
    fn destinations_are_read() {
        for (text, user, host) in [
            ("192.168.130.10", "root", "192.168.130.10"),
            ("sync@web2.example", "sync", "web2.example"),
            ("sync@2001:db8::1", "sync", "2001:db8::1"),
            ("sync@[2001:db8::1]", "sync", "2001:db8::1"),
        ] {
            let read = Destination::parse(text).unwrap();
            assert_eq!((read.user.as_str(), read.host.as_str()), (user, host), "{text}");
        }
        for text in ["", "@x", "a@", "-oProxyCommand=x", "a b@c", "host:22", "u@-x", "a\n@b"] {
            assert!(Destination::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn ssh_never_asks_and_never_learns_a_key() {
        let to = Destination::parse("sync@192.0.2.1").unwrap();
        let text = ssh_config(&to, &files()).unwrap();
        for line in [
            "Host *",
            "  User sync",
            "  IdentityFile \"/etc/carp/sync_ed25519\"",
            "  BatchMode yes",
            "  StrictHostKeyChecking yes",
            "  GlobalKnownHostsFile /dev/null",
            "  UpdateHostKeys no",
            "  ServerAliveInterval 2",
            "  ServerAliveCountMax 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("ControlMaster"));
        let kept = Files { control: Some("/run/carp/ssh-%C".into()), ..files() };
        assert_eq!(ssh_config(&to, &kept), Err(TextError::Path));
        let kept = Files { control: Some("/run/carp/ssh".into()), ..files() };
        assert!(ssh_config(&to, &kept).unwrap().contains("  ControlPath \"/run/carp/ssh\"\n"));
    }

    #[test]
    fn the_daemon_offers_shares_and_the_record_for_reading_only() {
        let modules = [Module { name: "www".into(), path: "/var/www".into() }];
        let owner = Owner { user: "root".into(), group: "root".into() };
        let text =
            rsyncd_conf(&modules, &owner, "/run/carp".as_ref(), "/var/lib/carp/export".as_ref());
        assert_eq!(
            text.unwrap(),
            "# Written by carp: changes are lost.\nuse chroot = no\nread only = yes\nlist = no\n\
             numeric ids = yes\nmax connections = 6\nlock file = /run/carp/rsyncd.lock\nuid = root\n\
             gid = root\nrefuse options = remove-source-files copy-links copy-unsafe-links copy-dirlinks\n\
             [www]\npath = /var/www\n[carp-state]\npath = /var/lib/carp/export\n"
        );
        let text = rsyncd_conf(&[], None, "/run".as_ref(), "/x".as_ref()).unwrap();
        assert!(!text.contains("uid = ") && !text.contains("gid = "), "{text}");
        for bad in ["a]b", "", "a b", "a\nread only = no"] {
            let modules = [Module { name: bad.into(), path: "/x".into() }];
            let text = rsyncd_conf(&modules, &owner, "/run".as_ref(), "/x".as_ref());
            assert_eq!(text, Err(TextError::Name), "{bad}");
        }
    }

    #[test]
    fn a_key_may_run_one_command_from_one_address() {
        let from = "192.168.130.10".parse().unwrap();
        let line = |key: &str, conf: &str| authorized_keys_line(key, from, conf.as_ref());
        assert_eq!(
            line("ssh-ed25519 AAAAC3 carp\n", "/etc/carp/rsyncd.conf").unwrap(),
            "restrict,from=\"192.168.130.10\",command=\"/usr/bin/rsync --server --daemon \
             --config=/etc/carp/rsyncd.conf .\" ssh-ed25519 AAAAC3 carp"
        );
        for key in ["", "ssh-ed25519", "x AAAA", "ssh-rsa AAAA\nssh-rsa AAAA", "ssh-rsa ,restrict"]
        {
            assert_eq!(line(key, "/x"), Err(TextError::Key), "{key}");
        }
        for conf in ["/a b", "/a\"b", "/a;b", "/a\nb", "/$HOME/x", ""] {
            assert_eq!(line("ssh-rsa AAAA", conf), Err(TextError::Path), "{conf}");
        }
    }
}
