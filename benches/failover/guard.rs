//! What the second process of our daemon costs, while nothing happens.

use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_node::lab::Lab;

use crate::contender::{Candidate, Role};
use crate::cost::{expect_proc, family, field, read};
use crate::rack::{Rack, Server};

/// From the start to where nothing happens any more.
const SETTLES: Duration = Duration::from_secs(12);

/// The name under which a process is the guard.
const NAME: &[u8] = b"carp-guard\0";

/// The cost of the guard of one server. Memory is in KiB.
#[derive(Clone, Debug)]
pub(crate) struct GuardCost {
    pub(crate) role: Role,
    /// Pages that nobody else has.
    pub(crate) private: u64,
    /// Its share of those that others have too.
    pub(crate) shared: u64,
    /// All pages, shared ones counted in full.
    pub(crate) rss: u64,
    /// How often it went to sleep and was woken again, and in how many seconds.
    pub(crate) wakeups: u64,
    pub(crate) seconds: f64,
}

/// Looks at the guards of a pair for a while.
pub(crate) fn measure(lab: &Lab, candidate: &Candidate, time: Duration) -> Result<Vec<GuardCost>> {
    expect_proc()?;
    let mut rack = Rack::new(lab, candidate, "guard")?;
    rack.start()?;
    std::thread::sleep(SETTLES);
    eprintln!("measuring the guard for {} s", time.as_secs());
    let servers = [&rack.primary, &rack.secondary];
    let guards =
        servers.map(|server| Ok::<_, carp_benches::Failure>((server.role, guard_of(server)?)));
    let guards: Vec<_> = guards.into_iter().collect::<Result<_>>()?;
    let begin = Instant::now();
    let wakeups = |process: u32| -> Result<u64> {
        let status = read(&format!("/proc/{process}/status"))?;
        Ok(field(&status, "voluntary_ctxt_switches:").ok_or("no context switches")?)
    };
    let before: Vec<_> = guards.iter().map(|(_, guard)| wakeups(*guard)).collect::<Result<_>>()?;
    std::thread::sleep(time);
    guards
        .iter()
        .zip(before)
        .map(|((role, guard), before)| {
            let rollup = read(&format!("/proc/{guard}/smaps_rollup"))?;
            let of = |name: &str| field(&rollup, name).ok_or_else(|| format!("no {name}"));
            let private = of("Private_Clean:")? + of("Private_Dirty:")?;
            Ok(GuardCost {
                role: *role,
                private,
                shared: of("Pss:")?.saturating_sub(private),
                rss: of("Rss:")?,
                wakeups: wakeups(*guard)? - before,
                seconds: begin.elapsed().as_secs_f64(),
            })
        })
        .collect()
}

/// The process of a daemon that is called so.
fn guard_of(server: &Server<'_>) -> Result<u32> {
    for process in family(server.daemon()?.id())? {
        if std::fs::read(format!("/proc/{process}/cmdline"))?.starts_with(NAME) {
            return Ok(process);
        }
    }
    Err("the daemon has no guard".into())
}
