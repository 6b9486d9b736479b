//! What the picture is made of: glyphs and colours.

use anstyle::{AnsiColor, Style};

use super::super::model::{State, Who};

pub(super) const RED: Style = AnsiColor::BrightRed.on_default();
pub(super) const CYAN: Style = AnsiColor::Cyan.on_default();
pub(super) const GREEN: Style = AnsiColor::Green.on_default();

/// The colour of a server.
pub(super) const fn hue(who: Who) -> Style {
    match who {
        Who::Primary => AnsiColor::BrightBlue.on_default(),
        Who::Secondary => AnsiColor::BrightMagenta.on_default(),
    }
}

/// The colour of a state.
pub(super) const fn colour(state: State) -> Style {
    match state {
        State::Dead => RED,
        State::Down | State::Init => AnsiColor::Yellow.on_default(),
        State::Backup => CYAN,
        State::Active | State::Leaving => GREEN,
    }
}

/// What the picture is made of. Whoever sees no colours can still tell them apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glyphs {
    /// A server answers.
    pub(super) answers: char,
    /// It is active, and does not.
    pub(super) silent: char,
    pub(super) backup: char,
    pub(super) init: char,
    pub(super) dead: char,
    /// The client is answered by the primary, which is drawn above.
    pub(super) primary: char,
    pub(super) secondary: char,
    pub(super) both: char,
    pub(super) nobody: char,
    /// Begins a note below what it is about.
    pub(super) below: &'static str,
    pub(super) filled: char,
    pub(super) unfilled: char,
}

impl Glyphs {
    pub(super) const fn of(unicode: bool) -> Self {
        if unicode { UNICODE } else { ASCII }
    }

    pub(super) const fn state(self, state: State) -> char {
        match state {
            State::Dead => self.dead,
            State::Down | State::Init => self.init,
            State::Backup => self.backup,
            State::Active | State::Leaving => self.silent,
        }
    }
}

const UNICODE: Glyphs = Glyphs {
    answers: '█',
    silent: '▒',
    backup: '─',
    init: '·',
    dead: '×',
    primary: '▀',
    secondary: '▄',
    both: '█',
    nobody: '░',
    below: "╰ ",
    filled: '━',
    unfilled: '─',
};

const ASCII: Glyphs = Glyphs {
    answers: '#',
    silent: '=',
    backup: '-',
    init: '.',
    dead: 'x',
    primary: 'P',
    secondary: 'S',
    both: '*',
    nobody: '!',
    below: "^ ",
    filled: '=',
    unfilled: '.',
};
