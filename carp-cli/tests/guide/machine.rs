//! A machine with files of its own: its `/etc`, `/var`, `/root`, `/run` and `/usr/local/bin` are other ones than this
//! machine's, which nothing is written to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carp_node::lab::{Host, Process};
use libtest_mimic::Failed;

use crate::support::{LIMIT, Tested, ensure};

/// The directories that are its own; the last one hides where they are.
const OWN: [&str; 5] = ["etc", "var", "root", "usr/local/bin", "run"];

/// Directories that Debian's packages would have made.
const DIRECTORIES: [&str; 6] =
    ["var/log/nginx", "var/lib/nginx", "var/lib", "var/tmp", "root", "run/sshd"];

const SUDO: &str = "#!/bin/sh\nexec \"$@\"\n";

const APT_GET: &str = "#!/bin/sh\n\
    # Everything is there already; that is looked at.\n\
    for program in nginx rsync /usr/sbin/sshd curl; do command -v $program >/dev/null || exit 1; done\n";

/// What the guide uses of it, and what Debian would start at boot.
const SYSTEMCTL: &str = "#!/bin/sh\n\
    carp() { install -d /run/carp; setsid -f unshare --mount --propagation private carp-service \\\n\
        >>/var/log/carp.log 2>&1 </dev/null; }\n\
    ssh() { if [ -e /run/sshd.pid ]; then kill \"$(cat /run/sshd.pid)\"; fi; /usr/sbin/sshd; }\n\
    nginx_() { if [ -e /run/nginx.pid ]; then nginx -s stop; fi; nginx; }\n\
    case \"$*\" in\n\
    'restart nginx') nginx_ ;;\n\
    'restart ssh') ssh ;;\n\
    daemon-reload) [ -e /etc/systemd/system/carp.service.d/shares.conf ] ;;\n\
    'enable --now carp') carp ;;\n\
    boot) rm -rf /run/*; mkdir /run/sshd; nginx_; [ -e /root/.ssh ] && ssh; carp ;;\n\
    *) echo \"systemctl $*: not in this test\" >&2; exit 1 ;;\n\
    esac\n";

/// What systemd makes of the unit with the drop-in for shares: what may be read only, what is out of sight, and the
/// capabilities that are left.
fn service() -> Result<String, Failed> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd");
    let mut capabilities = String::from("-all");
    for file in ["carp.service", "shares.conf"] {
        let text = fs::read_to_string(directory.join(file))?;
        let sets = text.lines().filter_map(|line| line.strip_prefix("CapabilityBoundingSet=CAP_"));
        for capability in sets.flat_map(|set| set.split(" CAP_")) {
            capabilities.push_str(&format!(",+{}", capability.to_lowercase()));
        }
    }
    // In a user namespace flags of mounts cannot be changed.
    let mounts = "for own in /etc /usr/local/bin; do mount -o remount,bind,ro $own; done\n\
                  mount -t tmpfs -o ro none /root\n";
    Ok(format!(
        "#!/bin/sh\nset -e\n{}exec setpriv --no-new-privs --inh-caps=-all --bounding-set={capabilities} carp run\n",
        if is_root() { mounts } else { "" }
    ))
}

/// Makes a mount namespace in which the directories are the machine's own, and keeps it.
const HOLD: &str = "set -e\n\
    for own in etc var root usr/local/bin run; do mount --bind \"$0/$own\" \"/$own\"; done\n\
    mount -t proc proc /proc\n\
    echo ready\n\
    exec sleep infinity\n";

/// Whether this is root, outside of a user namespace: what sshd wants.
pub(crate) fn is_root() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_ascii_whitespace().collect::<Vec<_>>() == ["0", "0", "4294967295"]
}

pub(crate) struct Machine {
    pub(crate) host: Host,
    files: PathBuf,
    /// Keeps the mount namespace.
    holder: Option<Process>,
    shell: Option<Process>,
}

impl Machine {
    pub(crate) fn new(host: Host, files: PathBuf) -> Result<Self, Failed> {
        for directory in OWN.iter().chain(&DIRECTORIES) {
            fs::create_dir_all(files.join(directory))?;
        }
        let script = "cp -a /etc/. \"$0/etc\" 2>/dev/null; cp -a /var/www \"$0/var/\"; \
                      rm -f \"$0\"/etc/ssh/ssh_host_*; \
                      ssh-keygen -q -t ed25519 -N '' -f \"$0/etc/ssh/ssh_host_ed25519_key\"";
        let done = Command::new("sh").args(["-c", script]).arg(&files).output()?;
        ensure(done.status.success(), String::from_utf8_lossy(&done.stderr))?;
        let mut machine = Self { host, files, holder: None, shell: None };
        let service = service()?;
        for (name, text) in [
            ("sudo", SUDO),
            ("apt-get", APT_GET),
            ("systemctl", SYSTEMCTL),
            ("carp-service", &*service),
        ] {
            let path = machine.files.join("usr/local/bin").join(name);
            fs::write(&path, text)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        std::os::unix::fs::symlink(
            env!("CARGO_BIN_EXE_carp"),
            machine.files.join("usr/local/bin/carp"),
        )?;
        if !is_root() {
            machine.do_without_users()?;
        }
        machine.hold()?;
        Ok(machine)
    }

    /// With one user there is nobody whom nginx could become, and nobody who logs in.
    fn do_without_users(&self) -> Tested {
        let file = self.files.join("etc/nginx/nginx.conf");
        let text = fs::read_to_string(&file)?;
        fs::write(
            &file,
            text.replacen("user www-data;", "user root root;\nmaster_process off;", 1),
        )?;
        let shell = fs::read_link("/proc/self/exe")?;
        Ok(std::os::unix::fs::symlink(shell, self.files.join("usr/local/bin/carp-lab-shell"))?)
    }

    fn hold(&mut self) -> Tested {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", HOLD]).arg(&self.files);
        let holder = self.host.spawn(command)?;
        holder.wait_for_line(LIMIT, "ready")?;
        self.holder = Some(holder);
        Ok(())
    }

    fn inside(&self, program: &[&str]) -> Result<Vec<String>, Failed> {
        let holder = self.holder.as_ref().ok_or("the machine is off")?.id().to_string();
        let enter = ["nsenter", "-t", &holder, "-m", "--"];
        Ok(enter.iter().chain(program).map(|&word| word.to_owned()).collect())
    }

    /// Runs a script to its end, among the machine's files; what it printed.
    pub(crate) fn run(&self, script: &str, limit: Duration) -> Result<String, Failed> {
        // The guide begins in the folder of carp's source.
        const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let argv = self.inside(&["sh", "-ec", &format!("cd '{SOURCE}'\n{script}")])?;
        let mut command = Command::new(&argv[0]);
        command.args(&argv[1..]).env("HOME", "/root").env("LC_ALL", "C.UTF-8");
        command.env("PATH", "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let process = self.host.spawn(command)?;
        let status = process.wait(limit)?;
        let said = process.last_words();
        ensure(status.success(), format!("{}: {status}: {said}", self.host.name()))?;
        Ok(said)
    }

    /// What others' remote shell is connected to.
    pub(crate) fn serve_shell(&mut self) -> Tested {
        let argv = self.inside(&[
            "rsync",
            "--server",
            "--daemon",
            "--config=/var/lib/carp/sync/rsyncd.conf",
            ".",
        ])?;
        let argv: Vec<_> = argv.into_iter().map(Into::into).collect();
        self.shell = None;
        self.shell = Some(self.host.serve_shell(&argv)?);
        Ok(())
    }

    /// Writes a file, as an editor does.
    pub(crate) fn write(&self, path: &str, text: &str) -> Tested {
        let path = self.at(path);
        fs::create_dir_all(path.parent().ok_or("no file")?)?;
        let mut text = text.to_owned();
        if !is_root() {
            text = text.replace("every  =", "rsh = [\"/usr/local/bin/carp-lab-shell\"]\nevery  =");
        }
        Ok(fs::write(path, text)?)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.files.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }

    /// The fingerprint of its host key.
    pub(crate) fn fingerprint(&self) -> Result<String, Failed> {
        let said = self.run("ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub", LIMIT)?;
        let word = said.split(' ').find(|word| word.starts_with("SHA256:"));
        Ok(word.ok_or("no fingerprint")?.to_owned())
    }

    /// The line that pairing prints for the other node. Running it again changes nothing.
    pub(crate) fn printed_line(&self) -> Result<String, Failed> {
        let said = self.run("carp sync pair", LIMIT)?;
        let line = said.split('\'').nth(1).ok_or_else(|| format!("no line in {said}"))?;
        Ok(line.to_owned())
    }

    pub(crate) fn pull_the_plug(&mut self) -> Tested {
        self.host.power_off()?;
        (self.holder, self.shell) = (None, None);
        Ok(())
    }

    pub(crate) fn boot(&mut self) -> Tested {
        self.host.boot()?;
        self.hold()
    }
}
