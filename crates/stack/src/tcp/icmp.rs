//! ICMP errors about segments of ours (RFC 5461, RFC 5927).

use core::net::IpAddr;

use wire::tcp::SeqNum;

use crate::Discard;
use crate::ip::icmp::{ErrorKind, TransportError};
use crate::tcp::demux::{Flow, Holder};
use crate::tcp::error::TcpError;
use crate::tcp::phase::Phase;
use crate::tcp::{Context, Tcp, mss_of};
use crate::time::Instant;

/// RFC 1191 section 3: no link of today carries less; a smaller value is a forgery or an error.
const SMALLEST_PATH_MTU_V4: u32 = 552;
/// RFC 8200 section 5.
const SMALLEST_PATH_MTU_V6: u32 = 1280;

impl Tcp {
    /// An ICMP error quoted a segment of ours.
    pub(crate) fn icmp_error(&mut self, now: Instant, context: &mut Context<'_>, error: &TransportError) {
        let flow = Flow {
            local: error.local.ip(),
            remote: error.remote.ip(),
            local_port: error.local.port(),
            remote_port: error.remote.port(),
        };
        let index = match self.demux.peek(&self.hasher, &self.connections, &self.syn_queue, &flow) {
            Some(Holder::Connection(index)) => Some(index),
            Some(Holder::HalfOpen(index)) if self.icmp_error_half_open(index, error.sequence, error.kind) => return,
            _ => None,
        };
        let Some((index, connection)) = index.and_then(|index| Some((index, self.connections.at_mut(index)?))) else {
            context.net.discard(Discard::IcmpUnmatched);
            return;
        };
        // RFC 5927 section 4.1: only a sequence number that is in flight was seen by a router on the way.
        let seq = SeqNum(error.sequence);
        let in_flight = seq.at_or_after(connection.snd.una) && seq.before(connection.snd.nxt);
        if !in_flight {
            context.net.discard(Discard::IcmpUnmatched);
            return;
        }
        let before = connection.phase;
        match error.kind {
            ErrorKind::FragmentationNeeded(mtu) => {
                let least = match flow.remote {
                    IpAddr::V4(_) => SMALLEST_PATH_MTU_V4,
                    IpAddr::V6(_) => SMALLEST_PATH_MTU_V6,
                };
                // RFC 1191 section 5: a router of before says nothing, which is zero.
                let mtu = mtu.max(least);
                let mss = mss_of(mtu, flow.remote);
                // RFC 5927 section 7.2: an error never raises the path MTU.
                if mss >= connection.mss {
                    context.net.discard(Discard::IcmpUnmatched);
                    return;
                }
                connection.path_is_told(now, mss);
                context.net.lower_path_mtu(now, flow.remote, mtu);
                // RFC 1191 section 6.4: send again at once what was too big; no congestion is meant.
                connection.end_solitude();
                if let Some(recovery) = &mut connection.recovery {
                    recovery.on_path_shrunk();
                }
                connection.shrink_syn(now, &self.config);
            }
            // RFC 5461 section 4.1 and RFC 5927 section 6.2: errors abort a connection only before it is established.
            kind if before == Phase::SynSent && is_hard(kind) => connection.fail(TcpError::from(kind)),
            kind => connection.soft_error = Some(TcpError::from(kind)),
        }
        self.settle(now, context, index, before);
    }
}

/// RFC 1122 section 4.2.3.9: whether an error is hard. Unreachable hosts and networks are soft there, but a connect that
/// a router answers so fails at once everywhere else, and people expect it.
fn is_hard(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::PortUnreachable
        | ErrorKind::ProtocolUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::AdministrativelyProhibited => true,
        ErrorKind::TimeExceeded | ErrorKind::ParameterProblem | ErrorKind::FragmentationNeeded(_) => false,
    }
}
