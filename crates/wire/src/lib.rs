//! Bytes to typed headers and back: Ethernet, ARP, IPv4, IPv6, ICMP, UDP, TCP, DHCP.
