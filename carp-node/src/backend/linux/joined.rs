//! To which groups of adverts the host belongs: what the kernel lists in `/proc/net`.
//!
//! A socket is told nothing when its membership ends, and goes on to believe in it: joining again is
//! refused as done already. It ends where the kernel gives up what a family keeps for an interface, for
//! example because its MTU became too small for that.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6};

use crate::backend::Families;

/// The lists of the network namespace of the calling thread, as they are now.
#[derive(Debug, Default)]
pub(super) struct Joined {
    ipv4: Vec<u32>,
    ipv6: Vec<u32>,
}

impl Joined {
    /// Reads the lists. One that is not there, as without IPv6, is empty.
    pub(super) fn read() -> io::Result<Self> {
        Ok(Self {
            ipv4: ipv4_members(&list("igmp")?, GROUP_IPV4),
            ipv6: ipv6_members(&list("igmp6")?, GROUP_IPV6),
        })
    }

    /// The families in which the host belonged to the group on the interface of this index, and does not
    /// any more.
    pub(super) fn lost(&self, now: &Self, index: u32) -> Families {
        let lost = |before: &[u32], now: &[u32]| before.contains(&index) && !now.contains(&index);
        Families { ipv4: lost(&self.ipv4, &now.ipv4), ipv6: lost(&self.ipv6, &now.ipv6) }
    }
}

fn list(name: &str) -> io::Result<String> {
    match fs::read_to_string(format!("/proc/thread-self/net/{name}")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        list => list,
    }
}

/// The indexes of the interfaces on which the host belongs to a group, by `/proc/net/igmp`: a line an
/// interface, and below it an indented one a group.
fn ipv4_members(list: &str, group: Ipv4Addr) -> Vec<u32> {
    let (mut index, mut found) = (None::<u32>, Vec::new());
    for line in list.lines().skip(1) {
        let first = line.split_whitespace().next();
        if line.starts_with(char::is_whitespace) {
            let address = first.and_then(|word| u32::from_str_radix(word, 16).ok());
            // The number in memory, which holds the address in the order of the wire.
            let is_it = address.map(|word| Ipv4Addr::from(word.to_ne_bytes())) == Some(group);
            found.extend(index.filter(|_| is_it));
        } else {
            index = first.and_then(|word| word.parse().ok());
        }
    }
    found
}

/// The same by `/proc/net/igmp6`: a line a group, which begins with index, name and address.
fn ipv6_members(list: &str, group: Ipv6Addr) -> Vec<u32> {
    let group = format!("{:032x}", group.to_bits());
    let member = |line: &str| {
        let mut words = line.split_whitespace();
        let index = words.next()?.parse().ok()?;
        (words.nth(1)? == group).then_some(index)
    };
    list.lines().filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_there_can_be_lost() {
        let (before, now) = (
            Joined { ipv4: vec![2], ipv6: vec![2, 3] },
            Joined { ipv4: vec![2, 4], ipv6: vec![3] },
        );
        let ipv6 = Families { ipv4: false, ipv6: true };
        assert_eq!(
            [2, 3, 4].map(|index| before.lost(&now, index)),
            [ipv6, Families::default(), Families::default()]
        );
    }

    #[test]
    fn the_list_of_ipv4_names_the_interface_above_its_groups() {
        let word = u32::from_ne_bytes(GROUP_IPV4.octets());
        let list = format!(
            "Idx\tDevice    : Count Querier\tGroup    Users Timer\tReporter\n\
             1\tlo        :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n\
             7\teth0      :     2      V3\n\t\t\t\t{word:08X}     1 0:00000000\t\t0\n\
             \t\t\t\t010000E0     1 0:00000000\t\t0\n\
             9\teth1      :     1      V3\n\t\t\t\t010000E0     1 0:00000000\t\t0\n"
        );
        assert_eq!(ipv4_members(&list, GROUP_IPV4), [7]);
        assert!(ipv4_members("", GROUP_IPV4).is_empty());
    }

    #[test]
    fn the_list_of_ipv6_names_the_interface_in_the_line() {
        let list = "1    lo              ff020000000000000000000000000001     1 0000000C 0\n\
                    7    eth0            ff020000000000000000000000000012     1 00000004 0\n\
                    9    eth1            ff020000000000000000000000000002     1 00000004 0\n";
        assert_eq!(ipv6_members(list, GROUP_IPV6), [7]);
        assert!(ipv6_members("nonsense\n", GROUP_IPV6).is_empty());
    }
}
