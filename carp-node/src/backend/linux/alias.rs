//! The alias of a device that was made for a virtual link-layer address.

use std::fmt;

/// What the alias of one of our devices says (`ip link show`, `IFLA_IFALIAS`): whose it is, and how its parent was
/// before the first of them.
///
/// Other programs can tell by it which macvlans to leave alone:
///
/// ```
/// use carp_node::backend::linux::DeviceAlias;
///
/// let alias = DeviceAlias::parse("carp parent=2 arp_ignore=0 arp_announce=0").unwrap();
/// assert_eq!(alias.parent, 2);
/// assert!(DeviceAlias::parse("uplink to carp").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceAlias {
    /// The index of the parent.
    pub parent: u32,
    /// `net.ipv4.conf.PARENT.arp_ignore` before the first device.
    pub arp_ignore: i32,
    /// `net.ipv4.conf.PARENT.arp_announce` before the first device.
    pub arp_announce: i32,
}

impl DeviceAlias {
    /// `None` if the alias is not one that carp has written. Words behind it are left alone.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        if words.next() != Some("carp") {
            return None;
        }
        let mut value = |name| words.next()?.strip_prefix(name)?.strip_prefix('=');
        Some(Self {
            parent: value("parent")?.parse().ok()?,
            arp_ignore: value("arp_ignore")?.parse().ok()?,
            arp_announce: value("arp_announce")?.parse().ok()?,
        })
    }
}

impl fmt::Display for DeviceAlias {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { parent, arp_ignore, arp_announce } = self;
        write!(f, "carp parent={parent} arp_ignore={arp_ignore} arp_announce={arp_announce}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_reads_back() {
        let alias = DeviceAlias { parent: 2, arp_ignore: 0, arp_announce: 1 };
        assert_eq!(alias.to_string(), "carp parent=2 arp_ignore=0 arp_announce=1");
        assert_eq!(DeviceAlias::parse(&alias.to_string()), Some(alias));
    }

    #[test]
    fn another_s_alias_is_not_ours() {
        for text in [
            "",
            "carp",
            "carpet parent=2 arp_ignore=0 arp_announce=1",
            "uplink to carp",
            "carp parent=2 arp_ignore=x arp_announce=1",
            "carp parent=2 arp_ignore=0",
        ] {
            assert_eq!(DeviceAlias::parse(text), None, "{text}");
        }
    }
}
