//! Reading the lines of the control socket is total, on both sides; what can be read is written and reads the same,
//! and what cannot is answered by a line that can.

use carp_node::control::proto::Answer;
use carp_node::control::{ControlError, ErrorCode, Request, Response, VERSION};
use serde::Serialize;

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    for line in input.split(|byte| *byte == b'\n') {
        match Request::from_line(line) {
            Ok(request) => {
                assert_eq!(request.version, VERSION);
                assert_eq!(Request::from_line(&written(&request)), Ok(request));
            }
            Err(error) => refused(error),
        }
        if let Ok(response) = serde_json::from_slice::<Response>(line) {
            let again: Response =
                serde_json::from_slice(&written(&response)).expect("what was written");
            // Times are cut to what JSON shows of them, and then stay.
            assert_eq!(written(&again), written(&response));
        }
    }
}

fn refused(error: ControlError) {
    let codes = [ErrorCode::BadRequest, ErrorCode::Version, ErrorCode::Unsupported];
    assert!(codes.contains(&error.code), "{error:?} for a line");
    let response = Response::new(Answer::Error(error));
    let read: Response = serde_json::from_slice(&written(&response)).expect("what was written");
    assert_eq!(read, response);
}

/// One line.
fn written(value: &impl Serialize) -> Vec<u8> {
    let line = serde_json::to_vec(value).expect("it can be written");
    assert!(!line.contains(&b'\n'));
    line
}
