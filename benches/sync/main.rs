//! What it costs to keep data in step: a pass that finds nothing to do beside bare rsync with the same options, the
//! time for which writers stand still at a handover, and the memory of the daemon. See `docs/performance.md`.
//!
//! Two daemons on two machines of namespaces, over real sshd, which wants root.

mod node;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use carp_benches::program::{self, Measured};
use carp_benches::stats::Spread;
use carp_benches::{Result, machine};
use carp_node::lab::{Lab, Switch, wait_until};
use clap::Parser;
use serde_json::Value;

use self::node::{Node, Role};

/// Long enough on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// Measures what it costs to keep data in step.
#[derive(Debug, Parser)]
#[command(name = "sync")]
struct Arguments {
    /// How many files there are, a measurement each
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000])]
    files: Vec<usize>,
    /// How many passes of each kind are timed
    #[arg(long, default_value_t = 7)]
    passes: usize,
    /// How many handovers are timed
    #[arg(long, default_value_t = 7)]
    handovers: usize,
    /// Where the trees are made, on a real disk; they are removed at the end
    #[arg(long, value_name = "DIRECTORY", default_value = "target/sync-bench")]
    directory: PathBuf,
    #[command(flatten)]
    measured: Measured,
}

fn main() -> ExitCode {
    program::run(measure)
}

fn measure(lab: &Lab, arguments: &Arguments) -> Result<()> {
    let map = fs::read_to_string("/proc/self/uid_map")?;
    if map.split_ascii_whitespace().ne(["0", "0", "4294967295"]) {
        return Err("sshd wants root, outside of a user namespace".into());
    }
    println!("{}\n", machine::describe());
    println!(
        "| no-op pass, {} times each: median (min–max), ms | bare rsync | carp: on the disk | more | carp: \
         it counts | more |",
        arguments.passes
    );
    println!("|---|---|---|---|---|---|");
    let mut memory = Vec::new();
    for &files in &arguments.files {
        let directory = Directory::new(&arguments.directory, files)?;
        let pair = Pair::start(lab, arguments, &directory.0, files)?;
        let [bare, copied, counted] = pair.passes(arguments.passes)?;
        let more = |it: Spread| (it.median / bare.median - 1.0) * 100.0;
        println!(
            "| {files} files | {} | {} | {:.1} % | {} | {:.1} % |",
            spread(bare),
            spread(copied),
            more(copied),
            spread(counted),
            more(counted)
        );
        memory.push((files, pair.standby.peak_memory()?, pair.active.peak_memory()?));
    }
    println!("\n| peak resident memory of the daemon, MiB | standby | active |\n|---|---|---|");
    for (files, standby, active) in memory {
        println!("| {files} files | {standby:.1} | {active:.1} |");
    }
    let directory = Directory::new(&arguments.directory, 100)?;
    let mut pair = Pair::start(lab, arguments, &directory.0, 100)?;
    let (here, there) = pair.handovers(arguments.handovers)?;
    println!(
        "\n| {} handovers: writers stand still, median (min–max), ms | |\n|---|---|",
        arguments.handovers
    );
    println!(
        "| from the start of the quiesce hook until the old server has stepped down | {} |",
        spread(there)
    );
    println!("| from the new server's sight of it until it serves | {} |", spread(here));
    Ok(())
}

/// The trees, and nothing of them afterwards.
struct Directory(PathBuf);

impl Directory {
    fn new(parent: &Path, files: usize) -> Result<Self> {
        let path = parent.join(files.to_string());
        fs::create_dir_all(&path)?;
        Ok(Self(fs::canonicalize(path)?))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// Two nodes in step.
struct Pair {
    /// Preempts.
    active: Node,
    standby: Node,
}

impl Pair {
    fn start(lab: &Lab, arguments: &Arguments, directory: &Path, files: usize) -> Result<Self> {
        let carp = arguments.measured.carp()?;
        let switch = Switch::new(lab)?;
        let name = |role: Role| directory.join(role.name());
        let mut active = Node::new(lab, &switch, &carp, Role::Primary, &name(Role::Primary))?;
        let mut standby = Node::new(lab, &switch, &carp, Role::Secondary, &name(Role::Secondary))?;
        active.know(&standby)?;
        standby.know(&active)?;
        eprintln!("making {files} files");
        tree::make(&active.share, files)?;
        active.start()?;
        standby.start()?;
        eprintln!("the first copy");
        wait_until(LIMIT, "the standby has a copy", || standby.share_status()["in_sync"] == true)?;
        let mut pair = Self { active, standby };
        pair.wait_until_idle()?;
        Ok(pair)
    }

    fn wait_until_idle(&mut self) -> Result<()> {
        let idle = || {
            let status = self.standby.share_status();
            status["progress"].is_null() && status["last_pass"]["changed"] == 0
        };
        Ok(wait_until(LIMIT, "a pass changes nothing", idle)?)
    }

    /// The times of passes by hand, and of the daemon's own, in turn: of these, until the copy is on the disk, and
    /// until it counts.
    fn passes(&self, count: usize) -> Result<[Spread; 3]> {
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..count {
            let (copied, counted) = self.pass()?;
            for (times, took) in times.iter_mut().zip([self.standby.bare_pass()?, copied, counted])
            {
                times.push(took);
            }
        }
        let [bare, copied, counted] =
            times.map(|times| Spread::of(times).ok_or("no pass was timed"));
        Ok([bare?, copied?, counted?])
    }

    fn pass(&self) -> Result<(f64, f64)> {
        let ended = |status: &Value| status["last_pass"]["ended"].clone();
        let before = ended(&self.standby.share_status());
        self.standby.sync(&["now"])?;
        let mut last = Value::Null;
        wait_until(LIMIT, "the pass is over", || {
            last = self.standby.share_status();
            ended(&last) != before
        })?;
        let time = |name: &str| last["last_pass"][name].as_f64();
        let times = time("copied_ms").zip(time("took_ms"));
        times.ok_or_else(|| format!("no time in {last}").into())
    }

    /// How long writers stood still, as the new server and the old one say: the primary leaves, and comes back,
    /// again and again.
    fn handovers(&mut self, count: usize) -> Result<(Spread, Spread)> {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for round in 0..count {
            self.active.stop()?;
            wait_until(LIMIT, "the secondary serves", || self.standby.state() == "active")?;
            self.active.start()?;
            let began = Instant::now();
            wait_until(LIMIT, "the primary serves again", || self.active.state() == "active")?;
            eprintln!("handover {round}, after {:?}", began.elapsed());
            wait_until(LIMIT, "in step", || self.standby.share_status()["in_sync"] == true)?;
            // By now both have told.
            here.extend(self.active.share_status()["freeze_ms"].as_f64());
            there.extend(self.standby.share_status()["freeze_ms"].as_f64());
        }
        let spread = |times| Spread::of(times).ok_or("no handover was timed");
        Ok((spread(here)?, spread(there)?))
    }
}

fn spread(Spread { median, min, max, .. }: Spread) -> String {
    format!("{median:.0} ({min:.0}–{max:.0})")
}
