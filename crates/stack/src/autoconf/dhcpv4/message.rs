//! What the client says, and how it reads answers.

use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr};

use wire::cidr::Cidr;
use wire::dhcpv4::{DhcpMessage, DhcpOptions, MessageType, Operation, OptionBytes, option};
use wire::ethernet::MacAddr;

use super::search::domains;
use super::{DhcpConfig, Lease};

/// What we ask to be told.
const PARAMETERS: [u8; 10] = [
    option::SUBNET_MASK,
    option::ROUTERS,
    option::DNS_SERVERS,
    option::DOMAIN_NAME,
    option::DOMAIN_SEARCH,
    option::BROADCAST_ADDRESS,
    option::INTERFACE_MTU,
    option::LEASE_TIME,
    option::RENEWAL_TIME,
    option::REBINDING_TIME,
];

/// A message of the given kind with what every message of ours carries.
pub(super) fn compose(config: &DhcpConfig, mac: MacAddr, kind: MessageType, xid: u32, mtu: u32) -> DhcpMessage {
    let mut message = DhcpMessage::new(Operation::Request, xid, mac);
    let options = &mut message.options;
    options.message_type = Some(kind);
    options.client_id = match &config.client_id {
        Some(id) => OptionBytes::new(id),
        // RFC 2132 section 9.14: a hardware type, then the address.
        None => OptionBytes::new(&[1, mac.0[0], mac.0[1], mac.0[2], mac.0[3], mac.0[4], mac.0[5]]),
    }
    .unwrap_or(OptionBytes::EMPTY);
    let asks = matches!(kind, MessageType::Discover | MessageType::Request);
    // RFC 2131 table 5: DECLINE and RELEASE carry none of these.
    if asks {
        message.broadcast = config.broadcast;
        let name = config.hostname.as_deref().unwrap_or_default();
        options.hostname = OptionBytes::new(name.as_bytes()).unwrap_or(OptionBytes::EMPTY);
        options.parameter_list = OptionBytes::new(&PARAMETERS).unwrap_or(OptionBytes::EMPTY);
        options.max_message_size = Some(mtu.clamp(576, 1_500) as u16);
    }
    message
}

/// The lease that an OFFER or ACK describes, apart from its clock; `None` if it is no use.
pub(super) fn lease(message: &DhcpMessage, server: Ipv4Addr) -> Option<Lease> {
    let DhcpOptions { subnet_mask, routers, dns_servers, mtu, domain_name, domain_search, .. } = &message.options;
    let address = message.yiaddr;
    let mask = subnet_mask.and_then(|mask| Cidr::from_netmask(address, mask)).filter(|cidr| cidr.prefix_len() > 0);
    let cidr = mask.or_else(|| Cidr::new(IpAddr::V4(address), class_prefix(address)))?;
    let plausible = |host: &Ipv4Addr| !host.is_unspecified() && !host.is_broadcast() && !host.is_multicast();
    if !plausible(&address) || address.is_loopback() || address.octets()[0] == 0 || address.octets()[0] >= 240 {
        return None;
    }
    Some(Lease {
        address: cidr,
        routers: routers.iter().copied().filter(|router| plausible(router) && *router != address).collect(),
        dns_servers: dns_servers.iter().copied().filter(plausible).collect(),
        domain: domain(domain_name),
        search: domains(domain_search),
        mtu: *mtu,
        server,
        duration: core::time::Duration::ZERO,
    })
}

/// A domain that may be shown and searched: letters, digits, hyphens and dots.
fn domain(bytes: &[u8]) -> Option<String> {
    let text = core::str::from_utf8(bytes).ok()?.trim_end_matches('\0');
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (plain && !text.is_empty()).then(|| text.to_string())
}

/// RFC 2131 section 2 leaves a missing mask to the class of the address (RFC 950).
fn class_prefix(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..128 => 8,
        128..192 => 16,
        _ => 24,
    }
}
