//! docs/guides/two-web-servers.md, played as it is written: real nginx, rsync and sshd, on two machines made of
//! namespaces.
//!
//! Without root sshd lets nobody in; then ssh and pairing are left out, which is said on stderr, and the lab's
//! remote shell carries what ssh would.

mod machine;
mod page;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::process::{Command, ExitCode};
use std::time::Duration;

use carp_node::lab::{Host, Switch, mac, wait_until};
use libtest_mimic::Failed;

use crate::machine::{Machine, is_root};
use crate::page::{Block, Page, Step};
use crate::support::{LIMIT, PRIMARY, Rack, SECONDARY, Test, Tested, VIP, ensure};

const TESTS: &[Test] = &[("the_guide_to_two_web_servers_works_as_it_is_written", two_web_servers)];

/// What a passage takes on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> ExitCode {
    support::main(&[TESTS])
}

fn two_web_servers(rack: &Rack) -> Tested {
    let page = Page::read("../docs/guides/two-web-servers.md")?;
    let mut scene = Scene::new(rack)?;
    if !is_root() {
        eprintln!(
            "the guide is played WITHOUT sshd and pairing: in a user namespace sshd lets nobody in; as root they are \
             played too"
        );
    }
    for number in 1..=4 {
        scene.play(&page, number, &|_| true)?;
    }
    scene.play(&page, 5, &|block| block.text.contains("systemctl"))?;
    wait_until(PATIENCE, "the primary serves", || scene.answer() == "<h1>our pages</h1>\n")
        .map_err(|error| scene.explain(&error.to_string()))?;
    scene.wait_for_status(SECONDARY_NODE, "\"not-adopted\"")?;
    scene.play(&page, 5, &|block| block.text.contains("resolve"))?;
    scene.wait_for_status(SECONDARY_NODE, "\"in_sync\":true")?;
    scene.play(&page, 5, &|block| block.text.contains("sync check"))?;
    ensure(scene.said.contains("equal, every byte of"), scene.said.clone())?;
    ensure(scene.said.contains("failover now would lose at most"), scene.said.clone())?;
    crash_and_return(&mut scene, &page)
}

fn crash_and_return(scene: &mut Scene<'_>, page: &Page) -> Tested {
    scene.play(page, 6, &|block| block.text.contains("curl"))?;
    ensure(scene.said.contains("our pages"), scene.said.clone())?;
    scene.play(page, 6, &|block| block.text.contains("one.html"))?;
    scene.wait_for_file(SECONDARY_NODE, "one.html", "<h1>written on the primary</h1>")?;
    scene.nodes[PRIMARY_NODE].pull_the_plug()?;
    wait_until(PATIENCE, "the secondary serves", || scene.answer().contains("our pages"))?;
    scene.play(page, 6, &|block| block.text.contains("two.html"))?;
    scene.nodes[PRIMARY_NODE].boot()?;
    scene.nodes[PRIMARY_NODE].run("systemctl boot", LIMIT)?;
    scene.serve_shells()?;
    scene.wait_for_status(PRIMARY_NODE, "\"state\":\"active\"")?;
    scene.wait_for_file(PRIMARY_NODE, "two.html", "<h1>written on the secondary</h1>")?;
    scene.wait_for_status(SECONDARY_NODE, "\"in_sync\":true")?;
    scene.play(page, 6, &|block| block.text.contains("rescue list"))?;
    scene.play(page, 7, &|_| true)?;
    scene.wait_for_status(SECONDARY_NODE, "\"state\":\"active\"")?;
    ensure(scene.answer().contains("our pages"), "the secondary serves after the yield")
}

const PRIMARY_NODE: usize = 0;
const SECONDARY_NODE: usize = 1;

/// Both servers, and a client.
struct Scene<'a> {
    rack: &'a Rack,
    nodes: [Machine; 2],
    client: Host,
    /// What the blocks that were played last have printed.
    said: String,
}

impl<'a> Scene<'a> {
    fn new(rack: &'a Rack) -> Result<Self, Failed> {
        let switch = Switch::new(rack.lab)?;
        let node = |name: &str, last: u8, ip: &str| {
            let host = switch.host(name, mac(last), &[&format!("{ip}/24")])?;
            Machine::new(host, rack.path(name))
        };
        let nodes = [node("primary", 0x50, PRIMARY)?, node("secondary", 0x10, SECONDARY)?];
        let client = switch.host("client", mac(0xc8), &["192.168.130.200/24"])?;
        let mut scene = Self { rack, nodes, client, said: String::new() };
        scene.serve_shells()?;
        Ok(scene)
    }

    /// Without sshd, the lab's own remote shell.
    fn serve_shells(&mut self) -> Tested {
        if !is_root() {
            self.rack.lab.remote_shell()?;
            self.nodes.iter_mut().try_for_each(Machine::serve_shell)?;
        }
        Ok(())
    }

    /// Plays the blocks of a chapter.
    fn play(&mut self, page: &Page, chapter: usize, which: &dyn Fn(&Block) -> bool) -> Tested {
        self.said.clear();
        let mut played = 0;
        for block in page.blocks(chapter).filter(|block| which(block)) {
            played += 1;
            if !is_root() && block.needs_ssh() {
                continue;
            }
            self.play_block(block).map_err(|error| {
                Failed::from(format!("line {}: {}: {error:?}", block.line, block.text))
            })?;
        }
        ensure(played > 0, format!("chapter {chapter} has no such block"))
    }

    fn play_block(&mut self, block: &Block) -> Tested {
        match &block.step {
            Step::Client => {
                let mut shell = Command::new("sh");
                shell.arg("-ec").arg(&block.text);
                let shell = self.client.spawn(shell)?;
                let status = shell.wait(LIMIT)?;
                let said = shell.last_words();
                self.said += &said;
                ensure(status.success(), said)
            }
            Step::Run(nodes) => nodes.iter().try_for_each(|&node| self.run(node, &block.text)),
            Step::Pair => {
                for node in [PRIMARY_NODE, SECONDARY_NODE] {
                    let fingerprint = self.nodes[1 - node].fingerprint()?;
                    self.run(node, &block.text.replace("SHA256:…", &fingerprint))?;
                }
                Ok(())
            }
            Step::Authorize => {
                for node in [PRIMARY_NODE, SECONDARY_NODE] {
                    let line = self.nodes[1 - node].printed_line()?;
                    self.run(node, &block.text.replace("LINE", &line))?;
                }
                Ok(())
            }
            Step::File(nodes, path) => {
                for &node in nodes {
                    self.nodes[node].write(path, &block.text)?;
                }
                Ok(())
            }
        }
    }

    fn run(&mut self, node: usize, script: &str) -> Tested {
        let said = self.nodes[node].run(script, PATIENCE)?;
        self.said += &said;
        Ok(())
    }

    /// What the address answers, if anything.
    fn answer(&self) -> String {
        let ask = || {
            let mut curl = Command::new("curl");
            curl.args(["-s", "-m", "2", &format!("http://{VIP}/")]);
            curl.output()
        };
        let output = self.client.run_inside(ask).ok().and_then(Result::ok);
        output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned()).unwrap_or_default()
    }

    fn wait_for_status(&self, node: usize, text: &str) -> Tested {
        let what = format!("the status of node {node} has {text}");
        let has = || {
            let status = self.nodes[node].run("carp status --json", LIMIT);
            status.is_ok_and(|status| status.contains(text))
        };
        wait_until(PATIENCE, &what, has).map_err(|error| self.explain(&error.to_string()))
    }

    fn wait_for_file(&self, node: usize, file: &str, text: &str) -> Tested {
        let what = format!("{file} on node {node}");
        let has = || self.nodes[node].read(&format!("/var/www/html/{file}")).trim_end() == text;
        wait_until(PATIENCE, &what, has).map_err(|error| self.explain(&error.to_string()))
    }

    fn explain(&self, what: &str) -> Failed {
        let mut text = what.to_owned();
        for node in &self.nodes {
            for command in ["carp sync status", "carp events", "cat /var/log/carp.log"] {
                let said = node.run(&format!("{command} 2>&1 || true"), LIMIT);
                text += &format!("\n--- {command}\n{}", said.unwrap_or_default());
            }
        }
        Failed::from(text)
    }
}
