//! The effective values of a configuration, for people and programs that ask what holds.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{NodeSpec, RouterSpec};

/// The keys that are in the file; those of inner tables as `announce.burst`.
pub(crate) type Written = BTreeSet<String>;

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
    /// A name, a path.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
    /// A time.
    Duration(Duration),
    /// A list of times.
    Durations(Vec<Duration>),
}

impl NodeSpec {
    /// Every value of `[node]`.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let path = self.state_dir.display().to_string();
        let values = [("name", Value::Text(self.name.clone())), ("state_dir", Value::Text(path))];
        marked(&self.written, values)
    }
}

impl RouterSpec {
    /// Every value of `[router.NAME]`.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let text = |text: &str| Value::Text(text.to_owned());
        let program =
            |argv: &Option<Vec<String>>| argv.clone().map_or(Value::Nothing, Value::Texts);
        let addresses = self.addresses.iter().map(ToString::to_string).collect();
        let announce = &self.announce;
        let refresh = announce.refresh.map_or(Value::Nothing, Value::Duration);
        let values = [
            ("protocol", text(self.protocol.name())),
            ("interface", text(&self.interface)),
            ("id", Value::Number(self.id.get())),
            ("addresses", Value::Texts(addresses)),
            ("key_file", Value::Text(self.key_file.display().to_string())),
            ("advbase", Value::Number(self.interval.advbase)),
            ("advskew", Value::Number(self.interval.advskew)),
            ("dialect", text(self.dialect.name())),
            ("preempt", Value::Flag(self.preempt)),
            // The only one so far.
            ("mac", text("interface")),
            ("advert_mac", text(self.advert_mac.name())),
            ("announce.burst", Value::Number(announce.burst)),
            ("announce.repeat", Value::Durations(announce.repeat.into_iter().flatten().collect())),
            ("announce.refresh", refresh),
            ("handover", Value::Duration(self.handover)),
            ("on.active", program(&self.hooks.active)),
            ("on.backup", program(&self.hooks.backup)),
            ("on.init", program(&self.hooks.init)),
            ("on.before_active", program(&self.hooks.before_active)),
            ("on.timeout", Value::Duration(self.hooks.timeout)),
        ];
        marked(&self.written, values)
    }
}

fn marked(
    written: &Written,
    values: impl IntoIterator<Item = (&'static str, Value)>,
) -> Vec<Setting> {
    let setting = |(key, value)| Setting { key, value, is_default: !written.contains(key) };
    values.into_iter().map(setting).collect()
}
