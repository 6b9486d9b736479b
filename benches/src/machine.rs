//! On what it was measured.

use std::fs;

/// The machine, in one line: figures of different machines cannot be compared.
#[must_use]
pub fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model =
        cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let release = read("/etc/os-release");
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{} × {}, Linux {}, {}",
        cores,
        model.unwrap_or("CPU of unknown kind"),
        kernel.trim(),
        name.unwrap_or("of unknown distribution").trim_matches('"'),
    )
}
