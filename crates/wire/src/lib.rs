//! Bytes to typed headers and back: Ethernet, ARP, IPv4, IPv6, ICMP, UDP, TCP, DHCP.
//!
//! A file per protocol. Each type is a parsed value: `X::parse(bytes)` checks what the protocol's RFC lets a receiver
//! check and returns the value (for a header, with the payload that follows it), `x.emit(buffer)` writes it and returns
//! how many bytes that took. Parsing never panics, whatever the bytes; emitting panics only where the buffer is
//! shorter than the value's `len()`, which is a mistake of the caller and not of the network.
//!
//! The stack calls this on every packet; tools and tests call it to build and to read packets of their own.

#![no_std]
#![forbid(unsafe_code)]

pub mod arp;
pub mod checksum;
pub mod cidr;
pub mod dhcpv4;
pub mod ethernet;
pub mod icmpv4;
pub mod ipv4;
pub mod ipv6;
mod malformed;
pub mod protocol;
pub mod tcp;
pub mod udp;

pub use malformed::Malformed;
