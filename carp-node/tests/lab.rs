//! The lab itself: what its hosts, faults and listeners do, and that it leaves nothing behind.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use carp_node::lab::{
    self, Client, Direction, Entered, Host, Lab, LabError, Outcome, Prober, Signal, Switch, Tap,
    largest_gap, mac, wait_until,
};
use carp_proto::wire::carp::{Advert, emit};
use carp_proto::wire::ip::GROUP_IPV4;
use carp_proto::{CarpInterval, Protocol};
use libtest_mimic::{Arguments, Failed, Trial};
use netlink_packet_route::address::{AddressAttribute, AddressProtocol};
use rustix::process::{Pid, kill_process};
use socket2::{Domain, Socket, Type};

/// How long anything may take: long, because the machine may be busy.
const LIMIT: Duration = Duration::from_secs(20);

/// What this program is to do inside instead of running tests; also the mark by which its processes
/// are found in /proc.
const ERRAND: &str = "CARP_LAB_TEST_ERRAND";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

type Test = fn(&Lab) -> Result;

fn main() -> ExitCode {
    lab::init();
    match lab::enter() {
        Ok(Entered::Inside(lab)) => match std::env::var(ERRAND) {
            Ok(errand) => run_errand(&lab, &errand),
            Err(_) => run_tests(Box::leak(Box::new(lab))),
        },
        Ok(Entered::Ended(status)) => status,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_tests(lab: &'static Lab) -> ExitCode {
    let tests: [(&str, Test); 20] = [
        ("hosts_reach_each_other", hosts_reach_each_other),
        ("hosts_have_the_addresses_they_were_given", hosts_have_the_addresses_they_were_given),
        ("a_cut_host_is_silent_and_keeps_its_carrier", a_cut_host_is_silent_and_keeps_its_carrier),
        ("an_unplugged_host_loses_its_carrier", an_unplugged_host_loses_its_carrier),
        ("power_off_kills_everything_on_the_host", power_off_kills_everything_on_the_host),
        ("nothing_survives_a_boot", nothing_survives_a_boot),
        ("a_paused_host_does_not_answer", a_paused_host_does_not_answer),
        ("addresses_show_who_added_them", addresses_show_who_added_them),
        ("the_client_measures_an_outage", the_client_measures_an_outage),
        ("the_client_repeats_a_reset_request_once", the_client_repeats_a_reset_request_once),
        ("the_prober_knows_who_answered_and_who_did_not", the_prober_knows_who_answered),
        ("whoever_asks_learns_who_has_the_address_now", whoever_asks_learns_who_has_it),
        ("an_address_on_a_macvlan_is_held_while_that_runs", macvlan_addresses_are_held),
        ("the_tap_of_what_a_host_sends_hears_nothing_else", the_tap_hears_only_what_is_sent),
        ("the_tap_stamps_adverts", the_tap_stamps_adverts),
        ("the_switch_shows_nothing_of_a_cut_host", the_switch_shows_nothing_of_a_cut_host),
        ("frames_are_dropped_in_one_direction", frames_are_dropped_in_one_direction),
        ("lines_are_told_apart_and_waited_for", lines_are_told_apart_and_waited_for),
        ("nothing_is_left_behind", nothing_is_left_behind),
        ("root_is_not_needed", root_is_not_needed),
    ];
    let trial = |(name, test): (&str, Test)| {
        Trial::test(name, move || test(lab).map_err(|error| Failed::from(error.to_string())))
    };
    let trials = tests.into_iter().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn hosts_reach_each_other(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let _web = two.serve_web()?;
    assert_eq!(answer(&one, TWO)?, "two");
    assert!(one.run_inside(|| TcpListener::bind((ONE, 80)).is_ok())?);
    Ok(())
}

fn hosts_have_the_addresses_they_were_given(lab: &Lab) -> Result {
    let switch = Switch::new(lab)?;
    let given = ["192.168.130.50/24", "2001:db8::50/64"];
    let host = switch.host("one", mac(0x50), &given)?;
    let addresses = host.addresses()?;
    let found: BTreeSet<_> =
        addresses.iter().map(|address| format!("{}/{}", address.ip, address.prefix)).collect();
    assert_eq!(found, given.map(String::from).into());
    let connected = host.run_inside(|| TcpListener::bind(("2001:db8::50", 80)).is_ok())?;
    assert!(connected, "an address that is still being checked cannot be bound");
    Ok(())
}

fn a_cut_host_is_silent_and_keeps_its_carrier(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let _web = two.serve_web()?;
    answer(&one, TWO)?;
    two.cut()?;
    assert!(ask(&one, TWO).is_err());
    assert_eq!(carrier(&two)?, "1");
    two.plug()?;
    // Not at once: the kernel asks for the neighbour once a second.
    wait_until(LIMIT, "an answer", || ask(&one, TWO).is_ok())?;
    Ok(())
}

fn an_unplugged_host_loses_its_carrier(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let _web = two.serve_web()?;
    two.unplug()?;
    wait_until(LIMIT, "the carrier to go", || carrier(&two).is_ok_and(|state| state == "0"))?;
    assert!(ask(&one, TWO).is_err());
    two.plug()?;
    // Not at once: the kernel asks for the neighbour once a second.
    wait_until(LIMIT, "an answer", || ask(&one, TWO).is_ok())?;
    Ok(())
}

fn power_off_kills_everything_on_the_host(lab: &Lab) -> Result {
    let (_switch, one, mut two) = pair(lab)?;
    let elsewhere = one.spawn(shell("echo ready; exec sleep 1000"))?;
    // The grandchild leaves the process group and the session, and loses its parent.
    let script = format!("{ERRAND}={TWO_MARK} setsid -f sleep 1000; echo ready; exec sleep 1000");
    let process = two.spawn(shell(&script))?;
    process.wait_for_line(LIMIT, "ready")?;
    wait_until(LIMIT, "the grandchild", || marked(TWO_MARK).len() == 1)?;
    two.power_off()?;
    assert_eq!(process.wait(LIMIT)?.signal(), Some(9));
    assert_eq!(marked(TWO_MARK), BTreeSet::new());
    elsewhere.expect_running("the test's end")?;
    assert!(matches!(two.spawn(shell("true")), Err(LabError::Off { .. })));
    Ok(())
}

fn nothing_survives_a_boot(lab: &Lab) -> Result {
    let (_switch, one, mut two) = pair(lab)?;
    let web = two.serve_web()?;
    two.add_address(VIRTUAL.into(), 32)?;
    answer(&one, VIRTUAL)?;
    two.power_off()?;
    two.boot()?;
    web.wait(LIMIT)?;
    assert!(!two.has_address(VIRTUAL.into())?);
    assert!(two.has_address(TWO.into())?);
    assert!(ask(&one, TWO).is_err(), "no web server was started after the boot");
    let _web = two.serve_web()?;
    assert_eq!(answer(&one, TWO)?, "two");
    Ok(())
}

fn a_paused_host_does_not_answer(lab: &Lab) -> Result {
    let (_switch, one, mut two) = pair(lab)?;
    let _web = two.serve_web()?;
    two.pause()?;
    wait_until(LIMIT, "the pause", || ask(&one, TWO).is_err())?;
    two.resume()?;
    wait_until(LIMIT, "an answer", || ask(&one, TWO).is_ok_and(|name| name == "two"))?;
    Ok(())
}

fn addresses_show_who_added_them(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    one.run_inside(|| add_with_protocol(VIRTUAL, 112).map_err(|error| error.to_string()))??;
    let addresses = one.addresses()?;
    let protocol = |ip: Ipv4Addr| {
        addresses.iter().find(|address| address.ip == IpAddr::from(ip)).map(|found| found.protocol)
    };
    assert_eq!((protocol(ONE), protocol(VIRTUAL)), (Some(0), Some(112)));
    one.remove_address(VIRTUAL.into(), 32)?;
    assert!(!one.has_address(VIRTUAL.into())?);
    Ok(())
}

fn the_client_measures_an_outage(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let _web = two.serve_web()?;
    let client = Client::start(&one, TWO.into(), Duration::from_millis(5))?;
    let start = Instant::now();
    wait_until(LIMIT, "an answer", || client.first_answer(start, "two").is_some())?;
    let cut = Instant::now();
    two.cut()?;
    thread::sleep(Duration::from_millis(300)); // the length of the outage, not a guess
    two.plug()?;
    let plugged = Instant::now();
    wait_until(LIMIT, "an answer", || client.first_answer(plugged, "two").is_some())?;
    let end = Instant::now();
    let requests = client.stop();
    let gap = largest_gap(&requests, cut, end).ok_or("no gap")?.length();
    assert!(gap >= Duration::from_millis(290), "{gap:?}");
    assert!(gap <= end - cut + Duration::from_millis(100), "{gap:?} of {:?}", end - cut);
    Ok(())
}

fn the_prober_knows_who_answered(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let shared = Ipv4Addr::new(192, 168, 130, 100).into();
    let _echo = two.serve_echo(shared)?; // before the host has the address
    let prober = Prober::start(&one, shared, Duration::from_millis(1))?;
    let begin = Instant::now();
    two.add_address(shared, 32)?;
    wait_until(LIMIT, "an answer", || prober.first_answer(begin, "two").is_some())?;
    assert_eq!(prober.first_answer(begin, "one"), None);
    let probe = prober.probes(begin).into_iter().find(|probe| probe.answer.is_some());
    let probe = probe.ok_or("no answered probe")?;
    let answer = probe.answer.ok_or("no answer")?;
    assert!(answer.at >= probe.sent && &*answer.by == "two");

    two.cut()?;
    let cut = Instant::now();
    wait_until(LIMIT, "questions", || prober.probes(cut).len() > 100)?;
    assert!(prober.probes(cut).iter().all(|probe| probe.answer.is_none()));
    Ok(())
}

fn the_client_repeats_a_reset_request_once(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let listener = two.run_inside(|| TcpListener::bind((TWO, 80)))??;
    // Every first connection of two is reset: its request is not read to its end. The server waits
    // for connections until the program ends.
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let _ = stream.set_read_timeout(Some(LIMIT));
            let mut first = [0];
            let _ = (&stream).read_exact(&mut first);
            if number % 2 == 1 {
                let _ = (&stream).read(&mut [0; 64]);
                let _ = (&stream).write_all(b"HTTP/1.0 200 OK\r\n\r\nsecond try\n");
            }
        }
    });
    let client = Client::start(&one, TWO.into(), Duration::from_millis(200))?;
    wait_until(LIMIT, "two answers", || client.requests().len() >= 2)?;
    let requests = client.requests();
    assert!(requests[..2].iter().all(|request| request.repeated), "{requests:?}");
    assert_eq!(requests[0].outcome, Outcome::Answered("second try".into()));
    Ok(())
}

fn whoever_asks_learns_who_has_it(lab: &Lab) -> Result {
    let (switch, one, two) = pair(lab)?;
    let client = switch.host("client", mac(0x99), &["192.168.130.99/24", "2001:db8::99/64"])?;
    // The answers have to find their way back.
    one.add_address("2001:db8::50".parse()?, 64)?;
    two.add_address("2001:db8::10".parse()?, 64)?;
    let patience = Duration::from_millis(500);
    for (shared, prefix) in [("192.168.130.100", 32), ("2001:db8::100", 128)] {
        let shared: IpAddr = shared.parse()?;
        let _echoes = (one.serve_echo(shared)?, two.serve_echo(shared)?);
        for has in [&one, &two] {
            has.add_address(shared, prefix)?;
            let answer = || client.ask(shared, patience).ok().flatten();
            wait_until(LIMIT, "the answer", || answer().as_deref() == Some(has.name()))?;
            has.remove_address(shared, prefix)?;
            assert_eq!(client.ask(shared, patience)?, None);
        }
    }
    Ok(())
}

fn macvlan_addresses_are_held(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let shared: IpAddr = "2001:db8::100".parse()?;
    assert!(!one.holds(shared)?);
    one.add_macvlan("virtual", mac(0x77), &[(shared, 128)])?;
    wait_until(LIMIT, "the macvlan to run", || one.holds(shared).unwrap_or(false))?;
    assert!(!one.has_address(shared)?, "it is not on eth0");
    one.unplug()?;
    wait_until(LIMIT, "the macvlan to stop", || one.holds(shared).is_ok_and(|holds| !holds))?;
    Ok(())
}

fn the_tap_hears_only_what_is_sent(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let (sent, all) = (one.tap_sent()?, one.tap()?);
    let start = Instant::now();
    advertise(&two)?;
    advertise(&one)?;
    wait_until(LIMIT, "both adverts", || {
        [ONE, TWO].iter().all(|&host| advert_of(&all, host, start).is_some())
    })?;
    wait_until(LIMIT, "its own advert", || advert_of(&sent, ONE, start).is_some())?;
    assert_eq!(advert_of(&sent, TWO, start), None);
    Ok(())
}

fn the_tap_stamps_adverts(lab: &Lab) -> Result {
    let (switch, one, _two) = pair(lab)?;
    let tap = switch.tap()?;
    let before = Instant::now();
    advertise(&one)?;
    wait_until(LIMIT, "the advert", || advert_of(&tap, ONE, before).is_some())?;
    let at = advert_of(&tap, ONE, before).ok_or("no advert")?;
    assert!(before <= at && at <= Instant::now());
    Ok(())
}

fn the_switch_shows_nothing_of_a_cut_host(lab: &Lab) -> Result {
    let (switch, one, two) = pair(lab)?;
    let (tap, port) = (switch.tap()?, one.tap()?);
    one.cut()?;
    let start = Instant::now();
    advertise(&one)?;
    advertise(&two)?;
    wait_until(LIMIT, "the advert at the port", || advert_of(&port, ONE, start).is_some())?;
    wait_until(LIMIT, "the other's advert", || advert_of(&tap, TWO, start).is_some())?;
    assert_eq!(advert_of(&tap, ONE, start), None);
    assert_eq!(advert_of(&port, TWO, start), None);
    Ok(())
}

fn frames_are_dropped_in_one_direction(lab: &Lab) -> Result {
    let (switch, one, two) = pair(lab)?;
    for (dropped, other) in [(Direction::Out, Direction::In), (Direction::In, Direction::Out)] {
        if let Err(error @ LabError::Nft { .. }) = one.drop_frames(dropped) {
            assert!(error.to_string().contains("install nftables"), "{error}");
            eprintln!("skipped: {error}");
            return Ok(());
        }
        // What one sends is seen at the port of two, and the other way round.
        let tap = |direction| match direction {
            Direction::Out => (two.tap(), ONE),
            Direction::In => (one.tap(), TWO),
        };
        let ((silent, absent), (busy, present)) = (tap(dropped), tap(other));
        let (silent, busy) = (silent?, busy?);
        let start = Instant::now();
        [&one, &two].into_iter().try_for_each(advertise)?;
        wait_until(LIMIT, "what passes", || advert_of(&busy, present, start).is_some())?;
        assert_eq!(advert_of(&silent, absent, start), None, "{dropped:?}");
        one.pass(dropped)?;
        [&one, &two].into_iter().try_for_each(advertise)?;
        wait_until(LIMIT, "what passes again", || advert_of(&silent, absent, start).is_some())?;
    }
    drop(switch);
    Ok(())
}

/// When a tap has first heard an advert of `sender`.
fn advert_of(tap: &Tap, sender: Ipv4Addr, since: Instant) -> Option<Instant> {
    tap.find(since, |frame| frame.carp().filter(|(source, _)| *source == sender).map(|_| frame.at))
}

fn lines_are_told_apart_and_waited_for(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let process = one.spawn(shell("echo out; echo err >&2; exit 3"))?;
    assert_eq!(process.wait_for_line(LIMIT, "out")?.stream, lab::Stream::Stdout);
    assert_eq!(process.wait_for_line(LIMIT, "err")?.stream, lab::Stream::Stderr);
    assert_eq!(process.wait(LIMIT)?.code(), Some(3));
    let error = process.wait_for_line(LIMIT, "never").expect_err("it never says that");
    assert!(matches!(error, LabError::Ended { .. }), "{error}");
    let missing = one.spawn(Command::new("/no/such/program"));
    assert!(matches!(missing, Err(LabError::System { .. })));
    Ok(())
}

fn nothing_is_left_behind(_lab: &Lab) -> Result {
    for (signal, number) in [(Signal::KILL, 9), (Signal::TERM, 15), (Signal::INT, 2)] {
        let mark = format!("linger-{number}");
        let mut outside = errand(&mark, |command| command)?;
        // Outside, inside, two first processes, the web server, and the sleeper.
        wait_until(LIMIT, "the lab inside", || marked(&mark).len() == 6)?;
        kill_process(Pid::from_child(&outside), signal)?;
        assert_eq!(outside.wait()?.signal(), Some(number));
        wait_until(LIMIT, "the end of all processes", || marked(&mark).is_empty())?;
    }
    assert!(!Path::new("/run/errand").exists(), "files of an inner lab are its own");
    assert_eq!(errand("status-7", |command| command)?.wait()?.code(), Some(7));
    Ok(())
}

fn root_is_not_needed(_lab: &Lab) -> Result {
    if fs::read_to_string("/proc/self/uid_map")?.trim_end().ends_with(" 1") {
        eprintln!("skipped: all the tests run without root already");
        return Ok(());
    }
    let mut outside = errand("linger-nobody", |command| command.uid(65534).gid(65534))?;
    wait_until(LIMIT, "the lab of nobody", || marked("linger-nobody").len() == 6)?;
    outside.kill()?;
    outside.wait()?;
    wait_until(LIMIT, "the end of all processes", || marked("linger-nobody").is_empty())?;
    Ok(())
}

/// Runs this program again, in a lab of its own, inside of which it runs an errand.
fn errand(errand: &str, prepare: impl Fn(&mut Command) -> &mut Command) -> Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command.env(ERRAND, errand).stdin(Stdio::null());
    Ok(prepare(&mut command).spawn()?)
}

/// What an errand does, inside.
fn run_errand(lab: &Lab, errand: &str) -> ExitCode {
    let linger = || -> Result {
        fs::write(lab.directory().join("errand"), errand)?;
        let (_switch, one, two) = pair(lab)?;
        let (_web, sleeper) = (one.serve_web()?, two.spawn(shell("exec sleep 1000"))?);
        assert_eq!(answer(&two, ONE)?, "one");
        sleeper.wait(Duration::from_secs(1000))?;
        Ok(())
    };
    match errand {
        "status-7" => ExitCode::from(7),
        _ => linger().map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS),
    }
}

/// The processes that have a mark in their environment.
fn marked(mark: &str) -> BTreeSet<u32> {
    let entry = format!("{ERRAND}={mark}");
    let is_marked = |environment: Vec<u8>| {
        environment.split(|&byte| byte == 0).any(|found| found == entry.as_bytes())
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .filter(|id| fs::read(format!("/proc/{id}/environ")).is_ok_and(is_marked))
        .collect()
}

const ONE: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 50);
const TWO: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 10);
const VIRTUAL: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 100);

/// The mark of a process on the second host.
const TWO_MARK: &str = "grandchild";

fn pair(lab: &Lab) -> Result<(Switch, Host, Host)> {
    let switch = Switch::new(lab)?;
    let one = switch.host("one", mac(0x50), &["192.168.130.50/24"])?;
    let two = switch.host("two", mac(0x10), &["192.168.130.10/24"])?;
    Ok((switch, one, two))
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// The answer of a web server to a host, which has to come.
fn answer(host: &Host, server: Ipv4Addr) -> Result<String> {
    ask_for(LIMIT, host, server)
}

/// Asks a web server from a host, with little patience: there may be nobody.
fn ask(host: &Host, server: Ipv4Addr) -> Result<String> {
    ask_for(Duration::from_millis(500), host, server)
}

fn ask_for(patience: Duration, host: &Host, server: Ipv4Addr) -> Result<String> {
    let get = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((server, 80)), patience)?;
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = host.run_inside(get)??;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    Ok(answer.lines().last().unwrap_or_default().to_owned())
}

/// The carrier of a host's interface, as `ip` sees it: 1 or 0.
fn carrier(host: &Host) -> Result<&'static str> {
    let show = host.spawn(shell("ip -o link show dev eth0"))?;
    show.wait(LIMIT)?;
    wait_until(LIMIT, "the output of ip", || !show.lines().is_empty())?;
    Ok(if show.said().contains("LOWER_UP") { "1" } else { "0" })
}

/// Adds an address to eth0 of the calling thread's namespace as a daemon would.
fn add_with_protocol(address: Ipv4Addr, protocol: u8) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let (connection, handle, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let mut request = handle.address().add(2, address.into(), 32);
        let attribute = AddressAttribute::Protocol(AddressProtocol::from(protocol));
        request.message_mut().attributes.push(attribute);
        Ok(request.execute().await?)
    })
}

/// Has a host send an advert, whose digest nobody looks at.
fn advertise(host: &Host) -> Result {
    let interval = CarpInterval { advbase: 1, advskew: 0 };
    let advert = Advert { vhid: 1, interval, demotion: 0, counter: 1, digest: [0; 20] };
    let mut message = Vec::new();
    emit(&advert, &mut message);
    let source = host.addresses()?.iter().find_map(|address| match address.ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    });
    let send = || -> std::io::Result<usize> {
        let protocol = socket2::Protocol::from(i32::from(Protocol::IP_PROTOCOL));
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(protocol))?;
        socket.set_multicast_if_v4(&source.unwrap_or(ONE))?;
        socket.send_to(&message, &SocketAddr::from((GROUP_IPV4, 0)).into())
    };
    host.run_inside(send)??;
    Ok(())
}
