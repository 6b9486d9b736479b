//! What a node says of its routers.

use carp_proto::election::{Fault, State};

use super::Node;
use super::gateway::Gateway;
use super::neighbours::lost;
use crate::backend::{Backend, Clock, PacketIo};
use crate::control::proto::{GatewayStatus, RouterIdentity, RouterStatus};
use crate::control::units::WallTime;

impl<B: Backend> Node<B> {
    pub(super) fn status(&self) -> Vec<RouterStatus> {
        let (now, wall) = (self.clock.now(), WallTime::now());
        let status = |(index, member): (usize, &crate::driver::Member)| {
            let config = member.router.config();
            let identity = RouterIdentity {
                name: member.name.to_string(),
                protocol: config.protocol(),
                id: config.id(),
                interface: member.interface.to_string(),
                addresses: config.addresses().iter().map(ToString::to_string).collect(),
            };
            let snapshot = member.router.snapshot(now);
            let mut status = RouterStatus::new(identity, &snapshot, now, wall);
            // Where there is no link, whatever else failed did so for want of it, but for an address that
            // could not be taken away.
            status.fault = match snapshot.fault {
                Some(Fault::Release { .. }) => None,
                _ if snapshot.state == State::Init => self.link_fault(index, snapshot.link),
                _ => None,
            };
            // It is also why a takeover is put off.
            let gateway = member.gateway.filter(Gateway::is_lost).map(|it| lost(it.address()));
            status.fault = status.fault.or(gateway);
            let own = || snapshot.fault.map(|fault| member.fault_words(fault));
            status.fault = status.fault.or_else(own).or_else(|| member.send_fault.clone());
            status.fault = status.fault.or_else(|| member.contest.fault(&member.place.interface));
            status.last_removal = member.contest.status(now, wall);
            status.gateway = member.gateway.map(|gateway| GatewayStatus {
                address: gateway.address(),
                answers: !gateway.is_lost(),
            });
            let packets = self.ports[member.port].packets.as_ref();
            status.counters.kernel_dropped = packets.map_or(0, PacketIo::kernel_dropped);
            status.address_interface = Some(member.place.interface.clone());
            status.lease_ms = member.renewals.in_force().map(|lease| lease.time().into());
            member.probe.show(now, &mut status);
            status.mac = member.place.mac.or(member.advert_mac).map(|mac| mac.to_string());
            status
        };
        self.members.iter().enumerate().map(status).collect()
    }
}
