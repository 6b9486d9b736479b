//! Devices for virtual link-layer addresses, as the link sees them.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv6Addr, SocketAddrV6, UdpSocket};

use carp_node::addresses::{AddressKeeper, Place, Presence, Record};
use carp_node::backend::linux::{NeighbourAnnouncer, NetlinkAddresses};
use carp_node::backend::{AddressTable, VirtualDevice};
use carp_node::lab::{Host, Lab, wait_until};
use carp_proto::wire::{arp, ethernet};
use carp_proto::{MacAddr, VirtualAddress};

use crate::support::{
    BOTH, LIMIT, ONE, ONE_IPV6, ONE_LOCAL, Observer, PATIENCE, Result, Station, TWO, TWO_LOCAL,
    Test, ask, client, id, index_of, ip, pair, run, setting,
};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("an_address_is_at_its_virtual_link_layer_address_alone", answered_at_one_address_alone),
    ("nobody_answers_in_backup", nobody_answers_in_backup),
    ("a_host_does_not_ask_from_a_virtual_address", a_host_does_not_ask_from_a_virtual_address),
    ("a_link_local_address_can_be_reached", a_link_local_address_can_be_reached),
    ("the_parent_hears_who_has_the_same_address", the_parent_hears_who_has_the_same_address),
    ("a_device_has_its_settings_and_gives_back_the_parent_s", settings_are_given_back),
    ("settings_survive_who_made_them", settings_survive_who_made_them),
    ("a_device_of_somebody_else_is_left_alone", a_device_of_somebody_else_is_left_alone),
    ("a_device_whose_maker_was_killed_before_it_could_say_so_is_ours", half_made_device_is_ours),
    ("what_forbids_answers_is_told", what_forbids_answers_is_told),
];

const VIRTUAL: &str = "192.168.130.100";
const SECOND: &str = "192.168.130.101";
const VIRTUAL_IPV6: &str = "2001:db8::100";
const VIRTUAL_LOCAL: &str = "fe80::100";

/// What takes addresses on a host. Used inside the host only.
type Keeper = AddressKeeper<NetlinkAddresses, NeighbourAnnouncer>;

fn keeper(host: &Host) -> Result<Keeper> {
    let open = || -> io::Result<Keeper> {
        let (table, announcer) = (NetlinkAddresses::open()?, NeighbourAnnouncer::open()?);
        Ok(Keeper::new(table, announcer, Record::in_memory()))
    };
    Ok(host.run_inside(open)??)
}

fn macs() -> [MacAddr; 2] {
    [MacAddr::virtual_router(id(1)), MacAddr::virtual_router_ipv6(id(1))]
}

/// Three routers on one parent, one of them for IPv6: where, and what.
fn routers() -> [(Place, Vec<VirtualAddress>); 3] {
    let addresses = |all: &[&str]| {
        all.iter().map(|text| VirtualAddress::new(ip(text), None).unwrap()).collect::<Vec<_>>()
    };
    let [mac, mac_ipv6] = macs();
    [
        (Place::virtual_on("eth0", mac), addresses(&[VIRTUAL])),
        (Place::virtual_on("eth0", mac_ipv6), addresses(&[VIRTUAL_LOCAL, VIRTUAL_IPV6])),
        (Place::virtual_on("eth0", MacAddr::virtual_router(id(2))), addresses(&[SECOND])),
    ]
}

fn answered_at_one_address_alone(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    // What administrators set, and what must not matter.
    run(&one, "echo 1 > /proc/sys/net/ipv4/conf/all/rp_filter")?;
    let mut keeper = keeper(&one)?;
    for (place, addresses) in routers() {
        one.run_inside(|| keeper.prepare(&place))??;
        one.run_inside(|| keeper.acquire(&place, &addresses, Presence::Unknown, 1))??;
    }
    let observer = Observer::open(&two)?;
    let [mac, mac_ipv6] = macs();
    for (address, mac) in
        [(VIRTUAL, mac), (VIRTUAL_IPV6, mac_ipv6), (SECOND, MacAddr::virtual_router(id(2)))]
    {
        let _echo = one.serve_echo(ip(address))?;
        let mut answers = BTreeSet::new();
        // What is answered wrongly once is answered wrongly each time; all but the last are complete.
        for _ in 0..5 {
            run(&two, "ip neigh flush dev eth0")?;
            two.run_inside(|| ask(address))??;
            observer.drain(|frame| answers.extend(answer(frame, ip(address))));
        }
        assert_eq!(answers, BTreeSet::from([mac]), "{address}");
    }
    Ok(())
}

fn a_link_local_address_can_be_reached(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let [_, (place, addresses), _] = routers();
    let mut keeper = keeper(&one)?;
    one.run_inside(|| keeper.prepare(&place))??;
    // Once is not enough: the way back goes with the device.
    for _ in 0..2 {
        one.run_inside(|| keeper.acquire(&place, &addresses, Presence::Unknown, 1))??;
        let server = one.run_inside(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)))??;
        server.set_read_timeout(Some(PATIENCE))?;
        let port = server.local_addr()?.port();
        let connect = || -> io::Result<UdpSocket> {
            let address = VIRTUAL_LOCAL.parse().map_err(io::Error::other)?;
            let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
            socket.connect(SocketAddrV6::new(address, port, 0, index_of("eth0")?))?;
            socket.set_read_timeout(Some(LIMIT))?;
            Ok(socket)
        };
        let observer = Observer::open(&two)?;
        run(&two, "ip neigh flush dev eth0")?;
        let client = two.run_inside(connect)??;
        let (mut buffer, mut from) = ([0; 16], None);
        wait_until(LIMIT, "a question", || {
            from = client.send(b"question").and_then(|_| server.recv_from(&mut buffer)).ok();
            from.is_some()
        })?;
        server.send_to(b"answer", from.ok_or("nobody")?.1)?;
        assert_eq!(client.recv(&mut buffer)?, b"answer".len());
        let mut answers = BTreeSet::new();
        observer.drain(|frame| answers.extend(answer(frame, ip(VIRTUAL_LOCAL))));
        assert_eq!(answers, BTreeSet::from([macs()[1]]));
        one.run_inside(|| keeper.release(&place, &addresses))??;
    }
    Ok(())
}

fn nobody_answers_in_backup(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut keeper = keeper(&one)?;
    for (place, addresses) in routers() {
        one.run_inside(|| keeper.prepare(&place))??;
        one.run_inside(|| keeper.acquire(&place, &addresses, Presence::Absent, 1))??;
        one.run_inside(|| keeper.release(&place, &addresses))??;
        let device = place.device.ok_or("no device")?;
        assert!(!run(&one, &format!("ip link show {}", device.name))?.contains(",UP"));
    }
    let observer = Observer::open(&two)?;
    run(&two, "echo 50 > /proc/sys/net/ipv4/neigh/eth0/retrans_time_ms")?;
    run(&two, "echo 50 > /proc/sys/net/ipv6/neigh/eth0/retrans_time_ms")?;
    for address in [VIRTUAL, VIRTUAL_IPV6] {
        run(&two, &format!("ip neigh flush {address}"))?;
        two.run_inside(|| client(address)?.send(b"question"))??;
        wait_until(LIMIT, "the question to fail", || {
            run(&two, &format!("ip neigh show {address}")).is_ok_and(|it| it.contains("FAILED"))
        })?;
        observer.drain(|frame| assert_eq!(answer(frame, ip(address)), None, "{address}"));
    }
    // Nor does it take what comes for the virtual link-layer address, although it still is there.
    let [mac, mac_ipv6] = macs();
    for (address, mac) in [(ONE, mac), (ONE_IPV6, mac_ipv6)] {
        let _echo = one.serve_echo(ip(address))?;
        let socket = two.run_inside(|| client(address))??;
        for (mac, question) in [(mac, "lost "), (one.mac(), "taken ")] {
            run(&two, &format!("ip neigh replace {address} lladdr {mac} dev eth0 nud permanent"))?;
            socket.send(question.as_bytes())?;
        }
        let mut answer = [0; 64];
        let len = socket.recv(&mut answer)?;
        assert_eq!(&answer[..len], b"taken one");
    }
    Ok(())
}

/// The answer to a client that is not known yet leaves from the virtual address; the question for the
/// client must not, or the client learns the parent's link-layer address from it.
fn a_host_does_not_ask_from_a_virtual_address(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let [(place, addresses), ..] = routers();
    let mut keeper = keeper(&one)?;
    one.run_inside(|| keeper.prepare(&place))??;
    one.run_inside(|| keeper.acquire(&place, &addresses, Presence::Absent, 1))??;
    let _echo = one.serve_echo(ip(VIRTUAL))?;
    let observer = Observer::open(&two)?;
    run(&one, "ip neigh flush dev eth0")?;
    let mac = macs()[0];
    run(&two, &format!("ip neigh replace {VIRTUAL} lladdr {mac} dev eth0 nud permanent"))?;
    two.run_inside(|| ask(VIRTUAL))??;
    let mut asked: Option<Vec<u8>> = None;
    observer.wait("the question", |frame| {
        if is_arp(frame, 1) && frame[38..42] == octets(ip(TWO)) {
            asked.get_or_insert(frame[28..32].to_vec());
        }
        asked.is_some()
    })?;
    assert_eq!(asked.as_deref(), Some(&octets(ip(ONE))[..]));
    Ok(())
}

fn the_parent_hears_who_has_the_same_address(lab: &Lab) -> Result {
    const MESSAGE: &[u8] = b"\x31\x01\xfe\x01\x00\x64\xaa\xbb";
    let (_switch, one, two) = pair(lab)?;
    let mut keeper = keeper(&one)?;
    for (place, addresses) in routers() {
        one.run_inside(|| keeper.prepare(&place))??;
        one.run_inside(|| keeper.acquire(&place, &addresses, Presence::Absent, 0))??;
    }
    let (mut parent, mut other) =
        (Station::open(&one, "eth0", BOTH)?, Station::open(&two, "eth0", BOTH)?);
    for (mac, source, group) in [(macs()[0], TWO, "224.0.0.18"), (macs()[1], TWO_LOCAL, "ff02::12")]
    {
        other.send_as(Some(mac), source, ip(group), MESSAGE)?;
        let (_, packet) = parent.receive()?;
        assert!(packet.ends_with(MESSAGE), "{packet:?}");
    }
    // The other way too: it is not the device that takes it.
    for (mac, source, group) in [(macs()[0], ONE, "224.0.0.18"), (macs()[1], ONE_LOCAL, "ff02::12")]
    {
        parent.send_as(Some(mac), source, ip(group), MESSAGE)?;
        assert!(other.receive()?.1.ends_with(MESSAGE));
    }
    Ok(())
}

fn settings_are_given_back(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    run(&one, "echo 1 > /proc/sys/net/ipv6/conf/eth0/forwarding")?;
    let devices = macs().map(|mac| VirtualDevice::new("eth0", mac));
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    assert_eq!(parent_settings(&one)?, ["0", "0"]);
    for device in &devices {
        one.run_inside(|| table.make_device(device))??;
        for (family, name, value) in [
            ("ipv4", "arp_ignore", "1"),
            ("ipv4", "arp_filter", "0"),
            ("ipv4", "rp_filter", "2"),
            ("ipv4", "accept_local", "1"),
            ("ipv6", "accept_ra", "0"),
            ("ipv6", "autoconf", "0"),
            ("ipv6", "router_solicitations", "0"),
            ("ipv6", "accept_dad", "0"),
            ("ipv6", "forwarding", "1"),
        ] {
            assert_eq!(setting(&one, family, &device.name, name)?, value, "{name}");
        }
        assert_eq!(parent_settings(&one)?, ["1", "2"]);
    }
    one.run_inside(|| table.switch_device(&devices[0], true))??;
    let shown = run(&one, &format!("ip -d link show {}", devices[0].name))?;
    for part in ["macvlan mode bridge", "addrgenmode none", ",UP", "00:00:5e:00:01:01"] {
        assert!(shown.contains(part), "{shown}");
    }
    // It has no address but those that it is given.
    assert_eq!(table.list(&devices[0].name)?, []);
    // Making it again switches it off, and keeps in mind what was before.
    one.run_inside(|| table.make_device(&devices[0]))??;
    let shown = run(&one, &format!("ip link show {}", devices[0].name))?;
    assert!(!shown.contains(",UP"), "{shown}");
    assert!(one.run_inside(|| table.remove_device(&devices[0]))??);
    assert_eq!(parent_settings(&one)?, ["1", "2"]);
    assert!(one.run_inside(|| table.remove_device(&devices[1]))??);
    assert_eq!(parent_settings(&one)?, ["0", "0"]);
    assert!(!one.run_inside(|| table.remove_device(&devices[1]))??);
    let gone = table.switch_device(&devices[1], true).unwrap_err();
    assert!(gone.kind() == ErrorKind::NotFound, "{gone}");
    Ok(())
}

fn settings_survive_who_made_them(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    run(&one, "echo 1 > /proc/sys/net/ipv4/conf/eth0/arp_announce")?;
    let device = VirtualDevice::new("eth0", macs()[0]);
    let make = || -> io::Result<()> {
        let mut table = NetlinkAddresses::open()?;
        table.make_device(&device)?;
        table.switch_device(&device, true)
    };
    one.run_inside(make)??;
    // Another one finds it, on, and makes it anew.
    one.run_inside(make)??;
    assert_eq!(parent_settings(&one)?, ["1", "2"]);
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    one.run_inside(|| table.switch_device(&device, false))??;
    assert!(one.run_inside(|| table.remove_device(&device))??);
    assert_eq!(parent_settings(&one)?, ["0", "1"]);
    Ok(())
}

fn a_device_of_somebody_else_is_left_alone(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let device = VirtualDevice::new("eth0", macs()[0]);
    let name = &device.name;
    run(&one, &format!("ip link add link eth0 name {name} type macvlan mode bridge"))?;
    let before = run(&one, &format!("ip -d link show {name}"))?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let error = one.run_inside(|| table.make_device(&device))?.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains(name), "{error}");
    for on in [true, false] {
        let error = one.run_inside(|| table.switch_device(&device, on))?.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
    assert!(!one.run_inside(|| table.remove_device(&device))??);
    assert_eq!(run(&one, &format!("ip -d link show {name}"))?, before);
    assert_eq!(parent_settings(&one)?, ["0", "0"]);
    Ok(())
}

fn half_made_device_is_ours(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let device = VirtualDevice::new("eth0", macs()[0]);
    let name = &device.name;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let mac = "00:00:5e:00:01:01";
    let half = format!("ip link add link eth0 name {name} address {mac} type macvlan mode bridge");
    run(&one, &half)?;
    assert!(one.run_inside(|| table.remove_device(&device))??);
    run(&one, &half)?;
    one.run_inside(|| table.make_device(&device))??;
    assert!(run(&one, &format!("ip link show {name}"))?.contains("alias carp parent="));
    assert!(one.run_inside(|| table.remove_device(&device))??);
    // Somebody uses this one, or has named it.
    for more in [format!("ip link set {name} up"), format!("ip link set {name} alias mine")] {
        run(&one, &format!("{half} && {more}"))?;
        assert!(one.run_inside(|| table.make_device(&device))?.is_err());
        assert!(!one.run_inside(|| table.remove_device(&device))??);
        run(&one, &format!("ip link del {name}"))?;
    }
    assert_eq!(parent_settings(&one)?, ["0", "0"]);
    Ok(())
}

fn what_forbids_answers_is_told(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    run(&one, "echo 1 > /proc/sys/net/ipv4/conf/all/arp_filter")?;
    let device = VirtualDevice::new("eth0", macs()[0]);
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let error = one.run_inside(|| table.make_device(&device))?.unwrap_err().to_string();
    assert!(error.contains("net.ipv4.conf.all.arp_filter"), "{error}");
    assert!(run(&one, &format!("ip link show {}", device.name)).is_err());
    Ok(())
}

fn parent_settings(host: &Host) -> Result<[String; 2]> {
    Ok([
        setting(host, "ipv4", "eth0", "arp_ignore")?,
        setting(host, "ipv4", "eth0", "arp_announce")?,
    ])
}

/// The link-layer address that a frame says an address is at, in answer to a question.
fn answer(frame: &[u8], address: IpAddr) -> Option<MacAddr> {
    let mac = |bytes: &[u8]| Some(MacAddr(bytes.try_into().ok()?));
    if is_arp(frame, 2) && frame[28..32] == octets(address) {
        // The frame comes from there too.
        assert_eq!(frame[6..12], frame[22..28]);
        return mac(&frame[22..28]);
    }
    const TYPE: usize = ethernet::HEADER_LEN + 40;
    let is_advertisement = frame.len() >= TYPE + 32
        && frame[12..14] == ethernet::TYPE_IPV6.to_be_bytes()
        && frame[20] == 58
        && frame[TYPE] == 136;
    if is_advertisement && frame[TYPE + 8..TYPE + 24] == octets(address) {
        assert_eq!(frame[6..12], frame[TYPE + 26..TYPE + 32]);
        return mac(&frame[TYPE + 26..TYPE + 32]);
    }
    None
}

fn is_arp(frame: &[u8], operation: u8) -> bool {
    frame.len() >= arp::FRAME_LEN
        && frame[12..14] == ethernet::TYPE_ARP.to_be_bytes()
        && frame[21] == operation
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
