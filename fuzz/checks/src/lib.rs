//! What the fuzz targets hold the code to, as ordinary functions: each takes any bytes, and panics if something
//! is wrong. The targets in `fuzz/` call them with what libFuzzer makes up; `tests/corpus.rs` calls them with
//! what is committed, on any toolchain. A target names its own function alone: after every input libFuzzer looks
//! at all code that is linked.
//!
//! Where a checksum, a digest or a signature stands in the way of what a fuzzer can reach, an input counts twice:
//! as it came, and [mended](carp_proto::testing::Peers::mend). Nothing is ever switched off.

pub mod arp_parse;
pub mod carp_parse;
pub mod config;
pub mod control;
pub mod decode;
pub mod device_alias;
pub mod hex;
pub mod ip_strip;
pub mod lan;
pub mod ndp_parse;
pub mod round_trip;
pub mod router;
pub mod runner_wire;
pub mod scenario;
pub mod state;
pub mod sync_names;
pub mod sync_output;
pub mod sync_pattern;
pub mod sync_record;
pub mod sync_version;
pub mod vrrp_parse;

/// A check: it panics if something is wrong.
pub type Check = fn(&[u8]);

/// Every target by its name, which is that of its file in `fuzz/fuzz_targets` and of its directory in
/// `fuzz/corpus`.
pub const TARGETS: [(&str, Check); 21] = [
    ("arp_parse", arp_parse::check),
    ("carp_parse", carp_parse::check),
    ("config", config::check),
    ("control", control::check),
    ("decode", decode::check),
    ("device_alias", device_alias::check),
    ("hex", hex::check),
    ("ip_strip", ip_strip::check),
    ("lan", lan::check),
    ("ndp_parse", ndp_parse::check),
    ("round_trip", round_trip::check),
    ("router_sequence", router::check),
    ("runner_wire", runner_wire::check),
    ("scenario", scenario::check),
    ("state", state::check),
    ("sync_names", sync_names::check),
    ("sync_output", sync_output::check),
    ("sync_pattern", sync_pattern::check),
    ("sync_record", sync_record::check),
    ("sync_version", sync_version::check),
    ("vrrp_parse", vrrp_parse::check),
];
