//! SFTP version 3 on the wire (draft-ietf-secsh-filexfer-02): requests written, replies read.
//!
//! Names and handles are bytes, as they are in the file systems of both ends. What is read is bounded and may be
//! anything: nothing here panics.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::attributes::Attributes;

/// The version spoken: what nearly every server has.
pub(super) const VERSION: u32 = 3;
/// The longest reply that is taken, in bytes; OpenSSH's own bound.
pub(super) const LONGEST: usize = 256 << 10;
/// Names in one reply.
const MOST_NAMES: usize = 16_384;
/// The longest handle (section 6.2: 256 bytes).
const LONGEST_HANDLE: usize = 256;

/// A reply that breaks the protocol, and how.
pub(super) type Broken = &'static str;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Request<'a> {
    Open {
        path: &'a [u8],
        flags: u32,
        attributes: Attributes,
    },
    Close {
        handle: &'a [u8],
    },
    Read {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    Stat {
        path: &'a [u8],
        follow: bool,
    },
    FStat {
        handle: &'a [u8],
    },
    SetStat {
        path: &'a [u8],
        attributes: Attributes,
    },
    FSetStat {
        handle: &'a [u8],
        attributes: Attributes,
    },
    OpenDir {
        path: &'a [u8],
    },
    ReadDir {
        handle: &'a [u8],
    },
    Remove {
        path: &'a [u8],
    },
    MakeDir {
        path: &'a [u8],
    },
    RemoveDir {
        path: &'a [u8],
    },
    RealPath {
        path: &'a [u8],
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
    },
    ReadLink {
        path: &'a [u8],
    },
    /// OpenSSH has the two paths the other way round than the draft, and everybody follows it.
    SymLink {
        target: &'a [u8],
        link: &'a [u8],
    },
    /// An extension with its words, each a string.
    Extended {
        name: &'a str,
        words: &'a [&'a [u8]],
    },
}

impl Request<'_> {
    fn kind(&self) -> u8 {
        match self {
            Self::Open { .. } => 3,
            Self::Close { .. } => 4,
            Self::Read { .. } => 5,
            Self::Stat { follow: false, .. } => 7,
            Self::FStat { .. } => 8,
            Self::SetStat { .. } => 9,
            Self::FSetStat { .. } => 10,
            Self::OpenDir { .. } => 11,
            Self::ReadDir { .. } => 12,
            Self::Remove { .. } => 13,
            Self::MakeDir { .. } => 14,
            Self::RemoveDir { .. } => 15,
            Self::RealPath { .. } => 16,
            Self::Stat { follow: true, .. } => 17,
            Self::Rename { .. } => 18,
            Self::ReadLink { .. } => 19,
            Self::SymLink { .. } => 20,
            Self::Extended { .. } => 200,
        }
    }

    /// The whole packet, its length in front.
    pub(super) fn encode(&self, id: u32) -> Bytes {
        let mut out = BytesMut::with_capacity(320);
        out.put_u32(0);
        out.put_u8(self.kind());
        out.put_u32(id);
        match self {
            Self::Open { path, flags, attributes } => {
                string(&mut out, path);
                out.put_u32(*flags);
                attributes.encode(&mut out);
            }
            Self::Read { handle, offset, length } => {
                string(&mut out, handle);
                out.put_u64(*offset);
                out.put_u32(*length);
            }
            Self::Close { handle } | Self::FStat { handle } | Self::ReadDir { handle } => string(&mut out, handle),
            Self::SetStat { path: at, attributes } | Self::FSetStat { handle: at, attributes } => {
                string(&mut out, at);
                attributes.encode(&mut out);
            }
            Self::Stat { path, .. }
            | Self::OpenDir { path }
            | Self::Remove { path }
            | Self::RemoveDir { path }
            | Self::RealPath { path }
            | Self::ReadLink { path } => string(&mut out, path),
            Self::MakeDir { path } => {
                string(&mut out, path);
                Attributes::default().encode(&mut out);
            }
            Self::Rename { from: first, to: second } | Self::SymLink { target: first, link: second } => {
                string(&mut out, first);
                string(&mut out, second);
            }
            Self::Extended { name, words } => {
                string(&mut out, name.as_bytes());
                words.iter().for_each(|word| string(&mut out, word));
            }
        }
        finish(out)
    }
}

/// A request to write, around data that are read into their place: a large file is copied once less.
pub(super) struct Writing {
    packet: BytesMut,
    /// Where the data begin.
    data: usize,
}

impl Writing {
    /// With room for so many bytes of data.
    pub(super) fn new(handle: &[u8], offset: u64, room: usize) -> Self {
        let data = 4 + 1 + 4 + 4 + handle.len() + 8 + 4;
        let mut packet = BytesMut::with_capacity(data + room);
        packet.put_u32(0);
        packet.put_u8(6);
        packet.put_u32(0);
        string(&mut packet, handle);
        packet.put_u64(offset);
        packet.put_u32(0);
        packet.resize(data + room, 0);
        Self { packet, data }
    }

    /// The place of the data.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.packet[self.data..]
    }

    /// Cuts it to the first `length` bytes of data.
    pub(super) fn cut(&mut self, length: usize) {
        let length = length.min(self.packet.len() - self.data);
        self.packet.truncate(self.data + length);
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.packet[self.data - 4..self.data].copy_from_slice(&length.to_be_bytes());
    }

    /// The whole packet.
    pub(super) fn encode(mut self, id: u32) -> Bytes {
        self.packet[5..9].copy_from_slice(&id.to_be_bytes());
        finish(self.packet)
    }
}

/// The first packet of a session.
pub(super) fn init() -> Bytes {
    let mut out = BytesMut::new();
    out.put_u32(0);
    out.put_u8(1);
    out.put_u32(VERSION);
    finish(out)
}

fn finish(mut out: BytesMut) -> Bytes {
    // A request is far from 4 GiB: data come in pieces.
    let length = u32::try_from(out.len() - 4).unwrap_or(u32::MAX);
    out[..4].copy_from_slice(&length.to_be_bytes());
    out.freeze()
}

fn string(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

/// One name of a folder, or the answer to a question for a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without its folder.
    pub name: Vec<u8>,
    /// As `ls -l` shows it, in the server's words.
    pub long: Vec<u8>,
    /// What else is known.
    pub attributes: Attributes,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Status { code: u32, message: String },
    Handle(Bytes),
    Data(Bytes),
    Names(Vec<Entry>),
    Attributes(Attributes),
    Extended(Bytes),
}

/// The first reply: the server's version and the extensions it has, by name.
pub(super) fn version(mut packet: Bytes) -> Result<(u32, Vec<(String, Bytes)>), Broken> {
    if take_u8(&mut packet)? != 2 {
        return Err("the first packet is no version");
    }
    let version = take_u32(&mut packet)?;
    let mut extensions = Vec::new();
    while packet.has_remaining() {
        let name = String::from_utf8_lossy(&take_string(&mut packet)?).into_owned();
        extensions.push((name, take_string(&mut packet)?));
    }
    Ok((version, extensions))
}

/// What the server says of itself in answer to `limits@openssh.com` (OpenSSH's PROTOCOL, section 4.8): the longest packet,
/// the longest read and the longest write, in bytes; 0 where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) packet: u64,
    pub(super) read: u64,
    pub(super) write: u64,
}

impl Limits {
    pub(super) fn decode(mut reply: Bytes) -> Result<Self, Broken> {
        let mut number = || take_u64(&mut reply);
        Ok(Self { packet: number()?, read: number()?, write: number()? })
    }
}

/// Any other reply: whose question it answers, and what it says.
pub(super) fn reply(mut packet: Bytes) -> Result<(u32, Reply), Broken> {
    let kind = take_u8(&mut packet)?;
    let id = take_u32(&mut packet)?;
    let reply = match kind {
        101 => {
            let code = take_u32(&mut packet)?;
            // The words were not there in the first drafts, and some servers still leave them out.
            let message = if packet.has_remaining() { take_string(&mut packet)? } else { Bytes::new() };
            Reply::Status { code, message: String::from_utf8_lossy(&message).into_owned() }
        }
        102 => {
            let handle = take_string(&mut packet)?;
            if handle.len() > LONGEST_HANDLE {
                return Err("a handle is too long");
            }
            Reply::Handle(handle)
        }
        103 => Reply::Data(take_string(&mut packet)?),
        104 => {
            let count = take_u32(&mut packet)? as usize;
            if count > MOST_NAMES {
                return Err("too many names at once");
            }
            let mut names = Vec::with_capacity(count.min(256));
            for _ in 0..count {
                names.push(Entry {
                    name: take_string(&mut packet)?.to_vec(),
                    long: take_string(&mut packet)?.to_vec(),
                    attributes: Attributes::decode(&mut packet)?,
                });
            }
            Reply::Names(names)
        }
        105 => Reply::Attributes(Attributes::decode(&mut packet)?),
        201 => Reply::Extended(packet),
        _ => return Err("a reply is of an unknown kind"),
    };
    Ok((id, reply))
}

const SHORT: Broken = "a packet is cut short";

fn take_u8(packet: &mut Bytes) -> Result<u8, Broken> {
    packet.try_get_u8().map_err(|_| SHORT)
}

pub(super) fn take_u32(packet: &mut Bytes) -> Result<u32, Broken> {
    packet.try_get_u32().map_err(|_| SHORT)
}

pub(super) fn take_u64(packet: &mut Bytes) -> Result<u64, Broken> {
    packet.try_get_u64().map_err(|_| SHORT)
}

pub(super) fn take_string(packet: &mut Bytes) -> Result<Bytes, Broken> {
    let length = take_u32(packet)? as usize;
    if length > packet.len() {
        return Err(SHORT);
    }
    Ok(packet.split_to(length))
}
