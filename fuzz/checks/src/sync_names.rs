//! The small texts of synchronisation: where the peer is, markers, names and reports of rescue sets, paths as text.
//! Reading them is total, and one thing has one text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use carp_node::sync::guards::marker::ShareId;
use carp_node::sync::rescue::{Report, SetName, path};
use carp_node::sync::rsync::ssh::Destination;

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let shown = path::to_text(Path::new(OsStr::from_bytes(input)));
    assert!(!shown.chars().any(char::is_control), "{shown:?}");
    let read = path::from_text(&shown).expect("what was written");
    assert_eq!(read.as_os_str().as_bytes(), input);

    if let Some(id) = ShareId::parse(input) {
        assert_eq!(ShareId::parse(id.as_str().as_bytes()), Some(id));
    }
    if let Ok(report) = serde_json::from_slice::<Report>(input) {
        let written = serde_json::to_vec(&report).expect("it can be written");
        let again: Report = serde_json::from_slice(&written).expect("what was written");
        // Times are cut to what JSON shows of them, and then stay.
        assert_eq!(serde_json::to_vec(&again).expect("it can be written"), written);
    }
    let Ok(text) = str::from_utf8(input) else { return };
    if let Ok(name) = text.parse::<SetName>() {
        assert_eq!(name.to_string(), text);
    }
    if let Some(read) = path::from_text(text) {
        assert_eq!(path::from_text(&path::to_text(&read)), Some(read));
    }
    if let Ok(to) = Destination::parse(text) {
        // Both are words of a command line and of ssh's configuration.
        for word in [&to.user, &to.host] {
            assert!(!word.is_empty() && !word.starts_with('-'), "{to:?}");
            let odd = |c: char| c.is_whitespace() || c.is_control() || "\"'\\$;@%".contains(c);
            assert!(!word.contains(odd), "{to:?}");
        }
        let again = format!("{}@{}", to.user, to.host);
        assert_eq!(Destination::parse(&again), Ok(to));
    }
}
