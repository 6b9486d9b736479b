//! F15: a share that contains a live database is not copied, wherever in the tree the database is, and whichever node has
//! it.

use std::fs;
use std::process::Command;
use std::time::Duration;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, share, sync, wait_held, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};
use crate::trees::Both;

pub(crate) const TESTS: &[Test] = &[
    ("f15_the_data_of_a_mariadb_that_runs_are_refused_and_excluded_as_is_told", of_mariadb),
    ("f15_a_database_on_the_node_that_serves_is_never_copied", of_the_source),
    ("f15_a_database_that_is_put_into_a_share_in_step_stops_the_copying", put_there_later),
    ("f15_what_nobody_can_look_at_is_not_copied", of_what_is_too_deep),
    ("f15_a_database_on_the_standby_is_not_replaced", of_the_standby),
];

/// Where MariaDB's data are, below the share.
const DATA: &str = "app/mysql";

fn of_mariadb(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let data = pair.a.share.join(DATA);
    fs::create_dir_all(&data)?;
    pair.a.write("page", "1")?;
    let socket = rack.path("mariadb.sock");
    let mut server = Command::new("/usr/sbin/mariadbd");
    // Without its own tables, which would be installed with files outside: InnoDB is what counts.
    server.args(["--no-defaults", "--user=root", "--skip-networking", "--skip-grant-tables"]);
    server.arg(format!("--datadir={}", data.display()));
    server.arg(format!("--socket={}", socket.display()));
    let server = rack.primary.spawn(server)?;
    wait_until(LIMIT, "MariaDB runs", || socket.exists())
        .map_err(|error| Failed::from(format!("{error}: {}", server.said())))?;
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    first.wait_for_state("active")?;
    wait_held(&second, "live-database")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(
        text.contains("InnoDB") && text.contains(&format!("{DATA}, on primary; exclude it")),
        text,
    )?;
    ensure(pair.b.tree()?.is_empty(), format!("nothing was copied: {:?}", pair.b.tree()?))?;
    let answered = || share(&first)["fault"].as_str().is_some_and(|it| it.contains(DATA));
    wait_until(LIMIT, "the node that serves says so too", answered)?;
    // What is told to do.
    for (node, daemon) in [(&pair.b, &second), (&pair.a, &first)] {
        daemon.stop()?;
        let text = fs::read_to_string(&node.config)?;
        fs::write(&node.config, text + &format!("exclude = [\"/{DATA}/\"]\n"))?;
    }
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    first.wait_for_state("active")?;
    wait_in_sync(&second)?;
    pair.b.wait_for("page", Some("1"))?;
    ensure(pair.b.share.join("app").exists(), "what is beside them is copied")?;
    ensure(!pair.b.share.join(DATA).exists(), "the data are not")?;
    Ok(server.expect_running("the shares are in sync")?)
}

/// From the very first pass on: the standby is empty, so nothing else would hold it.
fn of_the_source(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let data = pair.a.share.join("app/var/mysql");
    fs::create_dir_all(&data)?;
    fs::write(data.join("ibdata1"), "x")?;
    pair.a.write("page", "1")?;
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    first.wait_for_state("active")?;
    pair.a.wait_for_marker()?;
    let before = Both::of(&pair)?;
    wait_held(&second, "live-database")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("app/var/mysql, on primary; exclude it"), text)?;
    wait_until(LIMIT, "the node that serves says so too", || {
        share(&first)["fault"].as_str().is_some_and(|text| text.contains("and is not copied"))
    })?;
    before.ensure_untouched("there is a database in the source")?;
    ensure(fs::read_dir(&pair.b.share)?.next().is_none(), "nothing was copied")?;
    fs::remove_dir_all(&data)?;
    pair.b.wait_for("page", Some("1"))?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "the fault is gone", || share(&first)["fault"].is_null())?;
    Ok(())
}

fn put_there_later(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "exclude = [\"/allowed/\"]")?;
    let (_first, second) = pair.start()?;
    // What is excluded may be there.
    fs::create_dir(pair.a.share.join("allowed"))?;
    pair.a.write("allowed/ibdata1", "x")?;
    pair.a.write("page", "1")?;
    pair.b.wait_for("page", Some("1"))?;
    pair.a.write("site.db", "SQLite format 3\0...")?;
    pair.b.wait_for("site.db", Some("SQLite format 3\0..."))?;
    // Somebody opens it.
    pair.a.write("site.db-wal", "")?;
    wait_held(&second, "live-database")?;
    let status = share(&second);
    ensure(status["in_sync"] == false, format!("it must not take over: {status}"))?;
    // And closes it.
    fs::remove_file(pair.a.share.join("site.db-wal"))?;
    pair.a.write("page", "2")?;
    pair.b.wait_for("page", Some("2"))?;
    wait_in_sync(&second)
}

/// What could not be looked at is looked at again after half a minute.
const LOOKED_AGAIN: Duration = Duration::from_secs(90);

/// Nobody looks deeper than 256 directories, and a directory that cannot be read is the same.
fn of_what_is_too_deep(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    let deep = pair.a.share.join("d/".repeat(260));
    fs::create_dir_all(&deep)?;
    fs::write(deep.join("ibdata1"), "x")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start()?;
    wait_until(LIMIT, "the node that serves names the directory", || {
        share(&first)["fault"].as_str().is_some_and(|text| {
            text.contains("nobody can say that there is no database in")
                && text.contains("is deeper than 256 directories")
        })
    })?;
    wait_until(LIMIT, "the other one says why it waits", || {
        share(&second)["doing"]
            == "the peer looks for databases in its tree, or cannot: its status says which"
    })?;
    ensure(fs::read_dir(&pair.b.share)?.next().is_none(), "nothing was copied")?;
    fs::remove_dir_all(pair.a.share.join("d"))?;
    pair.a.write("page", "1")?;
    wait_until(LOOKED_AGAIN, "the page is copied", || pair.b.read("page").as_deref() == Some("1"))?;
    wait_until(LIMIT, "the fault is gone", || share(&first)["fault"].is_null())?;
    Ok(())
}

fn of_the_standby(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    fs::create_dir_all(pair.b.share.join("data"))?;
    fs::write(pair.b.share.join("data/ibdata1"), "x")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start()?;
    wait_held(&second, "not-adopted")?;
    let before = Both::of(&pair)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    wait_held(&second, "live-database")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("exclude it"), text)?;
    before.ensure_untouched("there is a database on the standby")
}
