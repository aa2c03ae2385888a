//! Listeners that share an address and port (SO_REUSEPORT).

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, seg};
use stack::Config;
use stack::ports::BindError;
use stack::tcp::{ListenOptions, ListenerId, SynCookies};
use wire::tcp::TcpFlags;

const TO: SocketAddrV4 = SocketAddrV4::new(ENGINE, 80);

fn sharing() -> ListenOptions {
    let mut options = ListenOptions::default();
    options.reuse_port = true;
    options
}

fn handshake(puppet: &mut Puppet, port: u16) {
    let from = SocketAddrV4::new(PUPPET, port);
    puppet.send_frame(&puppet.frame_between(from, TO, &seg(0).flags(TcpFlags::SYN).mss(1460)));
    puppet.send_frame(&puppet.frame_between(from, TO, &seg(1).ack(1)));
}

/// Who accepts the connection from `port`.
fn taker(puppet: &mut Puppet, group: &[ListenerId], port: u16) -> usize {
    handshake(puppet, port);
    let now = puppet.instant();
    let mut takers = Vec::new();
    for (n, &listener) in group.iter().enumerate() {
        if let Some(accepted) = puppet.stack.tcp_accept(now, listener) {
            assert_eq!(accepted.remote.port(), port);
            takers.push(n);
            puppet.stack.tcp_abort(now, accepted.connection);
        }
    }
    puppet.drain();
    puppet.take();
    assert_eq!(takers.len(), 1);
    takers[0]
}

#[test]
fn a_connection_goes_to_one_of_the_group_by_its_flow_and_always_to_the_same() {
    for cookies in [SynCookies::WhenFull, SynCookies::Always] {
        let mut config = Config::default();
        config.tcp.syn_cookies = cookies;
        let mut puppet = Puppet::new(config);
        let group: Vec<ListenerId> = (0..4).map(|_| puppet.listen(sharing())).collect();
        let first: Vec<usize> = (1..=200).map(|port| taker(&mut puppet, &group, port)).collect();
        let again: Vec<usize> = (1..=200).map(|port| taker(&mut puppet, &group, port)).collect();
        assert_eq!(first, again);
        for n in 0..4 {
            let share = first.iter().filter(|&&taker| taker == n).count();
            assert!((25..85).contains(&share), "{share} of 200");
        }
        // One ends: its flows spread over the others, who keep theirs.
        puppet.stack.tcp_unlisten(puppet.instant(), group[0]);
        for (port, before) in (1..=200).zip(first) {
            let now = 1 + taker(&mut puppet, &group[1..], port);
            assert!(before == 0 || before == now);
        }
    }
}

#[test]
fn only_listeners_that_all_say_so_share() {
    let mut puppet = Puppet::new(Config::default());
    let here = SocketAddr::V4(TO);
    puppet.listen(sharing());
    assert_eq!(puppet.stack.tcp_listen(here, ListenOptions::default()), Err(BindError::InUse));
    let mut options = ListenOptions::default();
    options.reuse_address = true;
    assert_eq!(puppet.stack.tcp_listen(here, options), Err(BindError::InUse));
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);
    assert!(puppet.stack.tcp_listen(any, sharing()).is_ok());
    let mut puppet = Puppet::new(Config::default());
    puppet.listen(ListenOptions::default());
    assert_eq!(puppet.stack.tcp_listen(here, sharing()), Err(BindError::InUse));
}

#[test]
fn the_end_of_one_resets_what_stood_in_its_queues_and_hands_nothing_over() {
    let mut puppet = Puppet::new(Config::default());
    let group: Vec<ListenerId> = (0..2).map(|_| puppet.listen(sharing())).collect();
    let mut mine = 0;
    for port in 1..=20 {
        mine += usize::from(taker(&mut puppet, &group, port) == 0);
    }
    for port in 1..=20 {
        handshake(&mut puppet, port);
    }
    puppet.take();
    puppet.stack.tcp_unlisten(puppet.instant(), group[0]);
    puppet.drain();
    let resets = puppet.take().iter().filter(|seen| seen.flags.contains(TcpFlags::RST)).count();
    assert_eq!(resets, mine);
    let now = puppet.instant();
    let kept = std::iter::from_fn(|| puppet.stack.tcp_accept(now, group[1])).count();
    assert_eq!(kept, 20 - mine);
}

#[test]
fn the_specific_address_comes_before_a_group_on_all_of_them() {
    let mut puppet = Puppet::new(Config::default());
    let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 80);
    let mut group: Vec<ListenerId> =
        (0..3).map(|_| puppet.stack.tcp_listen(any, sharing()).expect("they share")).collect();
    group.push(puppet.listen(sharing()));
    assert!((1..=20).all(|port| taker(&mut puppet, &group, port) == 3));
}
