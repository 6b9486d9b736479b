//! The scenario as a user writes it: a small TOML file.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use carp_node::config::{MAX_FILE_SIZE, format_duration, parse_duration};
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
        let read = Read::of(&text).map_err(invalid)?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let hosts = nodes::hosts(&read.nodes, read.router.as_deref(), directory, output)?;
        let mut scenario = Scenario::new(0, hosts);
        scenario.weather = read.weather.unwrap_or(scenario.weather);
        scenario.until = read.lasts.unwrap_or(scenario.until);
        if let Some(step) = read.steps.iter().find(|step| step.to > scenario.until) {
            let [at, end] = [step.to, scenario.until].map(format_duration);
            return Err(invalid(format!(
                "something is done at {at}, and a run is over after {end}: raise `for`"
            )));
        }
        Ok(Self { scenario, steps: read.steps })
    }
}

/// All that a file says by itself.
#[derive(Debug)]
struct Read {
    nodes: BTreeMap<String, Node>,
    router: Option<String>,
    weather: Option<Weather>,
    lasts: Option<Duration>,
    steps: Vec<Timed>,
}

impl Read {
    fn of(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.to_string())?;
        let weather = written.weather.as_deref().map(Weather::read).transpose();
        let lasts = written.lasts.as_deref().map(parse_duration).transpose();
        let names: Vec<&str> = written.node.keys().map(String::as_str).collect();
        let step = |act: &Act| {
            act.read(&names).map_err(|error| format!("at {}, do {:?}: {error}", act.time, act.what))
        };
        let steps = written.at.iter().map(step).collect::<Result<_, _>>()?;
        let lasts = lasts.map_err(|error| format!("for: {error}"))?;
        if lasts.is_some_and(|lasts| lasts.is_zero()) {
            return Err("for: a run lasts for more than nothing".into());
        }
        Ok(Self {
            weather: weather.map_err(|error| format!("weather: {error}"))?,
            lasts,
            steps,
            nodes: written.node,
            router: written.router,
        })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const TEXT: &str = r#"
        for = "60s"
        router = "web"
        weather = "loss 10% jitter 2ms"

        [node.primary]
        config = "primary.toml"
        address = "192.168.130.50"
        host = "lateness 2ms guard no"

        [node.secondary]
        config = "secondary.toml"

        [[at]]
        time = "20s..21s"
        do = "crash primary"

        [[at]]
        time = "40s"
        do = "boot primary"
    "#;

    proptest! {
        #[test]
        fn reading_is_total(edits in prop::collection::vec((any::<Index>(), 0..8usize, ".{0,4}"), 0..4)) {
            let mut text: Vec<char> = TEXT.chars().collect();
            for (place, length, instead) in edits {
                let from = place.index(text.len() + 1);
                let to = text.len().min(from + length);
                text.splice(from..to, instead.chars());
            }
            match Read::of(&text.into_iter().collect::<String>()) {
                Ok(read) => prop_assert!(read.steps.iter().all(|step| step.from <= step.to)),
                Err(message) => prop_assert!(!message.is_empty()),
            }
        }
    }

    #[test]
    fn what_is_not_mistaken_is_read() {
        let read = Read::of(TEXT).unwrap();
        assert_eq!(read.lasts, Some(Duration::from_secs(60)));
        assert_eq!((read.nodes.len(), read.steps.len()), (2, 2));
        assert!(read.weather.is_some());
        assert_eq!(read.steps[1].from, Duration::from_secs(40));
    }
}
