//! A daemon with leases beside one without.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::stats::millis;
use carp_benches::strace::count_calls;
use carp_node::lab::{Lab, wait_until};

use crate::host;

/// From the start to where nothing happens any more: the last repeated announcements have been sent.
const SETTLES: Duration = Duration::from_secs(12);

/// Long enough on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// For how long system calls are counted.
const TRACED: Duration = Duration::from_secs(10);

/// What leases cost a daemon.
pub(crate) struct Cost {
    with: Use,
    without: Use,
}

/// What a daemon did in a second.
struct Use {
    /// Seconds on a CPU.
    cpu: f64,
    renewals: f64,
    /// `None` without strace.
    calls: Option<f64>,
}

type Figure = (&'static str, fn(&Cost) -> String);

/// The rows of the table.
pub(crate) const FIGURES: [Figure; 5] = [
    ("renewals a second", |cost| format!("{:.2}", cost.with.renewals)),
    ("CPU of the daemon, s/min, with leases", |cost| format!("{:.3}", cost.with.cpu * 60.0)),
    ("CPU of the daemon, s/min, without", |cost| format!("{:.3}", cost.without.cpu * 60.0)),
    ("CPU of the daemon for a renewal, ms", |cost| {
        let more = Duration::try_from_secs_f64(cost.with.cpu - cost.without.cpu);
        format!("{:.2}", millis(more.unwrap_or_default()) / cost.with.renewals)
    }),
    ("system calls of the daemon for a renewal", |cost| {
        let calls = cost.with.calls.zip(cost.without.calls);
        let of = |(with, without)| format!("{:.1}", (with - without) / cost.with.renewals);
        calls.map_or_else(|| "strace is missing".to_owned(), of)
    }),
];

/// Runs both daemons, one after the other.
pub(crate) fn watch(
    lab: &Lab,
    carp: &Path,
    name: &str,
    ips: &[IpAddr],
    time: Duration,
) -> Result<Cost> {
    let run = |lease: &str| {
        let folder = lab.directory().join(format!("{name}-{lease}"));
        fs::create_dir_all(&folder)?;
        run(lab, carp, &folder, &configuration(&folder, ips, lease), ips, time)
    };
    Ok(Cost { with: run("auto")?, without: run("off")? })
}

fn run(
    lab: &Lab,
    carp: &Path,
    folder: &Path,
    configuration: &str,
    ips: &[IpAddr],
    time: Duration,
) -> Result<Use> {
    let host = host(lab)?;
    let config = folder.join("carp.toml");
    fs::write(&config, configuration)?;
    let key = folder.join("web.key");
    fs::write(&key, "secret")?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    let watch = host.watch_addresses()?;
    let mut command = Command::new(carp);
    command.arg("run").arg("-c").arg(&config).arg("--socket").arg(folder.join("sock"));
    let daemon = host.spawn(command)?;
    let has_all = || {
        let all = host.addresses().unwrap_or_default();
        ips.iter().all(|ip| all.iter().any(|there| there.ip == *ip))
    };
    wait_until(LIMIT, "the daemon takes the addresses", has_all)?;
    thread::sleep(SETTLES);
    let (begin, before) = (Instant::now(), cpu(daemon.id())?);
    thread::sleep(time);
    let (end, after) = (Instant::now(), cpu(daemon.id())?);
    let seconds = (end - begin).as_secs_f64();
    let last = ips.last().copied().ok_or("no address")?;
    let renewals = watch.renewals(last, begin..end) as f64 / seconds;
    let calls = count_calls(&[daemon.id()], TRACED, &folder.join("strace"))?;
    let calls = calls.map(|calls| calls as f64 / TRACED.as_secs_f64());
    daemon.expect_running("it is measured")?;
    Ok(Use { cpu: (after - before).as_secs_f64() / seconds, renewals, calls })
}

/// A router of CARP: an advert of VRRP that lists so many addresses of IPv6 does not fit a frame.
fn configuration(folder: &Path, ips: &[IpAddr], lease: &str) -> String {
    let list: Vec<_> = ips.iter().map(|ip| format!("\"{ip}\"")).collect();
    format!(
        "[node]\nstate_dir = \"{}\"\n[router.web]\nprotocol = \"carp\"\ninterface = \"eth0\"\nid = 1\n\
         key_file = \"web.key\"\nlease = \"{lease}\"\naddresses = [{}]\n",
        folder.display(),
        list.join(", ")
    )
}

/// The time that all threads of a process have spent on a CPU, those of its guard and runner not.
fn cpu(process: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let schedstat = fs::read_to_string(thread?.path().join("schedstat"))?;
        sum += Duration::from_nanos(schedstat.split(' ').next().unwrap_or_default().parse()?);
    }
    Ok(sum)
}
