//! Reading what the daemon and the runner tell each other is total: a job, and what became of it, read as they were
//! written.

use carp_node::runner::{Job, JobReport};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    if let Ok(job) = serde_json::from_slice::<Job>(input) {
        let written = serde_json::to_vec(&job).expect("a job is JSON");
        assert_eq!(serde_json::from_slice::<Job>(&written).ok(), Some(job));
    }
    if let Ok(report) = serde_json::from_slice::<JobReport>(input) {
        let written = serde_json::to_vec(&report).expect("a report is JSON");
        assert_eq!(serde_json::from_slice::<JobReport>(&written).ok(), Some(report));
    }
}
