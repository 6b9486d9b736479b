//! What the commands share that ask a running daemon.

use std::path::Path;

use carp_node::control::{Client, ClientError, ErrorCode};

use crate::exit::{Exit, Failure};

/// Connects to the daemon at a socket.
pub(crate) fn connect(socket: &Path) -> Result<Client, Failure> {
    Client::connect(socket).map_err(|error| failure(&error))
}

/// What a client's error means for the exit code.
pub(crate) fn failure(error: &ClientError) -> Failure {
    let exit = match (error, error.code()) {
        (ClientError::NoDaemon { .. }, _) => Exit::NoDaemon,
        (ClientError::PermissionDenied { .. }, _) => Exit::Missing,
        (_, Some(ErrorCode::Refused | ErrorCode::NotAllowed)) => Exit::Refused,
        (_, _) => Exit::Failed,
    };
    Failure::new(exit, error.to_string())
}
