//! From text to scenarios.

use std::fmt;
use std::time::Duration;

/// One scenario of a file.
pub(crate) struct Scenario {
    /// The text before the transcript: title, source, routers, comments.
    pub(crate) head: String,
    pub(crate) name: String,
    pub(crate) source: String,
    /// What stands behind the word `router`, a line each.
    pub(crate) routers: Vec<Vec<String>>,
    pub(crate) lines: Vec<Line>,
    /// The blank lines behind it.
    pub(crate) tail: String,
}

/// A line of a transcript: when, who, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// `TIME NAME < WORDS`: something happens to a router.
    Input(Duration, String, String),
    /// `TIME NAME > WORDS`: it does something.
    Output(Duration, String, String),
    /// `TIME NAME is STATE`.
    Is(Duration, String, String),
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (time, who, sign, words) = match self {
            Self::Input(time, who, words) => (time, who, "<", words),
            Self::Output(time, who, words) => (time, who, ">", words),
            Self::Is(time, who, state) => (time, who, "is", state),
        };
        write!(out, "{} {who} {sign} {words}", shown(*time))
    }
}

pub(crate) fn scenarios(text: &str) -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = Vec::new();
    let mut head = String::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("scenario ") {
            let name = title.split_once(':').unwrap_or((title, "")).0.to_owned();
            let (routers, lines) = (Vec::new(), Vec::new());
            let (source, tail) = (String::new(), String::new());
            scenarios.push(Scenario {
                head: std::mem::take(&mut head),
                name,
                source,
                routers,
                lines,
                tail,
            });
        }
        let Some(scenario) = scenarios.last_mut() else {
            head += &format!("{line}\n");
            continue;
        };
        if line.starts_with(|first: char| first.is_ascii_digit()) {
            scenario.lines.push(transcript(line));
        } else if scenario.lines.is_empty() {
            scenario.head += &format!("{line}\n");
            if let Some(source) = line.strip_prefix("source ") {
                source.clone_into(&mut scenario.source);
            }
            if let Some(words) = line.strip_prefix("router ") {
                scenario.routers.push(words.split_whitespace().map(str::to_owned).collect());
            }
        } else {
            assert!(line.trim().is_empty(), "{line}: neither a time nor a new scenario");
            scenario.tail += &format!("{line}\n");
        }
    }
    scenarios
}

fn transcript(line: &str) -> Line {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("{line} is too short")).to_owned();
    let (time, who, sign) = (time(&next()), next(), next());
    let rest = words.collect::<Vec<_>>().join(" ");
    match sign.as_str() {
        "<" => Line::Input(time, who, rest),
        ">" => Line::Output(time, who, rest),
        "is" => Line::Is(time, who, rest),
        _ => panic!("{line}: {sign} is neither < nor > nor is"),
    }
}

/// A time in seconds, `3.1s`.
pub(crate) fn time(text: &str) -> Duration {
    let seconds = text.strip_suffix('s').unwrap_or_else(|| panic!("{text} has no unit"));
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let nanos = format!("{fraction:0<9}");
    Duration::new(whole.parse().unwrap(), nanos.parse().unwrap())
}

/// The same as text.
pub(crate) fn shown(time: Duration) -> String {
    let fraction = format!("{:09}", time.subsec_nanos());
    match fraction.trim_end_matches('0') {
        "" => format!("{}s", time.as_secs()),
        fraction => format!("{}.{fraction}s", time.as_secs()),
    }
}
