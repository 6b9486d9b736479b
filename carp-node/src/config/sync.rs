//! `[sync.NAME]`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::known::{self, nearest};
use super::read::{Reader, Section, did_you_mean, header_of};
use super::router::{argv, check_name};
use super::settings::Written;
use super::spec::RouterSpec;
use super::{Location, format_duration};
use crate::sync::policy::{AutoResolve, Failback, Policy, StaleTakeover};
use crate::sync::rsync::ssh::{Destination, ROOT, STATE_MODULE};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// `[sync.NAME]`: a folder that follows the active node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncSpec {
    /// The NAME of the table: as that of a router, unique among the shares.
    pub name: String,
    /// `router`: the name of the router that the share follows.
    pub router: String,
    /// `path`: the folder. Absolute, without `..`, in no other share and without one in it.
    pub path: PathBuf,
    /// `peer`: where the other node is reached.
    pub peer: Destination,
    /// `rsh`: the remote shell and its arguments; `None` for ssh with a configuration of our own.
    pub rsh: Option<Vec<String>>,
    /// `every`: the time between two passes, at least. 1 s to 1 day.
    pub every: Duration,
    /// `exclude`: what is not copied and not deleted, in rsync's patterns.
    pub exclude: Vec<String>,
    /// `max_delete`: a pass that would delete more files than this is held; `None` for a tenth of the
    /// files, at least 100.
    pub max_delete: Option<u64>,
    /// `attributes`: whether access lists and extended attributes are copied.
    pub attributes: bool,
    /// `bandwidth`: KiB a second; `None` for no limit.
    pub bandwidth: Option<u32>,
    /// `compress`: whether what crosses the network is compressed.
    pub compress: bool,
    /// `quiesce`: stops the writers before a planned handover.
    pub quiesce: Option<Vec<String>>,
    /// `unquiesce`: undoes that.
    pub unquiesce: Option<Vec<String>>,
    /// `quiesce_timeout`: how long each of the two may run. 100 ms to 3 s less than `handover_timeout`.
    pub quiesce_timeout: Duration,
    /// The rest of the choices.
    pub policy: Policy,
    /// The header `[sync.NAME]`.
    pub place: Location,
    pub(crate) written: Written,
}

/// Reads every `[sync.NAME]`, in the order of the file. `routers` are the names that there are.
pub(super) fn read_all(root: &Section<'_>, routers: &[&str]) -> Vec<SyncSpec> {
    let reader = root.reader();
    let Some(value) = root.value("sync") else { return Vec::new() };
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type(value, "a table for each share", "[sync.www]");
        return Vec::new();
    };
    let mut tables: Vec<_> = table.iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let read = |(name, value)| read(reader, routers, name, value);
    tables.into_iter().filter_map(read).collect()
}

fn read<'a>(
    reader: &'a Reader<'a>,
    routers: &[&str],
    name: &Spanned<Cow<'_, str>>,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<SyncSpec> {
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type(value, "a table for each share", "[sync.www]");
        return None;
    };
    check_name(reader, name, "share");
    if name.get_ref() == STATE_MODULE {
        let message = format!("{STATE_MODULE:?} cannot be the name of a share");
        reader.mistake(
            name.span(),
            message,
            "it is where the nodes' own records are: take another",
        );
    }
    let title = format!("[sync.{}]", name.get_ref());
    let section = Section::open(reader, table, header_of(name, value), title, &known::SYNC);
    let (router, path, peer) = (router(&section, routers), path(&section), peer(&section));
    let policy = policy(&section);
    let quiesce_timeout = quiesce_timeout(&section, policy.handover_timeout);
    let spec = SyncSpec {
        name: name.get_ref().to_string(),
        router: router?,
        path: path?,
        peer: peer?,
        rsh: rsh(&section),
        every: section.duration("every", SECOND..=DAY).unwrap_or(Duration::from_secs(60)),
        exclude: exclude(&section),
        max_delete: number(&section, "max_delete", 0..=1_000_000_000),
        attributes: section.flag("attributes").unwrap_or(true),
        bandwidth: number(&section, "bandwidth", 1..=10_000_000)
            .and_then(|kib| u32::try_from(kib).ok()),
        compress: section.flag("compress").unwrap_or(false),
        quiesce: argv(&section, "quiesce"),
        unquiesce: argv(&section, "unquiesce"),
        quiesce_timeout,
        policy,
        place: reader.locate(section.header()),
        written: section.written(),
    };
    check_hooks(&section, &spec);
    Some(spec)
}

fn router(section: &Section<'_>, routers: &[&str]) -> Option<String> {
    const EXAMPLE: &str = "router = \"web\"";
    section.require("router", EXAMPLE)?;
    let name = section.text("router", EXAMPLE)?;
    if !routers.contains(name.get_ref()) {
        let suggestion = nearest(name.get_ref(), routers.iter().copied());
        let message =
            format!("there is no router {:?}{}", name.get_ref(), did_you_mean(suggestion));
        let help = format!("the routers are {}", routers.join(", "));
        section.reader().mistake(name.span(), message, help);
        return None;
    }
    Some((*name.get_ref()).to_owned())
}

fn path(section: &Section<'_>) -> Option<PathBuf> {
    const EXAMPLE: &str = "path = \"/var/www\"";
    section.require("path", EXAMPLE)?;
    let text = section.text("path", EXAMPLE)?;
    let path = PathBuf::from(*text.get_ref());
    let plain = path.components().all(|part| match part {
        Component::RootDir | Component::Normal(_) => true,
        Component::Prefix(_) | Component::CurDir | Component::ParentDir => false,
    });
    if !path.is_absolute() || !plain {
        let message = format!("path {:?} is not an absolute path", text.get_ref());
        let help = format!("begin it with /, without .., as in {EXAMPLE}");
        section.reader().mistake(text.span(), message, help);
        return None;
    }
    if path.parent().is_none() {
        let help = "name a folder: what a pass replaces is kept beside it";
        section.reader().mistake(text.span(), "the root of the machine cannot be a share", help);
        return None;
    }
    // Without a slash at its end.
    Some(path.components().collect())
}

fn peer(section: &Section<'_>) -> Option<Destination> {
    const EXAMPLE: &str = "peer = \"192.168.130.10\"";
    section.require("peer", EXAMPLE)?;
    let text = section.text("peer", EXAMPLE)?;
    match Destination::parse(text.get_ref()) {
        Ok(peer) => Some(peer),
        Err(error) => {
            let message = format!("peer {:?}: {error}", text.get_ref());
            section.reader().mistake(text.span(), message, format!("write it like {EXAMPLE}"));
            None
        }
    }
}

fn rsh(section: &Section<'_>) -> Option<Vec<String>> {
    const EXAMPLE: &str = "rsh = [\"ssh\", \"-p\", \"2222\"]";
    let list = section.texts("rsh", EXAMPLE)?;
    if list.get_ref().is_empty() {
        let help = format!("write it like {EXAMPLE}, or leave it out");
        section.reader().mistake(list.span(), "rsh names no program", help);
    }
    for word in list.get_ref() {
        if word.get_ref().chars().any(char::is_control) {
            let message = "an argument of rsh cannot contain control characters";
            section.reader().mistake(word.span(), message, "remove them");
        }
    }
    Some(list.into_inner().into_iter().map(|word| word.into_inner().to_owned()).collect())
}

fn exclude(section: &Section<'_>) -> Vec<String> {
    let list = section.texts("exclude", "exclude = [\"/cache/\", \"*.tmp\"]");
    let list = list.map(Spanned::into_inner).unwrap_or_default();
    for pattern in &list {
        if pattern.get_ref().is_empty() || pattern.get_ref().chars().any(char::is_control) {
            let message = format!("{:?} is no pattern", pattern.get_ref());
            section.reader().mistake(pattern.span(), message, "write it like \"/cache/\"");
        }
    }
    list.into_iter().map(|pattern| pattern.into_inner().to_owned()).collect()
}

fn number(section: &Section<'_>, key: &str, limits: RangeInclusive<i64>) -> Option<u64> {
    let number = section.integer(key)?;
    if !limits.contains(number.get_ref()) {
        let message = format!(
            "{key} {} is out of range: it is {} to {}",
            number.get_ref(),
            limits.start(),
            limits.end()
        );
        section.reader().error(number.span(), message);
        return None;
    }
    u64::try_from(*number.get_ref()).ok()
}

fn policy(section: &Section<'_>) -> Policy {
    let default = Policy::default();
    let failback = [("auto", Failback::Auto), ("manual", Failback::Manual)];
    let resolve = [("never", AutoResolve::Never), ("elected", AutoResolve::Elected)];
    Policy {
        max_lag: section.duration("max_lag", SECOND..=DAY).unwrap_or(default.max_lag),
        in_sync_lag: default.in_sync_lag,
        stale_takeover: stale_takeover(section).unwrap_or(default.stale_takeover),
        cold_start_wait: section
            .duration("cold_start_wait", Duration::ZERO..=HOUR)
            .unwrap_or(default.cold_start_wait),
        peer_alive_veto: section.flag("peer_alive_veto").unwrap_or(default.peer_alive_veto),
        failback: section.word("failback", &failback).unwrap_or(default.failback),
        require: section.flag("require").unwrap_or(default.require),
        auto_resolve: section.word("auto_resolve", &resolve).unwrap_or(default.auto_resolve),
        handover_timeout: section
            .duration("handover_timeout", SECOND * 5..=HOUR)
            .unwrap_or(default.handover_timeout),
    }
}

fn stale_takeover(section: &Section<'_>) -> Option<StaleTakeover> {
    let text = section.text("stale_takeover", "stale_takeover = \"30s\"")?;
    match *text.get_ref() {
        "allow" => Some(StaleTakeover::Allow),
        "never" => Some(StaleTakeover::Never),
        time => {
            if !time.starts_with(|first: char| first.is_ascii_digit()) {
                let message = format!("unknown stale_takeover {time:?}");
                let help = "it is \"allow\", \"never\", or how long to wait, as in \"30s\"";
                section.reader().mistake(text.span(), message, help);
                return None;
            }
            section.reader().duration(&text, Duration::ZERO..=DAY).map(StaleTakeover::After)
        }
    }
}

fn quiesce_timeout(section: &Section<'_>, handover: Duration) -> Duration {
    // The rest of the handover needs some of its time.
    let longest = handover.saturating_sub(SECOND * 3).max(SECOND);
    let limits = Duration::from_millis(100)..=longest;
    section.duration("quiesce_timeout", limits).unwrap_or(longest.min(SECOND * 10))
}

/// Writers that are stopped and never started again would be a surprise.
fn check_hooks(section: &Section<'_>, spec: &SyncSpec) {
    let reader = section.reader();
    if let (Some(_), None, Some(value)) = (&spec.quiesce, &spec.unquiesce, section.value("quiesce"))
    {
        let message = "writers that quiesce has stopped are never started again";
        let help = "add unquiesce, which runs after every handover, also after one that failed";
        reader.warning(value.span(), message, help);
    }
    if let (None, Some(_), Some(value)) =
        (&spec.quiesce, &spec.unquiesce, section.value("unquiesce"))
    {
        let message = "unquiesce never runs without quiesce";
        reader.warning(value.span(), message, "add quiesce, or remove it");
    }
}

/// What shares must not have in common, and what they ask of their router.
pub(super) fn check(
    reader: &Reader<'_>,
    shares: &[SyncSpec],
    routers: &[&RouterSpec],
    state_dir: &Path,
) {
    for (number, share) in shares.iter().enumerate() {
        if share.path.starts_with(state_dir) || state_dir.starts_with(&share.path) {
            let message = format!(
                "path {} overlaps with this node's own state in {}",
                share.path.display(),
                state_dir.display()
            );
            let help = "what carp remembers, and the key of its login, are not to be copied: choose a narrower \
                        folder, or another state_dir in [node]";
            reader.note(share.place("path").error(message).with_help(help));
        }
        let earlier = shares.iter().take(number);
        let nested = |other: &&SyncSpec| {
            share.path.starts_with(&other.path) || other.path.starts_with(&share.path)
        };
        if let Some(first) = earlier.clone().find(nested) {
            let message = format!(
                "path {} overlaps with that of [sync.{}] ({})",
                share.path.display(),
                first.name,
                first.place
            );
            let help = "a file belongs to one share: exclude nothing, but choose other folders";
            reader.note(share.place("path").error(message).with_help(help));
        }
        let router = routers.iter().find(|router| router.name == share.router);
        if let Some(router) = router.filter(|router| router.is_owner() && share.policy.require) {
            let message = format!(
                "[router.{}] owns its addresses, and cannot wait for its data",
                router.name
            );
            let help = "take a priority of 1 to 254, or require = false";
            reader.note(share.place("router").error(message).with_help(help));
        }
        let theirs = share.peer.host.parse::<IpAddr>().ok();
        let moves = |ip: IpAddr| {
            let has = |router: &&&RouterSpec| router.addresses.iter().any(|it| it.ip() == ip);
            routers.iter().find(has)
        };
        if let Some((ip, router)) = theirs.and_then(|ip| Some((ip, moves(ip)?))) {
            let message =
                format!("peer {ip} is an address of [router.{}], which moves", router.name);
            let help = "name the other node by an address of its own";
            reader.note(share.place("peer").error(message).with_help(help));
        }
        if share.policy.failback == Failback::Manual && !share.policy.require {
            let message = "failback = \"manual\" changes nothing with require = false";
            let help = "a router that does not wait for its share takes the address back by itself: \
                        preempt = false keeps it from that";
            reader.note(share.place("failback").warning(message).with_help(help));
        }
        if share.every > share.policy.max_lag {
            let message = format!(
                "a copy is stale after {}, and a pass comes every {}",
                format_duration(share.policy.max_lag),
                format_duration(share.every)
            );
            let help = "make every shorter, or max_lag longer";
            reader.note(share.place("every").warning(message).with_help(help));
        }
    }
}

impl SyncSpec {
    /// The remote shell of its own, with the user of `peer` as rsync gives it to one: `-l USER`, but for root, who is
    /// meant without a word.
    #[must_use]
    pub fn own_shell(&self) -> Option<Vec<OsString>> {
        let mut argv: Vec<OsString> = self.rsh.as_ref()?.iter().map(OsString::from).collect();
        if self.peer.user != ROOT {
            argv.extend(["-l", self.peer.user.as_str()].map(OsString::from));
        }
        Some(argv)
    }

    /// Where the value of a key is written; if it is not, the header of the table.
    pub(super) fn place(&self, key: &str) -> &Location {
        self.written.get(key).unwrap_or(&self.place)
    }
}
