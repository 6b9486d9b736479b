//! The documents are true as far as a machine can tell: what they name exists.

mod book;
mod faults;
mod requirements;
