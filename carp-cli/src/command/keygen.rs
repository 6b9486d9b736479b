//! `carp keygen`: a key that nobody can guess.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use carp_proto::Key;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::exit::Failure;
use crate::output;

/// Sixty-four characters, six bits each, that need no quotes in any shell or configuration.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._";

/// Makes a key of 114 bits. It is printed, or written to a file that only its owner can read.
pub(crate) fn run(file: Option<&Path>) -> Result<(), Failure> {
    let key = key()?;
    let Some(path) = file else { return output::print(&key) };
    write(path, key.as_bytes()).map_err(|error| refusal(path, &error))?;
    eprintln!("carp: wrote {}: copy it to the other servers, with mode 0600", path.display());
    Ok(())
}

/// As many characters as fit, and a newline.
fn key() -> Result<String, Failure> {
    let mut random = [0; Key::MAX_LEN];
    let mut rest = &mut random[..];
    while !rest.is_empty() {
        match getrandom(&mut *rest, GetRandomFlags::empty()) {
            Ok(filled) => rest = &mut rest[filled..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Failure::missing(format!("no random numbers: {error}"))),
        }
    }
    Ok(random.iter().map(|byte| character(*byte)).chain(['\n']).collect())
}

/// 64 divides 256: every character is as likely as any other.
fn character(byte: u8) -> char {
    char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])
}

/// Writes a new file. One that was begun and not finished is taken away again.
fn write(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    fill(&mut file, key).inspect_err(|_| drop(fs::remove_file(path)))
}

fn fill(file: &mut File, key: &[u8]) -> io::Result<()> {
    // The umask may have taken even the owner's rights.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(key)?;
    file.sync_all()
}

fn refusal(path: &Path, error: &io::Error) -> Failure {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::failed(format!("{shown} exists already"))
            .with_help("a key is never overwritten: move the old one away, or take another name"),
        io::ErrorKind::NotFound => {
            Failure::failed(format!("{shown}: its directory does not exist"))
                .with_help("create the directory first, with mode 0755 or less")
        }
        io::ErrorKind::PermissionDenied => {
            Failure::missing(format!("{shown} cannot be written: permission denied"))
                .with_help("run this as root, or write to another directory")
        }
        _ => Failure::failed(format!("{shown} cannot be written: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_of_the_alphabet_stands_for_four_bytes() {
        for character in ALPHABET.iter().map(|&byte| char::from(byte)) {
            let bytes = (0..=u8::MAX).filter(|&byte| super::character(byte) == character);
            assert_eq!(bytes.count(), 4, "{character}");
        }
    }
}
