//! The address thread: jobs in, reports out.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use carp_proto::{Family, VirtualAddress};
use tokio::sync::mpsc;

use super::{AddressFault, AddressKeeper, Hosts, Place, Presence};
use crate::backend::{AddressTable, Announcer};

/// Something for the address thread to do.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) task: Task,
    /// Which router it is for.
    pub(crate) router: usize,
    /// Which of the router's jobs it is.
    pub(crate) ticket: u64,
    pub(crate) place: Arc<Place>,
    pub(crate) addresses: Arc<[VirtualAddress]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Make ready what the others need.
    Prepare,
    Acquire {
        presence: Presence,
        burst: u8,
    },
    Announce {
        burst: u8,
    },
    Release,
    /// Ask who has the addresses, and where these hosts are.
    Probe {
        hosts: Hosts,
    },
    /// Ask these hosts and the default gateway from the address of a family.
    Confirm {
        family: Family,
        hosts: Hosts,
    },
    /// Look whether an address is missing, as an event suggests.
    Verify,
    /// Take down what was made for the addresses.
    Dismantle,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) task: Task,
    pub(crate) router: usize,
    pub(crate) ticket: u64,
    /// Of [`Task::Verify`]: whether an address is missing. Of [`Task::Confirm`]: whether there is a gateway.
    pub(crate) outcome: Result<bool, AddressFault>,
}

/// Jobs that may wait for the thread: more than all routers of an interface ever have.
const QUEUE: usize = 4096;

/// The address thread, from the side of the protocol task.
#[derive(Debug)]
pub(crate) struct AddressThread {
    pub(crate) jobs: SyncSender<Job>,
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
}

impl AddressThread {
    pub(crate) fn start<T: AddressTable, A: Announcer>(
        keeper: AddressKeeper<T, A>,
    ) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE);
        let (reporter, reports) = mpsc::unbounded_channel();
        std::thread::Builder::new()
            .name("carp-addresses".into())
            .spawn(move || work(keeper, &waiting, &reporter))?;
        Ok(Self { jobs, reports })
    }
}

fn work<T: AddressTable, A: Announcer>(
    mut keeper: AddressKeeper<T, A>,
    jobs: &Receiver<Job>,
    reports: &mpsc::UnboundedSender<Report>,
) {
    while let Ok(Job { task, router, ticket, place, addresses }) = jobs.recv() {
        let outcome = match task {
            Task::Prepare => {
                // What fails here fails again when it matters, and is told then.
                let _ = keeper.prepare(&place);
                Ok(false)
            }
            Task::Acquire { presence, burst } => {
                keeper.acquire(&place, &addresses, presence, burst).map(|()| false)
            }
            Task::Announce { burst } => keeper.announce(&place, &addresses, burst).map(|()| false),
            Task::Release => keeper.release(&place, &addresses).map(|_| false),
            Task::Probe { hosts } => keeper.probe(&place, &addresses, hosts).map(|()| false),
            Task::Confirm { family, hosts } => keeper.confirm(&place, &addresses, family, hosts),
            Task::Dismantle => keeper.dismantle(&place).map(|()| false),
            Task::Verify => keeper.is_missing(&place, &addresses),
        };
        if reports.send(Report { task, router, ticket, outcome }).is_err() {
            return;
        }
    }
}
