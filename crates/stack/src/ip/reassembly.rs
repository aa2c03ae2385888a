//! Reassembly of IPv4 fragments (RFC 791 section 3.2, RFC 815's bookkeeping by pieces), in bounded memory.
//!
//! Bytes are counted with what they cost to keep; beyond the limit the oldest datagram goes. Fragments that overlap
//! end their datagram, as RFC 8200 section 4.5 has it: no honest sender makes them, and every choice between the two
//! contents was an attack. An exact repetition is no overlap.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use hashbrown::HashTable;
use wire::ipv4::Ipv4Header;
use wire::protocol::Protocol;

use super::Delivery;
use super::icmp::output::Report;
use crate::Instant;
use crate::discard::Discard;
use crate::entropy::Key;
use crate::handle::{Handle, Table};
use crate::link::InterfaceId;
use crate::network::{Network, Timer};
use crate::timers::TimerId;

/// RFC 791 section 3.2 suggests 15 s at least; RFC 1122 section 3.3.2 60 to 120 s; every large system takes 30 s.
const LIFETIME: Duration = Duration::from_secs(30);
/// What a fragment costs besides its bytes.
const PIECE_COST: usize = 64;
/// What a datagram costs besides its fragments.
const DATAGRAM_COST: usize = 512;
/// Fragments of one datagram at most: 65,535 bytes over the smallest MTU.
const PIECES: usize = 1_500;

/// Marks handles of reassemblies.
pub(crate) enum ReassemblyKind {}

/// Names a datagram under reassembly.
pub(crate) type ReassemblyId = Handle<ReassemblyKind>;

#[derive(Clone, Copy, PartialEq, Eq)]
struct DatagramKey {
    src: Ipv4Addr,
    dst: Ipv4Addr,
    protocol: Protocol,
    identification: u16,
}

impl DatagramKey {
    fn hash(self, key: Key) -> u64 {
        let Self { src, dst, protocol, identification } = self;
        key.flow(IpAddr::V4(src), u16::from(protocol.0), IpAddr::V4(dst), identification)
    }
}

struct Piece {
    start: usize,
    bytes: Vec<u8>,
}

struct Datagram {
    key: DatagramKey,
    interface: InterfaceId,
    link_multicast: bool,
    /// The header of fragment zero, once it has come.
    header: Option<Vec<u8>>,
    /// In order of `start`, without overlaps.
    pieces: Vec<Piece>,
    /// Payload bytes held.
    held: usize,
    /// Payload bytes of the whole, once the last fragment has come.
    total: Option<usize>,
    /// A fragment was marked "congestion experienced".
    congested: bool,
    /// Its place in the order of arrival.
    sequence: u64,
    timer: TimerId,
}

impl Datagram {
    fn cost(&self) -> usize {
        DATAGRAM_COST + self.held + self.pieces.len() * PIECE_COST
    }

    /// The packet that fragment zero was, as far as it is there: what an ICMP error quotes.
    fn quote(&self) -> Option<Vec<u8>> {
        let mut packet = self.header.clone()?;
        packet.extend_from_slice(&self.pieces.first().filter(|piece| piece.start == 0)?.bytes);
        Some(packet)
    }
}

enum Added {
    Repeated,
    Incomplete,
    Complete,
    Overlap,
    Malformed,
}

/// Every datagram under reassembly.
pub(crate) struct Reassembler {
    limit: usize,
    key: Key,
    datagrams: Table<ReassemblyKind, Datagram>,
    index: HashTable<ReassemblyId>,
    by_age: BTreeMap<u64, ReassemblyId>,
    next_sequence: u64,
    bytes: usize,
}

impl Reassembler {
    pub(crate) fn new(limit: usize, key: Key) -> Self {
        Self {
            limit,
            key,
            datagrams: Table::new(),
            index: HashTable::new(),
            by_age: BTreeMap::new(),
            next_sequence: 0,
            bytes: 0,
        }
    }

    fn find(&self, key: DatagramKey) -> Option<ReassemblyId> {
        let same = |id: &ReassemblyId| self.datagrams.get(*id).is_some_and(|datagram| datagram.key == key);
        self.index.find(key.hash(self.key), same).copied()
    }

    fn insert(&mut self, datagram: Datagram) -> ReassemblyId {
        let key = datagram.key;
        self.bytes += datagram.cost();
        self.by_age.insert(datagram.sequence, self.datagrams.insert(datagram));
        let id = self.by_age.last_key_value().map(|(_, &id)| id).unwrap_or(ReassemblyId::from_bits(0));
        let Self { index, datagrams, key: secret, .. } = self;
        index.insert_unique(key.hash(*secret), id, |&id| {
            datagrams.get(id).map_or(0, |datagram| datagram.key.hash(*secret))
        });
        id
    }

    fn remove(&mut self, id: ReassemblyId) -> Option<Datagram> {
        let datagram = self.datagrams.remove(id)?;
        self.bytes -= datagram.cost();
        self.by_age.remove(&datagram.sequence);
        if let Ok(found) = self.index.find_entry(datagram.key.hash(self.key), |&other| other == id) {
            found.remove();
        }
        Some(datagram)
    }

    fn add(&mut self, id: ReassemblyId, header: &Ipv4Header<'_>, header_bytes: &[u8], payload: &[u8]) -> Added {
        let Some(datagram) = self.datagrams.get_mut(id) else { return Added::Malformed };
        let before = datagram.cost();
        let added = datagram.add(header, header_bytes, payload);
        self.bytes = self.bytes - before + datagram.cost();
        added
    }
}

impl Datagram {
    fn add(&mut self, header: &Ipv4Header<'_>, header_bytes: &[u8], payload: &[u8]) -> Added {
        let start = usize::from(header.fragment_offset);
        let end = start + payload.len();
        let at = self.pieces.partition_point(|piece| piece.start < start);
        if let Some(same) = self.pieces.get(at)
            && same.start == start
            && same.bytes == payload
        {
            return Added::Repeated;
        }
        let previous_end = at.checked_sub(1).map_or(0, |before| {
            let piece = &self.pieces[before];
            piece.start + piece.bytes.len()
        });
        if previous_end > start || self.pieces.get(at).is_some_and(|next| next.start < end) {
            return Added::Overlap;
        }
        if !header.more_fragments {
            let beyond = self.pieces.last().is_some_and(|last| last.start + last.bytes.len() > end);
            if self.total.is_some_and(|total| total != end) || beyond {
                return Added::Overlap;
            }
            self.total = Some(end);
        } else if self.total.is_some_and(|total| end > total) {
            return Added::Overlap;
        }
        if self.pieces.len() >= PIECES {
            return Added::Malformed;
        }
        if start == 0 {
            self.header = Some(header_bytes.to_vec());
        }
        // RFC 3168 section 5.3: one mark among the fragments marks the datagram.
        self.congested |= header.tos & 3 == 3;
        self.held += payload.len();
        self.pieces.insert(at, Piece { start, bytes: payload.to_vec() });
        match self.total {
            Some(total) if total == self.held => Added::Complete,
            _ => Added::Incomplete,
        }
    }

    /// The whole packet under fragment zero's header.
    fn assemble(self) -> Option<(Vec<u8>, usize)> {
        let mut packet = self.header?;
        let header_len = packet.len();
        packet.reserve_exact(self.held);
        for piece in self.pieces {
            packet.extend_from_slice(&piece.bytes);
        }
        let total_len = u16::try_from(packet.len()).ok()?;
        packet[2..4].copy_from_slice(&total_len.to_be_bytes());
        packet[6..8].fill(0);
        if self.congested {
            packet[1] |= 3;
        }
        packet[10..12].fill(0);
        let checksum = wire::checksum::sum(&packet[..header_len]).finish();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
        Some((packet, header_len))
    }
}

impl Network {
    /// Takes in a fragment; returns the whole datagram if it was the last that was missing.
    pub(crate) fn reassemble<'f>(
        &mut self,
        now: Instant,
        header: &Ipv4Header<'_>,
        payload: &[u8],
        fragment: Delivery<'f>,
    ) -> Option<Delivery<'f>> {
        let end = usize::from(header.fragment_offset) + payload.len();
        let uneven = header.more_fragments && !payload.len().is_multiple_of(8);
        if payload.is_empty() || uneven || fragment.header_len + end > usize::from(u16::MAX) {
            self.discard(Discard::FragmentMalformed);
            return None;
        }
        let key = DatagramKey {
            src: header.src,
            dst: header.dst,
            protocol: header.protocol,
            identification: header.identification,
        };
        let id = self.reassembler.find(key).unwrap_or_else(|| self.begin_reassembly(now, key, &fragment));
        let header_bytes = &fragment.packet[..fragment.header_len];
        match self.reassembler.add(id, header, header_bytes, payload) {
            Added::Repeated => None,
            Added::Incomplete => {
                self.bound_reassembly(id);
                None
            }
            Added::Complete => {
                let datagram = self.reassembler.remove(id)?;
                self.timers.cancel(datagram.timer);
                let (packet, header_len) = match datagram.assemble() {
                    Some(whole) => whole,
                    None => {
                        self.discard(Discard::FragmentMalformed);
                        return None;
                    }
                };
                let (tos, hop_limit) = (packet[1], packet[8]);
                Some(Delivery {
                    tos,
                    hop_limit,
                    // A device that sums fragments sums each for itself; the datagram's checksum is none of these.
                    checksum_verified: false,
                    segment_size: None,
                    header_len,
                    packet: Cow::Owned(packet),
                    ..fragment
                })
            }
            Added::Overlap => {
                self.abandon_reassembly(id, Discard::FragmentOverlap);
                None
            }
            Added::Malformed => {
                self.abandon_reassembly(id, Discard::FragmentMalformed);
                None
            }
        }
    }

    fn begin_reassembly(&mut self, now: Instant, key: DatagramKey, fragment: &Delivery<'_>) -> ReassemblyId {
        let sequence = self.reassembler.next_sequence;
        self.reassembler.next_sequence += 1;
        let id = self.reassembler.insert(Datagram {
            key,
            interface: fragment.interface,
            link_multicast: fragment.link_multicast,
            header: None,
            pieces: Vec::new(),
            held: 0,
            total: None,
            congested: false,
            sequence,
            timer: TimerId::NONE,
        });
        let timer = self.timers.insert(now + LIFETIME, Timer::Reassembly(id));
        if let Some(datagram) = self.reassembler.datagrams.get_mut(id) {
            datagram.timer = timer;
        }
        id
    }

    /// Keeps to the limit of memory: the oldest datagrams go, `newest` last.
    fn bound_reassembly(&mut self, newest: ReassemblyId) {
        while self.reassembler.bytes > self.reassembler.limit {
            let Some((_, &oldest)) = self.reassembler.by_age.first_key_value() else { return };
            self.abandon_reassembly(oldest, Discard::FragmentMemory);
            if oldest == newest {
                return;
            }
        }
    }

    fn abandon_reassembly(&mut self, id: ReassemblyId, reason: Discard) {
        if let Some(datagram) = self.reassembler.remove(id) {
            self.timers.cancel(datagram.timer);
            self.discard(reason);
        }
    }

    /// The rest of a datagram never came.
    pub(crate) fn reassembly_timeout(&mut self, now: Instant, id: ReassemblyId) {
        let Some(datagram) = self.reassembler.remove(id) else { return };
        self.discard(Discard::FragmentTimeout);
        // RFC 792: no message is sent if fragment zero is not there.
        if let Some(packet) = datagram.quote() {
            self.report(now, datagram.interface, &packet, datagram.link_multicast, Report::ReassemblyTimeout);
        }
    }

    /// Forgets the fragments that came by an interface.
    pub(crate) fn forget_fragments(&mut self, interface: InterfaceId) {
        let gone: Vec<ReassemblyId> = self
            .reassembler
            .datagrams
            .iter()
            .filter(|(_, datagram)| datagram.interface == interface)
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.abandon_reassembly(id, Discard::NoInterface);
        }
    }
}
