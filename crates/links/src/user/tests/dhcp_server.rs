use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use wire::cidr::Cidr;
use wire::dhcpv4::{DhcpMessage, MessageType, Operation, OptionBytes};
use wire::ethernet::MacAddr;

use super::super::dhcp_server::{DhcpReply, DhcpServer, DhcpServerConfig};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 16);

struct Segment {
    server: DhcpServer,
    now: Instant,
}

impl Segment {
    fn new() -> Self {
        let server = DhcpServer::new(DhcpServerConfig {
            server: SERVER,
            subnet: Cidr::new(IpAddr::V4(SERVER), 24).unwrap(),
            pool: (FIRST, SECOND),
            dns: Ipv4Addr::new(10, 0, 2, 3),
            mtu: 1500,
            lease_time: Duration::from_secs(3600),
        });
        Self { server, now: Instant::now() }
    }

    fn send(&mut self, client: u8, kind: MessageType, set: impl FnOnce(&mut DhcpMessage)) -> Option<DhcpReply> {
        let mut message = DhcpMessage::new(Operation::Request, 0x1234, MacAddr([2, 0, 0, 0, 0, client]));
        message.options.message_type = Some(kind);
        set(&mut message);
        self.server.handle(self.now, &message)
    }

    /// The four messages; returns the address.
    fn lease(&mut self, client: u8) -> Ipv4Addr {
        let offer = self.send(client, MessageType::Discover, |_| ()).expect("an offer");
        let ack = self.select(client, offer.message.yiaddr).expect("an answer");
        assert_eq!(ack.message.options.message_type, Some(MessageType::Ack));
        ack.message.yiaddr
    }

    fn select(&mut self, client: u8, address: Ipv4Addr) -> Option<DhcpReply> {
        self.send(client, MessageType::Request, |message| {
            message.options.server_id = Some(SERVER);
            message.options.requested_ip = Some(address);
        })
    }
}

fn kind(reply: Option<DhcpReply>) -> Option<MessageType> {
    reply.and_then(|reply| reply.message.options.message_type)
}

#[test]
fn a_client_is_offered_the_first_address_and_everything_it_needs() {
    let mut segment = Segment::new();
    let offer = segment.send(1, MessageType::Discover, |_| ()).unwrap();
    assert_eq!(offer.destination, Ipv4Addr::BROADCAST);
    let DhcpMessage { operation, xid, chaddr, yiaddr, options, .. } = offer.message;
    assert_eq!((operation, xid, chaddr), (Operation::Reply, 0x1234, MacAddr([2, 0, 0, 0, 0, 1])));
    assert_eq!(yiaddr, FIRST);
    assert_eq!(options.message_type, Some(MessageType::Offer));
    assert_eq!(options.server_id, Some(SERVER));
    assert_eq!(options.subnet_mask, Some(Ipv4Addr::new(255, 255, 255, 0)));
    assert_eq!(options.broadcast_address, Some(Ipv4Addr::new(10, 0, 2, 255)));
    assert_eq!(*options.routers, [SERVER]);
    assert_eq!(*options.dns_servers, [Ipv4Addr::new(10, 0, 2, 3)]);
    assert_eq!((options.mtu, options.lease_time), (Some(1500), Some(3600)));
    let mut bytes = [0; 548];
    let len = offer.message.emit(&mut bytes).expect("fits the least that every client takes");
    assert_eq!(DhcpMessage::parse(&bytes[..len]), Ok(offer.message));
}

#[test]
fn a_client_keeps_its_address_and_others_get_another() {
    let mut segment = Segment::new();
    assert_eq!(segment.lease(1), FIRST);
    assert_eq!(segment.lease(2), SECOND);
    assert_eq!(segment.lease(1), FIRST);
    assert_eq!(segment.send(3, MessageType::Discover, |_| ()), None, "the pool is exhausted");
    segment.now += Duration::from_secs(3601);
    assert_eq!(segment.lease(3), FIRST, "an expired lease is given on");
    assert_eq!(segment.lease(1), SECOND);
}

#[test]
fn a_client_identifier_goes_before_the_mac_address() {
    let mut segment = Segment::new();
    let mut discover = |client, id: &[u8]| {
        let id = OptionBytes::new(id).unwrap();
        segment.send(client, MessageType::Discover, |message| message.options.client_id = id).unwrap().message.yiaddr
    };
    assert_eq!(discover(1, b"\xffone"), FIRST);
    assert_eq!(discover(1, b"\xfftwo"), SECOND);
    assert_eq!(discover(9, b"\xffone"), FIRST);
}

#[test]
fn an_address_of_another_or_of_no_pool_is_refused() {
    let mut segment = Segment::new();
    segment.lease(1);
    let nak = segment.select(2, FIRST).unwrap();
    assert_eq!(nak.message.options.message_type, Some(MessageType::Nak));
    assert_eq!((nak.message.yiaddr, nak.destination), (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST));
    assert_eq!(kind(segment.select(2, Ipv4Addr::new(192, 168, 1, 7))), Some(MessageType::Nak));
    assert_eq!(kind(segment.select(2, SERVER)), Some(MessageType::Nak));
    // INIT-REBOOT: no server named.
    let reboot = |address| move |message: &mut DhcpMessage| message.options.requested_ip = Some(address);
    assert_eq!(kind(segment.send(2, MessageType::Request, reboot(FIRST))), Some(MessageType::Nak));
    assert_eq!(kind(segment.send(2, MessageType::Request, reboot(SECOND))), Some(MessageType::Ack));
}

#[test]
fn a_renewal_is_answered_where_the_client_is() {
    let mut segment = Segment::new();
    let address = segment.lease(1);
    segment.now += Duration::from_secs(1800);
    let ack = segment.send(1, MessageType::Request, |message| message.ciaddr = address).unwrap();
    assert_eq!(ack.message.options.message_type, Some(MessageType::Ack));
    assert_eq!((ack.destination, ack.message.yiaddr, ack.message.ciaddr), (address, address, address));
    segment.now += Duration::from_secs(1900);
    assert_eq!(kind(segment.select(2, address)), Some(MessageType::Nak), "the renewal counts from when it came");
}

#[test]
fn a_declined_address_rests_and_a_released_one_is_free() {
    let mut segment = Segment::new();
    let address = segment.lease(1);
    assert_eq!(segment.send(2, MessageType::Decline, |message| message.options.requested_ip = Some(FIRST)), None);
    assert_eq!(segment.lease(1), FIRST, "only its holder can decline an address");
    segment.send(1, MessageType::Decline, |message| message.options.requested_ip = Some(address));
    assert_eq!(segment.lease(1), SECOND);
    segment.send(2, MessageType::Release, |message| message.ciaddr = SECOND);
    assert_eq!(segment.send(2, MessageType::Discover, |_| ()), None, "only its holder can release an address");
    segment.send(1, MessageType::Release, |message| message.ciaddr = SECOND);
    assert_eq!(segment.lease(2), SECOND);
    segment.now += Duration::from_secs(601);
    assert_eq!(segment.lease(3), FIRST);
}

#[test]
fn what_is_not_for_this_server_is_left_alone() {
    let mut segment = Segment::new();
    segment.send(1, MessageType::Discover, |_| ());
    let other = segment.send(1, MessageType::Request, |message| {
        message.options.server_id = Some(Ipv4Addr::new(10, 0, 2, 99));
        message.options.requested_ip = Some(Ipv4Addr::new(10, 0, 2, 200));
    });
    assert_eq!(other, None);
    assert_eq!(segment.lease(2), FIRST, "the offer that was not taken is free again");
    assert_eq!(segment.send(1, MessageType::Ack, |_| ()), None);
    assert_eq!(segment.send(1, MessageType::Discover, |message| message.giaddr = SERVER), None);
    assert_eq!(segment.send(1, MessageType::Discover, |message| message.operation = Operation::Reply), None);
    assert_eq!(segment.send(1, MessageType::Request, |_| ()), None);
    assert_eq!(segment.send(1, MessageType::Discover, |message| message.options.message_type = None), None);
}

#[test]
fn a_client_with_an_address_of_its_own_is_informed() {
    let mut segment = Segment::new();
    let own = Ipv4Addr::new(10, 0, 2, 9);
    let ack = segment.send(1, MessageType::Inform, |message| message.ciaddr = own).unwrap();
    assert_eq!((ack.destination, ack.message.yiaddr), (own, Ipv4Addr::UNSPECIFIED));
    assert_eq!(ack.message.options.lease_time, None);
    assert_eq!(*ack.message.options.routers, [SERVER]);
}

#[test]
fn a_thousand_clients_do_not_grow_the_table_beyond_the_pool() {
    let mut segment = Segment::new();
    for client in 0..1000_u16 {
        let id = OptionBytes::new(&client.to_be_bytes()).unwrap();
        segment.send(1, MessageType::Discover, |message| message.options.client_id = id);
        segment.now += Duration::from_secs(20);
    }
    assert!(segment.server.len() <= 2);
}
