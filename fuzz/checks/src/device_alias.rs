//! Reading the alias of a device is total; what is read is written and reads the same.

use carp_node::backend::linux::DeviceAlias;

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    if let Some(alias) = DeviceAlias::parse(text) {
        assert!(text.starts_with("carp "), "another's alias: {text:?}");
        assert_eq!(DeviceAlias::parse(&alias.to_string()), Some(alias));
    }
}
