//! F5 as clients see it: they write through the address, to real nginx on both servers, while it moves there and back.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use carp_node::lab::{Host, Process, mac, wait_until};
use libtest_mimic::Failed;

use crate::scene::{Node, Pair, equal, events, explain, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, VIP, carp, ensure, run_on, serves, told};

pub(crate) const TESTS: &[Test] = &[(
    "f5_what_clients_write_through_the_address_while_it_is_handed_over_is_on_both",
    written_through_the_address,
)];

/// How long a client rests between two files: up to twenty are written in a second.
const PAUSE: Duration = Duration::from_millis(50);

/// How many are written between two handovers.
const QUIET: usize = 20;

fn written_through_the_address(rack: &Rack) -> Tested {
    let (one, two) = (hooks(rack, "primary")?, hooks(rack, "secondary")?);
    let pair = Pair::with(rack, &one, &format!("cold_start_wait = \"0s\"\n{two}"))?;
    let _servers = [Web::start(rack, &pair.a)?, Web::start(rack, &pair.b)?];
    let client = rack.switch.host("client", mac(0xc8), &["192.168.130.200/24"])?;
    let mut writer = Writer { client: &client, asked: 0, stored: Vec::new() };
    // The secondary serves alone, and the primary comes later.
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    writer.write_until("the secondary stores what is written", |writer| {
        writer.stored.len() > QUIET
    })?;
    let first = pair.a.start()?;
    let explained = |error: Failed| explain(&error, [&first, &second]);
    let came_back = |_: &Writer<'_>| serves(&rack.primary) && !serves(&rack.secondary);
    writer.write_until("the address goes back to the primary", came_back).map_err(explained)?;
    let before = writer.stored.len();
    writer
        .write_until("the primary stores what is written", |it| it.stored.len() > before + QUIET)
        .map_err(explained)?;
    wait_in_sync(&second)?;
    // And to the secondary again, because somebody wants that.
    let mut handover = carp();
    handover.args(["yield", "web", "--socket"]).arg(&first.socket).stdout(Stdio::null());
    let mut handover = handover.spawn()?;
    let mut code = None;
    writer.write_until("the yield is done", |_| {
        code = handover.try_wait().unwrap_or_default();
        code.is_some()
    })?;
    ensure(code.is_some_and(|it| it.success()), format!("{code:?}: {}", events(&first)))?;
    let before = writer.stored.len();
    writer
        .write_until("the secondary stores again", |it| it.stored.len() > before + QUIET)
        .map_err(explained)?;
    wait_in_sync(&first)?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    println!("f5: {} of {} files were stored", writer.stored.len(), writer.asked);
    for node in [&pair.a, &pair.b] {
        let missing: Vec<_> =
            writer.stored.iter().filter(|file| node.read(file).as_ref() != Some(file)).collect();
        ensure(missing.is_empty(), format!("{} does not have {missing:?}", node.name))?;
    }
    Ok(())
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

/// A client that puts one file after the other, each with its own name as its content.
struct Writer<'a> {
    client: &'a Host,
    asked: usize,
    /// Those of which it was told that they are stored.
    stored: Vec<String>,
}

impl Writer<'_> {
    fn write_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) -> Tested {
        let began = Instant::now();
        while !done(self) {
            ensure(began.elapsed() < LIMIT, format!("not seen in {LIMIT:?}: {what}"))?;
            self.write()?;
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    fn write(&mut self) -> Tested {
        self.asked += 1;
        let file = format!("{:06}", self.asked);
        let mut curl = Command::new("curl");
        curl.args("-s -o /dev/null -w %{http_code} -m 1 -X PUT -d".split(' ')).arg(&file);
        curl.arg(format!("http://{VIP}/{file}"));
        let (_, answer) = told(&run_on(self.client, curl)?);
        if answer == "201" {
            self.stored.push(file);
        }
        Ok(())
    }
}
