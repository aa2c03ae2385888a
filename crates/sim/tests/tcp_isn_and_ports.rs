//! Initial sequence numbers (RFC 6528), ephemeral ports (RFC 6056), and destinations that can never be (RFC 1122 section
//! 4.2.3.10).

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, PUPPET_PORT, seg};
use stack::tcp::{ConnectError, ConnectOptions, ListenOptions, heap_rings};
use stack::{Config, Discard};
use wire::cidr::Cidr;
use wire::tcp::{SeqNum, TcpFlags};

fn connect(puppet: &mut Puppet, remote: SocketAddr, options: &ConnectOptions) -> Result<u16, ConnectError> {
    let now = puppet.instant();
    let id = puppet.stack.tcp_connect(now, remote, options, heap_rings(100, 100).0)?;
    puppet.drain();
    Ok(puppet.stack.tcp_addresses(id).expect("a new connection").0.port())
}

fn to(address: [u8; 4], port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(address)), port)
}

#[test]
fn numbers_of_one_four_tuple_rise_with_time_and_those_of_others_tell_nothing() {
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    let isn = |puppet: &mut Puppet, port: u16| -> SeqNum {
        let from = SocketAddrV4::new(PUPPET, port);
        let engine = SocketAddrV4::new(ENGINE, 80);
        puppet.send_frame(&puppet.frame_between(from, engine, &seg(0).flags(TcpFlags::SYN)));
        let number = puppet.engine_isn();
        let reset = seg(1).flags(TcpFlags::RST);
        puppet.send_frame(&puppet.frame_between(from, engine, &reset));
        number
    };
    let first = isn(&mut puppet, 1);
    puppet.run_for(Duration::from_millis(1));
    let second = isn(&mut puppet, 1);
    // RFC 6528 section 3: M counts every 4 microseconds.
    assert_eq!(second - first, 250);
    let others: Vec<u32> = (2..50).map(|port| isn(&mut puppet, port) - first).collect();
    let steps: BTreeSet<u32> = others.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
    assert_eq!(steps.len(), 47, "no pattern from port to port");
    assert!(others.iter().filter(|&&distance| distance < 1 << 30).count() < 30, "nor near each other");
}

#[test]
fn ports_come_from_the_whole_range_and_in_no_order() {
    // RFC 6056 section 3.2.
    let mut puppet = Puppet::new(Config::default());
    let remote = SocketAddr::new(PUPPET.into(), PUPPET_PORT);
    let ports: Vec<u16> =
        (0..500).map(|_| connect(&mut puppet, remote, &ConnectOptions::default()).expect("a free port")).collect();
    assert!(ports.iter().all(|&port| port >= 1_024));
    assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 500, "each once to the same destination");
    assert!(ports.iter().any(|&port| port < 10_000) && ports.iter().any(|&port| port > 55_000));
    let rising = ports.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(rising < 20, "{rising} of 499 follow upon each other");
}

#[test]
fn when_every_port_to_a_destination_is_taken_that_is_said_and_another_destination_still_works() {
    let mut puppet = Puppet::new(Config::default());
    let remote = SocketAddr::new(PUPPET.into(), PUPPET_PORT);
    let options = ConnectOptions::default();
    let now = puppet.instant();
    for port in (1_024..=65_535).filter(|&port| port != 4_711) {
        let bound = ConnectOptions { local: Some(SocketAddr::new(ENGINE.into(), port)), ..ConnectOptions::default() };
        puppet.stack.tcp_connect(now, remote, &bound, heap_rings(1, 1).0).expect("a free port");
    }
    let last = puppet.stack.tcp_connect(now, remote, &options, heap_rings(1, 1).0).expect("one is left");
    assert_eq!(puppet.stack.tcp_addresses(last).map(|(local, _)| local.port()), Some(4_711));
    assert_eq!(puppet.stack.tcp_connect(now, remote, &options, heap_rings(1, 1).0), Err(ConnectError::NoPort));
    let other = SocketAddr::new(PUPPET.into(), PUPPET_PORT + 1);
    assert!(puppet.stack.tcp_connect(now, other, &options, heap_rings(1, 1).0).is_ok());
}

#[test]
fn destinations_that_name_no_host_fail_at_once() {
    let mut puppet = Puppet::new(Config::default());
    let options = ConnectOptions::default();
    for address in
        [[255, 255, 255, 255], [192, 0, 2, 255], [224, 0, 0, 1], [239, 1, 2, 3], [0, 0, 0, 0], [240, 0, 0, 1]]
    {
        let result = connect(&mut puppet, to(address, 80), &options);
        assert_eq!(result, Err(ConnectError::BadDestination), "{address:?}");
    }
    assert_eq!(connect(&mut puppet, to([192, 0, 2, 7], 0), &options), Err(ConnectError::BadDestination), "port 0");
    assert_eq!(connect(&mut puppet, to([203, 0, 113, 1], 80), &options), Err(ConnectError::NoRoute));
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    assert_eq!(puppet.lines(), [""; 0]);
}

#[test]
fn a_local_address_that_is_not_ours_or_of_the_other_family_fails_at_once() {
    let mut puppet = Puppet::new(Config::default());
    let remote = SocketAddr::new(PUPPET.into(), PUPPET_PORT);
    let from = |ip: IpAddr| ConnectOptions { local: Some(SocketAddr::new(ip, 0)), ..ConnectOptions::default() };
    for ip in [
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)),
        IpAddr::V4(Ipv4Addr::BROADCAST),
        IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ] {
        assert_eq!(connect(&mut puppet, remote, &from(ip)), Err(ConnectError::BadSource), "{ip}");
    }
    assert!(connect(&mut puppet, remote, &from(IpAddr::V4(ENGINE))).is_ok());
}

#[test]
fn the_same_connection_cannot_be_opened_twice() {
    let mut puppet = Puppet::new(Config::default());
    let remote = SocketAddr::new(PUPPET.into(), PUPPET_PORT);
    let bound = ConnectOptions { local: Some(SocketAddr::new(ENGINE.into(), 5_000)), ..ConnectOptions::default() };
    assert_eq!(connect(&mut puppet, remote, &bound), Ok(5_000));
    assert_eq!(connect(&mut puppet, remote, &bound), Err(ConnectError::InUse));
    let other = SocketAddr::new(PUPPET.into(), PUPPET_PORT + 1);
    assert_eq!(connect(&mut puppet, other, &bound), Ok(5_000), "another destination is another connection");
    let own = SocketAddr::new(ENGINE.into(), 5_000);
    assert_eq!(connect(&mut puppet, own, &bound), Err(ConnectError::InUse), "nor to itself");
}

#[test]
fn segments_to_and_from_broadcast_and_multicast_addresses_are_dropped_without_a_reset() {
    // RFC 9293 section 3.9.2.3, RFC 1122 section 4.2.3.10.
    let mut puppet = Puppet::new(Config::default());
    let every_address = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 80);
    puppet.stack.tcp_listen(every_address, ListenOptions::default()).expect("a free port");
    let peer = SocketAddrV4::new(PUPPET, 1_025);
    let segments = [seg(0).flags(TcpFlags::SYN).mss(1460), seg(5).ack(9), seg(5).text(b"x")];
    for to in [[255, 255, 255, 255], [192, 0, 2, 255], [224, 0, 0, 1]] {
        for port in [80, 81] {
            for segment in &segments {
                let frame = puppet.frame_between(peer, SocketAddrV4::new(Ipv4Addr::from(to), port), segment);
                puppet.send_frame(&frame);
            }
        }
    }
    for from in [[255, 255, 255, 255], [192, 0, 2, 255], [224, 0, 0, 1], [127, 0, 0, 1], [0, 0, 0, 0], [192, 0, 2, 1]] {
        for port in [80, 81] {
            for segment in &segments {
                let from = SocketAddrV4::new(Ipv4Addr::from(from), 1_025);
                puppet.send_frame(&puppet.frame_between(from, SocketAddrV4::new(ENGINE, port), segment));
            }
        }
    }
    assert_eq!(puppet.take_frames().len(), 0);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    assert!(puppet.stack.discards().total() >= 54);
}

#[test]
fn a_segment_in_a_frame_to_all_stations_is_dropped() {
    // RFC 1122 section 3.3.6: a unicast packet must not come as a link-layer broadcast.
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    for port in [80, 81] {
        let peer = SocketAddrV4::new(PUPPET, 1_025);
        let mut frame =
            puppet.frame_between(peer, SocketAddrV4::new(ENGINE, port), &seg(0).flags(TcpFlags::SYN).mss(1460));
        frame[..6].fill(0xff);
        puppet.send_frame(&frame);
    }
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn port_zero_is_nobody() {
    let mut puppet = Puppet::new(Config::default());
    let frame =
        puppet.frame_between(SocketAddrV4::new(PUPPET, 0), SocketAddrV4::new(ENGINE, 80), &seg(0).flags(TcpFlags::SYN));
    puppet.send_frame(&frame);
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.stack.discards().of(Discard::TcpNotUnicast), 1);
}

#[test]
fn a_connection_ends_when_its_address_goes() {
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1460));
    let (now, interface) = (puppet.instant(), puppet.interface);
    assert!(puppet.stack.remove_address(now, interface, IpAddr::V4(ENGINE)));
    puppet.drain();
    assert_eq!(puppet.error(), Some(stack::tcp::TcpError::AddressRemoved));
    let cidr = Cidr::new(IpAddr::V4(ENGINE), 24).expect("24 bits of 32");
    puppet.stack.add_address(now, interface, cidr).expect("again");
    puppet.connect(&ConnectOptions::default());
    assert_eq!(puppet.take().len(), 1);
}
