//! How an interface gets its address without a person: DHCP for IPv4.

pub mod dhcpv4;
