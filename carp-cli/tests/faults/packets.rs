//! Packets that must change nothing (chapter C).
//!
//! The bad adverts are those of carp-proto's own tests: an excellent advert but for one thing, which the
//! label in the status tells. Whoever acted on one would give way at once, or wait for its sender.

mod flood;
mod pair;
mod reflected;
mod rejected;

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[
    ("f45_rejected_adverts_make_no_router_late", rejected::no_router_is_late),
    ("f46_a_flood_of_adverts_moves_no_address", flood::no_address_moves),
    ("f48_own_adverts_that_come_back_change_nothing_in_carp", reflected::in_carp),
    ("f48_own_adverts_that_come_back_change_nothing_in_vrrp", reflected::in_vrrp),
];
