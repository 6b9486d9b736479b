//! Two trees, compared by the checksums of every file.

use std::path::PathBuf;

use serde::Serialize;

use super::run;
use crate::config::SyncSpec;
use crate::sync::rescue::path;
use crate::sync::rsync::command::{Care, Pass, Remote};
use crate::sync::rsync::output::{Change, Line, Reader, Stat};
use crate::sync::rsync::version::Rsync;

/// How many differences are listed.
pub const DIFFERENCES: usize = 1000;

/// An entry that is not the same on both nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `here` if only this node has it, `peer` if only the other one has, `content` or `attributes` if they
    /// differ in that.
    pub kind: &'static str,
    /// Its path in the share; bytes that are no text are written as escapes.
    pub path: String,
}

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) entries: u64,
    pub(super) differ: u64,
    /// Bytes of the files that a pass would receive.
    pub(super) bytes: u64,
    pub(super) listed: Vec<Difference>,
}

/// Compares: a pass that only says what it would do, and believes no time and no length.
pub(super) fn compare(
    share: &SyncSpec,
    rsync: &Rsync,
    remote: &Remote,
    root: PathBuf,
) -> Result<Compared, String> {
    let pass = Pass {
        remote: remote.clone(),
        module: share.name.clone(),
        path: root,
        care: Care::DryRun,
        max_delete: u64::MAX,
        attributes: share.attributes,
        bandwidth: share.bandwidth,
        compress: share.compress,
        exclude: share.exclude.iter().map(Into::into).collect(),
    };
    let mut argv = pass.argv(rsync);
    argv.insert(1, "--checksum".into());
    let output = run::output(argv)?;
    run::judged(&output)?;
    let (mut reader, mut compared) = (Reader::default(), Compared::default());
    reader.push(&output.stdout, |line| compared.note(line));
    reader.finish(|line| compared.note(line));
    Ok(compared)
}

impl Compared {
    fn note(&mut self, line: Line) {
        let item = match line {
            Line::Item(item) => item,
            Line::Stat(Stat::Files, files) => {
                self.entries = files;
                return;
            }
            Line::Stat(..) | Line::Progress(_) | Line::Other(_) => return,
        };
        let kind = match item.change {
            Change::Received { new: true } | Change::Created => "peer",
            Change::Received { new: false } => "content",
            Change::Attributes | Change::Linked => "attributes",
            Change::Deleted => "here",
            Change::Message => return,
        };
        self.differ += 1;
        if matches!(item.change, Change::Received { .. }) {
            self.bytes = self.bytes.saturating_add(item.len);
        }
        if self.listed.len() < DIFFERENCES {
            self.listed
                .push(Difference { kind, path: path::to_text(&PathBuf::from(bytes(item.path))) });
        }
    }
}

fn bytes(path: Vec<u8>) -> std::ffi::OsString {
    std::os::unix::ffi::OsStringExt::from_vec(path)
}
