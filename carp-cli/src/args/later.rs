//! The commands of the contract that are not there yet.

use clap::{Args, Subcommand};

/// Commands of the contract that answer "not supported yet", whatever follows them.
#[derive(Debug, Subcommand)]
pub(crate) enum Later {
    #[command(hide = true)]
    /// What a change of the configuration would do
    Plan(Anything),
    #[command(hide = true)]
    /// Apply a changed configuration
    Reload(Anything),
    #[command(hide = true)]
    /// Keep a change
    Confirm(Anything),
    #[command(hide = true)]
    /// A live view
    Watch(Anything),
    #[command(hide = true)]
    /// Why a router is what it is
    Explain(Anything),
    #[command(hide = true)]
    /// Take a router out of service
    Drain(Anything),
    #[command(hide = true)]
    /// Put a router back into service
    Resume(Anything),
    #[command(hide = true)]
    /// Take over from a healthy active router
    Promote(Anything),
    #[command(hide = true)]
    /// Announce the addresses again
    Announce(Anything),
    #[command(hide = true)]
    /// Databases that follow the active router
    Db(Anything),
    #[command(hide = true)]
    /// Follow the routers of a link
    Observe(Anything),
    #[command(hide = true)]
    /// Look for what could keep a router from working
    Doctor(Anything),
    #[command(hide = true)]
    /// Take over another program's configuration
    Import(Anything),
    #[command(hide = true)]
    /// Write a first configuration
    Init(Anything),
    #[command(hide = true)]
    /// Completions for a shell
    Completions(Anything),
    #[command(hide = true)]
    /// The manual page
    Man(Anything),
}

/// Arguments that are not looked at.
#[derive(Debug, Args)]
pub(crate) struct Anything {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<std::ffi::OsString>,
}

impl Later {
    /// The command, as it is typed.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "carp plan",
            Self::Reload(_) => "carp reload",
            Self::Confirm(_) => "carp confirm",
            Self::Watch(_) => "carp watch",
            Self::Explain(_) => "carp explain",
            Self::Drain(_) => "carp drain",
            Self::Resume(_) => "carp resume",
            Self::Promote(_) => "carp promote",
            Self::Announce(_) => "carp announce",
            Self::Db(_) => "carp db",
            Self::Observe(_) => "carp observe",
            Self::Doctor(_) => "carp doctor",
            Self::Import(_) => "carp import",
            Self::Init(_) => "carp init",
            Self::Completions(_) => "carp completions",
            Self::Man(_) => "carp man",
        }
    }
}
