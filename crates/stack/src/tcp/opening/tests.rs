//! A connection that is made at once against one that is led through the handshake step by step.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use ring::Budget;

use super::*;
use crate::entropy::Entropy;
use crate::handle::{Handle, Table};
use crate::tcp::challenge::ChallengeLimit;
use crate::tcp::congestion::Algorithm;
use crate::tcp::ecn::Ecn;
use crate::tcp::input::{Env, Incoming};
use crate::tcp::options::{KeepAlive, SocketOptions};
use crate::tcp::tuning::Tuning;

/// All that is known of a connection but its rings, where it stands in tables, and what is owed to the owner's turn.
fn figures(connection: &Connection) -> alloc::string::String {
    let Connection { flow, phase, interface, mss, snd, rcv, timestamps, rtt, deadlines, .. } = connection;
    let Connection { last_heard, last_sent, unanswered_since, duplicate_acks_owed, probes, news, error, .. } =
        connection;
    let flags = connection.flags;
    let congestion = &connection.congestion;
    format!(
        "{flow:?} {phase:?} {interface:?} {mss} {snd:?} {rcv:?} {timestamps:?} {rtt:?} {deadlines:?} heard {last_heard:?} sent \
         {last_sent:?} since {unanswered_since:?} {duplicate_acks_owed} {probes} {news:?} {error:?} {flags:?} {congestion:?} granted {}",
        connection.send.granted(),
    )
}

#[test]
fn what_is_made_at_once_is_what_the_handshakes_steps_come_to() {
    let mut chance = Entropy::new([9; 32]);
    let (local, remote) = (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)));
    let interface: InterfaceId = Table::new().insert(());
    let budget = Budget::new(1 << 30);
    for case in 0..4_000 {
        let mut one_of = |most: u64| chance.below(most);
        let config = TcpConfig {
            congestion: [Algorithm::NewReno, Algorithm::Cubic, Algorithm::Bbr][one_of(3) as usize],
            ecn: [Ecn::Off, Ecn::Passive][one_of(2) as usize],
            ..TcpConfig::default()
        };
        let mut socket = SocketOptions {
            pacing: one_of(3) == 0,
            max_pacing_rate: (one_of(3) == 0).then_some(1_000_000),
            receive_buffer: (one_of(3) == 0).then_some(20_000),
            send_buffer: (one_of(3) == 0).then_some(30_000),
            ..SocketOptions::default()
        };
        if one_of(3) == 0 {
            socket.congestion = Some(Algorithm::Bbr);
        }
        if one_of(3) == 0 {
            let (idle, interval) = (Duration::from_secs(9), Duration::from_secs(1));
            socket.keep_alive = Some(KeepAlive { idle, interval, probes: 3 });
        }
        let options = Arc::new(socket);
        let timestamp = (one_of(2) == 0).then_some(77);
        let syn = PeerSyn {
            seq: SeqNum(one_of(1 << 32) as u32),
            timestamp,
            window: one_of(65_536) as u16,
            mss: 500 + one_of(1_000) as u16,
            scale: (one_of(3) > 0).then_some(one_of(15) as u8),
            sack: one_of(2) == 0,
            flags: if one_of(3) == 0 { TcpFlags::SYN | TcpFlags::ECE | TcpFlags::CWR } else { TcpFlags::SYN },
        };
        let answered_at = Instant::from_millis(1_000 + one_of(100));
        let now = Instant::from_millis(1_100 + one_of(900));
        let flow = Flow { local, remote, local_port: 80, remote_port: 1_025 };
        let isn = SeqNum(one_of(1 << 32) as u32);
        let half = HalfOpen {
            flow,
            interface,
            listener: Handle::from_bits(1),
            syn,
            isn,
            answered_at,
            retries: 0,
            repeated: false,
            taken: 0,
            grant: false,
            pending: false,
            user_timeout: None,
            says_more: false,
            measurable: true,
        };
        let offer = (1_000 + one_of(60_000) as u16, one_of(8) as u8);
        let third = Textless {
            seq: syn.seq + 1,
            ack: isn + 1,
            window: 1 + one_of(65_535) as u16,
            fin: false,
            timestamps: timestamp.map(|value| TimestampsOption { value: value + 3, echo: 1 }),
        };
        assert!(half.foresees(&third));
        let (own, timestamp_offset) = (1_460, if timestamp.is_some() { 5 } else { 0 });
        let born = || {
            let (mut rings, application) = heap_rings(1 << 16, 1 << 17);
            let options = Arc::clone(&options);
            let offering = begin_buffers(&mut rings, &options, &config);
            let aside = Shelf::EMPTY;
            let birth = Birth { flow: &flow, interface, isn, mss: own, timestamp_offset, options, offering, aside };
            (birth, rings, application)
        };
        let (birth, rings, _at_once) = born();
        let at_once = Connection::accepted(now, birth, rings, &half, offer, &third, &config);

        // `Tcp::add_connection_of`, `Tcp::complete_reserved`, and what `Tcp::settle` would do about times.
        let tuning = Tuning::new(config.clone());
        let (birth, rings, _by_steps) = born();
        let mut by_steps = Connection::new(now, Phase::SynReceived, birth, rings, &config);
        by_steps.rcv.scale = offer.1;
        by_steps.on_peer_syn(now, &syn, &config);
        by_steps.rcv.edge = by_steps.rcv.nxt + u32::from(offer.0);
        by_steps.snd.nxt = isn + 1;
        by_steps.last_sent = answered_at;
        by_steps.unanswered_since = answered_at;
        let mut challenge = ChallengeLimit::new(1_000, Entropy::new([1; 32]));
        let mut env = Env { now, config: &tuning, challenge: &mut challenge, budget: &budget };
        let header = TcpHeader {
            src_port: 1_025,
            dst_port: 80,
            seq: third.seq,
            ack: third.ack,
            flags: TcpFlags::ACK,
            window: third.window,
            urgent: 0,
            options: TcpOptions { timestamps: third.timestamps, ..TcpOptions::NONE },
        };
        let mut segment = Incoming { header, ..Incoming::default() };
        by_steps.on_segment(&mut env, &mut segment).expect("the segment that was waited for");
        let mut figures = vec![figures(&at_once), figures(&by_steps)];
        let second = figures.pop();
        assert_eq!(figures.pop(), second, "case {case}");
    }
}
