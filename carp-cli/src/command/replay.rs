//! `carp replay`: a saved run once more, as a transcript.

use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use carp_node::config::{MAX_FILE_SIZE, read_limited};
use carp_proto::sim::{Bounds, Scenario, Transcript, judge_on};

use super::output_file::OutputFile;
use super::simulate::{figure, unplayable};
use crate::exit::{Exit, Failure};
use crate::output;

/// How long a run may be: what happens in it is kept in memory. `carp simulate` records none that is longer.
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// Plays a recording again, and says whether it is the same run.
pub(crate) fn run(path: &Path, plot: Option<&Path>) -> Result<ExitCode, Failure> {
    let name = path.display();
    let no_recording = |why: &dyn Display| {
        Failure::new(Exit::Configuration, format!("{name} is no recording: {why}"))
            .with_help("`carp simulate --save FILE` writes one")
    };
    let unreadable = |error| Failure::failed(format!("cannot read {name}: {error}"));
    let bytes = read_limited(path).map_err(unreadable)?;
    if bytes.len() > MAX_FILE_SIZE {
        return Err(no_recording(&"it is too large"));
    }
    let text = String::from_utf8(bytes).map_err(|_| no_recording(&"it is no text"))?;
    let scenario: Scenario = text.parse().map_err(|error| no_recording(&error))?;
    let lasts = scenario.steps.iter().map(|step| step.at).fold(scenario.until, Duration::max);
    if lasts > LONGEST {
        return Err(no_recording(&"it lasts for more than 7d"));
    }
    let plot = plot.map(OutputFile::prepare).transpose()?;
    let mut lan = scenario.lan().map_err(|error| unplayable(&error))?;
    if Bounds::of(&lan).convergence() > LONGEST {
        return Err(no_recording(&"with these times it would not settle within 7d"));
    }
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
