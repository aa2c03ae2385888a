//! How much each ring may hold: little at first, what the path and the application make use of later, little again when
//! nothing moves.
//!
//! **Receiving**: the window begins small. Once a round trip the application's reading is measured; where it took more than
//! ever before, the window becomes twice that and then some, so that a sender in slow start is never held back by it
//! (dynamic right-sizing, as Linux and FreeBSD have it). Who reads slowly has a small window, however fast the sender. The
//! round trip is the sender's own estimate at first; then timestamps tell it (RFC 7323 section 4), or else the time in
//! which a window's worth of bytes arrives, which is never less.
//!
//! **Sending**: what the application may write ahead follows the congestion window, twice of it, so that there is always
//! something to send when acknowledgements come. The application's half of the ring reads the bound in the ring's header.
//!
//! A size that the application asks for (SO_RCVBUF, SO_SNDBUF) stays as it is. Growth ends where the engine's memory runs
//! short (`memory`). The right edge of a window that was advertised never moves back, whatever becomes of the size.

use alloc::boxed::Box;
use core::hint::cold_path;
use core::time::Duration;

use ring::{Budget, Producer};
use wire::tcp::{SeqNum, Timestamps};

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, window_scale};
use crate::tcp::memory;
use crate::tcp::options::{SocketOptions, StreamRings};
use crate::time::Instant;

/// A segment with so much text is one of many: whoever sends less at a time is not held back by a window.
const BULK: usize = 536;
/// Without any measurement.
const UNKNOWN_RTT: Duration = Duration::from_millis(100);

/// What is measured while a receive window may have to grow.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// When the current round trip began.
    since: Instant,
    /// Bytes of the stream that the application had taken then.
    taken: u64,
    /// The most that it took in a round trip.
    most: u32,
    /// The round trip as the receiver sees it.
    rtt: Duration,
    /// The last echo that was looked at: the first segment that carries it measures, the others came later for other
    /// reasons.
    echo: u32,
    /// Without timestamps: a window's worth of bytes ends here, and began to arrive then.
    window_end: SeqNum,
    window_began: Instant,
}

impl Measurement {
    /// The round trip was at most `sample`, or has become longer.
    fn sample(&mut self, sample: Duration) {
        self.rtt = if sample < self.rtt { sample } else { self.rtt + (sample - self.rtt) / 8 };
    }
}

/// What a connection begins to offer its peer.
#[derive(Clone, Copy)]
pub(crate) struct Offering {
    /// The shift with which the largest window fits its field.
    pub scale: u8,
    /// Bytes that may wait to be read.
    pub limit: u32,
}

/// Gives the rings of a new connection the sizes that they begin with, where they are: they are large, and go straight to where
/// they will stand.
#[inline(always)]
pub(crate) fn begin_buffers(rings: &mut StreamRings, options: &SocketOptions, config: &TcpConfig) -> Offering {
    let StreamRings { send, receive } = rings;
    let scale = window_scale(receive.limit().max(options.receive_buffer.unwrap_or(0) as usize));
    send.grant(options.send_buffer.unwrap_or(config.send_start) as usize);
    let limit = match options.receive_buffer {
        Some(size) => fix(receive, size),
        None => config.receive_start.min(most_of(receive)),
    };
    Offering { scale, limit }
}

/// A ring's own limit.
#[inline]
fn most_of(receive: &Producer) -> u32 {
    u32::try_from(receive.limit()).unwrap_or(u32::MAX)
}

/// SO_RCVBUF.
#[inline(never)]
fn fix(receive: &mut Producer, size: u32) -> u32 {
    // What lies within a window that was advertised must still find room.
    if size as usize > receive.limit() {
        receive.set_limit(size as usize);
    }
    size.min(most_of(receive))
}

impl Connection {
    /// The window's size before anything is known: what is configured, as far as the ring goes.
    #[inline]
    pub(super) fn receive_start(&self, config: &TcpConfig) -> u32 {
        config.receive_start.min(self.receive_most())
    }

    /// The ring's own limit.
    fn receive_most(&self) -> u32 {
        most_of(&self.receive)
    }

    /// SO_RCVBUF.
    pub(crate) fn fix_receive_buffer(&mut self, size: u32) {
        self.rcv.limit = fix(&mut self.receive, size);
        self.aside.end_measurement();
    }

    /// SO_SNDBUF.
    pub(crate) fn fix_send_buffer(&mut self, size: u32) {
        self.send.grant(size as usize);
    }

    /// Text in order has arrived, `len` bytes in a segment, or segments, with these timestamps.
    #[inline]
    pub(crate) fn measure_arrival(&mut self, now: Instant, len: usize, timestamps: Option<Timestamps>) {
        if len >= BULK && self.rcv.limit < self.receive_most() && self.options.receive_buffer.is_none() {
            self.measure(now, timestamps);
        }
    }

    /// How much text may arrive at one instant before the next look at a round trip: with timestamps the first segment
    /// with an echo was it, without them it comes where a window's worth ends.
    pub(super) fn unmeasured(&self) -> usize {
        match self.aside.measurement() {
            Some(measurement) if !self.timestamps.is_agreed() && measurement.window_end.after(self.rcv.nxt) => {
                (measurement.window_end - self.rcv.nxt) as usize - 1
            }
            _ => usize::MAX,
        }
    }

    fn measure(&mut self, now: Instant, timestamps: Option<Timestamps>) {
        let nxt = self.rcv.nxt;
        let window_end = nxt + self.rcv.limit;
        if self.aside.measurement().is_none() {
            let rtt = self.rtt.smoothed().unwrap_or(UNKNOWN_RTT);
            let taken = self.bytes_taken();
            // RFC 6928 section 2: what a sender begins with needs no larger window.
            let most = 10 * u32::from(self.mss);
            let measurement = Measurement { since: now, taken, most, rtt, echo: 0, window_end, window_began: now };
            self.aside.make().measurement = Some(Box::new(measurement));
        }
        let Some(measurement) = self.aside.measurement_mut() else { return };
        match timestamps.filter(|_| self.timestamps.is_agreed()) {
            // RFC 7323 section 4: the echo is of the acknowledgement that let this segment go.
            Some(option) if option.echo != measurement.echo => {
                measurement.echo = option.echo;
                if let Some(elapsed) = self.timestamps.elapsed(now, option.echo) {
                    measurement.sample(elapsed);
                }
            }
            Some(_) => {}
            None if nxt.at_or_after(measurement.window_end) => {
                let elapsed = now.since(measurement.window_began);
                measurement.rtt = measurement.rtt.min(elapsed);
                measurement.window_end = window_end;
                measurement.window_began = now;
            }
            None => {}
        }
    }

    /// Bytes of the stream that the application has taken out of the ring.
    fn bytes_taken(&self) -> u64 {
        self.receive.position() - self.receive.len() as u64
    }

    /// The application has read.
    pub(crate) fn resize_receive_buffer(&mut self, now: Instant, config: &TcpConfig, budget: &Budget) {
        if memory::is_short(budget) {
            self.follow_memory();
            return;
        }
        if self.options.receive_buffer.is_none() {
            self.rcv.limit = self.rcv.limit.max(self.receive_start(config));
        }
        let (taken, room) = (self.bytes_taken(), self.receive_most());
        let Some(measurement) = self.aside.measurement_mut() else { return };
        let elapsed = now.since(measurement.since);
        if elapsed.is_zero() || elapsed < measurement.rtt {
            return;
        }
        let bytes = u32::try_from(taken - measurement.taken).unwrap_or(u32::MAX);
        measurement.since = now;
        measurement.taken = taken;
        if bytes <= measurement.most {
            return;
        }
        // Twice, for what arrives while the next window update travels, and some segments; and as much more as the sender
        // has become faster, for it will go on to.
        let twice = 2 * u64::from(bytes) + 16 * u64::from(self.mss);
        let faster = u64::from(bytes - measurement.most) * 2 * twice / u64::from(measurement.most.max(1));
        let wanted = u32::try_from(twice + faster).unwrap_or(u32::MAX).min(room);
        measurement.most = bytes;
        self.rcv.limit = self.rcv.limit.max(wanted);
    }

    /// There is no memory for more than the ring has: windows to come promise no more than that.
    pub(crate) fn follow_memory(&mut self) {
        if self.options.receive_buffer.is_some() {
            return;
        }
        if self.receive.is_spare() && self.aside.reassembly().is_none() {
            self.receive.release();
        }
        let least = Budget::RESERVED.max(self.receive.capacity());
        self.rcv.limit = self.rcv.limit.min(u32::try_from(least).unwrap_or(u32::MAX));
    }

    /// Something was acknowledged: the application may write ahead by twice what may be in flight.
    pub(crate) fn resize_send_buffer(&mut self, budget: &Budget) {
        let wanted = self.congestion.window().saturating_mul(2) as usize;
        if wanted > self.send.granted() && self.options.send_buffer.is_none() && !memory::is_short(budget) {
            cold_path();
            self.send.grant(wanted);
        }
    }

    /// Nothing moves any more: begin anew.
    pub(crate) fn reset_buffers(&mut self, config: &TcpConfig) {
        self.aside.end_measurement();
        if self.options.receive_buffer.is_none() {
            self.rcv.limit = self.receive_start(config);
        }
        if self.options.send_buffer.is_none() && self.send.is_empty() {
            self.send.grant(config.send_start as usize);
        }
    }
}
