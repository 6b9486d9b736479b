//! Files of the state directory survive the death of their writer.
//!
//! With `--write KIND DIRECTORY` this program is a writer, which says on standard output what it has
//! written. The test kills it, hundreds of times, and reads what is there.

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use carp_node::addresses::{AddressKeeper, Place, Presence, Record};
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::state::StateFile;
use carp_proto::VirtualAddress;
use libtest_mimic::{Arguments, Failed, Trial};

/// How often each writer is killed.
const KILLS: u32 = 200;

/// The latest moment of a kill.
const LATEST: Duration = Duration::from_millis(8);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, word, kind, directory] = arguments.as_slice()
        && word == "--write"
    {
        return match write(kind, Path::new(directory)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let trials = vec![
        Trial::test("a_lasting_file_is_the_old_or_the_new_one_after_every_kill", || {
            files_survive(LASTING, &|directory| StateFile::lasting(directory, NAME))
        }),
        Trial::test("a_file_of_this_boot_is_the_old_or_the_new_one_after_every_kill", || {
            files_survive(OF_THIS_BOOT, &|directory| StateFile::of_this_boot(directory, NAME))
        }),
        Trial::test("the_record_of_addresses_is_the_old_or_the_new_one_after_every_kill", || {
            record_survives()
        }),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

const NAME: &str = "file";
const LASTING: &str = "lasting";
const OF_THIS_BOOT: &str = "of-this-boot";
const RECORD: &str = "record";

/// The writer: it goes on from what is there until it is killed.
fn write(kind: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let file = match kind {
        LASTING => StateFile::lasting(directory, NAME),
        OF_THIS_BOOT => StateFile::of_this_boot(directory, NAME),
        _ => return write_record(directory),
    };
    let first = file.read()?.map_or(0, |content| number_in(&content).unwrap_or(u32::MAX));
    for number in first + 1.. {
        file.write(&content(number))?;
        say(number)?;
    }
    Ok(())
}

/// An interface with a name so long that no label fits: who added an address there is in the record alone.
const INTERFACE: &str = "enp0s31f6-carp0";

/// Takes one address after the other on a host whose kernel forgets who added it.
fn write_record(directory: &Path) -> Result<(), Box<dyn Error>> {
    let host = Lan::default().host(INTERFACE, Ipv4Addr::new(10, 0, 1, 1));
    host.forget_marks();
    let mut keeper = AddressKeeper::new(host.clone(), host, Record::open(directory));
    for number in 1..=u8::MAX {
        let address = [VirtualAddress::new(ip(number), None)?];
        keeper.acquire(&Place::on(INTERFACE), &address, Presence::Unknown, 1)?;
        say(number.into())?;
    }
    // Whoever kills it may come late.
    loop {
        sleep(LATEST);
    }
}

/// Says that a version is complete. One call of the system a line: a kill leaves no half of it.
fn say(number: u32) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{number}\n").as_bytes())
}

/// Versions differ in length, up to several pages.
fn content(number: u32) -> String {
    let lines = usize::try_from(number * 37 % 1_500).unwrap_or(0) + 1;
    format!("{number}\n").repeat(lines)
}

/// The number of a version, if it is one and whole.
fn number_in(found: &str) -> Option<u32> {
    let number = found.lines().next()?.parse().ok()?;
    (found == content(number)).then_some(number)
}

fn ip(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, number).into()
}

/// Starts a writer, kills it after this time, and returns what it said last.
fn killed_after(time: Duration, kind: &str, directory: &Path) -> Result<Option<u32>, Failed> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--write").arg(kind).arg(directory).stdout(Stdio::piped());
    let mut writer = command.spawn()?;
    let mut said = BufReader::new(writer.stdout.take().ok_or("no output")?).lines();
    // From its first version on, so that no time goes by with its start.
    let first = said.next().transpose()?;
    sleep(time);
    writer.kill()?;
    writer.wait()?;
    let last = said.map_while(Result::ok).last().or(first);
    Ok(last.map(|line| line.parse()).transpose()?)
}

fn files_survive(kind: &str, open: &dyn Fn(&Path) -> StateFile) -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    let file = open(directory.path());
    let mut unsaid = 0;
    for kill in 0..KILLS {
        let said = killed_after(LATEST * kill / KILLS, kind, directory.path())?.ok_or("silence")?;
        let found = file.read()?.ok_or("there is no file")?;
        let number = number_in(&found).ok_or_else(|| format!("kill {kill}: half of a version"))?;
        if number != said && number != said + 1 {
            return Err(format!("kill {kill}: {said} was written, {number} is there").into());
        }
        unsaid += number - said;
    }
    let written = file.read()?.and_then(|content| number_in(&content)).unwrap_or(0);
    println!("{written} versions; {unsaid} of {KILLS} kills came between the file and its word");
    Ok(())
}

fn record_survives() -> Result<(), Failed> {
    let directory = tempfile::tempdir()?;
    for kill in 0..KILLS {
        let said = killed_after(LATEST * kill / KILLS, RECORD, directory.path())?;
        let said = u8::try_from(said.ok_or("silence")?)?;
        let record = Record::open(directory.path());
        if let Some(trouble) = record.trouble() {
            return Err(format!("kill {kill}: {trouble}").into());
        }
        let found = addresses_in(record)?;
        let numbers = |last: u8| (1..=last).map(ip).collect::<Vec<_>>();
        if found != numbers(said) && found != numbers(said.saturating_add(1)) {
            return Err(format!("kill {kill}: {said} were taken, {found:?} are there").into());
        }
        fs::remove_file(directory.path().join("addresses"))?;
    }
    Ok(())
}

/// What the record says is ours, of all that may be.
fn addresses_in(record: Record) -> Result<Vec<IpAddr>, Failed> {
    let host: MemoryHost = Lan::default().host(INTERFACE, Ipv4Addr::new(10, 0, 1, 1));
    let mut all = Vec::new();
    for number in 1..=u8::MAX {
        host.add_foreign(ip(number), 32);
        all.push(VirtualAddress::new(ip(number), None)?);
    }
    let mut keeper = AddressKeeper::new(host.clone(), host, record);
    let released = keeper.release(&Place::on(INTERFACE), &all)?;
    Ok(released.into_iter().map(VirtualAddress::ip).collect())
}
