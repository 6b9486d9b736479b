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

/// Something that is tried with a key, and how it is refused.
pub(crate) struct Attempt {
    pub(crate) what: &'static str,
    pub(crate) script: String,
    /// What it ends with. Which of the two ends of a connection notices first decides between some.
    pub(crate) codes: &'static [i32],
    /// What it says, in one of these ways; nothing at all, if there is none.
    pub(crate) says: &'static [&'static str],
}

impl Thief<'_> {
    /// All that can be tried with rsync; `run` runs a script, and returns all that it said.
    pub(crate) fn try_everything(&self, run: impl Fn(&str) -> Result<String, Failed>) -> Tested {
        for attempt in self.attempts() {
            self.expect_refusal(&attempt, &run)?;
        }
        // The same key is good for what it is for.
        let Self { rsh, victim, home, .. } = self;
        let got = format!("{home}/got");
        let fetch = format!("rsync -e '{rsh}' {victim}::www/page {got}");
        let said = run(&format!("{fetch}; cat {got}; rm {got}"))?;
        ensure(said == "v1\n", format!("the share itself: {said}"))
    }

    fn attempts(&self) -> Vec<Attempt> {
        const WRITES: (&[i32], &[&str]) = (&[1], &["ERROR: module is read only"]);
        // rsync at the other end says 4, and this one that the connection broke.
        const REFUSED: &[i32] = &[4, 12];
        let Self { rsh, victim, home, secret, climb } = self;
        let rsync = format!("rsync -e '{rsh}'");
        let got = format!("{home}/got");
        let attempts: [(_, _, (&[i32], &[&str])); 10] = [
            (
                "a file of another folder",
                format!("{rsync} {victim}::www/{climb} {got}"),
                // Above the root there is nothing.
                (&[23], &["(in www) failed: No such file or directory"]),
            ),
            (
                "another module",
                format!("{rsync} {victim}::root{secret} {got}"),
                (&[5], &["@ERROR: Unknown module 'root'"]),
            ),
            (
                "a path without a module",
                format!("{rsync} {victim}:{secret} {got}"),
                // No other command than the daemon's is run, which greets.
                (&[2, 12, 255], &["protocol version mismatch"]),
            ),
            (
                "what a link leads to",
                format!("{rsync} -L {victim}::www/link {got}"),
                (REFUSED, &["configured to refuse --copy-links"]),
            ),
            (
                "the same in other words",
                format!("{rsync} --copy-unsafe-links {victim}::www/link {got}"),
                (REFUSED, &["configured to refuse --copy-unsafe-links"]),
            ),
            ("the list of modules", format!("{rsync} {victim}::"), (&[0], &[])),
            ("a push", format!("echo x >{home}/x; {rsync} {home}/x {victim}::www/pushed"), WRITES),
            (
                "a push into what is told",
                format!("echo x >{home}/x; {rsync} {home}/x {victim}::carp-state/x"),
                WRITES,
            ),
            (
                "a deletion",
                format!("mkdir -p {home}/none; {rsync} -r --delete {home}/none/ {victim}::www/"),
                WRITES,
            ),
            (
                "a move",
                format!("{rsync} --remove-source-files {victim}::www/page {home}/moved"),
                (REFUSED, &["configured to refuse --remove-source-files"]),
            ),
        ];
        let attempt = |(what, script, (codes, says))| Attempt { what, script, codes, says };
        attempts.into_iter().map(attempt).collect()
    }

    /// It ends with one of its codes, and says why; and neither what was said nor a file that is left has what was wanted.
    pub(crate) fn expect_refusal(
        &self,
        attempt: &Attempt,
        run: &impl Fn(&str) -> Result<String, Failed>,
    ) -> Tested {
        let Attempt { what, script, codes, says } = attempt;
        let tried = format!(
            "code=0; ( {script} ) </dev/null 2>&1 || code=$?; printf '\\nended with %s\\n' $code"
        );
        let text = run(&tried)?;
        let got = run(&format!("cd {}; cat got 2>/dev/null || true; rm -f got", self.home))?;
        // The third is how rsync lists modules.
        for hint in ["precious", "SSH-2.0", "www   "] {
            ensure(!got.contains(hint) && !text.contains(hint), format!("{what}: {text}: {got}"))?;
        }
        let (said, rest) =
            text.split_once("\nended with ").ok_or_else(|| format!("{what} has no end: {text}"))?;
        // The other end of the connection may say something when this one is through.
        let (code, late) = rest.split_once('\n').unwrap_or((rest, ""));
        let said = [said, late].concat();
        let code: i32 = code.trim().parse()?;
        ensure(codes.contains(&code), format!("{what} ended with {code}, not {codes:?}: {said}"))?;
        let told = if says.is_empty() {
            said.trim().is_empty()
        } else {
            says.iter().any(|it| said.contains(it))
        };
        ensure(told, format!("{what} was to say {says:?}, and said: {said}"))
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
