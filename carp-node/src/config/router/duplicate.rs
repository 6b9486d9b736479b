//! `duplicate`.

use crate::config::read::Section;
use crate::node::Duplicate;

/// What to do if another host has one of the addresses.
pub(super) fn duplicate(section: &Section<'_>, owner: bool) -> Duplicate {
    let words = Duplicate::ALL.map(|policy| (policy.name(), policy));
    let policy = section.word("duplicate", &words).unwrap_or_default();
    let Some(value) = section.value("duplicate").filter(|_| policy == Duplicate::Veto) else {
        return policy;
    };
    let elsewhere = || {
        let home = section.value("address_interface")?.get_ref().as_str()?;
        let interface = section.value("interface")?.get_ref().as_str()?;
        (home != interface).then_some(home)
    };
    let why = if owner {
        Some("an owner always takes its addresses".to_owned())
    } else {
        elsewhere().map(|home| format!("nobody is asked for addresses that live on {home}"))
    };
    if let Some(why) = why {
        let message = format!("duplicate = \"veto\" has no effect: {why}");
        section.reader().warning(value.span(), message, "remove it");
    }
    policy
}
