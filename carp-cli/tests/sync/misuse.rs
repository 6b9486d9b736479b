//! F13: what a key is good for is the share, to be read. What sshd itself refuses of it, a shell before all, is in
//! `ssh.rs`.

use std::process::Command;

use libtest_mimic::Failed;

use crate::scene::Pair;
use crate::support::{LIMIT, Rack, Test, Tested, ensure, run_on, told};
use crate::trees::Both;

pub(crate) const TESTS: &[Test] =
    &[("f13_what_a_key_starts_gives_nothing_but_the_share_and_takes_nothing", forced_command)];

/// Whoever has a node's key, on its machine.
pub(crate) struct Thief<'a> {
    /// The remote shell.
    pub(crate) rsh: &'a str,
    /// The node to steal from.
    pub(crate) victim: &'a str,
    /// A directory to work in.
    pub(crate) home: &'a str,
    /// The file that is wanted, as the victim calls it. The share has a symbolic link to it, `link`.
    pub(crate) secret: &'a str,
    /// How it is reached from the share's root.
    pub(crate) climb: &'a str,
}

impl Thief<'_> {
    /// All that can be tried with rsync; `run` runs a script, and returns all that it said.
    pub(crate) fn try_everything(&self, run: impl Fn(&str) -> Result<String, Failed>) -> Tested {
        let Self { rsh, victim, home, secret, climb } = self;
        let rsync = format!("rsync -e '{rsh}'");
        let got = format!("{home}/got");
        for (what, script) in [
            ("a file of another folder", format!("{rsync} {victim}::www/{climb} {got}")),
            ("another module", format!("{rsync} {victim}::root{secret} {got}")),
            ("a path without a module", format!("{rsync} {victim}:{secret} {got}")),
            ("what a link leads to", format!("{rsync} -L {victim}::www/link {got}")),
            (
                "the same in other words",
                format!("{rsync} --copy-unsafe-links {victim}::www/link {got}"),
            ),
            ("the list of modules", format!("{rsync} {victim}::")),
            ("a push", format!("echo x >{home}/x; {rsync} {home}/x {victim}::www/pushed")),
            (
                "a push into what is told",
                format!("echo x >{home}/x; {rsync} {home}/x {victim}::carp-state/x"),
            ),
            (
                "a deletion",
                format!("mkdir -p {home}/none; {rsync} -r --delete {home}/none/ {victim}::www/"),
            ),
            ("a move", format!("{rsync} --remove-source-files {victim}::www/page {home}/moved")),
        ] {
            self.expect_nothing(
                what,
                &run(&format!("( {script} ) </dev/null 2>&1 || true"))?,
                &run,
            )?;
        }
        // The same key is good for what it is for.
        let said = run(&format!("{rsync} {victim}::www/page {got}; cat {got}; rm {got}"))?;
        ensure(said == "v1\n", format!("the share itself: {said}"))
    }

    /// Neither what was said nor a file that is left has what was wanted.
    pub(crate) fn expect_nothing(
        &self,
        what: &str,
        said: &str,
        run: &impl Fn(&str) -> Result<String, Failed>,
    ) -> Tested {
        let got = run(&format!("cd {}; cat got 2>/dev/null || true; rm -f got", self.home))?;
        // The third is how rsync lists modules.
        for hint in ["precious", "SSH-2.0", "www   "] {
            ensure(!got.contains(hint) && !said.contains(hint), format!("{what}: {said}: {got}"))?;
        }
        Ok(())
    }
}

/// The remote shell of these tests runs what the key would, and nothing else.
fn forced_command(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let secret = rack.write("secret", "precious\n", 0o600)?.display().to_string();
    pair.a.write("page", "v1\n")?;
    std::os::unix::fs::symlink(&secret, pair.a.share.join("link"))?;
    let _daemons = pair.start()?;
    let copied = std::fs::read_link(pair.b.share.join("link"))?;
    ensure(copied.display().to_string() == secret, "the link is copied as a link")?;
    let before = Both::of(&pair)?;
    let rsh = rack.path("secondary.rsh").display().to_string();
    let home = rack.path("secondary.home");
    std::fs::create_dir(&home)?;
    let thief = Thief {
        rsh: &rsh,
        victim: "primary",
        home: &home.display().to_string(),
        secret: &secret,
        climb: "../../secret",
    };
    thief.try_everything(|script| {
        let mut shell = Command::new("timeout");
        shell.arg(LIMIT.as_secs().to_string()).args(["sh", "-c", script]);
        Ok(told(&run_on(&rack.secondary, shell)?).1)
    })?;
    let there: Vec<String> = pair.a.tree()?.into_keys().collect();
    ensure(there == [".share-id", "page"], format!("the primary has {there:?}"))?;
    ensure(pair.a.share.join("link").is_symlink(), "and its link")?;
    before.ensure_untouched("a key was misused")?;
    let told = rack.path("primary.state/sync/export");
    ensure(!told.join("x").exists(), format!("nothing came into {}", told.display()))?;
    ensure(pair.a.read("page").as_deref() == Some("v1\n"), "the primary's page is untouched")
}
