//! The effective values of a configuration, for people and programs that ask what holds.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use carp_proto::auth::HmacKey;

use super::router::vrrp::{auth_mode_name, checksum_name};
use super::spec::{
    CarpSpec, FromFile, GroupSpec, HmacSpec, NodeSpec, PreviousSpec, ProtocolSpec, RouterSpec,
    Vrrp2Spec, Vrrp3Spec,
};
use super::{Location, SyncSpec, format_duration};
use crate::sync::policy::{AutoResolve, Failback, StaleTakeover};

/// The keys that are in the file, and where their values are; those of inner tables as
/// `announce.burst`.
pub(crate) type Written = BTreeMap<String, Location>;

/// One key with the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key; of inner tables as `announce.burst`, `on.active`.
    pub key: &'static str,
    /// The value.
    pub value: Value,
    /// Whether nothing is written, so that the default holds.
    pub is_default: bool,
}

/// What a key can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Off, or nothing.
    Nothing,
    /// Yes or no.
    Flag(bool),
    /// A number.
    Number(u8),
    /// A number that may be large.
    Count(u64),
    /// A name, a path.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of numbered key files.
    Keys(Vec<(u8, String)>),
    /// A time.
    Duration(Duration),
    /// A list of times.
    Durations(Vec<Duration>),
}

type Pair = (&'static str, Value);

impl NodeSpec {
    /// Every value of `[node]`.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let values = [("name", text(&self.name)), ("state_dir", path(&self.state_dir))];
        marked(&self.written, values)
    }
}

impl GroupSpec {
    /// Every value of `[group.NAME]`.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        marked(&self.written, [("routers", Value::Texts(self.routers.clone()))])
    }
}

impl SyncSpec {
    /// Every value of `[sync.NAME]`.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let policy = &self.policy;
        let program =
            |argv: &Option<Vec<String>>| argv.clone().map_or(Value::Nothing, Value::Texts);
        let count = |number: Option<u64>| number.map_or(Value::Nothing, Value::Count);
        let failback = match policy.failback {
            Failback::Auto => "auto",
            Failback::Manual => "manual",
        };
        let resolve = match policy.auto_resolve {
            AutoResolve::Never => "never",
            AutoResolve::Elected => "elected",
        };
        let stale = match policy.stale_takeover {
            StaleTakeover::Allow => text("allow"),
            StaleTakeover::Never => text("never"),
            StaleTakeover::After(wait) => Value::Text(format_duration(wait)),
        };
        let values = [
            ("router", text(&self.router)),
            ("path", path(&self.path)),
            ("peer", text(&format!("{}@{}", self.peer.user, self.peer.host))),
            ("rsh", program(&self.rsh)),
            ("every", Value::Duration(self.every)),
            ("require", Value::Flag(policy.require)),
            ("failback", text(failback)),
            ("exclude", texts(&self.exclude)),
            (
                "max_delete",
                self.max_delete.map_or_else(|| text("a tenth, at least 100"), Value::Count),
            ),
            ("attributes", Value::Flag(self.attributes)),
            ("bandwidth", count(self.bandwidth.map(u64::from))),
            ("compress", Value::Flag(self.compress)),
            ("max_lag", Value::Duration(policy.max_lag)),
            ("stale_takeover", stale),
            ("cold_start_wait", Value::Duration(policy.cold_start_wait)),
            ("peer_alive_veto", Value::Flag(policy.peer_alive_veto)),
            ("auto_resolve", text(resolve)),
            ("quiesce", program(&self.quiesce)),
            ("unquiesce", program(&self.unquiesce)),
            ("quiesce_timeout", Value::Duration(self.quiesce_timeout)),
            ("handover_timeout", Value::Duration(policy.handover_timeout)),
        ];
        marked(&self.written, values)
    }
}

impl RouterSpec {
    /// Every value of `[router.NAME]` that its protocol has.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let values = [
            ("protocol", text(self.protocol().name())),
            ("interface", text(&self.interface)),
            ("id", Value::Number(self.id.get())),
            ("addresses", texts(&self.addresses)),
        ];
        let values = values.into_iter().chain(self.speech_settings()).chain(self.common_settings());
        marked(&self.written, values)
    }

    fn speech_settings(&self) -> Vec<Pair> {
        match &self.speech {
            ProtocolSpec::Carp(carp) => of_carp(carp),
            ProtocolSpec::Vrrp2(vrrp) => of_vrrp2(vrrp),
            ProtocolSpec::Vrrp3(vrrp) => of_vrrp3(vrrp),
        }
    }

    fn common_settings(&self) -> Vec<Pair> {
        let (announce, hooks) = (&self.announce, &self.hooks);
        let program =
            |argv: &Option<Vec<String>>| argv.clone().map_or(Value::Nothing, Value::Texts);
        vec![
            ("preempt", Value::Flag(self.preempt)),
            ("preempt_delay", Value::Duration(self.preempt_delay)),
            ("peers", texts(&self.peers)),
            ("accept_from", texts(&self.accept_from)),
            ("min_ttl", Value::Number(self.min_ttl)),
            ("mac", text(self.mac.name())),
            ("advert_mac", text(self.advert_mac.name())),
            ("address_interface", text(self.home())),
            // The only one so far.
            ("accept", Value::Flag(true)),
            ("announce.burst", Value::Number(announce.burst)),
            ("announce.repeat", Value::Durations(announce.repeat.into_iter().flatten().collect())),
            ("announce.refresh", announce.refresh.map_or(Value::Nothing, Value::Duration)),
            ("duplicate", text(self.duplicate.name())),
            ("handover", Value::Duration(self.timers.handover)),
            ("hold.boot", Value::Duration(self.hold.boot)),
            ("hold.link_up", Value::Duration(self.hold.link_up)),
            ("track.gateway", self.gateway.map_or(Value::Nothing, |it| text(&it.to_string()))),
            ("lease", self.timers.lease.map_or(Value::Nothing, |it| Value::Duration(it.time()))),
            ("on.active", program(&hooks.active)),
            ("on.backup", program(&hooks.backup)),
            ("on.init", program(&hooks.init)),
            ("on.before_active", program(&hooks.before_active)),
            ("on.timeout", Value::Duration(hooks.timeout)),
        ]
    }
}

fn of_carp(carp: &CarpSpec) -> Vec<Pair> {
    let mut values = vec![
        ("key_file", path(&carp.key.path)),
        ("advbase", Value::Number(carp.interval.advbase)),
        ("advskew", Value::Number(carp.interval.advskew)),
        ("dialect", text(carp.dialect.name())),
    ];
    match &carp.previous {
        None => values.push(("previous", Value::Nothing)),
        Some(previous) => values.extend(of_previous(carp, previous)),
    }
    values
}

fn of_previous(carp: &CarpSpec, previous: &PreviousSpec) -> Vec<Pair> {
    let key = previous.key.as_ref().unwrap_or(&carp.key);
    let mut values = vec![("previous.key_file", path(&key.path))];
    if let Some(addresses) = &previous.addresses {
        values.push(("previous.addresses", texts(addresses)));
    }
    values.push(("previous.accept_for", Value::Duration(previous.accept_for)));
    values
}

fn of_vrrp2(vrrp: &Vrrp2Spec) -> Vec<Pair> {
    let mut values = vec![
        ("priority", Value::Number(vrrp.priority.get())),
        ("interval", Value::Duration(vrrp.interval.advert())),
        ("auth", text(if vrrp.password.is_some() { "password" } else { "none" })),
    ];
    values.extend(vrrp.password.iter().map(|password| ("key_file", path(&password.path))));
    values
}

fn of_vrrp3(vrrp: &Vrrp3Spec) -> Vec<Pair> {
    let mut values = vec![
        ("priority", Value::Number(vrrp.priority.get())),
        ("interval", Value::Duration(vrrp.interval.advert())),
        ("checksum", text(checksum_name(vrrp.checksum))),
        ("auth", text(if vrrp.hmac.is_some() { "hmac" } else { "none" })),
    ];
    values.extend(vrrp.hmac.iter().flat_map(of_hmac));
    values
}

fn of_hmac(hmac: &HmacSpec) -> [Pair; 4] {
    let numbered = |key: &FromFile<HmacKey>| (key.key.id(), key.path.display().to_string());
    [
        ("key_file", path(&hmac.signing.path)),
        ("key_id", Value::Number(hmac.signing.key.id())),
        ("auth_mode", text(auth_mode_name(hmac.mode))),
        ("receive_keys", Value::Keys(hmac.receiving.iter().map(numbered).collect())),
    ]
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn path(path: &Path) -> Value {
    Value::Text(path.display().to_string())
}

fn texts(list: &[impl ToString]) -> Value {
    Value::Texts(list.iter().map(ToString::to_string).collect())
}

fn marked(written: &Written, values: impl IntoIterator<Item = Pair>) -> Vec<Setting> {
    let setting = |(key, value)| Setting { key, value, is_default: !written.contains_key(key) };
    values.into_iter().map(setting).collect()
}
