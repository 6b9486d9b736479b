//! What figures have in common: shapes and colours.

pub(super) mod shapes;

/// The style sheet of every figure: light and dark.
pub(super) const STYLE: &str = include_str!("style.css");
