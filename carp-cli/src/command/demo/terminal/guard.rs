//! Giving the terminal back as it was, however the demo ends.
//!
//! The demo may be killed at any moment, and a process that was killed restores nothing. So a second
//! process waits, outside the demo's namespaces and outside the terminal's foreground, where Ctrl-C
//! does not reach it. It notices the end by a pipe that the demo's processes hold and nobody writes to.

use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};

use super::show;

/// The name under which the program knows that it is to restore the terminal.
const PROGRAM: &str = "carp-demo-terminal";

pub(super) const HIDE_CURSOR: &str = "\x1b[?25l";

/// Shows the cursor, ends colours, and ends a step of drawing that was begun.
pub(super) const RESTORE: &str = "\x1b[?2026l\x1b[0m\x1b[?25h";

/// Turns this process into the one that restores the terminal, if it was started as that.
pub(in crate::command::demo) fn init() {
    if std::env::args_os().next().is_some_and(|name| name == PROGRAM) {
        // An error says as well as the end of the stream that nobody is there any more.
        let _ = io::stdin().lock().read(&mut [0]);
        show(RESTORE);
        std::process::exit(0);
    }
}

/// The process that restores the terminal.
#[derive(Debug)]
pub(in crate::command::demo) struct Guard {
    process: Child,
}

impl Guard {
    /// Starts it. Processes that are started from now on hold its pipe.
    pub(in crate::command::demo) fn start() -> io::Result<Self> {
        let process = Command::new("/proc/self/exe")
            .arg0(PROGRAM)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()?;
        if let Some(pipe) = &process.stdin {
            // The demo inside is to hold it too: it may draw for a moment longer than the demo outside
            // lives.
            fcntl_setfd(pipe, FdFlags::empty())?;
        }
        Ok(Self { process })
    }

    /// The demo has ended: waits until the terminal is restored.
    pub(in crate::command::demo) fn finish(mut self) -> io::Result<()> {
        drop(self.process.stdin.take());
        self.process.wait().map(drop)
    }
}
