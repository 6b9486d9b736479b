//! Asking the kernel again where it could not answer this time.

use std::io;
use std::thread;
use std::time::Duration;

/// How long to wait before the second try, and before the third and last one. A takeover has a second.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(25)];

/// Does something, and again if the kernel was out of memory, was interrupted, or its answer was lost.
pub(super) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for pause in PAUSES {
        match attempt() {
            Err(error) if passes(&error) => thread::sleep(pause),
            outcome => return outcome,
        }
    }
    attempt()
}

/// The same for many things at once: those that failed so are tried again, and no others.
///
/// What was done although its answer was lost is found done the next time.
pub(super) fn each_patiently<T: Clone>(
    items: &[T],
    mut attempt: impl FnMut(&[T]) -> io::Result<Vec<io::Result<()>>>,
) -> io::Result<Vec<io::Result<()>>> {
    let mut results = patiently(|| attempt(items))?;
    for pause in PAUSES {
        let failed = |(_, result): &(&T, &mut io::Result<()>)| result.as_ref().is_err_and(passes);
        let (again, places): (Vec<T>, Vec<_>) = items
            .iter()
            .zip(&mut results)
            .filter(failed)
            .map(|(item, place)| (item.clone(), place))
            .unzip();
        if again.is_empty() {
            break;
        }
        thread::sleep(pause);
        let outcomes = patiently(|| attempt(&again))?;
        places.into_iter().zip(outcomes).for_each(|(place, outcome)| *place = outcome);
    }
    Ok(results)
}

/// Whether an error says nothing about the next try.
fn passes(error: &io::Error) -> bool {
    let kinds = [
        io::ErrorKind::Interrupted,
        io::ErrorKind::WouldBlock,
        io::ErrorKind::TimedOut,
        io::ErrorKind::OutOfMemory,
    ];
    kinds.contains(&error.kind()) || error.raw_os_error() == Some(libc::ENOBUFS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: i32) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }

    #[test]
    fn what_may_pass_is_tried_three_times_and_nothing_else_is() {
        let passing = [libc::EINTR, libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM, libc::ETIMEDOUT];
        let lasting = [libc::EPERM, libc::EACCES, libc::ENODEV, libc::EEXIST, libc::EINVAL];
        for (errnos, expected) in [(passing, 3), (lasting, 1)] {
            for errno in errnos {
                let mut tries = 0;
                let outcome: io::Result<()> = patiently(|| {
                    tries += 1;
                    Err(error(errno))
                });
                assert_eq!((outcome.unwrap_err().raw_os_error(), tries), (Some(errno), expected));
            }
        }
    }

    #[test]
    fn only_what_failed_is_tried_again() {
        let mut asked = Vec::new();
        let results = each_patiently(&[1, 2, 3], |items| {
            asked.push(items.to_vec());
            let first = asked.len() == 1;
            let answer = |item: &i32| match item {
                2 if first => Err(error(libc::ENOBUFS)),
                3 => Err(error(libc::EEXIST)),
                _ => Ok(()),
            };
            Ok(items.iter().map(answer).collect())
        });
        assert_eq!(asked, [vec![1, 2, 3], vec![2]]);
        let errnos = |results: Vec<io::Result<()>>| {
            let errno = |result: io::Result<()>| result.err().and_then(|it| it.raw_os_error());
            results.into_iter().map(errno).collect::<Vec<_>>()
        };
        assert_eq!(errnos(results.unwrap()), [None, None, Some(libc::EEXIST)]);
    }
}
