//! Why a packet was not taken: one reason each, all counted.
//!
//! A bad packet is not an error of anybody's here; it is a [`Discard`] with a reason, counted in [`Discards`], and
//! perhaps a reply.

macro_rules! discards {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// The reason why a packet went no further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Discard {
            $($(#[$doc])* $name,)*
        }

        impl Discard {
            /// Every reason there is.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// A short name for tables and metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

discards! {
    /// The Ethernet header is cut short, or the frame is for no protocol of ours.
    EthernetMalformed = "ethernet malformed",
    /// An ethertype that nobody here speaks.
    EthernetProtocol = "unknown ethertype",
    /// The frame is addressed to another station.
    NotOurMac = "other station",
    /// The frame's VLAN is not the interface's.
    WrongVlan = "other vlan",
    /// The interface is gone or down.
    NoInterface = "no interface",
    /// An ARP packet is cut short or of another kind than Ethernet and IPv4.
    ArpMalformed = "arp malformed",
    /// An ARP packet makes a claim that is not believed.
    ArpIgnored = "arp ignored",
    /// An IP header that its RFC forbids.
    IpMalformed = "ip malformed",
    /// The IPv4 header's checksum is wrong.
    IpChecksum = "ip checksum",
    /// A source address that no host may use on a wire.
    IpSource = "ip bad source",
    /// A packet for an address that is not ours, and forwarding is off.
    NotOurAddress = "other address",
    /// A source-routed packet.
    SourceRouted = "source routed",
    /// The packet's hop limit ran out while forwarding.
    HopLimit = "hop limit",
    /// An IPv6 packet from a link: its protocols are not spoken yet.
    Ipv6 = "ipv6 not spoken",
    /// A transport protocol that nobody here speaks.
    IpProtocol = "unknown protocol",
    /// A fragment with an impossible length or offset.
    FragmentMalformed = "fragment malformed",
    /// Fragments that overlap.
    FragmentOverlap = "fragment overlap",
    /// Fragments that were pushed out by newer ones.
    FragmentMemory = "fragment memory",
    /// Fragments whose rest never came.
    FragmentTimeout = "fragment timeout",
    /// An ICMP message that is cut short or has a wrong checksum.
    IcmpMalformed = "icmp malformed",
    /// An ICMP message that is not for us to act upon.
    IcmpIgnored = "icmp ignored",
    /// An ICMP error that matches no socket, or fails the checks against forgery.
    IcmpUnmatched = "icmp unmatched",
    /// An ICMP message of ours that the rate limit held back.
    IcmpRateLimited = "icmp rate limited",
    /// An echo reply or error for a socket whose receive queue is full.
    EchoQueueFull = "echo queue full",
    /// A UDP header that its RFC forbids.
    UdpMalformed = "udp malformed",
    /// A wrong UDP checksum.
    UdpChecksum = "udp checksum",
    /// A datagram to a port that nobody has bound.
    UdpNoSocket = "udp no socket",
    /// A datagram for a socket whose receive queue is full.
    UdpQueueFull = "udp queue full",
    /// A datagram of any-address mode for which there was no room until the owner decides, or about which it never did.
    UdpHeld = "udp held",
    /// A record in a socket's send ring that cannot be sent.
    UdpUnsendable = "udp unsendable",
    /// A TCP header that its RFC forbids.
    TcpMalformed = "tcp malformed",
    /// A wrong TCP checksum.
    TcpChecksum = "tcp checksum",
    /// A segment for a connection that does not exist.
    TcpNoConnection = "tcp no connection",
    /// A segment to a broadcast or multicast address, or from one.
    TcpNotUnicast = "tcp not unicast",
    /// A segment outside the receive window.
    TcpOutsideWindow = "tcp outside window",
    /// A segment older than the last by its timestamp (PAWS).
    TcpPaws = "tcp paws",
    /// A segment without the ACK that its state demands, or with one that acknowledges nothing that was sent.
    TcpBadAck = "tcp bad ack",
    /// A reset whose sequence number is not exactly the expected one.
    TcpBadReset = "tcp bad reset",
    /// A SYN in a synchronized state.
    TcpBadSyn = "tcp bad syn",
    /// Data after the peer's FIN, or after this side has closed for good.
    TcpAfterClose = "tcp after close",
    /// A connection request while the listener's queue is full.
    TcpBacklog = "tcp backlog",
    /// An acknowledgement while SYN cookies are out that is of none of them.
    TcpBadCookie = "tcp bad cookie",
    /// Data for which there is no memory.
    TcpMemory = "tcp memory",
    /// A packet that waited for a neighbour who never answered.
    NeighborUnreachable = "neighbor unreachable",
    /// A packet that found its neighbour's queue full.
    NeighborQueue = "neighbor queue",
    /// There was no room in the interface's queue of small packets.
    TransmitQueue = "transmit queue",
    /// The link refused a frame for good.
    LinkLost = "link lost",
    /// There is no route to the destination.
    NoRoute = "no route",
    /// A packet larger than its path that may not be fragmented.
    TooBig = "too big",
    /// A DHCP message that is malformed or for another exchange.
    DhcpIgnored = "dhcp ignored",
    /// The queue of events that the owner has not read is full.
    EventQueue = "event queue",
}

/// How often each reason has occurred.
#[derive(Clone)]
pub struct Discards {
    counts: [u64; Discard::ALL.len()],
}

impl Discards {
    pub(crate) const fn new() -> Self {
        Self { counts: [0; Discard::ALL.len()] }
    }

    pub(crate) fn count(&mut self, reason: Discard) {
        self.counts[reason as usize] += 1;
    }

    /// How often `reason` has occurred.
    #[must_use]
    pub fn of(&self, reason: Discard) -> u64 {
        self.counts[reason as usize]
    }

    /// Every reason that has occurred, with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Discard, u64)> + '_ {
        Discard::ALL.iter().map(|&reason| (reason, self.of(reason))).filter(|&(_, count)| count > 0)
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}
