//! Explicit congestion notification (RFC 3168): routers mark what they would otherwise have to drop.
//!
//! Both ends agree in their SYNs. New text then leaves as ECT(0); a mark that it meets (CE) comes back as ECE on every
//! acknowledgement until this side says with CWR that it has slowed down. The reduction itself is `recovery`'s, once a
//! window. The IP layer carries the two bits both ways, and reassembly keeps a mark (`ip/reassembly`).
//!
//! An agreed connection keeps its state in four bits of [`Flags`]; for the others each step is one test of a flag.

use wire::tcp::TcpFlags;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::input::Incoming;
use crate::tcp::phase::Phase;

/// The two bits of the IP header's TOS or traffic class that are RFC 3168's.
pub(crate) const MASK: u8 = 0b11;
/// ECN-capable transport, ECT(0).
const ECT_0: u8 = 0b10;
/// Congestion experienced.
const CE: u8 = 0b11;
/// What makes a SYN one that asks for ECN.
pub(crate) const SETUP: TcpFlags = TcpFlags::ECE.with(TcpFlags::CWR);

/// Whether connections use explicit congestion notification (RFC 3168).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub enum Ecn {
    /// Never.
    Off,
    /// Where the peer asks for it.
    #[default]
    Passive,
    /// Asked for by this side too, and given up where the SYN that asks is refused or lost.
    Active,
}

impl Ecn {
    /// What the answer to a SYN with these bits carries.
    pub(crate) fn answer(self, syn: TcpFlags) -> TcpFlags {
        // RFC 3168 section 6.1.1: the answer to an ECN-setup SYN has ECE alone.
        if self != Self::Off && syn.contains(SETUP) { TcpFlags::ECE } else { TcpFlags::NONE }
    }
}

/// Whether a packet with this TOS or traffic class met congestion.
pub(crate) const fn is_marked(tos: u8) -> bool {
    tos & MASK == CE
}

impl Connection {
    fn ecn(&self, config: &TcpConfig) -> Ecn {
        self.options.ecn.unwrap_or(config.ecn)
    }

    /// The bits that our SYN, or our SYN-ACK, carries.
    pub(crate) fn ecn_of_syn(&self, config: &TcpConfig) -> TcpFlags {
        if self.phase == Phase::SynReceived {
            // RFC 3168 section 6.1.1: the answer to an ECN-setup SYN has ECE alone.
            return if self.flags.has(Flags::ECN) { TcpFlags::ECE } else { TcpFlags::NONE };
        }
        let asks = self.ecn(config) == Ecn::Active && !self.flags.has(Flags::ECN_GIVEN_UP);
        if asks { SETUP } else { TcpFlags::NONE }
    }

    /// Reads the peer's SYN or SYN-ACK.
    pub(crate) fn agree_on_ecn(&mut self, flags: TcpFlags, config: &TcpConfig) {
        let agreed = if flags.contains(TcpFlags::ACK) {
            // RFC 3168 section 6.1.1: a SYN-ACK with both bits only reflects ours.
            self.ecn_of_syn(config) == SETUP && flags.contains(TcpFlags::ECE) && !flags.contains(TcpFlags::CWR)
        } else {
            self.ecn(config).answer(flags) != TcpFlags::NONE
        };
        if agreed {
            self.flags.set(Flags::ECN);
        }
    }

    /// A SYN of ours was refused or got no answer. Returns whether another one, without ECN, is worth trying.
    pub(crate) fn give_up_ecn(&mut self, config: &TcpConfig) -> bool {
        // RFC 3168 section 6.1.1.1: something on the way may take exception to the two bits.
        let asked = self.phase == Phase::SynSent && self.ecn_of_syn(config) == SETUP;
        if asked {
            self.flags.set(Flags::ECN_GIVEN_UP);
        }
        asked
    }

    /// The receiver's part: a segment within the window, on a connection that agreed.
    pub(crate) fn on_ecn_marks(&mut self, segment: &Incoming<'_>) {
        if segment.payload.is_empty() {
            // RFC 3168 section 6.1.4: acknowledgements are not ECN-capable, and say nothing.
            return;
        }
        // RFC 3168 section 6.1.3: CWR ends the echo, and a mark on the same segment begins it anew.
        if segment.header.flags.contains(TcpFlags::CWR) {
            self.flags.clear(Flags::ECN_ECHO);
        }
        if segment.marked {
            self.ledger_mut().marks_received += u32::from(segment.segments);
            if !self.flags.has(Flags::ECN_ECHO) {
                self.flags.set(Flags::ECN_ECHO);
                // The sooner the sender hears of it, the shorter the queue.
                self.flags.set(Flags::ACK_NOW);
            }
        }
    }

    /// The sender's part: whether an acceptable acknowledgement echoes a mark.
    pub(crate) fn is_echo(&mut self, segment: &Incoming<'_>) -> bool {
        let echo = self.flags.has(Flags::ECN) && segment.header.flags.contains(TcpFlags::ECE) && !segment.was_syn;
        if echo {
            self.ledger_mut().echoes_received += 1;
        }
        echo
    }

    /// Whether the next new text carries CWR: the window was reduced, for whatever reason, and the peer was not told.
    pub(crate) fn owes_cwr(&self) -> bool {
        // RFC 3168 section 6.1.2.
        self.flags.has(Flags::CWR_DUE) || self.recovery.as_ref().is_some_and(|recovery| recovery.reduced)
    }

    /// CWR has gone out.
    pub(crate) fn on_cwr_sent(&mut self) {
        self.flags.clear(Flags::CWR_DUE);
        if let Some(recovery) = &mut self.recovery {
            recovery.reduced = false;
        }
    }

    /// The TOS of a segment; `new` says that it carries text for the first time.
    pub(crate) fn tos(&self, new: bool) -> u8 {
        // RFC 3168 sections 6.1.4 to 6.1.6: not on acknowledgements, retransmissions or window probes; RFC 3168 section
        // 6.1.1: not on SYNs.
        let codepoint = if new && self.flags.has(Flags::ECN) { ECT_0 } else { 0 };
        self.options.tos & !MASK | codepoint
    }
}
