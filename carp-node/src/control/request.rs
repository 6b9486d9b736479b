//! One request, from a line that anybody may have written.

use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;

use super::proto::{ControlError, ErrorCode, Request, VERSION, Verb};

pub(super) async fn read_line(
    reader: &mut OwnedReadHalf,
    limit: usize,
) -> Result<Vec<u8>, ControlError> {
    let mut line = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = match reader.read(&mut chunk).await {
            Ok(0) => return Err(bad_request("the request ended before its line did".into())),
            Ok(length) => length,
            Err(error) => return Err(bad_request(error.to_string())),
        };
        let end = chunk[..length].iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&chunk[..end.unwrap_or(length)]);
        if line.len() > limit {
            return Err(bad_request(format!("a request of more than {limit} bytes")));
        }
        if end.is_some() {
            return Ok(line);
        }
    }
}

impl Request {
    /// Reads a request from a line that anybody may have written. An error says first what the caller can do
    /// something about: the version, then the verb, then the rest.
    ///
    /// # Errors
    /// [`ControlError`] with the code [`ErrorCode::BadRequest`], [`ErrorCode::Version`] or
    /// [`ErrorCode::Unsupported`].
    pub fn from_line(line: &[u8]) -> Result<Self, ControlError> {
        let value: serde_json::Value =
            serde_json::from_slice(line).map_err(|error| bad_request(error.to_string()))?;
        match value.get("version").and_then(serde_json::Value::as_u64) {
            Some(version) if version == u64::from(VERSION) => {}
            Some(version) => {
                let message = format!(
                    "this daemon speaks version {VERSION} of the control protocol, not {version}: use \
                     the carp command of the daemon's version"
                );
                return Err(ControlError::new(ErrorCode::Version, message));
            }
            None => return Err(bad_request("no \"version\" that is a number".into())),
        }
        match value.get("verb").and_then(serde_json::Value::as_str) {
            Some(verb) if Verb::NAMES.contains(&verb) => {}
            Some(verb) => {
                let message = format!("{verb:?} is not supported yet by this daemon");
                return Err(ControlError::new(ErrorCode::Unsupported, message));
            }
            None => return Err(bad_request("no \"verb\" that is a text".into())),
        }
        serde_json::from_value(value).map_err(|error| bad_request(error.to_string()))
    }
}

pub(super) fn bad_request(message: String) -> ControlError {
    ControlError::new(ErrorCode::BadRequest, message)
}
