//! Names inputs of the target `router_sequence` after what happens in them, and copies the shortest of each kind:
//! `name_seeds FROM TO`.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::PathBuf;

use bytes::BytesMut;
use carp_checks::router::scenario;
use carp_proto::Instant;
use carp_proto::election::{Posture, State};
use carp_proto::testing::{Drill, Extra, Setup, Version};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &arguments[..] else { return Err("usage: name_seeds FROM TO".into()) };
    let mut shortest: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in fs::read_dir(from)? {
        let input = fs::read(entry?.path())?;
        let Some(name) = name(&input) else { continue };
        let kept = shortest.entry(name).or_insert_with(|| input.clone());
        if input.len() < kept.len() {
            *kept = input;
        }
    }
    for (name, input) in shortest {
        println!("{name}: {} bytes", input.len());
        fs::write(to.join(format!("seed-{name}")), input)?;
    }
    Ok(())
}

/// The kind of router, and the farthest that it came.
fn name(input: &[u8]) -> Option<String> {
    let (setup, steps) = scenario(input).ok()?;
    let mut drill = Drill::new(setup, Instant::ZERO);
    let (mut farthest, mut scratch) = (0, BytesMut::new());
    for step in &steps {
        drill.take(step);
        while drill.router.poll_action(&mut scratch).is_some() {}
        let snapshot = drill.router.snapshot(drill.now);
        let reached = match (snapshot.posture, snapshot.phase.map(|phase| phase.name())) {
            (Posture::Unanswered, _) => 6,
            (Posture::Leaving, _) => 5,
            (_, Some("serving")) => 4,
            (_, Some(_)) => 3,
            (Posture::Willing, _) => 2,
            _ => u8::from(snapshot.state == State::Backup),
        };
        farthest = farthest.max(reached);
    }
    let reached = match farthest {
        6 => "unanswered",
        5 => "leaving",
        4 => "serving",
        3 => "taking-over",
        2 => "willing",
        1 => "backup",
        _ => return None,
    };
    let heard = if drill.last_heard.is_some() { "-hears" } else { "" };
    Some(format!("{}-{reached}{heard}", kind(setup)))
}

fn kind(setup: Setup) -> String {
    let protocol = match setup.vrrp {
        None => "carp",
        Some(Version::V2) => "vrrp2",
        Some(Version::V3) => "vrrp3",
        Some(Version::V3Ipv6) => "vrrp3-ipv6",
    };
    match setup.extra {
        Extra::Signatures => format!("{protocol}-signed"),
        Extra::Peers => format!("{protocol}-unicast"),
        Extra::Nothing
        | Extra::Chosen
        | Extra::Ipv6
        | Extra::BothFamilies
        | Extra::Password
        | Extra::MessageChecksum => protocol.to_owned(),
    }
}
