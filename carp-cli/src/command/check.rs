//! `carp check`: is a configuration right, what does it mean, does it fit that of the other node?

mod lease;

use std::path::Path;

use carp_node::config::{
    Config, Diagnostic, Election, GroupSpec, Location, RouterSpec, Setting, Severity, SyncSpec,
    Value, format_duration,
};
use carp_node::control::units::Millis;
use serde::Serialize;
use serde_json::{Map, json};

use crate::args::Check;
use crate::exit::{Exit, Failure};
use crate::output::{self, Output, counted};

/// Checks a configuration.
pub(crate) fn run(arguments: &Check, output: &Output) -> Result<u8, Failure> {
    let report = Report::of(arguments);
    let failure = report.failure(arguments);
    if arguments.json {
        output::print(&report.json(arguments.explain)?)?;
        return failure.map_or(Ok(0), |failure| Err(Failure::silent(failure.exit)));
    }
    output.diagnostics(&report.diagnostics);
    if report.is_valid() {
        output::print(&report.text(arguments))?;
    }
    failure.map_or(Ok(0), Err)
}

/// What the check found.
struct Report {
    /// Absent if it is invalid.
    config: Option<Config>,
    /// The other node's, if it was named and is valid.
    peer: Option<Config>,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    fn of(arguments: &Check) -> Self {
        let mut report = match Config::load(&arguments.file) {
            Ok(loaded) => {
                Self { config: Some(loaded.config), peer: None, diagnostics: loaded.warnings }
            }
            Err(error) => {
                Self { config: None, peer: None, diagnostics: error.diagnostics().to_vec() }
            }
        };
        if let Some(peer) = &arguments.peer_config {
            report.compare_with(peer);
        }
        report
    }

    /// Of the other node's configuration, errors count. Its warnings, such as programs that are
    /// missing here, are for the other node to give.
    fn compare_with(&mut self, peer: &Path) {
        match (Config::load(peer), &self.config) {
            (Ok(peer), Some(config)) => {
                self.diagnostics.extend(config.compare(&peer.config));
                self.peer = Some(peer.config);
            }
            (Ok(_), None) => {}
            (Err(error), _) => {
                let errors =
                    error.diagnostics().iter().filter(|it| it.severity() == Severity::Error);
                self.diagnostics.extend(errors.cloned());
            }
        }
    }

    fn count(&self, severity: Severity) -> usize {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == severity).count()
    }

    fn is_valid(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    fn failure(&self, arguments: &Check) -> Option<Failure> {
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        let file = arguments.file.display();
        if errors > 0 {
            let found = counted(errors, "error");
            let also = if warnings > 0 {
                ", ".to_owned() + &counted(warnings, "warning")
            } else {
                String::new()
            };
            return Some(Failure::new(
                Exit::Configuration,
                format!("the check of {file} found {found}{also}"),
            ));
        }
        (arguments.strict && warnings > 0).then(|| {
            let found = counted(warnings, "warning");
            Failure::new(Exit::Warnings, format!("the check of {file} found {found}"))
                .with_help("without --strict, warnings are let pass")
        })
    }

    fn text(&self, arguments: &Check) -> String {
        let config = self.config.as_ref();
        let mut text = String::new();
        if arguments.explain {
            text.extend(config.map(|config| explain(config, self.peer.as_ref())));
        }
        let routers = counted(config.map_or(0, |config| config.routers.len()), "router");
        let warnings = counted(self.count(Severity::Warning), "warning");
        text += &format!("{}: valid, {routers}, {warnings}\n", arguments.file.display());
        text
    }

    fn json(&self, explain: bool) -> Result<String, Failure> {
        let config = self.config.as_ref().filter(|_| explain);
        let object = Json {
            schema: "carp.check/1",
            valid: self.is_valid(),
            diagnostics: self.diagnostics.iter().map(JsonDiagnostic::from).collect(),
            node: config.map(|config| JsonSettings::from(config.node.settings())),
            routers: config.map(|config| json_routers(config, self.peer.as_ref())),
            groups: config.map(|config| config.groups.iter().map(JsonGroup::from).collect()),
            sync: config.map(|config| config.shares.iter().map(JsonShare::from).collect()),
        };
        let text = serde_json::to_string(&object);
        let text = text.map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
        Ok(text + "\n")
    }
}

/// Every value that holds, and what follows from the timers.
fn explain(config: &Config, peer: Option<&Config>) -> String {
    let mut text = section("[node]", &config.node.settings());
    for (router, counterpart) in config.routers.iter().zip(counterparts(config, peer)) {
        text += &section(&format!("[router.{}]", router.name), &router.settings());
        let notes = notes(router).into_iter().chain(lease::notes(router, counterpart));
        text.extend(notes.map(|note| format!("  # {note}\n")));
        text.push('\n');
    }
    for group in &config.groups {
        text += &section(&format!("[group.{}]", group.name), &group.settings());
    }
    for share in &config.shares {
        text += &section(&format!("[sync.{}]", share.name), &share.settings());
    }
    text
}

/// The routers of the other node that belong to ours, if that is known.
fn counterparts<'a>(config: &Config, peer: Option<&'a Config>) -> Vec<Option<&'a RouterSpec>> {
    match peer {
        Some(peer) => config.counterparts(peer),
        None => vec![None; config.routers.len()],
    }
}

/// What follows from a router's settings.
fn notes(router: &RouterSpec) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(derived) = router.derived_address {
        notes.push(format!("the IPv6 list begins with {derived}, derived from the id"));
    }
    if let elections @ [_, _, ..] = &router.elections()[..] {
        let names: Vec<_> = elections.iter().map(Election::name).collect();
        notes.push(format!("elected as {}, which move together", names.join(" and ")));
    }
    let timers = router.timers;
    for (what, duration) in [
        ("an advert every", timers.interval),
        ("detection time: a dead router is replaced after", timers.active_down),
        ("worst overlap at a planned stop", timers.handover),
    ] {
        notes.push(format!("{what} {}", format_duration(duration)));
    }
    notes
}

fn section(header: &str, settings: &[Setting]) -> String {
    let width = settings.iter().map(|setting| setting.key.len()).max().unwrap_or(0);
    let mut text = format!("{header}\n");
    for Setting { key, value, is_default } in settings {
        let note = if *is_default { "  # default" } else { "" };
        text += &format!("  {key:width$} = {}{note}\n", shown(value));
    }
    text.push('\n');
    text
}

/// A value as it is written in a configuration.
fn shown(value: &Value) -> String {
    let list = |items: Vec<String>| format!("[{}]", items.join(", "));
    match value {
        Value::Nothing => "off".to_owned(),
        Value::Flag(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::Count(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
        Value::Texts(texts) => list(texts.iter().map(|text| format!("{text:?}")).collect()),
        Value::Keys(keys) => {
            let key = |(id, file): &(u8, String)| format!("{{ id = {id}, key_file = {file:?} }}");
            list(keys.iter().map(key).collect())
        }
        Value::Duration(duration) => format!("{:?}", format_duration(*duration)),
        Value::Durations(durations) => {
            list(durations.iter().map(|it| format!("{:?}", format_duration(*it))).collect())
        }
    }
}

/// `carp check --json`.
#[derive(Serialize)]
struct Json<'a> {
    schema: &'static str,
    valid: bool,
    diagnostics: Vec<JsonDiagnostic<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<JsonSettings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routers: Option<Vec<JsonRouter<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<JsonGroup<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<Vec<JsonShare<'a>>>,
}

#[derive(Serialize)]
struct JsonDiagnostic<'a> {
    severity: &'static str,
    file: &'a str,
    line: Option<usize>,
    column: Option<usize>,
    message: &'a str,
    help: Option<&'a str>,
}

impl<'a> From<&'a Diagnostic> for JsonDiagnostic<'a> {
    fn from(diagnostic: &'a Diagnostic) -> Self {
        Self {
            severity: diagnostic.severity().name(),
            file: diagnostic.file(),
            line: diagnostic.location().map(Location::line),
            column: diagnostic.location().map(Location::column),
            message: diagnostic.message(),
            help: diagnostic.help(),
        }
    }
}

#[derive(Serialize)]
struct JsonSettings {
    settings: Map<String, serde_json::Value>,
    /// Which of them are defaults.
    defaults: Vec<String>,
}

impl From<Vec<Setting>> for JsonSettings {
    fn from(settings: Vec<Setting>) -> Self {
        let defaults = settings.iter().filter(|it| it.is_default).map(json_key).collect();
        let settings = settings.iter().map(|it| (json_key(it), json_value(&it.value))).collect();
        Self { settings, defaults }
    }
}

/// Durations are milliseconds, and say so. Those that can be off or empty do also then.
fn json_key(setting: &Setting) -> String {
    let mut key = setting.key.to_owned();
    let is_time = match setting.value {
        Value::Duration(_) | Value::Durations(_) => true,
        Value::Nothing => ["announce.refresh", "lease"].contains(&setting.key),
        Value::Flag(_)
        | Value::Number(_)
        | Value::Count(_)
        | Value::Text(_)
        | Value::Texts(_)
        | Value::Keys(_) => false,
    };
    if is_time {
        key.push_str("_ms");
    }
    key
}

fn json_value(value: &Value) -> serde_json::Value {
    match value {
        Value::Nothing => serde_json::Value::Null,
        Value::Flag(flag) => json!(flag),
        Value::Number(number) => json!(number),
        Value::Count(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Texts(texts) => json!(texts),
        Value::Keys(keys) => {
            keys.iter().map(|(id, file)| json!({ "id": id, "key_file": file })).collect()
        }
        Value::Duration(duration) => json!(Millis(*duration)),
        Value::Durations(durations) => {
            json!(durations.iter().copied().map(Millis).collect::<Vec<_>>())
        }
    }
}

#[derive(Serialize)]
struct JsonRouter<'a> {
    name: &'a str,
    #[serde(flatten)]
    settings: JsonSettings,
    elections: Vec<JsonElection>,
    timers: JsonTimers,
}

/// A router as the daemon runs it: the name in status and events, and the addresses with a derived one.
#[derive(Serialize)]
struct JsonElection {
    name: String,
    addresses: Vec<String>,
}

impl From<&Election<'_>> for JsonElection {
    fn from(election: &Election<'_>) -> Self {
        let addresses = election.addresses().iter().map(ToString::to_string).collect();
        Self { name: election.name(), addresses }
    }
}

#[derive(Serialize)]
struct JsonGroup<'a> {
    name: &'a str,
    #[serde(flatten)]
    settings: JsonSettings,
}

#[derive(Serialize)]
struct JsonShare<'a> {
    name: &'a str,
    #[serde(flatten)]
    settings: JsonSettings,
}

impl<'a> From<&'a SyncSpec> for JsonShare<'a> {
    fn from(share: &'a SyncSpec) -> Self {
        Self { name: &share.name, settings: share.settings().into() }
    }
}

impl<'a> From<&'a GroupSpec> for JsonGroup<'a> {
    fn from(group: &'a GroupSpec) -> Self {
        Self { name: &group.name, settings: group.settings().into() }
    }
}

/// As in `carp status --json`; the longest overlap at a planned stop is the setting `handover_ms`.
#[derive(Serialize)]
struct JsonTimers {
    interval_ms: Millis,
    active_down_ms: Millis,
    /// The longest overlap when daemon and guard die together; without a lease it has no end.
    lease_overlap_ms: Option<Millis>,
}

fn json_routers<'a>(config: &'a Config, peer: Option<&Config>) -> Vec<JsonRouter<'a>> {
    let routers = config.routers.iter().zip(counterparts(config, peer));
    routers.map(|(router, counterpart)| JsonRouter::new(router, counterpart)).collect()
}

impl<'a> JsonRouter<'a> {
    fn new(router: &'a RouterSpec, counterpart: Option<&RouterSpec>) -> Self {
        Self {
            name: &router.name,
            settings: router.settings().into(),
            elections: router.elections().iter().map(JsonElection::from).collect(),
            timers: JsonTimers {
                interval_ms: router.timers.interval.into(),
                active_down_ms: router.timers.active_down.into(),
                lease_overlap_ms: lease::overlap(router, counterpart).map(Millis),
            },
        }
    }
}
