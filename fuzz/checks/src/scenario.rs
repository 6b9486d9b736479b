//! Reading a scenario of the simulator is total; what can be read is written and reads the same, and is a LAN or is
//! told why not; what cannot is told with its line.

use carp_proto::sim::Scenario;

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match text.parse::<Scenario>() {
        Ok(scenario) => {
            let written = scenario.to_string();
            assert_eq!(written.parse().as_ref(), Ok(&scenario), "{written}");
            // Whether it can be played is another question, but one with an answer.
            drop(scenario.lan());
        }
        Err(error) => {
            let lines = 1..=text.lines().count().max(1);
            assert!(lines.contains(&error.line), "{error} of {lines:?}");
        }
    }
}
