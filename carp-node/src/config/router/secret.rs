//! `key_file`, wherever it stands.

use std::fmt;
use std::path::PathBuf;

use toml::Spanned;

use crate::config::key::KeyKind;
use crate::config::read::Section;
use crate::config::spec::FromFile;

const EXAMPLE: &str = "key_file = \"/etc/carp/web.key\"";

/// Reads the secret of this kind in the file that `key_file` names. `parse` says whether the bytes
/// make one.
pub(super) fn read<K, E: fmt::Display>(
    section: &Section<'_>,
    kind: KeyKind,
    parse: impl FnOnce(&[u8]) -> Result<K, E>,
) -> Option<FromFile<K>> {
    let path = path(section)?;
    let reader = section.reader();
    let shown = path.get_ref().display();
    let secret = match reader.host().secret(path.get_ref()) {
        Ok(secret) => secret,
        Err(error) => {
            let help = error.remedy_for(kind, path.get_ref());
            reader.mistake(path.span(), format!("key file {shown}: {error}"), help);
            return None;
        }
    };
    match parse(secret.as_bytes()) {
        Ok(key) => {
            if secret.ends_with_space() {
                let message =
                    format!("the key in {shown} ends with white space, which is part of it");
                let help = "one newline at the end is taken off, more than that is not";
                reader.warning(path.span(), message, help);
            }
            let place = reader.locate(path.span());
            Some(FromFile { key, path: path.into_inner(), place })
        }
        Err(error) => {
            let help = kind.replace(path.get_ref());
            reader.mistake(path.span(), format!("key file {shown}: {error}"), help);
            None
        }
    }
}

fn path(section: &Section<'_>) -> Option<Spanned<PathBuf>> {
    if section.value("key_credential").is_none() {
        section.require("key_file", EXAMPLE)?;
    }
    let path = section.text("key_file", EXAMPLE)?;
    if path.get_ref().is_empty() || path.get_ref().contains('\0') {
        section.reader().mistake(
            path.span(),
            "this is not a path",
            format!("write it like {EXAMPLE}"),
        );
        return None;
    }
    Some(Spanned::new(path.span(), section.reader().resolve(path.get_ref())))
}
