//! Devices for virtual link-layer addresses: macvlans, and what makes them answer alone.
//!
//! A device is ours if it is a macvlan with a [`DeviceAlias`], which also keeps what was set
//! on the parent before, so that it can be taken back by whoever removes the last device, also after we
//! have been killed.
//!
//! The kernel takes no alias together with a new device. One without any that is otherwise what we make,
//! and off, is one whose maker was killed between the two: it is ours too.

use std::collections::BTreeMap;
use std::io;

use carp_proto::MacAddr;
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::link::{
    AfSpecInet, AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InetDevConf, InfoData, InfoKind,
    InfoMacVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, MacVlanMode,
};

use super::alias::DeviceAlias;
use super::requests::{Answers, Requests};
use super::settings::{
    self, ACCEPT_LOCAL, ARP_ANNOUNCE, ARP_FILTER, ARP_IGNORE, FORWARDING, Ipv4Value, RP_FILTER,
};
use crate::backend::VirtualDevice;

/// Makes, switches and removes devices.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// Those that were made here, by name, and their indexes: a takeover has no time to look.
    made: BTreeMap<String, u32>,
}

impl Devices {
    /// `ip link add link PARENT name NAME address MAC type macvlan mode bridge`, and all that it takes
    /// that the device alone answers for its addresses. It is there completely, or not at all.
    pub(super) fn make(
        &mut self,
        requests: &mut Requests,
        device: &VirtualDevice,
    ) -> io::Result<()> {
        settings::check_all(&device.name)?;
        let parent = by_name(requests, &device.parent)?.ok_or_else(|| {
            let text = format!("there is no interface {}", device.parent);
            io::Error::new(io::ErrorKind::NotFound, text)
        })?;
        let present = match by_name(requests, &device.name)? {
            Some(link) if link.alias.is_some_and(|alias| alias.parent == parent.index) => {
                Some(link)
            }
            Some(link) if link.is_half_made(device, parent.index) => Some(link),
            Some(link) if link.alias.is_some() => {
                // It hangs on an interface that had the parent's name before.
                self.remove(requests, device)?;
                None
            }
            Some(_) => return Err(not_ours(device)),
            None => None,
        };
        let alias = match siblings(requests, parent.index)?.first() {
            // The parent has been changed already.
            Some(sibling) => sibling.alias,
            None => before(&parent),
        };
        let made = alias.ok_or_else(|| settings::untold(&device.parent)).and_then(|alias| {
            create(requests, device, &parent, present.as_ref(), alias)?;
            quieten_parent(requests, &device.parent, &parent)?;
            settle(requests, device, &parent)
        });
        match made {
            Ok(index) => {
                self.made.insert(device.name.clone(), index);
                Ok(())
            }
            Err(error) => {
                // What is told is why it could not be made, not what else went wrong on the way back.
                let _ = self.remove(requests, device);
                Err(error)
            }
        }
    }

    /// Whether a device of this name was made here.
    pub(super) fn have_made(&self, name: &str) -> bool {
        self.made.contains_key(name)
    }

    /// `ip link set NAME up` or `down`: one request. One that was not made here is only switched off.
    pub(super) fn switch(
        &mut self,
        requests: &mut Requests,
        device: &VirtualDevice,
        on: bool,
    ) -> io::Result<()> {
        let index = match self.made.get(&device.name) {
            Some(index) => *index,
            // One that another one has left is made again first, or it might lack what it needs.
            None if on => return Err(io::ErrorKind::NotFound.into()),
            None => ours(requests, &device.name)?.ok_or(io::ErrorKind::NotFound)?.index,
        };
        let mut request = about(index);
        set_up(&mut request, on);
        let switched = change(requests, vec![RouteNetlinkMessage::SetLink(request)], 0);
        if switched.is_err() {
            self.made.remove(&device.name);
        }
        switched
    }

    /// `ip link del NAME`, and the parent's settings as they were, if it was the last one there.
    pub(super) fn remove(
        &mut self,
        requests: &mut Requests,
        device: &VirtualDevice,
    ) -> io::Result<bool> {
        self.made.remove(&device.name);
        let Some(link) = removable(requests, device)? else { return Ok(false) };
        let mut batch = Vec::new();
        if let Some(alias) = link.alias
            && siblings(requests, alias.parent)?.iter().all(|other| other.index == link.index)
            && let Some(parent) = by_index(requests, alias.parent)?
        {
            // First: the device is the only record of what was before.
            batch.extend(set_ipv4(parent.index, &restored(alias, &parent)));
        }
        batch.push(removal(link.index));
        change(requests, batch, 0).map(|()| true)
    }
}

/// Creates a device, unless it is there, and claims it. It is off then.
fn create(
    requests: &mut Requests,
    device: &VirtualDevice,
    parent: &Link,
    present: Option<&Link>,
    alias: DeviceAlias,
) -> io::Result<()> {
    if let Some(link) = present {
        return claim(requests, link.index, device, parent, alias);
    }
    change(requests, vec![creation(device, parent)], NLM_F_CREATE | NLM_F_EXCL).map_err(
        |error| match error.kind() {
            io::ErrorKind::AlreadyExists => not_ours(device),
            _ if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
                let text = "the kernel has no macvlan: load the module of that name, \
                            or do without a virtual link-layer address";
                io::Error::new(io::ErrorKind::Unsupported, text)
            }
            _ => error,
        },
    )?;
    let index = by_name(requests, &device.name)?.ok_or(io::ErrorKind::NotFound)?.index;
    let claimed = claim(requests, index, device, parent, alias);
    if claimed.is_err() {
        // Without its alias nobody would know it again.
        let _ = change(requests, vec![removal(index)], 0);
    }
    claimed
}

fn creation(device: &VirtualDevice, parent: &Link) -> RouteNetlinkMessage {
    let mut request = LinkMessage::default();
    // In bridge mode the parent hears what comes from the same link-layer address: adverts of the other
    // router. In private mode the device would keep them for itself.
    let mode = InfoMacVlan::Mode(MacVlanMode::Bridge);
    request.attributes = vec![
        LinkAttribute::IfName(device.name.clone()),
        LinkAttribute::Link(parent.index),
        LinkAttribute::Address(device.mac.0.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::MacVlan),
            LinkInfo::Data(InfoData::MacVlan(vec![mode])),
        ]),
    ];
    RouteNetlinkMessage::NewLink(request)
}

/// Switches a device off, and writes down whose it is, what the parent's settings were, and its own.
fn claim(
    requests: &mut Requests,
    index: u32,
    device: &VirtualDevice,
    parent: &Link,
    alias: DeviceAlias,
) -> io::Result<()> {
    let mut request = about(index);
    set_up(&mut request, false);
    request.attributes.push(LinkAttribute::IfAlias(alias.to_string()));
    request.attributes.push(LinkAttribute::Address(device.mac.0.to_vec()));
    let mut families = vec![settings::ipv4_request(&ipv4_values(parent))];
    if settings::has_ipv6(&device.parent) {
        // No address is to be derived from a link-layer address that moves (RFC 9568 section 7.4).
        let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        families.push(AfSpecUnspec::Inet6(vec![none]));
    }
    request.attributes.push(LinkAttribute::AfSpecUnspec(families));
    change(requests, vec![RouteNetlinkMessage::SetLink(request)], 0)
}

/// What IPv4 needs on a device.
fn ipv4_values(parent: &Link) -> Vec<Ipv4Value> {
    let forwarding = parent.conf.as_ref().map_or(0, FORWARDING.read);
    vec![
        // What arrives here for others arrives at the parent's host.
        (FORWARDING, forwarding),
        // Loose: answers leave by the parent, so that the strict check would drop what is asked. The
        // kernel takes the greater of this and that of `all`: 2 wins over a strict 1.
        (RP_FILTER, 2),
        // Answer for the device's own addresses, and no others of the host.
        (ARP_IGNORE, 1),
        // Askers are reached by the parent: with the filter nobody would be answered.
        (ARP_FILTER, 0),
        // A balancer or a bridge on this host may send us what carries the parent's address.
        (ACCEPT_LOCAL, 1),
    ]
}

/// Sees to it that the parent does not say that the addresses of its devices are at its own link-layer
/// address: neither when it is asked, nor when it asks for somebody and has an answer to send from one.
fn quieten_parent(requests: &mut Requests, name: &str, parent: &Link) -> io::Result<()> {
    let conf = parent.conf.as_ref().ok_or_else(|| settings::untold(name))?;
    let wanted = QUIET.map(|(setting, least)| (setting, (setting.read)(conf).max(least)));
    change(requests, set_ipv4(parent.index, &wanted).into_iter().collect(), 0)?;
    let parent = by_index(requests, parent.index)?;
    settings::check_ipv4(name, parent.and_then(|parent| parent.conf).as_ref(), &wanted)
}

/// The least that a parent's settings are to be: answer ARP for addresses of that interface only, and ask
/// from such an address only.
const QUIET: [Ipv4Value; 2] = [(ARP_IGNORE, 1), (ARP_ANNOUNCE, 2)];

/// Settles what can be set only on a device that is there, and reads back what has been set. Returns its
/// index.
fn settle(requests: &mut Requests, device: &VirtualDevice, parent: &Link) -> io::Result<u32> {
    let name = &device.name;
    if settings::has_ipv6(name) {
        // Routers are heard by the parent. What it is for its link, the device is too.
        for (setting, value) in
            [("accept_ra", 0), ("autoconf", 0), ("router_solicitations", 0), ("accept_dad", 0)]
        {
            settings::set_ipv6(name, setting, value)?;
        }
        for setting in ["forwarding", "disable_ipv6"] {
            settings::set_ipv6(name, setting, settings::ipv6(&device.parent, setting)?)?;
        }
    }
    let link = ours(requests, name)?.ok_or(io::ErrorKind::NotFound)?;
    settings::check_ipv4(name, link.conf.as_ref(), &ipv4_values(parent))?;
    Ok(link.index)
}

/// For the first device on a parent; `None` if the kernel does not tell its settings.
fn before(parent: &Link) -> Option<DeviceAlias> {
    let conf = parent.conf.as_ref()?;
    let (arp_ignore, arp_announce) = (conf.arp_ignore, conf.arp_announce);
    Some(DeviceAlias { parent: parent.index, arp_ignore, arp_announce })
}

/// What to set on a parent so that it is as it was when this was written. A setting that somebody else has changed since
/// stays.
fn restored(before: DeviceAlias, parent: &Link) -> Vec<Ipv4Value> {
    let Some(conf) = &parent.conf else { return Vec::new() };
    let ours = QUIET
        .iter()
        .zip([before.arp_ignore, before.arp_announce])
        .filter(|((setting, least), before)| (setting.read)(conf) == *before.max(least));
    ours.map(|((setting, _), before)| (*setting, before)).collect()
}

/// What the kernel tells of an interface, as far as it matters here.
#[derive(Clone, Debug)]
struct Link {
    index: u32,
    /// What its alias says, if it is one of our devices.
    alias: Option<DeviceAlias>,
    /// Its parent and link-layer address, if it is a macvlan without an alias that is off.
    blank: Option<(u32, MacAddr)>,
    conf: Option<InetDevConf>,
}

impl Link {
    /// Whether it is this device, and whoever made it was killed before it could say so.
    fn is_half_made(&self, device: &VirtualDevice, parent: u32) -> bool {
        self.blank == Some((parent, device.mac))
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let (mut is_macvlan, mut text, mut conf) = (false, None, None);
        let (mut parent, mut mac) = (None, None);
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfAlias(found) => text = Some(found),
                LinkAttribute::Link(index) => parent = Some(index),
                LinkAttribute::Address(bytes) => mac = bytes.try_into().ok().map(MacAddr),
                LinkAttribute::LinkInfo(infos) => {
                    is_macvlan = infos.contains(&LinkInfo::Kind(InfoKind::MacVlan));
                }
                LinkAttribute::AfSpecUnspec(families) => conf = families.iter().find_map(inet_conf),
                _ => {}
            }
        }
        let is_blank =
            is_macvlan && text.is_none() && !message.header.flags.contains(LinkFlags::Up);
        let alias = text.filter(|_| is_macvlan).and_then(|text| DeviceAlias::parse(&text));
        let blank = parent.zip(mac).filter(|_| is_blank);
        Self { index: message.header.index, alias, blank, conf }
    }
}

fn inet_conf(family: &AfSpecUnspec) -> Option<InetDevConf> {
    let AfSpecUnspec::Inet(parts) = family else { return None };
    parts.iter().find_map(|part| match part {
        AfSpecInet::DevConf(conf) => Some(*conf),
        _ => None,
    })
}

/// The interface of this name, if it is one of our devices.
fn ours(requests: &mut Requests, name: &str) -> io::Result<Option<Link>> {
    Ok(by_name(requests, name)?.filter(|link| link.alias.is_some()))
}

/// The interface of this device's name, if it is ours or a half-made one.
fn removable(requests: &mut Requests, device: &VirtualDevice) -> io::Result<Option<Link>> {
    let Some(link) = by_name(requests, &device.name)? else { return Ok(None) };
    if link.alias.is_some() {
        return Ok(Some(link));
    }
    let parent = by_name(requests, &device.parent)?;
    Ok(parent.filter(|parent| link.is_half_made(device, parent.index)).map(|_| link))
}

/// Our devices on a parent.
fn siblings(requests: &mut Requests, parent: u32) -> io::Result<Vec<Link>> {
    let mut found = links(requests, LinkMessage::default(), NLM_F_DUMP)?;
    found.retain(|link| link.alias.is_some_and(|alias| alias.parent == parent));
    Ok(found)
}

/// `ip link show NAME`; `None` if there is none.
fn by_name(requests: &mut Requests, name: &str) -> io::Result<Option<Link>> {
    let mut request = LinkMessage::default();
    request.attributes.push(LinkAttribute::IfName(name.to_owned()));
    one(requests, request)
}

fn by_index(requests: &mut Requests, index: u32) -> io::Result<Option<Link>> {
    one(requests, about(index))
}

fn one(requests: &mut Requests, request: LinkMessage) -> io::Result<Option<Link>> {
    match links(requests, request, 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        found => Ok(found?.pop()),
    }
}

fn links(requests: &mut Requests, request: LinkMessage, flags: u16) -> io::Result<Vec<Link>> {
    let mut found = Vec::new();
    requests.ask(RouteNetlinkMessage::GetLink(request), flags, |answer| {
        if let RouteNetlinkMessage::NewLink(link) = answer {
            found.push(Link::from(link));
        }
    })?;
    Ok(found)
}

/// Asks for changes in one batch; the first error.
fn change(requests: &mut Requests, batch: Vec<RouteNetlinkMessage>, flags: u16) -> io::Result<()> {
    requests.change(batch, flags, Answers::All)?.into_iter().collect()
}

/// A request about an interface.
fn about(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn removal(index: u32) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLink(about(index))
}

fn set_up(request: &mut LinkMessage, up: bool) {
    request.header.change_mask = LinkFlags::Up;
    request.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
}

/// The request that sets these on an interface; `None` if there is nothing to set.
fn set_ipv4(index: u32, values: &[Ipv4Value]) -> Option<RouteNetlinkMessage> {
    if values.is_empty() {
        return None;
    }
    let mut request = about(index);
    let families = vec![settings::ipv4_request(values)];
    request.attributes.push(LinkAttribute::AfSpecUnspec(families));
    Some(RouteNetlinkMessage::SetLink(request))
}

fn not_ours(device: &VirtualDevice) -> io::Error {
    let text = format!(
        "there is an interface {} that carp has not made on {}; remove it, or give it another name",
        device.name, device.parent
    );
    io::Error::new(io::ErrorKind::AlreadyExists, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_somebody_has_changed_since_is_not_restored() {
        let alias = DeviceAlias { parent: 2, arp_ignore: 0, arp_announce: 0 };
        let parent = |arp_ignore| {
            let mut conf = InetDevConf::default();
            (conf.arp_ignore, conf.arp_announce) = (arp_ignore, 2);
            Link { index: 2, alias: None, blank: None, conf: Some(conf) }
        };
        let names = |arp_ignore| {
            let restored = restored(alias, &parent(arp_ignore));
            restored.iter().map(|(setting, value)| (setting.name, *value)).collect::<Vec<_>>()
        };
        assert_eq!(names(1), [("arp_ignore", 0), ("arp_announce", 0)]);
        assert_eq!(names(2), [("arp_announce", 0)]);
    }
}
