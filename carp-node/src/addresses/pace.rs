//! The order of jobs, and the pace of announcements.
//!
//! A takeover announces at once. What repeats or refreshes an announcement has time: of many addresses it
//! goes out in portions, so that no switch is asked to learn them all in one moment, and takeovers of other
//! routers need not wait for it.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::thread::{Job, Task};

/// How many addresses are announced in one go.
const PORTION: usize = 32;

/// The pause after a portion.
const PAUSE: Duration = Duration::from_millis(10);

/// How many of the announcements of a takeover are made with it, and how many when there is time. Where
/// there are many addresses, one of each is what neighbours need at once.
pub(super) const fn rounds(addresses: usize, burst: u8) -> (u8, u8) {
    if addresses > PORTION && burst > 1 { (1, burst - 1) } else { (burst, 0) }
}

/// Jobs as they are to be done.
#[derive(Debug)]
pub(super) struct Jobs<'a> {
    asked: &'a Receiver<Job>,
    /// What is left of announcements.
    rest: VecDeque<Job>,
}

impl<'a> Jobs<'a> {
    pub(super) const fn new(asked: &'a Receiver<Job>) -> Self {
        Self { asked, rest: VecDeque::new() }
    }

    /// Waits for the next job; `None` when nobody asks any more. What is left of announcements then is
    /// dropped.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.rest.is_empty() {
            return self.asked.recv().ok().map(|job| self.begin(job));
        }
        match self.asked.recv_timeout(PAUSE) {
            Ok(job) => Some(self.begin(job)),
            Err(RecvTimeoutError::Timeout) => self.rest.pop_front().map(|job| self.portion(job)),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }

    /// Takes a job that was asked for. It makes what is left of an announcement by the same router out of
    /// date: the addresses are announced anew, or go.
    fn begin(&mut self, job: Job) -> Job {
        match job.task {
            Task::Announce { .. } => {
                self.forget(job.router);
                self.portion(job)
            }
            Task::Acquire { .. } | Task::Release | Task::Dismantle => {
                self.forget(job.router);
                job
            }
            Task::Prepare
            | Task::Renew { .. }
            | Task::Probe { .. }
            | Task::Ask { .. }
            | Task::Confirm { .. }
            | Task::Verify
            | Task::Clear
            | Task::Settle => job,
        }
    }

    /// Does this when there is time, in portions.
    pub(super) fn put_off(&mut self, job: Job) {
        self.rest.push_back(job);
    }

    fn forget(&mut self, router: usize) {
        self.rest.retain(|rest| rest.router != router);
    }

    /// The first addresses of an announcement. The others wait.
    fn portion(&mut self, job: Job) -> Job {
        let Some((first, others)) = job.addresses.split_at_checked(PORTION) else { return job };
        if others.is_empty() {
            return job;
        }
        self.rest.push_back(Job { addresses: others.into(), ..job.clone() });
        Job { addresses: first.into(), ..job }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::mpsc::sync_channel;

    use carp_proto::VirtualAddress;

    use super::*;
    use crate::addresses::Place;

    fn job(router: usize, task: Task, count: u8) -> Job {
        let address = |last| VirtualAddress::new(Ipv4Addr::new(10, 9, 0, last).into(), None);
        let addresses = (1..=count).map(|last| address(last).unwrap()).collect();
        Job { task, router, ticket: 0, place: Place::on("eth0").into(), addresses }
    }

    const ANNOUNCE: Task = Task::Announce { burst: 1 };

    /// The router and the number of addresses of the next job.
    fn next(jobs: &mut Jobs<'_>) -> Option<(usize, usize)> {
        jobs.next().map(|job| (job.router, job.addresses.len()))
    }

    #[test]
    fn many_addresses_are_announced_in_portions_and_every_one_once() {
        let (asking, asked) = sync_channel(8);
        let mut jobs = Jobs::new(&asked);
        asking.send(job(1, ANNOUNCE, 255)).unwrap();
        let mut announced = Vec::new();
        while announced.len() < 255 {
            let portion = jobs.next().unwrap();
            assert!(portion.addresses.len() <= PORTION);
            announced.extend(portion.addresses.iter().copied());
        }
        assert_eq!(announced, job(1, ANNOUNCE, 255).addresses.to_vec());
        drop(asking);
        assert_eq!(next(&mut jobs), None);
    }

    #[test]
    fn a_takeover_comes_between_and_a_release_ends_what_is_left() {
        let (asking, asked) = sync_channel(8);
        let mut jobs = Jobs::new(&asked);
        asking.send(job(1, ANNOUNCE, 100)).unwrap();
        assert_eq!(next(&mut jobs), Some((1, 32)));
        asking.send(job(2, Task::Release, 3)).unwrap();
        assert_eq!(next(&mut jobs), Some((2, 3)));
        assert_eq!(next(&mut jobs), Some((1, 32)));
        asking.send(job(1, Task::Release, 100)).unwrap();
        assert_eq!(next(&mut jobs), Some((1, 100)));
        drop(asking);
        assert_eq!(next(&mut jobs), None, "nothing is announced after its release");
    }

    #[test]
    fn of_many_addresses_each_is_announced_once_with_its_takeover_and_again_in_portions() {
        assert_eq!((rounds(32, 5), rounds(33, 5), rounds(255, 1)), ((5, 0), (1, 4), (1, 0)));
        let (_asking, asked) = sync_channel(8);
        let mut jobs = Jobs::new(&asked);
        jobs.put_off(job(1, ANNOUNCE, 40));
        let sizes: Vec<_> = (0..2).map(|_| next(&mut jobs).unwrap().1).collect();
        assert_eq!(sizes, [32, 8]);
    }

    #[test]
    fn a_new_announcement_replaces_what_is_left_of_the_last_one() {
        let (asking, asked) = sync_channel(8);
        let mut jobs = Jobs::new(&asked);
        for _ in 0..2 {
            asking.send(job(1, ANNOUNCE, 40)).unwrap();
        }
        let sizes: Vec<_> = (0..3).map(|_| next(&mut jobs).unwrap().1).collect();
        assert_eq!(sizes, [32, 32, 8]);
    }
}
