//! What the operator chose for a share.

use std::time::Duration;

/// The choices, with their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A copy that is older than this is stale. 300 s.
    pub max_lag: Duration,
    /// A copy that is at most as old as this is in sync. 30 s.
    pub in_sync_lag: Duration,
    /// Whether a node with a stale copy takes over when nobody else is there. After 30 s.
    pub stale_takeover: StaleTakeover,
    /// How long a node that may have what nobody else has, or that knows nothing, waits for its peer's
    /// word after its start before it serves. 60 s.
    pub cold_start_wait: Duration,
    /// Whether a peer that says over the second path that it serves keeps this node from taking over. Yes.
    pub peer_alive_veto: bool,
    /// Who serves after the better node has returned and caught up. Automatic.
    pub failback: Failback,
    /// Whether being out of sync keeps this node from preempting. Yes.
    pub require: bool,
    /// Whether a node that was elected may give up the other side's changes, into the rescue set, without
    /// asking. No.
    pub auto_resolve: AutoResolve,
    /// How long writers may stand still for a handover. 15 s.
    pub handover_timeout: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_lag: Duration::from_secs(300),
            in_sync_lag: Duration::from_secs(30),
            stale_takeover: StaleTakeover::After(Duration::from_secs(30)),
            cold_start_wait: Duration::from_secs(60),
            peer_alive_veto: true,
            failback: Failback::Auto,
            require: true,
            auto_resolve: AutoResolve::Never,
            handover_timeout: Duration::from_secs(15),
        }
    }
}

/// What a node with a stale copy does when nobody serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StaleTakeover {
    /// It takes over as any other.
    Allow,
    /// It waits so much longer: perhaps the better one comes back.
    After(Duration),
    /// It does not, until the operator says so.
    Never,
}

/// Who serves after the better node has caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failback {
    /// It asks for a handover.
    Auto,
    /// The one that serves, until somebody asks for a handover.
    Manual,
}

/// Who says which side counts when both wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoResolve {
    /// The operator.
    Never,
    /// The election: the other side's changes go into a rescue set. Never if a disk was restored.
    Elected,
}
