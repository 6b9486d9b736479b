//! `carp replay`: a saved run once more, as a transcript.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use carp_proto::sim::{Scenario, Transcript, judge_on};

use super::plot::PlotFile;
use super::simulate::{figure, unplayable};
use crate::exit::{Exit, Failure};
use crate::output;

/// Plays a recording again, and says whether it is the same run.
pub(crate) fn run(path: &Path, plot: Option<&Path>) -> Result<ExitCode, Failure> {
    let name = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
    let scenario: Scenario = text.parse().map_err(|error| {
        Failure::new(Exit::Configuration, format!("{name} is no recording: {error}"))
            .with_help("`carp simulate --save FILE` writes one")
    })?;
    let plot = plot.map(PlotFile::prepare).transpose()?;
    let mut lan = scenario.lan().map_err(|error| unplayable(&error))?;
    lan.keep_entries();
    let verdict = judge_on(&scenario, &mut lan);
    if let Some(plot) = plot {
        plot.write(&figure(&scenario).map_err(|error| unplayable(&error))?)?;
    }
    let (names, links) = (scenario.names(), scenario.links());
    let transcript = Transcript { entries: lan.trace().entries(), names: &names, links };
    let violated = match &verdict.violation {
        Some(violation) => violation.to_string(),
        None => "no invariant is violated".to_owned(),
    };
    output::print(&format!("{transcript}\n{violated}\nhash {}\n", verdict.hash))?;
    if let Some(saved) = scenario.hash.filter(|saved| *saved != verdict.hash) {
        let message = format!("this is another run than the one that was saved, which had {saved}");
        return Err(
            Failure::failed(message).with_help("replay it with the version of carp that saved it")
        );
    }
    Ok(ExitCode::from(if verdict.violation.is_some() { Exit::Failed.code() } else { 0 }))
}
