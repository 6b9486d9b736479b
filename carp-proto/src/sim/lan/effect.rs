//! Whether what is done from outside changes anything.

use super::{Fault, Lan, Power};
use crate::id::Demotion;

impl Lan {
    /// Whether anything is another way once this is done. It is about hosts and links that there are.
    pub(super) fn has_effect(&self, fault: &Fault) -> bool {
        let power = |host: usize| self.hosts[host].power;
        let restarts = |host: usize| match power(host) {
            Power::Running | Power::Down => true,
            Power::Off | Power::Frozen | Power::Paused => false,
        };
        match *fault {
            Fault::Weather(weather) => weather != self.weather,
            Fault::Cut { link, from, to } => self.links[link].deaf[from] >> to & 1 == 0,
            Fault::Split { sides } => sides != self.sides,
            Fault::Heal => {
                let deaf = |link: &super::Link| link.deaf.iter().any(|deaf| *deaf != 0);
                self.sides != 0 || self.links.iter().any(deaf)
            }
            Fault::Unplug { host, link } => self.hosts[host].ports[link].plugged,
            Fault::PlugIn { host, link } => !self.hosts[host].ports[link].plugged,
            Fault::Freeze { host, .. } | Fault::Pause { host, .. } | Fault::Stop { host } => {
                self.is_running(host)
            }
            Fault::Crash { host } => power(host) != Power::Off,
            Fault::Boot { host } => power(host) == Power::Off,
            Fault::Kill { host } => matches!(power(host), Power::Running | Power::Frozen),
            Fault::Start { host } => {
                power(host) == Power::Down || self.is_running(host) && self.hosts[host].stopping
            }
            Fault::Restart { host } => restarts(host),
            Fault::Rerank { host, worse } => {
                restarts(host) || self.hosts[host].revised.worse != Some(worse)
            }
            Fault::Retime { host, interval } => {
                restarts(host) || self.hosts[host].revised.interval != Some(interval)
            }
            Fault::Prefer { host, preempts } => {
                restarts(host) || self.hosts[host].revised.preempts != Some(preempts)
            }
            Fault::Yield { host } => {
                (0..self.links.len()).any(|link| self.view(host, link).claims())
            }
            Fault::Demote { host, points } => {
                let before = |link| self.router(host, link).snapshot(self.now).demotion;
                let demotion = Demotion::clamped(points.into());
                self.is_running(host) && (0..self.links.len()).any(|link| before(link) != demotion)
            }
            Fault::Remove { host, link } => self.holds(host, link),
            Fault::Refuse { host, refuses } => refuses != self.hosts[host].refuses,
            Fault::InUse { host, link } => self.view(host, link).claims(),
        }
    }
}
