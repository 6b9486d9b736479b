//! Why nothing is copied until somebody has looked.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a share is held. The label is for programs, the message for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The reason.
    pub reason: HoldReason,
    /// What is wrong, where, and what to do.
    pub message: String,
}

impl Hold {
    /// A hold whose message begins with `what` and ends with the remedy of the reason.
    #[must_use]
    pub fn new(reason: HoldReason, what: impl fmt::Display) -> Self {
        Self { reason, message: format!("{what}; {}", reason.remedy()) }
    }

    /// What holds a share in which this database is.
    #[must_use]
    pub fn of_database(database: impl fmt::Display) -> Self {
        Self::new(HoldReason::LiveDatabase, format_args!("the share contains {database}"))
    }
}

/// The reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldReason {
    /// The operator said so.
    Operator,
    /// The memory of the share was damaged.
    StateDamaged,
    /// There is a tree here, and nothing is known about where it comes from.
    NotAdopted,
    /// Both sides wrote since they were last in step.
    Diverged,
    /// The one that serves has forgotten what it once served.
    RolledBackSource,
    /// The histories are too long to be compared.
    HistoryTooShort,
    /// Somebody else than the peer sends the adverts.
    ThirdRouter,
    /// Both nodes have the same name.
    SameName,
    /// The peer's share is another one.
    OtherShare,
    /// The source has no marker file in its root.
    SourceMarkerMissing,
    /// The own root has no marker file, or another one.
    LocalMarkerMissing,
    /// A pass would delete more than the limit.
    MassDelete,
    /// The share contains a live database.
    LiveDatabase,
    /// The target cannot be written.
    ReadOnlyTarget,
    /// The root of the share is not there, or is no directory.
    RootMissing,
    /// What a pass with rescue would keep does not fit.
    RescueSpace,
    /// The rescue set would not be on the share's file system.
    RescueElsewhere,
    /// The program is missing, is none, or is too old.
    RsyncVersion,
    /// The program, the module or its options are not as they should be.
    RsyncSetup,
}

impl HoldReason {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Operator,
        Self::StateDamaged,
        Self::NotAdopted,
        Self::Diverged,
        Self::RolledBackSource,
        Self::HistoryTooShort,
        Self::ThirdRouter,
        Self::SameName,
        Self::OtherShare,
        Self::SourceMarkerMissing,
        Self::LocalMarkerMissing,
        Self::MassDelete,
        Self::LiveDatabase,
        Self::ReadOnlyTarget,
        Self::RootMissing,
        Self::RescueSpace,
        Self::RescueElsewhere,
        Self::RsyncVersion,
        Self::RsyncSetup,
    ];

    /// The label in JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::StateDamaged => "state-damaged",
            Self::NotAdopted => "not-adopted",
            Self::Diverged => "diverged",
            Self::RolledBackSource => "rolled-back-source",
            Self::HistoryTooShort => "history-too-short",
            Self::ThirdRouter => "third-router",
            Self::SameName => "same-name",
            Self::OtherShare => "other-share",
            Self::SourceMarkerMissing => "source-marker-missing",
            Self::LocalMarkerMissing => "local-marker-missing",
            Self::MassDelete => "mass-delete",
            Self::LiveDatabase => "live-database",
            Self::ReadOnlyTarget => "read-only-target",
            Self::RootMissing => "root-missing",
            Self::RescueSpace => "rescue-space",
            Self::RescueElsewhere => "rescue-elsewhere",
            Self::RsyncVersion => "rsync-version",
            Self::RsyncSetup => "rsync-setup",
        }
    }

    /// Whether a pass finds out with the source's help whether it still is so.
    #[must_use]
    pub const fn is_of_source(self) -> bool {
        match self {
            Self::SourceMarkerMissing | Self::OtherShare | Self::MassDelete | Self::RescueSpace => {
                true
            }
            Self::Operator
            | Self::StateDamaged
            | Self::NotAdopted
            | Self::Diverged
            | Self::RolledBackSource
            | Self::HistoryTooShort
            | Self::ThirdRouter
            | Self::SameName
            | Self::LocalMarkerMissing
            | Self::LiveDatabase
            | Self::ReadOnlyTarget
            | Self::RootMissing
            | Self::RescueElsewhere
            | Self::RsyncVersion
            | Self::RsyncSetup => false,
        }
    }

    /// Whether it is about what is on the disks, so that it is still so when the peer was restarted.
    #[must_use]
    pub const fn is_of_trees(self) -> bool {
        match self {
            Self::NotAdopted
            | Self::Diverged
            | Self::RolledBackSource
            | Self::HistoryTooShort
            | Self::OtherShare
            | Self::LiveDatabase => true,
            Self::Operator
            | Self::StateDamaged
            | Self::ThirdRouter
            | Self::SameName
            | Self::SourceMarkerMissing
            | Self::LocalMarkerMissing
            | Self::MassDelete
            | Self::ReadOnlyTarget
            | Self::RootMissing
            | Self::RescueSpace
            | Self::RescueElsewhere
            | Self::RsyncVersion
            | Self::RsyncSetup => false,
        }
    }

    /// What to do: the end of the message.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Operator => "release it with `carp sync hold --release`",
            Self::StateDamaged | Self::NotAdopted => {
                "look at both trees (`carp sync diff`), then say which one counts: \
                 `carp sync resolve --keep peer` copies the peer's and keeps what is here in a rescue set, \
                 `--keep local` lets the peer copy this one"
            }
            Self::Diverged | Self::HistoryTooShort => {
                "look at both trees (`carp sync diff`), then say which one counts: \
                 `carp sync resolve --keep local` or `--keep peer`; the other side's versions go into a \
                 rescue set"
            }
            Self::RolledBackSource => {
                "let this node serve (`carp sync resolve --keep local`), or, if the older data is meant to \
                 count, `--keep peer`"
            }
            Self::ThirdRouter => {
                "give the third router another id, or name the right server in `peer`"
            }
            Self::SameName => "set `name` under [node] on one of them",
            Self::OtherShare => {
                "compare `path` on both nodes; if one share was set up anew, \
                 `carp sync resolve --keep peer` adopts the peer's"
            }
            Self::SourceMarkerMissing => {
                "mount the share on the peer; if only the file was deleted, `carp sync status` there has the \
                 command that makes it anew"
            }
            Self::LocalMarkerMissing => {
                "mount the share; if it was emptied on purpose, `carp sync resolve --keep peer` fills it again"
            }
            Self::MassDelete => {
                "if it is meant, `carp sync approve` lets one pass do it; otherwise look at the peer's tree first"
            }
            Self::LiveDatabase => {
                "exclude it, and use the database's own replication or dump: a copy of files that a \
                 server writes does not start"
            }
            Self::ReadOnlyTarget => {
                "mount it writable, or look for errors of the disk in the kernel's log"
            }
            Self::RootMissing => "mount it, or correct `path`",
            Self::RescueSpace => {
                "free the space, or give up old sets: `carp sync rescue list`, `ack`, and `prune --all`"
            }
            Self::RescueElsewhere => {
                "the folder above the share has to be on the same file system: make the share a folder \
                 below its mount point"
            }
            Self::RsyncVersion => "install rsync 3.1.3 or newer",
            Self::RsyncSetup => {
                "`carp sync check` says what is wrong; correct it on the node that it names"
            }
        }
    }
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_what_json_says_and_every_message_ends_with_a_remedy() {
        for reason in HoldReason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.label()));
            let hold = Hold::new(reason, "something is wrong");
            assert!(hold.message.starts_with("something is wrong; "), "{hold:?}");
            assert!(hold.message.ends_with(reason.remedy()), "{hold:?}");
            assert!(!hold.message.ends_with('.'), "{hold:?}");
        }
    }
}
