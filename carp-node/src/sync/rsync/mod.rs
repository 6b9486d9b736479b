//! rsync: how it is called, what it says, and what its end means.
//!
//! Nothing here starts a process. The command lines go to the runner, the output comes back in pieces,
//! and every function is over bytes and times.
//!
//! | file | does |
//! |---|---|
//! | [`version`] | reads `rsync --version --version`, refuses what is older than 3.1.3 |
//! | [`command`] | the command lines: a pass, a pass with rescue, a dry run, one file |
//! | [`ssh`] | the texts of ssh's and rsync's configuration |
//! | [`output`] | items, progress and statistics out of a stream of bytes |
//! | [`exit`] | what an exit status means, and what follows |
//! | [`watchdog`] | a pass that does not get on is ended |

pub mod command;
pub mod exit;
pub mod output;
pub mod ssh;
pub mod version;
pub mod watchdog;
