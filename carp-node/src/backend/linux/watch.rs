//! Watches interfaces through rtnetlink, on a thread of its own.
//!
//! An event says only that something has changed; what is, is asked anew. So nothing is missed when
//! the kernel drops events because there are too many. An event about an address that is as it was, such
//! as the renewal of its lease, is no reason to ask.

use std::collections::BTreeMap;
use std::io;
use std::task::{Context, Poll};

use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::SocketAddr;
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::mpsc;

use super::netlink::installed;
use crate::backend::{Interface, LinkChange, LinkWatch};

/// Changes that may wait for the protocol task.
const QUEUE: usize = 64;

type Event = NetlinkMessage<RouteNetlinkMessage>;

/// Changes of some interfaces.
#[derive(Debug)]
pub struct NetlinkWatch {
    changes: mpsc::Receiver<LinkChange>,
}

impl NetlinkWatch {
    /// Starts to watch interfaces in the network namespace of the calling thread.
    ///
    /// # Errors
    /// If the thread or the netlink socket cannot be made.
    pub fn start(interfaces: &[String]) -> io::Result<Self> {
        let names = interfaces.to_vec();
        let (sender, changes) = mpsc::channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let connection = {
            let _context = runtime.enter();
            rtnetlink::new_multicast_connection(&[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ])?
        };
        std::thread::Builder::new().name("carp-watch".into()).spawn(move || {
            runtime.block_on(async move {
                let (connection, handle, mut events) = connection;
                tokio::spawn(connection);
                let mut known = BTreeMap::new();
                loop {
                    if report_changes(&handle, &names, &mut known, &sender).await.is_err() {
                        return;
                    }
                    if wait_for_event(&mut events, &names, &known).await.is_none() {
                        return;
                    }
                }
            });
        })?;
        Ok(Self { changes })
    }
}

impl LinkWatch for NetlinkWatch {
    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<LinkChange> {
        match self.changes.poll_recv(cx) {
            Poll::Ready(Some(change)) => Poll::Ready(change),
            // The watcher ends with the receiver only; should it fail, nothing changes any more.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }
}

/// The interfaces that exist, for messages to people.
///
/// # Errors
/// What the kernel says.
pub fn interfaces() -> io::Result<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let links: Vec<LinkMessage> =
            handle.link().get().execute().try_collect().await.map_err(io::Error::other)?;
        Ok(links.iter().filter_map(name_of).map(str::to_owned).collect())
    })
}

/// The watched interfaces have gone to nobody, or the receiver has.
struct Closed;

async fn report_changes(
    handle: &Handle,
    names: &[String],
    known: &mut BTreeMap<String, Option<Interface>>,
    sender: &mpsc::Sender<LinkChange>,
) -> Result<(), Closed> {
    // A dump that fails is repeated at the next event.
    let Ok(mut present) = present(handle, names).await else { return Ok(()) };
    for name in names {
        let interface = present.remove(name);
        if known.get(name) == Some(&interface) {
            continue;
        }
        known.insert(name.clone(), interface.clone());
        let change = LinkChange { name: name.clone(), interface };
        sender.send(change).await.map_err(|_| Closed)?;
    }
    Ok(())
}

async fn present(
    handle: &Handle,
    names: &[String],
) -> Result<BTreeMap<String, Interface>, rtnetlink::Error> {
    let mut found = BTreeMap::new();
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await? {
        let Some(name) = name_of(&link).filter(|name| names.iter().any(|known| known == name))
        else {
            continue;
        };
        let running = link.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
        let interface = Interface { index: link.header.index, running, addresses: Vec::new() };
        found.insert(name.to_owned(), interface);
    }
    let mut addresses = handle.address().get().execute();
    while let Some(address) = addresses.try_next().await? {
        let index = address.header.index;
        if let Some(interface) = found.values_mut().find(|interface| interface.index == index) {
            interface.addresses.extend(installed(&address));
        }
    }
    Ok(found)
}

fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Waits for something that may concern us, and takes with it what has queued up behind it.
async fn wait_for_event(
    events: &mut (impl Stream<Item = (Event, SocketAddr)> + Unpin),
    names: &[String],
    known: &BTreeMap<String, Option<Interface>>,
) -> Option<()> {
    while !concerns(&events.next().await?.0, names, known) {}
    while events.next().now_or_never().flatten().is_some() {}
    Some(())
}

/// Whether an event is about one of our interfaces, by its name now or its index before.
fn concerns(event: &Event, names: &[String], known: &BTreeMap<String, Option<Interface>>) -> bool {
    let ours = |index| known.values().flatten().any(|interface| interface.index == index);
    match &event.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
        ) => {
            ours(link.header.index)
                || name_of(link).is_some_and(|name| names.iter().any(|ours| ours == name))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
            ours(address.header.index) && !is_known(address, known)
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
            ours(address.header.index)
        }
        // Above all an overrun: the kernel has dropped events.
        _ => true,
    }
}

/// Whether an address is known to be there, exactly so.
fn is_known(address: &AddressMessage, known: &BTreeMap<String, Option<Interface>>) -> bool {
    let is_its = |interface: &&Interface| interface.index == address.header.index;
    let interface = known.values().flatten().find(is_its);
    interface.zip(installed(address)).is_some_and(|(it, address)| it.addresses.contains(&address))
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::{ErrorMessage, NetlinkHeader};
    use netlink_packet_route::AddressFamily;
    use netlink_packet_route::address::{
        AddressAttribute, AddressFlags, AddressProtocol, CacheInfo,
    };

    use super::*;
    use crate::addresses::MARK;

    const INDEX: u32 = 7;

    fn address(lifetime: u32) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = INDEX;
        message.header.family = AddressFamily::Inet;
        message.header.prefix_len = 32;
        let mut cache = CacheInfo::default();
        cache.ifa_valid = lifetime;
        message.attributes.extend([
            AddressAttribute::Local([192, 0, 2, 1].into()),
            AddressAttribute::Protocol(AddressProtocol::from(MARK)),
            AddressAttribute::CacheInfo(cache),
        ]);
        message
    }

    fn event(payload: NetlinkPayload<RouteNetlinkMessage>) -> Event {
        NetlinkMessage::new(NetlinkHeader::default(), payload)
    }

    fn news(address: AddressMessage) -> Event {
        event(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)))
    }

    fn does_concern(event: &Event) -> bool {
        let addresses = installed(&address(2)).into_iter().collect();
        let interface = Interface { index: INDEX, running: true, addresses };
        let known = BTreeMap::from([("eth0".to_owned(), Some(interface))]);
        concerns(event, &["eth0".to_owned()], &known)
    }

    #[test]
    fn the_renewal_of_a_lease_is_no_news() {
        assert!(!does_concern(&news(address(2))));
        assert!(!does_concern(&news(address(1))), "it has less time left");
    }

    #[test]
    fn an_address_that_came_went_or_changed_is_news() {
        let mut changed = address(2);
        changed.attributes.push(AddressAttribute::Flags(AddressFlags::Secondary));
        let mut longer = address(2);
        longer.header.prefix_len = 24;
        let mut other = address(2);
        other.attributes[0] = AddressAttribute::Local([192, 0, 2, 2].into());
        for address in [changed, longer, other] {
            assert!(does_concern(&news(address)));
        }
        let gone = RouteNetlinkMessage::DelAddress(address(2));
        assert!(does_concern(&event(NetlinkPayload::InnerMessage(gone))));
    }

    #[test]
    fn what_happens_on_other_interfaces_does_not_concern_us_and_an_overrun_does() {
        let mut elsewhere = address(2);
        elsewhere.header.index = INDEX + 1;
        assert!(!does_concern(&news(elsewhere)));
        assert!(does_concern(&event(NetlinkPayload::Error(ErrorMessage::default()))));
    }
}
