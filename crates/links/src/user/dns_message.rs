//! As much of DNS as a forwarder needs (RFC 1035): a query's header and question read, an answer of address records
//! written. Called by [`dns_forwarder`](super::dns_forwarder) and [`fixed_names`](super::fixed_names).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a message's header.
pub(super) const HEADER_LEN: usize = 12;
/// The largest answer over UDP that a client without EDNS takes (RFC 1035 section 4.2.1).
const PLAIN_UDP_LIMIT: usize = 512;
/// The longest name, in its encoded form (RFC 1035 section 2.3.4).
const NAME_LIMIT: usize = 255;
/// What we say we can take ourselves, in answers to queries with EDNS.
const OUR_UDP_LIMIT: u16 = 1232;

const FLAG_RESPONSE: u16 = 0x8000;
const FLAG_AUTHORITATIVE: u16 = 0x0400;
const FLAG_TRUNCATED: u16 = 0x0200;
const FLAG_RECURSION_DESIRED: u16 = 0x0100;
const FLAG_RECURSION_AVAILABLE: u16 = 0x0080;
const OPCODE_MASK: u16 = 0x7800;

/// Record types that are answered here.
pub(super) const TYPE_A: u16 = 1;
pub(super) const TYPE_PTR: u16 = 12;
pub(super) const TYPE_AAAA: u16 = 28;
pub(super) const TYPE_OPT: u16 = 41;
pub(super) const TYPE_ANY: u16 = 255;
pub(super) const CLASS_IN: u16 = 1;
pub(super) const CLASS_ANY: u16 = 255;

/// How an answer ends (RFC 1035 section 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseCode {
    NoError = 0,
    FormatError = 1,
    ServerFailure = 2,
    NotImplemented = 4,
}

/// A domain name in its encoded form with lower-case letters: what names are compared by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(Box<[u8]>);

impl Name {
    /// Encodes `text`, with or without the final dot; `None` if it is no domain name.
    pub(super) fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_suffix('.').unwrap_or(text);
        let mut encoded = Vec::with_capacity(text.len() + 2);
        for label in text.split('.') {
            // RFC 1035 section 2.3.4: labels have 63 octets or less.
            if label.is_empty() || label.len() > 63 || !label.is_ascii() {
                return None;
            }
            encoded.push(label.len() as u8);
            encoded.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        encoded.push(0);
        (encoded.len() <= NAME_LIMIT).then(|| Self(encoded.into()))
    }

    /// The name under which `address` is looked up backwards (RFC 1035 section 3.5, RFC 3596 section 2.5).
    pub(super) fn reverse_of(address: IpAddr) -> Self {
        let mut encoded = Vec::new();
        let mut label = |text: &[u8]| {
            encoded.push(text.len() as u8);
            encoded.extend_from_slice(text);
        };
        match address {
            IpAddr::V4(v4) => {
                for octet in v4.octets().iter().rev() {
                    label(octet.to_string().as_bytes());
                }
                label(b"in-addr");
            }
            IpAddr::V6(v6) => {
                for octet in v6.octets().iter().rev() {
                    for nibble in [octet & 15, octet >> 4] {
                        label(&[b"0123456789abcdef"[usize::from(nibble)]]);
                    }
                }
                label(b"ip6");
            }
        }
        label(b"arpa");
        encoded.push(0);
        Self(encoded.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A query with one question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) id: u16,
    flags: u16,
    pub(super) name: Name,
    pub(super) kind: u16,
    pub(super) class: u16,
    /// The question as it came, with the sender's capital letters.
    pub(super) question: &'a [u8],
    /// The largest UDP answer that the client takes, if it speaks EDNS (RFC 6891).
    edns: Option<u16>,
}

/// Why a message is not a query that can be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAQuery {
    /// Not even a header, or an answer: nothing is sent back, lest two servers answer each other for ever.
    Ignore,
    /// A query that gets only a code for an answer.
    Reject(ResponseCode),
}

impl<'a> Query<'a> {
    /// Reads a query.
    ///
    /// # Errors
    /// [`NotAQuery`] says what to do with the message instead.
    pub(super) fn parse(message: &'a [u8]) -> Result<Self, NotAQuery> {
        let header = message.get(..HEADER_LEN).ok_or(NotAQuery::Ignore)?;
        let flags = u16_at(header, 2);
        if flags & FLAG_RESPONSE != 0 {
            return Err(NotAQuery::Ignore);
        }
        if flags & OPCODE_MASK != 0 {
            return Err(NotAQuery::Reject(ResponseCode::NotImplemented));
        }
        if u16_at(header, 4) != 1 {
            return Err(NotAQuery::Reject(ResponseCode::FormatError));
        }
        let bad = NotAQuery::Reject(ResponseCode::FormatError);
        let name_end = name_end(message, HEADER_LEN).ok_or(bad)?;
        let question = message.get(HEADER_LEN..name_end + 4).ok_or(bad)?;
        let (name, rest) = question.split_at(name_end - HEADER_LEN);
        let records = u32::from(u16_at(header, 6)) + u32::from(u16_at(header, 8)) + u32::from(u16_at(header, 10));
        Ok(Self {
            id: u16_at(header, 0),
            flags,
            name: Name(name.to_ascii_lowercase().into()),
            kind: u16_at(rest, 0),
            class: u16_at(rest, 2),
            question,
            edns: edns_limit(message, name_end + 4, records),
        })
    }

    /// The largest answer that the client takes over UDP, in bytes.
    pub(super) fn udp_limit(&self) -> usize {
        // RFC 6891 section 6.2.3: values lower than 512 are treated as 512.
        self.edns.map_or(PLAIN_UDP_LIMIT, |limit| usize::from(limit).max(PLAIN_UDP_LIMIT))
    }

    /// Writes the answer with `records` of this question's name, or a truncated one without any if it would be longer
    /// than `limit`.
    pub(super) fn answer(&self, code: ResponseCode, records: &[Record], limit: usize) -> Vec<u8> {
        let whole = self.write(code, records, FLAG_AUTHORITATIVE);
        if whole.len() <= limit { whole } else { self.write(code, &[], FLAG_AUTHORITATIVE | FLAG_TRUNCATED) }
    }

    /// The answer that says only how the query failed.
    pub(super) fn failure(&self, code: ResponseCode) -> Vec<u8> {
        self.write(code, &[], 0)
    }

    fn write(&self, code: ResponseCode, records: &[Record], flags: u16) -> Vec<u8> {
        let mut out = Vec::with_capacity(PLAIN_UDP_LIMIT);
        out.extend(self.id.to_be_bytes());
        out.extend(response_flags(self.flags, flags, code).to_be_bytes());
        for count in [1, records.len() as u16, 0, u16::from(self.edns.is_some())] {
            out.extend(count.to_be_bytes());
        }
        out.extend_from_slice(self.question);
        for record in records {
            record.write(&mut out);
        }
        if self.edns.is_some() {
            // RFC 6891 section 6.1.1: an answer to a query with an OPT record has one too.
            out.push(0);
            out.extend(TYPE_OPT.to_be_bytes());
            out.extend(OUR_UDP_LIMIT.to_be_bytes());
            out.extend([0; 6]);
        }
        out
    }
}

/// The answer to a message that [`Query::parse`] rejected with `code`. `message` is at least a header long.
pub(super) fn reject(message: &[u8], code: ResponseCode) -> Vec<u8> {
    let mut out = vec![0; HEADER_LEN];
    out[..2].copy_from_slice(&message[..2]);
    let flags = u16_at(message, 2);
    let reply = response_flags(flags, 0, code) | flags & OPCODE_MASK;
    out[2..4].copy_from_slice(&reply.to_be_bytes());
    out
}

/// Whether `message` is an answer to `question` under the identifier `id`.
pub(super) fn is_answer(message: &[u8], id: u16, question: &[u8]) -> bool {
    let Some(header) = message.get(..HEADER_LEN) else { return false };
    if u16_at(header, 0) != id || u16_at(header, 2) & FLAG_RESPONSE == 0 {
        return false;
    }
    match u16_at(header, 4) {
        // A server that could not read the query, or would not, may leave the question out.
        0 => u16_at(header, 2) & 0xf != ResponseCode::NoError as u16,
        1 => message
            .get(HEADER_LEN..HEADER_LEN + question.len())
            .is_some_and(|echoed| echoed.eq_ignore_ascii_case(question)),
        _ => false,
    }
}

/// Whether an answer, at least a header long, says that this server does not help, so that another may be asked.
pub(super) fn is_no_help(message: &[u8]) -> bool {
    /// RFC 1035 section 4.1.1: SERVFAIL, NOTIMP and REFUSED.
    const NO_HELP: [u16; 3] = [2, 4, 5];
    NO_HELP.contains(&(u16_at(message, 2) & 0xf))
}

/// Puts another identifier into a message that is at least a header long.
pub(super) fn set_id(message: &mut [u8], id: u16) {
    message[..2].copy_from_slice(&id.to_be_bytes());
}

/// One record of an answer; its name is the question's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    A(Ipv4Addr),
    Aaaa(Ipv6Addr),
    Ptr(Name),
}

impl Record {
    /// How long an answer from the command line is kept by the client, in seconds.
    const TTL: u32 = 10;

    fn write(&self, out: &mut Vec<u8>) {
        let (kind, data): (u16, &[u8]) = match self {
            Self::A(address) => (TYPE_A, &address.octets()),
            Self::Aaaa(address) => (TYPE_AAAA, &address.octets()),
            Self::Ptr(name) => (TYPE_PTR, name.as_bytes()),
        };
        // RFC 1035 section 4.1.4: a pointer to the question's name, which follows the header.
        out.extend((0xc000 | HEADER_LEN as u16).to_be_bytes());
        out.extend(kind.to_be_bytes());
        out.extend(CLASS_IN.to_be_bytes());
        out.extend(Self::TTL.to_be_bytes());
        out.extend((data.len() as u16).to_be_bytes());
        out.extend_from_slice(data);
    }
}

fn response_flags(query: u16, extra: u16, code: ResponseCode) -> u16 {
    FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | query & FLAG_RECURSION_DESIRED | extra | code as u16
}

/// Where the uncompressed name that begins at `at` ends.
fn name_end(message: &[u8], mut at: usize) -> Option<usize> {
    let start = at;
    loop {
        let len = usize::from(*message.get(at)?);
        at += 1;
        if len == 0 {
            return (at - start <= NAME_LIMIT).then_some(at);
        }
        if len > 63 {
            return None;
        }
        at += len;
    }
}

/// The UDP size that an OPT record among the `records` from `at` on announces. What cannot be read has none.
fn edns_limit(message: &[u8], mut at: usize, records: u32) -> Option<u16> {
    for _ in 0..records {
        // RFC 6891 section 6.1.2: the OPT record's name is the root. Names in a query's other records may be
        // compressed; a pointer ends a name.
        loop {
            let len = *message.get(at)?;
            match len {
                0 => break at += 1,
                1..=63 => at += 1 + usize::from(len),
                _ => break at += 2,
            }
        }
        let fixed = message.get(at..at + 10)?;
        if u16_at(fixed, 0) == TYPE_OPT {
            return Some(u16_at(fixed, 2));
        }
        at += 10 + usize::from(u16_at(fixed, 8));
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}
