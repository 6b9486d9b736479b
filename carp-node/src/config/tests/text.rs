//! What is no configuration at all, and what a file must not do to us.

use std::fs;

use proptest::prelude::*;

use super::super::*;
use super::{LEAST, config, found, parse, with};

#[test]
fn syntax_errors_are_reported_alone_and_all() {
    let text = "a = \n[router.web\nid = 1\n";
    assert_eq!(
        found(text),
        [
            "1:5: error: string values must be quoted, expected literal string",
            "2:12: error: unclosed table, expected `]`"
        ]
    );
    assert_eq!(found(with("id = 2")), ["7:1: error: duplicate key"]);
    assert_eq!(found("= \n".repeat(1000)).len(), 10);
}

#[test]
fn what_is_no_text_is_refused() {
    for (text, expected) in [
        (&b"# \xc3\xa4\n\xff"[..], "2:1: error: this is not UTF-8 // save the file as UTF-8"),
        (b"ab\0", "1:3: error: a NUL byte does not belong into a text // remove it"),
        (
            &vec![b'#'; MAX_FILE_SIZE + 1],
            "0:0: error: the file is too large: a configuration has at most 1 MiB // is this the \
             right file?",
        ),
    ] {
        assert_eq!(found(text), [expected]);
    }
}

#[test]
fn no_secret_is_ever_shown() {
    let loaded = parse(LEAST).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    for line in ["password = \"hunter2\"", "previous = { password = \"hunter2\" }"] {
        let error = parse(with(line)).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let error = Config::load(&dir.path().join("none.toml")).unwrap_err().to_string();
    assert!(error.contains("none.toml: error: the configuration cannot be read: no such file"));
    let error = Config::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read: it is a directory"), "{error}");
    let large = dir.path().join("large.toml");
    fs::write(&large, vec![b' '; MAX_FILE_SIZE + 1]).unwrap();
    let error = Config::load(&large).unwrap_err().to_string();
    assert!(error.contains("at most 1 MiB"), "{error}");
}

/// A valid configuration with many kinds of values, for mutation.
const RICH: &str = "\
[node]
name = \"www1\"
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 0x01
addresses = [\"192.168.130.100\", \"10.0.0.1/24\"]
key_file = \"wéb.key\"
advskew = 100
announce = { burst = 5, repeat = [\"1s\", \"5s\"], refresh = \"60s\" }
handover = 'auto'
lease = \"1s\"
hold = { boot = \"1m\", link_up = \"5s\" }
previous = { key_file = \"other.key\", accept_for = \"1d\" }
[router.web.on]
active = [\"/bin/true\", \"\"\"\na\"\"\"]
[router.dns]
protocol = \"vrrp3\"
interface = \"eth0\"
id = 2
addresses = [\"192.168.130.101\", \"2001:db8::1\"]
auth = \"hmac\"
key_file = \"hmac.key\"
key_id = 1
receive_keys = [{ id = 2, key_file = \"new.key\" }]
peers = [\"192.168.130.10\", \"fe80::10\"]
min_ttl = 64
mac = \"virtual\"
[router.mail]
protocol = \"vrrp2\"
interface = \"eth1\"
id = 3
addresses = [\"192.168.130.102\"]
interval = \"2s\"
auth = \"password\"
key_file = \"mail.key\"
address_interface = \"lo\"
[group.site]
routers = [\"dns\", \"mail\"]
";

#[test]
fn the_configuration_for_mutation_is_valid() {
    parse(RICH).unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC*") {
        let _any = found(text);
    }

    #[test]
    fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = found(bytes);
    }

    #[test]
    fn no_mutation_makes_parsing_panic(
        start in 0..RICH.len(),
        len in 0_usize..20,
        insert in "[\\[\\]{}=.,\"'#\n 0-9a-zäµ\\\\-]{0,12}",
    ) {
        let end = RICH.len().min(start + len);
        let mut bytes = RICH.as_bytes().to_vec();
        bytes.splice(start..end, insert.into_bytes());
        match parse(&bytes) {
            // What is valid can be explained and compared; what is not has a place in the text.
            Ok(loaded) => {
                let _any = loaded.config.compare(&parse(RICH).unwrap().config);
                for router in &loaded.config.routers {
                    prop_assert!(!router.settings().is_empty());
                    prop_assert!(router.elections().iter().all(|it| it.config(0).is_ok()));
                }
            }
            Err(error) => {
                let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
                prop_assert!(!error.diagnostics().is_empty());
                prop_assert!(error.diagnostics().iter().all(|it| it.position().0 <= lines));
                prop_assert!(!error.to_string().contains("hunter2"));
            }
        }
    }
}

/// `docs/configuration.md`.
fn reference() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    fs::read_to_string(path).unwrap()
}

#[test]
fn the_reference_names_every_key() {
    let text = reference();
    for schema in [
        &known::ROOT,
        &known::NODE,
        &known::GROUP,
        &known::ROUTER,
        &known::PREVIOUS,
        &known::ANNOUNCE,
        &known::HOLD,
        &known::ON,
        &known::SYNC,
    ] {
        for key in schema.now.iter().chain(schema.later) {
            let names = [
                format!("`{key}`"),
                format!("`announce.{key}`"),
                format!("`hold.{key}`"),
                format!("`[{key}.NAME]`"),
                format!("`[router.NAME.{key}]`"),
                format!("`[{key}]`"),
            ];
            assert!(names.iter().any(|name| text.contains(name)), "{key}");
        }
    }
}

#[test]
fn the_examples_of_the_reference_are_valid() {
    let text = reference();
    let examples: Vec<_> = text.split("```toml\n").skip(1).collect();
    assert!(examples.len() >= 5, "{}", examples.len());
    for example in examples {
        config(example.split("```").next().unwrap());
    }
}
