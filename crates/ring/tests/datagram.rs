//! Datagrams keep their boundaries and everything that goes with them.

mod common;

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use common::{Random, bytes_at};
use wharf_ring::datagram::{self, Full, HEADER_LEN, Record};
use wharf_ring::{self as ring, Span};

fn record(random: &mut Random) -> Record {
    let port = random.next() as u16;
    let remote: SocketAddr = match random.below(2) {
        0 => SocketAddr::new(IpAddr::from((random.next() as u32).to_be_bytes()), port),
        _ => SocketAddrV6::new(u128::from(random.next()).into(), port, 0, random.next() as u32).into(),
    };
    let local = match random.below(3) {
        0 => None,
        1 => Some(IpAddr::from((random.next() as u32).to_be_bytes())),
        _ => Some(IpAddr::from((u128::from(random.next()) << 64).to_be_bytes())),
    };
    Record { remote, local, interface: random.next() as u32, tos: random.next() as u8, ttl: random.next() as u8 }
}

#[test]
fn the_header_is_as_documented() {
    let (mut producer, mut consumer) = ring::heap(1000);
    let record = Record {
        remote: "192.0.2.1:4660".parse().unwrap(),
        local: Some("2001:db8::7".parse().unwrap()),
        interface: 0x0102_0304,
        tos: 0xb8,
        ttl: 64,
    };
    datagram::push(&mut producer, &record, b"payload").unwrap();
    let mut bytes = [0; 100];
    assert_eq!(consumer.read(&mut bytes), HEADER_LEN + 7);
    assert_eq!(bytes[..16], [0xd6, 0b1001, 7, 0, 0xb8, 64, 0x34, 0x12, 4, 3, 2, 1, 0, 0, 0, 0]);
    assert_eq!(bytes[16..32], [192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[32..48], [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(&bytes[48..55], b"payload");
}

#[test]
fn records_agree_with_a_queue_under_random_operations() {
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let (mut producer, mut consumer) = ring::heap_with_first_chunk(200 + random.size(200_000), 64);
        let mut model: VecDeque<(Record, Vec<u8>)> = VecDeque::new();
        for step in 0..400u64 {
            if random.below(2) == 0 {
                let record = record(&mut random);
                let payload = bytes_at(step, random.size(65_535));
                let fits = HEADER_LEN + payload.len() <= producer.free();
                let cut = random.below(payload.len() + 1);
                let pieces = [&payload[..cut], &payload[cut..]].map(Span::from_slice);
                let before = producer.position();
                let result = datagram::push_spans(&mut producer, &record, &pieces);
                assert_eq!(result, if fits { Ok(()) } else { Err(Full) }, "seed {seed}, step {step}");
                if fits {
                    model.push_back((record, payload));
                } else {
                    assert_eq!(producer.position(), before, "nothing of it is written");
                }
            } else if random.below(8) == 0 {
                assert_eq!(datagram::skip(&mut consumer), model.pop_front().is_some());
            } else {
                let mut to = vec![0; random.size(65_535)];
                let expected = model.pop_front();
                let peeked = datagram::peek(&consumer);
                let popped = datagram::pop(&mut consumer, &mut to);
                assert_eq!(popped, expected.as_ref().map(|(record, payload)| (*record, payload.len())));
                assert_eq!(peeked, popped);
                if let Some((_, payload)) = expected {
                    let n = to.len().min(payload.len());
                    assert_eq!(to[..n], payload[..n], "seed {seed}, step {step}");
                }
            }
        }
        assert!(!consumer.is_poisoned());
    }
}

#[test]
fn the_largest_datagram_fits_and_a_larger_one_does_not() {
    let (mut producer, mut consumer) = ring::heap(1 << 20);
    let record = record(&mut Random::new(0));
    assert_eq!(datagram::push(&mut producer, &record, &[1; 65_536]), Err(Full));
    assert_eq!(datagram::push(&mut producer, &record, &[1; 65_535]), Ok(()));
    assert_eq!(datagram::push(&mut producer, &record, &[]), Ok(()));
    assert_eq!(datagram::pop(&mut consumer, &mut [0; 10]), Some((record, 65_535)), "the rest is lost");
    assert_eq!(datagram::pop(&mut consumer, &mut []), Some((record, 0)), "an empty datagram is one");
    assert_eq!(datagram::pop(&mut consumer, &mut []), None);
}
