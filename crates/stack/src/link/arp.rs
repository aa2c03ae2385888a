//! ARP (RFC 826) in and out, and what the neighbour cache's timers demand.
//!
//! `link/input` calls [`Network::arp_input`]; `link/output` and `transmit_segment` call [`Network::resolve`].

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use wire::arp::{ArpOperation, ArpPacket, PACKET_LEN};
use wire::ethernet::{EtherType, MIN_FRAME_LEN, MacAddr};

use super::InterfaceId;
use super::neighbors::{CONFIRMED_FOR, FAILED_LIFETIME, Forwarder, NeighborId, NeighborState};
use super::queue::Class;
use crate::Instant;
use crate::discard::Discard;
use crate::network::{Network, Notice, Timer};
use crate::timers::TimerId;

impl Network {
    /// An ARP packet arrived; `unicast` says that the frame was addressed to us alone.
    pub(crate) fn arp_input(&mut self, now: Instant, interface: InterfaceId, packet: &[u8], unicast: bool) {
        let Ok(packet) = ArpPacket::parse(packet) else { return self.discard(Discard::ArpMalformed) };
        let sender = packet.sender_ip;
        let implausible = sender.is_loopback() || sender.is_multicast() || sender.is_broadcast();
        if implausible || !packet.sender_mac.is_unicast() {
            return self.discard(Discard::ArpIgnored);
        }
        let Some(link) = self.interfaces.get(interface) else { return };
        let own_mac = link.capabilities.mac;
        if packet.sender_mac == own_mac {
            // Our own frame, led back by a hub or a bridge's loop.
            return self.discard(Discard::ArpIgnored);
        }
        if self.address_conflict(now, interface, &packet) {
            return;
        }
        let Some(link) = self.interfaces.get(interface) else { return };
        let for_us = link.has(IpAddr::V4(packet.target_ip));
        let on_link = link.usable().any(|cidr| cidr.contains(IpAddr::V4(sender)));
        let asks = packet.operation == ArpOperation::Request;
        if !sender.is_unspecified() {
            let solicited = !asks && unicast && packet.target_mac == own_mac;
            // RFC 826 "Packet Reception": a known sender is updated whatever the packet is about; an unknown one is
            // added only if the packet is for us.
            let learn = asks && for_us && on_link;
            self.learn(now, interface, IpAddr::V4(sender), packet.sender_mac, solicited, learn);
        }
        if asks && for_us {
            // RFC 5227 section 2.1.1: a probe, whose sender address is zero, is answered as any request.
            self.send_arp(interface, packet.sender_mac, &ArpPacket::reply(&packet, own_mac));
        }
    }

    /// Takes in that `address` has `mac`.
    fn learn(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        address: IpAddr,
        mac: MacAddr,
        solicited: bool,
        create: bool,
    ) {
        let id = match self.neighbors.find(interface, address) {
            Some(id) => id,
            None if create => match self.new_neighbor(now, interface, address) {
                Some(id) => id,
                None => return self.discard(Discard::ArpIgnored),
            },
            None => return self.discard(Discard::ArpIgnored),
        };
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        if entry.mac != mac && entry.state.has_mac() && !entry.accepts_change(now) {
            return self.discard(Discard::ArpIgnored);
        }
        let changed = entry.mac != mac || !entry.state.has_mac();
        match entry.state {
            NeighborState::Static => return,
            NeighborState::Incomplete | NeighborState::Failed => {
                entry.mac = mac;
                // RFC 4861 section 7.2.5: only an answer to our own question proves that the way there works.
                entry.state = NeighborState::Stale;
                entry.confirmed = now;
            }
            _ if changed => {
                entry.mac = mac;
                entry.state = NeighborState::Stale;
                entry.confirmed = now;
            }
            _ => {}
        }
        if solicited {
            entry.state = NeighborState::Reachable;
            entry.confirmed = now;
        }
        entry.failed = false;
        let deadline = match entry.state {
            NeighborState::Reachable => now + self.neighbors.config.reachable_time,
            NeighborState::Stale => now + self.neighbors.config.lifetime,
            // Being verified: the timer that is armed goes on.
            _ => self.timers.deadline(entry.timer),
        };
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        Self::arm(&mut self.timers, &mut entry.timer, deadline, Timer::Neighbor(id));
        if changed {
            self.changed();
        }
        self.release_pending(interface, id);
    }

    /// Sends what waited for the neighbour, in order, and tells the transports.
    fn release_pending(&mut self, interface: InterfaceId, id: NeighborId) {
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        let (mac, next_hop) = (entry.mac, entry.address);
        let pending = core::mem::take(&mut entry.pending);
        let awaited = core::mem::take(&mut entry.awaited);
        if let Some(link) = self.interfaces.get_mut(interface) {
            for mut frame in pending.into_frames() {
                link.pending.left(frame.len());
                link.write_link_header(mac, EtherType::IPV4, &mut frame);
                link.queues.push_admitted(frame, &mut self.queued);
            }
        }
        if awaited {
            self.notices.push_back(Notice::Resolved { interface, next_hop, reachable: true });
        }
    }

    fn new_neighbor(&mut self, now: Instant, interface: InterfaceId, address: IpAddr) -> Option<NeighborId> {
        if self.neighbors.is_full() {
            let victim = self.neighbors.victim()?;
            self.forget_neighbor(victim);
        }
        Some(self.neighbors.insert(now, interface, address))
    }

    /// The MAC of a next hop, if it is known. Otherwise the search for it is on from now.
    pub(crate) fn resolve(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        next_hop: IpAddr,
    ) -> Option<(NeighborId, Option<MacAddr>)> {
        let id = match self.neighbors.find(interface, next_hop) {
            Some(id) => id,
            None => self.new_neighbor(now, interface, next_hop)?,
        };
        let entry = self.neighbors.get_mut(id)?;
        match entry.state {
            NeighborState::Incomplete if entry.timer.is_none() => self.begin_search(now, id),
            NeighborState::Incomplete => {}
            NeighborState::Failed => {
                entry.state = NeighborState::Incomplete;
                entry.tries = 0;
                self.begin_search(now, id);
            }
            NeighborState::Stale => {
                // RFC 4861 section 7.3.3: the packet goes out at once; proof of reachability is sought afterwards.
                entry.state = NeighborState::Delay;
                let deadline = now + self.neighbors.config.delay_first_probe;
                let entry = self.neighbors.get_mut(id)?;
                Self::arm(&mut self.timers, &mut entry.timer, deadline, Timer::Neighbor(id));
            }
            _ => {}
        }
        let entry = self.neighbors.get(id)?;
        Some((id, entry.state.has_mac().then_some(entry.mac)))
    }

    fn begin_search(&mut self, now: Instant, id: NeighborId) {
        let Some(entry) = self.neighbors.get(id) else { return };
        let (interface, address) = (entry.interface, entry.address);
        let deadline = match self.neighbors.may_solicit(now, interface, address) {
            Ok(()) => {
                self.solicit(interface, address, MacAddr::BROADCAST);
                if let Some(entry) = self.neighbors.get_mut(id) {
                    entry.tries = 1;
                }
                now + self.neighbors.config.retry
            }
            Err(later) => later,
        };
        if let Some(entry) = self.neighbors.get_mut(id) {
            Self::arm(&mut self.timers, &mut entry.timer, deadline, Timer::Neighbor(id));
        }
    }

    /// A neighbour's timer rang.
    pub(crate) fn neighbor_timeout(&mut self, now: Instant, id: NeighborId) {
        let config = self.neighbors.config.clone();
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        entry.timer = TimerId::NONE;
        let (interface, address, mac) = (entry.interface, entry.address, entry.mac);
        let deadline = match entry.state {
            NeighborState::Static => return,
            NeighborState::Incomplete if entry.tries < config.tries => {
                entry.tries += 1;
                let _ = self.neighbors.may_solicit(now, interface, address);
                self.solicit(interface, address, MacAddr::BROADCAST);
                now + config.retry
            }
            NeighborState::Incomplete => return self.neighbor_failed(now, id),
            NeighborState::Reachable if now < entry.confirmed + config.reachable_time => {
                entry.confirmed + config.reachable_time
            }
            NeighborState::Reachable => {
                entry.state = NeighborState::Stale;
                let deadline = entry.confirmed + config.lifetime.max(config.reachable_time);
                self.changed();
                deadline
            }
            NeighborState::Delay if now < entry.confirmed + config.reachable_time => {
                entry.state = NeighborState::Reachable;
                entry.confirmed + config.reachable_time
            }
            NeighborState::Delay => {
                entry.state = NeighborState::Probe;
                entry.tries = 1;
                self.solicit(interface, address, mac);
                now + config.retry
            }
            NeighborState::Probe if entry.tries < config.tries => {
                entry.tries += 1;
                self.solicit(interface, address, mac);
                now + config.retry
            }
            NeighborState::Probe => return self.neighbor_failed(now, id),
            NeighborState::Stale | NeighborState::Failed => return self.forget_neighbor(id),
        };
        if let Some(entry) = self.neighbors.get_mut(id) {
            entry.timer = self.timers.insert(deadline.max(now + Duration::from_millis(1)), Timer::Neighbor(id));
        }
    }

    /// Nobody answered: what waited is lost, and who waits must know.
    fn neighbor_failed(&mut self, now: Instant, id: NeighborId) {
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        entry.state = NeighborState::Failed;
        entry.failed = true;
        entry.timer = self.timers.insert(now + FAILED_LIFETIME, Timer::Neighbor(id));
        let (interface, next_hop) = (entry.interface, entry.address);
        let pending = core::mem::take(&mut entry.pending);
        let awaited = core::mem::take(&mut entry.awaited);
        let header_len = self.interfaces.get(interface).map_or(0, |link| link.link_header_len());
        for mut frame in pending.into_frames() {
            self.discard(Discard::NeighborUnreachable);
            if let Some(link) = self.interfaces.get_mut(interface) {
                link.pending.left(frame.len());
            }
            frame.drain(..header_len.min(frame.len()));
            self.notices.push_back(Notice::Undeliverable(interface, frame));
        }
        if awaited {
            self.notices.push_back(Notice::Resolved { interface, next_hop, reachable: false });
        }
        self.changed();
    }

    /// Removes an entry with all that hangs on it.
    pub(crate) fn forget_neighbor(&mut self, id: NeighborId) {
        let Some(entry) = self.neighbors.remove(id) else { return };
        self.timers.cancel(entry.timer);
        for frame in entry.pending.into_frames() {
            self.discard(Discard::NeighborUnreachable);
            if let Some(link) = self.interfaces.get_mut(entry.interface) {
                link.pending.left(frame.len());
            }
            self.buffers.give_back(frame);
        }
        if entry.awaited {
            let notice = Notice::Resolved { interface: entry.interface, next_hop: entry.address, reachable: false };
            self.notices.push_back(notice);
        }
        self.changed();
    }

    /// Sets an entry by hand.
    pub(crate) fn set_static_neighbor(&mut self, now: Instant, interface: InterfaceId, address: IpAddr, mac: MacAddr) {
        let id = self.neighbors.find(interface, address);
        let Some(id) = id.or_else(|| self.new_neighbor(now, interface, address)) else { return };
        if let Some(entry) = self.neighbors.get_mut(id) {
            self.timers.cancel(entry.timer);
            entry.timer = TimerId::NONE;
            entry.mac = mac;
            entry.state = NeighborState::Static;
            entry.failed = false;
        }
        self.changed();
        self.release_pending(interface, id);
    }

    /// Forgets the neighbours of an interface, those set by hand only if `all`.
    pub(crate) fn clear_neighbors(&mut self, interface: InterfaceId, all: bool) {
        let gone: Vec<NeighborId> = self
            .neighbors
            .iter()
            .filter(|(_, entry)| entry.interface == interface && (all || entry.state != NeighborState::Static))
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.forget_neighbor(id);
        }
    }

    /// A transport made progress with `remote`: whoever forwards to it is alive (RFC 4861 section 7.3.1).
    #[inline(always)]
    pub(crate) fn confirm_reachable(&mut self, now: Instant, interface: InterfaceId, remote: IpAddr) {
        if let Some(Forwarder { generation, interface: of, remote: from, confirmed, .. }) = &self.forwarder
            && *from == remote
            && *of == interface
            && *generation == self.generation
            && now.as_nanos().wrapping_sub(confirmed.as_nanos()) < CONFIRMED_FOR
        {
            // It has just been told.
            return;
        }
        self.confirm_forwarder(now, interface, remote);
    }

    /// [`confirm_reachable`](Self::confirm_reachable) of the sender of a segment between the addresses that were judged last.
    #[inline(always)]
    pub(crate) fn confirm_judged(&mut self, now: Instant, interface: InterfaceId, remote: IpAddr) {
        if let Some(judged) = &self.judged
            && now < judged.confirmed_until
            && judged.interface == interface
        {
            // It has just been told.
            return;
        }
        self.confirm_sender(now, interface, remote);
    }

    #[inline(never)]
    fn confirm_sender(&mut self, now: Instant, interface: InterfaceId, remote: IpAddr) {
        self.confirm_forwarder(now, interface, remote);
        if let Some(judged) = &mut self.judged
            && judged.source == remote
            && judged.interface == interface
        {
            judged.confirmed_until = now.after_nanos(CONFIRMED_FOR);
        }
    }

    #[inline(never)]
    fn confirm_forwarder(&mut self, now: Instant, interface: InterfaceId, remote: IpAddr) {
        let known = self
            .forwarder
            .as_ref()
            .filter(|known| (known.generation, known.interface, known.remote) == (self.generation, interface, remote));
        let neighbor = match known {
            Some(known) => known.neighbor,
            None => self.forwarding_neighbor(interface, remote),
        };
        self.forwarder = Some(Forwarder { generation: self.generation, interface, remote, neighbor, confirmed: now });
        self.confirm_neighbor(now, neighbor);
    }

    /// The neighbour that takes packets to `remote` by `interface`, if it is known. The answer holds as long as
    /// [`generation`](Self::generation) stands still.
    pub(crate) fn forwarding_neighbor(&self, interface: InterfaceId, remote: IpAddr) -> Option<NeighborId> {
        if interface == self.loopback {
            return None;
        }
        self.hot_paths.neighbor(self.generation, interface, remote).or_else(|| {
            let next_hop = self.next_hop_on(interface, remote)?;
            self.neighbors.find(interface, next_hop)
        })
    }

    /// Something came that only a neighbour which is there can have passed on.
    #[inline]
    pub(crate) fn confirm_neighbor(&mut self, now: Instant, neighbor: Option<NeighborId>) {
        let Some(id) = neighbor else { return };
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        if matches!(entry.state, NeighborState::Reachable | NeighborState::Delay) {
            // The timer finds out for itself that it rang too early.
            entry.confirmed = now;
            return;
        }
        self.confirm_doubtful(now, id);
    }

    /// The same of a neighbour of which nothing was heard for long, or which is being asked.
    #[inline(never)]
    fn confirm_doubtful(&mut self, now: Instant, id: NeighborId) {
        let Some(entry) = self.neighbors.get_mut(id) else { return };
        match entry.state {
            NeighborState::Stale | NeighborState::Probe => {
                entry.confirmed = now;
                entry.state = NeighborState::Reachable;
                let deadline = now + self.neighbors.config.reachable_time;
                if let Some(entry) = self.neighbors.get_mut(id) {
                    Self::arm(&mut self.timers, &mut entry.timer, deadline, Timer::Neighbor(id));
                }
            }
            _ => {}
        }
    }

    /// Asks who has `address`.
    fn solicit(&mut self, interface: InterfaceId, address: IpAddr, to: MacAddr) {
        let Some(link) = self.interfaces.get(interface) else { return };
        let (IpAddr::V4(target), Some(IpAddr::V4(source))) = (address, link.source_for(address)) else { return };
        let request = ArpPacket::request(link.capabilities.mac, source, target);
        self.send_arp(interface, to, &request);
    }

    /// Queues an ARP packet.
    pub(crate) fn send_arp(&mut self, interface: InterfaceId, to: MacAddr, packet: &ArpPacket) {
        let mut frame = self.buffers.take();
        let Some(link) = self.interfaces.get_mut(interface) else { return };
        if !link.up {
            return self.discard(Discard::NoInterface);
        }
        let header_len = link.link_header_len();
        frame.resize((header_len + PACKET_LEN).max(MIN_FRAME_LEN), 0);
        link.write_link_header(to, EtherType::ARP, &mut frame);
        packet.emit(&mut frame[header_len..]);
        if let Err(frame) = link.enqueue(Class::Arp, frame, &mut self.queued) {
            self.discard(Discard::TransmitQueue);
            self.buffers.give_back(frame);
        }
    }

    /// Queues an announcement of one of our addresses (RFC 5227 section 2.3).
    pub(crate) fn announce(&mut self, interface: InterfaceId, address: Ipv4Addr) {
        let Some(link) = self.interfaces.get(interface) else { return };
        let packet = ArpPacket::announcement(link.capabilities.mac, address);
        self.send_arp(interface, MacAddr::BROADCAST, &packet);
    }
}
