//! Frames in words, for a person who looks for a fault.

use wire::ethernet::{EtherType, EthernetHeader};
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;
use wire::tcp::{TcpFlags, TcpHeader};

use crate::world::{A, Traced};

/// One frame as a line: when, from whom, and what a TCP segment says.
#[must_use]
pub fn describe(frame: &Traced) -> String {
    let arrow = if frame.from == A { "A>" } else { "<B" };
    format!("{} {arrow} {}", frame.at, packet(&frame.bytes))
}

/// What a frame says.
#[must_use]
pub fn packet(bytes: &[u8]) -> String {
    let Ok((ethernet, packet)) = EthernetHeader::parse(bytes) else { return "?".into() };
    if ethernet.ethertype != EtherType::IPV4 {
        return format!("{:?}, {} bytes", ethernet.ethertype, bytes.len());
    }
    let Ok((ip, payload)) = Ipv4Header::parse(packet) else { return "damaged IPv4".into() };
    if ip.protocol != Protocol::TCP {
        return format!("{:?}, {} bytes", ip.protocol, payload.len());
    }
    let Ok((tcp, text)) = TcpHeader::parse(payload) else { return "damaged TCP".into() };
    let mut flags = String::new();
    for (bit, name) in
        [(TcpFlags::SYN, 'S'), (TcpFlags::FIN, 'F'), (TcpFlags::RST, 'R'), (TcpFlags::PSH, 'P'), (TcpFlags::ACK, '.')]
    {
        if tcp.flags.contains(bit) {
            flags.push(name);
        }
    }
    let times = tcp.options.timestamps.map_or(String::new(), |ts| format!(" ts {} {}", ts.value, ts.echo));
    format!("{flags} {}:{} ack {} win {}{times}", tcp.seq, tcp.seq + text.len() as u32, tcp.ack, tcp.window)
}
