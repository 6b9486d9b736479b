//! What the argument of `carp decode` names.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use carp_node::capture::{hex, is_capture};

use crate::exit::Failure;

/// How much of a stream is looked at: no capture and no packet in hex is shorter.
const HEAD: u64 = 16;

/// The head of a stream, and the stream.
pub(super) type Stream = io::Chain<Cursor<Vec<u8>>, Box<dyn Read>>;

/// Where packets come from.
pub(super) enum Source {
    /// A capture.
    Capture { name: String, stream: Stream },
    /// Text with hex in it.
    Text { name: String, stream: Stream },
    /// Hex that was typed.
    Hex(Vec<u8>),
}

impl Source {
    /// "-" is stdin. A file that exists wins over hex.
    pub(super) fn open(input: &OsStr) -> Result<Self, Failure> {
        if input == "-" {
            return Self::of_stream("stdin".to_owned(), Box::new(io::stdin()));
        }
        let path = Path::new(input);
        let name = path.display().to_string();
        match File::open(path) {
            Ok(file) => Self::of_stream(name, Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::of_hex(input),
            // Hex can be longer than the name of any file.
            Err(error) if error.kind() == io::ErrorKind::InvalidFilename => Self::of_hex(input),
            Err(error) => Err(Failure::failed(format!("{name} cannot be read: {error}"))),
        }
    }

    fn of_hex(input: &OsStr) -> Result<Self, Failure> {
        let text = input.to_string_lossy();
        match hex::bytes(&text) {
            Ok(bytes) => Ok(Self::Hex(bytes)),
            Err(error) => {
                let shown: String = text.chars().take(60).collect();
                let more = if shown.len() < text.len() { "…" } else { "" };
                let message = format!("there is no file {shown}{more}, and it is not hex: {error}");
                Err(Failure::failed(message).with_help(
                    "give a pcap or pcapng file, \"-\" for stdin, or pairs of hex digits",
                ))
            }
        }
    }

    /// Looks at the first bytes, and decides by them.
    fn of_stream(name: String, mut stream: Box<dyn Read>) -> Result<Self, Failure> {
        let mut head = Vec::new();
        let read = stream.by_ref().take(HEAD).read_to_end(&mut head);
        read.map_err(|error| Failure::failed(format!("{name} cannot be read: {error}")))?;
        let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        let packed = match head[..] {
            [0x1f, 0x8b, ..] => Some("gunzip -c"),
            [0x28, 0xb5, 0x2f, 0xfd] => Some("zstd -dc"),
            [0xfd, b'7', b'z', b'X'] => Some("xz -dc"),
            _ => None,
        };
        if let Some(program) = packed {
            return Err(Failure::failed(format!("{name} is compressed"))
                .with_help(format!("{program} FILE | carp decode -")));
        }
        let capture = is_capture(&head);
        if head.is_empty() {
            Err(Failure::failed(format!("{name} is empty")))
        } else if !capture && !head.iter().all(is_text) {
            Err(Failure::failed(format!("{name} is neither a pcap nor a pcapng capture, nor hex"))
                .with_help("tcpdump -w FILE and Wireshark write what can be read"))
        } else {
            let stream = Cursor::new(head).chain(stream);
            Ok(if capture { Self::Capture { name, stream } } else { Self::Text { name, stream } })
        }
    }
}
