//! Fragments of TCP segments meet in the engine of their connection: only the first has the ports that say which
//! (RFC 791 section 3.2), and the rest must follow it.
//!
//! Kept by the first engine's link alone, to which the others hand such fragments. TCP sets DF, so this is for peers
//! that do not, and for attackers: small and bounded, the oldest goes first.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use stack::steering::Steering;
use wire::ethernet::EthernetHeader;
use wire::ipv4::Ipv4Header;

use super::place::engine_of_segment;

/// Segments under way at most.
const MOST_SEGMENTS: usize = 64;

/// Bytes of fragments that wait for their first, at most.
const MOST_BYTES: usize = 256 << 10;

/// How long a segment's fragments are expected: RFC 1122 section 3.3.2 has 60 to 120 s for slow networks of its day;
/// identifiers come again much sooner now.
const LIFETIME: Duration = Duration::from_secs(30);

/// What ties fragments together; the protocol is TCP.
type Name = (Ipv4Addr, Ipv4Addr, u16);

struct Segment {
    name: Name,
    since: Instant,
    /// Known from the first fragment on.
    engine: Option<usize>,
    /// Frames that came before it.
    waiting: Vec<Box<[u8]>>,
}

/// Segments whose fragments are under way, the oldest first.
#[derive(Default)]
pub(super) struct Fragments {
    segments: VecDeque<Segment>,
    /// Of all that wait.
    bytes: usize,
}

impl Fragments {
    /// Takes in a frame with a fragment of a TCP segment; calls `deliver` for it, and for those that waited for it, as
    /// soon as their engine is known. Returns how many frames were thrown away.
    pub(super) fn take(
        &mut self,
        now: Instant,
        frame: &[u8],
        steering: &Steering,
        deliver: &mut dyn FnMut(usize, &[u8]),
    ) -> u64 {
        let Ok((_, packet)) = EthernetHeader::parse(frame) else { return 1 };
        let Ok((header, payload)) = Ipv4Header::parse_without_checksum(packet) else { return 1 };
        let name = (header.src, header.dst, header.identification);
        let first = header.fragment_offset == 0;
        let mut lost = 0;
        while self.segments.front().is_some_and(|oldest| now.saturating_duration_since(oldest.since) > LIFETIME) {
            lost += self.drop_oldest();
        }
        let found = self.segments.iter_mut().find(|segment| segment.name == name);
        let engine = match (first, &found) {
            // The first fragment always says: an identifier may have come again.
            (true, _) => match engine_of_segment(&header, payload, steering) {
                Some(engine) => Some(engine),
                // RFC 1858: no port in the first fragment is an attack on filters.
                None => return lost + 1,
            },
            (false, Some(segment)) => segment.engine,
            (false, None) => None,
        };
        match (engine, found) {
            (Some(engine), Some(segment)) => {
                segment.engine = Some(engine);
                deliver(engine, frame);
                for frame in segment.waiting.drain(..) {
                    self.bytes -= frame.len();
                    deliver(engine, &frame);
                }
            }
            (Some(engine), None) => {
                lost += self.begin(Segment { name, since: now, engine: Some(engine), waiting: Vec::new() });
                deliver(engine, frame);
            }
            (None, found) => {
                if found.is_none() {
                    lost += self.begin(Segment { name, since: now, engine: None, waiting: Vec::new() });
                }
                while self.bytes + frame.len() > MOST_BYTES {
                    // Never the one that is being added to: it would wait for nothing.
                    if self.segments.front().is_none_or(|oldest| oldest.name == name) {
                        return lost + 1;
                    }
                    lost += self.drop_oldest();
                }
                if let Some(segment) = self.segments.iter_mut().find(|segment| segment.name == name) {
                    self.bytes += frame.len();
                    segment.waiting.push(frame.into());
                }
            }
        }
        lost
    }

    fn begin(&mut self, segment: Segment) -> u64 {
        let lost = if self.segments.len() >= MOST_SEGMENTS { self.drop_oldest() } else { 0 };
        self.segments.push_back(segment);
        lost
    }

    fn drop_oldest(&mut self) -> u64 {
        let Some(oldest) = self.segments.pop_front() else { return 0 };
        self.bytes -= oldest.waiting.iter().map(|frame| frame.len()).sum::<usize>();
        oldest.waiting.len() as u64
    }
}
