//! The engine's own tables: the look-up of a connection and the timing wheel.

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stack::Instant;
use stack::measure::Timers;

use super::step;
use crate::case::Work;
use crate::crowd;
use crate::idle::wharf::{PORT, Polled};
use crate::pair::wharf::ip;

const SIZE: u32 = 10_000;

/// A connection found among 10,000 by its four-tuple; never the same one twice in a row.
pub(super) fn look_up() -> Box<dyn Work> {
    let mut engine = Polled::new(SIZE);
    let local = SocketAddr::new(ip(1), PORT);
    let mut number = 0;
    step(move || {
        // A prime far from the size, so that neighbours in time are none in the table.
        number = (number + 7_919) % SIZE;
        let (address, port) = crowd::peer(number);
        let remote = SocketAddr::new(IpAddr::V4(address), port);
        assert!(engine.stack().measure_look_up(black_box(local), black_box(remote)), "an open connection");
    })
}

/// One of 10,000 timers moved, the next deadline asked for, and what is due taken and armed again.
pub(super) fn timers() -> Box<dyn Work> {
    let mut now = Instant::from_secs(1);
    let mut timers = Timers::new(SIZE, now, Duration::from_millis(200));
    let mut number = 0;
    step(move || {
        number = (number + 7_919) % SIZE;
        now += Duration::from_micros(10);
        timers.restart(number, now + Duration::from_millis(200));
        if black_box(timers.next_deadline()) <= now {
            while let Some(expired) = timers.expire(now) {
                timers.restart(expired, now + Duration::from_millis(200));
            }
        }
    })
}
