//! A node that keeps an address: what it does every interval costs no allocation.
//!
//! Two nodes on two hosts of the lab, with the kernel's real sockets and timers. The allocator counts
//! for each thread by itself: what the test does elsewhere, and the node's other threads, do not matter.

#[path = "../../carp-proto/tests/support/counting.rs"]
mod counting;

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use carp_node::addresses::Record;
use carp_node::backend::linux::Linux;
use carp_node::control::proto::RouterStatus;
use carp_node::event;
use carp_node::lab::{self, Entered, Host, Lab, Switch, mac};
use carp_node::node::{Extras, Handle, Node, RouterSetup};
use carp_proto::election::{AnnouncePlan, Dialect};
use carp_proto::{AdvBase, AdvSkew, Key, RouterConfig, VirtualAddress, VirtualId};
use counting::{Counting, allocations_so_far};
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::time::{sleep, timeout};

/// For how long allocations are counted: eight adverts.
const WINDOW: Duration = Duration::from_secs(4);

/// A machine that stands still for longer than an active-down interval makes routers change places, and
/// that is another thing: then it is counted again.
const WINDOWS: usize = 5;

const LIMIT: Duration = Duration::from_secs(60);

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    lab::init();
    match lab::enter() {
        Ok(Entered::Inside(lab)) => {
            let lab: &'static Lab = Box::leak(Box::new(lab));
            let name = "adverts_allocate_nothing_sent_or_received";
            let test = move || test(lab).map_err(|error| Failed::from(error.to_string()));
            libtest_mimic::run(&Arguments::from_args(), vec![Trial::test(name, test)]).exit_code()
        }
        Ok(Entered::Ended(status)) => status,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn test(lab: &Lab) -> Result {
    let switch = Switch::new(lab)?;
    let one = switch.host("one", mac(1), &["192.0.2.1/24"])?;
    let two = switch.host("two", mac(2), &["192.0.2.2/24"])?;
    thread::scope(|scope| {
        let active = scope.spawn(|| count_on(&one, 128, "active"));
        let backup = scope.spawn(|| count_on(&two, 192, "backup"));
        for (side, outcome) in [("active", active.join()), ("backup", backup.join())] {
            let allocations = outcome.map_err(|_| "a thread panicked")??;
            if allocations != 0 {
                return Err(format!("the {side} router allocated {allocations} times").into());
            }
        }
        Ok(())
    })
}

/// Runs a node on a host, and counts what its thread allocates while the router is in this state.
fn count_on(host: &Host, advskew: i64, state: &str) -> Result<u64> {
    host.run_inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let (events, _inbox) = event::channel();
            let extras = Extras { events, record: Record::in_memory(), prepare: None };
            let (node, handle) = Node::new(Linux, vec![setup(advskew)?], extras)?;
            let counting = async {
                let counted = timeout(LIMIT, count(&handle, state)).await;
                handle.stop().await;
                counted
            };
            tokio::join!(node.run(), counting).1?
        })
    })?
}

async fn count(handle: &Handle, state: &str) -> Result<u64> {
    // A backup that has heard nobody yet asks its neighbours, and so does who has just taken over.
    let is_steady = |status: RouterStatus| {
        let asking = match &status.confirmation {
            Some(confirmation) => confirmation.state == "asking",
            None => status.peers.is_empty(),
        };
        status.state == state && !asking
    };
    while !is_steady(status(handle).await?) {
        sleep(Duration::from_millis(50)).await;
    }
    for _ in 0..WINDOWS {
        let before = status(handle).await?;
        // What the timer needs the first time is not counted.
        sleep(Duration::from_millis(1)).await;
        let allocated = allocations_so_far();
        sleep(WINDOW).await;
        let allocated = allocations_so_far() - allocated;
        let after = status(handle).await?;
        let adverts =
            |status: &RouterStatus| status.counters.adverts_sent + status.counters.adverts_received;
        let steady = after.state == state && after.transitions == before.transitions;
        if steady && adverts(&after) >= adverts(&before) + 4 {
            return Ok(allocated);
        }
    }
    Err(format!("no {} s without a transition", WINDOW.as_secs()).into())
}

async fn status(handle: &Handle) -> Result<RouterStatus> {
    let routers = handle.status().await.ok_or("the node has ended")?;
    Ok(routers.into_iter().next().ok_or("no router")?)
}

/// Adverts every half second, and no announcement but the first.
fn setup(advskew: i64) -> Result<RouterSetup> {
    let address = VirtualAddress::new("192.0.2.100".parse()?, None)?;
    let quiet = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None };
    let config = RouterConfig::carp(VirtualId::new(1)?, &Key::new(b"secret")?, vec![address], 7)?
        .with_interval(Dialect::Native, AdvBase::new(0)?, AdvSkew::new(advskew)?)?
        .with_announce(quiet);
    Ok(RouterSetup::new("web", "eth0", config))
}
