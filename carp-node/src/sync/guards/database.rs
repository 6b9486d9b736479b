//! Finds the files of database servers in a share.
//!
//! A copy of files that a server writes is made of moments that do not belong together: of six copies of
//! an InnoDB directory under load five did not start, and rsync was content with all of them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::sync::pattern::Patterns;
use crate::sync::tree::{Go, Visit, visit};

/// The files by which servers' databases are known. Without a system tablespace of the usual name, InnoDB's redo log
/// tells.
const FILES: [&str; 5] = ["ibdata1", "ib_logfile0", "#ib_redo0", "PG_VERSION", "pg_control"];

/// How the name of SQLite's write-ahead log ends. It is there as long as somebody has the database open.
const WAL: &str = "-wal";

/// How the file of a database of SQLite begins.
const SQLITE: &[u8; 16] = b"SQLite format 3\0";

/// A database that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Database {
    /// What kind.
    pub kind: Kind,
    /// Its directory or file.
    pub path: PathBuf,
}

/// The kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MySQL or MariaDB.
    InnoDb,
    /// PostgreSQL.
    PostgreSql,
    /// SQLite with a write-ahead log.
    Sqlite,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InnoDb => "an InnoDB data directory (MySQL or MariaDB)",
            Self::PostgreSql => "a PostgreSQL data directory",
            Self::Sqlite => "an SQLite database with a write-ahead log",
        })
    }
}

/// The first database in a share, outside of what is excluded.
///
/// # Errors
/// What the system said about a directory that cannot be read.
pub fn find(root: &Path, exclude: &Patterns) -> io::Result<Option<Database>> {
    let mut found = None;
    visit(root, exclude, |entry| {
        found = of_entry(entry);
        if found.is_some() { Go::Stop } else { Go::On }
    })?;
    Ok(found)
}

/// The database to which an entry of a walk belongs, if it is one of the files by which databases are known.
#[must_use]
pub fn of_entry(entry: &Visit<'_>) -> Option<Database> {
    if entry.metadata.is_file() { of_file(entry.path) } else { None }
}

/// Whether a file of this name may say that a database came or went.
#[must_use]
pub fn is_sign(name: &[u8]) -> bool {
    FILES.iter().any(|file| file.as_bytes() == name) || name.ends_with(WAL.as_bytes())
}

/// Kind and place.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.path.display())
    }
}

/// Whether this file is one by which a database is known.
fn of_file(path: &Path) -> Option<Database> {
    let name = path.file_name()?.to_str()?;
    let directory = path.parent()?;
    let (kind, path) = match name {
        "ibdata1" | "ib_logfile0" => (Kind::InnoDb, directory),
        "#ib_redo0" => (Kind::InnoDb, directory.parent().unwrap_or(directory)),
        "PG_VERSION" if directory.join("global/pg_control").exists() => {
            (Kind::PostgreSql, directory)
        }
        _ => {
            let database = path.with_file_name(name.strip_suffix(WAL)?);
            return is_sqlite(&database).then_some(Database { kind: Kind::Sqlite, path: database });
        }
    };
    Some(Database { kind, path: path.to_owned() })
}

fn is_sqlite(path: &Path) -> bool {
    let mut begin = [0; SQLITE.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut begin)).is_ok() && begin == *SQLITE
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::sync::hold::Hold;

    fn share(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn found(root: &tempfile::TempDir, exclude: &[&str]) -> Option<(Kind, PathBuf)> {
        let exclude = Patterns::new(exclude.iter().map(|pattern| pattern.as_bytes().to_vec()));
        let database = find(root.path(), &exclude).unwrap()?;
        Some((database.kind, database.path.strip_prefix(root.path()).unwrap().to_owned()))
    }

    #[test]
    fn databases_are_found_in_the_root_and_below() {
        for (files, kind, path) in [
            (&[("ibdata1", &b""[..])][..], Kind::InnoDb, ""),
            (&[("a/b/mysql/ibdata1", b"")], Kind::InnoDb, "a/b/mysql"),
            (&[("d/ib_logfile0", b"")], Kind::InnoDb, "d"),
            (&[("d/#innodb_redo/#ib_redo0", b"")], Kind::InnoDb, "d"),
            (&[("pg/PG_VERSION", b"15\n"), ("pg/global/pg_control", b"")], Kind::PostgreSql, "pg"),
            (
                &[("app/x.db", b"SQLite format 3\0..."), ("app/x.db-wal", b"")],
                Kind::Sqlite,
                "app/x.db",
            ),
        ] {
            assert_eq!(found(&share(files), &[]), Some((kind, path.into())), "{files:?}");
        }
    }

    #[test]
    fn what_only_looks_like_one_is_let_go() {
        let root = share(&[
            ("PG_VERSION", b"15\n"),
            ("text-wal", b""),
            ("text", b"SQLite is a database"),
            ("alone.db", b"SQLite format 3\0..."),
            ("gone.db-wal", b""),
        ]);
        assert_eq!(found(&root, &[]), None);
    }

    #[test]
    fn what_is_excluded_is_not_refused() {
        let root = share(&[("mysql/ibdata1", b""), ("page", b"")]);
        assert!(found(&root, &[]).is_some());
        assert_eq!(found(&root, &["/mysql/"]), None);
        let database = Database { kind: Kind::InnoDb, path: "/srv/mysql".into() };
        let message = Hold::of_database(&database).message;
        assert!(
            message.starts_with(
                "the share contains an InnoDB data directory (MySQL or MariaDB): /srv/mysql; "
            ),
            "{message}"
        );
    }
}
