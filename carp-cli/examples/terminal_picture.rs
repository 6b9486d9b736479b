//! Draws what a terminal shows as an SVG picture: text with escape codes on stdin, SVG on stdout.
//!
//! `make pictures` makes the README's picture of `carp demo` with it. The picture brings its own
//! background, so that it can be read on light and on dark pages.

use std::io::{self, Read, Write};

use anstyle::RgbColor as Rgb;
use anstyle_svg::{Palette, Term};

fn main() -> io::Result<()> {
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    let picture = Term::new()
        .palette(PALETTE)
        .fg_color(FOREGROUND.into())
        .bg_color(BACKGROUND.into())
        .render_svg(text.trim_end())
        .replace(FAINT, DIMMED);
    io::stdout().lock().write_all(picture.as_bytes())
}

/// What is dimmed is still to be read.
const FAINT: &str = "opacity: 0.4;";
const DIMMED: &str = "opacity: 0.7;";

const FOREGROUND: Rgb = Rgb(0xe6, 0xed, 0xf3);
const BACKGROUND: Rgb = Rgb(0x16, 0x1b, 0x22);

/// Colours with a good contrast to the background, in the order of the escape codes.
const PALETTE: Palette = Palette([
    Rgb(0x48, 0x4f, 0x58),
    Rgb(0xff, 0x7b, 0x72),
    Rgb(0x3f, 0xb9, 0x50),
    Rgb(0xd2, 0x99, 0x22),
    Rgb(0x58, 0xa6, 0xff),
    Rgb(0xbc, 0x8c, 0xff),
    Rgb(0x39, 0xc5, 0xcf),
    Rgb(0xb1, 0xba, 0xc4),
    Rgb(0x6e, 0x76, 0x81),
    Rgb(0xff, 0x7b, 0x54),
    Rgb(0x56, 0xd3, 0x64),
    Rgb(0xe3, 0xb3, 0x41),
    Rgb(0x79, 0xc0, 0xff),
    Rgb(0xf7, 0x8f, 0xd0),
    Rgb(0x56, 0xd4, 0xdd),
    Rgb(0xff, 0xff, 0xff),
]);
