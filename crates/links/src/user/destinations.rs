//! Where the addresses of the guest's world lead. Asked by every kind of flow before it opens a socket.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use stack::ip::icmp::ErrorKind;
use wire::cidr::Cidr;

/// The gateway itself.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The resolver.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
/// The first address that DHCP gives out, and so the guest's.
pub(super) const FIRST_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The last.
pub(super) const LAST_GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 254);
/// Of the segment's network.
pub(super) const PREFIX_LEN: u8 = 24;
/// Where the resolver listens.
pub(super) const DNS_PORT: u16 = 53;

/// Where a destination of the guest's leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lead {
    /// To this address, as the host sees it.
    Host(SocketAddr),
    /// To the gateway's own resolver.
    Resolver,
    /// Nowhere, for this reason.
    Nowhere(ErrorKind),
}

/// The rules.
pub(super) struct Destinations {
    redirect: HashMap<SocketAddr, SocketAddr>,
    host_loopback: bool,
}

impl Destinations {
    pub(super) fn new(redirect: &[(SocketAddr, SocketAddr)], host_loopback: bool) -> Self {
        Self { redirect: redirect.iter().copied().collect(), host_loopback }
    }

    /// Where `destination` leads. The host's loopback is reached by what the owner has redirected, and as
    /// [`GATEWAY`] if the owner said so; no other spelling of it leads there.
    pub(super) fn lead(&self, destination: SocketAddr) -> Lead {
        if let Some(&target) = self.redirect.get(&destination) {
            return Lead::Host(target);
        }
        let address = destination.ip().to_canonical();
        if address == IpAddr::V4(GATEWAY) {
            return if self.host_loopback {
                Lead::Host(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), destination.port()))
            } else {
                Lead::Nowhere(ErrorKind::PortUnreachable)
            };
        }
        if address == IpAddr::V4(RESOLVER) {
            return match destination.port() {
                DNS_PORT => Lead::Resolver,
                _ => Lead::Nowhere(ErrorKind::PortUnreachable),
            };
        }
        if is_on_segment(address) {
            return Lead::Nowhere(ErrorKind::HostUnreachable);
        }
        if is_within_host(address) {
            return Lead::Nowhere(ErrorKind::NetworkUnreachable);
        }
        Lead::Host(SocketAddr::new(address, destination.port()))
    }
}

/// Whether `address` is of the virtual segment's network, where nobody but the guests and the gateway is.
fn is_on_segment(address: IpAddr) -> bool {
    Cidr::new(IpAddr::V4(GATEWAY), PREFIX_LEN).is_some_and(|segment| segment.contains(address))
}

/// Whether `address` means this host itself to the host, or no single host at all. Linux takes 0.0.0.0 for the
/// loopback when it connects.
fn is_within_host(address: IpAddr) -> bool {
    match address {
        // RFC 6890 section 2.2.2: 0.0.0.0/8 is "this host on this network", 240.0.0.0/4 is reserved.
        IpAddr::V4(v4) => v4.is_loopback() || v4.octets()[0] == 0 || v4.octets()[0] >= 224,
        IpAddr::V6(v6) => {
            let compatible = v6.segments()[..6] == [0; 6];
            v6.is_loopback() || v6.is_unspecified() || v6.is_multicast() || compatible
        }
    }
}
