//! What a pass did, counted from what rsync prints.

use crate::sync::rsync::output::{Change, Line, Stat};

/// How many differences are listed.
const LISTED: usize = 1000;

/// The figures of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Files in the share.
    pub(super) files: u64,
    /// Files and other entries that were changed or made.
    pub(super) changed: u64,
    pub(super) deleted: u64,
    /// Bytes of the files that were received.
    pub(super) bytes: u64,
    /// Bytes that crossed the network.
    pub(super) received: u64,
    /// The first differences, in words, if somebody asked for them.
    pub(super) listed: Vec<String>,
}

impl Figures {
    /// Counts a line, and if it is about a difference, `lists` it.
    pub(super) fn note(&mut self, line: &Line, lists: bool) {
        match line {
            Line::Item(item) => {
                let mark = match item.change {
                    Change::Received { new: true } | Change::Created | Change::Linked => "+",
                    Change::Received { new: false } => "~",
                    Change::Attributes => "=",
                    Change::Deleted => "-",
                    Change::Message => return,
                };
                match item.change {
                    Change::Deleted => self.deleted += 1,
                    Change::Received { .. } => {
                        self.changed += 1;
                        self.bytes = self.bytes.saturating_add(item.len);
                    }
                    Change::Created | Change::Linked | Change::Attributes => self.changed += 1,
                    Change::Message => {}
                }
                if lists && self.listed.len() < LISTED {
                    self.listed.push(format!("{mark} {}", String::from_utf8_lossy(&item.path)));
                }
            }
            Line::Stat(Stat::Files, files) => self.files = *files,
            Line::Stat(Stat::Received, bytes) => {
                self.received = self.received.saturating_add(*bytes);
            }
            Line::Stat(..) | Line::Progress(_) | Line::Other(_) => {}
        }
    }

    /// Whether it moved nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.changed == 0 && self.deleted == 0
    }
}
