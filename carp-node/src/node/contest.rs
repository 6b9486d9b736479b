//! Others who change the addresses: who remove them where we are active, and have them where we are not.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use carp_proto::Instant;
use carp_proto::election::{Input, State};

use super::Node;
use super::suspects::{self, Suspect};
use crate::addresses::Task;
use crate::backend::{Backend, Clock, InstalledAddress, Removal};
use crate::control::proto::RemovalStatus;
use crate::control::units::WallTime;
use crate::driver::Member;
use crate::event::{EventKind, EventSource};

/// For one router, programs are looked for at most this often.
const LOOKED_FOR: Duration = Duration::from_secs(60);

/// Losses this close together are one program's doing.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What is known of others who change the addresses of one router.
#[derive(Debug, Default)]
pub(crate) struct Contest {
    last: Option<Lost>,
    /// When a loss was last counted that was found by looking. Whoever did it may still be named.
    found_at: Option<Instant>,
    /// The addresses that the router found while it was backup, and has told of.
    strangers: Vec<InstalledAddress>,
}

/// An address that somebody removed.
#[derive(Debug)]
struct Lost {
    at: Instant,
    /// Unknown where only its absence was seen.
    address: Option<IpAddr>,
    by: Option<String>,
    /// What to do, once it is known.
    hint: Arc<OnceLock<String>>,
}

impl Contest {
    /// The event that tells of the last loss.
    pub(crate) fn event(&self) -> EventKind {
        let Some(lost) = &self.last else {
            return EventKind::AddressLost { address: None, by: None, hint: None };
        };
        let hint = lost.hint.get().cloned();
        EventKind::AddressLost { address: lost.address, by: lost.by.clone(), hint }
    }

    /// Why the addresses are left to another host.
    pub(crate) fn words(&self) -> String {
        let lost = self.last.as_ref();
        let by = lost.and_then(|lost| lost.by.as_deref()).unwrap_or("another program");
        let hint = lost.and_then(|lost| lost.hint.get());
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        format!("{by} keeps removing the addresses{hint}")
    }

    /// What the router must not have had as a backup, in words, if it has any.
    pub(super) fn fault(&self, interface: &str) -> Option<String> {
        Some(stranger_words(self.strangers.first()?, interface))
    }

    /// The last loss, for the status.
    pub(super) fn status(&self, now: Instant, wall: WallTime) -> Option<RemovalStatus> {
        let lost = self.last.as_ref()?;
        Some(RemovalStatus {
            time: wall.earlier(now.saturating_since(lost.at)),
            address: lost.address,
            by: lost.by.clone(),
            hint: lost.hint.get().cloned(),
        })
    }

    /// Whether a removal that is told now may be the loss that was found by looking a moment ago.
    fn has_just_been_found(&self, now: Instant) -> bool {
        self.found_at.is_some_and(|at| now.saturating_since(at) < AT_ONCE)
    }

    /// Notes a loss that was found by looking.
    fn note_found(
        &mut self,
        now: Instant,
        programs: Option<fn() -> Vec<String>>,
        tell: impl FnOnce(&str) + Send + 'static,
    ) {
        self.found_at = Some(now);
        self.note_unnamed(now, programs, tell);
    }

    /// Notes a loss whose remover the kernel did not name, unless one that it named has just been noted.
    fn note_unnamed(
        &mut self,
        now: Instant,
        programs: Option<fn() -> Vec<String>>,
        tell: impl FnOnce(&str) + Send + 'static,
    ) {
        let within = |time| {
            let recent = |last: &&Lost| now.saturating_since(last.at) < time;
            self.last.as_ref().filter(recent)
        };
        if within(AT_ONCE).is_some_and(|last| last.by.is_some()) {
            return;
        }
        let unnamed = within(LOOKED_FOR).filter(|last| last.by.is_none());
        let hint = match (unnamed, programs) {
            (Some(last), _) => Arc::clone(&last.hint),
            (None, Some(programs)) => look_for_suspects(programs, tell),
            (None, None) => Arc::default(),
        };
        self.last = Some(Lost { at: now, address: None, by: None, hint });
    }
}

/// Looks, on a thread of its own, which programs run that are known to remove addresses.
fn look_for_suspects(
    programs: fn() -> Vec<String>,
    tell: impl FnOnce(&str) + Send + 'static,
) -> Arc<OnceLock<String>> {
    let found = Arc::<OnceLock<String>>::default();
    let answer = Arc::clone(&found);
    let look = move || {
        if let Some(hint) = suspects::hint(&programs()) {
            tell(answer.get_or_init(|| hint));
        }
    };
    // Without a thread there is no hint, and nothing else.
    let _ = std::thread::Builder::new().name("carp-suspects".into()).spawn(look);
    found
}

/// Losses.
impl<B: Backend> Node<B> {
    /// Somebody has removed an address, and the kernel says who: it need not be looked for.
    pub(super) fn removed(&mut self, removal: &Removal) {
        // What the address thread removes, it was told to.
        if Some(removal.by.port) == self.own_port {
            return;
        }
        let found = self.interfaces.iter_mut().find(|(_, it)| it.index == removal.index);
        let Some((name, interface)) = found else { return };
        interface.addresses.retain(|it| (it.ip, it.prefix_len) != (removal.ip, removal.prefix_len));
        let name = name.clone();
        for index in 0..self.members.len() {
            if self.members[index].place.interface == name
                && concerns(&self.members[index], removal)
            {
                self.lost(index, removal);
            }
        }
    }

    /// A router has lost an address. Of a loss that was found by looking, and counted, this may be the
    /// name: whether the address is missing again has to be looked for.
    fn lost(&mut self, router: usize, removal: &Removal) {
        let (now, member) = (self.clock.now(), &mut self.members[router]);
        let named = lost_by(now, removal);
        if !member.contest.has_just_been_found(now) {
            member.contest.last = Some(named);
            return self.input(router, Input::AddressLost);
        }
        if member.contest.last.as_ref().is_none_or(|last| last.by.is_none()) {
            let by = named.by.as_deref().unwrap_or_default();
            let text = format!("the address that was missing, {}, was removed by {by}", removal.ip);
            self.events.tell(Some(&member.name), EventKind::Log { text });
        }
        member.contest.last = Some(named);
        // If the thread is that busy, the next link event or renewal finds it.
        let _ = self.addresses.jobs.try_send(member.job(router, Task::Verify, 0));
    }

    /// Addresses of a router have been found missing.
    pub(super) fn missed(&mut self, router: usize) {
        if self.may_have_expired(router) {
            return self.input(router, Input::AddressExpired);
        }
        let (now, programs) = (self.clock.now(), self.backend.programs());
        let Some(member) = self.members.get_mut(router) else { return };
        if member.router.state() != State::Active {
            return;
        }
        let (events, name) = (self.events.clone(), Arc::clone(&member.name));
        member.contest.note_found(now, programs, move |hint| {
            let text = format!("the kernel does not say who removed the address; {hint}");
            events.tell(Some(&name), EventKind::Log { text });
        });
        self.input(router, Input::AddressLost);
    }
}

/// Whether a removal took an address from a router that serves it. Of the same address with another
/// prefix, somebody has to look.
fn concerns(member: &Member, removal: &Removal) -> bool {
    let (ip, prefix_len) = (removal.ip, removal.prefix_len);
    let is_it = |it: &carp_proto::VirtualAddress| it.ip() == ip && it.prefix_len() == prefix_len;
    member.router.state() == State::Active
        && !member.place.owned
        && member.addresses.iter().any(is_it)
}

fn lost_by(now: Instant, removal: &Removal) -> Lost {
    let hint = Arc::<OnceLock<String>>::default();
    let program = removal.by.program.as_ref();
    if let Some(suspect) = program.and_then(|program| Suspect::named(&program.name)) {
        let _ = hint.set(suspect.remedy.to_owned());
    }
    let by = match program {
        Some(program) => program.to_string(),
        None => format!("a program that has ended (netlink port {})", removal.by.port),
    };
    Lost { at: now, address: Some(removal.ip), by: Some(by), hint }
}

/// Addresses where they should not be.
impl<B: Backend> Node<B> {
    /// Looks what backups have on an interface that has changed.
    pub(super) fn inspect_backups(&mut self, interface: &str) {
        for router in 0..self.members.len() {
            if self.members[router].place.interface == interface {
                self.inspect_backup(router);
            }
        }
    }

    /// Has the address thread look at what a backup has, unless all of it is known. What is ours was left
    /// behind, or is just being removed. What is not, only the thread can tell: not every kernel keeps a
    /// mark, and the record of what we have added is there.
    pub(super) fn inspect_backup(&mut self, router: usize) {
        let found = self.found_on_backup(router);
        let member = &mut self.members[router];
        member.contest.strangers.retain(|known| found.iter().any(|found| found.ip == known.ip));
        let is_known = |ip| member.contest.strangers.iter().any(|known| known.ip == ip);
        if found.iter().any(|found| !is_known(found.ip)) {
            // If the thread is that busy, the next change of the interface asks again.
            let _ = self.addresses.jobs.try_send(member.job(router, Task::Clear, 0));
        }
    }

    /// Tells of addresses that a backup should not have, each once for as long as it is there.
    pub(super) fn found_strange(&mut self, router: usize, found: Vec<InstalledAddress>) {
        let Some(Member { contest, place, name, router, .. }) = self.members.get_mut(router) else {
            return;
        };
        if router.state() == State::Backup && !place.owned {
            tell_strangers(&self.events, name, &place.interface, &contest.strangers, &found);
            contest.strangers = found;
        }
    }

    /// The addresses of a router that are there although it is backup.
    fn found_on_backup(&self, router: usize) -> Vec<InstalledAddress> {
        let member = &self.members[router];
        let home = self.interfaces.get(&member.place.interface);
        let Some(home) = home.filter(|_| !member.place.owned) else { return Vec::new() };
        if member.router.state() != State::Backup {
            return Vec::new();
        }
        let is_its = |ip: IpAddr| member.addresses.iter().any(|address| address.ip() == ip);
        home.addresses.iter().filter(|found| is_its(found.ip)).cloned().collect()
    }
}

fn tell_strangers(
    events: &EventSource,
    name: &Arc<str>,
    interface: &str,
    known: &[InstalledAddress],
    found: &[InstalledAddress],
) {
    let is_known = |found: &&InstalledAddress| !known.iter().any(|known| known.ip == found.ip);
    for stranger in found.iter().filter(is_known) {
        let text = stranger_words(stranger, interface);
        events.tell(Some(name), EventKind::Fault { text });
    }
}

fn stranger_words(stranger: &InstalledAddress, interface: &str) -> String {
    let InstalledAddress { ip, prefix_len, .. } = stranger;
    format!(
        "{ip} is on {interface} although this router is backup, and carp has not added it: two hosts \
         answer for it; ip address del {ip}/{prefix_len} dev {interface}"
    )
}
