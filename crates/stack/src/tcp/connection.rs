//! One connection: its variables under the names of RFC 9293 section 3.3.1, one struct for each mechanism.
//!
//! What happens to it stands in the files named for what happens: `handshake`, `input` (the order of RFC 9293
//! section 3.10.7.4), `acknowledge`, `receive`, `output`, `retransmit`, `recovery`, `persist`, `keep_alive`,
//! `timers`.

use alloc::boxed::Box;
use alloc::sync::Arc;

use ring::{Consumer, Producer};
use wire::tcp::SeqNum;

use crate::config::TcpConfig;
use crate::event::Readiness;
use crate::link::InterfaceId;
use crate::tcp::ListenerId;
use crate::tcp::aside::Shelf;
use crate::tcp::buffers::Offering;
use crate::tcp::congestion::Congestion;
use crate::tcp::demux::Flow;
use crate::tcp::error::TcpError;
use crate::tcp::fast_open::Offer;
use crate::tcp::options::{ApplicationRings, SocketOptions, StreamRings};
use crate::tcp::phase::Phase;
use crate::tcp::quick_ack::QuickAcks;
use crate::tcp::recovery::Recovery;
use crate::tcp::rtt::RttEstimator;
use crate::tcp::timestamps::Timestamps;
use crate::time::Instant;
use crate::timers::TimerId;

/// The send sequence space (RFC 9293 section 3.3.1).
#[derive(Clone, Debug)]
pub(crate) struct SendSpace {
    /// SND.UNA: the oldest sequence number that is not acknowledged.
    pub una: SeqNum,
    /// SND.NXT: the next that was never sent; what is acknowledged may not lie beyond it.
    pub nxt: SeqNum,
    /// SND.WND in bytes, scaled.
    pub wnd: u32,
    /// The largest SND.WND seen: the peer's buffer, as far as this side can tell.
    pub max_wnd: u32,
    /// SND.WL1: the segment that set the window.
    pub wl1: SeqNum,
    /// SND.WL2: the acknowledgement that set the window.
    pub wl2: SeqNum,
    /// The shift of the peer's windows.
    pub scale: u8,
    /// SMSS (RFC 5681 section 2): payload bytes of a full segment with the options that each one carries.
    pub full: u16,
    /// The end of the last segment that was smaller than a full one; meaningful with `Flags::SMALL_SENT`.
    pub small: SeqNum,
}

/// The receive sequence space.
#[derive(Clone, Debug)]
pub(crate) struct ReceiveSpace {
    /// RCV.NXT: the next that is expected.
    pub nxt: SeqNum,
    /// RCV.NXT + RCV.WND as it was last advertised: the right edge, which never moves back.
    pub edge: SeqNum,
    /// The shift of our windows.
    pub scale: u8,
    /// Bytes that may wait for the application, as `buffers` sizes it: at most what the ring takes.
    pub limit: u32,
    /// The last acknowledgement sent (Last.ACK.sent of RFC 7323).
    pub acked: SeqNum,
    /// The largest segment received, in bytes of text: what the peer fills a segment with. Zero as long as `quick` is not.
    pub full: u16,
    /// Acknowledgements that are not put off.
    pub quick: QuickAcks,
}

/// Facts about a connection, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u32);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// An acknowledgement must go out now.
    pub(crate) const ACK_NOW: Self = Self(1);
    /// The connection stands in its interface's queue of those that have something to send.
    pub(crate) const QUEUED: Self = Self(1 << 1);
    /// An event about the connection waits to be read.
    pub(crate) const EVENT_QUEUED: Self = Self(1 << 2);
    /// The application has let go: the connection goes when its protocol ends.
    pub(crate) const ORPHANED: Self = Self(1 << 3);
    /// The application has finished its stream: a FIN follows the last byte.
    pub(crate) const FINISHED: Self = Self(1 << 4);
    /// The SYN or SYN-ACK must be sent (again).
    pub(crate) const SYN_DUE: Self = Self(1 << 5);
    /// Any-address mode: nothing is answered until the owner admits the connection.
    pub(crate) const HELD: Self = Self(1 << 6);
    /// The peer scales its windows, and so do we.
    pub(crate) const SCALED: Self = Self(1 << 7);
    /// A window probe is due.
    pub(crate) const PROBE_DUE: Self = Self(1 << 8);
    /// A keep-alive probe is due.
    pub(crate) const KEEP_ALIVE_DUE: Self = Self(1 << 9);
    /// The last segment sent was a small one: Minshall's rule holds the next small one back.
    pub(crate) const SMALL_SENT: Self = Self(1 << 10);
    /// The owner has accepted (or made) the connection; until then its events are its listener's.
    pub(crate) const OWNED: Self = Self(1 << 11);
    /// The application reads no more: what comes is acknowledged and thrown away.
    pub(crate) const READ_SHUT: Self = Self(1 << 12);
    /// The SYN was sent more than once.
    pub(crate) const SYN_RESENT: Self = Self(1 << 13);
    /// The connection waits for its next hop's MAC address.
    pub(crate) const RESOLVING: Self = Self(1 << 14);
    /// The sender waits in persist mode (RFC 9293 section 3.8.6.1).
    pub(crate) const PERSISTING: Self = Self(1 << 15);
    /// Both sides agreed to SACK (RFC 2018).
    pub(crate) const SACK: Self = Self(1 << 16);
    /// Both sides agreed to ECN (RFC 3168).
    pub(crate) const ECN: Self = Self(1 << 17);
    /// A SYN that asked for ECN came to nothing: the next one does not ask.
    pub(crate) const ECN_GIVEN_UP: Self = Self(1 << 18);
    /// A mark has arrived: every segment says so with ECE until the peer answers with CWR.
    pub(crate) const ECN_ECHO: Self = Self(1 << 19);
    /// The window was reduced, and the peer is to be told by CWR.
    pub(crate) const CWR_DUE: Self = Self(1 << 20);
    /// Trains leave at a rate.
    pub(crate) const PACED: Self = Self(1 << 21);
    /// The next train's time has not come.
    pub(crate) const PACE_WAIT: Self = Self(1 << 22);
    /// Fast Open: our SYN carries its option, or our SYN-ACK stands in the SYN queue and is not acknowledged.
    pub(crate) const FAST_OPEN: Self = Self(1 << 23);
    /// Segments have something to say that few have, and go the whole way: how far urgent data reaches that was not found
    /// acknowledged yet (RFC 9293 section 3.8.5), or the user timeout (RFC 5482).
    pub(crate) const SAYS_MORE: Self = Self(1 << 24);
    /// Text on the SYN was taken, by the peer or by us (RFC 7413).
    pub(crate) const SYN_TEXT: Self = Self(1 << 25);
    /// Our FIN was sent, and is not acknowledged.
    pub(crate) const FIN_SENT: Self = Self(1 << 26);
    /// What was sent has all arrived, each part of it once and in its order: the scoreboard is empty, and recovery has nothing
    /// to repair, to take back or to doubt.
    pub(crate) const CALM: Self = Self(1 << 27);
    /// One segment is in flight, of which the scoreboard has not been told (`lone`).
    pub(crate) const LONE: Self = Self(1 << 28);
    /// Turns have been taken of which RACK, the delivery rate and the ledger have not been told (`turns`).
    pub(crate) const TURNS: Self = Self(1 << 29);
    /// The application has more to write: what does not fill a segment waits for it (`cork`).
    pub(crate) const CORKED: Self = Self(1 << 30);

    /// Both sets together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of `other` is set.
    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Clears `other` and returns whether it was set.
    pub(crate) fn take(&mut self, other: Self) -> bool {
        let was = self.has(other);
        self.clear(other);
        was
    }
}

/// The times at which something must be done; `NEVER` when nothing must. Another stands in `recovery`, as long as there is
/// one: its alarm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadlines {
    /// Retransmission, or the next window probe in persist mode.
    pub retransmit: Instant,
    /// A delayed acknowledgement.
    pub ack: Instant,
    /// Keep-alive, and the end of an orphan's FIN-WAIT-2.
    pub idle: Instant,
}

/// What an idle connection takes: PERFORMANCE counts its bytes.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Connection>() <= 320);

/// One connection.
pub(crate) struct Connection {
    pub flow: Flow,
    pub phase: Phase,
    pub flags: Flags,
    pub interface: InterfaceId,
    /// The largest segment that the path and the peer take, options not counted (RFC 9293 section 3.7.1).
    pub mss: u16,
    pub snd: SendSpace,
    pub rcv: ReceiveSpace,
    pub timestamps: Timestamps,
    pub rtt: RttEstimator,
    /// What is in flight and lost; nothing while the connection is idle.
    pub recovery: Option<Box<Recovery>>,
    pub congestion: Congestion,
    pub deadlines: Deadlines,
    pub timer: TimerId,
    /// When a segment of the peer last arrived.
    pub last_heard: Instant,
    /// When data was last sent.
    pub last_sent: Instant,
    /// When the oldest unanswered data or probe was first sent; for the user time-out.
    pub unanswered_since: Instant,
    /// Duplicate ACKs that are owed to the peer, one for each segment that came out of order.
    pub duplicate_acks_owed: u8,
    /// Keep-alive probes without an answer, or window probes in a row, answered or not: the pause grows with them.
    pub probes: u8,
    /// Window probes since the peer was last heard.
    pub unanswered_probes: u8,
    pub send: Consumer,
    pub receive: Producer,
    /// What it has only at times.
    pub aside: Shelf,
    /// Microseconds for which text was on its way, before the connection rested last.
    pub rested: u32,
    /// Shared by all connections that have the same ones.
    pub options: Arc<SocketOptions>,
    /// What the owner has not been told yet.
    pub news: Readiness,
    pub error: Option<TcpError>,
    /// What ICMP last said about the path; the reason given if the connection then times out (RFC 1122 section 4.2.3.9).
    pub soft_error: Option<TcpError>,
}

/// A connection that came in, before the application accepts it; or one that is being opened by Fast Open.
pub(crate) struct Parked {
    /// The application's halves.
    pub rings: Option<ApplicationRings>,
    /// The listener that it came in by; `None` in any-address mode.
    pub origin: Option<ListenerId>,
    /// What the SYN of one that this side opens by Fast Open carries.
    pub offer: Option<Offer>,
}

/// What a connection is born with, besides its rings: they are large, and go by themselves, from where they are to where they
/// will stand.
pub(crate) struct Birth<'a> {
    pub flow: &'a Flow,
    pub interface: InterfaceId,
    pub isn: SeqNum,
    pub mss: u16,
    pub timestamp_offset: u32,
    pub options: Arc<SocketOptions>,
    /// What [`begin_buffers`](crate::tcp::buffers::begin_buffers) said of its rings.
    pub offering: Offering,
    /// What stands beside it from the beginning.
    pub aside: Shelf,
}

impl Connection {
    /// A connection that has sent nothing yet. In place of a call: it is large, and so is made where it will stand.
    #[inline(always)]
    pub(crate) fn new(now: Instant, phase: Phase, birth: Birth<'_>, rings: StreamRings, config: &TcpConfig) -> Self {
        let Birth { flow, interface, isn, mss, timestamp_offset, options, offering, aside } = birth;
        let (StreamRings { send, receive }, Offering { scale, limit }) = (rings, offering);
        let congestion = Congestion::new(options.congestion.unwrap_or(config.congestion), u32::from(mss));
        let mut connection = Self {
            flow: *flow,
            phase,
            flags: Flags::default(),
            interface,
            mss,
            snd: SendSpace {
                una: isn,
                nxt: isn,
                wnd: 0,
                max_wnd: 0,
                wl1: SeqNum(0),
                wl2: isn,
                scale: 0,
                full: mss,
                small: isn,
            },
            rcv: ReceiveSpace {
                nxt: SeqNum(0),
                edge: SeqNum(0),
                scale: if config.window_scaling { scale } else { 0 },
                limit,
                acked: SeqNum(0),
                full: 0,
                quick: QuickAcks::at_first(config),
            },
            timestamps: Timestamps::new(timestamp_offset),
            rtt: RttEstimator::new(),
            recovery: None,
            congestion,
            deadlines: Deadlines { retransmit: Instant::NEVER, ack: Instant::NEVER, idle: Instant::NEVER },
            timer: TimerId::NONE,
            last_heard: now,
            last_sent: now,
            unanswered_since: Instant::NEVER,
            duplicate_acks_owed: 0,
            probes: 0,
            unanswered_probes: 0,
            send,
            receive,
            aside,
            rested: 0,
            options,
            news: Readiness::NONE,
            error: None,
            soft_error: None,
        };
        connection.settle_pacing();
        connection
    }

    /// Payload bytes of a full segment with the options that each one carries.
    #[inline]
    pub(crate) fn segment_size(&self) -> u32 {
        u32::from(self.snd.full)
    }

    /// The path or the peer takes other segments, or each one carries other options.
    #[inline]
    pub(crate) fn resize_segments(&mut self, mss: u16) {
        self.mss = mss;
        // RFC 6691 section 2: the MSS does not count options, so they come out of the payload.
        self.snd.full = mss - self.timestamps.option_len();
    }

    /// Bytes that were sent and not acknowledged, SYN and FIN included.
    pub(crate) fn flight(&self) -> u32 {
        self.snd.nxt - self.snd.una
    }

    /// Bytes of text among them.
    pub(crate) fn text_in_flight(&self) -> u32 {
        if self.phase.is_synchronized() { self.flight() - u32::from(self.flags.has(Flags::FIN_SENT)) } else { 0 }
    }

    /// The sequence number of our FIN, between its being sent and its being acknowledged: nothing is sent behind it.
    #[inline]
    pub(crate) fn fin(&self) -> Option<SeqNum> {
        self.flags.has(Flags::FIN_SENT).then(|| self.snd.nxt - 1)
    }

    /// The offset of `seq` in the send ring, whose first byte is SND.UNA once the SYN is acknowledged.
    pub(crate) fn send_offset(&self, seq: SeqNum) -> usize {
        (seq - self.snd.una) as usize
    }

    /// The receive window that was advertised, as it stands now.
    pub(crate) fn receive_window(&self) -> u32 {
        self.rcv.edge - self.rcv.nxt
    }

    /// Bytes believed to be in the network.
    pub(crate) fn pipe(&self) -> u32 {
        if self.flags.has(Flags::LONE) {
            return self.flight();
        }
        self.recovery.as_ref().map_or(0, |recovery| recovery.pipe(self.segment_size()))
    }

    /// Bytes believed lost and not yet sent again.
    pub(crate) fn lost(&self) -> u32 {
        self.recovery.as_ref().map_or(0, |recovery| recovery.lost())
    }

    /// The scoreboard, made when the first byte is sent, for a change.
    pub(crate) fn recovery_mut(&mut self) -> &mut Recovery {
        let has_begun = !matches!(self.phase, Phase::SynSent | Phase::SynReceived);
        debug_assert!(has_begun, "a scoreboard that begins with the SYN");
        if self.flags.has(Flags::LONE.and(Flags::TURNS)) {
            self.end_solitude();
        }
        self.flags.clear(Flags::CALM);
        let (una, sack, model) = (self.snd.una, self.flags.has(Flags::SACK), self.congestion.has_model());
        self.recovery.get_or_insert_with(|| Box::new(Recovery::new(una, sack, model)))
    }

    /// The application's process has written nonsense into the words that it shares with this one.
    #[inline]
    pub(crate) fn is_corrupt(&self) -> bool {
        self.send.is_poisoned() || self.receive.is_poisoned()
    }

    /// Adds to what the owner is to be told.
    pub(crate) fn tell(&mut self, news: Readiness) {
        self.news |= news;
    }
}

/// The smallest shift with which `buffer` bytes fit a 16-bit window.
#[inline]
pub(crate) fn window_scale(buffer: usize) -> u8 {
    let beyond = (usize::BITS - buffer.leading_zeros()).saturating_sub(u16::BITS);
    // RFC 7323 section 2.3: a shift over 14 is never offered.
    beyond.min(14) as u8
}
