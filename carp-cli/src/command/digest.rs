//! Checking CARP's digests: `--key-file` and `--address`.

use carp_node::config::{KeyFileError, read_key_file};
use carp_node::dissect::Verifier;

use crate::args::Digest;
use crate::exit::{Exit, Failure};

/// What checks digests, if a key and addresses were given.
pub(super) fn verifier(arguments: &Digest) -> Result<Option<Verifier>, Failure> {
    let usage = |message: &str| Err(Failure::new(Exit::Usage, message));
    let path = match (&arguments.key_file, arguments.addresses.is_empty()) {
        (None, true) => return Ok(None),
        (Some(path), false) => path,
        (Some(_), true) => {
            return usage("--key-file needs --address: the digest covers the virtual addresses");
        }
        (None, false) => {
            return usage("--address needs --key-file: there is no digest without a key");
        }
    };
    let file = read_key_file(path).map_err(|error| {
        let help = match error {
            KeyFileError::Exposed { .. } | KeyFileError::Foreign { .. } | KeyFileError::Denied => {
                error.remedy(path)
            }
            _ => "give the key file that the router itself reads".to_owned(),
        };
        Failure::failed(format!("the key file {}: {error}", path.display())).with_help(help)
    })?;
    if file.ends_with_space {
        eprintln!(
            "carp: warning: the key in {} ends with white space, which is part of it",
            path.display()
        );
    }
    Ok(Some(Verifier::new(file.key, arguments.addresses.clone())))
}
