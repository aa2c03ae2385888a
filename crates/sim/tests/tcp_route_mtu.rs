//! A route that takes less than its link: what is announced and what is sent there fit it (RFC 9293 section 3.7.1, RFC 6691).

use std::net::IpAddr;
use std::time::Duration;

use sim::puppet::{ENGINE, PUPPET, Puppet, seg};
use stack::Config;
use stack::ip::routes::{Route, RouteError};
use stack::tcp::{ConnectOptions, ListenOptions, SocketOptions};
use wire::cidr::Cidr;
use wire::tcp::TcpFlags;

use crate::tcp_icmp::{fragmentation_needed, quoting};

const SYN: TcpFlags = TcpFlags::SYN;

/// A host whose link takes 1,500 bytes, and whose way to the puppet `mtu`.
fn behind(mtu: u32, config: Config) -> Puppet {
    let mut puppet = Puppet::new(config);
    let destination = Cidr::host(IpAddr::V4(PUPPET));
    let route = Route { destination, via: None, interface: puppet.interface, metric: 0, mtu: Some(mtu) };
    puppet.stack.add_route(route).expect("a route on the link");
    puppet
}

/// A connection that the host has opened; the puppet takes any segment.
fn opened(mut puppet: Puppet) -> Puppet {
    puppet.connect(&ConnectOptions::default());
    let syn = puppet.take().remove(0);
    assert_eq!(syn.options.mss, Some(1_360));
    puppet.send(&seg(0).flags(SYN).ack(1).mss(1_460));
    puppet.take();
    puppet
}

/// With short ways in the engine, and without.
fn both() -> [Config; 2] {
    let mut whole = Config::default();
    whole.tcp.fast_path = false;
    [Config::default(), whole]
}

#[test]
fn a_connection_announces_and_sends_what_its_route_takes() {
    for config in both() {
        let mut puppet = opened(behind(1_400, config));
        puppet.write(&[1; 2_000]);
        assert_eq!(puppet.lines(), ["0.000 . 1:1361 ack 1", "0.000 P. 1361:2001 ack 1"]);
    }
}

#[test]
fn so_does_one_that_comes_in_and_the_next_by_the_short_way() {
    for config in both() {
        let mut puppet = behind(1_400, config);
        let listener = puppet.listen(ListenOptions::default());
        for turn in 0..3 {
            puppet.send(&seg(turn * 1_000).flags(SYN).mss(1_460).scale(7).sack_permitted());
            let answer = puppet.take().remove(0);
            assert_eq!(answer.options.mss, Some(1_360));
            puppet.send(&seg(turn * 1_000 + 1).flags(TcpFlags::RST));
        }
        puppet.send(&seg(9_000).flags(SYN).mss(1_460));
        puppet.take();
        puppet.send(&seg(9_001).ack(1));
        puppet.accept(listener);
        puppet.write(&[1; 2_000]);
        assert_eq!(puppet.lines()[0], "0.000 . 1:1361 ack 9001");
    }
}

#[test]
fn the_link_takes_no_more_for_a_route_that_would() {
    let mut puppet = behind(9_000, Config::default());
    puppet.connect(&ConnectOptions::default());
    assert_eq!(puppet.take().remove(0).options.mss, Some(1_460));
}

#[test]
fn a_socket_may_ask_for_less() {
    let mut puppet = behind(1_400, Config::default());
    let mut socket = SocketOptions::default();
    socket.max_segment = Some(1_000);
    puppet.connect(&ConnectOptions { socket, ..ConnectOptions::default() });
    assert_eq!(puppet.take().remove(0).options.mss, Some(1_000));
}

#[test]
fn what_icmp_says_lowers_it_further_and_never_raises_it() {
    // RFC 1191 section 6.3.
    let mut puppet = opened(behind(1_400, Config::default()));
    puppet.write(&[1; 1_360]);
    let frame = puppet.take_frames().remove(0);
    puppet.send_frame(&quoting(&frame, 0, fragmentation_needed(1_450)));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.send_frame(&quoting(&frame, 0, fragmentation_needed(1_300)));
    assert_eq!(puppet.lines(), ["0.000 . 1:1261 ack 1", "0.000 P. 1261:1361 ack 1"]);
    // The next connection knows; but what it announces is what may be sent here.
    puppet.send(&seg(1).ack(1_361));
    puppet.close();
    puppet.take();
    puppet.connect(&ConnectOptions::default());
    assert_eq!(puppet.take().remove(0).options.mss, Some(1_360));
}

/// Has `change` made while text is in flight, and returns what leaves then: new text, and what was sent before once more.
fn shrunk_while_in_use(config: Config, change: impl Fn(&mut Puppet)) -> Vec<String> {
    let mut puppet = opened(behind(1_400, config));
    puppet.write(&[1; 1_360]);
    assert_eq!(puppet.lines(), ["0.000 P. 1:1361 ack 1"]);
    change(&mut puppet);
    puppet.write(&[1; 1_000]);
    // RFC 6298: nothing is acknowledged.
    puppet.run_for(Duration::from_millis(700));
    puppet.lines()
}

#[test]
fn text_is_cut_anew_for_a_route_that_takes_less_from_now_on() {
    for config in both() {
        let lines = shrunk_while_in_use(config, |puppet| {
            let route = puppet.stack.routes().into_iter().find(|route| route.mtu.is_some()).expect("the route");
            assert!(puppet.stack.remove_route(route));
            puppet.stack.add_route(Route { mtu: Some(640), ..route }).expect("a route on the link");
        });
        assert_eq!(lines[..2], ["0.000 . 1361:1961 ack 1", "0.000 P. 1961:2361 ack 1"]);
        assert_eq!(lines[2..], ["0.200 . 1:601 ack 1", "0.600 . 1:601 ack 1"]);
    }
}

#[test]
fn and_for_a_link_that_does() {
    for config in both() {
        let lines = shrunk_while_in_use(config, |puppet| {
            let interface = puppet.interface;
            puppet.stack.set_mtu(interface, 640).expect("an MTU that a link can have");
        });
        assert_eq!(lines[..2], ["0.000 . 1361:1961 ack 1", "0.000 P. 1961:2361 ack 1"]);
        assert_eq!(lines[2..], ["0.200 . 1:601 ack 1", "0.600 . 1:601 ack 1"]);
    }
}

#[test]
fn the_subnet_of_an_address_takes_what_its_route_does_once_that_was_made_anew() {
    let mut puppet = Puppet::new(Config::default());
    let own = puppet.stack.routes().into_iter().find(|route| route.interface == puppet.interface).expect("its route");
    let smaller = Route { mtu: Some(1_400), ..own };
    assert_eq!(puppet.stack.add_route(smaller), Err(RouteError::Exists));
    assert!(puppet.stack.remove_route(own));
    puppet.stack.add_route(smaller).expect("there is none any more");
    puppet.connect(&ConnectOptions::default());
    assert_eq!(puppet.take().remove(0).options.mss, Some(1_360));
    // It goes with the address all the same.
    let (now, interface) = (puppet.instant(), puppet.interface);
    assert!(puppet.stack.remove_address(now, interface, ENGINE.into()));
    assert!(puppet.stack.routes().into_iter().all(|route| route.interface != interface));
}
