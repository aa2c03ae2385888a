//! Messages over headers that their flow keeps: the same frames as over a path's template, and nothing out of date.

use super::*;
use crate::link::flow_headers::Message;
use crate::link::template::Plainly;
use crate::tcp::Flow;
use wire::tcp::{SeqNum, TcpFlags, TcpOptions, Timestamps};

const NAME: u64 = 7 << 32 | 3;
const FLOW: Flow = Flow { local: IpAddr::V4(OURS), remote: IpAddr::V4(PEER), local_port: 4_660, remote_port: 80 };

/// A scene in which the way to the peer is known.
fn scene(tx_checksum: bool) -> Scene {
    let mut scene = Scene::with(|config| config.capabilities.tx_checksum = tx_checksum);
    scene.send(Instant::ZERO, b"x", None);
    scene.claim(Instant::ZERO, 2, true);
    scene.send(Instant::ZERO, b"x", None);
    scene.port.frames.clear();
    scene
}

fn message(scene: &Scene, text: &'static [u8]) -> Message<'static> {
    Message {
        name: NAME,
        interface: scene.interface,
        seq: SeqNum(0xfedc_ba98),
        ack: SeqNum(5),
        flags: TcpFlags::ACK | TcpFlags::PSH,
        window: 513,
        timestamps: None,
        text: Span::from_slice(text),
    }
}

const TOS: u8 = 0xb8;
const HOP_LIMIT: u8 = 9;

fn learn(scene: &mut Scene, message: &Message<'_>) {
    scene.net.learn_flow(message.name, message.interface, &FLOW, TOS, HOP_LIMIT);
}

#[test]
fn a_message_is_the_same_frame_over_its_flows_headers_as_over_its_paths_template() {
    static TEXT: [u8; 1_448] = [0xa5; 1_448];
    for tx_checksum in [false, true] {
        for timestamps in [None, Some(Timestamps { value: 0xffff_fffe, echo: 77 })] {
            for len in [6, 7, 64, 1_448] {
                let mut scene = scene(tx_checksum);
                let message = Message { timestamps, ..message(&scene, &TEXT[..len]) };
                learn(&mut scene, &message);
                assert_eq!(scene.net.transmit_message(&mut scene.port, &message), Plainly::Sent);
                let Message { interface, seq, ack, flags, window, text: payload, .. } = message;
                let (hop_limit, tos) = (HOP_LIMIT, TOS);
                let options = TcpOptions { timestamps, ..TcpOptions::NONE }.usual().expect("no others");
                let plain =
                    PlainSegment { interface, flow: &FLOW, hop_limit, tos, seq, ack, flags, window, options, payload };
                assert_eq!(scene.net.transmit_plain(&mut scene.port, &plain), Plainly::Sent);
                let (first, second) = (scene.port.frames.pop_front(), scene.port.frames.pop_front());
                assert!(first.is_some() && first == second, "{len} bytes: {first:?} {second:?}");
                let (last, before) = (scene.port.checksums.pop(), scene.port.checksums.pop());
                assert_eq!(last, before);
                let stats = scene.net.traffic.of(interface);
                assert_eq!((stats.tx_packets, stats.tx_bytes % 2), (3, 1), "one byte alone, and a frame twice");
            }
        }
    }
}

#[test]
fn a_flows_headers_are_not_used_for_what_they_do_not_fit() {
    static LONG: [u8; 1_500] = [1; 1_500];
    let mut scene = scene(false);
    let usual = message(&scene, &LONG[..100]);
    assert_eq!(scene.net.transmit_message(&mut scene.port, &usual), Plainly::NotSo, "not learnt");
    learn(&mut scene, &usual);
    let other = InterfaceId::from_bits(usual.interface.to_bits() + 1);
    let text = |len: usize| Span::from_slice(&LONG[..len]);
    let unfit = [
        Message { name: NAME + 64, ..message(&scene, &LONG[..100]) },
        Message { interface: other, ..message(&scene, &LONG[..100]) },
        // Below Ethernet's least frame, and beyond the path's packets.
        Message { text: text(5), ..message(&scene, &[]) },
        Message { text: text(1_461), ..message(&scene, &[]) },
    ];
    for (at, message) in unfit.iter().enumerate() {
        assert_eq!(scene.net.transmit_message(&mut scene.port, message), Plainly::NotSo, "number {at}");
    }
    assert!(scene.port.frames.is_empty());
    let most = Message { text: text(1_460), ..message(&scene, &[]) };
    assert_eq!(scene.net.transmit_message(&mut scene.port, &most), Plainly::Sent);
    // The path is another.
    scene.net.changed();
    assert_eq!(scene.net.transmit_message(&mut scene.port, &usual), Plainly::NotSo);
}

#[test]
fn headers_that_were_forgotten_are_learnt_with_the_new_class_and_life() {
    let mut scene = scene(false);
    let message = message(&scene, &[2; 10]);
    learn(&mut scene, &message);
    // Another flow's, in the same place.
    scene.net.forget_flow(NAME + 64);
    assert_eq!(scene.net.transmit_message(&mut scene.port, &message), Plainly::Sent);
    scene.port.frames.clear();
    scene.net.forget_flow(NAME);
    assert_eq!(scene.net.transmit_message(&mut scene.port, &message), Plainly::NotSo);
    scene.net.learn_flow(message.name, message.interface, &FLOW, 0x20, 3);
    assert_eq!(scene.net.transmit_message(&mut scene.port, &message), Plainly::Sent);
    let frame = scene.port.frames.pop_front().expect("sent");
    let (header, _) = Ipv4Header::parse(&frame[14..]).expect("a good sum");
    assert_eq!((frame[15], header.ttl), (0x20, 3));
}

#[test]
fn a_message_that_the_device_refuses_is_still_owed_and_one_that_it_loses_is_counted() {
    let mut scene = scene(false);
    let message = message(&scene, &[3; 50]);
    learn(&mut scene, &message);
    scene.port.room = 0;
    assert_eq!(scene.net.transmit_message(&mut scene.port, &message), Plainly::DeviceFull);
    scene.port.broken = true;
    assert_eq!(scene.net.transmit_message(&mut scene.port, &message), Plainly::Sent);
    assert_eq!(scene.net.discards.of(Discard::LinkLost), 1);
}
