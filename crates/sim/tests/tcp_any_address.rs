//! Any-address mode: the owner decides about each connection request, whatever address it is for.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use sim::Puppet;
use sim::puppet::{ENGINE, PUPPET, seg};
use stack::ip::icmp::ErrorKind;
use stack::tcp::{ConnectionId, ListenOptions, Phase, Refusal};
use stack::{Config, Discard, Event};
use wire::protocol::Protocol;
use wire::tcp::TcpFlags;

const ELSEWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(203, 0, 113, 5), 443);

fn syn(puppet: &mut Puppet, port: u16) {
    let from = SocketAddrV4::new(PUPPET, port);
    puppet.send_frame(&puppet.frame_between(from, ELSEWHERE, &seg(0).flags(TcpFlags::SYN).mss(1460)));
}

fn asked(puppet: &mut Puppet) -> Vec<ConnectionId> {
    puppet
        .events
        .drain(..)
        .filter_map(|event| match event {
            Event::TcpIncoming { connection, local, .. } => {
                assert_eq!(local, SocketAddr::V4(ELSEWHERE));
                Some(connection)
            }
            _ => None,
        })
        .collect()
}

fn admit(puppet: &mut Puppet, id: ConnectionId) -> bool {
    let now = puppet.instant();
    let accepted = puppet.stack.tcp_admit(now, id);
    let admitted = accepted.is_some();
    if let Some(accepted) = accepted {
        assert_eq!(accepted.connection, id);
        puppet.connection = Some(id);
        puppet.rings = Some(accepted.rings);
    }
    puppet.drain();
    admitted
}

#[test]
fn nothing_is_answered_until_the_owner_decides_and_admitting_completes_the_handshake() {
    let mut puppet = Puppet::any_address(Config::default());
    syn(&mut puppet, 1);
    puppet.run_for(Duration::from_secs(30));
    syn(&mut puppet, 1);
    assert_eq!(puppet.lines(), [""; 0]);
    let id = asked(&mut puppet);
    assert_eq!(id.len(), 1, "asked once, although the SYN came twice");
    assert!(admit(&mut puppet, id[0]));
    assert_eq!(puppet.lines(), ["30.000 S. 0:0 ack 1"]);
    let ack = puppet.frame_between(SocketAddrV4::new(PUPPET, 1), ELSEWHERE, &seg(1).ack(1).text(b"hi"));
    puppet.send_frame(&ack);
    assert_eq!(puppet.phase(), Phase::Established);
    assert_eq!(puppet.read(10), b"hi");
}

#[test]
fn a_refusal_is_a_reset_an_icmp_error_or_silence() {
    let mut puppet = Puppet::any_address(Config::default());
    for (port, refusal) in
        [(1, Refusal::Reset), (2, Refusal::Unreachable(ErrorKind::HostUnreachable)), (3, Refusal::Silent)]
    {
        syn(&mut puppet, port);
        let id = asked(&mut puppet)[0];
        let now = puppet.instant();
        puppet.stack.tcp_refuse(now, id, refusal);
        puppet.drain();
        let frames = puppet.take_frames();
        match refusal {
            Refusal::Reset => assert_eq!((frames.len(), frames[0][14 + 20 + 13]), (1, 0x14), "RST and ACK"),
            Refusal::Unreachable(_) => {
                assert_eq!((frames.len(), frames[0][14 + 9]), (1, Protocol::ICMP.0));
                assert_eq!(frames[0][14 + 20..14 + 22], [3, 1], "host unreachable");
            }
            Refusal::Silent => assert_eq!(frames.len(), 0),
        }
        assert_eq!(puppet.stack.tcp_counts(), (0, 0));
    }
    // Refused in silence, the peer tries again and the owner is asked again.
    syn(&mut puppet, 3);
    assert_eq!(asked(&mut puppet).len(), 1);
}

#[test]
fn a_listener_of_ours_is_not_the_owners_to_decide() {
    let mut puppet = Puppet::any_address(Config::default());
    puppet.listen(ListenOptions::default());
    puppet.send(&seg(0).flags(TcpFlags::SYN).mss(1460));
    assert_eq!(puppet.take().len(), 1);
    assert_eq!(asked(&mut puppet).len(), 0);
    assert_eq!(puppet.port, 80);
    assert_eq!(ENGINE, Ipv4Addr::new(192, 0, 2, 1));
}

#[test]
fn what_waits_for_the_owner_is_bounded_and_the_rest_is_silently_counted() {
    let mut config = Config::default();
    config.tcp.held_limit = 100;
    let mut puppet = Puppet::any_address(config);
    for port in 1..=1_000 {
        syn(&mut puppet, port);
    }
    assert_eq!(puppet.stack.tcp_counts().0, 100);
    assert_eq!(puppet.stack.discards().of(Discard::TcpBacklog), 900);
    assert_eq!(puppet.lines(), [""; 0]);
    let ids = asked(&mut puppet);
    assert_eq!(ids.len(), 100);
    let now = puppet.instant();
    puppet.stack.tcp_refuse(now, ids[0], Refusal::Silent);
    syn(&mut puppet, 2_000);
    assert_eq!(asked(&mut puppet).len(), 1, "room again");
}

#[test]
fn a_peer_that_gives_up_while_the_owner_thinks_costs_nothing_more() {
    // A guest that sends SYN and RST in turn while the owner dials must not fill the engine.
    let mut config = Config::default();
    config.tcp.held_limit = 10;
    let mut puppet = Puppet::any_address(config);
    let mut ids = Vec::new();
    for _ in 0..1_000 {
        syn(&mut puppet, 1);
        ids.extend(asked(&mut puppet));
        let from = SocketAddrV4::new(PUPPET, 1);
        puppet.send_frame(&puppet.frame_between(from, ELSEWHERE, &seg(1).flags(TcpFlags::RST)));
    }
    assert!(puppet.stack.tcp_counts().0 <= 10, "{:?}", puppet.stack.tcp_counts());
    assert_eq!(ids.len(), 1_000);
    for id in ids {
        assert!(!admit(&mut puppet, id), "it has given up");
        let now = puppet.instant();
        puppet.stack.tcp_refuse(now, id, Refusal::Reset);
    }
    puppet.drain();
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.stack.tcp_counts(), (0, 0));
}

#[test]
fn closing_in_syn_received_after_admitting_finishes_once_the_peer_has_acknowledged() {
    let mut puppet = Puppet::any_address(Config::default());
    syn(&mut puppet, 1);
    let id = asked(&mut puppet)[0];
    assert!(admit(&mut puppet, id));
    puppet.write(b"bye");
    puppet.close();
    puppet.run_for(Duration::from_secs(1));
    assert_eq!(puppet.lines(), ["0.000 S. 0:0 ack 1", "1.000 S. 0:0 ack 1"]);
    let ack = puppet.frame_between(SocketAddrV4::new(PUPPET, 1), ELSEWHERE, &seg(1).ack(1));
    puppet.send_frame(&ack);
    assert_eq!(puppet.lines(), ["1.000 FP. 1:4 ack 1"]);
}
