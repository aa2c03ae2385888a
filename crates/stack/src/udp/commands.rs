//! The calls of [`Stack`] about UDP sockets. Sending stands in `output`.

use core::net::SocketAddr;

use super::UdpId;
use super::output::SendError;
use super::socket::{DatagramRings, Socket, UdpError, UdpOptions, UdpStats};
use crate::Instant;
use crate::ip::icmp::ErrorKind;
use crate::ip::icmp::output::Report;
use crate::ports::{self, BindError};
use crate::stack::Stack;

impl Stack {
    /// Opens a socket on an address of ours, or on all of them (an unspecified address). Port 0 takes an unpredictable
    /// free one.
    ///
    /// # Errors
    /// [`BindError`]; the rings are dropped.
    pub fn udp_bind(
        &mut self,
        local: SocketAddr,
        options: UdpOptions,
        rings: DatagramRings,
    ) -> Result<UdpId, BindError> {
        if !local.ip().is_unspecified() && !self.net.is_local_address(local.ip()) {
            return Err(BindError::NotAvailable);
        }
        let port = match local.port() {
            0 => ports::choose(&mut self.entropy, |port| self.udp.is_port_free(port)).ok_or(BindError::NoPorts)?,
            _ if self.udp_overlaps(local, &options) => return Err(BindError::InUse),
            port => port,
        };
        let local = SocketAddr::new(local.ip(), port);
        let sequence = self.udp.next_sequence();
        Ok(self.udp.insert(Socket::new(local, options, rings, sequence)))
    }

    /// Whether another socket has the address and port, or all addresses with the port, and will not share.
    fn udp_overlaps(&self, local: SocketAddr, options: &UdpOptions) -> bool {
        if options.reuse_address && self.udp.all_share(local.port()) {
            return false;
        }
        self.udp.on_port(local.port()).filter_map(|id| self.udp.sockets.get(id)).any(|other| {
            let same_family = other.local.is_ipv4() == local.is_ipv4();
            let same_address =
                other.local.ip() == local.ip() || other.local.ip().is_unspecified() || local.ip().is_unspecified();
            // A flow of any-address mode stands on an address that is not ours: it is in nobody's way.
            let foreign = !other.local.ip().is_unspecified() && !self.net.is_local_address(other.local.ip());
            let both_share = other.shares && options.reuse_address || other.in_group && options.reuse_port;
            same_family && same_address && !foreign && !both_share
        })
    }

    /// Ties a socket to one peer: it receives from no other, and learns of errors. An unspecified local address becomes
    /// the one that leads there.
    ///
    /// # Errors
    /// [`SendError`], as for a datagram to the peer; [`SendError::BadSource`] if another socket has the same two
    /// addresses.
    pub fn udp_connect(&mut self, id: UdpId, remote: SocketAddr) -> Result<(), SendError> {
        let socket = self.udp.sockets.get(id).ok_or(SendError::NoSocket)?;
        if remote.port() == 0 || remote.ip().is_unspecified() || remote.is_ipv4() != socket.local.is_ipv4() {
            return Err(SendError::BadDestination);
        }
        let own = socket.local;
        let source = (!own.ip().is_unspecified()).then_some(own.ip());
        let way = self.net.way(remote.ip(), source, socket.options.interface)?;
        if way.hop == crate::link::output::Hop::Broadcast && !socket.options.broadcast {
            return Err(SendError::Broadcast);
        }
        let taken = self.udp.flow(SocketAddr::new(way.source, own.port()), remote);
        if taken.is_some_and(|other| other != id) {
            return Err(SendError::BadSource);
        }
        self.udp.readdress(id, way.source, Some(remote));
        Ok(())
    }

    /// Unties a socket from its peer. Its local address stays.
    pub fn udp_disconnect(&mut self, id: UdpId) {
        if let Some(socket) = self.udp.sockets.get(id) {
            let local = socket.local.ip();
            self.udp.readdress(id, local, None);
        }
    }

    /// Changes the settings of a socket. `reuse_address` and `reuse_port` concern the next bind only.
    pub fn udp_set_options(&mut self, id: UdpId, options: UdpOptions) {
        if let Some(socket) = self.udp.sockets.get_mut(id) {
            socket.options = options;
        }
    }

    /// The settings of a socket.
    #[must_use]
    pub fn udp_options(&self, id: UdpId) -> Option<&UdpOptions> {
        self.udp.sockets.get(id).map(|socket| &socket.options)
    }

    /// The oldest error that was not told yet.
    pub fn udp_take_error(&mut self, id: UdpId) -> Option<UdpError> {
        self.udp.sockets.get_mut(id)?.take_error()
    }

    /// A socket's own address, and its peer's if it is connected.
    #[must_use]
    pub fn udp_addresses(&self, id: UdpId) -> Option<(SocketAddr, Option<SocketAddr>)> {
        self.udp.sockets.get(id).map(|socket| (socket.local, socket.remote))
    }

    /// The traffic of a socket.
    #[must_use]
    pub fn udp_stats(&self, id: UdpId) -> Option<UdpStats> {
        self.udp.sockets.get(id).map(|socket| socket.stats)
    }

    /// How many UDP sockets there are.
    #[must_use]
    pub fn udp_sockets(&self) -> usize {
        self.udp.sockets.len()
    }

    /// Closes a socket. What its send ring holds is sent as far as the queue takes it; the rest goes.
    pub fn udp_close(&mut self, now: Instant, id: UdpId) {
        self.udp_flush(now, id);
        self.udp.remove(id);
    }

    /// Any-address mode: takes a flow, whose held datagrams come first out of the receive ring.
    ///
    /// # Errors
    /// [`BindError::InUse`] if a socket has the flow already; [`BindError::NotAvailable`] if no interface in
    /// any-address mode leads to `remote`.
    pub fn udp_admit(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        options: UdpOptions,
        rings: DatagramRings,
    ) -> Result<UdpId, BindError> {
        if self.udp.flow(local, remote).is_some() {
            return Err(BindError::InUse);
        }
        if self.net.route(remote.ip(), Some(local.ip())).is_err() {
            return Err(BindError::NotAvailable);
        }
        let held = self.udp.held.take(&mut self.net, local, remote);
        let sequence = self.udp.next_sequence();
        let mut socket = Socket::new(local, options, rings, sequence);
        socket.remote = Some(remote);
        // A flow on an address that is not ours is in no socket's way.
        socket.shares = true;
        let id = self.udp.insert(socket);
        for (record, payload) in held.into_iter().flat_map(|flow| flow.datagrams) {
            self.udp_push(id, &record, &payload);
        }
        Ok(id)
    }

    /// Any-address mode: refuses a flow, with an ICMP error about its first datagram if `error` is given. False if
    /// nothing of it is held any more.
    pub fn udp_refuse(
        &mut self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        error: Option<ErrorKind>,
    ) -> bool {
        let Some(flow) = self.udp.held.take(&mut self.net, local, remote) else { return false };
        if let Some(kind) = error {
            self.net.report(now, flow.interface, &flow.first, false, Report::Error(kind));
        }
        self.settle(now);
        true
    }

    /// Reports an error to the peer of a flow that was admitted, about a datagram with which the outside could do
    /// nothing: `header` and the first bytes are made up from the flow.
    pub fn udp_report(&mut self, now: Instant, id: UdpId, error: ErrorKind) {
        let Some(socket) = self.udp.sockets.get(id) else { return };
        let (SocketAddr::V4(local), Some(SocketAddr::V4(remote))) = (socket.local, socket.remote) else { return };
        let Ok(way) = self.net.way((*remote.ip()).into(), Some((*local.ip()).into()), socket.options.interface) else {
            return;
        };
        let quote = made_up_datagram(remote, local);
        self.net.report(now, way.interface, &quote, false, Report::Error(error));
        self.settle(now);
    }
}

/// The headers of a datagram from `source` to `destination` without payload.
fn made_up_datagram(source: core::net::SocketAddrV4, destination: core::net::SocketAddrV4) -> [u8; 28] {
    let mut packet = [0; 28];
    let protocol = wire::protocol::Protocol::UDP;
    let header = wire::ipv4::Ipv4Header::new(*source.ip(), *destination.ip(), protocol, 64, wire::udp::HEADER_LEN);
    let at = header.emit(&mut packet);
    let udp = wire::udp::UdpHeader {
        src_port: source.port(),
        dst_port: destination.port(),
        len: wire::udp::HEADER_LEN as u16,
        checksum: 0,
    };
    udp.emit(&mut packet[at..]);
    packet
}
