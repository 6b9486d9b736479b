//! What a kernel that does not mark addresses would forget.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use carp_proto::VirtualAddress;

/// The addresses that we added where the kernel does not remember who did: one `INTERFACE ADDRESS` a
/// line, in the state directory. On kernels since 5.18 there is no such file.
#[derive(Debug, Default)]
pub struct Record {
    path: Option<PathBuf>,
    entries: BTreeSet<(String, IpAddr)>,
}

impl Record {
    /// The record of a state directory. One that cannot be read is empty.
    #[must_use]
    pub fn open(state_dir: &Path) -> Self {
        let path = state_dir.join("addresses");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let entry = |line: &str| {
            let (interface, ip) = line.split_once(' ')?;
            Some((interface.to_owned(), ip.parse().ok()?))
        };
        let entries = text.lines().filter_map(entry).collect();
        Self { path: Some(path), entries }
    }

    /// A record that is kept in memory only.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::default()
    }

    pub(super) fn contains(&self, interface: &str, ip: IpAddr) -> bool {
        self.entries.contains(&(interface.to_owned(), ip))
    }

    pub(super) fn insert(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<()> {
        for address in addresses {
            self.entries.insert((interface.to_owned(), address.ip()));
        }
        self.save()
    }

    pub(super) fn remove(&mut self, interface: &str, ip: IpAddr) {
        if self.entries.remove(&(interface.to_owned(), ip)) {
            // An entry too many names an address that is gone, and is no harm.
            let _ = self.save();
        }
    }

    fn save(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let line = |(interface, ip): &(String, IpAddr)| format!("{interface} {ip}\n");
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, self.entries.iter().map(line).collect::<String>())?;
        std::fs::rename(&temporary, path)
    }
}
