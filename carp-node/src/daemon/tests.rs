//! From a configuration to what the node runs.

use carp_proto::Protocol;

use super::*;
use crate::config::{Host, KeyFileError, ProgramError, Secret};

/// A machine on which every key file holds the same.
struct TestHost;

impl Host for TestHost {
    fn name(&self) -> String {
        "testhost".to_owned()
    }

    fn secret(&self, _: &std::path::Path) -> Result<Secret, KeyFileError> {
        Ok(Secret::new(b"hunter2"))
    }

    fn program(&self, _: &std::path::Path) -> Result<(), ProgramError> {
        Ok(())
    }
}

pub(super) fn config(text: &str) -> Config {
    Config::parse("carp.toml", text.as_bytes(), &TestHost).unwrap().config
}

const DUAL: &str = "\
[router.dns]
protocol = \"carp\"
interface = \"eth1\"
id = 1
addresses = [\"10.0.1.7\", \"2001:db8:1::7\"]
key_file = \"dns.key\"
advert_mac = \"ucarp\"
address_interface = \"lo\"
[router.web]
protocol = \"vrrp3\"
interface = \"eth0\"
id = 42
addresses = [\"2001:db8::7\", \"10.0.0.7\"]
priority = 200
mac = \"virtual\"
[router.web.on]
before_active = [\"/bin/true\"]
[router.mail]
protocol = \"vrrp2\"
interface = \"eth0\"
id = 43
addresses = [\"10.0.0.8\"]
[group.site]
routers = [\"dns\", \"mail\"]
";

#[test]
fn a_router_of_both_families_in_vrrp3_is_two_with_one_group() {
    let setups = setups(&config(DUAL)).unwrap();
    let [dns, ipv4, ipv6, mail] = &setups[..] else { panic!("{setups:?}") };
    let texts = |setup: &RouterSetup| {
        setup.config.addresses().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!((&*dns.name, texts(dns)), ("dns", vec!["10.0.1.7".into(), "2001:db8:1::7".into()]));
    assert_eq!((&*ipv4.name, texts(ipv4)), ("web/ipv4", vec!["10.0.0.7".into()]));
    let list = vec!["fe80::200:5eff:fe00:22a".into(), "2001:db8::7".into()];
    assert_eq!((&*ipv6.name, texts(ipv6)), ("web/ipv6", list));
    assert_eq!([dns, ipv4, ipv6, mail].map(|it| it.group), [Some(0), Some(1), Some(1), Some(0)]);
    assert_eq!(ipv6.config.protocol(), Protocol::Vrrp3);
}

#[test]
fn addresses_and_adverts_have_the_link_layer_addresses_that_were_asked_for() {
    let setups = setups(&config(DUAL)).unwrap();
    let shown = |setup: &RouterSetup| {
        let [address, advert] =
            [setup.place.mac, setup.advert_mac].map(|mac| mac.map(|mac| mac.to_string()));
        let elsewhere = setup.place.device.is_none() && setup.place.interface != setup.interface;
        (address, advert, elsewhere.then(|| setup.place.interface.clone()))
    };
    let mac = |text: &str| Some(text.to_owned());
    let [dns, ipv4, ipv6, mail] = &setups[..] else { panic!("{setups:?}") };
    assert_eq!(shown(dns), (None, mac("00:00:5e:00:00:01"), Some("lo".into())));
    assert_eq!(shown(ipv4), (mac("00:00:5e:00:01:2a"), mac("00:00:5e:00:01:2a"), None));
    assert_eq!(shown(ipv6), (mac("00:00:5e:00:02:2a"), mac("00:00:5e:00:02:2a"), None));
    assert_eq!(shown(mail), (None, None, None));
}

#[test]
fn hooks_are_those_of_the_setups_in_their_order() {
    let config = config(DUAL);
    let names: Vec<_> = setups(&config).unwrap().into_iter().map(|setup| setup.name).collect();
    let hooks = hook_routers(&config);
    assert_eq!(hooks.iter().map(|hook| hook.name.clone()).collect::<Vec<_>>(), names);
    assert_eq!(hooks[2].addresses, ["fe80::200:5eff:fe00:22a", "2001:db8::7"]);
    let prepares: Vec<_> = hooks.iter().map(|hook| hook.spec.before_active.is_some()).collect();
    assert_eq!(prepares, [false, true, true, false]);
}

#[test]
fn two_families_of_one_id_share_a_lock() {
    let text = "\
[router.a]
protocol = \"vrrp3\"
interface = \"lock0\"
id = 42
addresses = [\"10.0.0.7\"]
[router.b]
protocol = \"vrrp3\"
interface = \"lock0\"
id = 42
addresses = [\"2001:db8::7\"]
";
    let config = config(text);
    let held = locks(&config).unwrap();
    assert_eq!(held.len(), 1);
    assert!(matches!(locks(&config), Err(LockError::Taken { .. })));
}

#[test]
fn every_counter_begins_elsewhere() {
    let config = config(DUAL);
    let seeds: BTreeSet<_> =
        (0..8).map(|_| format!("{:?}", setups(&config).unwrap()[0].config)).collect();
    assert_eq!(seeds.len(), 8);
}
