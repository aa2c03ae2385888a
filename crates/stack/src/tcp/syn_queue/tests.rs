//! The lists stay in order whatever is added, answered, repeated and removed.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use super::*;
use crate::config::TcpConfig;
use crate::entropy::Entropy;
use crate::handle::Table;

fn entry(number: u32, interface: InterfaceId, listener: ListenerId) -> HalfOpen {
    let remote = IpAddr::V4(Ipv4Addr::from_bits(number));
    let flow = Flow { local: IpAddr::V4(Ipv4Addr::LOCALHOST), remote, local_port: 80, remote_port: 1_025 };
    let syn = PeerSyn {
        seq: SeqNum(number),
        timestamp: None,
        window: 1_000,
        mss: 536,
        scale: None,
        sack: false,
        flags: wire::tcp::TcpFlags::SYN,
    };
    HalfOpen {
        flow,
        interface,
        listener,
        syn,
        isn: SeqNum(number),
        answered_at: Instant::ZERO,
        retries: 0,
        repeated: false,
        taken: 0,
        grant: false,
        pending: false,
        user_timeout: None,
        says_more: false,
        measurable: true,
    }
}

fn slot_of(queue: &SynQueue, number: u32) -> u32 {
    let found = queue.pick(|half| half.isn == SeqNum(number));
    assert_eq!(found.len(), 1, "it is there, once");
    found[0]
}

#[test]
fn a_slot_is_small() {
    assert!(size_of::<Slot>() <= 112, "{}", size_of::<Slot>());
}

#[test]
fn agrees_with_a_plain_list_of_deadlines() {
    let config = Tuning::new(TcpConfig::default());
    let mut entropy = Entropy::new([3; 32]);
    let interface: InterfaceId = Table::new().insert(());
    let listener: ListenerId = Table::new().insert(());
    let mut queue = SynQueue::new();
    // Number, deadline once it was answered, retries.
    let mut model: Vec<(u32, Option<Instant>, u8)> = Vec::new();
    let mut now = Instant::from_secs(1);
    for number in 0..20_000 {
        now += Duration::from_millis(entropy.below(40));
        match entropy.below(8) {
            0..3 => {
                queue.insert(interface, number, || entry(number, interface, listener));
                model.push((number, None, 0));
            }
            3 if !model.is_empty() => {
                let (which, ..) = model.remove(entropy.below(model.len() as u64) as usize);
                let at = slot_of(&queue, which);
                assert_eq!(queue.remove(at).isn, SeqNum(which));
            }
            4 if !model.is_empty() => {
                let at = entropy.below(model.len() as u64) as usize;
                let index = slot_of(&queue, model[at].0);
                queue.make_due(index);
                model[at].1 = None;
            }
            _ => {
                while let Some(index) = queue.first_due(interface) {
                    queue.answered(now, index, &config);
                    let number = queue.at(index).isn.0;
                    let row = model.iter_mut().find(|row| row.0 == number).expect("it is there");
                    row.1 = Some(now + Duration::from_secs(1 << row.2));
                }
            }
        }
        let next = model.iter().filter_map(|row| row.1).min().unwrap_or(Instant::NEVER);
        assert!(queue.next_deadline(&config) <= next);
        assert!(!model.is_empty() || queue.next_deadline(&config).is_never());
        assert_eq!(queue.len(), model.len());
        assert_eq!(queue.has_due(interface), model.iter().any(|row| row.1.is_none()));
        while let Some(index) = queue.first_expired(now, &config) {
            let number = queue.at(index).isn.0;
            let at = model.iter().position(|row| row.0 == number).expect("it is there");
            assert!(model[at].1.is_some_and(|deadline| deadline <= now));
            if model[at].2 == 3 {
                queue.remove(index);
                model.remove(at);
                continue;
            }
            queue.make_due(index);
            queue.at_mut(index).retries += 1;
            model[at].1 = None;
            model[at].2 += 1;
        }
        // Whoever was told the time and has come finds it later.
        assert!(queue.next_deadline(&config) > now);
    }
}
