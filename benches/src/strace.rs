//! System calls, counted by strace.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Result;

/// Counts the system calls of processes for a while; `None` where strace is not installed. `log` is a file
/// to write to. Tracing slows the traced down.
///
/// # Errors
/// What the system says about running strace and reading what it wrote.
pub fn count_calls(processes: &[u32], time: Duration, log: &Path) -> Result<Option<u64>> {
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-q", "-o"]).arg(log).stdout(Stdio::null()).stderr(Stdio::null());
    for process in processes {
        command.arg("-p").arg(process.to_string());
    }
    let mut tracer = match command.spawn() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        tracer => tracer?,
    };
    thread::sleep(time);
    kill_process(Pid::from_child(&tracer), Signal::INT)?;
    tracer.wait()?;
    let summary = fs::read_to_string(log)?;
    // The last line: time in percent, seconds, microseconds a call, calls, errors if any, "total".
    let total = summary.lines().rfind(|line| line.trim_end().ends_with("total"));
    let calls = total.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    // One that slept all the time made none, and strace then writes no table.
    Ok(Some(calls.unwrap_or(0)))
}
