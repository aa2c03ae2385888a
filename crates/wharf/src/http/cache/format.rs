//! The bytes of a file of the cache, which holds one response: the body, then the head, then a trailer of fixed size
//! that says where each ends, with checksums. The body comes first so that it can be written as it arrives, and the head
//! last so that a response found unchanged gets a new head without its body being read. Pure, and apart from the
//! checksum the standard library alone, so that it can be fuzzed by itself. Called by `disk`.
//!
//! ```text
//! body | head | "WHARFHC1" | body length u64 | head length u32 | body CRC-32 u32 | head CRC-32 u32 | CRC-32 of these u32
//! ```
//!
//! Numbers are little-endian. In the head, text and values are a length (u32) and so many bytes.

/// Bytes of a trailer.
pub(super) const TRAILER: usize = 32;
/// The longest head that is written or read: hyper takes at most 100 fields and some 400 KiB of them.
pub(super) const LONGEST_HEAD: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"WHARFHC1";

/// Names and values, in their order.
pub(super) type Fields = Vec<(String, Vec<u8>)>;

/// All of a stored response but its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) url: String,
    /// Milliseconds since 1970 at which the request was sent, and the response came.
    pub(super) requested: u64,
    pub(super) received: u64,
    /// What of the request the response varies by.
    pub(super) request: Fields,
    /// 9, 10, 11, 2 or 3.
    pub(super) version: u8,
    pub(super) status: u16,
    pub(super) response: Fields,
}

/// The end of a file: how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trailer {
    pub(super) body_length: u64,
    pub(super) head_length: u32,
    pub(super) body_checksum: u32,
    pub(super) head_checksum: u32,
}

/// A file that was cut, or changed since it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damaged;

impl Trailer {
    pub(super) fn encode(&self) -> [u8; TRAILER] {
        let mut bytes = [0; TRAILER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.body_length.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.head_length.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.body_checksum.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.head_checksum.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The trailer of a file of `file_length` bytes.
    pub(super) fn decode(bytes: &[u8; TRAILER], file_length: u64) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let magic = reader.take(8)?;
        let body_length = u64::from_le_bytes(reader.array()?);
        let trailer = Self {
            body_length,
            head_length: reader.u32()?,
            body_checksum: reader.u32()?,
            head_checksum: reader.u32()?,
        };
        let whole = magic == MAGIC
            && reader.u32()? == crc32fast::hash(&bytes[..28])
            && trailer.head_length as usize <= LONGEST_HEAD
            && body_length.checked_add(u64::from(trailer.head_length) + TRAILER as u64) == Some(file_length);
        if whole { Ok(trailer) } else { Err(Damaged) }
    }
}

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Self { url, requested, received, request, version, status, response } = self;
        let mut bytes = Vec::new();
        put(&mut bytes, url.as_bytes());
        bytes.extend(requested.to_le_bytes());
        bytes.extend(received.to_le_bytes());
        bytes.push(*version);
        bytes.extend(status.to_le_bytes());
        for fields in [request, response] {
            bytes.extend((fields.len() as u32).to_le_bytes());
            for (name, value) in fields {
                put(&mut bytes, name.as_bytes());
                put(&mut bytes, value);
            }
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader(bytes);
        let head = Self {
            url: reader.text()?,
            requested: u64::from_le_bytes(reader.array()?),
            received: u64::from_le_bytes(reader.array()?),
            version: u8::from_le_bytes(reader.array()?),
            status: u16::from_le_bytes(reader.array()?),
            request: reader.fields()?,
            response: reader.fields()?,
        };
        if reader.0.is_empty() { Ok(head) } else { Err(Damaged) }
    }
}

fn put(bytes: &mut Vec<u8>, value: &[u8]) {
    bytes.extend((value.len() as u32).to_le_bytes());
    bytes.extend(value);
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Damaged> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damaged> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, Damaged> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn value(&mut self) -> Result<Vec<u8>, Damaged> {
        let length = self.u32()? as usize;
        Ok(self.take(length)?.to_vec())
    }

    fn text(&mut self) -> Result<String, Damaged> {
        String::from_utf8(self.value()?).map_err(|_| Damaged)
    }

    fn fields(&mut self) -> Result<Fields, Damaged> {
        // The count is not believed: memory is taken only for fields that are there.
        let count = self.u32()?;
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push((self.text()?, self.value()?));
        }
        Ok(fields)
    }
}
