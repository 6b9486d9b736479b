//! A guide: its chapters, and the blocks in them that say where they are typed.

use std::fs;
use std::path::Path;

use libtest_mimic::Failed;

use crate::{PRIMARY_NODE, SECONDARY_NODE};

/// A guide.
pub(crate) struct Page(Vec<Block>);

/// A block of it.
pub(crate) struct Block {
    chapter: usize,
    /// Where it begins.
    pub(crate) line: usize,
    pub(crate) step: Step,
    pub(crate) text: String,
}

/// What is done with it.
pub(crate) enum Step {
    Client,
    Run(Vec<usize>),
    /// On both, with the other one's fingerprint.
    Pair,
    /// On both, with the line that the other one has printed.
    Authorize,
    /// A file of this path.
    File(Vec<usize>, String),
}

impl Page {
    /// Reads it. `path` is relative to the package.
    pub(crate) fn read(path: &str) -> Result<Self, Failed> {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path))?;
        let (mut chapter, mut blocks, mut open) = (0, Vec::new(), None::<Block>);
        for (number, line) in text.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{line}\n"),
                (None, Some(words)) => {
                    let step = step(words)
                        .ok_or_else(|| format!("line {}: where is {words:?} typed?", number + 1))?;
                    open = Some(Block { chapter, line: number + 1, step, text: String::new() });
                }
                (None, None) if line.starts_with("## ") => chapter += 1,
                (None, None) => {}
            }
        }
        Ok(Self(blocks))
    }

    /// The blocks of a chapter, from 1.
    pub(crate) fn blocks(&self, chapter: usize) -> impl Iterator<Item = &Block> {
        self.0.iter().filter(move |block| block.chapter == chapter)
    }
}

impl Block {
    /// Whether it makes sense with sshd only.
    pub(crate) fn needs_ssh(&self) -> bool {
        match &self.step {
            Step::Pair | Step::Authorize => true,
            Step::File(_, path) => path.starts_with("/etc/ssh/"),
            Step::Run(_) => self.text.contains("restart ssh"),
            Step::Client => false,
        }
    }
}

/// What stands behind the three ticks: a language, where, and what.
fn step(words: &str) -> Option<Step> {
    let words: Vec<&str> = words.split(' ').collect();
    let nodes = match *words.get(1)? {
        "client" => return Some(Step::Client),
        "both" => vec![PRIMARY_NODE, SECONDARY_NODE],
        "primary" => vec![PRIMARY_NODE],
        "secondary" => vec![SECONDARY_NODE],
        _ => return None,
    };
    match words.get(2) {
        None => Some(Step::Run(nodes)),
        Some(&"pair") => Some(Step::Pair),
        Some(&"authorize") => Some(Step::Authorize),
        Some(path) if path.starts_with('/') => Some(Step::File(nodes, (*path).to_owned())),
        Some(_) => None,
    }
}
