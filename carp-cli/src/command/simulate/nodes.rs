//! From the configurations of nodes to hosts of the simulator.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use carp_node::config::{
    Config, Host, KeyFileError, ProgramError, ProtocolSpec, RouterSpec, Secret, ThisHost,
};
use carp_proto::sim::{HostModel, HostPlan, HostSpec, LeaseModel, Spec, SpecSpeech};
use carp_proto::{AdvBase, AdvSkew};

use super::file::Node;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// What stands in for a key file that is not on this machine: long enough for CARP, and for a signature of
/// VRRP version 3.
const SECRETS: [&[u8]; 2] = [b"unknown", b"a key of thirty-two octets or so"];

/// The hosts, in the order of their names.
pub(super) fn hosts(
    nodes: &BTreeMap<String, Node>,
    router: Option<&str>,
    directory: &Path,
    output: &Output,
) -> Result<Vec<HostSpec>, Failure> {
    let mut configs = Vec::new();
    for node in nodes.values() {
        configs.push(load(&directory.join(&node.config), output)?);
    }
    let Some(first) = configs.first() else {
        let message = "the scenario names no node";
        return Err(Failure::new(Exit::Configuration, message)
            .with_help("add [node.primary] with config = \"primary.toml\""));
    };
    let chosen = chosen(first, router)?;
    let mut hosts = Vec::new();
    for (number, ((name, node), config)) in nodes.iter().zip(&configs).enumerate() {
        let routers =
            if number == 0 { chosen.clone() } else { matching(first, &chosen, config, name)? };
        hosts.push(host(number, name, node, &routers)?);
    }
    Ok(hosts)
}

/// A configuration. Keys need not be on this machine, and neither need programs: the simulator uses none of
/// them.
fn load(path: &Path, output: &Output) -> Result<Config, Failure> {
    let text = fs::read(path).map_err(|error| {
        let message = format!("cannot read the configuration {}: {error}", path.display());
        Failure::new(Exit::Configuration, message)
    })?;
    let file = path.display().to_string();
    let read = |secret| Config::parse(&file, &text, &AnyHost { secret });
    let outcome = read(SECRETS[0]).or_else(|error| read(SECRETS[1]).map_err(|_| error));
    match outcome {
        Ok(loaded) => Ok(loaded.config),
        Err(error) => {
            output.diagnostics(error.diagnostics());
            Err(Failure::new(Exit::Configuration, format!("{file} is not valid")))
        }
    }
}

/// A machine that has every program, and every key that this one has not.
struct AnyHost {
    secret: &'static [u8],
}

impl Host for AnyHost {
    fn name(&self) -> String {
        ThisHost.name()
    }

    fn secret(&self, path: &Path) -> Result<Secret, KeyFileError> {
        Ok(ThisHost.secret(path).unwrap_or_else(|_| Secret::new(self.secret)))
    }

    fn program(&self, _: &Path) -> Result<(), ProgramError> {
        Ok(())
    }
}

/// The routers of the first node that are simulated: one, or its whole group.
fn chosen<'a>(config: &'a Config, name: Option<&str>) -> Result<Vec<&'a RouterSpec>, Failure> {
    let wanted = match name {
        None if config.routers.len() == 1 => Some(0),
        None => {
            let groups = config.sync_groups();
            let together = groups.iter().all(|group| group.is_some() && *group == groups[0]);
            together.then_some(0)
        }
        Some(name) => config.routers.iter().position(|router| router.name == name),
    };
    let Some(wanted) = wanted else {
        let names: Vec<&str> = config.routers.iter().map(|it| it.name.as_str()).collect();
        let message = match name {
            None => "the configurations have several routers".to_owned(),
            Some(name) => format!("there is no router {name:?} in the first configuration"),
        };
        let help = format!("choose one with router = {:?}, of: {}", names[0], names.join(", "));
        return Err(Failure::new(Exit::Configuration, message).with_help(help));
    };
    let groups = config.sync_groups();
    let in_it = |(number, router)| {
        let same =
            number == wanted || (groups[wanted].is_some() && groups[number] == groups[wanted]);
        same.then_some(router)
    };
    Ok(config.routers.iter().enumerate().filter_map(in_it).collect())
}

/// The routers of another node that share their addresses with these.
fn matching<'a>(
    first: &Config,
    chosen: &[&RouterSpec],
    other: &'a Config,
    node: &str,
) -> Result<Vec<&'a RouterSpec>, Failure> {
    let counterparts = first.counterparts(other);
    let find = |router: &&RouterSpec| {
        let number = first.routers.iter().position(|it| it.name == router.name);
        number.and_then(|number| counterparts[number]).ok_or_else(|| {
            let message = format!("the node {node} has no counterpart of router {:?}", router.name);
            Failure::new(Exit::Configuration, message)
                .with_help("`carp check --peer-config` compares two configurations")
        })
    };
    chosen.iter().map(find).collect()
}

fn host(
    number: usize,
    name: &str,
    node: &Node,
    routers: &[&RouterSpec],
) -> Result<HostSpec, Failure> {
    let words = node.host.as_deref().unwrap_or_default();
    let mut model = HostModel::read(words).map_err(|error| {
        let message = format!("node {name}, host = {words:?}: {error}");
        Failure::new(Exit::Configuration, message)
    })?;
    if !words.split_whitespace().any(|word| word == "lease") {
        let lease = routers.first().and_then(|router| router.timers.lease);
        model.lease = lease.map_or(LeaseModel::Off, |lease| LeaseModel::Of(lease.time()));
    }
    let number = u8::try_from(number).unwrap_or(u8::MAX);
    let mut sources = HostPlan::numbered(number, model, Vec::new()).sources;
    // fe80::1 and its like are what gateways have: the virtual address may be one.
    sources.1 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0xca, 0, 0, u16::from(number) + 1);
    match node.address {
        None => {}
        Some(IpAddr::V4(ip)) => sources.0 = ip,
        Some(IpAddr::V6(ip)) => sources.1 = ip,
    }
    let specs = routers.iter().map(|router| specs(router));
    let specs: Result<Vec<Vec<Spec>>, Failure> = specs.collect();
    Ok(HostSpec { name: name.into(), model, sources, routers: specs?.concat() })
}

/// The elections of a router.
fn specs(router: &RouterSpec) -> Result<Vec<Spec>, Failure> {
    let speech = match &router.speech {
        ProtocolSpec::Carp(carp) => {
            let unfit =
                |error| Failure::new(Exit::Configuration, format!("{}: {error}", router.name));
            SpecSpeech::Carp {
                dialect: carp.dialect,
                advbase: AdvBase::new(carp.interval.advbase.into()).map_err(unfit)?,
                advskew: AdvSkew::new(carp.interval.advskew.into()).map_err(unfit)?,
            }
        }
        ProtocolSpec::Vrrp2(vrrp) => {
            SpecSpeech::Vrrp2 { priority: vrrp.priority, interval: vrrp.interval }
        }
        ProtocolSpec::Vrrp3(vrrp) => SpecSpeech::Vrrp3 {
            priority: vrrp.priority,
            interval: vrrp.interval,
            signed: vrrp.hmac.is_some(),
        },
    };
    let spec = |election: carp_node::config::Election<'_>| Spec {
        id: router.id,
        preempt: router.preempt,
        preempt_delay: router.preempt_delay,
        handover: router.handover,
        announce: router.announce,
        ..Spec::new(speech, election.addresses())
    };
    Ok(router.elections().into_iter().map(spec).collect())
}
