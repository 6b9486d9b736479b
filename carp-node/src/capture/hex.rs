//! Hex: as it is typed, and as programs dump it.
//!
//! A dump has an offset at the start of each line and perhaps the same bytes as ASCII at its end:
//!
//! ```text
//! 08:43:47.222603 IP 10.99.0.1 > 224.0.0.18: VRRPv2, Advertisement, …       tcpdump -x, -X
//!         0x0000:  4510 0038 842a 4000 ff70 0ca5 0a63 0001
//! 00000000: 4510 0038 842a 4000 ff70 0ca5 0a63 0001  E..8.*@..p...c..            xxd
//! 00000000  45 10 00 38 84 2a 40 00  ff 70 0c a5 0a 63 00 01  |E..8.*@..p...c..|  hexdump -C
//! 000000 45 10 00 38 84 2a 40 00 ff 70 0c a5 0a 63 00 01                        od -Ax -tx1
//! 0000   45 10 00 38 84 2a 40 00 ff 70 0c a5 0a 63 00 01   E..8.*@..p...c..      Wireshark
//! ```
//!
//! An offset of zero begins a packet. Where the hex ends and the ASCII begins is known from the offset
//! of the next line, and on a packet's last line from the gap between the two.

use std::io::{self, BufRead, BufReader, Read};
use std::mem;

use thiserror::Error;

use super::MAX_FRAME;

/// The longest line: a whole frame in hex, generously spaced.
const MAX_LINE: usize = 4 * MAX_FRAME;

/// Why text is no hex.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HexError {
    /// A line is wrong.
    #[error("line {line}: {error}")]
    Line {
        /// Its number, from 1 on.
        line: u64,
        /// What is wrong.
        error: Problem,
    },
    /// No line is hex.
    #[error("there is no hex in it: {shown:?} is neither hex nor a line of a hex dump")]
    None {
        /// The beginning of the first line.
        shown: String,
    },
    /// There is nothing but white space.
    #[error("there is nothing in it")]
    Blank,
    /// The operating system refused.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// What is wrong with hex.
#[derive(Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Problem {
    /// No digit.
    #[error("there is nothing")]
    Nothing,
    /// A character that is no digit.
    #[error("{0:?} is not a hex digit")]
    Digit(char),
    /// Half a byte.
    #[error("{0:?} has an odd number of digits")]
    Odd(String),
    /// A line of a dump that does not follow the one before.
    #[error("the offset is {found:#x} where {expected:#x} was expected")]
    Offset {
        /// The offset that was found.
        found: usize,
        /// How many bytes were there before.
        expected: usize,
    },
    /// No frame is so long.
    #[error("more than {MAX_FRAME} bytes")]
    TooLong,
    /// It is not UTF-8.
    #[error("this is no text")]
    NotText,
}

/// The bytes of hex without offsets: pairs of digits, between them white space, colons, `0x`.
///
/// # Errors
/// [`Problem::Nothing`], [`Problem::Digit`] or [`Problem::Odd`].
pub fn bytes(text: &str) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let words = text.split(|c: char| c.is_ascii_whitespace() || c == ':');
    for word in words.filter(|word| !word.is_empty()) {
        bytes.extend(word_bytes(word)?);
    }
    if bytes.is_empty() { Err(Problem::Nothing) } else { Ok(bytes) }
}

fn word_bytes(word: &str) -> Result<Vec<u8>, Problem> {
    let digits = word.strip_prefix("0x").or(word.strip_prefix("0X")).unwrap_or(word);
    if let Some(strange) = digits.chars().find(|c| !c.is_ascii_hexdigit()) {
        return Err(Problem::Digit(strange));
    }
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return Err(Problem::Odd(word.to_owned()));
    }
    let value = |digit: u8| char::from(digit).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let pair = |pair: &[u8]| pair.iter().fold(0, |byte, &it| byte << 4 | value(it).unwrap_or(0));
    Ok(digits.as_bytes().chunks(2).map(pair).collect())
}

/// Reads packets from text, one at a time.
#[derive(Debug)]
pub struct Dump<R> {
    lines: BufReader<R>,
    line: u64,
    form: Form,
    packet: Vec<u8>,
    /// How much of the packet is certain: in a dump, what lies before the last line.
    certain: usize,
    /// The first line that is neither hex nor part of a dump.
    prose: Option<(u64, String, Problem)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Neither was seen so far.
    Open,
    /// Hex only, in packets with empty lines between them.
    Plain,
    /// Lines with offsets; others are not looked at.
    Dump,
}

impl<R: Read> Dump<R> {
    /// Reads from this stream.
    pub fn new(stream: R) -> Self {
        Self {
            lines: BufReader::new(stream),
            line: 0,
            form: Form::Open,
            packet: Vec::new(),
            certain: 0,
            prose: None,
        }
    }

    /// The next packet; `None` at the end. After an error there is no other.
    ///
    /// # Errors
    /// [`HexError`] says which line is wrong, or why there is nothing.
    pub fn next_packet(&mut self) -> Result<Option<Vec<u8>>, HexError> {
        while let Some(text) = self.next_line()? {
            if let Some(packet) = self.read(&text)? {
                return Ok(Some(packet));
            }
        }
        if self.form == Form::Open {
            return Err(match self.prose.take() {
                Some((_, shown, _)) => HexError::None { shown },
                None => HexError::Blank,
            });
        }
        Ok(self.finish())
    }

    fn next_line(&mut self) -> Result<Option<String>, HexError> {
        let mut line = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        self.lines.by_ref().take(limit).read_until(b'\n', &mut line)?;
        self.line += 1;
        match line.len() {
            0 => Ok(None),
            MAX_LINE => Err(self.wrong(Problem::TooLong)),
            _ => String::from_utf8(line).map(Some).map_err(|_| self.wrong(Problem::NotText)),
        }
    }

    const fn wrong(&self, error: Problem) -> HexError {
        HexError::Line { line: self.line, error }
    }

    /// Takes a line in. Returns the packet before it, if that ends here.
    fn read(&mut self, text: &str) -> Result<Option<Vec<u8>>, HexError> {
        let text = text.trim();
        if self.form != Form::Plain
            && let Some((offset, rest)) = split_offset(text, self.form == Form::Open)
        {
            return self.read_dumped(offset, rest).map_err(|problem| self.wrong(problem));
        }
        if text.is_empty() || self.form == Form::Dump {
            return Ok(self.finish());
        }
        match (bytes(text), self.prose.take()) {
            (Ok(_), Some((line, _, error))) => return Err(HexError::Line { line, error }),
            (Ok(more), None) => {
                self.form = Form::Plain;
                self.append(&more).map_err(|problem| self.wrong(problem))?;
            }
            (Err(problem), _) if self.form == Form::Plain => return Err(self.wrong(problem)),
            (Err(problem), earlier) => {
                let shown = text.chars().take(40).collect();
                self.prose = earlier.or(Some((self.line, shown, problem)));
            }
        }
        Ok(None)
    }

    fn read_dumped(&mut self, offset: usize, rest: &str) -> Result<Option<Vec<u8>>, Problem> {
        self.form = Form::Dump;
        let done = if offset == 0 { self.finish() } else { None };
        // What the line before has beyond this offset was its ASCII.
        if offset < self.certain || offset > self.packet.len() {
            return Err(Problem::Offset { found: offset, expected: self.packet.len() });
        }
        self.packet.truncate(offset);
        self.certain = offset;
        self.append(&dumped(rest))?;
        Ok(done)
    }

    fn append(&mut self, more: &[u8]) -> Result<(), Problem> {
        if self.packet.len() + more.len() > MAX_FRAME {
            return Err(Problem::TooLong);
        }
        self.packet.extend_from_slice(more);
        Ok(())
    }

    fn finish(&mut self) -> Option<Vec<u8>> {
        self.certain = 0;
        let packet = mem::take(&mut self.packet);
        (!packet.is_empty()).then_some(packet)
    }
}

/// The offset at the start of a line of a dump, and the rest of the line. The `first` line of all has
/// to have the offset zero: plain hex can look like a line of a dump.
fn split_offset(line: &str, first: bool) -> Option<(usize, &str)> {
    let line = line.strip_prefix("0x").unwrap_or(line);
    let end = line.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(line.len());
    let (digits, rest) = line.split_at(end);
    if digits.len() < 4 || digits.len() > 8 {
        return None;
    }
    let offset = usize::from_str_radix(digits, 16).ok().filter(|&it| it == 0 || !first)?;
    let marked = rest.strip_prefix(':').filter(|rest| rest.starts_with([' ', '\t']));
    let spaced = rest.starts_with("  ") || (digits.len() > 4 && rest.starts_with(' '));
    match marked {
        Some(rest) => Some((offset, rest)),
        None if spaced || (rest.is_empty() && !first) => Some((offset, rest)),
        None => None,
    }
}

/// The bytes of a line of a dump, after its offset: words of hex, up to a gap. `hexdump -C` has a gap
/// after eight bytes too.
fn dumped(rest: &str) -> Vec<u8> {
    let rest = rest.split('|').next().unwrap_or(rest).trim_start();
    let mut bytes = Vec::new();
    let mut gap = false;
    for word in rest.split(' ') {
        if word.is_empty() {
            gap = true;
            continue;
        }
        let halfway = bytes.len() == 8 && word.len() == 2;
        match word_bytes(word) {
            Ok(more) if !gap || halfway => bytes.extend(more),
            _ => break,
        }
        gap = false;
    }
    bytes
}
