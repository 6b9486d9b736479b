//! Two nodes with a share each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carp_node::lab::{Host, Process, wait_until};
use libtest_mimic::Failed;
use rustix::fs::XattrFlags;
use rustix::io::Errno;
use serde_json::Value;

use crate::door::{self, Door};
use crate::support::{Daemon, LIMIT, PRIMARY, Rack, SECONDARY, Tested, VIP, carp, ensure, told};

/// Every file of a tree with its content.
pub(crate) type Tree = BTreeMap<String, Vec<u8>>;

/// Two nodes, not started yet.
pub(crate) struct Pair<'a> {
    pub(crate) a: Node<'a>,
    pub(crate) b: Node<'a>,
    /// What lets them in, where that is sshd.
    _doors: Vec<Process>,
}

/// One of them.
pub(crate) struct Node<'a> {
    rack: &'a Rack,
    pub(crate) host: &'a Host,
    pub(crate) name: &'static str,
    pub(crate) share: PathBuf,
    pub(crate) config: PathBuf,
}

impl<'a> Pair<'a> {
    /// The primary preempts. `settings` are lines of both shares.
    pub(crate) fn new(rack: &'a Rack, settings: &str) -> Result<Self, Failed> {
        Self::with(rack, settings, settings)
    }

    pub(crate) fn with(rack: &'a Rack, first: &str, second: &str) -> Result<Self, Failed> {
        let near = Door { rack, host: &rack.primary, name: "primary", address: PRIMARY };
        let far = Door { rack, host: &rack.secondary, name: "secondary", address: SECONDARY };
        let (calls, doors) = if door::is_wanted() {
            near.make_keys()?;
            far.make_keys()?;
            ([near.call(&far)?, far.call(&near)?], vec![near.open(&far)?, far.open(&near)?])
        } else {
            ([far.command(), near.command()], Vec::new())
        };
        let a = Node::new(&near, &far, &calls[0], "advskew = 0\npreempt = true", first)?;
        let b = Node::new(&far, &near, &calls[1], "advskew = 100", second)?;
        Ok(Self { a, b, _doors: doors })
    }

    /// Starts both, and waits until the primary serves and the secondary has a copy.
    pub(crate) fn start(&self) -> Result<(Daemon, Daemon), Failed> {
        let (first, second) = (self.a.start()?, self.b.start()?);
        first.wait_for_state("active")?;
        wait_in_sync(&second)?;
        Ok((first, second))
    }
}

impl<'a> Node<'a> {
    /// `call` is what runs the other node's key, as words of a shell.
    fn new(
        own: &Door<'a>,
        other: &Door<'a>,
        call: &str,
        router: &str,
        settings: &str,
    ) -> Result<Self, Failed> {
        let Door { rack, host, name, .. } = *own;
        let other = other.name;
        let share = rack.path(&format!("{name}.d/www"));
        fs::create_dir_all(&share)?;
        // What it is called with is not looked at: the key's command is run, whatever is asked for.
        let script = format!(
            "#!/bin/sh\n\
             me={}\n\
             [ -e $me.cut ] && {{ cat $me.cut >&2; exit 255; }}\n\
             if [ -e $me.steps ]; then\n\
             \x20 left=$(cat $me.steps)\n\
             \x20 [ $left -le 1 ] && kill -STOP $(cat $me.victims) && kill -KILL $(cat $me.victims)\n\
             \x20 echo $((left - 1)) >$me.steps\n\
             fi\n\
             exec {call}\n",
            rack.path(name).display(),
        );
        let rsh = rack.write(&format!("{name}.rsh"), &script, 0o755)?;
        let key = rack.write(&format!("{name}.key"), "secret", 0o600)?;
        let every = if settings.contains("every =") { "" } else { "every = \"1s\"\n" };
        let text = format!(
            "[node]\nname = \"{name}\"\nstate_dir = \"{}\"\n\n[router.web]\nprotocol = \"carp\"\n\
             interface = \"eth0\"\nid = 1\naddresses = [\"{VIP}\"]\nkey_file = \"{}\"\n{router}\n\n\
             [sync.www]\nrouter = \"web\"\npath = \"{}\"\npeer = \"{other}\"\nrsh = [\"{}\"]\n\
             {every}{settings}\n",
            rack.path(&format!("{name}.state")).display(),
            key.display(),
            share.display(),
            rsh.display(),
        );
        let config = rack.write(&format!("{name}.toml"), &text, 0o644)?;
        Ok(Self { rack, host, name, share, config })
    }

    pub(crate) fn start(&self) -> Result<Daemon, Failed> {
        self.rack.daemon(self.host, &self.config)
    }

    /// The same with a wall clock of its own, which [`Self::shift_clock`] has set before.
    pub(crate) fn start_with_clock(&self) -> Result<Daemon, Failed> {
        let mut command = carp();
        command.env("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1");
        command.env("FAKETIME_TIMESTAMP_FILE", self.rack.path(&format!("{}.clock", self.name)));
        for setting in ["FAKETIME_NO_CACHE", "FAKETIME_DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"] {
            command.env(setting, "1");
        }
        self.rack.daemon_by(self.host, &self.config, command)
    }

    /// Its clock shows another time than this machine's by so much: `+0`, `-2d`.
    pub(crate) fn shift_clock(&self, shift: &str) -> Tested {
        let new = self.rack.write("clock", &format!("{shift}\n"), 0o644)?;
        Ok(fs::rename(new, self.rack.path(&format!("{}.clock", self.name)))?)
    }

    /// The same with a program called `rsync` that is this script. It stands before the real one, which is
    /// `/usr/bin/rsync`.
    pub(crate) fn start_with_rsync(&self, script: &str) -> Result<Daemon, Failed> {
        fs::create_dir_all(self.rack.path(&format!("{}.bin", self.name)))?;
        self.replace_rsync(Some(script))?;
        let programs = self.rack.path(&format!("{}.bin", self.name));
        self.rack.daemon_among(self.host, &self.config, &programs)
    }

    /// Puts another script into its place, or removes it.
    pub(crate) fn replace_rsync(&self, script: Option<&str>) -> Tested {
        let name = format!("{}.bin/rsync", self.name);
        let Some(script) = script else { return Ok(fs::remove_file(self.rack.path(&name))?) };
        let text = format!("#!/bin/sh\n{script}\nexec /usr/bin/rsync \"$@\"\n");
        let new = self.rack.write(&format!("{}.rsync", self.name), &text, 0o755)?;
        // A file that runs cannot be written.
        Ok(fs::rename(new, self.rack.path(&name))?)
    }

    /// Writes a value into a file of the share.
    pub(crate) fn write(&self, file: &str, value: &str) -> Tested {
        Ok(fs::write(self.share.join(file), value)?)
    }

    /// Puts a file into the share that is there as a whole or not at all.
    pub(crate) fn put(&self, file: &str, bytes: &[u8]) -> Tested {
        let new = self.rack.path("put");
        fs::write(&new, bytes)?;
        Ok(fs::rename(new, self.share.join(file))?)
    }

    pub(crate) fn read(&self, file: &str) -> Option<String> {
        fs::read_to_string(self.share.join(file)).ok()
    }

    /// Whether the other node can no longer be reached by the remote shell.
    pub(crate) fn cut(&self, cut: bool) -> Tested {
        if cut {
            return self.cut_saying("");
        }
        Ok(fs::remove_file(self.rack.path(&format!("{}.cut", self.name)))?)
    }

    /// The remote shell does not get through, and this is what it says.
    pub(crate) fn cut_saying(&self, what: &str) -> Tested {
        Ok(fs::write(self.rack.path(&format!("{}.cut", self.name)), what)?)
    }

    /// It cannot be reached, and this node's daemon has noticed: a pass that had connected before would still copy.
    pub(crate) fn cut_off(&self, daemon: &Daemon) -> Tested {
        self.cut(true)?;
        Ok(wait_until(LIMIT, "the cut is noticed, and no pass runs", || {
            let status = share(daemon);
            status["peer_trouble"].is_string() && status["progress"].is_null()
        })?)
    }

    /// This node's daemon and its guard are killed when it opens the connection of this number from now on.
    pub(crate) fn kill_at(&self, daemon: &Daemon, connection: u32) -> Tested {
        let (daemon, guard) = daemon.pids()?;
        let victims = self.rack.path(&format!("{}.victims", self.name));
        fs::write(victims, format!("{daemon} {guard}"))?;
        Ok(fs::write(self.rack.path(&format!("{}.steps", self.name)), connection.to_string())?)
    }

    /// It is no longer.
    pub(crate) fn kill_no_more(&self) -> Tested {
        Ok(fs::remove_file(self.rack.path(&format!("{}.steps", self.name)))?)
    }

    /// What is in the tree: every file with its content.
    pub(crate) fn tree(&self) -> Result<Tree, Failed> {
        let mut found = BTreeMap::new();
        for entry in fs::read_dir(&self.share)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                found.insert(entry.file_name().display().to_string(), fs::read(entry.path())?);
            }
        }
        Ok(found)
    }

    /// What its daemon tells its peer.
    fn record(&self) -> Result<Value, Failed> {
        let record = self.rack.path(&format!("{}.state/sync/export/record.json", self.name));
        Ok(serde_json::from_slice(&fs::read(record)?)?)
    }

    /// What its daemon tells its peer of the share.
    pub(crate) fn told(&self) -> Result<Value, Failed> {
        Ok(self.record()?["shares"]["www"].clone())
    }

    /// How often its daemon has written its record.
    pub(crate) fn beat(&self) -> Result<u64, Failed> {
        Ok(self.record()?["beat"].as_u64().ok_or("no beat")?)
    }

    /// Puts the share on a disk of its own, with so many MiB.
    pub(crate) fn mount(&self, size: u32) -> Tested {
        let disk = self.share.parent().ok_or("no parent")?;
        shell(&format!("mount -t tmpfs -o size={size}m tmpfs '{}'", disk.display()))?;
        Ok(fs::create_dir(&self.share)?)
    }

    /// Mounts that disk with other options.
    pub(crate) fn remount(&self, options: &str) -> Tested {
        let disk = self.share.parent().ok_or("no parent")?;
        // With its source named, mount repeats no options that a user namespace does not know.
        let disk = disk.display();
        shell(&format!("cd '{disk}' && mount -o remount,{options} tmpfs '{disk}'"))
    }

    /// Waits until it has made its marker, which it does a moment after it is active.
    pub(crate) fn wait_for_marker(&self) -> Tested {
        let is_whole = || self.read(".share-id").is_some_and(|text| text.ends_with('\n'));
        Ok(wait_until(LIMIT, &format!("{} has made its marker", self.name), is_whole)?)
    }

    /// Waits until a file has this value, or is not there.
    pub(crate) fn wait_for(&self, file: &str, value: Option<&str>) -> Tested {
        let what = format!("{} has {file} = {value:?}", self.name);
        Ok(wait_until(LIMIT, &what, || self.read(file).as_deref() == value)?)
    }

    /// The values of all files of a name in the rescue sets beside the share.
    pub(crate) fn rescued(&self, file: &str) -> Vec<String> {
        let mut found = Vec::new();
        let sets = self.share.with_file_name(".rescue").join("www");
        for set in fs::read_dir(sets).into_iter().flatten().flatten() {
            found.extend(fs::read_to_string(set.path().join("files").join(file)));
        }
        found
    }
}

/// The rescue sets of a node, as `carp sync rescue list` tells them.
pub(crate) fn rescue_list(daemon: &Daemon) -> Result<Value, Failed> {
    Ok(serde_json::from_str(&sync(daemon, &["rescue", "list", "--json"], 0)?)?)
}

/// The process groups of the passes into a share, as this test's `/proc` has them. A dry run is none.
pub(crate) fn passes(share: &Path) -> BTreeSet<i32> {
    let group = |entry: &fs::DirEntry| {
        let command = fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let into = |word: &str| Path::new(word) == share;
        // A script that stands before it calls it by its path.
        let is_rsync = Path::new(&**words.first()?).file_name() == Some("rsync".as_ref());
        let is_pass = is_rsync
            && words.iter().any(|word| into(word))
            && !words.iter().any(|word| word == "--dry-run");
        let stat = is_pass.then(|| fs::read_to_string(entry.path().join("stat")))?.ok()?;
        let (_, after) = stat.rsplit_once(')')?;
        after.split_ascii_whitespace().nth(2)?.parse().ok()
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| group(&entry)).collect()
}

/// The processes that live of which this is true, with their command lines: of their status and their directory. What
/// a process that has ended leaves to be waited for is not among them.
fn living(is: impl Fn(&[i32], &Path) -> bool) -> Vec<String> {
    let command = |entry: fs::DirEntry| {
        let path = entry.path();
        let read = |file: &str| fs::read_to_string(path.join(file)).unwrap_or_default();
        let status = read("status");
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key));
        let lives = !value("State:")?.trim_start().starts_with(['Z', 'X']);
        let groups = value("NSpgid:")?.split_ascii_whitespace().filter_map(|it| it.parse().ok());
        let groups: Vec<i32> = groups.collect();
        (lives && is(&groups, &path)).then(|| read("cmdline").replace('\0', " "))
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(command).collect()
}

/// Those of a group by the number that this test's `/proc` has for it.
pub(crate) fn living_here(group: i32) -> Vec<String> {
    living(|groups, _| groups.first() == Some(&group))
}

/// Those of a group by the number that it has on the machine of a daemon.
pub(crate) fn living_there(daemon: &Daemon, group: i32) -> Result<Vec<String>, Failed> {
    let machine = fs::read_link(format!("/proc/{}/ns/pid", daemon.process.id()))?;
    let of_machine = |path: &Path| fs::read_link(path.join("ns/pid")).is_ok_and(|it| it == machine);
    Ok(living(|groups, path| groups.last() == Some(&group) && of_machine(path)))
}

/// Gives a file an attribute; `false` if its file system has none, which is said on stderr.
pub(crate) fn set_attribute(file: &Path, name: &str, value: &[u8]) -> Result<bool, Failed> {
    match rustix::fs::setxattr(file, name, value, XattrFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP) => {
            eprintln!(
                "{name} is left out: the file system of the test does not have such attributes"
            );
            Ok(false)
        }
        Err(error) => Err(Failed::from(format!("{}: {name}: {error}", file.display()))),
    }
}

/// An attribute of a file, if it has that.
pub(crate) fn attribute(file: &Path, name: &str) -> Result<Option<Vec<u8>>, Failed> {
    let mut value = vec![0; 1024];
    match rustix::fs::getxattr(file, name, value.as_mut_slice()) {
        Ok(len) => Ok(Some(value[..len].to_vec())),
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(Failed::from(format!("{}: {name}: {error}", file.display()))),
    }
}

/// Runs a script to its end, here.
pub(crate) fn shell(script: &str) -> Tested {
    let output = Command::new("sh").arg("-c").arg(script).output()?;
    ensure(output.status.success(), format!("{script}: {}", told(&output).1))
}

/// Waits until the last pass of a share ended so.
pub(crate) fn wait_outcome(daemon: &Daemon, outcome: &str) -> Tested {
    let ended = || share(daemon)["last_pass"]["outcome"] == outcome;
    let waited = wait_until(LIMIT, &format!("a pass ends: {outcome}"), ended);
    waited.map_err(|error| Failed::from(format!("{error}: {}: {}", share(daemon), events(daemon))))
}

/// Fails if it took longer than the design allows. In the tests that everybody runs, twice that is let pass, for a machine
/// on which much else goes on; `make sync-acceptance` sets `SYNC_STRICT`, and allows nothing more.
pub(crate) fn ensure_within(limit: Duration, took: Duration, what: &str) -> Tested {
    let strict = std::env::var_os("SYNC_STRICT").is_some();
    let most = if strict { limit } else { limit * 2 };
    ensure(took < most, format!("{took:?} {what}; {most:?} are let pass"))
}

/// The first share of `carp status --json`.
pub(crate) fn share(daemon: &Daemon) -> Value {
    daemon.report().map(|report| report["sync"][0].clone()).unwrap_or_default()
}

pub(crate) fn wait_in_sync(daemon: &Daemon) -> Tested {
    let waited = wait_until(LIMIT, "the share is in sync", || share(daemon)["in_sync"] == true);
    waited.map_err(|error| Failed::from(format!("{error}: {}: {}", share(daemon), events(daemon))))
}

pub(crate) fn events(daemon: &Daemon) -> String {
    daemon.ask(&["events"]).map(|output| told(&output).1).unwrap_or_default()
}

/// An error, with what both nodes say; of a daemon that has ended, with its last words.
pub(crate) fn explain(error: &Failed, nodes: [&Daemon; 2]) -> Failed {
    let said = |daemon: &Daemon| match daemon.process.exit_status() {
        Ok(None) => format!("{}: {}", share(daemon), events(daemon)),
        ended => format!("{ended:?}: {}", daemon.process.last_words()),
    };
    let [one, two] = nodes.map(said);
    Failed::from(format!("{error:?}\n{one}\n{two}"))
}

/// Waits until a share is held for this reason.
pub(crate) fn wait_held(daemon: &Daemon, reason: &str) -> Tested {
    let held = || share(daemon)["held"]["reason"] == reason;
    let waited = wait_until(LIMIT, &format!("the share is held: {reason}"), held);
    waited.map_err(|error| Failed::from(format!("{error}: {}: {}", share(daemon), events(daemon))))
}

/// Holds a share as its operator does. Nothing is copied any more when this returns: what is changed before
/// `carp sync hold --release` is all in one pass, and none that had begun before has a part of it.
pub(crate) fn hold(daemon: &Daemon) -> Tested {
    sync(daemon, &["hold"], 0)?;
    wait_held(daemon, "operator")?;
    Ok(wait_until(LIMIT, "no pass runs", || share(daemon)["progress"].is_null())?)
}

/// `carp sync …`, which has to end with this code; what it printed.
pub(crate) fn sync(daemon: &Daemon, arguments: &[&str], code: i32) -> Result<String, Failed> {
    let all = [&["sync"], arguments].concat();
    let (found, text) = told(&daemon.ask(&all)?);
    ensure(found == Some(code), format!("{arguments:?} ended with {found:?}: {text}"))?;
    Ok(text)
}

/// Whether rsync, comparing every byte, finds no difference between two trees.
pub(crate) fn equal(one: &Path, two: &Path) -> Result<bool, Failed> {
    let output = Command::new("rsync")
        .args(["-n", "-aHAXi", "--checksum", "--delete", "--exclude=.sync-partial"])
        .args([one.join(""), two.join("")])
        .output()?;
    ensure(output.status.success(), told(&output).1)?;
    Ok(output.stdout.is_empty())
}
