//! DHCP client (RFC 2131).

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv4Addr;
use core::time::Duration;

use wire::cidr::Cidr;

/// What a DHCP server granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address with its subnet.
    pub address: Cidr,
    /// Default gateways, the preferred one first.
    pub routers: Vec<Ipv4Addr>,
    /// Name servers, the preferred one first.
    pub dns_servers: Vec<Ipv4Addr>,
    /// The domain that short names are completed with.
    pub domain: Option<String>,
    /// The link's MTU, where the server tells one.
    pub mtu: Option<u16>,
    /// The server that granted it.
    pub server: Ipv4Addr,
    /// How long it holds, counted from the request.
    pub duration: Duration,
}

pub(crate) struct Client;
impl crate::Stack {
    pub(crate) fn dhcp_timeout(&mut self, _: crate::Instant, _: crate::link::InterfaceId) {}
    pub(crate) fn dhcp_input(
        &mut self,
        _: crate::Instant,
        _: crate::link::InterfaceId,
        _: core::net::SocketAddr,
        _: &[u8],
    ) {
    }
    pub(crate) fn dhcp_address_added(&mut self, _: crate::Instant, _: crate::link::InterfaceId, _: Cidr) {}
    pub(crate) fn dhcp_address_conflict(&mut self, _: crate::Instant, _: crate::link::InterfaceId, _: Cidr) {}
    pub(crate) fn dhcp_forget(&mut self, _: crate::link::InterfaceId) {}
    pub(crate) fn dhcp_link_state(&mut self, _: crate::Instant, _: crate::link::InterfaceId, _: bool) {}
}
