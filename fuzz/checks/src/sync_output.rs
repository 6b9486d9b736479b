//! Reading what rsync prints is total, and says the same in whatever pieces it comes; names that rsync escapes are
//! read as the bytes that they are.

use carp_node::sync::rsync::command::ITEM_PREFIX;
use carp_node::sync::rsync::exit::{Outcome, Status};
use carp_node::sync::rsync::output::{Item, LINE_LEN, Line, Reader};

/// Panics if these bytes show that something is wrong. The first one says how long the pieces are.
pub fn check(input: &[u8]) {
    let Some((&len, stream)) = input.split_first() else { return };
    let at_once = read(stream.chunks(stream.len().max(1)));
    assert_eq!(read(stream.chunks(usize::from(len).max(1))), at_once);
    let ends = stream.iter().filter(|byte| [b'\n', b'\r'].contains(byte)).count();
    assert!(at_once.len() <= ends + 1);
    at_once.iter().for_each(looked_at);
    // The end of its errors says why it failed, and there is a next step for all of it.
    for code in 0..=255 {
        let outcome = Outcome::of(Status::Code(code), stream);
        assert_eq!(outcome == Outcome::Complete, code == 0);
        let _ = outcome.next();
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Line> {
    let (mut reader, mut lines) = (Reader::default(), Vec::new());
    pieces.for_each(|piece| reader.push(piece, |line| lines.push(line)));
    reader.finish(|line| lines.push(line));
    lines
}

fn looked_at(line: &Line) {
    match line {
        Line::Item(item) => {
            let again = [ITEM_PREFIX, &format!(">f+++++++++|{}|", item.len)].concat();
            match Line::parse(&[again.as_bytes(), &escaped(&item.path)].concat()) {
                Line::Item(Item { len, path, .. }) => {
                    assert_eq!((len, &path), (item.len, &item.path));
                }
                other => panic!("{other:?} of {item:?}"),
            }
        }
        Line::Progress(progress) => assert!(progress.percent <= 100),
        Line::Stat(_, _) => {}
        Line::Other(text) => {
            assert!(text.iter().any(|byte| !byte.is_ascii_whitespace()) && text.len() <= LINE_LEN);
        }
        line => panic!("nothing is known of {line:?}"),
    }
}

/// A name as rsync prints it: what is not printable, and a backslash that would look like an escape.
fn escaped(name: &[u8]) -> Vec<u8> {
    let escape = |byte: &u8| match byte {
        b' '..=b'[' | b']'..=b'~' => vec![*byte],
        _ => format!("\\#{byte:03o}").into_bytes(),
    };
    name.iter().flat_map(escape).collect()
}
