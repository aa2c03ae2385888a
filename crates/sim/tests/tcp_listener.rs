//! Listeners: their queues, what a burst does to them, and how they end (RFC 9293 section 3.10.7.2, RFC 4987).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use device::RxFrame;
use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, Seg, seg};
use stack::ip::routes::Route;
use stack::ports::BindError;
use stack::tcp::{ListenOptions, ListenerId, Phase, SynCookies};
use stack::{Config, Discard, Event};
use wire::cidr::Cidr;
use wire::tcp::{SeqNum, TcpFlags};

const SYN: TcpFlags = TcpFlags::SYN;

fn listening(change: impl FnOnce(&mut ListenOptions)) -> (Puppet, ListenerId) {
    let mut puppet = Puppet::new(Config::default());
    let mut options = ListenOptions::default();
    change(&mut options);
    let listener = puppet.listen(options);
    (puppet, listener)
}

/// A segment from the puppet's port `port`.
fn from(puppet: &mut Puppet, port: u16, segment: &Seg) {
    let frame = puppet.frame_between(SocketAddrV4::new(PUPPET, port), SocketAddrV4::new(ENGINE, 80), segment);
    puppet.send_frame(&frame);
}

/// A SYN from the puppet's port `port`; returns the number that the engine answered with.
fn request(puppet: &mut Puppet, port: u16) -> SeqNum {
    from(puppet, port, &seg(0).flags(SYN).mss(1460));
    puppet.engine_isn()
}

/// The third segment of the handshake that the engine answered with `isn`.
fn complete(puppet: &mut Puppet, port: u16, isn: SeqNum, text: &[u8]) {
    let ack = isn + 1 - puppet.engine_isn();
    from(puppet, port, &seg(1).ack(ack).text(text));
}

fn handshake(puppet: &mut Puppet, port: u16) {
    let isn = request(puppet, port);
    complete(puppet, port, isn, b"");
}

fn resets(puppet: &mut Puppet) -> usize {
    puppet.take().iter().filter(|seen| seen.flags.contains(TcpFlags::RST)).count()
}

#[test]
fn connections_are_accepted_in_the_order_of_their_completion() {
    let (mut puppet, listener) = listening(|_| {});
    from(&mut puppet, 1, &seg(0).flags(SYN).mss(1460));
    handshake(&mut puppet, 2);
    from(&mut puppet, 3, &seg(0).flags(SYN).mss(1460));
    let events = puppet.events.drain(..).filter(|event| matches!(event, Event::Accept(_))).count();
    assert_eq!(events, 1);
    let now = puppet.instant();
    let first = puppet.stack.tcp_accept(now, listener).expect("one is complete");
    assert_eq!(first.remote, SocketAddr::new(PUPPET.into(), 2));
    assert_eq!(first.local, SocketAddr::new(ENGINE.into(), 80));
    assert!(puppet.stack.tcp_accept(now, listener).is_none());
}

#[test]
fn a_full_backlog_answers_nothing_and_resets_nobody() {
    let (mut puppet, listener) = listening(|options| options.backlog = 2);
    handshake(&mut puppet, 1);
    handshake(&mut puppet, 2);
    puppet.take();
    request(&mut puppet, 3);
    request(&mut puppet, 4);
    assert_eq!(puppet.lines(), [""; 0]);
    assert!(puppet.stack.discards().of(Discard::TcpBacklog) > 0);
    puppet.accept(listener);
    puppet.accept(listener);
    // The peers try again, as TCP does, and find room.
    handshake(&mut puppet, 3);
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(resets(&mut puppet), 0);
}

#[test]
fn an_ack_that_finds_the_backlog_full_may_come_again() {
    let (mut puppet, listener) = listening(|options| options.backlog = 1);
    let first = request(&mut puppet, 1);
    let second = request(&mut puppet, 2);
    complete(&mut puppet, 1, first, b"");
    complete(&mut puppet, 2, second, b"data");
    assert_eq!(resets(&mut puppet), 0);
    puppet.accept(listener);
    // Its SYN-ACK is repeated, which draws the ACK again; or it repeats its data.
    puppet.run_for(Duration::from_secs(1));
    assert_eq!(puppet.take().iter().filter(|seen| seen.flags.contains(SYN)).count(), 1);
    complete(&mut puppet, 2, second, b"data");
    puppet.accept(listener);
    assert_eq!(puppet.read(10), b"data");
}

#[test]
fn a_burst_of_a_thousand_connections_loses_none() {
    let (mut puppet, listener) = listening(|options| options.backlog = 1_000);
    let numbers: Vec<(u16, SeqNum)> = (1..=1_000).map(|port| (port, request(&mut puppet, port))).collect();
    for (port, isn) in numbers {
        complete(&mut puppet, port, isn, b"");
    }
    for _ in 0..1_000 {
        puppet.accept(listener);
    }
    assert_eq!(resets(&mut puppet), 0);
    assert_eq!(puppet.stack.tcp_counts().0, 1_000);
}

#[test]
fn a_flood_of_syns_is_bounded_resets_nobody_and_leaves_the_established_alone() {
    // RFC 4987, where the owner wants no cookies.
    let mut config = Config::default();
    config.tcp.syn_cookies = SynCookies::Never;
    let mut puppet = Puppet::new(config);
    let mut options = ListenOptions::default();
    options.handshakes = 1_024;
    let listener = puppet.listen(options);
    let everywhere = Cidr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0).expect("no bits of 32");
    let via = Some(IpAddr::V4(PUPPET));
    let route = Route { destination: everywhere, via, interface: puppet.interface, metric: 0, mtu: None };
    puppet.stack.add_route(route).expect("a gateway on the link");
    let isn = request(&mut puppet, 1);
    complete(&mut puppet, 1, isn, b"");
    puppet.accept(listener);
    for n in 0..50_000_u32 {
        let source = Ipv4Addr::from_bits(0x0a00_0000 + n);
        let frame = puppet.frame_between(
            SocketAddrV4::new(source, 1_025),
            SocketAddrV4::new(ENGINE, 80),
            &seg(n).flags(SYN).mss(1460),
        );
        puppet.send_frame(&frame);
        if n % 10_000 == 0 {
            let ack = isn + 1 - puppet.engine_isn();
            from(&mut puppet, 1, &seg(1 + n / 10_000).ack(ack).text(b"x"));
            assert_eq!(puppet.read(10), b"x");
        }
    }
    assert_eq!(puppet.take().iter().filter(|seen| seen.flags.contains(SYN)).count(), 1_025);
    assert!(puppet.stack.tcp_counts().0 <= 1_025, "{:?}", puppet.stack.tcp_counts());
    assert_eq!(resets(&mut puppet), 0);
    // They are forgotten in time, and the listener serves again.
    puppet.run_for(Duration::from_secs(128));
    assert_eq!(puppet.stack.tcp_counts().0, 1);
    handshake(&mut puppet, 9);
    puppet.accept(listener);
    assert_eq!(resets(&mut puppet), 0);
}

#[test]
fn ten_thousand_half_open_connections_are_kept_and_forgotten() {
    let (mut puppet, listener) = listening(|options| {
        options.handshakes = 10_000;
        options.backlog = 10_000;
    });
    let numbers: Vec<(u16, SeqNum)> = (1..=10_000).map(|port| (port, request(&mut puppet, port))).collect();
    assert_eq!(puppet.stack.tcp_counts(), (10_000, 0));
    puppet.take_frames();
    for &(port, isn) in numbers.iter().step_by(10) {
        complete(&mut puppet, port, isn, b"");
    }
    for _ in 0..1_000 {
        puppet.accept(listener);
    }
    puppet.run_for(Duration::from_secs(130));
    assert_eq!(puppet.stack.tcp_counts(), (1_000, 0));
    assert!(puppet.stack.poll_timeout().is_never());
}

#[test]
fn a_reset_in_the_handshake_frees_its_place() {
    let (mut puppet, _) = listening(|options| options.handshakes = 1);
    for port in 1..=5 {
        from(&mut puppet, port, &seg(0).flags(SYN).mss(1460));
        assert_eq!(puppet.take().len(), 1);
        from(&mut puppet, port, &seg(1).flags(TcpFlags::RST));
    }
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn a_connection_that_was_reset_before_accept_is_still_handed_out_with_its_bytes_and_error() {
    let (mut puppet, listener) = listening(|_| {});
    handshake(&mut puppet, 1);
    from(&mut puppet, 1, &seg(1).ack(1).text(b"hi"));
    from(&mut puppet, 1, &seg(3).flags(TcpFlags::RST));
    puppet.accept(listener);
    assert_eq!(puppet.read(10), b"hi");
    assert_eq!(puppet.error(), Some(stack::tcp::TcpError::Reset));
}

#[test]
fn ending_a_listener_resets_what_nobody_accepted_and_keeps_what_somebody_did() {
    let (mut puppet, listener) = listening(|_| {});
    handshake(&mut puppet, 1);
    puppet.accept(listener);
    handshake(&mut puppet, 2);
    from(&mut puppet, 3, &seg(0).flags(SYN).mss(1460));
    puppet.take();
    puppet.stack.tcp_unlisten(puppet.instant(), listener);
    puppet.drain();
    assert_eq!(resets(&mut puppet), 2);
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.stack.tcp_counts(), (1, 0));
    from(&mut puppet, 4, &seg(0).flags(SYN).mss(1460));
    assert_eq!(resets(&mut puppet), 1, "nobody listens any more");
    assert_eq!(puppet.stack.tcp_listener_address(listener), None);
}

#[test]
fn the_most_specific_listener_takes_the_connection() {
    let (mut puppet, specific) = listening(|options| options.reuse_address = true);
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);
    let mut options = ListenOptions::default();
    assert_eq!(puppet.stack.tcp_listen(any, options), Err(BindError::InUse));
    options = ListenOptions::default();
    options.reuse_address = true;
    let wildcard = puppet.stack.tcp_listen(any, options).expect("both said that they share");
    handshake(&mut puppet, 1);
    let now = puppet.instant();
    assert!(puppet.stack.tcp_accept(now, wildcard).is_none());
    assert!(puppet.stack.tcp_accept(now, specific).is_some());
    assert!(
        puppet.stack.tcp_listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 81), ListenOptions::default())
            == Err(BindError::NotAvailable)
    );
}

#[test]
fn port_zero_listens_on_a_free_port() {
    let mut puppet = Puppet::new(Config::default());
    let mut ports = Vec::new();
    for _ in 0..20 {
        let any = SocketAddr::new(ENGINE.into(), 0);
        let listener = puppet.stack.tcp_listen(any, ListenOptions::default()).expect("a free port");
        ports.push(puppet.stack.tcp_listener_address(listener).expect("a listener").port());
    }
    assert!(ports.iter().all(|&port| port >= 1_024));
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 20);
}

#[test]
fn an_owner_that_has_not_looked_yet_is_told_once() {
    let (mut puppet, listener) = listening(|_| {});
    let numbers: Vec<(u16, SeqNum)> = (1..=3).map(|port| (port, request(&mut puppet, port))).collect();
    puppet.events.clear();
    for (port, isn) in numbers {
        let ack = isn + 1 - puppet.engine_isn();
        let from = SocketAddrV4::new(PUPPET, port);
        let frame = puppet.frame_between(from, SocketAddrV4::new(ENGINE, 80), &seg(1).ack(ack));
        puppet.stack.handle_frame(puppet.instant(), puppet.interface, &RxFrame::plain(&frame));
    }
    puppet.drain();
    assert_eq!(Vec::from_iter(puppet.events.drain(..)), [Event::Accept(listener)]);
    // Having looked, it is told of what comes then.
    handshake(&mut puppet, 4);
    assert_eq!(Vec::from_iter(puppet.events.drain(..)), [Event::Accept(listener)]);
}

#[test]
fn the_handshakes_of_an_address_that_went_take_up_no_room_when_it_is_back() {
    let mut config = Config::default();
    config.tcp.syn_cookies = SynCookies::Never;
    let mut puppet = Puppet::new(config);
    let mut options = ListenOptions::default();
    options.handshakes = 1;
    let listener = puppet.listen(options);
    request(&mut puppet, 1);
    let now = puppet.instant();
    puppet.stack.remove_address(now, puppet.interface, IpAddr::V4(ENGINE));
    let cidr = Cidr::new(IpAddr::V4(ENGINE), 24).expect("24 bits of 32");
    puppet.stack.add_address(now, puppet.interface, cidr).expect("an address for a host");
    puppet.drain();
    puppet.take_frames();
    handshake(&mut puppet, 2);
    puppet.accept(listener);
    assert_eq!(puppet.phase(), Phase::Established);
}
