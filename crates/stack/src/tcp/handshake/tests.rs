//! What a peer's SYN sets, for both families.

use alloc::sync::Arc;
use core::net::{Ipv4Addr, Ipv6Addr};

use wire::tcp::{SeqNum, TcpHeader};

use super::*;
use crate::handle::Table;
use crate::link::InterfaceId;
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::begin_buffers;
use crate::tcp::connection::Birth;
use crate::tcp::demux::Flow;
use crate::tcp::options::{SocketOptions, heap_rings};

/// The segment size that a connection to `remote` over a link of MTU 1500 has after a SYN that announces `mss`.
fn agreed(remote: IpAddr, own: u16, mss: Option<u16>) -> u16 {
    let now = Instant::from_secs(1);
    let config = TcpConfig::default();
    let (mut rings, _application) = heap_rings(100, 100);
    let options = Arc::new(SocketOptions::default());
    let interface: InterfaceId = Table::new().insert(());
    let birth = Birth {
        flow: &Flow { local: remote, remote, local_port: 80, remote_port: 1_025 },
        interface,
        isn: SeqNum(1),
        mss: own,
        timestamp_offset: 0,
        offering: begin_buffers(&mut rings, &options, &config),
        options,
        aside: Shelf::EMPTY,
    };
    let mut connection = Connection::new(now, Phase::SynReceived, birth, rings, &config);
    let header = TcpHeader {
        src_port: 1_025,
        dst_port: 80,
        seq: SeqNum(7),
        ack: SeqNum(0),
        flags: TcpFlags::SYN,
        window: 1_000,
        urgent: 0,
        options: TcpOptions { mss, ..TcpOptions::NONE },
    };
    connection.on_peer_syn(now, &PeerSyn::of(&header, remote, &config), &config);
    connection.mss
}

#[test]
fn a_peer_that_announces_nothing_takes_the_default_of_its_family() {
    // RFC 9293 section 3.7.1.
    assert_eq!(agreed(IpAddr::V4(Ipv4Addr::LOCALHOST), 1_460, None), 536);
    assert_eq!(agreed(IpAddr::V6(Ipv6Addr::LOCALHOST), 1_440, None), 1_220);
}

#[test]
fn the_smaller_of_both_sides_counts_and_never_less_than_is_sensible() {
    let v4 = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(agreed(v4, 1_460, Some(1_000)), 1_000);
    assert_eq!(agreed(v4, 1_460, Some(9_000)), 1_460);
    assert_eq!(agreed(v4, 1_460, Some(0)), 48);
    assert_eq!(agreed(v4, 28, Some(1_460)), 28);
}
