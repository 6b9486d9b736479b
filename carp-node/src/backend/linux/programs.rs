//! The names of programs that run, from `/proc`.

use std::fs;

use crate::backend::Program;

/// The library libnl puts the process id into the lower 22 bits of its ports, and the number of the socket
/// above.
const LIBNL_PID: u32 = 0x3f_ffff;

/// The program that has a netlink port, as far as the port tells it and it still runs.
pub(super) fn program(port: u32) -> Option<Program> {
    [port, port & LIBNL_PID].into_iter().find_map(|pid| Some(Program { pid, name: name(pid)? }))
}

/// The names of all programs that run; of long ones the first 15 bytes.
pub(super) fn running() -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(name).collect()
}

fn name(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_process_id_with_or_without_libnl() {
        let pid = std::process::id();
        let found = program(pid).unwrap();
        assert_eq!(found.pid, pid);
        assert_eq!(program(pid | 5 << 22), Some(found.clone()));
        assert!(running().contains(&found.name));
        assert_eq!(program(0), None);
    }
}
