use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::control::units::WallTime;
use crate::sync::decide::Rescue;
use crate::sync::guards::marker::MARKER;
use crate::sync::lineage::Stamp;
use crate::sync::pattern::Patterns;
use crate::sync::record::tests::history;
use crate::sync::tree::changed;

const EVERYTHING: Rescue = Rescue { orphans_since: None };
const NOTHING: Rescue = Rescue { orphans_since: Some(Stamp(u64::MAX)) };

struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("www")).unwrap();
        Self { directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("www")
    }

    fn rescue(&self) -> PathBuf {
        self.directory.path().join(".rescue/www")
    }

    fn put(&self, name: &[u8], content: &str) {
        let path = self.root().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn begin(&self, rescue: Rescue) -> RescueSet {
        let to = history("b", 7).tip().unwrap().clone();
        let pull = Pull { share: "www".into(), began: WallTime::now(), from: None, to };
        begin(&self.rescue(), &self.root(), &Patterns::default(), &pull, rescue).unwrap()
    }

    /// As rsync does it.
    fn keep(&self, set: &RescueSet, name: &[u8]) {
        let name = OsStr::from_bytes(name);
        let to = set.files().join(name);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.root().join(name), to).unwrap();
    }

    /// A set with one orphan, or one superseded file, that has ended.
    fn set(&self, rescue: Rescue, ended: WallTime) -> RescueSet {
        self.put(b"x", "0123456789");
        let set = self.begin(rescue);
        self.keep(&set, b"x");
        set.finish(true, ended).unwrap().unwrap();
        set
    }
}

#[test]
fn orphans_are_told_from_what_was_superseded_and_come_first() {
    let place = Place::new();
    place.put(b"a/old", "1");
    place.put(b"stays", "1");
    let since = changed(&fs::metadata(place.root().join("stays")).unwrap());
    let since = since.after(Duration::from_nanos(1));
    // The time of a change is as coarse as the kernel's clock: wait until it has moved.
    loop {
        place.put(b"late\xff\n", "22");
        let path = place.root().join(OsStr::from_bytes(b"late\xff\n"));
        if changed(&fs::metadata(path).unwrap()) >= since {
            break;
        }
    }
    let set = place.begin(Rescue { orphans_since: Some(since) });
    assert_eq!(set.report().unwrap(), None, "the pass runs");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(set.path()), mode(&place.rescue())), (0o700, 0o700));
    place.keep(&set, b"a/old");
    place.keep(&set, b"late\xff\n");
    let summary = set.finish(true, WallTime::now()).unwrap().unwrap();
    assert_eq!((summary.orphans, summary.superseded, summary.bytes), (1, 1, 3));
    let report = set.report().unwrap().unwrap();
    let entries: Vec<_> = report.entries.iter().map(|e| (e.path.as_str(), e.kind)).collect();
    assert_eq!(entries, [("late\\xff\\x0a", Kind::Orphan), ("a/old", Kind::Superseded)]);
    let json = fs::read_to_string(set.path().join("report.json")).unwrap();
    assert_eq!(json, serde_json::to_string_pretty(&report).unwrap());
    assert!(json.contains("\"schema\": \"carp.rescue/1\""), "{json}");
    assert_eq!(set.summary().unwrap().unwrap(), summary);
}

#[test]
fn a_set_whose_pass_was_cut_off_is_finished_later() {
    let place = Place::new();
    place.put(b"x", "1");
    let set = place.begin(NOTHING);
    place.keep(&set, b"x");
    // The process is gone; another one finds the set.
    let [found] = &list(&place.rescue()).unwrap()[..] else { panic!("one set") };
    assert_eq!(*found, set);
    let report = found.finish(false, WallTime::now()).unwrap().unwrap();
    assert_eq!((report.superseded, report.complete), (1, false));
    // The list was not complete when the disk failed: then all are orphans.
    fs::write(set.path().join("late"), "x\0y").unwrap();
    assert_eq!(set.finish(false, WallTime::now()).unwrap().unwrap().orphans, 1);
    fs::remove_file(set.path().join("late")).unwrap();
    assert_eq!(set.finish(false, WallTime::now()).unwrap().unwrap().orphans, 1);
}

#[test]
fn a_set_in_which_nothing_is_goes_and_one_that_is_not_understood_stays() {
    let place = Place::new();
    let set = place.begin(EVERYTHING);
    fs::create_dir_all(set.files().join("a/b")).unwrap();
    assert_eq!(set.finish(true, WallTime::now()).unwrap(), None);
    assert!(!set.path().exists());
    assert_eq!(set.finish(true, WallTime::now()).unwrap(), None, "it can be repeated");
    place.put(b"x", "1");
    let set = place.begin(EVERYTHING);
    place.keep(&set, b"x");
    fs::remove_file(set.path().join("pull.json")).unwrap();
    assert!(set.finish(true, WallTime::now()).is_err());
    assert!(set.files().join("x").exists());
}

#[test]
fn a_set_in_which_only_the_marker_of_the_old_tree_is_goes_too() {
    let place = Place::new();
    let set = place.begin(EVERYTHING);
    place.put(MARKER.as_bytes(), "an id");
    place.put(b"d/page", "1");
    place.keep(&set, MARKER.as_bytes());
    assert_eq!(set.finish(true, WallTime::now()).unwrap(), None);
    assert!(!set.path().exists());
    // Beside a file it stays, and counts for nothing.
    let set = place.begin(EVERYTHING);
    place.put(MARKER.as_bytes(), "an id");
    place.keep(&set, MARKER.as_bytes());
    place.keep(&set, b"d/page");
    assert_eq!(set.finish(true, WallTime::now()).unwrap().map(|it| it.orphans), Some(1));
}

#[test]
fn two_passes_of_one_second_have_two_sets() {
    let place = Place::new();
    let to = history("b", 7).tip().unwrap().clone();
    let began = WallTime("2026-11-29T16:30:16.9Z".parse().unwrap());
    let pull = Pull { share: "www".into(), began, from: None, to };
    let names: Vec<String> = (0..3)
        .map(|_| {
            begin(&place.rescue(), &place.root(), &Patterns::default(), &pull, EVERYTHING)
                .unwrap()
                .name()
                .to_string()
        })
        .collect();
    assert_eq!(names, ["20261129T163016Z-e7", "20261129T163016Z-e7-2", "20261129T163016Z-e7-3"]);
    fs::create_dir(place.rescue().join("lost+found")).unwrap();
    let found = list(&place.rescue()).unwrap();
    assert_eq!(found.iter().map(|set| set.name().to_string()).collect::<Vec<_>>(), names);
    assert_eq!(list(&place.rescue().join("gone")).unwrap(), []);
}

#[test]
fn orphans_that_nobody_has_seen_are_never_pruned() {
    let place = Place::new();
    let now = WallTime::now();
    let old = now.earlier(Duration::from_secs(1000));
    let nothing = Pruning::NOTHING;
    let orphan = place.set(EVERYTHING, old);
    let superseded = place.set(NOTHING, old);
    let open = place.begin(EVERYTHING);
    assert_eq!(prune(&place.rescue(), nothing, now).unwrap(), [superseded.name()]);
    assert!(orphan.path().exists() && open.path().exists());
    assert_eq!(prune(&place.rescue(), nothing, now).unwrap(), []);
    assert!(open.acknowledge(now).is_err());
    let report = orphan.acknowledge(now).unwrap();
    assert!(!report.is_awaited());
    assert_eq!(prune(&place.rescue(), nothing, now).unwrap(), [orphan.name()]);
    assert!(!orphan.path().exists() && open.path().exists());
}

#[test]
fn sets_go_by_age_and_the_oldest_first_by_size() {
    let place = Place::new();
    let now = WallTime::now();
    let ages = [1000, 500, 10].map(|age| now.earlier(Duration::from_secs(age)));
    let [old, middle, new] = ages.map(|ended| place.set(NOTHING, ended));
    let keep = Pruning { age: Duration::from_secs(700), bytes: u64::MAX };
    assert_eq!(prune(&place.rescue(), keep, now).unwrap(), [old.name()]);
    let keep = Pruning { age: Duration::from_secs(700), bytes: 10 };
    assert_eq!(prune(&place.rescue(), keep, now).unwrap(), [middle.name()]);
    assert!(new.path().exists());
}

#[test]
fn an_entry_comes_back_and_replaces_nothing() {
    let place = Place::new();
    place.put(b"a/b/x", "rescued");
    let set = place.begin(EVERYTHING);
    place.keep(&set, b"a/b/x");
    fs::remove_dir_all(place.root().join("a")).unwrap();
    let root = place.root();
    let path = Path::new("a/b/x");
    place.put(b"there", "served");
    let restored = restore(&set, path, &root, "there".as_ref());
    assert!(matches!(restored, Err(RestoreError::Exists)), "{restored:?}");
    assert_eq!(fs::read(root.join("there")).unwrap(), b"served");
    restore(&set, path, &root, path).unwrap();
    assert_eq!(fs::read(root.join(path)).unwrap(), b"rescued");
    assert!(!set.files().join(path).exists());
    let again = restore(&set, path, &root, path);
    assert!(matches!(again, Err(RestoreError::Missing)), "{again:?}");
}

#[test]
fn nobody_can_lead_a_restore_out_of_the_share() {
    let place = Place::new();
    place.put(b"x", "rescued");
    let set = place.begin(EVERYTHING);
    place.keep(&set, b"x");
    let outside = place.directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    symlink(&outside, place.root().join("link")).unwrap();
    symlink(&outside, set.files().join("link")).unwrap();
    fs::write(outside.join("y"), "secret").unwrap();
    let restore = |from: &str, to: &str| restore(&set, from.as_ref(), &place.root(), to.as_ref());
    assert!(matches!(restore("x", "link/x"), Err(RestoreError::System(_))));
    assert!(restore("link/y", "y").is_err());
    for path in ["", "/x", "../x", "a/../../x", "."] {
        assert!(matches!(restore(path, "x"), Err(RestoreError::Path)), "{path}");
        assert!(matches!(restore("x", path), Err(RestoreError::Path)), "{path}");
    }
    assert!(set.files().join("x").exists() && !outside.join("x").exists());
}

#[test]
fn names_of_sets_are_read_in_one_form_only() {
    for name in ["20261129T163016Z-e7", "20261129T163016Z-e7-2", "19700101T000000Z-e0"] {
        assert_eq!(name.parse::<SetName>().unwrap().to_string(), name);
    }
    for name in [
        "",
        "20261129T163016Z",
        "20261129T163016Z-7",
        "20261129T163016Z-e07",
        "20261129T163016Z-e7-0",
        "20261129T163016Z-e7-2-3",
        "20261329T163016Z-e7",
        "20261129T163016-e7",
        "lost+found",
    ] {
        assert!(name.parse::<SetName>().is_err(), "{name}");
    }
}

proptest! {
    #[test]
    fn every_path_survives_as_text(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let path = PathBuf::from(OsStr::from_bytes(&bytes));
        let text = path::to_text(&path);
        prop_assert!(!text.chars().any(char::is_control), "{text:?}");
        prop_assert_eq!(path::from_text(&text), Some(path));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in r".{0,30}|(\\x[0-9a-f]{0,3}){0,4}|[0-9TZe-]{0,25}") {
        let _ = path::from_text(&text);
        let _ = text.parse::<SetName>();
    }
}
