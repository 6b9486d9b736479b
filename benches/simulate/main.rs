//! Random scenarios by the million, on all processors: does every invariant hold in every one of them?
//!
//! A scenario that fails is made small, printed with its transcript, and saved; the program then ends with 1.

mod speed;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use carp_proto::sim::{self, Chance, Invariant, Scenario, Transcript, judge, judge_on};
use clap::Parser;

/// Seeds and the hashes of their runs.
const KNOWN_RUNS: &str = include_str!("../../carp-proto/tests/known-runs.txt");

/// One seed in so many is played with noise.
const ONE_IN_IS_NOISY: u64 = 8;

/// So many seeds are taken at once.
const BATCH: u64 = 256;

/// Plays random scenarios and checks every invariant.
#[derive(Debug, Parser)]
struct Arguments {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many seeds
    #[arg(long, default_value_t = 1_000_000)]
    count: u64,
    /// On how many threads; 0 for one a processor
    #[arg(long, default_value_t = 0)]
    threads: usize,
    /// End after this many seconds, wherever that is
    #[arg(long)]
    seconds: Option<u64>,
    /// Where scenarios that fail are saved
    #[arg(long, default_value = "target/scenarios")]
    save: PathBuf,
    /// Go on after a failure, and count
    #[arg(long)]
    all: bool,
    /// Measure instead how quick the simulator is
    #[arg(long)]
    speed: bool,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    if arguments.speed {
        speed::measure()?;
        return Ok(ExitCode::SUCCESS);
    }
    check_known_runs()?;
    let threads = match arguments.threads {
        0 => thread::available_parallelism()?.get(),
        threads => threads,
    };
    let work = Work::new(&arguments);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work.run());
        }
    });
    let ends = work.report(threads);
    let mut failed: Vec<u64> = work.failed.into_inner()?;
    failed.sort_unstable();
    if !arguments.all {
        failed.truncate(1);
    }
    for seed in &failed {
        show(*seed, &arguments)?;
    }
    println!("{ends}");
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The same seed is the same run, also in a build that is optimised: `carp-proto/tests/sim.rs` has checked the same
/// hashes in one that is not.
fn check_known_runs() -> Result<(), Box<dyn Error>> {
    for line in KNOWN_RUNS.lines() {
        let (seed, hash) = line.split_once(' ').ok_or("a line of known-runs.txt has two words")?;
        let found = judge(&sim::random_scenario(seed.parse()?))?.hash.to_string();
        if found != hash {
            return Err(
                format!("the run of seed {seed} has the hash {found}, and had {hash}").into()
            );
        }
    }
    println!("{} known runs are what they were", KNOWN_RUNS.lines().count());
    Ok(())
}

/// What the threads share.
struct Work {
    next: AtomicU64,
    end: u64,
    began: Instant,
    deadline: Option<Instant>,
    played: AtomicU64,
    virtual_millis: AtomicU64,
    failed: std::sync::Mutex<Vec<u64>>,
    stops_at_failure: bool,
    over: AtomicBool,
    from: u64,
}

impl Work {
    fn new(arguments: &Arguments) -> Self {
        let began = Instant::now();
        Self {
            next: AtomicU64::new(arguments.from),
            end: arguments.from.saturating_add(arguments.count),
            began,
            deadline: arguments.seconds.map(|seconds| began + Duration::from_secs(seconds)),
            played: AtomicU64::new(0),
            virtual_millis: AtomicU64::new(0),
            failed: std::sync::Mutex::default(),
            stops_at_failure: !arguments.all,
            over: AtomicBool::new(false),
            from: arguments.from,
        }
    }

    fn run(&self) {
        loop {
            let late = self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if late || self.over.load(Ordering::Relaxed) {
                return;
            }
            let first = self.next.fetch_add(BATCH, Ordering::Relaxed);
            if first >= self.end {
                return;
            }
            for seed in first..(first + BATCH).min(self.end) {
                self.play(seed);
            }
        }
    }

    fn play(&self, seed: u64) {
        let verdict = judge(&scenario_of(seed)).expect("a random scenario can be played");
        self.played.fetch_add(1, Ordering::Relaxed);
        let millis = u64::try_from(verdict.lasted.as_millis()).unwrap_or(u64::MAX);
        self.virtual_millis.fetch_add(millis, Ordering::Relaxed);
        if let Some(violation) = verdict.violation {
            eprintln!("seed {seed}: {violation}");
            self.failed.lock().expect("no thread panics").push(seed);
            if self.stops_at_failure {
                self.over.store(true, Ordering::Relaxed);
            }
        }
    }

    fn report(&self, threads: usize) -> String {
        let (played, took) = (self.played.load(Ordering::Relaxed), self.began.elapsed());
        let years = Duration::from_millis(self.virtual_millis.load(Ordering::Relaxed))
            .as_secs_f64()
            / (365.25 * 86_400.0);
        format!(
            "{played} scenarios from seed {} on, {:.1} LAN-years, in {:.1} s on {threads} threads: {:.0} a second; {} violations",
            self.from,
            years,
            took.as_secs_f64(),
            played as f64 / took.as_secs_f64(),
            self.failed.lock().map_or(0, |failed| failed.len())
        )
    }
}

/// Makes a failure small, prints and saves it.
fn show(seed: u64, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let scenario = scenario_of(seed);
    let Some(invariant) = found(&scenario) else { return Ok(()) };
    let mut small = sim::minimise(&scenario, |it| found(it) == Some(invariant));
    let mut lan = small.lan()?;
    lan.keep_entries();
    let verdict = judge_on(&small, &mut lan);
    small.hash = Some(verdict.hash);
    fs::create_dir_all(&arguments.save)?;
    let path = arguments.save.join(format!("seed-{seed}.scenario"));
    fs::write(&path, small.to_string())?;
    println!("== seed {seed}, made small, saved as {}\n{small}", path.display());
    let (names, links) = (small.names(), small.links());
    println!("{}", Transcript { entries: lan.trace().entries(), names: &names, links });
    if let Some(violation) = verdict.violation {
        println!("{violation}\n");
    }
    Ok(())
}

fn found(scenario: &Scenario) -> Option<Invariant> {
    judge(scenario).ok()?.violation.map(|violation| violation.invariant)
}

/// The random scenario of a seed, for some seeds with datagrams among the others that every router rejects.
fn scenario_of(seed: u64) -> Scenario {
    let noise =
        if seed.is_multiple_of(ONE_IN_IS_NOISY) { Chance::percent(50) } else { Chance::NEVER };
    Scenario { noise, ..sim::random_scenario(seed) }
}
