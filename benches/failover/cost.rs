//! What it costs to keep an address, when nothing happens.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::strace::count_calls;
use carp_node::lab::{Lab, Tap};
use rustix::io::Errno;

use crate::contender::{Candidate, Contender, Role};
use crate::rack::{Rack, Server};

/// From the start to where nothing happens any more: the last repeated announcements have been sent.
const SETTLES: Duration = Duration::from_secs(12);

/// For how long system calls are counted. Tracing slows the traced down, so this comes last.
const TRACED: Duration = Duration::from_secs(20);

/// The cost of one daemon on one server.
#[derive(Clone, Debug)]
pub(crate) struct Cost {
    pub(crate) contender: Contender,
    pub(crate) role: Role,
    /// All of the daemon: those that it started, too.
    pub(crate) processes: usize,
    /// Time on a CPU, in seconds a minute (`schedstat`).
    pub(crate) cpu: f64,
    /// How often one of its threads went to sleep and was woken again, for every advert on the wire
    /// (`voluntary_ctxt_switches`).
    pub(crate) wakeups: f64,
    /// Memory in MiB: private pages, and the share of those that are shared (`smaps_rollup`).
    pub(crate) pss: f64,
    /// System calls for every advert on the wire; unknown without strace.
    pub(crate) calls: Option<f64>,
}

/// All pairs at once, so that they have the same minute.
pub(crate) fn measure(lab: &Lab, candidates: &[Candidate], time: Duration) -> Result<Vec<Cost>> {
    expect_proc()?;
    let mut racks = Vec::new();
    for candidate in candidates {
        let name = format!("{}-steady", candidate.contender.name());
        let mut rack = Rack::new(lab, candidate, &name)?;
        rack.start()?;
        let tap = rack.switch.tap()?;
        racks.push((candidate.contender, rack, tap));
    }
    std::thread::sleep(SETTLES);
    eprintln!("measuring the steady cost for {} s", time.as_secs());
    let sides = racks.iter().flat_map(|(contender, rack, tap)| {
        [&rack.primary, &rack.secondary].map(|server| (*contender, server, tap))
    });
    let sides: Vec<_> = sides.collect();
    let begin = Instant::now();
    let sample = |(_, server, _): &(_, &Server<'_>, _)| Sample::take(server.daemon()?.id());
    let before: Vec<_> = sides.iter().map(sample).collect::<Result<_>>()?;
    std::thread::sleep(time);
    let after: Vec<_> = sides.iter().map(sample).collect::<Result<_>>()?;
    let end = Instant::now();
    let mut costs = Vec::new();
    for ((contender, server, tap), (before, after)) in sides.iter().zip(before.iter().zip(&after)) {
        let elapsed = end - begin;
        costs.push(Cost {
            contender: *contender,
            role: server.role,
            processes: after.processes.len(),
            cpu: (after.cpu - before.cpu) / elapsed.as_secs_f64() * 60.0,
            wakeups: (after.wakeups - before.wakeups) as f64 / adverts(tap, begin, end),
            pss: after.pss,
            calls: None,
        });
    }
    for (cost, ((_, _, tap), sample)) in costs.iter_mut().zip(sides.iter().zip(&after)) {
        let log = lab.directory().join(format!("{}-{}", cost.contender.name(), cost.role.name()));
        let begin = Instant::now();
        let Some(calls) = count_calls(&sample.processes, TRACED, &log)? else {
            eprintln!("strace is not installed: system calls are not counted");
            break;
        };
        cost.calls = Some(calls as f64 / adverts(tap, begin, begin + TRACED));
    }
    Ok(costs)
}

/// Fails unless `/proc` shows the processes of the lab.
pub(crate) fn expect_proc() -> Result<()> {
    if fs::read_link("/proc/self")? != Path::new(&std::process::id().to_string()) {
        return Err("/proc cannot be mounted here, so the cost of processes is not seen".into());
    }
    Ok(())
}

/// Adverts on the wire of a rack, whoever sent them.
fn adverts(tap: &Tap, from: Instant, to: Instant) -> f64 {
    let frames = tap.frames();
    let within = frames.iter().filter(|frame| (from..to).contains(&frame.at));
    within.filter(|frame| frame.advert_source().is_some()).count() as f64
}

/// A process and all that descend from it, parents first.
pub(crate) fn family(root: u32) -> Result<Vec<u32>> {
    Ok(Sample::take(root)?.processes)
}

/// What the kernel has counted for a daemon.
pub(crate) struct Sample {
    processes: Vec<u32>,
    /// Seconds on a processor.
    pub(crate) cpu: f64,
    wakeups: u64,
    pss: f64,
}

impl Sample {
    /// Looks at a process and all that descend from it.
    pub(crate) fn take(root: u32) -> Result<Self> {
        let mut sample = Self { processes: vec![root], cpu: 0.0, wakeups: 0, pss: 0.0 };
        let mut next = 0;
        while let Some(&process) = sample.processes.get(next) {
            if sample.add(process)? {
                next += 1;
            } else {
                sample.processes.remove(next);
            }
        }
        Ok(sample)
    }

    /// Returns whether there was anything: one that has ended and was not waited for has no memory.
    fn add(&mut self, process: u32) -> Result<bool> {
        let folder = format!("/proc/{process}");
        let rollup = match fs::read_to_string(format!("{folder}/smaps_rollup")) {
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {
                return Ok(false);
            }
            result => result.map_err(|error| format!("{folder}/smaps_rollup: {error}"))?,
        };
        let kibibytes = field(&rollup, "Pss:").ok_or("smaps_rollup without Pss")?;
        self.pss += kibibytes as f64 / 1024.0;
        for thread in fs::read_dir(format!("{folder}/task"))? {
            let thread = thread?.path();
            let read = |file: &str| read(&thread.join(file).to_string_lossy());
            let schedstat = read("schedstat")?;
            let nanos: u64 = schedstat.split(' ').next().unwrap_or_default().parse()?;
            self.cpu += Duration::from_nanos(nanos).as_secs_f64();
            self.wakeups += field(&read("status")?, "voluntary_ctxt_switches:").unwrap_or(0);
            let children = read("children")?;
            let children = children.split_whitespace().map(str::parse);
            self.processes.extend(children.collect::<std::result::Result<Vec<u32>, _>>()?);
        }
        Ok(true)
    }
}

pub(crate) fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {path}: {error}").into())
}

/// The number behind a name that begins a line.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
