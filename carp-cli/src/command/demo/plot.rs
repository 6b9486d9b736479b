//! `--plot`: the run as a figure, in a file of its own.

mod figure;
mod file;
mod overview;
mod shapes;
mod zoom;

pub(super) use self::figure::figure;
pub(super) use self::file::PlotFile;
