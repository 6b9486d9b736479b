//! The address thread: jobs in, reports out.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll};

use carp_proto::{Family, Instant, VirtualAddress};
use tokio::sync::mpsc;

use super::lease::Unleased;
use super::pace::{self, Jobs};
use super::{AddressFault, AddressKeeper, Hosts, Place, Presence};
use crate::backend::{AddressTable, Announcer, InstalledAddress};

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
    /// Give back what is ours, if anything is: the router is not active. It says whether there was any, and
    /// what is there that is not.
    Clear,
    /// Renew the lease. Asked for then; good until the next renewal is due.
    Renew {
        asked_at: Instant,
    },
    /// Ask who has the addresses, and where these hosts are.
    Probe {
        hosts: Hosts,
    },
    /// Ask a host where it is.
    Ask {
        host: IpAddr,
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
    /// Nothing: its report says that everything before it is done.
    Settle,
}

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) task: Task,
    pub(crate) router: usize,
    pub(crate) ticket: u64,
    /// Of [`Task::Verify`] and [`Task::Renew`]: whether an address is missing; of [`Task::Clear`]: whether one
    /// was there; of [`Task::Confirm`]: whether there is a gateway.
    pub(crate) outcome: Result<bool, AddressFault>,
    /// Of [`Task::Renew`]: why some addresses have no lifetime.
    pub(crate) unleased: Option<Unleased>,
    /// Of [`Task::Clear`]: the addresses that are there and not ours.
    pub(crate) strange: Vec<InstalledAddress>,
}

impl Report {
    /// Whether it says only that all is as it should be.
    fn is_quiet(&self) -> bool {
        let went_well = matches!(self.outcome, Ok(false)) && self.unleased.is_none();
        went_well && matches!(self.task, Task::Renew { .. })
    }
}

/// Jobs that may wait for the thread: so many for each router, and so many at least. The channel has its memory
/// from the start.
const QUEUE_EACH: usize = 16;
const QUEUE_LEAST: usize = 512;

/// Reports that may wait for the protocol task to wake by itself.
const QUIET: usize = 256;

/// The address thread, from the side of the protocol task.
#[derive(Debug)]
pub(crate) struct AddressThread {
    pub(crate) jobs: SyncSender<Job>,
    pub(crate) reports: mpsc::UnboundedReceiver<Report>,
    /// Renewals that went well. They wake nobody: it is in time to look whenever something else is done.
    quiet: Receiver<Report>,
}

impl AddressThread {
    pub(crate) fn start<T: AddressTable, A: Announcer>(
        keeper: AddressKeeper<T, A>,
        routers: usize,
    ) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(QUEUE_LEAST.max(QUEUE_EACH * routers));
        let (told, reports) = mpsc::unbounded_channel();
        let (quiet_told, quiet) = sync_channel(QUIET);
        let reporter = Reporter { told, quiet: quiet_told };
        std::thread::Builder::new()
            .name("carp-addresses".into())
            .spawn(move || work(keeper, &waiting, &reporter))?;
        Ok(Self { jobs, reports, quiet })
    }

    /// The next report, or registers to be woken by one that is worth it.
    pub(crate) fn poll_report(&mut self, cx: &mut Context<'_>) -> Poll<Report> {
        if let Ok(report) = self.quiet.try_recv() {
            return Poll::Ready(report);
        }
        match self.reports.poll_recv(cx) {
            Poll::Ready(Some(report)) => Poll::Ready(report),
            // The thread ends with the node only.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// Where reports go.
struct Reporter {
    told: mpsc::UnboundedSender<Report>,
    quiet: SyncSender<Report>,
}

impl Reporter {
    /// Tells what became of a job; false if nobody listens.
    fn tell(&self, report: Report) -> bool {
        if !report.is_quiet() {
            return self.told.send(report).is_ok();
        }
        match self.quiet.try_send(report) {
            Ok(()) => true,
            Err(TrySendError::Full(report)) => self.told.send(report).is_ok(),
            Err(TrySendError::Disconnected(_)) => false,
        }
    }
}

fn work<T: AddressTable, A: Announcer>(
    mut keeper: AddressKeeper<T, A>,
    jobs: &Receiver<Job>,
    reporter: &Reporter,
) {
    let mut jobs = Jobs::new(jobs);
    while let Some(Job { task, router, ticket, place, addresses }) = jobs.next() {
        let (mut unleased, mut strange) = (None, Vec::new());
        let outcome = match task {
            Task::Prepare => {
                // What fails here fails again when it matters, and is told then.
                let _ = keeper.prepare(&place);
                Ok(false)
            }
            Task::Acquire { presence, burst } => {
                let (first, others) = pace::rounds(addresses.len(), burst);
                let acquired = keeper.acquire(&place, &addresses, presence, first);
                if acquired.is_ok() && others > 0 {
                    let task = Task::Announce { burst: others };
                    let (place, addresses) = (Arc::clone(&place), Arc::clone(&addresses));
                    jobs.put_off(Job { task, router, ticket, place, addresses });
                }
                acquired.map(|()| false)
            }
            Task::Announce { burst } => keeper.announce(&place, &addresses, burst).map(|()| false),
            Task::Clear => keeper.release(&place, &addresses).and_then(|released| {
                strange = keeper.strange(&place, &addresses)?;
                Ok(!released.is_empty())
            }),
            Task::Release => keeper.release(&place, &addresses).map(|_| false),
            Task::Probe { hosts } => keeper.probe(&place, &addresses, hosts).map(|()| false),
            Task::Ask { host } => {
                let mut hosts = Hosts::default();
                hosts[0] = Some(host);
                keeper.probe(&place, &[], hosts).map(|()| false)
            }
            Task::Confirm { family, hosts } => keeper.confirm(&place, &addresses, family, hosts),
            Task::Dismantle => keeper.dismantle(&place).map(|()| false),
            Task::Renew { asked_at } if keeper.is_too_late_to_renew(&place, asked_at) => continue,
            Task::Renew { .. } => keeper.renew(&place, &addresses).map(|renewal| {
                unleased = renewal.unleased;
                renewal.missing
            }),
            Task::Verify => keeper.is_missing(&place, &addresses),
            Task::Settle => Ok(false),
        };
        if !reporter.tell(Report { task, router, ticket, outcome, unleased, strange }) {
            return;
        }
    }
}
