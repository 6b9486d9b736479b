//! Which keys there are: those that work, those that later versions bring, and what people try.

use carp_proto::Protocol::{self, Carp, Vrrp2, Vrrp3};
use strsim::damerau_levenshtein;

/// The keys of one kind of table.
#[derive(Debug)]
pub(super) struct Schema {
    /// Keys that work.
    pub(super) now: &'static [&'static str],
    /// Keys of the contract that are not built yet. They are errors: a key that is silently ignored
    /// is a router that does something else than was asked for.
    pub(super) later: &'static [&'static str],
    /// Of the keys that work, those that not every protocol has.
    limited: &'static [Limited],
    /// What other programs call the same thing. Where protocols differ, a name may be there twice.
    elsewhere: &'static [(&'static str, &'static str)],
}

/// A key that not every protocol has.
#[derive(Debug)]
pub(super) struct Limited {
    pub(super) key: &'static str,
    /// Who has it.
    of: &'static [Protocol],
    /// What the others have instead.
    instead: &'static [(Protocol, &'static str)],
}

const VRRP: &[Protocol] = &[Vrrp2, Vrrp3];

pub(super) const ROOT: Schema = Schema {
    now: &["group", "node", "router", "sync"],
    later: &["http"],
    limited: &[],
    elsewhere: &[
        ("global_defs", "node"),
        ("vrrp_instance", "router"),
        ("vrrp_sync_group", "group"),
    ],
};

pub(super) const NODE: Schema = Schema {
    now: &["name", "state_dir"],
    later: &["realtime"],
    limited: &[],
    elsewhere: &[("hostname", "name"), ("router_id", "name")],
};

pub(super) const GROUP: Schema = Schema {
    now: &["routers"],
    later: &[],
    limited: &[],
    elsewhere: &[("group", "routers"), ("members", "routers")],
};

pub(super) const SYNC: Schema = Schema {
    now: &[
        "attributes",
        "auto_resolve",
        "bandwidth",
        "cold_start_wait",
        "compress",
        "every",
        "exclude",
        "failback",
        "handover_timeout",
        "max_delete",
        "max_lag",
        "path",
        "peer",
        "peer_alive_veto",
        "quiesce",
        "quiesce_timeout",
        "require",
        "router",
        "rsh",
        "stale_takeover",
        "unquiesce",
    ],
    later: &[],
    limited: &[],
    elsewhere: &[
        ("bwlimit", "bandwidth"),
        ("directory", "path"),
        ("filter", "exclude"),
        ("host", "peer"),
        ("interval", "every"),
        ("ssh", "rsh"),
        ("target", "peer"),
        ("timeout", "handover_timeout"),
    ],
};

pub(super) const ROUTER: Schema = Schema {
    now: &[
        "accept",
        "accept_from",
        "address_interface",
        "addresses",
        "advbase",
        "advert_mac",
        "advskew",
        "announce",
        "auth",
        "auth_mode",
        "checksum",
        "dialect",
        "duplicate",
        "handover",
        "hold",
        "id",
        "interface",
        "interval",
        "key_file",
        "key_id",
        "lease",
        "mac",
        "min_ttl",
        "on",
        "peers",
        "preempt",
        "preempt_delay",
        "previous",
        "priority",
        "protocol",
        "receive_keys",
        "track",
    ],
    later: &["check", "key_credential", "ready_when"],
    limited: &[
        Limited {
            key: "advbase",
            of: &[Carp],
            instead: &[(Vrrp2, "interval"), (Vrrp3, "interval")],
        },
        Limited {
            key: "advskew",
            of: &[Carp],
            instead: &[(Vrrp2, "priority"), (Vrrp3, "priority")],
        },
        Limited { key: "auth", of: VRRP, instead: &[(Carp, "key_file")] },
        Limited { key: "auth_mode", of: &[Vrrp3], instead: &[] },
        Limited { key: "checksum", of: &[Vrrp3], instead: &[] },
        Limited { key: "dialect", of: &[Carp], instead: &[] },
        Limited { key: "interval", of: VRRP, instead: &[(Carp, "advbase")] },
        Limited { key: "key_id", of: &[Vrrp3], instead: &[] },
        Limited { key: "previous", of: &[Carp], instead: &[(Vrrp3, "receive_keys")] },
        Limited { key: "priority", of: VRRP, instead: &[(Carp, "advskew")] },
        Limited { key: "receive_keys", of: &[Vrrp3], instead: &[(Carp, "previous")] },
    ],
    elsewhere: &[
        ("advert_int", "interval"),
        ("advert_int", "advbase"),
        ("auth_key", "key_file"),
        ("auth_pass", "key_file"),
        ("auth_type", "auth"),
        ("dev", "interface"),
        ("garp_master_repeat", "announce"),
        ("iface", "interface"),
        ("ip", "addresses"),
        ("key", "key_file"),
        ("pass", "key_file"),
        ("password", "key_file"),
        ("secret", "key_file"),
        ("unicast_peer", "peers"),
        ("use_vmac", "mac"),
        ("version", "protocol"),
        ("vhid", "id"),
        ("vrrp_delay_after_boot", "hold"),
        ("vrrp_startup_delay", "hold"),
        ("vip", "addresses"),
        ("virtual_ipaddress", "addresses"),
        ("virtual_router_id", "id"),
        ("vrid", "id"),
    ],
};

pub(super) const PREVIOUS: Schema = Schema {
    now: &["accept_for", "addresses", "key_file"],
    later: &["key_credential"],
    limited: &[],
    elsewhere: &[("for", "accept_for"), ("key", "key_file"), ("password", "key_file")],
};

pub(super) const RECEIVE_KEY: Schema = Schema {
    now: &["id", "key_file"],
    later: &["key_credential"],
    limited: &[],
    elsewhere: &[("key", "key_file"), ("key_id", "id")],
};

pub(super) const ANNOUNCE: Schema = Schema {
    now: &["burst", "refresh", "repeat"],
    later: &[],
    limited: &[],
    elsewhere: &[("count", "burst"), ("interval", "refresh")],
};

pub(super) const HOLD: Schema = Schema {
    now: &["boot", "link_up"],
    later: &[],
    limited: &[],
    elsewhere: &[
        ("debounce", "link_up"),
        ("startup_delay", "boot"),
        ("up", "link_up"),
        ("vrrp_delay_after_boot", "boot"),
        ("vrrp_startup_delay", "boot"),
    ],
};

pub(super) const TRACK: Schema = Schema {
    now: &["gateway"],
    later: &["interfaces"],
    limited: &[],
    elsewhere: &[("interface", "interfaces"), ("ping", "gateway"), ("router", "gateway")],
};

pub(super) const ON: Schema = Schema {
    now: &["active", "backup", "before_active", "init", "timeout"],
    later: &["user"],
    limited: &[],
    elsewhere: &[
        ("down", "backup"),
        ("downscript", "backup"),
        ("fault", "init"),
        ("master", "active"),
        ("notify_backup", "backup"),
        ("notify_master", "active"),
        ("up", "active"),
        ("upscript", "active"),
    ],
};

impl Schema {
    /// The keys that work with a protocol; all that work, if there is none.
    pub(super) fn keys(
        &self,
        protocol: Option<Protocol>,
    ) -> impl Iterator<Item = &'static str> + Clone {
        let limited = self.limited;
        let fits = move |key: &&str| {
            let limit = limited.iter().find(|limited| limited.key == *key);
            limit.is_none_or(|limited| protocol.is_none_or(|it| limited.of.contains(&it)))
        };
        self.now.iter().copied().filter(fits)
    }

    /// Why a key is not one of a protocol.
    pub(super) fn limit(&self, key: &str, protocol: Option<Protocol>) -> Option<&'static Limited> {
        let limited = self.limited.iter().find(|limited| limited.key == key)?;
        protocol.is_some_and(|protocol| !limited.of.contains(&protocol)).then_some(limited)
    }

    /// The key that was probably meant.
    pub(super) fn suggestion(
        &self,
        unknown: &str,
        protocol: Option<Protocol>,
    ) -> Option<&'static str> {
        let unknown = unknown.to_ascii_lowercase().replace('-', "_");
        let known = self.keys(protocol).chain(self.later.iter().copied());
        let mut elsewhere = self.elsewhere.iter().filter(|(theirs, _)| *theirs == unknown);
        let elsewhere = elsewhere.find(|(_, ours)| known.clone().any(|known| known == *ours));
        elsewhere.map(|&(_, ours)| ours).or_else(|| nearest(&unknown, known))
    }
}

impl Limited {
    /// What is wrong with the key in a router of this protocol, and what to do.
    pub(super) fn explain(&self, protocol: Protocol) -> (String, String) {
        let owners: Vec<_> = self.of.iter().map(|owner| owner.name()).collect();
        let message =
            format!("{:?} is a key of {}: {protocol} has none", self.key, owners.join(" and "));
        let instead = self.instead.iter().find(|(other, _)| *other == protocol);
        let help = match instead {
            Some((_, instead)) => format!("{protocol} has {instead} instead"),
            None => "remove it, or take another protocol".to_owned(),
        };
        (message, help)
    }
}

/// The name that differs the least, if it is by a third of the letters at most, or the only one that
/// begins so.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Option<&'a str> {
    let near = |name: &str| {
        let distance = damerau_levenshtein(unknown, name);
        let letters = unknown.chars().count().max(name.chars().count());
        (distance * 3 <= letters).then_some(distance)
    };
    let nearest = known
        .clone()
        .filter_map(|name| near(name).map(|distance| (distance, name)))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name);
    nearest.or_else(|| {
        let mut longer = known.filter(|name| unknown.len() >= 2 && name.starts_with(unknown));
        longer.next().filter(|_| longer.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misspelt_keys_get_the_right_suggestion() {
        for (unknown, meant) in [
            ("adress", Some("addresses")),
            ("address", Some("addresses")),
            ("Interface", Some("interface")),
            ("advertskew", Some("advskew")),
            ("adv-base", Some("advbase")),
            ("prempt", Some("preempt")),
            ("proto", Some("protocol")),
            ("vhid", Some("id")),
            ("password", Some("key_file")),
            ("priorty", None),
            ("advert_int", Some("advbase")),
            ("colour", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(ROUTER.suggestion(unknown, Some(Carp)), meant, "{unknown}");
        }
        for (unknown, meant) in
            [("priorty", Some("priority")), ("advert_int", Some("interval")), ("advskew", None)]
        {
            assert_eq!(ROUTER.suggestion(unknown, Some(Vrrp3)), meant, "{unknown}");
        }
        assert_eq!(ROUTER.suggestion("priorty", None), Some("priority"));
        assert_eq!(ROOT.suggestion("routers", None), Some("router"));
        assert_eq!(ON.suggestion("master", None), Some("active"));
    }

    #[test]
    fn no_key_is_listed_twice() {
        for schema in
            [&ROOT, &NODE, &GROUP, &ROUTER, &PREVIOUS, &RECEIVE_KEY, &ANNOUNCE, &HOLD, &TRACK, &ON]
        {
            let ours: Vec<_> = schema.now.iter().chain(schema.later).collect();
            let mut all: Vec<_> = ours.iter().map(|&&key| (key, "")).collect();
            all.extend(schema.elsewhere);
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{schema:?}");
            for (theirs, known) in schema.elsewhere {
                assert!(ours.contains(&known) && !ours.contains(&theirs), "{theirs}");
            }
            for Limited { key, of, instead } in schema.limited {
                assert!(schema.now.contains(key), "{key}");
                for (other, known) in *instead {
                    assert!(!of.contains(other) && schema.now.contains(known), "{key}");
                }
            }
        }
    }
}
