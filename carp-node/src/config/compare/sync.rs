//! Shares on two nodes.

use std::fmt::Display;

use super::{Config, Diagnostic, Pair};
use crate::config::{SyncSpec, format_duration};

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

impl Pair<'_, SyncSpec> {
    fn compare(&mut self) {
        let (ours, theirs) = (self.ours, self.theirs);
        if ours.router != theirs.router {
            let help = "a share follows the same router on both nodes";
            self.differs("router", &ours.router, &theirs.router, help);
        }
        let [here, there] = [ours, theirs].map(|it| it.path.display().to_string());
        self.alike("path", here, there, "is it the same folder?");
        let help = "what only one node excludes is deleted or copied over by the other's passes";
        let [here, there] = [ours, theirs].map(|it| format!("{:?}", it.exclude));
        self.alike("exclude", here, there, help);
        let help = "what is copied one way and not the other is lost with the first failback";
        self.alike("attributes", ours.attributes, theirs.attributes, help);
        let help = "the node that does not wait for its data takes over with an old copy";
        self.alike("require", ours.policy.require, theirs.policy.require, help);
        let [here, there] = [ours, theirs].map(|it| format_duration(it.policy.handover_timeout));
        let help = "the shorter one ends a handover that the other one still waits for";
        self.alike("handover_timeout", here, there, help);
        for (key, here, there) in [
            ("quiesce", ours.quiesce.is_some(), theirs.quiesce.is_some()),
            ("unquiesce", ours.unquiesce.is_some(), theirs.unquiesce.is_some()),
        ] {
            if here != there {
                let (with, without) =
                    if here { ("this", "the other") } else { ("the other", "this") };
                let message = format!("only {with} node has {key}: on {without} one writers go on");
                let help = "a handover stops the writers of the node that serves, whichever it is";
                self.warning(ours.place(key), message, help);
            }
        }
    }

    /// A warning if the values of a key are not the same.
    fn alike<T: PartialEq + Display>(&mut self, key: &str, here: T, there: T, help: &str) {
        if here != there {
            self.doubtful(key, here, there, help);
        }
    }
}
