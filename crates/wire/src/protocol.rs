//! The protocol numbers that IPv4 and IPv6 carry (IANA "Assigned Internet Protocol Numbers"). Used by both IP headers,
//! by pseudo-headers, and by whoever demultiplexes.

use core::fmt;

/// An IPv4 `protocol` or IPv6 `next header` value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Protocol(pub u8);

impl Protocol {
    /// IPv6 hop-by-hop options (RFC 8200 section 4.3).
    pub const HOPOPT: Protocol = Protocol(0);
    /// ICMP for IPv4 (RFC 792).
    pub const ICMP: Protocol = Protocol(1);
    /// IGMP (RFC 3376).
    pub const IGMP: Protocol = Protocol(2);
    /// TCP (RFC 9293).
    pub const TCP: Protocol = Protocol(6);
    /// UDP (RFC 768).
    pub const UDP: Protocol = Protocol(17);
    /// IPv6 routing header (RFC 8200 section 4.4).
    pub const IPV6_ROUTE: Protocol = Protocol(43);
    /// IPv6 fragment header (RFC 8200 section 4.5).
    pub const IPV6_FRAG: Protocol = Protocol(44);
    /// IPsec encapsulating security payload (RFC 4303).
    pub const ESP: Protocol = Protocol(50);
    /// IPsec authentication header (RFC 4302).
    pub const AH: Protocol = Protocol(51);
    /// ICMP for IPv6 (RFC 4443).
    pub const ICMPV6: Protocol = Protocol(58);
    /// IPv6: nothing follows (RFC 8200 section 4.7).
    pub const IPV6_NO_NEXT: Protocol = Protocol(59);
    /// IPv6 destination options (RFC 8200 section 4.6).
    pub const IPV6_DEST_OPTS: Protocol = Protocol(60);

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Protocol::HOPOPT => "HOPOPT",
            Protocol::ICMP => "ICMP",
            Protocol::IGMP => "IGMP",
            Protocol::TCP => "TCP",
            Protocol::UDP => "UDP",
            Protocol::IPV6_ROUTE => "IPv6-Route",
            Protocol::IPV6_FRAG => "IPv6-Frag",
            Protocol::ESP => "ESP",
            Protocol::AH => "AH",
            Protocol::ICMPV6 => "ICMPv6",
            Protocol::IPV6_NO_NEXT => "IPv6-NoNxt",
            Protocol::IPV6_DEST_OPTS => "IPv6-Opts",
            _ => return None,
        })
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "protocol {}", self.0),
        }
    }
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
