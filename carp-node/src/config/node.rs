//! `[node]`.

use std::path::PathBuf;

use super::NodeSpec;
use super::host::Host;
use super::read::Section;

/// Where state is kept if nothing else is written.
const STATE_DIR: &str = "/var/lib/carp";

/// Reads the table, or what holds without one.
pub(super) fn read(section: Option<&Section<'_>>, host: &dyn Host) -> NodeSpec {
    NodeSpec {
        name: section.and_then(name).unwrap_or_else(|| host.name()),
        state_dir: section.and_then(state_dir).unwrap_or_else(|| STATE_DIR.into()),
        written: section.map(Section::written).unwrap_or_default(),
    }
}

fn name(section: &Section<'_>) -> Option<String> {
    let name = section.text("name", "name = \"www1\"")?;
    let text = name.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
        let message = format!("{text:?} cannot be the name of a node");
        let help = "it is 1 to 64 of A-Z a-z 0-9 . _ -";
        section.reader().mistake(name.span(), message, help);
    }
    Some((*text).to_owned())
}

fn state_dir(section: &Section<'_>) -> Option<PathBuf> {
    let path = section.text("state_dir", "state_dir = \"/var/lib/carp\"")?;
    if !path.get_ref().starts_with('/') {
        let message = format!("state_dir {:?} is not an absolute path", path.get_ref());
        section.reader().mistake(path.span(), message, "begin it with /, as in \"/var/lib/carp\"");
    }
    Some(path.get_ref().into())
}
