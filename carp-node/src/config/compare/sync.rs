//! Shares on two nodes.

use std::path::Path;

use super::{Config, Diagnostic};
use crate::config::{Location, SyncSpec};

/// Compares the shares of two nodes: each has to be on both, and to mean the same.
pub(super) fn compare(ours: &Config, theirs: &Config, found: &mut Vec<Diagnostic>) {
    let named = |shares: &[SyncSpec], name: &str| shares.iter().position(|it| it.name == name);
    for share in &ours.shares {
        match named(&theirs.shares, &share.name) {
            Some(other) => {
                Pair { ours: share, theirs: &theirs.shares[other], found: &mut *found }.compare();
            }
            None => found.push(alone(share, "the other node")),
        }
    }
    let unseen = theirs.shares.iter().filter(|it| named(&ours.shares, &it.name).is_none());
    found.extend(unseen.map(|share| alone(share, "this node")));
}

fn alone(share: &SyncSpec, node: &str) -> Diagnostic {
    let message = format!("share {:?} is missing on {node}", share.name);
    let help = "nothing is copied: both nodes need a table of the same name";
    share.place.error(message).with_help(help)
}

struct Pair<'a> {
    ours: &'a SyncSpec,
    theirs: &'a SyncSpec,
    found: &'a mut Vec<Diagnostic>,
}

impl Pair<'_> {
    fn compare(&mut self) {
        let (ours, theirs) = (self.ours, self.theirs);
        if ours.router != theirs.router {
            let help = "a share follows the same router on both nodes";
            let message = self.difference("router", &ours.router, &theirs.router);
            self.found.push(self.place("router").error(message).with_help(help));
        }
        self.doubtful("path", &path(&ours.path), &path(&theirs.path), "is it the same folder?");
        let help = "what only one node excludes is deleted or copied over by the other's passes";
        self.doubtful(
            "exclude",
            &format!("{:?}", ours.exclude),
            &format!("{:?}", theirs.exclude),
            help,
        );
        let help = "what is copied one way and not the other is lost with the first failback";
        self.doubtful("attributes", &ours.attributes, &theirs.attributes, help);
        let help = "the node that does not wait for its data takes over with an old copy";
        self.doubtful("require", &ours.policy.require, &theirs.policy.require, help);
        let timeouts =
            [ours, theirs].map(|it| crate::config::format_duration(it.policy.handover_timeout));
        let help = "the shorter one ends a handover that the other one still waits for";
        self.doubtful("handover_timeout", &timeouts[0], &timeouts[1], help);
        for (key, here, there) in [
            ("quiesce", ours.quiesce.is_some(), theirs.quiesce.is_some()),
            ("unquiesce", ours.unquiesce.is_some(), theirs.unquiesce.is_some()),
        ] {
            if here != there {
                let (with, without) =
                    if here { ("this", "the other") } else { ("the other", "this") };
                let message = format!("only {with} node has {key}: on {without} one writers go on");
                let help = "a handover stops the writers of the node that serves, whichever it is";
                self.found.push(self.place(key).warning(message).with_help(help));
            }
        }
    }

    /// A warning: the values of a key are seldom wanted to be different.
    fn doubtful<T: PartialEq + std::fmt::Display>(
        &mut self,
        key: &str,
        here: &T,
        there: &T,
        help: &str,
    ) {
        if here != there {
            let message = self.difference(key, here, there);
            self.found.push(self.place(key).warning(message).with_help(help));
        }
    }

    fn difference(
        &self,
        key: &str,
        here: impl std::fmt::Display,
        there: impl std::fmt::Display,
    ) -> String {
        format!("{key} is {here} here and {there} at {}", self.theirs.place(key))
    }

    fn place(&self, key: &str) -> &Location {
        self.ours.place(key)
    }
}

fn path(path: &Path) -> String {
    path.display().to_string()
}
