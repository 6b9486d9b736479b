//! `--plot`: the run as a figure.

mod figure;
mod overview;
mod zoom;

pub(super) use self::figure::figure;
