//! Whether a share can be copied: what each side needs, looked at one by one, and both trees compared byte by
//! byte. It changes nothing, and needs no daemon on this node.

mod owners;
mod run;
mod tree;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

pub use self::tree::{DIFFERENCES, Difference};
use super::guards::{database, marker, place};
use super::hold::Hold;
use super::pattern::Patterns;
use super::record::{NodeRecord, ShareRecord};
use super::rsync::command::Remote;
use super::rsync::ssh::{self, Files, RECORD_FILE, STATE_MODULE};
use super::rsync::version::Rsync;
use super::wall_stamp;
use crate::config::SyncSpec;

/// By how much the clocks of two nodes may differ before it is worth a word: the record that tells the peer's is up
/// to a second old, and was a moment on its way.
pub const CLOCKS: Duration = Duration::from_secs(3);

/// From so many entries on, what is copied beside the files is worth a thought.
const MANY: u64 = 300_000;

/// How good something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    /// As it has to be.
    Good,
    /// Copying works, but somebody should know.
    Remark,
    /// The share cannot be copied like that.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What: one or two words.
    pub what: &'static str,
    /// How good it is.
    pub grade: Grade,
    /// What was found, and if it is not good, what to do.
    pub text: String,
}

/// All that was looked at for a share.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The share.
    pub share: String,
    /// In the order in which it was looked at: what depends on something bad is left out.
    pub findings: Vec<Finding>,
    /// The entries in which the trees differ, at most [`DIFFERENCES`] of them.
    pub differences: Vec<Difference>,
    /// This node has no rsync, or one that cannot be used.
    #[serde(skip)]
    pub unusable: bool,
}

impl Report {
    /// The worst grade.
    #[must_use]
    pub fn grade(&self) -> Grade {
        self.findings.iter().map(|finding| finding.grade).max().unwrap_or(Grade::Good)
    }

    fn add(&mut self, what: &'static str, grade: Grade, text: impl Into<String>) {
        self.findings.push(Finding { what, grade, text: text.into() });
    }

    fn good(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(what, Grade::Good, text);
    }

    fn bad(&mut self, what: &'static str, text: impl Into<String>) {
        self.add(what, Grade::Bad, text);
    }
}

/// What is to be looked at.
#[derive(Clone, Debug)]
pub struct Check<'a> {
    /// The share.
    pub share: &'a SyncSpec,
    /// The state directory of this node.
    pub state_dir: &'a Path,
    /// A directory of the caller's alone, for small files.
    pub scratch: &'a Path,
    /// Whether both trees are compared byte by byte; else only what is needed is looked at.
    pub compare: bool,
}

impl Check<'_> {
    /// Looks at everything. It takes as long as it takes to read both trees.
    #[must_use]
    pub fn run(&self) -> Report {
        let share = self.share.name.clone();
        let (findings, differences) = (Vec::new(), Vec::new());
        let mut report = Report { share, findings, differences, unusable: false };
        let rsync = self.rsync(&mut report);
        let root = self.root(&mut report);
        let remote = self.remote(&mut report);
        let (Some(rsync), Some(remote)) = (rsync, remote) else { return report };
        let Some(theirs) = self.peer(&remote, &mut report) else { return report };
        let Some(root) = root else { return report };
        if self.markers(&remote, &theirs, &root, &mut report) && self.compare {
            self.trees(&rsync, &remote, &root, &theirs, &mut report);
        }
        report
    }

    fn rsync(&self, report: &mut Report) -> Option<Rsync> {
        match run::version() {
            Ok(rsync) => {
                let mut lacks = Vec::new();
                if self.share.attributes && !rsync.acls {
                    lacks.push("access lists");
                }
                if self.share.attributes && !rsync.xattrs {
                    lacks.push("extended attributes");
                }
                let version = format!("rsync {}", rsync.version);
                match lacks.as_slice() {
                    [] => report.good("rsync", version),
                    lacks => report.add(
                        "rsync",
                        Grade::Remark,
                        format!(
                            "{version} was built without {}: they are not copied",
                            lacks.join(" and ")
                        ),
                    ),
                }
                Some(rsync)
            }
            Err(error) => {
                report.bad("rsync", error.hold().message);
                report.unusable = true;
                None
            }
        }
    }

    /// The folder, whether it can be written and rescued from, and no database lies in it.
    fn root(&self, report: &mut Report) -> Option<PathBuf> {
        let root = match place::real_root(&self.share.path) {
            Ok(root) => root,
            Err(hold) => {
                report.bad("path", hold.message);
                return None;
            }
        };
        match place::rescue_directory(&root, &self.share.name).map(|_| place::read_only(&root)) {
            Ok(None) => report.good("path", root.display().to_string()),
            Ok(Some(hold)) | Err(hold) => report.bad("path", hold.message),
        }
        self.entries(&root, report);
        Some(root)
    }

    /// What is in the folder, and what is free beside it.
    fn entries(&self, root: &Path, report: &mut Report) {
        let mut found = None;
        let looked = owners::look(root, &Patterns::of(&self.share.exclude), |entry| {
            if found.is_none() {
                found = database::of_entry(entry);
            }
        });
        let database = match (found, &looked) {
            (None, Err(error)) => Err(format!("{}: {error}", root.display())),
            (found, _) => Ok(found),
        };
        match looked {
            Ok(found) => {
                match found.unknown() {
                    None => report.good("owners", "each has a name on this node"),
                    Some(text) => report.add("owners", Grade::Remark, text),
                }
                if self.share.attributes && found.entries > MANY {
                    let text = format!(
                        "{} entries: access lists and extended attributes are the expensive part of a pass; if \
                         nothing uses them, attributes = false",
                        found.entries
                    );
                    report.add("attributes", Grade::Remark, text);
                }
            }
            Err(error) => report.bad("owners", format!("{}: {error}", root.display())),
        }
        match place::free(root) {
            Ok(free) if free < place::SPARE => {
                let text = format!("{} MiB are free beside {}", free >> 20, root.display());
                report.bad("space", format!("{text}; free some: a pass keeps what it replaces"));
            }
            Ok(free) => report.good("space", format!("{} MiB are free", free >> 20)),
            Err(error) => report.bad("space", format!("{}: {error}", root.display())),
        }
        match database {
            Ok(None) => report.good("database", "none that runs lies in the share"),
            Ok(Some(found)) => report.bad("database", Hold::of_database(found).message),
            Err(error) => report.bad("database", error),
        }
    }

    /// How the peer is reached, and whether what ssh needs is there.
    fn remote(&self, report: &mut Report) -> Option<Remote> {
        let host = self.share.peer.host.clone();
        if let Some(rsh) = self.share.own_shell() {
            report.good("key", "none of ours: rsh is set");
            return Some(Remote { program: "rsync".into(), host, rsh });
        }
        let directory = self.state_dir.join("sync");
        let files = Files {
            key: directory.join("id_ed25519"),
            known_hosts: directory.join("known_hosts"),
            control: None,
        };
        let remedy = "run `carp sync pair`";
        for file in [&files.key, &files.known_hosts] {
            if let Err(error) = fs::metadata(file) {
                report.bad("key", format!("{}: {error}; {remedy}", file.display()));
                return None;
            }
        }
        let mode = fs::metadata(&files.key).map_or(0, |file| file.permissions().mode());
        if mode & 0o077 != 0 {
            let key = files.key.display();
            report.bad(
                "key",
                format!("{key} can be read by others, and ssh refuses it; chmod 600 {key}"),
            );
            return None;
        }
        let text = match ssh::ssh_config(&self.share.peer, &files) {
            Ok(text) => text,
            Err(error) => {
                report.bad("key", error.to_string());
                return None;
            }
        };
        let config = self.scratch.join("ssh.conf");
        if let Err(error) = fs::write(&config, text) {
            report.bad("key", format!("{}: {error}", config.display()));
            return None;
        }
        report.good("key", files.key.display().to_string());
        Some(Remote { program: "rsync".into(), host, rsh: ssh::command(&config) })
    }

    /// The peer's record: that it can be reached, that carp runs there, and what its clock says.
    fn peer(&self, remote: &Remote, report: &mut Report) -> Option<ShareRecord> {
        let host = &self.share.peer.host;
        let asked = wall_stamp();
        let record = run::fetch(remote, STATE_MODULE, RECORD_FILE, &self.scratch.join("record"));
        let record = match record {
            Ok(bytes) => NodeRecord::parse(&bytes).map_err(|error| error.to_string()),
            Err(text) => Err(text),
        };
        let record = match record {
            Ok(record) => record,
            Err(text) => {
                report.bad("peer", format!("{host}: {text}"));
                return None;
            }
        };
        report.good("peer", format!("{host} is the node {}", record.node));
        let apart = record.now.apart(asked);
        if apart > CLOCKS {
            let text = format!(
                "the peer's record is {} s off this node's clock: its daemon does not run, or the clocks differ. \
                 Nothing is decided by clocks, but dates in reports would be wrong",
                apart.as_secs()
            );
            report.add("clocks", Grade::Remark, text);
        } else {
            report.good("clocks", format!("they differ by less than {} s", CLOCKS.as_secs()));
        }
        let theirs = record.shares.get(&self.share.name).cloned();
        if theirs.is_none() {
            let known: Vec<&str> = record.shares.keys().map(String::as_str).collect();
            let text = format!(
                "{host} has no share {:?}, but {:?}; give both the same name under [sync]",
                self.share.name, known
            );
            report.bad("share", text);
        }
        theirs
    }

    /// Whether both roots are of the same share.
    fn markers(
        &self,
        remote: &Remote,
        theirs: &ShareRecord,
        root: &Path,
        report: &mut Report,
    ) -> bool {
        let host = &self.share.peer.host;
        let fetched =
            run::fetch(remote, &self.share.name, marker::MARKER, &self.scratch.join("marker"));
        let there = fetched.as_ref().ok().and_then(|bytes| marker::ShareId::parse(bytes));
        let here = match marker::read(root) {
            Ok(here) => here,
            Err(error) => {
                report.bad("marker", format!("{}: {error}", root.display()));
                return false;
            }
        };
        let name = marker::MARKER;
        match (&here, &there, &fetched) {
            (None, None, _) if theirs.share_id.is_none() => {
                let text = format!("no {name} yet: the first node that serves makes it");
                report.add("marker", Grade::Remark, text);
                true
            }
            (None, Some(_), _) => {
                let text = format!("no {name} here yet: the first pass brings it");
                report.add("marker", Grade::Remark, text);
                true
            }
            (Some(here), Some(there), _) if here == there => {
                report.good("marker", format!("both have {}", here.as_str()));
                true
            }
            (Some(_), Some(_), _) => {
                let text = format!(
                    "{name} differs on both nodes: these are two shares; compare the paths under [sync.{}]",
                    self.share.name
                );
                report.bad("marker", text);
                false
            }
            (_, None, fetched) => {
                let why =
                    fetched.as_ref().err().cloned().unwrap_or_else(|| "it says nothing".into());
                report.bad("marker", format!("no {name} on {host}: {why}; is its disk mounted?"));
                false
            }
        }
    }

    fn trees(
        &self,
        rsync: &Rsync,
        remote: &Remote,
        root: &Path,
        theirs: &ShareRecord,
        report: &mut Report,
    ) {
        let space = |bytes| place::rescue_space(root, bytes).ok().flatten();
        match tree::compare(self.share, rsync, remote, root.to_owned()) {
            Ok(compared) if compared.differ == 0 => {
                report.good("trees", format!("equal, every byte of {} entries", compared.entries));
            }
            Ok(compared) => {
                let why = match theirs.role {
                    super::record::Role::Active => "what was written since the last pass is normal",
                    super::record::Role::Backup | super::record::Role::Init => {
                        "if the peer is the standby, its next pass brings what it lacks"
                    }
                };
                let text =
                    format!("{} of {} entries differ; {why}", compared.differ, compared.entries);
                report.add("trees", Grade::Remark, text);
                // The one that serves receives nothing.
                let receives = !matches!(theirs.role, super::record::Role::Backup);
                if let Some(hold) = space(compared.bytes).filter(|_| receives) {
                    report.bad("space", hold.message);
                }
                report.differences = compared.listed;
            }
            Err(text) => report.bad("trees", text),
        }
    }
}
