//! `carp simulate`: the elections of configurations, thousands of times, in virtual time.

mod calm;
mod figure;
mod file;
mod nodes;
mod report;
mod shown;
mod takeover;
mod tally;

use std::process::ExitCode;

use carp_proto::sim::{Random, Scenario, ScenarioError, Step, judge_on};

pub(super) use self::figure::figure;
use self::file::Plan;
use self::shown::Shown;
use self::tally::{Run, Tally};
use crate::args::Simulate;
use crate::command::output_file::OutputFile;
use crate::exit::{Exit, Failure};
use crate::output::{self, Output};

/// Plays the scenario as often as asked for.
pub(crate) fn run(arguments: &Simulate, output: &Output) -> Result<ExitCode, Failure> {
    let plan = match &arguments.file {
        Some(path) => Plan::load(path, output)?,
        None => Plan::usual(),
    };
    if arguments.plot.is_some() && arguments.plot == arguments.save {
        let message = "--plot and --save name one file";
        return Err(Failure::new(Exit::Usage, message).with_help("give each its own"));
    }
    let plot = arguments.plot.as_deref().map(OutputFile::prepare).transpose()?;
    let save = arguments.save.as_deref().map(OutputFile::prepare).transpose()?;
    let mut tally =
        Tally::new(&plan.draw(arguments.seed, 0)).map_err(|error| unplayable(&error))?;
    for number in 0..arguments.runs {
        let scenario = plan.draw(arguments.seed, number);
        let mut lan = scenario.lan().map_err(|error| unplayable(&error))?;
        let verdict = judge_on(&scenario, &mut lan);
        tally.add(Run::new(number, scenario, verdict, &lan));
    }
    let shown = Shown::of(&tally);
    if let Some(file) = save {
        let saved = Scenario { hash: Some(shown.hash), ..shown.scenario.clone() };
        file.write(&saved.to_string())?;
    }
    if let Some(plot) = plot {
        plot.write(&figure(&shown.scenario).map_err(|error| unplayable(&error))?)?;
    }
    output::print(&if arguments.json {
        report::json(&plan, &tally, &shown, arguments)?
    } else {
        report::text(&plan, &tally, &shown, arguments)
    })?;
    Ok(ExitCode::from(if tally.violations().is_empty() { 0 } else { Exit::Failed.code() }))
}

pub(super) fn unplayable(error: &ScenarioError) -> Failure {
    Failure::new(Exit::Configuration, format!("the scenario cannot be played: {error}"))
}

impl Plan {
    /// The scenario of one run: its chance, and its times.
    fn draw(&self, seed: u64, number: u64) -> Scenario {
        let mut random = Random::new(seed);
        let mut random = Random::new(random.next() ^ Random::new(number).next());
        let mut scenario = Scenario { seed: random.next(), ..self.scenario.clone() };
        let step = |timed: &file::Timed| Step {
            at: timed.from + random.up_to(timed.to.saturating_sub(timed.from)),
            fault: timed.fault,
        };
        scenario.steps = self.steps.iter().map(step).collect();
        scenario.steps.sort_by_key(|step| step.at);
        scenario
    }
}
