//! Opening a connection: SYN, SYN-ACK and the options that only they carry (RFC 9293 sections 3.5 and 3.10.7.3).

use alloc::vec;
use alloc::vec::Vec;
use core::net::IpAddr;

use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{SeqNum, SynOptions, TcpFlags, TcpHeader, TcpOptions, Timestamps as TimestampsOption};

use crate::Discard;
use crate::config::TcpConfig;
use crate::event::Readiness;
use crate::network::Network;
use crate::tcp::announced_mss;
use crate::tcp::congestion::Congestion;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::error::TcpError;
use crate::tcp::input::{Env, Incoming, Stop};
use crate::tcp::phase::Phase;
use crate::tcp::reset::Reset;
use crate::time::Instant;

/// RFC 9293 section 3.7.1: what a peer takes that announces nothing.
const DEFAULT_MSS_V4: u16 = 536;
/// RFC 9293 section 3.7.1, for IPv6.
const DEFAULT_MSS_V6: u16 = 1220;
/// A peer that announces less is held to be mistaken or hostile: a header of 40 bytes for each byte of text helps
/// nobody.
const SMALLEST_MSS: u16 = 48;

/// What the peer said in its SYN, as far as this side agrees to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PeerSyn {
    /// IRS: its initial sequence number.
    pub seq: SeqNum,
    /// TSval, if timestamps are agreed.
    pub timestamp: Option<u32>,
    /// Its window, which a SYN never scales.
    pub window: u16,
    /// The segment size that it takes.
    pub mss: u16,
    /// The shift of its windows, if both sides scale.
    pub scale: Option<u8>,
    /// Both sides use SACK.
    pub sack: bool,
    /// The control bits.
    pub flags: TcpFlags,
}

impl PeerSyn {
    /// What a SYN with the usual options says.
    #[inline(always)]
    pub(crate) fn usual(seq: SeqNum, window: u16, flags: TcpFlags, options: SynOptions, config: &TcpConfig) -> Self {
        Self {
            seq,
            timestamp: options.timestamps.filter(|_| config.timestamps).map(|option| option.value),
            window,
            mss: options.mss.max(SMALLEST_MSS),
            scale: config.window_scaling.then_some(options.window_scale),
            sack: config.sack,
            flags,
        }
    }

    /// What `header`, the SYN of `remote`, says.
    pub(crate) fn of(header: &TcpHeader, remote: IpAddr, config: &TcpConfig) -> Self {
        let default = match remote {
            IpAddr::V4(_) => DEFAULT_MSS_V4,
            IpAddr::V6(_) => DEFAULT_MSS_V6,
        };
        let options = &header.options;
        Self {
            seq: header.seq,
            timestamp: options.timestamps.filter(|_| config.timestamps).map(|option| option.value),
            window: header.window,
            mss: options.mss.unwrap_or(default).max(SMALLEST_MSS),
            // RFC 7323 section 2.2: both sides or neither.
            scale: options.window_scale.filter(|_| config.window_scaling),
            sack: options.sack_permitted && config.sack,
            flags: header.flags,
        }
    }
}

/// What tells a SYN or SYN-ACK from other segments.
pub(super) struct SynFields {
    pub flags: TcpFlags,
    pub window: u16,
    pub options: TcpOptions,
}

impl Connection {
    /// The options of our SYN, or of our SYN-ACK to a peer that offered `agreed`.
    pub(crate) fn syn_options(&self, now: Instant, announced_mss: u16, config: &TcpConfig) -> TcpOptions {
        let answer = self.phase == Phase::SynReceived;
        let scale = if answer { self.flags.has(Flags::SCALED) } else { config.window_scaling };
        let sack_permitted = if answer { self.flags.has(Flags::SACK) } else { config.sack };
        let timestamps = if answer { self.timestamps.is_agreed() } else { config.timestamps };
        TcpOptions {
            mss: Some(announced_mss),
            // RFC 7323 section 2.2: in a SYN-ACK only if the SYN had it.
            window_scale: scale.then_some(self.rcv.scale),
            timestamps: timestamps.then(|| self.timestamps.option(now)),
            // RFC 2018 section 2.
            sack_permitted,
            user_timeout: self.user_timeout_of_syn(),
            ..TcpOptions::NONE
        }
    }

    /// What tells our SYN or SYN-ACK from other segments.
    pub(super) fn syn_fields(&self, now: Instant, net: &Network, config: &TcpConfig) -> SynFields {
        let announced = announced_mss(net.route_mtu(self.interface, self.flow.remote), self.flow.remote, &self.options);
        let kind = if self.phase == Phase::SynReceived { TcpFlags::SYN | TcpFlags::ACK } else { TcpFlags::SYN };
        SynFields {
            flags: kind | self.ecn_of_syn(config),
            // RFC 7323 section 2.2: unscaled.
            window: u16::try_from(self.room()).unwrap_or(u16::MAX),
            options: self.syn_options(now, announced, config),
        }
    }

    /// The packet that brought the peer's SYN, as an ICMP error about it quotes it: the IPv4 header and the first 64 bits
    /// (RFC 792), which are the ports and the sequence number. Empty for IPv6.
    pub(crate) fn quoted_syn(&self) -> Vec<u8> {
        let (IpAddr::V4(ours), IpAddr::V4(theirs)) = (self.flow.local, self.flow.remote) else { return Vec::new() };
        let header = Ipv4Header::new(theirs, ours, Protocol::TCP, 64, wire::tcp::HEADER_LEN);
        let mut packet = vec![0; header.len()];
        header.emit(&mut packet);
        packet.extend_from_slice(&self.flow.remote_port.to_be_bytes());
        packet.extend_from_slice(&self.flow.local_port.to_be_bytes());
        packet.extend_from_slice(&(self.rcv.nxt - 1).0.to_be_bytes());
        packet
    }

    /// Takes the peer's SYN: its number, its options and its window, which a SYN never scales.
    #[inline(always)]
    pub(crate) fn on_peer_syn(&mut self, now: Instant, syn: &PeerSyn, config: &TcpConfig) {
        let mss = self.mss.min(syn.mss);
        match syn.scale {
            Some(shift) => {
                self.flags.set(Flags::SCALED);
                self.snd.scale = shift;
            }
            None => self.rcv.scale = 0,
        }
        if let Some(value) = syn.timestamp {
            self.timestamps.agree(now, TimestampsOption { value, echo: 0 });
        }
        self.resize_segments(mss);
        self.bound_path_search(syn.mss);
        if syn.sack {
            self.flags.set(Flags::SACK);
        }
        self.agree_on_ecn(syn.flags, config);
        self.congestion = Congestion::new(self.congestion.algorithm(), self.segment_size());
        if self.flags.has(Flags::SYN_RESENT) {
            self.congestion.on_syn_lost(self.segment_size());
        }
        self.rcv.nxt = syn.seq + 1;
        self.rcv.edge = self.rcv.nxt;
        self.rcv.acked = self.rcv.nxt;
        // RFC 7323 section 2.2: the window field of a SYN is not scaled.
        self.snd.wnd = u32::from(syn.window);
        self.snd.max_wnd = self.snd.wnd;
        self.snd.wl1 = syn.seq;
        self.snd.wl2 = self.snd.una;
        self.last_heard = now;
    }

    /// RFC 9293 section 3.10.7.3: a segment in SYN-SENT.
    pub(crate) fn on_syn_sent_segment(&mut self, env: &mut Env<'_>, segment: &mut Incoming<'_>) -> Result<(), Stop> {
        let header = segment.header;
        let has_ack = header.flags.contains(TcpFlags::ACK);
        // First: an ACK must be of our SYN.
        if has_ack && (header.ack.at_or_before(self.snd.una) || header.ack.after(self.snd.nxt)) {
            return Err(match Reset::answer(segment) {
                Some(reset) => Stop::Reset(Discard::TcpBadAck, reset),
                None => Stop::Discard(Discard::TcpBadAck),
            });
        }
        // Second: a reset refuses the connection, if it acknowledges our SYN.
        if header.flags.contains(TcpFlags::RST) {
            if !has_ack {
                return Err(Discard::TcpBadReset.into());
            }
            if self.give_up_ecn(env.config) {
                self.flags.set(Flags::SYN_DUE);
            } else {
                self.fail(TcpError::Refused);
            }
            return Ok(());
        }
        if !header.flags.contains(TcpFlags::SYN) {
            return Err(Discard::TcpBadSyn.into());
        }
        // Fourth: the SYN.
        self.on_peer_syn(env.now, &PeerSyn::of(&header, self.flow.remote, env.config), env.config);
        self.hear_user_timeout(header.options.user_timeout);
        if has_ack {
            self.establish_by(env, segment);
            self.flags.set(Flags::ACK_NOW);
            segment.header.seq += 1;
            segment.header.flags = segment.header.flags.without(TcpFlags::SYN);
            let offered = self.open_window();
            // Sixth to eighth: what a SYN-ACK brings beyond that window comes again.
            return if segment.payload.len() <= offered { Ok(self.on_text(env, segment)?) } else { Ok(()) };
        }
        // RFC 9293 section 3.5, figure 8: both sides opened at once.
        self.phase = Phase::SynReceived;
        // SND.NXT stays: the peer may have taken the text of our SYN, and acknowledge it.
        self.flags.clear(Flags::FAST_OPEN);
        self.aside.take_parked();
        self.flags.set(Flags::SYN_DUE);
        Ok(())
    }

    /// Our SYN has offered a window, and a server that took its text fills it at once (RFC 7413 section 4.2.2). Returns its
    /// size.
    #[inline]
    pub(super) fn open_window(&mut self) -> usize {
        let offered = self.receive.free().min(usize::from(u16::MAX));
        self.rcv.edge = self.rcv.nxt + offered as u32;
        offered
    }

    /// A SYN that comes again while ours is unanswered, or the SYN-ACK of a simultaneous open.
    pub(crate) fn on_repeated_syn(&mut self, segment: &mut Incoming<'_>) -> Result<(), Stop> {
        let header = &mut segment.header;
        if !header.flags.contains(TcpFlags::SYN)
            || header.flags.contains(TcpFlags::RST)
            || header.seq + 1 != self.rcv.nxt
        {
            return Ok(());
        }
        if header.flags.contains(TcpFlags::ACK) {
            // RFC 9293 section 3.5, figure 8, line 6: its SYN is known, its ACK is what counts.
            header.flags = header.flags.without(TcpFlags::SYN);
            header.seq += 1;
            return Ok(());
        }
        // The SYN-ACK was lost: the same connection, not a second one.
        if !self.flags.has(Flags::HELD) {
            self.flags.set(Flags::SYN_DUE);
        }
        Err(Stop::Discard(Discard::TcpBadSyn))
    }

    /// RFC 9293 section 3.10.7.4, fifth step, in SYN-RECEIVED.
    pub(crate) fn on_handshake_ack(&mut self, env: &mut Env<'_>, segment: &Incoming<'_>) -> Result<(), Stop> {
        let ack = segment.header.ack;
        if self.flags.has(Flags::HELD) || ack.at_or_before(self.snd.una) || ack.after(self.snd.nxt) {
            return Err(match Reset::answer(segment) {
                Some(reset) => Stop::Reset(Discard::TcpBadAck, reset),
                None => Stop::Discard(Discard::TcpBadAck),
            });
        }
        self.establish_by(env, segment);
        Ok(())
    }

    /// Our SYN is acknowledged, by a segment of these numbers, of a window of `window` bytes.
    #[inline(always)]
    pub(super) fn establish(
        &mut self,
        now: Instant,
        seq: SeqNum,
        ack: SeqNum,
        window: u32,
        timestamps: Option<TimestampsOption>,
    ) {
        if !self.flags.has(Flags::SYN_RESENT) {
            self.rtt.sample_nanos(now.nanos_since(self.last_sent));
        } else if let Some(option) = timestamps
            && self.timestamps.is_agreed()
            && let Some(elapsed) = self.timestamps.elapsed(now, option.echo)
        {
            self.rtt.sample(elapsed);
        }
        self.rtt.on_established();
        self.phase = Phase::Established;
        self.flags.clear(Flags::SYN_DUE);
        self.deadlines.retransmit = Instant::NEVER;
        self.unanswered_since = Instant::NEVER;
        // RFC 7413 section 4.2.1: what the peer has not taken of the SYN's text is sent again, as if it had not been.
        let taken = ack - self.snd.una - 1;
        if taken > 0 {
            self.send.consume(taken as usize);
        }
        self.snd.una = ack;
        self.snd.nxt = ack;
        self.snd.wnd = window;
        self.snd.max_wnd = self.snd.max_wnd.max(window);
        self.snd.wl1 = seq;
        self.snd.wl2 = ack;
        if self.flags.has(Flags::FINISHED) {
            self.phase = self.phase.on_finish();
        }
        self.tell(Readiness::CONNECTED | Readiness::WRITABLE);
        self.start_keep_alive();
    }

    /// [`establish`](Self::establish) by a segment that was read whole.
    fn establish_by(&mut self, env: &Env<'_>, segment: &Incoming<'_>) {
        let TcpHeader { seq, ack, window, options, .. } = segment.header;
        // RFC 7323 section 2.2: nor is the window of a SYN-ACK scaled, also in a simultaneous open.
        let window = u32::from(window) << if segment.was_syn { 0 } else { self.snd.scale };
        self.establish(env.now, seq, ack, window, options.timestamps);
        self.adopt_user_timeout(env.config);
    }
}

#[cfg(test)]
mod tests;
