//! Programs that are known to remove addresses which they have not added, and what to tell them.

/// A program that manages interfaces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    /// Its name as the kernel has it: the first 15 bytes.
    name: &'static str,
    /// What to do.
    pub(super) remedy: &'static str,
}

const SUSPECTS: [Suspect; 7] = [
    Suspect {
        name: "NetworkManager",
        remedy: "tell NetworkManager to leave the interface alone: nmcli device set IF managed no, and \
                 unmanaged-devices= in NetworkManager.conf",
    },
    Suspect {
        name: "systemd-network",
        remedy: "tell systemd-networkd to keep addresses: KeepConfiguration=static in the [Network] \
                 section of the interface's .network file",
    },
    Suspect {
        name: "dhclient",
        remedy: "dhclient flushes the interface when its lease ends: give the interface a static address",
    },
    Suspect {
        name: "dhcpcd",
        remedy: "tell dhcpcd to leave the interface alone: denyinterfaces in dhcpcd.conf",
    },
    Suspect {
        name: "ifup",
        remedy: "ifupdown configures the interface: restart carp's routers after it, not beside it",
    },
    Suspect {
        name: "ifdown",
        remedy: "ifdown flushes the interface: stop carp before the interface",
    },
    Suspect {
        name: "connmand",
        remedy: "tell ConnMan to leave the interface alone: NetworkInterfaceBlacklist in main.conf",
    },
];

impl Suspect {
    /// The suspect of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        SUSPECTS.iter().find(|suspect| suspect.name == name)
    }
}

/// What to do about the suspects among the programs that run; `None` without any.
pub(super) fn hint(running: &[String]) -> Option<String> {
    let runs = |suspect: &&Suspect| running.iter().any(|name| name == suspect.name);
    let remedies: Vec<_> = SUSPECTS.iter().filter(runs).map(|suspect| suspect.remedy).collect();
    if remedies.is_empty() {
        return None;
    }
    Some(format!("of those that may have done it there runs here: {}", remedies.join("; or ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspects_are_named_with_what_to_do() {
        let running = ["bash", "systemd-network", "dhclient"].map(str::to_owned);
        let hint = hint(&running).unwrap();
        assert!(hint.contains("KeepConfiguration=static") && hint.contains("dhclient"), "{hint}");
        assert!(!hint.contains("NetworkManager"), "{hint}");
        assert_eq!(super::hint(&running[..1]), None);
    }

    #[test]
    fn the_kernel_keeps_fifteen_bytes_of_a_name() {
        assert!(SUSPECTS.iter().all(|suspect| suspect.name.len() <= 15));
        assert!(Suspect::named("systemd-network").is_some());
    }
}
