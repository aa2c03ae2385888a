//! The search for what a path carries, packet by packet: which sizes are tried, how often, and who learns of it (RFC 8899
//! sections 4 and 5, RFC 4821 section 7, RFC 1191 section 6.3).

use std::ops::Range;
use std::time::Duration;

use sim::Puppet;
use sim::puppet::seg;
use stack::Config;
use stack::tcp::ConnectOptions;
use wire::tcp::TcpFlags;

use crate::tcp_icmp::{fragmentation_needed, quoting};

/// Of one connection that searches: what was sent and acknowledged of its text.
struct Search {
    puppet: Puppet,
    sent: u32,
}

impl Search {
    /// Full segments of 1,460 bytes were lost to the timer three times, and then one of 984 arrived: RFC 4821 section 7.7.
    fn begun() -> Self {
        let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460).sack_permitted());
        puppet.write(&[1; 1_460]);
        puppet.run_for(Duration::from_secs(2));
        assert_eq!(puppet.take().last().map(|seen| seen.text.len()), Some(984));
        let mut search = Self { puppet, sent: 1_461 };
        search.acknowledge();
        assert_eq!(search.puppet.info().mss, 984);
        search
    }

    /// Everything that was sent arrives.
    fn acknowledge(&mut self) {
        self.puppet.run_for(Duration::from_millis(10));
        self.watch();
        self.puppet.send(&seg(1).ack(self.sent));
    }

    /// What was sent since the last look, as sizes.
    fn watch(&mut self) -> Vec<usize> {
        let seen = self.puppet.take();
        self.sent = seen.iter().map(|seen| seen.seq + seen.text.len() as u32).fold(self.sent, u32::max);
        seen.iter().map(|seen| seen.text.len()).collect()
    }

    /// Acknowledges until the next probe goes, a segment larger than the path is known to carry.
    fn probe(&mut self) -> Range<u32> {
        for _ in 0..100 {
            let mss = self.puppet.info().mss;
            let seen = self.puppet.take();
            self.sent = seen.iter().map(|seen| seen.seq + seen.text.len() as u32).fold(self.sent, u32::max);
            if let Some(probe) = seen.iter().find(|seen| seen.text.len() as u32 > mss) {
                return probe.seq..probe.seq + probe.text.len() as u32;
            }
            self.acknowledge();
        }
        panic!("nothing larger goes than {}", self.puppet.info().mss);
    }

    /// The probe is lost, and what followed it arrives; then what is sent in its place does.
    fn lose(&mut self, probe: &Range<u32>) {
        self.puppet.run_for(Duration::from_millis(10));
        self.watch();
        assert!(self.sent - probe.end >= 3 * self.puppet.info().mss, "enough follows for the loss to show");
        self.puppet.send(&seg(1).ack(probe.start).sack(&[(probe.end, self.sent)]));
        let again = self.puppet.take();
        assert_eq!(again.first().map(|seen| seen.seq), Some(probe.start), "sent again at once");
        let mss = self.puppet.info().mss;
        assert!(again.iter().all(|seen| seen.text.len() as u32 <= mss), "in segments that arrive");
        self.sent = again.iter().map(|seen| seen.seq + seen.text.len() as u32).fold(self.sent, u32::max);
        self.acknowledge();
    }

    /// The segment size that the next connection to the same peer begins with.
    fn size_for_others(&mut self) -> u32 {
        let (id, rings, port) = (self.puppet.connection.take(), self.puppet.rings.take(), self.puppet.port);
        let isn = self.puppet.engine_isn();
        self.puppet.connect(&ConnectOptions::default());
        self.puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(1_460));
        let mss = self.puppet.info().mss;
        self.puppet.send(&seg(1).flags(TcpFlags::RST));
        self.puppet.take();
        (self.puppet.connection, self.puppet.rings, self.puppet.port) = (id, rings, port);
        self.puppet.count_from(isn);
        mss
    }
}

fn len(probe: &Range<u32>) -> u32 {
    probe.end - probe.start
}

#[test]
fn the_first_probe_halves_what_lies_between_what_arrived_and_what_did_not() {
    // RFC 8899 section 5.3.2.
    let mut search = Search::begun();
    search.puppet.write(&[1; 200_000]);
    let mut sizes = Vec::new();
    for _ in 0..5 {
        sizes.push(len(&search.probe()));
        search.acknowledge();
    }
    assert_eq!(sizes, [1_222, 1_341, 1_400, 1_430, 1_445]);
}

#[test]
fn a_size_is_too_large_when_three_probes_of_it_were_lost() {
    // RFC 8899 section 5.1.2, MAX_PROBES, which each size has.
    let mut search = Search::begun();
    search.puppet.write(&[1; 500_000]);
    let mut sizes = Vec::new();
    for _ in 0..7 {
        let probe = search.probe();
        sizes.push(len(&probe));
        search.lose(&probe);
    }
    assert_eq!(sizes, [1_222, 1_222, 1_222, 1_103, 1_103, 1_103, 1_043]);
}

#[test]
fn a_probe_that_arrives_after_others_were_lost_gives_the_next_size_all_of_its_attempts() {
    let mut search = Search::begun();
    search.puppet.write(&[1; 500_000]);
    let mut sizes = Vec::new();
    for arrives in [false, false, true, false, false, false, true] {
        let probe = search.probe();
        sizes.push(len(&probe));
        if arrives { search.acknowledge() } else { search.lose(&probe) }
    }
    assert_eq!(sizes, [1_222, 1_222, 1_222, 1_341, 1_341, 1_341, 1_281]);
}

#[test]
fn a_probe_of_which_a_byte_is_missing_has_not_arrived() {
    let mut search = Search::begun();
    search.puppet.write(&[1; 200_000]);
    let probe = search.probe();
    search.puppet.send(&seg(1).ack(probe.end - 1));
    assert_eq!(search.puppet.info().mss, 984);
    search.puppet.send(&seg(1).ack(probe.end));
    assert_eq!(search.puppet.info().mss, 1_222);
}

#[test]
fn others_learn_of_the_smaller_size_when_it_arrives_and_of_each_larger_one_that_does() {
    // RFC 8899 section 3 item 8: what one connection found is shared with the others to the same destination.
    let mut search = Search::begun();
    assert_eq!(search.size_for_others(), 984);
    search.puppet.write(&[1; 200_000]);
    search.probe();
    assert_eq!(search.size_for_others(), 984, "it has not arrived");
    search.acknowledge();
    assert_eq!(search.size_for_others(), 1_222);
}

#[test]
fn what_a_router_said_holds_for_ten_minutes_and_then_the_largest_is_tried() {
    // RFC 1191 section 6.3, RFC 8899 section 5.1.1.
    let mut puppet = Puppet::established(Config::default(), seg(0).mss(1_460).sack_permitted());
    puppet.write(&[1; 1_460]);
    let frame = puppet.take_frames().remove(0);
    puppet.send_frame(&quoting(&frame, 0, fragmentation_needed(1_000)));
    let mut search = Search { puppet, sent: 1_461 };
    search.acknowledge();
    for _ in 0..6 {
        search.puppet.write(&[1; 50_000]);
        for _ in 0..10 {
            search.acknowledge();
        }
        search.puppet.run_for(Duration::from_secs(99));
    }
    assert!(search.puppet.now() < Duration::from_secs(600));
    search.puppet.write(&[1; 50_000]);
    for _ in 0..10 {
        assert!(search.watch().iter().all(|&len| len <= 960));
        search.acknowledge();
    }
    search.puppet.run_for(Duration::from_secs(6));
    search.puppet.write(&[1; 50_000]);
    assert_eq!(len(&search.probe()), 1_460);
}

#[test]
fn nothing_is_tried_while_losses_are_repaired() {
    // RFC 4821 section 7.4: a probe goes when nothing else explains a loss.
    let mut search = Search::begun();
    // No more than a segment waits at any time, until the windows have room for many.
    let mut sizes = search.watch();
    while search.puppet.info().congestion_window < 20 * 984 {
        while search.puppet.info().send_queue <= search.puppet.info().in_flight as usize {
            search.puppet.write(&[1; 984]);
        }
        sizes.extend(search.watch());
        search.acknowledge();
    }
    assert!(sizes.iter().all(|&len| len == 984), "nothing follows that would show its loss: {sizes:?}");
    search.acknowledge();
    let una = search.sent;
    for _ in 0..18 {
        search.puppet.write(&[1; 984]);
    }
    search.watch();
    assert_eq!(search.sent - una, 18 * 984);
    search.puppet.run_for(Duration::from_millis(10));
    search.puppet.send(&seg(1).ack(una).sack(&[(una + 984, una + 4 * 984)]));
    assert!(search.puppet.info().recovering);
    search.puppet.write(&[1; 200_000]);
    for arrived in 5..18 {
        search.puppet.send(&seg(1).ack(una).sack(&[(una + 984, una + arrived * 984)]));
    }
    assert!(search.puppet.info().recovering);
    let sizes = search.watch();
    assert!(sizes.len() > 4 && sizes.iter().all(|&len| len == 984), "{sizes:?}");
    // Repaired: now it goes.
    search.acknowledge();
    assert_eq!(len(&search.probe()), 1_222);
}

#[test]
fn when_the_largest_arrives_the_search_is_over_and_a_loss_is_a_sign_of_congestion_again() {
    let mut search = Search::begun();
    search.puppet.write(&[1; 200_000]);
    for _ in 0..5 {
        search.probe();
        search.acknowledge();
    }
    while search.puppet.info().in_flight > 0 {
        search.acknowledge();
    }
    search.puppet.run_for(Duration::from_secs(600));
    search.puppet.write(&[1; 200_000]);
    assert_eq!(len(&search.probe()), 1_460);
    search.acknowledge();
    assert_eq!(search.puppet.info().mss, 1_460);
    let una = search.sent;
    search.puppet.run_for(Duration::from_millis(10));
    search.watch();
    search.puppet.send(&seg(1).ack(una).sack(&[(una + 1_460, search.sent)]));
    assert!(search.puppet.info().recovering, "RFC 5681 section 3.2");
}

#[test]
fn the_text_of_a_lost_probe_that_is_lost_once_more_is_a_sign_of_congestion() {
    // RFC 4821 section 7.5: only the probe's own loss says nothing of it.
    let mut search = Search::begun();
    search.puppet.write(&[1; 200_000]);
    let probe = search.probe();
    search.puppet.run_for(Duration::from_millis(10));
    search.watch();
    search.puppet.send(&seg(1).ack(probe.start).sack(&[(probe.end, search.sent)]));
    assert!(!search.puppet.info().recovering);
    let again = search.puppet.take();
    assert_eq!(again[0].seq, probe.start);
    let news = search.sent;
    search.sent = again.iter().map(|seen| seen.seq + seen.text.len() as u32).fold(search.sent, u32::max);
    assert!(search.sent > news, "something new follows what was sent again");
    for _ in 0..3 {
        search.puppet.run_for(Duration::from_millis(10));
        search.watch();
        search.puppet.send(&seg(1).ack(probe.start).sack(&[(probe.end, search.sent)]));
    }
    assert!(search.puppet.info().recovering);
}

#[test]
fn the_text_of_a_probe_that_arrived_in_smaller_segments_says_nothing_of_its_size() {
    // RFC 8899 section 5.3: only an acknowledged probe packet confirms a size. After a time-out:
    let mut search = Search::begun();
    search.puppet.write(&[1; 200_000]);
    let probe = search.probe();
    search.puppet.send(&seg(1).ack(probe.start));
    search.watch();
    search.puppet.run_for(Duration::from_secs(1));
    assert!(search.watch().iter().all(|&len| len <= 984));
    assert_eq!(search.puppet.info().timeouts, 2);
    search.acknowledge();
    assert_eq!(search.puppet.info().mss, 984);
    assert_eq!(len(&search.probe()), 1_222, "and it is tried again");

    // With something else that was lost:
    let mut search = Search::begun();
    search.puppet.write(&[1; 200_000]);
    let probe = search.probe();
    search.puppet.run_for(Duration::from_millis(10));
    search.watch();
    search.puppet.send(&seg(1).ack(probe.start).sack(&[(probe.end + 984, search.sent)]));
    assert!(search.puppet.info().recovering, "RFC 4821 section 7.5: more was lost than the probe");
    search.acknowledge();
    assert_eq!(search.puppet.info().mss, 984);
    assert_eq!(len(&search.probe()), 1_222);
}

#[test]
fn nothing_larger_is_tried_than_the_peer_takes() {
    // RFC 9293 section 3.7.1: the peer's MSS option bounds what is sent, whatever the path carried before it was known.
    for (announced, largest) in [(1_000, 1_000), (900, 900)] {
        let mut puppet = Puppet::new(Config::default());
        puppet.connect(&ConnectOptions::default());
        let syn = puppet.take_frames().remove(0);
        puppet.send_frame(&quoting(&syn, 0, fragmentation_needed(1_000)));
        puppet.send(&seg(0).flags(TcpFlags::SYN).ack(1).mss(announced).sack_permitted());
        assert_eq!(puppet.info().mss, u32::from(announced).min(960));
        puppet.take();
        puppet.run_for(Duration::from_secs(601));
        let mut search = Search { puppet, sent: 1 };
        search.puppet.write(&[1; 200_000]);
        let mut sizes = Vec::new();
        for _ in 0..20 {
            sizes.extend(search.watch());
            search.acknowledge();
        }
        assert_eq!(sizes.iter().max(), Some(&largest), "{announced}");
    }
}
