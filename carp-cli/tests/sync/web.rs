//! F4 and F5 as clients see it: they write through the address, to real nginx on both servers, while it moves.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use carp_node::lab::{Host, Process, mac, wait_until};
use libtest_mimic::Failed;

use crate::scene::{Node, Pair, equal, events, explain, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, VIP, carp, ensure, serves, told};

pub(crate) const TESTS: &[Test] = &[
    (
        "f5_what_clients_write_through_the_address_while_it_is_handed_over_is_on_both",
        written_through_the_address,
    ),
    (
        "f4_what_clients_write_through_the_address_while_its_server_dies_is_somewhere",
        written_through_a_death,
    ),
];

/// How long the clients rest between two files: up to twenty are written in a second.
const PAUSE: Duration = Duration::from_millis(50);

/// So many may wait for an answer. Each gives up after a second, in which twenty are begun.
const MOST: usize = 64;

/// How many are written between two handovers.
const QUIET: usize = 20;

/// So many clients at least find out that nobody serves, where the time for that is that of a few passes or adverts.
const UNANSWERED: usize = 3;

/// The secondary serves alone, and stores what is written; the primary comes later.
fn serve_alone(pair: &Pair<'_>, writers: &mut Writers<'_>) -> Result<Daemon, Failed> {
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    writers.write_until("the secondary stores what is written", |it| it.stored.len() > QUIET)?;
    Ok(second)
}

/// Goes on until so many more are stored.
fn write_more(writers: &mut Writers<'_>, what: &str) -> Tested {
    let before = writers.stored.len();
    writers.write_until(what, |it| it.stored.len() > before + QUIET)
}

fn written_through_the_address(rack: &Rack) -> Tested {
    let (one, two) = (hooks(rack, "primary")?, hooks(rack, "secondary")?);
    let pair = Pair::with(rack, &one, &format!("cold_start_wait = \"0s\"\n{two}"))?;
    let _servers = [Web::start(rack, &pair.a)?, Web::start(rack, &pair.b)?];
    let client = rack.switch.host("client", mac(0xc8), &["192.168.130.200/24"])?;
    let mut writers = Writers::new(&client);
    let second = serve_alone(&pair, &mut writers)?;
    let there = writers.asked;
    let first = pair.a.start()?;
    let explained = |error: Failed| explain(&error, [&first, &second]);
    let came_back = |_: &Writers<'_>| serves(&rack.primary) && !serves(&rack.secondary);
    writers.write_until("the address goes back to the primary", came_back).map_err(explained)?;
    write_more(&mut writers, "the primary stores what is written").map_err(explained)?;
    wait_in_sync(&second)?;
    let back = writers.asked;
    // And to the secondary again, because somebody wants that.
    let mut handover = carp();
    handover.args(["yield", "web", "--socket"]).arg(&first.socket).stdout(Stdio::null());
    let mut handover = handover.spawn()?;
    let mut code = None;
    writers.write_until("the yield is done", |_| {
        code = handover.try_wait().unwrap_or_default();
        code.is_some()
    })?;
    ensure(code.is_some_and(|it| it.success()), format!("{code:?}: {}", events(&first)))?;
    write_more(&mut writers, "the secondary stores again").map_err(explained)?;
    writers.wait_for_answers(1)?;
    wait_in_sync(&first)?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    let unanswered = [there, back].map(|since| writers.unanswered_after(since));
    println!(
        "f5: {} of {} files were stored; while nobody served, {unanswered:?} were asked for",
        writers.stored.len(),
        writers.asked
    );
    // They have gone on while writers stood still and the address moved.
    ensure(unanswered.iter().all(|it| *it >= UNANSWERED), format!("{unanswered:?}"))?;
    for node in [&pair.a, &pair.b] {
        let missing: Vec<_> =
            writers.files().filter(|file| node.read(file).as_ref() != Some(file)).collect();
        ensure(missing.is_empty(), format!("{} does not have {missing:?}", node.name))?;
    }
    Ok(())
}

/// What was not copied yet when the server died is kept when it comes back.
fn written_through_a_death(rack: &Rack) -> Tested {
    let (one, two) = (hooks(rack, "primary")?, hooks(rack, "secondary")?);
    let settings = "cold_start_wait = \"0s\"\nstale_takeover = \"allow\"";
    let pair = Pair::with(rack, &format!("{settings}\n{one}"), &format!("{settings}\n{two}"))?;
    let _servers = [Web::start(rack, &pair.a)?, Web::start(rack, &pair.b)?];
    let client = rack.switch.host("client", mac(0xc8), &["192.168.130.200/24"])?;
    let mut writers = Writers::new(&client);
    let (first, second) = pair.start()?;
    write_more(&mut writers, "the primary stores what is written")?;
    // Of what follows nothing is copied.
    pair.b.cut_off(&second)?;
    write_more(&mut writers, "the primary stores what only it has")?;
    let death = writers.asked;
    first.kill_with_guard(&rack.primary)?;
    let taken_over = |_: &Writers<'_>| serves(&rack.secondary) && !serves(&rack.primary);
    writers.write_until("the secondary takes over", taken_over)?;
    write_more(&mut writers, "the secondary stores what is written")?;
    let unanswered = writers.unanswered_after(death);
    println!("f4: while nobody served, {unanswered} files were asked for");
    // A lease ends before a successor takes over, and then who asks is not even refused.
    ensure(unanswered >= UNANSWERED, format!("{unanswered} clients found nobody"))?;
    pair.b.cut(false)?;
    let first = pair.a.start()?;
    let explained = |error: Failed| explain(&error, [&first, &second]);
    let came_back = |_: &Writers<'_>| serves(&rack.primary) && !serves(&rack.secondary);
    writers.write_until("the address goes back to the primary", came_back).map_err(explained)?;
    write_more(&mut writers, "the primary stores again").map_err(explained)?;
    writers.wait_for_answers(1)?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    let (there, others): (Vec<_>, Vec<_>) =
        writers.files().partition(|file| pair.b.read(file).as_ref() == Some(file));
    println!("f4: {} are on both, and {} are not", there.len(), others.len());
    ensure(others.len() > QUIET, "the primary has died with what only it had")?;
    let gone: Vec<_> = others.iter().filter(|it| pair.a.rescued(it) != [it.as_str()]).collect();
    ensure(gone.is_empty(), format!("no rescue set has {gone:?}"))
}

/// The hooks that stop a node's web server when it has answered everybody, and start it again.
fn hooks(rack: &Rack, name: &str) -> Result<String, Failed> {
    let conf = rack.path(&format!("{name}.nginx.conf")).display().to_string();
    let pid = rack.path(&format!("{name}.nginx.pid")).display().to_string();
    let stop =
        format!("#!/bin/sh\nnginx -c {conf} -s quit\nwhile [ -e {pid} ]; do sleep 0.02; done\n");
    // It may be run once more than needed.
    let start = format!("#!/bin/sh\n[ -e {pid} ] || exec nginx -c {conf}\n");
    let stop = rack.write(&format!("{name}.quiesce"), &stop, 0o755)?;
    let start = rack.write(&format!("{name}.unquiesce"), &start, 0o755)?;
    Ok(format!("quiesce = [{stop:?}]\nunquiesce = [{start:?}]"))
}

/// A node's web server, until a hook stops it; the one that a hook starts belongs to the lab.
struct Web(#[expect(dead_code, reason = "it runs for as long as this is kept")] Process);

impl Web {
    /// It stores what is put, whole or not at all.
    fn start(rack: &Rack, node: &Node<'_>) -> Result<Self, Failed> {
        let at =
            |what: &str| rack.path(&format!("{}.nginx.{what}", node.name)).display().to_string();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .iter()
            .map(|what| format!("    {what}_temp_path {};\n", at(what)))
            .collect();
        let text = format!(
            "user root root;\nworker_processes 1;\npid {};\nerror_log {};\nevents {{}}\nhttp {{\n\
             {temporary}    access_log off;\n    server {{\n        listen 80;\n        root {};\n        \
             dav_methods PUT;\n    }}\n}}\n",
            at("pid"),
            at("log"),
            node.share.display(),
        );
        rack.write(&format!("{}.nginx.conf", node.name), &text, 0o644)?;
        let mut nginx = Command::new("nginx");
        nginx.args(["-g", "daemon off;", "-c", &at("conf")]);
        Ok(Self(node.host.spawn(nginx)?))
    }
}

/// Clients that put files, each with its own name as its content. They ask at the same rate when nobody answers: no one of
/// them waits for another.
struct Writers<'a> {
    client: &'a Host,
    asked: usize,
    /// What is asked for, and who waits for the answer.
    open: Vec<(usize, Child)>,
    /// Those of which they were told that they are stored, by their numbers.
    stored: BTreeSet<usize>,
}

impl<'a> Writers<'a> {
    const fn new(client: &'a Host) -> Self {
        Self { client, asked: 0, open: Vec::new(), stored: BTreeSet::new() }
    }

    fn write_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Tested {
        let began = Instant::now();
        while !done(self) {
            ensure(began.elapsed() < LIMIT, format!("not seen in {LIMIT:?}: {what}"))?;
            self.write()?;
            std::thread::sleep(PAUSE);
            self.hear()?;
        }
        Ok(())
    }

    /// The name of a file, which is its content too.
    fn file(number: usize) -> String {
        format!("{number:06}")
    }

    fn write(&mut self) -> Tested {
        self.wait_for_answers(MOST)?;
        self.asked += 1;
        let file = Self::file(self.asked);
        let mut curl = Command::new("curl");
        curl.args("-s -o /dev/null -w %{http_code} -m 1 -X PUT -d".split(' ')).arg(&file);
        curl.arg(format!("http://{VIP}/{file}")).stdin(Stdio::null()).stdout(Stdio::piped());
        let curl = self.client.run_inside(move || curl.spawn())??;
        self.open.push((self.asked, curl));
        Ok(())
    }

    /// Takes in what was answered so far.
    fn hear(&mut self) -> Tested {
        for (number, mut curl) in std::mem::take(&mut self.open) {
            if curl.try_wait()?.is_none() {
                self.open.push((number, curl));
                continue;
            }
            if told(&curl.wait_with_output()?).1 == "201" {
                self.stored.insert(number);
            }
        }
        Ok(())
    }

    /// Waits until fewer than so many wait for an answer; each of them gives up.
    fn wait_for_answers(&mut self, fewer: usize) -> Tested {
        let mut failed = None;
        let mut heard = || {
            failed = self.hear().err();
            failed.is_some() || self.open.len() < fewer
        };
        wait_until(LIMIT, "those who ask give up", &mut heard)?;
        failed.map_or(Ok(()), Err)
    }

    /// How many were asked for in a row after that one, and not stored: as long as nobody served.
    fn unanswered_after(&self, number: usize) -> usize {
        let answered = self.stored.range(number..).copied();
        let ends: Vec<usize> = std::iter::once(number).chain(answered).collect();
        ends.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(1)).max().unwrap_or(0)
    }

    /// The files that are stored, as far as they were told.
    fn files(&self) -> impl Iterator<Item = String> {
        self.stored.iter().copied().map(Self::file)
    }
}
