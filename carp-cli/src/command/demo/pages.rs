//! What the servers serve: pages, which somebody edits on whichever of them is active, and which carp keeps in
//! step.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use carp_node::control::Client as Control;
use carp_node::control::client::ClientError;
use carp_node::lab::LabError;
use carp_node::sync::engine::Order;
use carp_node::sync::rescue::{Entry, Kind};

use super::model::Who;
use crate::command::sync::report_of;

/// The name of the share.
pub(super) const SHARE: &str = "www";

/// When and where a page was edited last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Edit {
    /// On the primary, and copied before it died.
    Before,
    /// On the primary, in the moment in which its machine died.
    Late,
    /// Changed on the secondary, while the primary was dead.
    Changed,
    /// Made there.
    Made,
    /// Deleted there.
    Deleted,
    /// On the primary again, right before it is stopped.
    After,
}

impl Edit {
    pub(super) const ALL: [Self; 6] =
        [Self::Before, Self::Late, Self::Changed, Self::Made, Self::Deleted, Self::After];

    /// The words for the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Before => "written on the primary",
            Self::Late => "written as its machine died",
            Self::Changed => "then changed on the secondary",
            Self::Made => "then written on the secondary",
            Self::Deleted => "then deleted on the secondary",
            Self::After => "written on the primary again",
        }
    }

    /// Where it is made.
    const fn place(self) -> Who {
        match self {
            Self::Before | Self::Late | Self::After => Who::Primary,
            Self::Changed | Self::Made | Self::Deleted => Who::Secondary,
        }
    }
}

/// The trees of both servers, and what has to be in them.
#[derive(Debug)]
pub(super) struct Pages {
    trees: [PathBuf; 2],
    /// The last edit of each page.
    edited: BTreeMap<String, Edit>,
}

/// How many pages there are of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) edit: Edit,
    pub(super) pages: usize,
    /// How many are as they have to be, on each server.
    pub(super) right: [usize; 2],
    /// How many are not, on one of them or on both.
    pub(super) lost: usize,
}

impl Pages {
    pub(super) const fn new(trees: [PathBuf; 2]) -> Self {
        Self { trees, edited: BTreeMap::new() }
    }

    /// Edits the pages with these numbers.
    pub(super) fn edit(
        &mut self,
        edit: Edit,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Result<(), LabError> {
        for number in numbers {
            let page = format!("page-{number:02}.html");
            let path = self.tree(edit.place()).join(&page);
            let done = match edit {
                Edit::Deleted => fs::remove_file(&path),
                Edit::Before | Edit::Late | Edit::Changed | Edit::Made | Edit::After => {
                    fs::write(&path, text(&page, edit))
                }
            };
            let failed = |source| LabError::System { doing: format!("edit {page}"), source };
            done.map_err(failed)?;
            self.edited.insert(page, edit);
        }
        Ok(())
    }

    /// Whether a server has all pages as they have to be.
    pub(super) fn are_right_on(&self, who: Who) -> bool {
        self.edited.iter().all(|(page, edit)| self.is_right(who, page, *edit))
    }

    /// What became of the pages, a kind after the other.
    pub(super) fn count(&self) -> Vec<Count> {
        let count = |edit: Edit| {
            let pages: Vec<_> = self.edited.iter().filter(|(_, found)| **found == edit).collect();
            let is_right = |who| move |page: &str| self.is_right(who, page, edit);
            let right = |who| pages.iter().filter(|(page, _)| is_right(who)(page)).count();
            let everywhere = |page: &str| Who::ALL.into_iter().all(|who| is_right(who)(page));
            let lost = pages.iter().filter(|(page, _)| !everywhere(page)).count();
            Count { edit, pages: pages.len(), right: Who::ALL.map(right), lost }
        };
        Edit::ALL.into_iter().map(count).collect()
    }

    fn is_right(&self, who: Who, page: &str, edit: Edit) -> bool {
        let found = fs::read_to_string(self.tree(who).join(page));
        match edit {
            Edit::Deleted => found.is_err_and(|error| error.kind() == io::ErrorKind::NotFound),
            Edit::Before | Edit::Late | Edit::Changed | Edit::Made | Edit::After => {
                found.is_ok_and(|found| found == text(page, edit))
            }
        }
    }

    pub(super) fn tree(&self, who: Who) -> &Path {
        &self.trees[who.index()]
    }
}

fn text(page: &str, edit: Edit) -> String {
    format!("<h1>{page}</h1> {}\n", edit.name())
}

/// Puts back what a rescue set has and the tree has not, as an operator would; how many pages that were.
pub(super) fn put_orphans_back(socket: &Path, tree: &Path) -> Result<usize, LabError> {
    let order = |order: Order| -> Result<serde_json::Value, LabError> {
        let doing = format!("do {order:?} with {SHARE}");
        let asked = Control::connect(socket).and_then(|it| it.sync(Some(SHARE.to_owned()), order));
        let failed = |error: ClientError| LabError::System {
            doing,
            source: io::Error::other(error.to_string()),
        };
        asked.map_err(failed)
    };
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let (mut restored, sets) = (0, order(Order::RescueList)?);
    for set in sets["sets"].as_array().into_iter().flatten() {
        let set = text(&set["set"]);
        let (_, report) =
            report_of(socket, Some(SHARE.to_owned()), set.clone()).map_err(|why| {
                let doing = format!("read the report of {set}");
                LabError::System { doing, source: io::Error::other(why.to_string()) }
            })?;
        let entries = report.into_iter().flat_map(|report| report.entries);
        for Entry { path, .. } in entries.filter(|entry| entry.kind == Kind::Orphan) {
            if tree.join(&path).exists() {
                // Both are there, and the newer one is in the tree.
                continue;
            }
            order(Order::RescueRestore { set: set.clone(), path, to: None })?;
            restored += 1;
        }
    }
    Ok(restored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_missing_or_old_on_one_server_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let trees = ["a", "b"].map(|name| directory.path().join(name));
        trees.iter().for_each(|tree| fs::create_dir(tree).unwrap());
        let mut pages = Pages::new(trees.clone());
        pages.edit(Edit::Before, 0..3).unwrap();
        assert!(pages.are_right_on(Who::Primary) && !pages.are_right_on(Who::Secondary));
        for page in fs::read_dir(&trees[0]).unwrap().map(|page| page.unwrap()) {
            fs::copy(page.path(), trees[1].join(page.file_name())).unwrap();
        }
        let all = Count { edit: Edit::Before, pages: 3, right: [3, 3], lost: 0 };
        assert_eq!(pages.count()[0], all);
        pages.edit(Edit::Changed, [0]).unwrap();
        pages.edit(Edit::Deleted, [1]).unwrap();
        let lost: Vec<_> = pages.count().iter().map(|count| count.lost).collect();
        assert_eq!(lost, [0, 0, 1, 0, 1, 0]);
        assert_eq!(pages.count()[2].right, [0, 1], "the primary has the old text");
    }
}
