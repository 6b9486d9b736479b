//! How long takeovers took, each from what it is owed to.

use std::time::Duration;

use carp_proto::sim::{Claim, Fault, Lan, Step};

/// Each time until `end` that another host got the addresses of a link than had them last, from what was done to the
/// one, or for the other, that is why.
///
/// One for which nothing was done has no beginning, and is not among them: a false takeover, what comes of one, a
/// preemption after a hold.
pub(super) fn takeovers(lan: &Lan, link: usize, end: Duration) -> Vec<Duration> {
    let mut takeovers = Vec::new();
    let mut holder: Option<Holder> = None;
    let mut before = 0;
    for change in lan.record().holders.iter().filter(|it| it.link == link && it.at <= end) {
        let gained = change.hosts & !before;
        before = change.hosts;
        let host = first(gained);
        if let Some(old) = holder.filter(|old| gained != 0 && old.host != host) {
            let claims = &lan.record().claims;
            let of =
                |claim: &&Claim| (claim.host, claim.link) == (host, link) && claim.at <= change.at;
            let claim = claims.iter().rfind(of);
            if let Some(claim) = claim.filter(|claim| claim.unbeaten >> old.host & 1 == 0) {
                takeovers.extend(old.owed_to(lan, claim).map(|step| change.at - step.at));
                holder = Some(Holder { host, since: change.at });
            }
        }
        if change.hosts.count_ones() == 1 {
            let host = first(change.hosts);
            holder =
                holder.filter(|it| it.host == host).or(Some(Holder { host, since: change.at }));
        }
    }
    takeovers
}

/// The first of these hosts; bit n is the host n.
fn first(hosts: u32) -> usize {
    usize::try_from(hosts.trailing_zeros()).unwrap_or(usize::MAX)
}

/// Who has the addresses, or had them last.
#[derive(Clone, Copy, Debug)]
struct Holder {
    host: usize,
    since: Duration,
}

impl Holder {
    /// What was done that another one takes over from it: to it, until it was no longer heard as the active router; or
    /// if it is, what lets a better one preempt.
    fn owed_to<'a>(&self, lan: &'a Lan, claim: &Claim) -> Option<&'a Step> {
        let heard = claim.heard >> self.host & 1 == 1;
        let until = if heard { claim.at } else { self.claimed_until(lan, claim) };
        let is_why = |step: &&Step| {
            let in_time = step.at > self.since && step.at <= until;
            in_time
                && if heard {
                    self.is_outdone_by(&step.fault, claim.host)
                } else {
                    self.is_ended_by(&step.fault)
                }
        };
        lan.record().steps.iter().rfind(is_why)
    }

    /// When it claimed to be active last before another one did.
    fn claimed_until(&self, lan: &Lan, claim: &Claim) -> Duration {
        let views = lan.record().views(self.host, claim.link, claim.at);
        let last = views.iter().rfind(|(_, view)| view.claims());
        last.map_or(claim.at, |(span, _)| span.to)
    }

    /// Whether it can be why this host serves no longer, or is not heard.
    fn is_ended_by(&self, fault: &Fault) -> bool {
        match *fault {
            Fault::Split { .. } => true,
            Fault::Weather(_)
            | Fault::Heal
            | Fault::PlugIn { .. }
            | Fault::Boot { .. }
            | Fault::Start { .. }
            | Fault::Refuse { refuses: false, .. } => false,
            _ => fault.host() == Some(self.host),
        }
    }

    /// Whether it can be why a better router preempts this one.
    fn is_outdone_by(&self, fault: &Fault, better: usize) -> bool {
        match *fault {
            Fault::PlugIn { host, .. }
            | Fault::Boot { host }
            | Fault::Start { host }
            | Fault::Restart { host }
            | Fault::Prefer { host, .. }
            | Fault::Refuse { host, refuses: false } => host == better,
            Fault::Demote { host, .. }
            | Fault::Rerank { host, .. }
            | Fault::Retime { host, .. } => host == better || host == self.host,
            _ => false,
        }
    }
}
