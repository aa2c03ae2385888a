//! Urgent data (RFC 9293 section 3.8.5, as RFC 6093 clarifies it): the mark that says how far it reaches.
//!
//! The data itself stays in the stream, where it was written; only the mark goes ahead of it, on every segment until it is
//! passed. It is kept as a position of the ring, not as a sequence number, so that it never wraps and no bound of it has to
//! be watched. `input` calls [`Connection::on_urgent`], `output` asks [`Connection::urgent_pointer`].
//!
//! A segment with URG never goes the short way (`fast_path`, `template`), and while there is urgent data to send each
//! segment leaves by itself, as a device that cuts a train copies the pointer of its first.

use wire::tcp::{SeqNum, TcpFlags, TcpHeader};

use crate::event::Readiness;
use crate::tcp::connection::{Connection, Flags};

/// Bytes from SND.UNA to a mark at most.
const FURTHEST: u64 = 1 << 30;

/// The marks of one connection, both the position that follows the last urgent byte; zero for none, as at least one byte
/// lies before a mark.
#[derive(Clone, Debug, Default)]
pub(crate) struct Urgent {
    /// SND.UP, a position of the send ring.
    send: u64,
    /// RCV.UP, a position of the receive ring.
    receive: u64,
}

impl Connection {
    /// RFC 9293 section 3.10.7.4, sixth: the URG bit of a segment that came with the number `seq`, before it was cut.
    #[inline]
    pub(crate) fn on_urgent(&mut self, seq: SeqNum, header: &TcpHeader) {
        if header.flags.contains(TcpFlags::URG) {
            self.follow_pointer(seq, header.urgent);
        }
    }

    fn follow_pointer(&mut self, seq: SeqNum, pointer: u16) {
        // RFC 9293 section 3.1: a positive offset, so zero says nothing.
        if pointer == 0 || !self.phase.receives() || self.flags.has(Flags::READ_SHUT.and(Flags::ORPHANED)) {
            return;
        }
        // RFC 6093 section 4: it points to the octet that follows the urgent data.
        let up = seq + u32::from(pointer);
        if !up.after(self.rcv.nxt) {
            // All of it has arrived before: an old segment, or a lie.
            return;
        }
        let mark = self.receive.position() + u64::from(up - self.rcv.nxt);
        if mark <= self.urgent_mark().unwrap_or(0) {
            // RFC 9293 section 3.10.7.4: RCV.UP <- max(RCV.UP, SEG.UP).
            return;
        }
        self.urgent_mut().receive = mark;
        // Before the bytes are published: a reader must not pass the mark unknowingly.
        self.receive.mark(true);
        // RFC 9293 section 3.8.5: the application is told of the first mark and whenever it advances.
        self.tell(Readiness::URGENT);
    }

    /// RCV.UP as a position of the receive ring.
    pub(crate) fn urgent_mark(&self) -> Option<u64> {
        let urgent = self.aside.urgent()?;
        (urgent.receive > 0).then_some(urgent.receive)
    }

    /// The application has written urgent data up to `end`, a position of the send ring, or is about to.
    pub(crate) fn mark_urgent(&mut self, end: u64) {
        let acknowledged = self.send.position();
        // The application's word, from another process perhaps: no further than sequence numbers can tell.
        let end = end.min(acknowledged + FURTHEST);
        if end <= acknowledged || end <= self.urgent_mut().send {
            return;
        }
        self.urgent_mut().send = end;
        self.flags.set(Flags::SAYS_MORE);
        if self.phase.sends() && self.snd.wnd <= self.flight() {
            // RFC 9293 section 3.8.5: the mark is to reach a peer that has stopped taking data, and needs no window.
            self.flags.set(Flags::ACK_NOW);
        }
    }

    /// Whether there is urgent text that was not acknowledged.
    pub(crate) fn has_urgent_text(&self) -> bool {
        self.flags.has(Flags::SAYS_MORE) && self.unacknowledged_urgent() > 0
    }

    /// Whether there is urgent text that was never sent.
    pub(crate) fn has_unsent_urgent_text(&self) -> bool {
        self.flags.has(Flags::SAYS_MORE) && self.unacknowledged_urgent() > u64::from(self.flight())
    }

    /// Bytes from SND.UNA to SND.UP.
    fn unacknowledged_urgent(&self) -> u64 {
        self.aside.urgent().map_or(0, |urgent| urgent.send.saturating_sub(self.send.position()))
    }

    /// The urgent pointer of a segment that begins at `seq`; zero, and no URG, where there is nothing to point to.
    #[inline]
    pub(crate) fn urgent_pointer(&mut self, seq: SeqNum) -> u16 {
        if self.flags.has(Flags::SAYS_MORE) { self.point_from(seq) } else { 0 }
    }

    fn point_from(&mut self, seq: SeqNum) -> u16 {
        let unacknowledged = self.unacknowledged_urgent();
        if unacknowledged == 0 {
            if !self.owes_user_timeout() {
                // The mark was acknowledged meanwhile: segments go the short way again.
                self.flags.clear(Flags::SAYS_MORE);
            }
            return 0;
        }
        if !self.phase.is_synchronized() {
            return 0;
        }
        // A keep-alive probe lies one before SND.UNA.
        let offset = i64::from((seq - self.snd.una).cast_signed());
        let ahead = unacknowledged.cast_signed() - offset;
        match u16::try_from(ahead) {
            Ok(pointer) => pointer,
            Err(_) if ahead < 0 => 0,
            // Further than a pointer reaches. As far as it does, if that was not sent yet: before the peer gets there, a
            // later segment will have moved the mark on.
            Err(_) if (seq + u32::from(u16::MAX)).after(self.snd.nxt) => u16::MAX,
            Err(_) => 0,
        }
    }

    fn urgent_mut(&mut self) -> &mut Urgent {
        self.aside.make().urgent.get_or_insert_default()
    }
}
