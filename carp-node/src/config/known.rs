//! Which keys there are: those that work, those that later versions bring, and what people try.

use strsim::damerau_levenshtein;

/// The keys of one kind of table.
#[derive(Debug)]
pub(super) struct Schema {
    /// Keys that work.
    pub(super) now: &'static [&'static str],
    /// Keys of the contract that are not built yet. They are errors: a key that is silently ignored
    /// is a router that does something else than was asked for.
    pub(super) later: &'static [&'static str],
    /// What other programs call the same thing.
    elsewhere: &'static [(&'static str, &'static str)],
}

pub(super) const ROOT: Schema = Schema {
    now: &["node", "router"],
    later: &["group", "http", "sync"],
    elsewhere: &[
        ("global_defs", "node"),
        ("vrrp_instance", "router"),
        ("vrrp_sync_group", "group"),
    ],
};

pub(super) const NODE: Schema = Schema {
    now: &["name", "state_dir"],
    later: &["realtime"],
    elsewhere: &[("hostname", "name"), ("router_id", "name")],
};

pub(super) const ROUTER: Schema = Schema {
    now: &[
        "addresses",
        "advbase",
        "advert_mac",
        "advskew",
        "announce",
        "dialect",
        "handover",
        "id",
        "interface",
        "key_file",
        "mac",
        "on",
        "preempt",
        "protocol",
    ],
    later: &[
        "accept",
        "accept_from",
        "address_interface",
        "auth",
        "auth_mode",
        "check",
        "checksum",
        "hold",
        "interval",
        "key_credential",
        "key_id",
        "lease",
        "min_ttl",
        "peers",
        "preempt_delay",
        "priority",
        "ready_when",
        "track",
    ],
    elsewhere: &[
        ("dev", "interface"),
        ("iface", "interface"),
        ("ip", "addresses"),
        ("key", "key_file"),
        ("pass", "key_file"),
        ("password", "key_file"),
        ("secret", "key_file"),
        ("vhid", "id"),
        ("vip", "addresses"),
        ("virtual_ipaddress", "addresses"),
        ("virtual_router_id", "id"),
        ("vrid", "id"),
    ],
};

pub(super) const ANNOUNCE: Schema = Schema {
    now: &["burst", "refresh", "repeat"],
    later: &[],
    elsewhere: &[("count", "burst"), ("interval", "refresh")],
};

pub(super) const ON: Schema = Schema {
    now: &["active", "backup", "before_active", "init", "timeout"],
    later: &["user"],
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
    /// The key that was probably meant.
    pub(super) fn suggestion(&self, unknown: &str) -> Option<&'static str> {
        let unknown = unknown.to_ascii_lowercase().replace('-', "_");
        let elsewhere = self.elsewhere.iter().find(|(theirs, _)| *theirs == unknown);
        elsewhere
            .map(|&(_, ours)| ours)
            .or_else(|| nearest(&unknown, self.now.iter().chain(self.later)))
    }
}

/// The name that differs the least, if it is by a third of the letters at most, or the only one that
/// begins so.
pub(super) fn nearest<'a>(
    unknown: &str,
    known: impl Iterator<Item = &'a &'static str> + Clone,
) -> Option<&'static str> {
    let near = |name: &str| {
        let distance = damerau_levenshtein(unknown, name);
        let letters = unknown.chars().count().max(name.len());
        (distance * 3 <= letters).then_some(distance)
    };
    let nearest = known
        .clone()
        .filter_map(|&name| near(name).map(|distance| (distance, name)))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name);
    nearest.or_else(|| {
        let mut longer = known.filter(|name| unknown.len() >= 2 && name.starts_with(unknown));
        longer.next().copied().filter(|_| longer.next().is_none())
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
            ("priorty", Some("priority")),
            ("a", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(ROUTER.suggestion(unknown), meant, "{unknown}");
        }
        assert_eq!(ROOT.suggestion("routers"), Some("router"));
        assert_eq!(ON.suggestion("master"), Some("active"));
    }

    #[test]
    fn no_key_is_listed_twice() {
        for schema in [&ROOT, &NODE, &ROUTER, &ANNOUNCE, &ON] {
            let mut all: Vec<_> = schema.now.iter().chain(schema.later).collect();
            all.extend(schema.elsewhere.iter().map(|(theirs, _)| theirs));
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "{schema:?}");
            for (_, ours) in schema.elsewhere {
                assert!(schema.now.contains(ours) || schema.later.contains(ours), "{ours}");
            }
        }
    }
}
