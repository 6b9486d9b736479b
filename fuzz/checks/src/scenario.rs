//! Reading a scenario of the simulator is total; what can be read is written and reads the same, and is a LAN or is
//! told why not; what cannot is told with its line. The same for a fault, weather and a host in words.

use carp_proto::sim::{Fault, HostModel, Scenario, Weather};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    // The words that the TOML of `carp simulate` has as strings.
    let _ = (Weather::read(text), HostModel::read(text));
    if let Ok(fault) = Fault::read(text, &["left", "right"]) {
        let written = fault.described(&["left", "right"]).to_string();
        assert_eq!(Fault::read(&written, &["left", "right"]), Ok(fault), "{written}");
    }
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
