//! The window that is offered where the edge stays, against the one that is worked out anew.

use alloc::sync::Arc;
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr};

use wire::tcp::SeqNum;

use super::*;
use crate::entropy::Entropy;
use crate::handle::Table;
use crate::link::InterfaceId;
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::begin_buffers;
use crate::tcp::connection::Birth;
use crate::tcp::demux::Flow;
use crate::tcp::options::{SocketOptions, heap_rings};

#[test]
fn a_window_whose_edge_stays_is_the_one_that_a_whole_look_gives() {
    // RFC 7323 section 2.3: rounded up to the unit where there is that much room, and down where there is not.
    let config = TcpConfig::default();
    let now = Instant::from_secs(1);
    let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let interface: InterfaceId = Table::new().insert(());
    let mut chance = Entropy::new([7; 32]);
    let (mut rounded_up, mut rounded_down) = (0, 0);
    for case in 0..20_000 {
        let size = 1_000 + chance.below(9_000) as usize;
        let (mut rings, mut application) = heap_rings(100, size);
        let options = Arc::new(SocketOptions::default());
        let birth = Birth {
            flow: &Flow { local, remote: local, local_port: 80, remote_port: 1_025 },
            interface,
            isn: SeqNum(1),
            mss: 1_460,
            timestamp_offset: 0,
            offering: begin_buffers(&mut rings, &options, &config),
            options,
            aside: Shelf::EMPTY,
        };
        let mut connection = Connection::new(now, Phase::Established, birth, rings, &config);
        let text = chance.below(size as u64 / 2) as usize;
        assert_eq!(connection.receive.write(&vec![1; text]), text);
        let read = chance.below(text as u64 + 1) as usize;
        application.receive.read(&mut vec![0; read]);
        if chance.below(8) == 0 {
            connection.flags.set(Flags::READ_SHUT);
        }
        connection.rcv.scale = chance.below(9) as u8;
        // What the peer holds is at most the room that there is, all but at times to the byte.
        let room = connection.room() as u64;
        let held = [room, room - chance.below(room.min(300) + 1), chance.below(room + 1)][chance.below(3) as usize];
        connection.rcv.edge = connection.rcv.nxt + held as u32;
        let (window, edge) = connection.offer_window();
        let (expected, expected_edge) = connection.offer_anew();
        assert_eq!(window, expected, "case {case}: {held} of {room}, unit {}", 1 << connection.rcv.scale);
        assert_eq!(connection.rcv.edge.later(edge), connection.rcv.edge.later(expected_edge), "case {case}");
        let offered = u64::from(window) << connection.rcv.scale;
        rounded_up += u32::from(offered > held && offered < held + 256);
        rounded_down += u32::from(offered < held);
    }
    assert!(rounded_up > 1_000 && rounded_down > 1_000, "{rounded_up} up, {rounded_down} down");
}
