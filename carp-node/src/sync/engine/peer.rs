//! The other node: how it is reached, and what it said last.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::Instant;

use crate::clock::boot_time;
use crate::config::SyncSpec;
use crate::runner::{Job, RunnerHandle};
use crate::sync::lineage::Stamp;
use crate::sync::record::{NodeRecord, Peer, RECORD_FRESH};
use crate::sync::rsync::command::{ENVIRONMENT, Fetch, Remote};
use crate::sync::rsync::exit::{Outcome, Status};
use crate::sync::rsync::ssh::{self, Destination, Files, RECORD_FILE, STATE_MODULE};
pub(super) use crate::sync::wall_stamp;

/// How long the peer may take to tell its record: connecting takes 3 s at the most.
const FETCH_LIMIT: Duration = Duration::from_secs(8);

/// A peer of one or more shares.
#[derive(Debug)]
pub(super) struct PeerState {
    /// How it is reached.
    pub(super) remote: Remote,
    /// ssh's configuration, if it is ours.
    pub(super) ssh_config: Option<PathBuf>,
    /// What it said last.
    pub(super) said: Option<Said>,
    /// Why it could not be read the last time.
    pub(super) trouble: Option<Trouble>,
    /// Whether it is being read.
    pub(super) reading: bool,
    /// When that last began.
    pub(super) asked_at: Instant,
    /// When the last reading began that has ended, well or not.
    pub(super) answered: Instant,
}

/// A record, and when it was read.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) peer: Peer,
    /// This node's wall clock before the last different record was asked for.
    pub(super) local_clock: Stamp,
}

/// Why a record could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) outcome: Option<Outcome>,
    pub(super) text: String,
}

/// A record that was read.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) record: NodeRecord,
    /// This node's wall clock before it was asked for.
    pub(super) asked: Stamp,
}

impl PeerState {
    /// A peer as a share names it; writes what ssh needs.
    pub(super) fn new(share: &SyncSpec, number: usize, directory: &Path) -> io::Result<Self> {
        let (rsh, ssh_config) = match share.own_shell() {
            Some(rsh) => (rsh, None),
            None => {
                let config = write_ssh_config(&share.peer, number, directory)?;
                (ssh::command(&config), Some(config))
            }
        };
        let remote = Remote { program: "rsync".into(), host: share.peer.host.clone(), rsh };
        Ok(Self {
            remote,
            ssh_config,
            said: None,
            trouble: None,
            reading: false,
            asked_at: Instant::ZERO,
            answered: Instant::ZERO,
        })
    }

    /// Takes in what came of reading.
    pub(super) fn note(&mut self, heard: Result<Heard, Trouble>, now: Instant) {
        match heard {
            Ok(Heard { record, asked }) => {
                self.trouble = None;
                match &mut self.said {
                    Some(said) => {
                        let before = said.peer.moved;
                        said.peer.update(record, now);
                        if said.peer.moved != before {
                            said.local_clock = asked;
                        }
                    }
                    None => {
                        let peer = Peer::new(record, now);
                        self.said = Some(Said { peer, local_clock: asked });
                    }
                }
            }
            Err(trouble) => self.trouble = Some(trouble),
        }
    }

    /// Takes in what was read beside the regular readings, so that the next one of these comes later. Not if one is
    /// under way, or is newer: an older record after a newer one would look like a machine that was set back.
    pub(super) fn note_beside(&mut self, heard: Heard, now: Instant) {
        let newer = self.said.as_ref().is_none_or(|said| {
            let known = &said.peer.record;
            heard.record.process == known.process && heard.record.beat >= known.beat
        });
        if newer && !self.reading {
            self.note(Ok(heard), now);
            self.asked_at = now;
        }
    }

    /// What it said last.
    pub(super) fn peer(&self) -> Option<&Peer> {
        self.said.as_ref().map(|said| &said.peer)
    }

    /// What it said last, if that still holds.
    pub(super) fn fresh(&self, now: Instant) -> Option<&Peer> {
        self.peer().filter(|peer| peer.is_fresh(now, RECORD_FRESH))
    }
}

fn write_ssh_config(to: &Destination, number: usize, directory: &Path) -> io::Result<PathBuf> {
    let files = Files {
        key: directory.join("id_ed25519"),
        known_hosts: directory.join("known_hosts"),
        control: Some(directory.join(format!("mux-{number}"))),
    };
    let text = ssh::ssh_config(to, &files).map_err(io::Error::other)?;
    let path = directory.join(format!("ssh-{number}.conf"));
    fs::write(&path, text)?;
    Ok(path)
}

/// Reads the record of a peer. `to` is a file of this reader alone.
pub(super) async fn read(
    runner: &RunnerHandle,
    remote: &Remote,
    to: PathBuf,
) -> Result<Heard, Trouble> {
    let asked = wall_stamp();
    let file = fetch(runner, remote, STATE_MODULE, RECORD_FILE, &to).await?;
    let record = NodeRecord::parse(&file)
        .map_err(|error| Trouble { outcome: None, text: format!("the peer's record: {error}") })?;
    Ok(Heard { record, asked })
}

/// Fetches one small file.
pub(super) async fn fetch(
    runner: &RunnerHandle,
    remote: &Remote,
    module: &str,
    file: &str,
    to: &Path,
) -> Result<Vec<u8>, Trouble> {
    let fetch = Fetch {
        remote: remote.clone(),
        module: module.to_owned(),
        file: file.to_owned(),
        to: to.to_owned(),
    };
    // One that stays from before would be taken for what was fetched.
    let _ = fs::remove_file(to);
    let text = |text: String| Trouble { outcome: None, text };
    let job = job(fetch.argv(), FETCH_LIMIT).map_err(text)?;
    let report = runner.run(job).await;
    let status = Status::of(report.outcome).map_err(text)?;
    let errors = report.output.as_bytes();
    let outcome = Outcome::of(status, errors);
    if outcome != Outcome::Complete {
        return Err(Trouble { outcome: Some(outcome), text: outcome.told(errors) });
    }
    let bytes = fs::read(to).map_err(|error| text(format!("{}: {error}", to.display())));
    let _ = fs::remove_file(to);
    bytes
}

/// A job for the runner.
pub(super) fn job(argv: Vec<OsString>, limit: Duration) -> Result<Job, String> {
    let word = |word: OsString| {
        word.into_string().map_err(|word| format!("{} is no text", word.display()))
    };
    let argv = argv.into_iter().map(word).collect::<Result<_, _>>()?;
    let mut job = Job::new(argv, limit);
    let variable = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    job.env = ENVIRONMENT.into_iter().map(variable).collect();
    Ok(job)
}

/// This node's steady clock.
pub(super) fn now() -> Instant {
    boot_time()
}
