//! Real rsync, as Debian has it: the command lines do what they are there for, and what it prints is read.
//! The connection is a pipe to an rsync daemon with the configuration that a peer would have.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use carp_node::control::units::WallTime;
use carp_node::sync::decide::Rescue;
use carp_node::sync::guards::marker::{self, MARKER, ShareId};
use carp_node::sync::guards::place;
use carp_node::sync::lineage::{Epoch, NodeId};
use carp_node::sync::pattern::Patterns;
use carp_node::sync::rescue::{self, Kind};
use carp_node::sync::rsync::command::{Care, ENVIRONMENT, Fetch, PARTIAL_DIR, Pass, Remote};
use carp_node::sync::rsync::exit::{Outcome, Status};
use carp_node::sync::rsync::output::{Change, Item, Line, Reader, Stat};
use carp_node::sync::rsync::ssh::{Module, Owner, rsyncd_conf};
use carp_node::sync::rsync::version::{self, Rsync};
use carp_node::sync::tree::{changed, purge_partial};

/// Two nodes on one machine: `source` serves, `copy` pulls.
struct Pair {
    directory: tempfile::TempDir,
    rsync: Rsync,
}

/// What a pass said.
#[derive(Debug)]
struct Said {
    outcome: Outcome,
    lines: Vec<Line>,
    errors: String,
}

impl Pair {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        for name in ["node a/www", "node b/www", "run", "export"] {
            fs::create_dir_all(base.join(name)).unwrap();
        }
        let pair = Self { rsync: installed(), directory };
        let modules = [Module { name: "www".into(), path: pair.source() }];
        let root = Owner { user: "root".into(), group: "root".into() };
        let owner = Some(&root).filter(|_| rustix::process::geteuid().is_root());
        let base = pair.directory.path();
        let conf = rsyncd_conf(&modules, owner, &base.join("run"), &base.join("export")).unwrap();
        fs::write(base.join("rsyncd.conf"), conf).unwrap();
        // What sshd would run for the key, whatever is asked for.
        let script = format!(
            "#!/bin/sh\nexec rsync --server --daemon --config='{}' .\n",
            base.join("rsyncd.conf").display()
        );
        fs::write(base.join("remote shell"), script).unwrap();
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(base.join("remote shell"), executable).unwrap();
        pair
    }

    fn source(&self) -> PathBuf {
        self.directory.path().join("node a/www")
    }

    fn copy(&self) -> PathBuf {
        self.directory.path().join("node b/www")
    }

    fn remote(&self) -> Remote {
        Remote {
            program: "rsync".into(),
            host: "peer".into(),
            rsh: vec![self.directory.path().join("remote shell").into()],
        }
    }

    fn pass(&self, care: Care) -> Pass {
        Pass {
            remote: self.remote(),
            module: "www".into(),
            path: self.copy(),
            care,
            max_delete: 100,
            attributes: true,
            bandwidth: None,
            compress: false,
            exclude: Vec::new(),
        }
    }

    fn run(&self, pass: &Pass) -> Said {
        run(&pass.argv(&self.rsync))
    }

    /// A normal pass that has to be complete.
    fn pull(&self) -> Said {
        let said = self.run(&self.pass(Care::Replace));
        assert_eq!(said.outcome, Outcome::Complete, "{said:?}");
        said
    }

    fn fetch(&self, module: &str, file: &str) -> (Said, PathBuf) {
        let to = self.directory.path().join("fetched");
        let fetch = Fetch {
            remote: self.remote(),
            module: module.into(),
            file: file.into(),
            to: to.clone(),
        };
        (run(&fetch.argv()), to)
    }

    /// What differs, by rsync's own reading of every byte.
    fn difference(&self) -> String {
        let output = Command::new("rsync")
            .args(["-n", "-aHAXi", "--checksum", "--delete"])
            .arg(self.source().join(""))
            .arg(self.copy().join(""))
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Said {
    fn items(&self) -> Vec<&Item> {
        self.lines
            .iter()
            .filter_map(|line| if let Line::Item(item) = line { Some(item) } else { None })
            .collect()
    }

    fn stat(&self, stat: Stat) -> Option<u64> {
        self.lines.iter().find_map(|line| match line {
            Line::Stat(found, value) if *found == stat => Some(*value),
            _ => None,
        })
    }
}

fn installed() -> Rsync {
    let output = Command::new("rsync").args(version::ARGUMENTS).output().unwrap();
    Rsync::parse(&output.stdout).unwrap()
}

fn command(argv: &[OsString]) -> Command {
    let mut command = Command::new(&argv[0]);
    command.args(&argv[1..]).envs(ENVIRONMENT).stdin(Stdio::null());
    command
}

fn run(argv: &[OsString]) -> Said {
    let output = command(argv).output().unwrap();
    let (mut reader, mut lines) = (Reader::default(), Vec::new());
    reader.push(&output.stdout, |line| lines.push(line));
    reader.finish(|line| lines.push(line));
    let status = output.status.code().map_or(Status::Signal(0), Status::Code);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Said { outcome: Outcome::of(status, &output.stderr), lines, errors }
}

fn put(root: &Path, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn read(root: &Path, name: &str) -> String {
    fs::read_to_string(root.join(name)).unwrap()
}

fn set_modified(path: &Path, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, nanos);
    fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

fn pulled(rescue: Rescue, pair: &Pair) -> (rescue::RescueSet, Said) {
    let directory = place::rescue_directory(&pair.copy(), "www").unwrap();
    let to = Epoch { number: 2, node: NodeId::try_from("a".to_owned()).unwrap(), nonce: 1 };
    let about = rescue::Pull { share: "www".into(), began: WallTime::now(), from: None, to };
    let none = Patterns::default();
    let set = rescue::begin(&directory, &pair.copy(), &none, &about, rescue).unwrap();
    let said = pair.run(&pair.pass(Care::Rescue(set.files())));
    (set, said)
}

#[test]
fn a_pass_makes_the_copy_equal_in_everything_that_a_tree_has() {
    let pair = Pair::new();
    let source = pair.source();
    put(&source, "plain", "1");
    put(&source, OsStr::from_bytes(b"new\nline \xff \\#012"), "2");
    put(&source, "deep/er/file", "3");
    fs::create_dir(source.join("empty")).unwrap();
    fs::set_permissions(source.join("plain"), fs::Permissions::from_mode(0o4751)).unwrap();
    set_modified(&source.join("plain"), 123_456_789);
    symlink("/etc/shadow", source.join("link")).unwrap();
    fs::hard_link(source.join("plain"), source.join("hard")).unwrap();
    let sparse = fs::File::create(source.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    let named = rustix::fs::setxattr(
        source.join("plain"),
        "user.carp",
        b"value",
        rustix::fs::XattrFlags::empty(),
    );
    let said = pair.pull();
    assert_eq!(pair.difference(), "", "{said:?}");
    let copy = pair.copy();
    let metadata = fs::metadata(copy.join("plain")).unwrap();
    assert_eq!((metadata.mode() & 0o7777, metadata.mtime_nsec()), (0o4751, 123_456_789));
    assert_eq!(metadata.ino(), fs::metadata(copy.join("hard")).unwrap().ino());
    assert_eq!(fs::read_link(copy.join("link")).unwrap(), Path::new("/etc/shadow"));
    if named.is_ok() {
        let mut value = [0; 16];
        let len = rustix::fs::getxattr(copy.join("plain"), "user.carp", &mut value[..]).unwrap();
        assert_eq!(&value[..len], b"value");
    }
    // What it printed is what it did.
    let names: Vec<&[u8]> = said.items().iter().map(|item| item.path.as_slice()).collect();
    assert!(names.contains(&&b"new\nline \xff \\#012"[..]), "{names:?}");
    assert_eq!(said.stat(Stat::TotalSize), Some((1 << 20) + 1 + 1 + 1 + 11 + 1), "{said:?}");
    assert!(said.lines.iter().any(|line| matches!(line, Line::Progress(_))), "{said:?}");
    fs::remove_file(source.join("plain")).unwrap();
    let said = pair.pull();
    let deleted: Vec<_> =
        said.items().into_iter().filter(|item| item.change == Change::Deleted).collect();
    assert_eq!(deleted.len(), 1, "{said:?}");
    assert_eq!(deleted[0].path, b"plain");
    assert_eq!(said.stat(Stat::Deleted), Some(1));
    assert_eq!(pair.difference(), "");
    // Nothing to do says nothing.
    assert_eq!(pair.pull().items(), Vec::<&Item>::new());
}

#[test]
fn a_copy_that_vanished_is_not_made_anew() {
    let pair = Pair::new();
    put(&pair.source(), "page", "v1");
    fs::remove_dir(pair.copy()).unwrap();
    let said = pair.run(&pair.pass(Care::Replace));
    assert_eq!(said.outcome, Outcome::Disk, "{said:?}");
    assert!(!pair.copy().exists(), "{said:?}");
    fs::create_dir(pair.copy()).unwrap();
    pair.pull();
    assert_eq!(read(&pair.copy(), "page"), "v1");
}

#[test]
fn a_second_edit_within_one_second_is_copied() {
    let pair = Pair::new();
    let file = pair.source().join("x");
    fs::write(&file, "AAAA").unwrap();
    set_modified(&file, 100);
    pair.pull();
    fs::write(&file, "BBBB").unwrap();
    set_modified(&file, 200);
    pair.pull();
    assert_eq!(read(&pair.copy(), "x"), "BBBB");
}

#[test]
fn a_dry_run_tells_what_a_pass_would_do_and_does_nothing() {
    let pair = Pair::new();
    put(&pair.source(), "x", "12345");
    put(&pair.copy(), "y", "1");
    let said = pair.run(&pair.pass(Care::DryRun));
    assert_eq!(said.outcome, Outcome::Complete);
    let bytes: u64 = said
        .items()
        .iter()
        .filter(|item| matches!(item.change, Change::Received { .. }))
        .map(|item| item.len)
        .sum();
    assert_eq!(bytes, 5);
    assert!(said.items().iter().any(|item| item.change == Change::Deleted), "{said:?}");
    assert!(pair.copy().join("y").exists() && !pair.copy().join("x").exists());
}

#[test]
fn what_a_pass_with_rescue_replaces_and_deletes_is_kept_and_orphans_are_told() {
    let pair = Pair::new();
    let (source, copy) = (pair.source(), pair.copy());
    for name in ["page", "old", "same"] {
        put(&source, name, "first");
    }
    pair.pull();
    let last = ["page", "old", "same"].map(|name| changed(&fs::metadata(copy.join(name)).unwrap()));
    let since = last.into_iter().max().unwrap().after(Duration::from_nanos(1));
    // The time of a change is as coarse as the kernel's clock: write until it has moved.
    loop {
        put(&copy, "late", "nobody else has it");
        put(&copy, "dir/page", "nor this");
        if changed(&fs::metadata(copy.join("late")).unwrap()) >= since {
            break;
        }
    }
    // Meanwhile the other one served.
    put(&source, "page", "second");
    put(&source, "dir/page", "another");
    fs::remove_file(source.join("old")).unwrap();
    let (set, said) = pulled(Rescue { orphans_since: Some(since) }, &pair);
    assert_eq!(said.outcome, Outcome::Complete, "{said:?}");
    assert_eq!(pair.difference(), "");
    set.finish(true, WallTime::now()).unwrap().unwrap();
    let report = set.report().unwrap().unwrap();
    let mut entries: Vec<_> =
        report.entries.iter().map(|entry| (entry.kind, entry.path.as_str())).collect();
    assert_eq!(entries[2..].iter().filter(|(kind, _)| *kind == Kind::Orphan).count(), 0);
    entries.sort_unstable();
    assert_eq!(
        entries,
        [
            (Kind::Orphan, "dir/page"),
            (Kind::Orphan, "late"),
            (Kind::Superseded, "old"),
            (Kind::Superseded, "page"),
        ]
    );
    let files = set.files();
    assert_eq!(read(&files, "dir/page"), "nor this");
    assert_eq!(read(&files, "page"), "first");
    rescue::restore(&set, "late".as_ref(), &copy, "late".as_ref()).unwrap();
    assert_eq!(read(&copy, "late"), "nobody else has it");
}

#[test]
fn a_source_without_a_marker_is_told_and_one_with_it_is_known() {
    let pair = Pair::new();
    let id = ShareId::from_random([7; 16]);
    let (said, to) = pair.fetch("www", MARKER);
    assert_eq!(said.outcome, Outcome::Partial, "{said:?}");
    assert!(said.errors.contains("No such file or directory"), "{said:?}");
    assert!(!to.exists());
    marker::create(&pair.source(), &id).unwrap();
    let (said, to) = pair.fetch("www", MARKER);
    assert_eq!(said.outcome, Outcome::Complete, "{said:?}");
    let found = ShareId::parse(&fs::read(to).unwrap());
    assert_eq!(marker::check_source(Some(id.as_str()), found.as_ref(), "peer"), None);
    // And the copy gets it with the rest.
    pair.pull();
    assert_eq!(marker::read(&pair.copy()).unwrap(), Some(id));
}

#[test]
fn the_record_is_fetched_again_although_its_time_and_length_are_the_same() {
    let pair = Pair::new();
    let record = pair.directory.path().join("export/record.json");
    for content in ["one", "two"] {
        fs::write(&record, content).unwrap();
        set_modified(&record, 0);
        let (said, to) = pair.fetch("carp-state", "record.json");
        assert_eq!(said.outcome, Outcome::Complete, "{said:?}");
        assert_eq!(fs::read_to_string(to).unwrap(), content);
    }
}

#[test]
fn too_many_deletes_stop_at_the_limit_and_the_rest_is_there() {
    let pair = Pair::new();
    for n in 0..50 {
        put(&pair.source(), format!("{n}"), "x");
    }
    pair.pull();
    for n in 0..50 {
        fs::remove_file(pair.source().join(format!("{n}"))).unwrap();
    }
    let dry = pair.run(&pair.pass(Care::DryRun));
    let deletes = dry.items().iter().filter(|item| item.change == Change::Deleted).count();
    assert_eq!(deletes, 50, "a dry run tells before anything is gone");
    let limited = Pass { max_delete: 10, ..pair.pass(Care::Replace) };
    let said = pair.run(&limited);
    assert_eq!(said.outcome, Outcome::MassDelete, "{said:?}");
    assert_eq!(fs::read_dir(pair.copy()).unwrap().count(), 40);
}

#[test]
fn a_pass_that_is_ended_leaves_the_tree_as_it_was_and_the_next_one_goes_on() {
    let pair = Pair::new();
    put(&pair.source(), "a", "old");
    put(&pair.source(), "gone", "old");
    pair.pull();
    put(&pair.source(), "a", "new");
    fs::remove_file(pair.source().join("gone")).unwrap();
    // What does not compress, so that it takes a while at this rate.
    let mut noise = vec![0; 8 << 20];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    put(&pair.source(), "big", &noise);
    let slow = Pass { bandwidth: Some(256), ..pair.pass(Care::Replace) };
    let mut child = command(&slow.argv(&pair.rsync))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // It has received a part of the large file when it says so.
    let mut stdout = child.stdout.take().unwrap();
    let (mut reader, mut buffer, mut on_the_way) = (Reader::default(), [0; 4096], false);
    while !on_the_way {
        let len = stdout.read(&mut buffer).unwrap();
        assert_ne!(len, 0, "it ended by itself");
        reader.push(&buffer[..len], |line| {
            on_the_way |= matches!(line, Line::Progress(progress) if progress.bytes > 100_000);
        });
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(20));
    assert_eq!((read(&pair.copy(), "a"), read(&pair.copy(), "gone")), ("old".into(), "old".into()));
    assert!(!pair.copy().join("big").exists());
    let said = pair.pull();
    assert_eq!(pair.difference(), "");
    assert!(said.stat(Stat::Matched).is_some_and(|bytes| bytes > 0), "a part was there: {said:?}");
    purge_partial(&pair.copy()).unwrap();
    assert!(!pair.copy().join(PARTIAL_DIR).exists());
}

#[test]
fn a_full_disk_changes_nothing_that_is_seen() {
    let pair = Pair::new();
    for (name, content) in [("a", &b"new"[..]), ("big", &[7; 4 << 20])] {
        put(&pair.source(), name, content);
    }
    put(&pair.copy(), "a", "old");
    put(&pair.copy(), "gone", "old");
    // A disk of two megabytes, in a namespace of its own. In there an rsync that is root cannot change its
    // groups, so it is somebody else.
    let modules = [Module { name: "www".into(), path: pair.source() }];
    let base = pair.directory.path();
    let conf = rsyncd_conf(&modules, None, &base.join("run"), &base.join("export")).unwrap();
    fs::write(base.join("rsyncd.conf"), conf).unwrap();
    let script = "set -e; cp -a \"$1/.\" \"$2\"; mount -t tmpfs -o size=2m tmpfs \"$1\"; cp -a \"$2/.\" \"$1\"; \
                  shift 2; target=$1; shift; set +e; \
                  unshare --user --map-user=1000 --map-group=1000 \"$@\" >/dev/null; echo \"status $?\"; \
                  cd \"$target\"; cat a gone; ls";
    let seed = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(pair.copy())
        .arg(seed.path())
        .arg(pair.copy())
        .args(pair.pass(Care::Replace).argv(&pair.rsync))
        .envs(ENVIRONMENT)
        .output()
        .unwrap();
    let (seen, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(seen.contains("status 11\n"), "{seen}{errors}");
    assert_eq!(Outcome::of(Status::Code(11), &output.stderr), Outcome::DiskFull, "{errors}");
    assert!(seen.ends_with("oldolda\ngone\n"), "{seen}{errors}");
}

#[test]
fn the_key_can_read_its_shares_and_nothing_else() {
    let pair = Pair::new();
    put(&pair.source(), "x", "1");
    put(&pair.directory.path().join("node a"), "secret", "1");
    symlink("../secret", pair.source().join("link")).unwrap();
    let rsh = format!("--rsh='{}'", pair.directory.path().join("remote shell").display());
    let to = pair.directory.path().join("stolen/");
    let attempt = |arguments: &[&str]| {
        let mut argv: Vec<OsString> = vec!["rsync".into(), rsh.clone().into()];
        argv.extend(arguments.iter().map(OsString::from));
        argv.push(to.clone().into());
        run(&argv)
    };
    // The module list is empty.
    let listed = Command::new("rsync").arg(&rsh).arg("peer::").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "");
    let unknown = attempt(&["peer::other/"]);
    assert_eq!(unknown.outcome, Outcome::Module, "{unknown:?}");
    for refused in [&["-a", "peer::www/../secret"][..], &["-aL", "peer::www/"]] {
        let said = attempt(refused);
        assert_ne!(said.outcome, Outcome::Complete, "{said:?}");
        assert!(!to.join("secret").exists() && !to.join("link").exists());
    }
    let pushed = Command::new("rsync")
        .args([
            OsStr::new(&rsh),
            "-a".as_ref(),
            pair.copy().join("").as_ref(),
            "peer::www/".as_ref(),
        ])
        .output()
        .unwrap();
    assert_ne!(pushed.status.code(), Some(0), "{pushed:?}");
    assert_eq!(read(&pair.source(), "x"), "1");
    // A link comes as a link.
    assert_eq!(attempt(&["-a", "peer::www/"]).outcome, Outcome::Complete);
    assert!(fs::symlink_metadata(to.join("link")).unwrap().is_symlink());
}
