//! The scenario as a user writes it: a small TOML file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use carp_node::config::{MAX_FILE_SIZE, parse_duration};
use carp_proto::election::Dialect;
use carp_proto::sim::{Fault, HostModel, HostPlan, HostSpec, Scenario, Spec, SpecSpeech, Weather};
use carp_proto::{AdvBase, AdvSkew};
use serde::Deserialize;

use super::nodes;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// A scenario of which each run draws its own chance and its own times.
#[derive(Debug)]
pub(super) struct Plan {
    /// Without steps.
    pub(super) scenario: Scenario,
    pub(super) steps: Vec<Timed>,
}

/// Something that is done at a time of a range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timed {
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) fault: Fault,
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "for")]
    lasts: Option<String>,
    router: Option<String>,
    weather: Option<String>,
    node: BTreeMap<String, Node>,
    #[serde(default)]
    at: Vec<Act>,
}

/// `[node.NAME]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Node {
    pub(super) config: String,
    pub(super) address: Option<std::net::IpAddr>,
    pub(super) host: Option<String>,
}

/// `[[at]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Act {
    time: String,
    #[serde(rename = "do")]
    what: String,
}

const HELP: &str = "docs/simulation.md shows a whole one";

impl Plan {
    /// Two servers as in the README, of which the primary dies.
    pub(super) fn usual() -> Self {
        let address = "192.168.130.100".parse().expect("an address");
        let host = |number: u8, name: &str, advskew: i64, preempt| {
            let speech = SpecSpeech::Carp {
                dialect: Dialect::Native,
                advbase: AdvBase::new(1).expect("a second"),
                advskew: AdvSkew::new(advskew).expect("an advskew"),
            };
            HostSpec {
                name: name.into(),
                model: HostModel::DEFAULT,
                sources: HostPlan::numbered(number, HostModel::DEFAULT, Vec::new()).sources,
                routers: vec![Spec { preempt, ..Spec::new(speech, vec![address]) }],
            }
        };
        let hosts = vec![host(0, "primary", 0, true), host(1, "secondary", 100, false)];
        let scenario = Scenario::new(0, hosts);
        let (from, to) = (Duration::from_secs(20), Duration::from_secs(21));
        let steps = vec![Timed { from, to, fault: Fault::Crash { host: 0 } }];
        Self { scenario, steps }
    }

    /// Reads a file, and the configurations that it names.
    pub(super) fn load(path: &Path, output: &Output) -> Result<Self, Failure> {
        let name = path.display();
        let invalid = |message: String| {
            Failure::new(Exit::Configuration, format!("{name}: {message}")).with_help(HELP)
        };
        let size = fs::metadata(path).map(|it| usize::try_from(it.len()).unwrap_or(usize::MAX));
        let text = match size {
            Ok(size) if size > MAX_FILE_SIZE => Err("it is too large".to_owned()),
            Ok(_) => fs::read_to_string(path).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let text = text.map_err(|error| {
            Failure::new(Exit::Configuration, format!("cannot read {name}: {error}"))
        })?;
        let written: Written = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let hosts = nodes::hosts(&written.node, written.router.as_deref(), directory, output)?;
        let names: Vec<String> = written.node.keys().cloned().collect();
        let mut scenario = Scenario::new(0, hosts);
        if let Some(weather) = &written.weather {
            scenario.weather =
                Weather::read(weather).map_err(|error| invalid(format!("weather: {error}")))?;
        }
        if let Some(lasts) = &written.lasts {
            scenario.until =
                parse_duration(lasts).map_err(|error| invalid(format!("for: {error}")))?;
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut steps = Vec::new();
        for act in &written.at {
            steps.push(act.read(&names).map_err(|error| {
                invalid(format!("at {}, do {:?}: {error}", act.time, act.what))
            })?);
        }
        Ok(Self { scenario, steps })
    }
}

impl Act {
    fn read(&self, names: &[&str]) -> Result<Timed, String> {
        let (from, to) = self.time.split_once("..").unwrap_or((&self.time, &self.time));
        let time = |text: &str| parse_duration(text.trim()).map_err(|error| error.to_string());
        let (from, to) = (time(from)?, time(to)?);
        if to < from {
            return Err("the range of time ends before it begins".into());
        }
        Ok(Timed { from, to, fault: Fault::read(&self.what, names)? })
    }
}
