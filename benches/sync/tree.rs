//! A tree of many small files.

use std::fs;
use std::path::Path;

use carp_benches::Result;

/// How many files a directory has.
const A_DIRECTORY: usize = 100;

/// About what a page has.
const LENGTH: usize = 4000;

/// Makes so many files.
pub(crate) fn make(root: &Path, files: usize) -> Result<()> {
    let mut text = vec![b'x'; LENGTH];
    for number in 0..files {
        let directory = root.join(format!("d{:05}", number / A_DIRECTORY));
        if number % A_DIRECTORY == 0 {
            fs::create_dir(&directory)?;
        }
        // No two are the same.
        let name = format!("f{number:07}");
        text[..name.len()].copy_from_slice(name.as_bytes());
        fs::write(directory.join(name), &text)?;
    }
    Ok(())
}
