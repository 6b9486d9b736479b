//! The examples do what they say.

#[path = "../examples/custom_backend.rs"]
#[expect(dead_code, reason = "its main function is not called here")]
mod custom_backend;
#[path = "../examples/monitor.rs"]
#[expect(dead_code, reason = "its main function is not called here")]
mod monitor;

#[test]
fn a_dry_run_tells_which_addresses_it_would_take() {
    let told = custom_backend::run().unwrap();
    assert_eq!(told, ["add 192.0.2.100 on eth0", "remove 192.0.2.100 on eth0"]);
}

#[test]
fn a_monitor_tells_who_becomes_active() {
    let capture = include_bytes!("../../carp-proto/tests/vectors/keepalived-v3-ipv4-centisec.pcap");
    let mut told = Vec::new();
    monitor::read(&capture[..], |line| told.push(line)).unwrap();
    let ends = |end: &str| told.iter().any(|line| line.ends_with(end));
    assert!(ends("vrrp3 54: 10.99.0.1 resigned"), "{told:#?}");
    assert!(ends("vrrp3 54: 10.99.0.2 is active with priority 100, 250ms"), "{told:#?}");
}
