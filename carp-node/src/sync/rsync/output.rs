//! What rsync prints: items, progress and statistics share one stream.
//!
//! The stream comes in pieces of any length. A line ends with `\n`, or, where progress overwrites itself,
//! with `\r`. Names are bytes: what is not printable stands as `\#` and three octal digits, whatever the
//! locale, since rsync runs with `LC_ALL=C`.

use std::time::Duration;

use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n};
use nom::character::complete::{char, space0, space1};
use nom::combinator::{all_consuming, map_opt, opt, rest};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Parser};

use super::command::ITEM_PREFIX;

/// The longest line that is kept, in bytes; the rest of a longer one is dropped. A path has at most 4096
/// bytes, and each may be escaped to five.
pub const LINE_LEN: usize = 32 * 1024;

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Line {
    /// Something is done, or would be, with a file.
    Item(Item),
    /// How far the pass is.
    Progress(Progress),
    /// A figure of the summary.
    Stat(Stat, u64),
    /// Anything else, as it was printed: a message.
    Other(Vec<u8>),
}

/// A file that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What is done.
    pub change: Change,
    /// Its length at the source, in bytes.
    pub len: u64,
    /// Its path in the share, as bytes; a directory's ends with a slash.
    pub path: Vec<u8>,
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is received.
    Received {
        /// It was not there before.
        new: bool,
    },
    /// It is created without a transfer: a directory, a link, a device.
    Created,
    /// It becomes a hard link to another one.
    Linked,
    /// Only its attributes change.
    Attributes,
    /// It is deleted.
    Deleted,
    /// rsync says something about it (`*` and a word).
    Message,
}

/// How far a pass is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of files that are there.
    pub bytes: u64,
    /// Of all bytes, 0 to 100.
    pub percent: u8,
    /// Bytes a second.
    pub rate: u64,
    /// Time left; at the end, time taken.
    pub time: Duration,
    /// Files transferred.
    pub files: Option<u64>,
    /// Files still to be looked at, of how many.
    pub to_check: Option<(u64, u64)>,
}

/// The figures of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stat {
    /// Entries in the list of the source.
    Files,
    /// Entries that were created.
    Created,
    /// Entries that were deleted.
    Deleted,
    /// Files whose content was received.
    Transferred,
    /// The bytes of all files.
    TotalSize,
    /// The bytes of the files that were received.
    TransferredSize,
    /// Bytes that came over the network as they are.
    Literal,
    /// Bytes that were there already.
    Matched,
    /// Bytes sent.
    Sent,
    /// Bytes received.
    Received,
}

const STATS: [(&str, Stat); 10] = [
    ("Number of files: ", Stat::Files),
    ("Number of created files: ", Stat::Created),
    ("Number of deleted files: ", Stat::Deleted),
    ("Number of regular files transferred: ", Stat::Transferred),
    ("Total file size: ", Stat::TotalSize),
    ("Total transferred file size: ", Stat::TransferredSize),
    ("Literal data: ", Stat::Literal),
    ("Matched data: ", Stat::Matched),
    ("Total bytes sent: ", Stat::Sent),
    ("Total bytes received: ", Stat::Received),
];

/// Reads a stream in pieces.
#[derive(Clone, Debug, Default)]
pub struct Reader {
    line: Vec<u8>,
}

impl Reader {
    /// Takes a piece, and tells the lines that it completes. Empty lines are not told.
    pub fn push(&mut self, piece: &[u8], mut tell: impl FnMut(Line)) {
        for &byte in piece {
            match byte {
                b'\n' | b'\r' => self.end(&mut tell),
                byte if self.line.len() < LINE_LEN => self.line.push(byte),
                _ => {}
            }
        }
    }

    /// The stream has ended; a last line without an end counts too.
    pub fn finish(mut self, mut tell: impl FnMut(Line)) {
        self.end(&mut tell);
    }

    fn end(&mut self, tell: &mut impl FnMut(Line)) {
        if self.line.iter().any(|byte| !byte.is_ascii_whitespace()) {
            tell(Line::parse(&self.line));
        }
        self.line.clear();
    }
}

impl Line {
    /// Reads one line, without its end.
    #[must_use]
    pub fn parse(line: &[u8]) -> Self {
        let parsed = alt((
            all_consuming(item).map(Self::Item),
            all_consuming(progress).map(Self::Progress),
            stat.map(|(stat, value)| Self::Stat(stat, value)),
        ))
        .parse(line);
        match parsed {
            Ok((_, line)) => line,
            Err(_) => Self::Other(line.to_vec()),
        }
    }
}

/// `@I|>f+++++++++|123|name`
fn item(input: &[u8]) -> IResult<&[u8], Item> {
    let (input, _) = tag(ITEM_PREFIX).parse(input)?;
    let (input, change) = terminated(change, char('|')).parse(input)?;
    let (input, len) = terminated(number, char('|')).parse(input)?;
    let (input, name) = rest(input)?;
    Ok((input, Item { change, len, path: unescape(name) }))
}

fn change(input: &[u8]) -> IResult<&[u8], Change> {
    let eleven = take_while_m_n(3, 64, |byte| byte != b'|');
    map_opt(eleven, |word: &[u8]| {
        let new = word.get(2) == Some(&b'+');
        match word.first()? {
            b'>' | b'<' => Some(Change::Received { new }),
            b'c' => Some(Change::Created),
            b'h' => Some(Change::Linked),
            b'.' => Some(Change::Attributes),
            b'*' if word.starts_with(b"*deleting") => Some(Change::Deleted),
            b'*' => Some(Change::Message),
            _ => None,
        }
    })
    .parse(input)
}

/// `     32,768  50%    1.23MB/s    0:00:12 (xfr#3, to-chk=12/34)`
fn progress(input: &[u8]) -> IResult<&[u8], Progress> {
    let (input, bytes) = preceded(space0, number).parse(input)?;
    let (input, percent) = delimited(space1, small, char('%')).parse(input)?;
    let (input, rate) = preceded(space1, rate).parse(input)?;
    let (input, time) = preceded(space1, time).parse(input)?;
    let (input, counts) = opt(preceded(space1, counts)).parse(input)?;
    let (input, _) = space0(input)?;
    let (files, to_check) = counts.unzip();
    Ok((input, Progress { bytes, percent, rate, time, files, to_check }))
}

fn small(input: &[u8]) -> IResult<&[u8], u8> {
    map_opt(number, |value| u8::try_from(value).ok().filter(|value| *value <= 100)).parse(input)
}

/// `1.23MB/s`, in bytes a second.
fn rate(input: &[u8]) -> IResult<&[u8], u64> {
    let unit = alt((
        tag("kB/s").map(|_| 1_u64 << 10),
        tag("MB/s").map(|_| 1 << 20),
        tag("GB/s").map(|_| 1 << 30),
    ));
    let hundredths = map_opt(preceded(char('.'), take_while_m_n(2, 2, is_digit)), decimal);
    map_opt((number, hundredths, unit), |(whole, hundredths, unit)| {
        let parts = whole.checked_mul(100)?.checked_add(hundredths)?;
        Some(parts.checked_mul(unit)? / 100)
    })
    .parse(input)
}

/// `123:04:05`
fn time(input: &[u8]) -> IResult<&[u8], Duration> {
    let two = |input| map_opt(take_while_m_n(2, 2, is_digit), decimal).parse(input);
    let parts = (terminated(number, char(':')), terminated(two, char(':')), two);
    map_opt(parts, |(hours, minutes, seconds)| {
        let hours = hours.checked_mul(3600)?;
        Some(Duration::from_secs(hours.checked_add(minutes * 60 + seconds)?))
    })
    .parse(input)
}

/// `(xfr#3, to-chk=12/34)`, or `ir-chk` while the list still grows.
fn counts(input: &[u8]) -> IResult<&[u8], (u64, (u64, u64))> {
    let kind = alt((tag("to-chk="), tag("ir-chk=")));
    let inner = separated_pair(
        preceded(tag("xfr#"), number),
        tag(", "),
        preceded(kind, separated_pair(number, char('/'), number)),
    );
    delimited(char('('), inner, char(')')).parse(input)
}

/// `Number of files: 5 (reg: 3, dir: 2)`
fn stat(input: &[u8]) -> IResult<&[u8], (Stat, u64)> {
    for (name, stat) in STATS {
        if let Some(value) = input.strip_prefix(name.as_bytes()) {
            return number.map(|value| (stat, value)).parse(value);
        }
    }
    Err(nom::Err::Error(nom::error::make_error(input, nom::error::ErrorKind::Tag)))
}

/// Digits, with or without commas between them.
fn number(input: &[u8]) -> IResult<&[u8], u64> {
    let inside = |at: usize| {
        let digit = |at: usize| input.get(at).is_some_and(u8::is_ascii_digit);
        digit(at) || (at > 0 && input.get(at) == Some(&b',') && digit(at + 1))
    };
    let end = (0..input.len()).find(|at| !inside(*at)).unwrap_or(input.len());
    map_opt(take(end), |digits: &[u8]| decimal(digits).filter(|_| !digits.is_empty())).parse(input)
}

const fn is_digit(byte: u8) -> bool {
    byte.is_ascii_digit()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let digits = digits.iter().filter(|byte| **byte != b',');
    digits.copied().try_fold(0_u64, |value, digit| {
        value.checked_mul(10)?.checked_add(u64::from(digit.checked_sub(b'0')?))
    })
}

/// The bytes of a name. What only looks like an escape stands for itself.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut left = name;
    while let Some((&first, more)) = left.split_first() {
        match octal(left) {
            Some((byte, after)) => {
                bytes.push(byte);
                left = after;
            }
            None => {
                bytes.push(first);
                left = more;
            }
        }
    }
    bytes
}

/// `\#012`
fn octal(input: &[u8]) -> Option<(u8, &[u8])> {
    let [b'\\', b'#', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', left @ ..] = input else {
        return None;
    };
    Some(((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), left))
}

#[cfg(test)]
mod tests;
