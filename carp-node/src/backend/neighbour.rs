//! What neighbours say of addresses: ARP, and neighbour discovery.

use std::net::IpAddr;

use carp_proto::MacAddr;

/// "This address is at this link-layer address."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The address.
    pub address: IpAddr,
    /// Where it is; `None` if an answer does not say so, which IPv6 allows.
    pub mac: Option<MacAddr>,
    /// On what occasion it is said.
    pub saying: Saying,
}

/// On what occasion a neighbour says where an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// It tells everybody: gratuitous ARP, or a neighbour advertisement without a question. In IPv6 that is
    /// also how a question that came from nowhere is answered.
    Announced,
    /// It asks for another address, and says by the way that it has this one.
    Asking,
    /// It answers a question that came from this address; from the unspecified one, if the question came
    /// from nowhere.
    Answered(IpAddr),
}

/// What of that which neighbours say is of use. The less it is, the seldomer somebody is woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Somebody has asked and waits for answers.
    pub for_answers: bool,
    /// One of our routers has its addresses: another host that uses them is news.
    pub for_use: bool,
}
