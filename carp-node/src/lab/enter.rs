//! Getting into private namespaces, and leaving nothing behind.
//!
//! The program that calls [`enter`] stays outside and waits. It has made the namespaces, and in them
//! it executes itself once more, as the first process of a PID namespace:
//!
//! ```text
//! the caller (waits) ──► the program again, PID 1 inside ──► hosts' first processes ──► daemons
//! ```
//!
//! Whatever ends the caller, a SIGKILL too, has the kernel kill PID 1 (its parent-death signal); and
//! when PID 1 of a namespace ends, the kernel kills all of it. Links, addresses, mounts and files
//! live in namespaces that vanish with their last process. There is nothing to clean up, so nothing
//! can be forgotten. Signals need no handling either: the caller dies of them as every program
//! does, with the status that a shell expects.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{PidfdFlags, getegid, geteuid, getpid, pidfd_open};
use rustix::thread::{CapabilitySet, UnshareFlags, capabilities};

use super::net::Netlink;
use super::sys;

/// In which environment variable the program inside is told so.
const INSIDE: &str = "CARP_LAB_INSIDE";

/// Directories, one of which surely exists, over which the private one is mounted.
const PLACES: [&str; 3] = ["/run", "/mnt", "/tmp"];

/// Where a program is after [`enter`].
#[derive(Debug)]
pub enum Entered {
    /// Inside: this is the process that does the work.
    Inside(Lab),
    /// Outside: the process that did the work has ended, and the caller should end with its status.
    Ended(ExitCode),
}

/// The inside of the private namespaces.
#[derive(Debug)]
pub struct Lab {
    directory: PathBuf,
}

impl Lab {
    /// An empty private directory, in memory: its files vanish with the lab.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Executes the calling program again, with the same arguments and environment, in namespaces of its
/// own: network, mount and PID, and user, unless the caller already has the needed capabilities.
///
/// Call this before the program has a second thread. In the program inside it returns
/// [`Entered::Inside`]; in the caller it returns when that program has ended.
///
/// # Errors
/// [`EnterError`] where the kernel, or how it is set up, forbids it; its text says what to do.
pub fn enter() -> Result<Entered, EnterError> {
    if is_inside() {
        return furnish().map(Entered::Inside);
    }
    separate()?;
    let status = run_inside().map_err(EnterError::at(Step::Start))?;
    Ok(Entered::Ended(exit_code(status)))
}

/// Whether this is the program inside: for what a caller of [`enter`] does before it, and outside only.
#[must_use]
pub fn is_inside() -> bool {
    getpid().is_init() && std::env::var_os(INSIDE).is_some()
}

/// Gives this process, or rather its child, new namespaces.
fn separate() -> Result<(), EnterError> {
    let spaces = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWPID;
    if is_privileged() {
        return sys::unshare(spaces).map_err(EnterError::at(Step::Unshare));
    }
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    sys::unshare(spaces | UnshareFlags::NEWUSER).map_err(EnterError::at(Step::Unshare))?;
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("0 {user} 1")),
        ("/proc/self/gid_map", format!("0 {group} 1")),
    ] {
        fs::write(file, text).map_err(EnterError::at(Step::Map))?;
    }
    // There is one group, and the kernel refuses to set groups without looking which. An rsync that serves as
    // root, and nginx, set them before anything else. Where filters are forbidden, the lab works without those.
    let _ = sys::let_groups_be();
    Ok(())
}

/// Whether all that happens inside is allowed without a user namespace.
fn is_privileged() -> bool {
    let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

fn run_inside() -> io::Result<ExitStatus> {
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments).env(INSIDE, "1");
    sys::end_with_parent(&mut command, pidfd_open(getpid(), PidfdFlags::empty())?);
    command.status()
}

/// What a shell would say: 128 + the signal for a process that a signal ended.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Prepares the inside: a private directory, and a first netlink call, which some kernels refuse
/// although they have allowed the namespaces.
fn furnish() -> Result<Lab, EnterError> {
    let propagation = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", propagation).map_err(io::Error::from).map_err(EnterError::at(Step::Mount))?;
    let place = PLACES.into_iter().find(|place| Path::new(place).is_dir());
    let directory = PathBuf::from(place.unwrap_or("/"));
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount("carp-lab", &directory, "tmpfs", flags, Some(c"mode=0755"))
        .map_err(io::Error::from)
        .map_err(EnterError::at(Step::Mount))?;
    // What programs share in memory does not outlive them. Where there is no such place, none do.
    let _ = mount("carp-lab-shm", "/dev/shm", "tmpfs", flags, Some(c"mode=1777"));
    show_processes();
    bring_up_loopback().map_err(EnterError::at(Step::Netlink))?;
    Ok(Lab { directory })
}

/// Has `/proc` show the processes inside, under the ids that they have there. Containers that hide
/// parts of `/proc` forbid that; all works without it but for looking at processes by their id.
fn show_processes() {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let _ = mount("proc", "/proc", "proc", flags, None);
}

fn bring_up_loopback() -> io::Result<()> {
    let netlink = Netlink::open_here()?;
    netlink.set_up(netlink.index_of("lo")?, true)
}

/// Why private namespaces cannot be had.
#[derive(Debug)]
pub struct EnterError {
    /// What was refused.
    pub step: Step,
    /// What the kernel said.
    pub source: io::Error,
}

/// A step on the way into private namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the namespaces.
    Unshare,
    /// Becoming root inside: writing the maps of users and groups.
    Map,
    /// Executing the program again.
    Start,
    /// Mounting a private directory.
    Mount,
    /// Setting up a link.
    Netlink,
}

impl EnterError {
    fn at(step: Step) -> impl Fn(io::Error) -> Self {
        move |source| Self { step, source }
    }
}

impl std::error::Error for EnterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

impl fmt::Display for EnterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refused = match self.step {
            Step::Unshare => "making private namespaces (unshare)",
            Step::Map => "becoming root in a private user namespace (uid_map)",
            Step::Start => "executing the program in private namespaces",
            Step::Mount => "mounting a private directory",
            Step::Netlink => "setting up a link in a private network namespace (netlink)",
        };
        let remedy = remedy(|sysctl| fs::read_to_string(sysctl_file(sysctl)).ok());
        write!(f, "{refused} is refused here: {}; {remedy}", self.source)
    }
}

/// A setting that forbids user namespaces, the value with which it does, and one with which it does
/// not. Debian's, Ubuntu's, and everybody's.
const SETTINGS: [(&str, &str, &str); 3] = [
    ("kernel.unprivileged_userns_clone", "0", "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ("user.max_user_namespaces", "0", "10000"),
];

/// What to do about a refusal. `read` gives the value of a sysctl.
fn remedy(read: impl Fn(&str) -> Option<String>) -> String {
    let guilty: Vec<_> = SETTINGS
        .iter()
        .filter(|(name, forbids, _)| read(name).is_some_and(|value| value.trim() == *forbids))
        .map(|(name, _, allows)| format!("sysctl -w {name}={allows}"))
        .collect();
    if guilty.is_empty() {
        return "run it as root, or allow user namespaces: a container needs --privileged, and \
                where they are restricted one of kernel.unprivileged_userns_clone=1, \
                kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces=10000 \
                (sysctl -w) lifts that"
            .into();
    }
    format!("run it as root, or allow it first: {}", guilty.join(" and "))
}

fn sysctl_file(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remedy_names_the_setting_that_forbids() {
        let ubuntu = |name: &str| name.contains("apparmor").then(|| "1\n".to_owned());
        assert_eq!(
            remedy(ubuntu),
            "run it as root, or allow it first: \
             sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        );
    }

    #[test]
    fn the_remedy_names_all_settings_where_none_is_guilty() {
        let text = remedy(|_| None);
        assert!(SETTINGS.iter().all(|(name, _, _)| text.contains(name)), "{text}");
    }

    #[test]
    fn an_error_says_what_was_refused_and_what_to_do() {
        let error = EnterError { step: Step::Map, source: io::Error::from_raw_os_error(1) };
        let text = error.to_string();
        assert!(text.contains("uid_map") && text.contains("root"), "{text}");
    }

    #[test]
    fn a_status_by_signal_is_128_and_the_signal() {
        let killed = ExitStatus::from_raw(9);
        assert_eq!(format!("{:?}", exit_code(killed)), format!("{:?}", ExitCode::from(137)));
    }
}
