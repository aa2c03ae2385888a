//! The segment that is like all others: text or an acknowledgement, in one frame, with no options but timestamps.
//!
//! Its link and IP headers stand ready in a template ([`Headers`](crate::link::template::Headers)), so that a few fields
//! are written and nothing is built. What is to be sent was planned by `output` as always, and what follows from it is
//! noted by `sent` ([`Connection::on_sent`]); where a condition of [`Connection::send_plain`] fails, `output` builds the
//! segment, and both give the same bytes: `crates/sim/tests/tcp_fast_path.rs` runs them against each other.

use device::Device;
use wire::tcp::TcpFlags;

use crate::config::TcpConfig;
use crate::link::template::{PlainSegment, Plainly};
use crate::network::Network;
use crate::tcp::connection::{Connection, Flags};
use crate::tcp::output::{Kind, Plan};
use crate::time::Instant;

impl Connection {
    /// Sends `plan` from the template, if there is one for it.
    #[inline]
    pub(super) fn send_plain(
        &mut self,
        now: Instant,
        net: &mut Network,
        device: &mut dyn Device,
        plan: Plan,
        config: &TcpConfig,
    ) -> Plainly {
        let is_plain = match plan.kind {
            Kind::Text => plan.len <= self.segment_size(),
            // An acknowledgement may have gaps and duplicates to report.
            Kind::Ack => {
                !self.flags.has(Flags::SACK) || (self.aside.duplicate().is_none() && self.aside.reassembly().is_none())
            }
            _ => false,
        };
        if !is_plain || !config.fast_path || self.flags.has(Flags::ECN.and(Flags::SAYS_MORE)) {
            return Plainly::NotSo;
        }
        let offset = self.send_offset(plan.seq);
        let len = plan.len as usize;
        let Some(payload) = self.send.span(offset, len) else { return Plainly::NotSo };
        let mut flags = TcpFlags::ACK;
        if plan.fin {
            flags |= TcpFlags::FIN;
        }
        if len > 0 && offset + len == self.send.seen_len() {
            // RFC 9293 section 3.9.1.2: the end of what was written.
            flags |= TcpFlags::PSH;
        }
        let (window, edge) = self.offer_window();
        let segment = PlainSegment {
            interface: self.interface,
            flow: &self.flow,
            hop_limit: self.options.hop_limit,
            tos: self.tos(false),
            seq: plan.seq,
            ack: self.rcv.nxt,
            flags,
            window,
            options: self.timestamps.is_agreed().then(|| self.timestamps.option(now).to_bytes()),
            payload,
        };
        let became = net.transmit_plain(device, &segment);
        if became == Plainly::Sent {
            self.on_sent(now, plan, edge, config);
        }
        became
    }
}
