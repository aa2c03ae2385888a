//! Frames as the engine would make them, by hand, and waiting for those of the kernel.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, BorrowedFd};

use device::{Device, RxChecksum, TransmitError, TxChecksum, TxFrame};
use ring::Span;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wharf_links::Link;
use wire::arp::ArpPacket;
use wire::checksum::pseudo_header;
use wire::ethernet::{EtherType, EthernetHeader, MacAddr};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{TcpFlags, TcpHeader};

pub(crate) const KERNEL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);
pub(crate) const OURS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);

/// Where the transport header begins in an untagged frame without IP options.
pub(crate) const TRANSPORT: usize = 34;

/// How long a test waits for what must come before it fails.
const HUNG: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A frame that arrived, kept.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Vec<u8>,
    pub(crate) checksum: RxChecksum,
    pub(crate) segment_size: Option<u16>,
}

impl Received {
    /// What is behind the IPv4 header, if it is a packet of this protocol from the kernel to us.
    pub(crate) fn transport(&self, protocol: Protocol) -> Option<&[u8]> {
        let (ethernet, packet) = EthernetHeader::parse(&self.bytes).ok()?;
        if ethernet.ethertype != EtherType::IPV4 {
            return None;
        }
        let (header, payload) = Ipv4Header::parse(packet).ok()?;
        (header.protocol == protocol && header.src == KERNEL && header.dst == OURS).then_some(payload)
    }
}

/// Waits for a frame that `wanted` makes something of; the others are dropped.
pub(crate) fn wait_for<T>(link: &mut impl Link, mut wanted: impl FnMut(&Received) -> Option<T>) -> T {
    loop {
        let mut found = None;
        while found.is_none()
            && link.receive(1, &mut |frame| {
                found = wanted(&Received {
                    bytes: frame.bytes.to_vec(),
                    checksum: frame.checksum,
                    segment_size: frame.segment_size,
                });
            }) == 1
        {}
        if let Some(found) = found {
            return found;
        }
        let mut fds = [PollFd::from_borrowed_fd(link.fd(), PollFlags::IN)];
        assert_eq!(poll(&mut fds, Some(&HUNG)), Ok(1), "nothing came");
    }
}

/// Waits for the kernel to have bytes for `socket`, or a connection: a test that goes wrong fails, and does not hang.
pub(crate) fn wait_readable<S: AsFd>(socket: &S) -> &S {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&HUNG)), Ok(1), "nothing came to the kernel's socket");
    socket
}

/// What poll(2) says of a descriptor now.
pub(crate) fn events(fd: BorrowedFd<'_>, wanted: PollFlags) -> PollFlags {
    let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).expect("poll takes one descriptor");
    fds[0].revents()
}

/// Sends bytes that need nothing done.
pub(crate) fn send_complete(link: &mut impl Device, frame: &[u8]) -> Result<(), TransmitError> {
    let frame = TxFrame { header: frame, payload: &[], checksum: TxChecksum::Complete, segment_size: None };
    link.transmit(&frame)
}

/// Asks who has the kernel's address, and learns it: the kernel learns ours by it.
pub(crate) fn meet_kernel(link: &mut impl Link) -> MacAddr {
    let mac = link.capabilities().mac;
    send_complete(link, &arp_request(mac)).expect("a fresh queue has room");
    wait_for_arp_reply(link)
}

/// Waits for the kernel's answer to [`arp_request`].
pub(crate) fn wait_for_arp_reply(link: &mut impl Link) -> MacAddr {
    let mac = link.capabilities().mac;
    wait_for(link, |frame| {
        let (ethernet, packet) = EthernetHeader::parse(&frame.bytes).ok()?;
        let reply = (ethernet.ethertype == EtherType::ARP).then(|| ArpPacket::parse(packet).ok()).flatten()?;
        (reply.sender_ip == KERNEL && reply.target_mac == mac).then_some(reply.sender_mac)
    })
}

/// Who has the kernel's address?
pub(crate) fn arp_request(mac: MacAddr) -> Vec<u8> {
    let ethernet = EthernetHeader { dst: MacAddr::BROADCAST, src: mac, vlan: None, ethertype: EtherType::ARP };
    let packet = ArpPacket::request(mac, OURS, KERNEL);
    let mut frame = vec![0; ethernet.len() + packet.len()];
    let at = ethernet.emit(&mut frame);
    packet.emit(&mut frame[at..]);
    frame
}

/// Ethernet and IPv4 headers for `transport_len` bytes from us to the kernel.
pub(crate) fn headers(src: MacAddr, dst: MacAddr, protocol: Protocol, transport_len: usize) -> Vec<u8> {
    let ethernet = EthernetHeader { dst, src, vlan: None, ethertype: EtherType::IPV4 };
    let ip = Ipv4Header::new(OURS, KERNEL, protocol, 64, transport_len);
    let mut bytes = vec![0; TRANSPORT];
    let at = ethernet.emit(&mut bytes);
    ip.emit(&mut bytes[at..]);
    bytes
}

/// The sum of the pseudo-header, not complemented: what a checksum field holds that the link completes.
pub(crate) fn partial_sum(protocol: Protocol, transport_len: usize) -> u16 {
    let len = u32::try_from(transport_len).expect("a packet's length");
    !pseudo_header(IpAddr::V4(OURS), IpAddr::V4(KERNEL), protocol, len).finish()
}

/// The headers of a datagram from port 7000 to `port`, whose checksum the link completes.
pub(crate) fn udp_headers(src: MacAddr, dst: MacAddr, port: u16, payload_len: usize) -> Vec<u8> {
    let len = 8 + payload_len;
    let mut bytes = headers(src, dst, Protocol::UDP, len);
    bytes.extend(7000_u16.to_be_bytes());
    bytes.extend(port.to_be_bytes());
    bytes.extend(u16::try_from(len).expect("a datagram's length").to_be_bytes());
    bytes.extend(partial_sum(Protocol::UDP, len).to_be_bytes());
    bytes
}

/// The mark for a UDP checksum that the link completes.
pub(crate) const UDP_PARTIAL: TxChecksum = TxChecksum::Partial { start: TRANSPORT as u16, offset: 6 };

/// Sends a TCP segment in as many pieces as `payload` has, to be cut at `segment_size`.
pub(crate) fn send_tcp(
    link: &mut impl Device,
    kernel: MacAddr,
    tcp: &TcpHeader,
    payload: &[Span<'_>],
    segment_size: Option<u16>,
) -> Result<(), TransmitError> {
    let len = tcp.len() + payload.iter().map(Span::len).sum::<usize>();
    let mut header = headers(link.capabilities().mac, kernel, Protocol::TCP, len);
    header.resize(TRANSPORT + tcp.len(), 0);
    tcp.emit(&mut header[TRANSPORT..]);
    let checksum = if link.capabilities().tx_checksum {
        header[TRANSPORT + 16..TRANSPORT + 18].copy_from_slice(&partial_sum(Protocol::TCP, len).to_be_bytes());
        TxChecksum::Partial { start: TRANSPORT as u16, offset: 16 }
    } else {
        assert!(payload.is_empty(), "these tests send data by offload only");
        TcpHeader::fill_checksum(&mut header[TRANSPORT..], IpAddr::V4(OURS), IpAddr::V4(KERNEL));
        TxChecksum::Complete
    };
    link.transmit(&TxFrame { header: &header, payload, checksum, segment_size })
}

/// Waits for a TCP segment of the kernel's with all of `flags`, and returns it with its payload and marks.
pub(crate) fn wait_for_tcp(link: &mut impl Link, flags: TcpFlags) -> (TcpHeader, Vec<u8>, Received) {
    wait_for(link, |frame| {
        let (tcp, payload) = TcpHeader::parse(frame.transport(Protocol::TCP)?).ok()?;
        tcp.flags.contains(flags).then(|| (tcp, payload.to_vec(), frame.clone()))
    })
}
