//! What the kernel drops while more comes than we can handle: what is certainly rejected.
//!
//! In quiet times it drops other ids only, and every reject is counted. But when the queue of a socket has
//! overflowed, valid adverts are lost among the bad ones. For a while the filter then also looks at what is
//! cheap to look at: version and type, TTL, source. It never drops what a router may accept.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use carp_proto::{Instant, Protocol};
use socket2::{SockFilter, SockRef};

use super::filter::{LONGEST, whole_ipv4};
use super::sys;
use crate::backend::Wanted;
use crate::bpf::{
    ALL, JUMP_AT_LEAST, JUMP_EQUAL, LOAD_BYTE_ABSOLUTE, LOAD_BYTE_INDEXED, LOAD_WORD_ABSOLUTE,
    RETURN,
};
use crate::clock::boot_time;

/// For how long, before it is tried again without.
const WHILE: Duration = Duration::from_secs(10);

/// Of a router that hears more sources than this, the source is not looked at: the program would be too
/// long for its jumps.
const SOURCES: usize = 16;

/// Where a filter finds the network header, whatever the socket sees.
const NETWORK_HEADER: u32 = libc::SKF_NET_OFF.cast_unsigned();

/// The filters of a socket, and which one it has.
#[derive(Debug)]
pub(super) struct Sieve {
    usual: Vec<SockFilter>,
    thin: Vec<SockFilter>,
    /// What the kernel had dropped for want of room when that was looked at last.
    dropped: u64,
    until: Option<Instant>,
}

impl Sieve {
    /// For a socket that has the usual filter. If `thin` is empty, it keeps that.
    pub(super) fn new(usual: Vec<SockFilter>, thin: Vec<SockFilter>) -> Self {
        Self { usual, thin, dropped: 0, until: None }
    }

    /// The queue was long: if it has overflowed since it was last, bad packets are thinned out.
    pub(super) fn note_long_queue(&mut self, socket: &OwnedFd) {
        let dropped = sys::dropped(socket.as_fd()).unwrap_or(self.dropped);
        let overflowed = dropped > self.dropped;
        self.dropped = dropped;
        if overflowed && !self.thin.is_empty() && self.until.is_none() {
            // If the kernel has no memory for it, the next long queue asks again.
            let thin = SockRef::from(socket).attach_filter(&self.thin);
            self.until = thin.ok().map(|()| boot_time() + WHILE);
        }
    }

    /// Goes back to the usual filter when it is time to. Costs nothing in quiet times.
    pub(super) fn review(&mut self, socket: &OwnedFd) {
        if self.until.is_some_and(|until| boot_time() >= until)
            && SockRef::from(socket).attach_filter(&self.usual).is_ok()
        {
            self.until = None;
        }
    }
}

/// For a raw IPv4 socket: whole datagrams that one of these routers may accept.
pub(super) fn wanted_ipv4(wanted: &[Wanted]) -> Vec<SockFilter> {
    const TTL: u32 = 8;
    const SOURCE: u32 = 12;
    let source = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => Some(vec![(SOURCE, ip.to_bits())]),
        IpAddr::V6(_) => None,
    };
    let of = |wanted: &Wanted| router(wanted, LOAD_BYTE_INDEXED, TTL, source);
    program(whole_ipv4, wanted, of)
}

/// The same for a raw IPv6 socket, which sees what follows the headers.
pub(super) fn wanted_ipv6(wanted: &[Wanted]) -> Vec<SockFilter> {
    const HOP_LIMIT: u32 = NETWORK_HEADER + 7;
    const SOURCE: u32 = NETWORK_HEADER + 8;
    let source = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => {
            let words = ip.octets();
            let words = words.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
            Some((SOURCE..).step_by(4).zip(words).collect())
        }
    };
    let of = |wanted: &Wanted| router(wanted, LOAD_BYTE_ABSOLUTE, HOP_LIMIT, source);
    program(Vec::new, wanted, of)
}

/// The program for these routers; where there are too many of them, one that does not look at the source, and
/// where that is too long as well, none.
fn program(
    begin: fn() -> Vec<SockFilter>,
    wanted: &[Wanted],
    of: impl Fn(&Wanted) -> Vec<SockFilter>,
) -> Vec<SockFilter> {
    if wanted.is_empty() {
        return Vec::new();
    }
    let drop = || SockFilter::new(RETURN, 0, 0, 0);
    let all = |wanted: &[Wanted]| -> Vec<SockFilter> {
        let routers = wanted.iter().flat_map(&of);
        begin().into_iter().chain(routers).chain([drop()]).collect()
    };
    let program = all(wanted);
    if program.len() <= LONGEST {
        return program;
    }
    let anybody = |wanted: &Wanted| Wanted { sources: Vec::new(), ..wanted.clone() };
    let program = all(&wanted.iter().map(anybody).collect::<Vec<_>>());
    if program.len() <= LONGEST { program } else { Vec::new() }
}

/// Keeps what a router may accept, and goes on behind with all else. `load` finds bytes of the message; a
/// source is told by words and where they are.
fn router(
    wanted: &Wanted,
    load: u16,
    ttl: u32,
    source: impl Fn(&IpAddr) -> Option<Vec<(u32, u32)>>,
) -> Vec<SockFilter> {
    const VERSION_TYPE: u32 = 0;
    const ID: u32 = 1;
    let version_type = match wanted.protocol {
        Protocol::Carp | Protocol::Vrrp2 => 0x21,
        Protocol::Vrrp3 => 0x31,
    };
    let keep = || vec![SockFilter::new(RETURN, 0, 0, ALL)];
    let mut kept = Vec::new();
    if wanted.sources.is_empty() || wanted.sources.len() > SOURCES {
        kept = keep();
    } else {
        for words in wanted.sources.iter().filter_map(source) {
            let tests = words.into_iter().map(|(place, word)| Test {
                load: SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, place),
                jump: JUMP_EQUAL,
                value: word,
            });
            kept.extend(all(tests.collect(), keep()));
        }
    }
    let byte = |load, place, jump, value: u8| Test {
        load: SockFilter::new(load, 0, 0, place),
        jump,
        value: value.into(),
    };
    let tests = [
        byte(load, ID, JUMP_EQUAL, wanted.id.get()),
        byte(load, VERSION_TYPE, JUMP_EQUAL, version_type),
        byte(LOAD_BYTE_ABSOLUTE, ttl, JUMP_AT_LEAST, wanted.min_ttl),
    ];
    all(tests.into(), kept)
}

/// Something to load, and how it has to compare.
struct Test {
    load: SockFilter,
    jump: u16,
    value: u32,
}

/// What is done if all tests hold; else what is behind it is.
fn all(tests: Vec<Test>, then: Vec<SockFilter>) -> Vec<SockFilter> {
    tests.into_iter().rfold(then, |then, test| {
        // SOURCES sources make no longer program than a jump can skip.
        let skipped = u8::try_from(then.len()).unwrap_or(u8::MAX);
        let jump = SockFilter::new(test.jump, 0, skipped, test.value);
        [test.load, jump].into_iter().chain(then).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_many_routers_the_source_is_not_looked_at_and_of_more_nothing() {
        let of = |count: usize| -> Vec<Wanted> {
            let sources: Vec<IpAddr> =
                (0..16_u16).map(|last| [0xfe80, 0, 0, 0, 0, 0, 0, last].into()).collect();
            let ids = (1..=255).cycle().take(count);
            let wanted = |id| Wanted {
                id: carp_proto::VirtualId::new(id).unwrap(),
                protocol: Protocol::Vrrp3,
                min_ttl: 255,
                sources: sources.clone(),
            };
            ids.map(wanted).collect()
        };
        assert_eq!(wanted_ipv6(&of(27)).len(), 27 * (6 + 16 * 9) + 1);
        assert_eq!(wanted_ipv6(&of(28)).len(), 28 * 7 + 1);
        assert_eq!(wanted_ipv6(&of(585)).len(), 585 * 7 + 1);
        assert!(wanted_ipv6(&of(586)).is_empty());
    }

    #[test]
    fn the_longest_program_is_within_reach_of_its_jumps() {
        let sources = (0..16_u16).map(|last| [0xfe80, 0, 0, 0, 0, 0, 0, last].into()).collect();
        let id = carp_proto::VirtualId::new(1).unwrap();
        let wanted = Wanted { id, protocol: Protocol::Vrrp3, min_ttl: 255, sources };
        let program = wanted_ipv6(std::slice::from_ref(&wanted));
        assert_eq!(program.len(), 6 + 16 * 9 + 1);
        let more = Wanted { sources: [wanted.sources.clone(), wanted.sources].concat(), ..wanted };
        assert_eq!(wanted_ipv6(&[more]).len(), 6 + 1 + 1, "then the source is not looked at");
        assert!(wanted_ipv4(&[]).is_empty() && wanted_ipv6(&[]).is_empty());
    }
}
