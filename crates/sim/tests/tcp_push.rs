//! Writing and sending in one call (`Stack::tcp_push`): what `tcp_wrote` and `poll_transmit` do one after the other (RFC 9293
//! section 3.9.1.2). `tcp_lone` runs both against each other.

use device::{Capabilities, Device, RxFrame, TransmitError, TxFrame};
use sim::Puppet;
use sim::puppet::seg;
use stack::link::InterfaceConfig;
use stack::tcp::{Algorithm, Phase};
use wire::ethernet::MacAddr;

use crate::tcp_script::{MSS, RTT, established, millis};

/// A connection whose messages go alone, over its flow's headers: two of a hundred bytes were answered.
fn talking() -> Puppet {
    let mut puppet = established(Algorithm::NewReno, RTT);
    for n in 1..=2 {
        puppet.write(&[1; 100]);
        puppet.run_for(millis(1));
        puppet.send(&seg(1).ack(1 + 100 * n));
    }
    puppet.take();
    puppet
}

#[test]
fn a_message_leaves_in_the_call_that_says_it_was_written() {
    let mut puppet = talking();
    assert!(puppet.push(&[2; 100]));
    assert_eq!(puppet.lines(), ["0.102 P. 201:301 ack 1"]);
    puppet.run_for(millis(1));
    puppet.send(&seg(1).ack(301).text(&[3; 10]));
    assert!(puppet.push(&[4; 100]));
    assert_eq!(puppet.lines(), ["0.103 P. 301:401 ack 11"], "with the acknowledgement that was put off");
    puppet.run_for(millis(150));
    assert_eq!(puppet.lines(), [""; 0]);
    assert_eq!(puppet.info().in_flight, 100);
}

#[test]
fn a_message_that_has_more_to_come_does_not() {
    let mut puppet = talking();
    puppet.cork(true);
    assert!(puppet.push(&[2; 100]));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.cork(false);
    assert_eq!(puppet.lines(), ["0.102 P. 201:301 ack 1"]);
}

#[test]
fn what_a_full_device_refuses_leaves_once_when_it_takes_frames_again() {
    let mut puppet = talking();
    puppet.set_device_full(true);
    assert!(!puppet.push(&[2; 100]));
    assert!(!puppet.push(&[2; 20]));
    assert_eq!((puppet.lines(), puppet.info().in_flight), (vec![], 0));
    puppet.run_for(millis(10));
    puppet.set_device_full(false);
    assert_eq!(puppet.lines(), ["0.112 P. 201:321 ack 1"]);
}

#[test]
fn what_arrived_just_before_is_taken_in_first() {
    // Two full segments in order, which may still stand as one: the message acknowledges both.
    let mut puppet = talking();
    for n in 0..2 {
        let frame = puppet.frame(&seg(1 + n * MSS).ack(201).text(&vec![3; MSS as usize]));
        puppet.stack.handle_frame(puppet.instant(), puppet.interface, &RxFrame::plain(&frame));
    }
    assert!(puppet.push(&[2; 100]));
    let line = format!("0.102 P. 201:301 ack {}", 1 + 2 * MSS);
    assert_eq!(puppet.lines(), [line]);
}

#[test]
fn what_is_no_message_goes_as_if_it_had_been_written_and_drained() {
    let mut puppet = talking();
    assert!(puppet.push(&vec![2; 2 * MSS as usize]), "a stream");
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).sum::<usize>(), 2 * MSS as usize);
    assert!(puppet.push(&[3; 10]), "text behind it");
    puppet.send(&seg(1).ack(201 + 2 * MSS));
    puppet.run_for(millis(1));
    puppet.take();
    puppet.send(&seg(1).ack(211 + 2 * MSS));
    assert!(puppet.push(b""), "nothing");
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.rings.as_mut().unwrap().send.finish();
    assert!(puppet.push(b""), "the end");
    let fin = puppet.take();
    assert_eq!((fin.len(), fin[0].seq, puppet.phase()), (1, 211 + 2 * MSS, Phase::FinWait1));
}

#[test]
fn text_and_the_end_of_the_stream_go_together() {
    let mut puppet = talking();
    let rings = puppet.rings.as_mut().unwrap();
    rings.send.write(&[2; 10]);
    rings.send.finish();
    assert!(puppet.push(b""));
    assert_eq!(puppet.lines(), ["0.102 FP. 201:211 ack 1"]);
    assert_eq!(puppet.phase(), Phase::FinWait1);
}

#[test]
fn a_peer_that_takes_nothing_is_probed_and_sent_nothing() {
    // RFC 9293 section 3.8.6.1.
    let mut puppet = talking();
    puppet.send(&seg(1).ack(201).window(0));
    assert!(puppet.push(&[2; 10]));
    assert_eq!(puppet.lines(), [""; 0]);
    puppet.run_for(millis(2_000));
    assert!(!puppet.take().is_empty(), "a probe");
    puppet.send(&seg(1).ack(201).window(1_000));
    puppet.run_for(millis(2_000));
    assert_eq!(puppet.take().iter().map(|seen| seen.text.len()).max(), Some(10));
}

/// A device that nothing may go to.
struct Elsewhere;

impl Device for Elsewhere {
    fn capabilities(&self) -> Capabilities {
        Capabilities::plain(MacAddr([2, 0, 0, 0, 0, 9]), 1_500)
    }

    fn transmit(&mut self, _: &TxFrame<'_>) -> Result<(), TransmitError> {
        panic!("no connection leaves by this interface");
    }

    fn receive(&mut self, _: usize, _: &mut dyn FnMut(&RxFrame<'_>)) -> usize {
        0
    }
}

#[test]
fn what_leaves_by_another_interface_waits_for_that() {
    let mut puppet = talking();
    let loopback = puppet.stack.interfaces()[0].id;
    let other = puppet.stack.add_interface(InterfaceConfig::new("other0", Elsewhere.capabilities())).unwrap();
    // What the interface brought along has made the flow's headers go the whole way once.
    puppet.write(&[1; 100]);
    puppet.run_for(millis(1));
    puppet.send(&seg(1).ack(301));
    puppet.take();
    for (elsewhere, line) in [(loopback, "0.103 P. 301:401 ack 1"), (other, "0.104 P. 401:501 ack 1")] {
        puppet.rings.as_mut().unwrap().send.write(&[2; 100]);
        let (now, id) = (puppet.instant(), puppet.id());
        assert!(puppet.stack.tcp_push(now, id, elsewhere, &mut Elsewhere));
        puppet.drain();
        assert_eq!(puppet.lines(), [line]);
        puppet.run_for(millis(1));
        let acked = 1 + puppet.info().bytes_sent as u32;
        puppet.send(&seg(1).ack(acked));
    }
}
