//! What a kernel that does not mark addresses would forget.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use carp_proto::VirtualAddress;

use crate::event::{EventKind, EventSource};
use crate::state::StateFile;

/// The addresses that we added where the kernel does not remember who did: one `INTERFACE ADDRESS` a
/// line, in a [file](StateFile::of_this_boot) of the state directory. On kernels since 5.18 there is no
/// such file.
///
/// Where it cannot be kept, addresses are taken all the same, and that is told.
#[derive(Debug, Default)]
pub struct Record {
    file: Option<StateFile>,
    entries: BTreeSet<(String, IpAddr)>,
    trouble: Option<String>,
    events: Option<EventSource>,
}

impl Record {
    /// The record of a state directory. One that cannot be read is empty, and has a
    /// [trouble](Self::trouble).
    #[must_use]
    pub fn open(state_dir: &Path) -> Self {
        let file = StateFile::of_this_boot(state_dir, "addresses");
        let (text, trouble) = match file.read() {
            Ok(text) => (text.unwrap_or_default(), None),
            Err(error) => (String::new(), Some(troubled(&error))),
        };
        let entry = |line: &str| {
            let (interface, ip) = line.split_once(' ')?;
            Some((interface.to_owned(), ip.parse().ok()?))
        };
        let entries = text.lines().filter_map(entry).collect();
        Self { file: Some(file), entries, trouble, events: None }
    }

    /// A record that is kept in memory only.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    /// Tells its troubles as events: the present one, if there is one, and those to come.
    #[must_use]
    pub fn telling(mut self, events: EventSource) -> Self {
        if let Some(text) = self.trouble.clone() {
            events.tell(None, EventKind::Fault { text });
        }
        self.events = Some(events);
        self
    }

    /// Why it is not kept at present, in words.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    pub(super) fn contains(&self, interface: &str, ip: IpAddr) -> bool {
        self.entries.contains(&(interface.to_owned(), ip))
    }

    pub(super) fn insert(&mut self, interface: &str, addresses: &[VirtualAddress]) {
        for address in addresses {
            self.entries.insert((interface.to_owned(), address.ip()));
        }
        self.save();
    }

    pub(super) fn remove(&mut self, interface: &str, ip: IpAddr) {
        if self.entries.remove(&(interface.to_owned(), ip)) {
            self.save();
        }
    }

    /// A failure is told once, and so is its end.
    fn save(&mut self) {
        let Some(file) = &self.file else { return };
        let line = |(interface, ip): &(String, IpAddr)| format!("{interface} {ip}\n");
        let content: String = self.entries.iter().map(line).collect();
        let trouble = file.write(&content).err().map(|error| troubled(&error));
        if trouble != self.trouble {
            let kind = match &trouble {
                Some(text) => EventKind::Fault { text: text.clone() },
                None => {
                    let path = file.path().display();
                    EventKind::Log { text: format!("{path} is kept again") }
                }
            };
            self.events.iter().for_each(|events| events.tell(None, kind.clone()));
        }
        self.trouble = trouble;
    }
}

/// A trouble, and what it means.
fn troubled(error: &crate::state::StateError) -> String {
    format!("{error}; addresses that a daemon left which was killed may not be known as ours")
}
