//! Fragmentation (RFC 791 section 3.2), of our own datagrams and of those that are forwarded.

use wire::ipv4::{HEADER_LEN, Ipv4Header, MAX_OPTIONS_LEN};

use crate::Instant;
use crate::link::InterfaceId;
use crate::link::output::{Hop, QueueFull};
use crate::link::queue::Class;
use crate::network::Network;

impl Network {
    /// Sends an IPv4 packet in pieces of at most `mtu` bytes. It may be a fragment itself.
    pub(crate) fn send_fragments(
        &mut self,
        now: Instant,
        interface: InterfaceId,
        hop: Hop,
        class: Class,
        packet: &[u8],
        mtu: u32,
    ) -> Result<(), QueueFull> {
        let Ok((header, payload)) = Ipv4Header::parse_without_checksum(packet) else { return Ok(()) };
        let mut copied = [0; MAX_OPTIONS_LEN];
        let copied_len = header.copied_options(&mut copied);
        let link_header_len = self.interfaces.get(interface).map_or(0, |link| link.link_header_len());
        let mut at = 0;
        while at < payload.len() {
            // RFC 791 section 3.1: options without the copied flag stand in the first fragment only.
            let first = at == 0;
            let options = if first { header.options } else { &copied[..copied_len] };
            let header_len = HEADER_LEN + options.len().next_multiple_of(4);
            // Every fragment but the last is a multiple of eight; the smallest MTU leaves room for one such unit.
            let room = (mtu as usize).saturating_sub(header_len).max(8) & !7;
            let len = room.min(payload.len() - at);
            let last = at + len == payload.len();
            let fragment = Ipv4Header {
                total_len: (header_len + len) as u16,
                more_fragments: !last || header.more_fragments,
                fragment_offset: header.fragment_offset + at as u16,
                options,
                ..header
            };
            let mut frame = self.buffers.take();
            frame.resize(link_header_len + header_len + len, 0);
            fragment.emit(&mut frame[link_header_len..]);
            frame[link_header_len + header_len..].copy_from_slice(&payload[at..at + len]);
            self.link_output(now, interface, hop, class, frame)?;
            at += len;
        }
        Ok(())
    }
}
