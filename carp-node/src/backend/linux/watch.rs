//! Watches interfaces through rtnetlink, on a thread of its own.
//!
//! An event says only that something has changed; what is, is asked anew. So nothing is missed when
//! the kernel drops events because there are too many. An event about an address that is as it was, such
//! as the renewal of its lease, is no reason to ask, and mostly [not even heard](super::events).
//!
//! Events have a socket of their own. On one that is full of them the kernel would also drop the answer to
//! a question, and whoever asked would wait for ever.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use carp_proto::MacAddr;
use futures_util::{FutureExt, Stream, StreamExt, TryStreamExt};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_sys::{AsyncSocket, Socket, SocketAddr};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::events::hear_no_renewals;
use super::joined::Joined;
use super::netlink::installed;
use super::pace::Pace;
use super::sys;
use crate::backend::{Families, Interface, LinkChange, LinkWatch};

/// Changes that may wait for the protocol task.
const QUEUE: usize = 64;

/// Room for events while this thread is asleep; the kernel doubles it. What does not fit is dropped, and
/// that is told.
const RECEIVE_BUFFER: i32 = 1 << 20;

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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (listening, asking) = {
            let _context = runtime.enter();
            let mut listening = rtnetlink::new_multicast_connection(&[
                MulticastGroup::Link,
                MulticastGroup::Ipv4Ifaddr,
                MulticastGroup::Ipv6Ifaddr,
            ])?;
            let socket = listening.0.socket_mut().socket_ref();
            enlarge(socket)?;
            hear_no_renewals(socket)?;
            (listening, rtnetlink::new_connection()?)
        };
        std::thread::Builder::new().name("carp-watch".into()).spawn(move || {
            runtime.block_on(async move {
                // The handle is kept: the connection ends with it.
                let (connection, _handle, events) = listening;
                tokio::spawn(connection);
                let (connection, handle, _) = asking;
                tokio::spawn(connection);
                follow(events, &handle, &names, &sender).await;
            });
        })?;
        Ok(Self { changes })
    }
}

/// Reports what is, and then every change, until nobody listens.
async fn follow(
    mut events: impl Stream<Item = (Event, SocketAddr)> + Unpin,
    handle: &Handle,
    names: &[String],
    sender: &mpsc::Sender<LinkChange>,
) {
    let (mut known, mut pace) = (Known::default(), Pace::new(Instant::now()));
    loop {
        pace.begin(Instant::now());
        let Ok(news) = report_changes(handle, names, &mut known, sender).await else { return };
        pace.end(Instant::now(), news);
        let event = wait_for_event(&mut events, names, &known, &pace);
        // Nothing may ever happen any more that would be told, and that nobody listens would not be seen.
        let event = tokio::select! { event = event => event, () = sender.closed() => None };
        if event.is_none() {
            return;
        }
    }
}

/// Makes room for events: beyond the limit of the system where that is allowed, else up to it.
fn enlarge(socket: &Socket) -> io::Result<()> {
    let (socket, level) = (socket.as_fd(), libc::SOL_SOCKET);
    sys::set_option(socket, level, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER)
        .or_else(|_| sys::set_option(socket, level, libc::SO_RCVBUF, RECEIVE_BUFFER))
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

/// What was known at the last look.
#[derive(Debug, Default)]
struct Known {
    /// The watched interfaces, by name.
    interfaces: BTreeMap<String, Option<Interface>>,
    joined: Joined,
}

/// Looks, and reports what has changed since the last look. Returns whether a second look is due soon.
async fn report_changes(
    handle: &Handle,
    names: &[String],
    known: &mut Known,
    sender: &mpsc::Sender<LinkChange>,
) -> Result<bool, Closed> {
    // One that fails is repeated.
    let Ok(mut look) = look(handle, names, known).await else { return Ok(true) };
    let mut news = false;
    for name in names {
        let interface = look.found.remove(name);
        let lost = |it: &Interface| known.joined.lost(&look.joined, it.index);
        let forgotten = interface.as_ref().map(lost).unwrap_or_default();
        if known.interfaces.get(name) == Some(&interface) && forgotten == Families::default() {
            continue;
        }
        news = true;
        let before = known.interfaces.insert(name.clone(), interface.clone()).flatten();
        let gone = before.filter(|_| interface.is_none());
        let renamed = gone.and_then(|gone| look.called.remove(&gone.index));
        let change = LinkChange { name: name.clone(), interface, renamed, forgotten };
        sender.send(change).await.map_err(|_| Closed)?;
    }
    known.joined = look.joined;
    Ok(news)
}

/// What there is.
#[derive(Debug, Default)]
struct Look {
    /// The watched interfaces, by name.
    found: BTreeMap<String, Interface>,
    /// What interfaces are called now that were known by another name, by index.
    called: BTreeMap<u32, String>,
    joined: Joined,
}

async fn look(handle: &Handle, names: &[String], known: &Known) -> io::Result<Look> {
    let mut look = Look { joined: Joined::read()?, ..Look::default() };
    let mut links = handle.link().get().execute();
    while let Some(link) = links.try_next().await.map_err(io::Error::other)? {
        let Some(name) = name_of(&link) else { continue };
        if names.iter().any(|watched| watched == name) {
            look.found.insert(name.to_owned(), interface(&link));
        } else if is_known(link.header.index, known) {
            look.called.insert(link.header.index, name.to_owned());
        }
    }
    let mut addresses = handle.address().get().execute();
    while let Some(address) = addresses.try_next().await.map_err(io::Error::other)? {
        let index = address.header.index;
        if let Some(interface) = look.found.values_mut().find(|it| it.index == index) {
            interface.addresses.extend(installed(&address));
        }
    }
    Ok(look)
}

/// What a dump says of an interface, its addresses aside.
fn interface(link: &LinkMessage) -> Interface {
    let running = link.header.flags.contains(LinkFlags::Up | LinkFlags::Running);
    let mut interface = Interface { index: link.header.index, running, ..Interface::default() };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::Address(bytes) => {
                interface.mac = <[u8; 6]>::try_from(&bytes[..]).ok().map(MacAddr);
            }
            LinkAttribute::Mtu(mtu) => interface.mtu = Some(*mtu),
            LinkAttribute::CarrierChanges(count) => interface.carrier_changes = *count,
            _ => {}
        }
    }
    interface
}

fn name_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

/// Waits for something that may concern us, or until it is time to look anyway, and takes with it what has
/// queued up behind it.
async fn wait_for_event(
    events: &mut (impl Stream<Item = (Event, SocketAddr)> + Unpin),
    names: &[String],
    known: &Known,
    pace: &Pace,
) -> Option<()> {
    let concerning = async {
        while !concerns(&events.next().await?.0, names, known) {}
        Some(())
    };
    if let Ok(ended) = timeout_at(pace.anyway_at(), concerning).await {
        ended?;
    }
    sleep_until(pace.not_before()).await;
    while events.next().now_or_never().flatten().is_some() {}
    Some(())
}

/// Whether an interface was one of ours at the last look.
fn is_known(index: u32, known: &Known) -> bool {
    known.interfaces.values().flatten().any(|interface| interface.index == index)
}

/// Whether an event is about one of our interfaces, by its name now or its index before.
fn concerns(event: &Event, names: &[String], known: &Known) -> bool {
    let ours = |index| is_known(index, known);
    match &event.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
        ) => {
            ours(link.header.index)
                || name_of(link).is_some_and(|name| names.iter().any(|ours| ours == name))
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
            ours(address.header.index) && !is_as_it_was(address, known)
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
            ours(address.header.index)
        }
        // Above all an overrun: the kernel has dropped events.
        _ => true,
    }
}

/// Whether an address is known to be there, exactly so.
fn is_as_it_was(address: &AddressMessage, known: &Known) -> bool {
    let is_its = |interface: &&Interface| interface.index == address.header.index;
    let interface = known.interfaces.values().flatten().find(is_its);
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
        let interface =
            Interface { index: INDEX, running: true, addresses, ..Interface::default() };
        let interfaces = BTreeMap::from([("eth0".to_owned(), Some(interface))]);
        let known = Known { interfaces, ..Known::default() };
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
