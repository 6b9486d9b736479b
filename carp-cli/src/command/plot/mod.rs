//! What figures have in common: shapes, colours, and the file that they go to.

mod file;
pub(super) mod shapes;

pub(super) use self::file::PlotFile;

/// The style sheet of every figure: light and dark.
pub(super) const STYLE: &str = include_str!("style.css");
