//! What a path carries, found out by what arrives and what does not (RFC 8899, RFC 4821), for paths that swallow large
//! packets without a word.
//!
//! **Down**: three time-outs in a row of a segment that not every path carries mean that the size may be what is wrong: the next attempt is made
//! with a size that nearly every path carries, and then with one that every path does (RFC 8899 section 4.3, RFC 4821
//! section 7.7). When that is acknowledged, new connections to the same destination begin with it.
//!
//! **Up**: then, and ten minutes after every end of the search or a router's word, larger sizes are tried with text that
//! has to go anyway. The search halves what is left between the largest that arrived and the smallest that did not. A
//! probe that is lost while what followed it arrived says something of its size and nothing of congestion (RFC 4821
//! section 7.5). That takes SACK; without it there are no probes.
//!
//! Sizes here are MSS: what is left of the packet after IP's and TCP's headers without options.

use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;

use wire::tcp::SeqNum;

use crate::config::TcpConfig;
use crate::tcp::connection::{Connection, Flags};
use crate::time::Instant;

/// RFC 4821 section 7.7: segments lost to the timer in a row until the size is held to be the reason.
const BLACK_HOLE: u8 = 3;
/// RFC 4821 section 7.2: 1,024 bytes pass nearly everywhere, and RFC 1122 section 3.3.2's 576 everywhere.
const BASES_V4: [u16; 2] = [1_024 - 40, 576 - 40];
/// RFC 8200 section 5.
const BASES_V6: [u16; 1] = [1_280 - 60];
/// RFC 8899 section 5.1.1, PMTU_RAISE_TIMER.
const RAISE: Duration = Duration::from_secs(600);
/// RFC 8899 section 5.1.2, MAX_PROBES: so many of one size are lost before it counts as too large.
const MAX_PROBES: u8 = 3;
/// The search ends when so little is left to win.
const FINE_ENOUGH: u16 = 16;

/// What is to be done about a probe that is due.
pub(crate) enum ProbePlan {
    /// It goes now, with so much text.
    Send(u32),
    /// Nothing new goes until the windows have room for it.
    Wait,
}

/// A search, from the first trouble until the largest size is in use again.
#[derive(Debug)]
pub(crate) struct PathSearch {
    /// What path and peer allowed before the trouble.
    top: u16,
    /// The smallest size that is known not to arrive; above `top` when none is.
    ceiling: u16,
    /// When larger ones are tried; `NEVER` while a smaller size was not acknowledged yet.
    search_at: Instant,
    /// The probe in flight.
    probe: Option<(SeqNum, SeqNum)>,
    /// Its size, or that of the one to be sent.
    size: u16,
    due: bool,
    failures: u8,
    /// A size was found that others should know of.
    news: bool,
}

impl PathSearch {
    fn next_size(&mut self, now: Instant, mss: u16) {
        if self.probe.is_some() || self.due || now < self.search_at {
            return;
        }
        if self.ceiling > self.top {
            // Nothing is known against the largest.
            self.size = self.top;
        } else if self.ceiling - mss <= FINE_ENOUGH {
            self.ceiling = self.top + 1;
            self.search_at = now + RAISE;
            return;
        } else {
            self.size = mss + (self.ceiling - mss) / 2;
        }
        self.due = true;
    }
}

impl Connection {
    /// The retransmission timer has expired once more; `timeouts` times before.
    pub(crate) fn suspect_black_hole(&mut self, timeouts: u8, config: &TcpConfig) {
        if !config.path_probing || timeouts % BLACK_HOLE != BLACK_HOLE - 1 {
            return;
        }
        // The peer's window may be smaller than a segment.
        let largest = self.flight().min(self.segment_size()) as u16 + self.timestamps.option_len();
        let bases: &[u16] = if self.flow.remote.is_ipv4() { &BASES_V4 } else { &BASES_V6 };
        let Some(&base) = bases.iter().find(|&&base| base < largest) else { return };
        let top = self.aside.path().map_or(self.mss, |path| path.top);
        self.aside.make().path = Some(Box::new(PathSearch {
            top,
            ceiling: self.mss,
            search_at: Instant::NEVER,
            probe: None,
            size: 0,
            due: false,
            failures: 0,
            news: false,
        }));
        self.resize_segments(base);
    }

    /// A router has said that the path carries segments of `mss` and no more.
    pub(crate) fn path_is_told(&mut self, now: Instant, mss: u16) {
        let top = self.aside.path().map_or(self.mss, |path| path.top);
        self.resize_segments(mss);
        // RFC 1191 section 6.3: not before ten minutes have passed is more tried again.
        let search_at = now + RAISE;
        let search =
            PathSearch { top, ceiling: top + 1, search_at, probe: None, size: 0, due: false, failures: 0, news: false };
        self.aside.make().path = Some(Box::new(search));
    }

    /// The peer has said that it takes segments of `most`: RFC 9293 section 3.7.1, nothing larger is ever tried.
    pub(crate) fn bound_path_search(&mut self, most: u16) {
        let Some(path) = self.aside.path_mut() else { return };
        path.top = path.top.min(most);
        path.ceiling = path.ceiling.min(path.top + 1);
        if self.mss >= path.top {
            self.aside.end_path_search();
        }
    }

    /// `ack` acknowledges something new.
    pub(crate) fn on_path_ack(&mut self, now: Instant, ack: SeqNum) {
        let mut mss = self.mss;
        let Some(path) = self.aside.path_mut() else { return };
        if path.search_at.is_never() {
            path.search_at = now;
            path.news = true;
        }
        if let Some((_, end)) = path.probe
            && ack.at_or_after(end)
        {
            // What was sent again meanwhile, in smaller segments, says nothing of the size.
            let whole = self.recovery.as_mut().and_then(|recovery| recovery.spare.take()) == path.probe;
            path.probe = None;
            if whole {
                path.failures = 0;
                path.news = true;
                mss = path.size;
            }
        }
        path.next_size(now, mss);
        self.resize_segments(mss);
    }

    /// After feedback: whether the probe is what was lost.
    pub(crate) fn judge_path_probe(&mut self, now: Instant) {
        let Some(path) = self.aside.path_mut() else { return };
        let lost = path.probe.is_some() && self.recovery.as_ref().is_some_and(|recovery| recovery.is_spare_loss());
        if !lost {
            return;
        }
        path.probe = None;
        path.failures += 1;
        if path.failures >= MAX_PROBES {
            path.failures = 0;
            path.ceiling = path.size;
        }
        path.next_size(now, self.mss);
    }

    /// What is to be done about the probe that is due, if anything now: enough text follows for its loss to show, and
    /// nothing is lost.
    pub(crate) fn plan_path_probe(&self) -> Option<ProbePlan> {
        let path = self.aside.path().filter(|path| path.due)?;
        let len = u32::from(path.size - self.timestamps.option_len());
        let calm = self.recovery.as_ref().is_none_or(|recovery| recovery.is_untroubled());
        let window = self.snd.wnd.min(self.congestion.window());
        let enough = self.unsent() >= len + 3 * self.segment_size() && window >= 4 * len;
        if !calm || !enough || !self.flags.has(Flags::SACK) {
            return None;
        }
        // RFC 4821 section 7.4: what is in flight makes room for it soon. With nothing in flight there is room: the windows
        // hold four.
        Some(if self.sendable() >= len { ProbePlan::Send(len) } else { ProbePlan::Wait })
    }

    /// The probe has gone out.
    pub(crate) fn on_path_probe_sent(&mut self, start: SeqNum, end: SeqNum) {
        if let Some(path) = self.aside.path_mut() {
            path.due = false;
            path.probe = Some((start, end));
        }
        self.recovery_mut().spare = Some((start, end));
    }

    /// The path's MTU as it was just found out, for others to know.
    pub(crate) fn take_path_news(&mut self) -> Option<u32> {
        let path = self.aside.path_mut().filter(|path| path.news)?;
        path.news = false;
        let headers = if matches!(self.flow.remote, IpAddr::V4(_)) { 40 } else { 60 };
        let mtu = u32::from(self.mss) + headers;
        if self.mss >= path.top {
            self.aside.end_path_search();
        }
        Some(mtu)
    }
}
