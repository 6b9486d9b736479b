//! The line that says how the routers are.

use crate::control::proto::RouterStatus;

/// More routers than this are counted, not named.
const NAMED: usize = 4;

/// The longest line, in characters. The manager's message has 4096 bytes.
const LONGEST: usize = 512;

/// One line about these routers: `web active, web6 backup`, or of many `12 active, 3 backup`.
pub(super) fn line(routers: &[RouterStatus]) -> String {
    let parts: Vec<_> =
        if routers.len() <= NAMED { routers.iter().map(named).collect() } else { counted(routers) };
    // A second line would be another assignment.
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    parts.join(", ").chars().map(clean).take(LONGEST).collect()
}

fn named(router: &RouterStatus) -> String {
    let phase = router.phase.as_deref().filter(|phase| *phase != "serving");
    let phase = phase.map(|phase| format!(", {phase}")).unwrap_or_default();
    let fault = router.fault.as_ref().map(|fault| format!(" ({fault})")).unwrap_or_default();
    format!("{} {}{phase}{fault}", router.name, router.state)
}

fn counted(routers: &[RouterStatus]) -> Vec<String> {
    let count = |is_one: &dyn Fn(&RouterStatus) -> bool, what| {
        let count = routers.iter().filter(|router| is_one(router)).count();
        (count > 0).then(|| format!("{count} {what}"))
    };
    let states = ["active", "backup", "init"];
    let states = states.map(|state| count(&|router| router.state == state, state));
    let faulty = count(&|router| router.fault.is_some(), "with a fault");
    states.into_iter().chain([faulty]).flatten().collect()
}

#[cfg(test)]
mod tests {
    use carp_proto::{Protocol, RouterConfig, VirtualId, VirtualRouter, Vrrp3};

    use super::*;
    use crate::clock::boot_time;
    use crate::control::proto::RouterIdentity;
    use crate::control::units::WallTime;

    fn router(name: &str, state: &'static str, fault: Option<&str>) -> RouterStatus {
        let address = "192.0.2.1".parse().unwrap();
        let address = carp_proto::VirtualAddress::new(address, None).unwrap();
        let id = VirtualId::new(1).unwrap();
        let config = RouterConfig::vrrp3(id, vec![address], Vrrp3::default()).unwrap();
        let now = boot_time();
        let identity = RouterIdentity {
            name: name.into(),
            protocol: Protocol::Vrrp3,
            id,
            interface: "eth0".into(),
            addresses: vec![],
        };
        let snapshot = VirtualRouter::new(config).snapshot(now);
        let status = RouterStatus::new(identity, &snapshot, now, WallTime::now());
        RouterStatus { state: state.into(), fault: fault.map(str::to_owned), ..status }
    }

    #[test]
    fn a_few_routers_are_named() {
        let mut web = router("web", "active", None);
        web.phase = Some("serving".into());
        let db = router("db", "backup", None);
        assert_eq!(line(&[web.clone(), db]), "web active, db backup");
        web.phase = Some("leaving".into());
        assert_eq!(line(&[web]), "web active, leaving");
    }

    #[test]
    fn many_are_counted() {
        let one = |number: usize| match number {
            0 => router("a", "init", Some("eth0 is down")),
            1..=2 => router("b", "backup", None),
            _ => router("c", "active", None),
        };
        let routers: Vec<_> = (0..9).map(one).collect();
        assert_eq!(line(&routers), "6 active, 2 backup, 1 init, 1 with a fault");
    }

    #[test]
    fn a_fault_cannot_add_an_assignment_or_go_on_for_ever() {
        let text = format!("bad\nMAINPID=1\n{}", "x".repeat(5000));
        let line = line(&[router("web", "init", Some(&text))]);
        assert!(line.starts_with("web init (bad MAINPID=1 xxx"), "{line}");
        assert_eq!(line.chars().count(), LONGEST);
    }
}
