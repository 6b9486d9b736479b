//! F14: many files. `SYNC_FILES` says how many; `make sync-scale` runs it with 100000.

use std::fs;
use std::time::Duration;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, share, sync, wait_in_sync};
use crate::support::{Daemon, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] =
    &[("f14_a_large_share_takes_the_daemon_no_memory_and_an_idle_pass_no_time", large_share)];

/// How many files there are in a quick run.
const FEW: u64 = 2_000;

/// The first copy of many files may take so long.
const COPYING: Duration = Duration::from_secs(300);

/// What a daemon may have of its own, whatever the tree.
const MEMORY_KIB: u64 = 10 << 10;

/// What an idle pass may take.
const IDLE_MS: f64 = 10_000.0;

fn large_share(rack: &Rack) -> Tested {
    let files = std::env::var("SYNC_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW);
    let pair = Pair::new(rack, "")?;
    for file in 0..files {
        let directory = pair.a.share.join(format!("d{}", file / 100));
        if file % 100 == 0 {
            fs::create_dir(&directory)?;
        }
        fs::write(directory.join(format!("f{file}")), "content")?;
    }
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    first.wait_for_state("active")?;
    wait_until(COPYING, "everything is there", || {
        pair.b.share.join(format!("d{}/f{}", (files - 1) / 100, files - 1)).exists()
    })?;
    wait_in_sync(&second)?;
    sync(&second, &["now"], 0)?;
    let idle = |second: &Daemon| {
        let last = &share(second)["last_pass"];
        (last["outcome"] == "complete" && last["changed"] == 0)
            .then(|| last["took_ms"].as_f64().unwrap_or(f64::INFINITY))
    };
    wait_until(COPYING, "a pass finds nothing to do", || idle(&second).is_some())?;
    let took = idle(&second).ok_or("it had something to do again")?;
    let all = [resident(&first, "VmRSS:")?, resident(&second, "VmRSS:")?];
    // Without the pages of the program itself, of which an unoptimised one has more.
    let own = [resident(&first, "RssAnon:")?, resident(&second, "RssAnon:")?];
    println!(
        "{files} files: an idle pass takes {took} ms; memory {all:?} KiB, of it own {own:?} KiB"
    );
    ensure(took < IDLE_MS, format!("an idle pass takes {took} ms"))?;
    ensure(own.iter().all(|kib| *kib < MEMORY_KIB), format!("the daemons have {own:?} KiB"))
}

/// The resident memory of a daemon, in KiB, as the kernel calls it.
fn resident(daemon: &Daemon, what: &str) -> Result<u64, Failed> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let figure = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(figure.ok_or("no figure")?.trim().parse()?)
}
